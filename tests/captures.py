"""A small training whose steps are captured on a GPU, and its twin that computes every step."""

from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.backends.cuda_graph import CudaGraph
from minidl.data import ArrayDataset, DataLoader

F = nn.functional
SAMPLES, BATCH = 14, 4


class Network(nn.Sequential):
    static = True


def network() -> Network:
    rng = md.Generator(0)
    return Network(
        nn.Conv2D(1, 4, 3, rng=rng),
        nn.ReLU(),
        nn.MaxPooling2D(2),
        nn.Conv2D(4, 8, 3, rng=rng),
        nn.ReLU(),
        nn.MaxPooling2D(2),
        nn.Flatten(),
        nn.Dense(8, 6, rng=rng),
        nn.BatchNorm(6),
        nn.ReLU(),
        nn.Dense(6, 1, rng=rng),
    )


def data() -> ArrayDataset:
    rng = np.random.default_rng(0)
    return ArrayDataset(
        rng.random((SAMPLES, 12, 12, 1), np.float32), rng.integers(0, 2, (SAMPLES, 1)).astype(np.float32)
    )


def accuracy(outputs: Any, targets: Any) -> Any:
    return ((outputs > 0) == (targets > 0.5)).mean()


def computing(one: md.Trainer) -> md.Trainer:
    """A trainer that computes every step, with the same kernels."""
    one.captured._capture = one.captured.computed  # type: ignore[method-assign]
    return one


def trainer(
    device: Any, model: nn.Module | None = None, loss: Any = F.binary_cross_entropy_with_logits, capturing: bool = True
) -> md.Trainer:
    """A trainer; with ``capturing=False`` it computes every step."""
    model = (network() if model is None else model).to(device.name)
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(0.01, steps=12))
    one = md.Trainer(model, loss, optimizer, {"accuracy": accuracy})
    return one if capturing else computing(one)


def dense_trainer(device: Any, layer: Any = None, loss: Any = F.mse_loss, capturing: bool = True) -> md.Trainer:
    """A network of dense layers with the layer under test before the last of them; a constant learning rate."""
    rng = md.Generator(0)
    features = nn.Sequential(nn.MaxPooling2D(3), nn.Flatten())  # few, since each takes time on the emulated GPU
    layers = [features, nn.Dense(16, 6, rng=rng), nn.BatchNorm(6), layer or nn.ReLU(), nn.Dense(6, 1, rng=rng)]
    model = Network(*layers).to(device.name)
    one = md.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    return one if capturing else computing(one)


def loader() -> DataLoader:
    return DataLoader(data(), BATCH, shuffle=True)


def steps(one: md.Trainer, count: int) -> list[bytes]:
    """The weights after each of some steps on one batch."""
    found = []
    for _ in range(count):
        one.train_step(*data().batch(np.arange(BATCH)))
        found.append(b"".join(value.tobytes() for value in one.model.state_dict().values()))
    return found


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A counter that increases with every replay of a CUDA graph."""
    counted: list[int] = []
    replay = CudaGraph.replay

    def counting(self: CudaGraph) -> None:
        counted.append(1)
        replay(self)

    monkeypatch.setattr(CudaGraph, "replay", counting)
    return counted
