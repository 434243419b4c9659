"""Training steps and inference: by batch size, by the size of the images, and by the width of the network."""

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pytest

import minidl as md
from agegender import models
from minidl import nn, optim
from tests.benchmarks.peers import ours

F = nn.functional
BATCHES = (1, 8, 32, 128)


def train_step(model: nn.Module, loss: Callable[[Any], md.Tensor], images: Any) -> Callable[[], None]:
    """An Adam step on these images."""
    optimizer = optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        loss(model(md.Tensor(images))).backward()
        optimizer.step()

    return step


def network(size: int, width: float = 1.0) -> nn.Sequential:
    """Three of the documented blocks (four leave nothing of 32 x 32 pixels) of relative ``width``, and a head."""
    channels = [1, *(int(width * filters) for filters in (32, 64, 128))]
    blocks: list[nn.Module] = []
    for c_in, c_out in pairwise(channels):
        blocks += [nn.Conv2D(c_in, c_out, 3), nn.ReLU(), nn.MaxPooling2D(2)]
        size = (size - 2) // 2
    return nn.Sequential(*blocks, nn.Flatten(), nn.Dense(size * size * channels[-1], 256), nn.ReLU(), nn.Dense(256, 1))


def images(count: int, size: int = 128) -> Any:
    return np.random.default_rng(0).random((count, size, size, 1), np.float32)


@pytest.mark.benchmark(group="training step of the documented network")
@pytest.mark.parametrize("batch_size", BATCHES)
def test_train(benchmark: Any, batch_size: int) -> None:
    benchmark.extra_info["images"] = batch_size
    benchmark(ours.Training(ours.weights(seed=0)), *ours.random_batch(batch_size))


@pytest.mark.benchmark(group="inference of the documented network")
@pytest.mark.parametrize("batch_size", BATCHES)
def test_predict(benchmark: Any, batch_size: int) -> None:
    benchmark.extra_info["images"] = batch_size
    benchmark(ours.Training(ours.weights(seed=0)).predict, images(batch_size))


@pytest.mark.benchmark(group="training step, batches of 32, by the size of the images")
@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_image_size(benchmark: Any, size: int) -> None:
    benchmark.extra_info["images"] = 32
    benchmark(train_step(network(size), md.Tensor.mean, images(32, size)))


@pytest.mark.benchmark(group="training step, batches of 32, by the width of the network")
@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_width(benchmark: Any, width: float) -> None:
    benchmark.extra_info["images"] = 32
    benchmark(train_step(network(128, width), md.Tensor.mean, images(32)))


class OpByOp(nn.Module):
    """The documented network as a student writes it; nothing is fused."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = models.build("documented")

    def forward(self, x: Any) -> Any:
        for layer in self.layers.features:
            if isinstance(layer, nn.Conv2D):
                x = F.max_pool2d(F.relu(F.conv2d(x, layer.w, layer.b)), 2)
        x = F.flatten(x)
        return {"gender": self.layers.gender(x), "age": self.layers.age(x)}


@pytest.mark.benchmark(group="op by op")
def test_op_by_op_stays_near_the_fused_path(benchmark: Any) -> None:
    """Run alternately, for a ratio: one round is a step of each."""

    def loss(outputs: Any) -> md.Tensor:
        return outputs["gender"].mean() + outputs["age"].mean()

    batch = images(32)
    fused, by_op = (train_step(model, loss, batch) for model in (models.build("documented"), OpByOp()))
    taken: dict[Callable[[], None], list[float]] = {fused: [], by_op: []}

    def both() -> None:
        for step, seconds in taken.items():
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)

    both()  # a first step is not representative: it has no memory to reuse
    for seconds in taken.values():
        seconds.clear()
    benchmark.pedantic(both, rounds=9)
    ratio = median(taken[by_op]) / median(taken[fused])
    benchmark.extra_info["time op by op / time fused"] = ratio
    assert ratio < 1.5
