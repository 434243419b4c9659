"""ReLU's gradient and a step of Adam, each in one pass: see elementwise.cu."""

from typing import Any

from ..reference import AdamStep
from .source import THREADS, kernel, name_of

Array = Any


def relu_backward(xp: Any, dy: Array, y: Array) -> Array:
    """``dy`` where ``y > 0``, else 0."""
    dx = xp.empty(y.shape, y.dtype)
    _run(xp, "relu_backward", xp.ascontiguousarray(dy), xp.ascontiguousarray(y), dx)
    return dx


def adam(xp: Any, param: Array, grad: Array, m: Array, v: Array, step: AdamStep) -> None:
    """Change ``param``, ``m`` and ``v`` in place, as :meth:`ReferenceKernels.adam` defines it."""
    lr, unbias, beta1, beta2, eps, keep = step
    constants = map(param.dtype.type, (lr, unbias, beta1, 1 - beta1, beta2, 1 - beta2, eps, keep))
    _run(xp, "adam", param, xp.ascontiguousarray(grad), m, v, *constants)


def _run(xp: Any, name: str, *arguments: Any) -> None:
    """A kernel with one thread for each element of its first argument."""
    first = arguments[0]
    if first.size:
        grid, block = (-(-first.size // THREADS),), (THREADS,)
        kernel(xp, "elementwise.cu", name_of(name, first.dtype))(grid, block, (*arguments, xp.int64(first.size)))
