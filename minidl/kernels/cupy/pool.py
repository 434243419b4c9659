"""Max pooling: see pool.cu."""

from typing import Any

import numpy as np

from ..reference import argmax_dtype
from ..window import Window
from .source import by_value, in_blocks, kernel, name_of

Array = Any


def supports(window: Window) -> bool:
    """Whether one byte can hold the tap of the maximum."""
    return argmax_dtype(np, window) is np.uint8


def max_pool(xp: Any, x: Array, window: Window) -> tuple[Array, Array]:
    """The maximum of each window and the tap that held it: see :meth:`ReferenceKernels.max_pool`."""
    y = xp.empty((len(x), window.OH, window.OW, x.shape[-1]), x.dtype)
    argmax = xp.empty(y.shape, xp.uint8)
    pool_into(xp, xp.ascontiguousarray(x), None, window, y, argmax)
    return y, argmax


def pool_into(xp: Any, x: Array, bias: Array | None, window: Window, y: Array, argmax: Array | None) -> None:
    """Write the maximum of each window, with bias and ReLU unless bias is None, and its tap unless argmax is None."""
    if y.size:
        C = x.shape[-1]
        run = kernel(xp, "pool.cu", name_of("max_pool", x.dtype))
        run(*in_blocks(len(x) * window.OH, window.OW * C), (x, bias, y, argmax, by_value(window), xp.int32(C)))


def max_pool_backward(xp: Any, dy: Array, argmax: Array, window: Window) -> Array:
    """The gradient with respect to the input: see :meth:`ReferenceKernels.max_pool_backward`."""
    N, C = len(dy), dy.shape[-1]
    dx = xp.empty((N, window.H, window.W, C), dy.dtype)
    if dx.size:
        run = kernel(xp, "pool.cu", name_of("max_pool_backward", dy.dtype))
        arguments = (*map(xp.ascontiguousarray, (dy, argmax)), dx, by_value(window), xp.int32(C))
        run(*in_blocks(N * window.H, window.W * C), arguments)
    return dx
