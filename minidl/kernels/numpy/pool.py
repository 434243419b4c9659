"""Max pooling, a few images at a time on all threads: the taps of a window are strided views, nothing is copied."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import threads
from ..reference import argmax_dtype
from ..window import Window, pad

Array = NDArray[Any]


def max_pool(x: Array, window: Window) -> tuple[Array, Array]:
    """The maximum under each window and the tap that held it, as :meth:`ReferenceKernels.max_pool` defines them."""
    y = np.empty((len(x), window.OH, window.OW, x.shape[-1]), x.dtype)
    argmax = np.empty(y.shape, argmax_dtype(np, window))

    def image(n: int) -> None:
        _max_of_taps(pad(np, x[n : n + 1], window, -np.inf), window, y[n : n + 1], argmax[n : n + 1])

    threads.for_each(image, range(len(x)))
    return y, argmax


def _max_of_taps(x: Array, window: Window, y: Array, argmax: Array) -> None:
    taps = [x[window.under_tap(kh, kw)] for kh, kw in window.taps()]
    y[...] = taps[0]
    for tap in taps[1:]:
        np.maximum(y, tap, out=y)
    for number in reversed(range(len(taps))):  # of equal taps the first is written last
        tap = taps[number]
        np.copyto(argmax, np.asarray(number, argmax.dtype), where=(tap == y) | (tap != tap))


def max_pool_backward(dy: Array, argmax: Array, window: Window) -> Array:
    """The gradient for the input, as :meth:`ReferenceKernels.max_pool_backward` defines it."""
    dx = np.empty((len(dy), *window.padded_size, dy.shape[-1]), dy.dtype)

    def image(n: int) -> None:
        dx[n] = 0
        for tap, (kh, kw) in enumerate(window.taps()):
            pixels = dx[n : n + 1][window.under_tap(kh, kw)]
            pixels += dy[n : n + 1] * (argmax[n : n + 1] == tap)

    threads.for_each(image, range(len(dy)))
    return dx[window.inside]
