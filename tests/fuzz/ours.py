"""The names that the programs of the fuzzer use, in minidl; theirs.py has the same names in PyTorch."""

from math import prod
from typing import Any

import numpy as np

import minidl as md
from minidl import nn, no_grad, optim

__all__ = ["F", "change", "filled", "inf", "leaf", "nan", "nn", "no_grad", "np", "ramp", "scale_gradients", "sgd_step"]

F = nn.functional
nan, inf = np.nan, np.inf


def values(given: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """The values of a leaf: a list, or a seed for part of a wave."""
    numbers = np.sin(1.7 * np.arange(prod(shape)) + given) if isinstance(given, int) else np.array(given, np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(numbers, np.float64).reshape(shape).astype(dtype)


def leaf(given: Any, shape: tuple[int, ...], dtype: str, grad: bool = False) -> Any:
    """A tensor with these values."""
    return md.tensor(values(given, shape, dtype), requires_grad=grad)


def ramp(y: Any) -> Any:
    """A gradient for a result: different for each element."""
    return values(1, tuple(y.shape), str(y.dtype))


def change(x: Any) -> None:
    """Change a leaf in place."""
    x.data *= 0.5
    x.mark_changed()


def sgd_step(*leaves: Any) -> None:
    """Update leaves by their gradients."""
    optim.SGD(leaves, lr=0.1).step()


def scale_gradients(*leaves: Any) -> None:
    """Change gradients in place, like clipping."""
    for x in leaves:
        if x.grad is not None:
            x.grad *= 0.5


def filled(module: Any, dtype: str) -> Any:
    """A module with the same weights on both sides."""
    module.astype(dtype)
    for number, (_, parameter) in enumerate(module.named_parameters()):
        parameter.data[...] = values(number, parameter.shape, dtype)
    return module
