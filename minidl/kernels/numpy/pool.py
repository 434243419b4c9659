"""Max pooling on all threads, a few rows at a time: the taps of a window are strided views that stay in cache."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import threads
from ..reference import argmax_dtype
from ..window import Window, pad
from .elementwise import keep_where

Array = NDArray[Any]

STRIP_BYTES = 1 << 17
"""Memory of the output rows that are made at a time: with the input under them they fit into a second-level cache."""


def max_pool(x: Array, window: Window) -> tuple[Array, Array]:
    """The maximum under each window and the tap that held it, as :meth:`ReferenceKernels.max_pool` defines them."""
    y = np.empty((len(x), window.OH, window.OW, x.shape[-1]), x.dtype)
    argmax = np.empty(y.shape, argmax_dtype(np, window))

    def one(n: int) -> None:
        pool_image(pad(np, x[n : n + 1], window, -np.inf)[0], window, y[n], argmax[n])

    threads.for_each(one, range(len(x)))
    return y, argmax


def max_pool_backward(dy: Array, argmax: Array, window: Window) -> Array:
    """The gradient for the input, as :meth:`ReferenceKernels.max_pool_backward` defines it."""
    dx = np.empty((len(dy), *window.padded_size, dy.shape[-1]), dy.dtype)
    threads.for_each(lambda n: unpool_image(dy[n], argmax[n], window, dx[n]), range(len(dy)))
    return dx[window.inside]


def pool_image(x: Array, window: Window, y: Array, argmax: Array) -> None:
    """Write the maxima of one padded image (H, W, C) to y (OH, OW, C), and the taps that held them to ``argmax``."""
    taps = [x[window.under_tap(kh, kw)[1:]] for kh, kw in window.taps()]
    for rows in _strips(y):
        _max_of([tap[rows] for tap in taps], y[rows], argmax[rows])


def _max_of(taps: list[Array], y: Array, argmax: Array) -> None:
    y[...] = taps[0]
    for tap in taps[1:]:
        np.maximum(y, tap, out=y)
    argmax[...] = 0
    missing = np.not_equal(taps[0], y)  # where the maximum is none of the taps so far
    for tap in taps[1:]:
        # Counting how long the maximum is missing gives the number of the first tap that holds it.
        argmax += missing
        missing &= np.not_equal(tap, y)


def unpool_image(dy: Array, argmax: Array, window: Window, dx: Array) -> None:
    """Write the gradient of one image to dx (H, W, C): each dy at the tap that was the maximum, 0 elsewhere."""
    overlap = window.SH < window.KH or window.SW < window.KW
    dx[...] = 0
    for rows in _strips(dy):
        for tap, (kh, kw) in enumerate(window.taps()):
            pixels = dx[window.under_tap(kh, kw)[1:]][rows]
            here = argmax[rows] == tap
            if overlap:
                pixels += keep_where(here, dy[rows])
            else:
                keep_where(here, dy[rows], out=pixels)


def _strips(image: Array) -> list[slice]:
    """The rows of an image (H, W, C) in strips of about ``STRIP_BYTES``."""
    return threads.chunks(len(image), max(1, STRIP_BYTES // max(1, image[0].nbytes)))
