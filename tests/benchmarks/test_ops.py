"""Ops and layers, forward and backward, on sizes of the documented network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn

F = nn.functional
MAP, ROWS = (32, 61, 61, 64), (32, 9216)
"""A batch of feature maps, and a batch of rows."""

OPS: dict[str, tuple[Callable[..., md.Tensor], tuple[tuple[int, ...], ...]]] = {
    "add": (lambda a, b: a + b, (MAP, MAP)),
    "add a bias": (lambda a, b: a + b, (MAP, (64,))),
    "mul": (lambda a, b: a * b, (MAP, MAP)),
    "exp": (F.exp, (MAP,)),
    "relu": (F.relu, (MAP,)),
    "sigmoid": (F.sigmoid, (MAP,)),
    "sum": (lambda x: x.sum(axis=(1, 2)), (MAP,)),
    "max": (lambda x: x.max(axis=(1, 2)), (MAP,)),
    "matmul": (lambda a, b: a @ b, (ROWS, (9216, 256))),
    "softmax": (F.softmax, ((32, 1000),)),
    "conv2d": (F.conv2d, ((32, 63, 63, 32), (3, 3, 32, 64), (64,))),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), (MAP,)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), (MAP,)),
    "transpose": (lambda x: x.transpose(0, 3, 1, 2) * 1.0, (MAP,)),
    "concatenate": (lambda a, b: F.concatenate([a, b], axis=-1), (MAP, MAP)),
}
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Conv2D": (lambda: nn.Conv2D(32, 64, 3), (32, 63, 63, 32)),
    "MaxPooling2D": (lambda: nn.MaxPooling2D(2), MAP),
    "BatchNorm": (lambda: nn.BatchNorm(64), MAP),
    "Dropout": (lambda: nn.Dropout(0.5), MAP),
    "Dense": (lambda: nn.Dense(9216, 256), ROWS),
}


def leaf(shape: tuple[int, ...]) -> md.Tensor:
    """Random arrays that require a gradient."""
    return md.tensor(np.random.default_rng(0).standard_normal(shape, np.float32), requires_grad=True)


def forward_and_backward(function: Callable[..., md.Tensor], *inputs: md.Tensor) -> None:
    y = function(*inputs)
    y.backward(y.data)
    for x in inputs:
        x.zero_grad()


@pytest.mark.benchmark(group="ops, forward and backward")
@pytest.mark.parametrize("name", OPS)
def test_op(benchmark: Any, name: str) -> None:
    function, shapes = OPS[name]
    benchmark(forward_and_backward, function, *map(leaf, shapes))


@pytest.mark.benchmark(group="layers, forward and backward")
@pytest.mark.parametrize("name", LAYERS)
def test_layer(benchmark: Any, name: str) -> None:
    make, shape = LAYERS[name]
    benchmark(forward_and_backward, make(), leaf(shape))
