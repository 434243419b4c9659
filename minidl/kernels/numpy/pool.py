"""Max pooling on all threads, an image at a time.

No window is ever gathered: tap (kh, kw) of all windows together is a strided view of the image, and the maximum is that
of a few such views, element by element, which NumPy does with the processor's vector instructions. The fewer and the
longer the calls, the better: between two calls of NumPy only one thread can run.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import threads
from ..reference import argmax_dtype, taps_inside
from ..window import Window, pad
from . import memory
from .elementwise import keep_where

Array = NDArray[Any]


def max_pool(x: Array, window: Window) -> tuple[Array, Array]:
    """The maximum under each window and the tap that held it, as :meth:`ReferenceKernels.max_pool` defines them."""
    y = memory.empty((len(x), window.OH, window.OW, x.shape[-1]), x.dtype)
    argmax = memory.empty(y.shape, argmax_dtype(np, window))
    first, last = (bound.astype(argmax.dtype) for bound in taps_inside(np, window))

    def one(n: int) -> None:
        pool_taps(_taps(pad(np, x[n : n + 1], window, -np.inf)[0], window), y[n], argmax[n])
        if window.padded:  # where nothing is larger than the padding, or NaN, it could be the tap that was found
            np.clip(argmax[n], first, last, out=argmax[n])

    threads.for_each(one, range(len(x)), y.size * window.KH * window.KW)
    return y, argmax


def max_pool_backward(dy: Array, argmax: Array, window: Window) -> Array:
    """The gradient with respect to the input, as :meth:`ReferenceKernels.max_pool_backward` defines it."""
    dx = memory.empty((len(dy), *window.padded_size, dy.shape[-1]), dy.dtype)

    def one(n: int) -> None:
        if not window.covers_once:  # some pixels are under no window, or add up what several give
            dx[n] = 0
        unpool_taps(dy[n], argmax[n], _taps(dx[n], window), window.overlaps)

    threads.for_each(one, range(len(dy)), dy.size * window.KH * window.KW)
    return dx[window.inside]


def pool_taps(taps: Sequence[Array], y: Array, argmax: Array | None) -> None:
    """Write the largest of the taps, arrays like y, to y, and which it was to ``argmax`` if that is wanted."""
    np.maximum(taps[0], taps[-1], out=y)
    for tap in taps[1:-1]:
        np.maximum(y, tap, out=y)
    if argmax is not None:
        _first_equal(taps, y, argmax)


def _first_equal(taps: Sequence[Array], y: Array, number: Array) -> None:
    """Write the number of the first tap that equals y: it counts how long the maximum is none of the taps so far."""
    number[...] = 0
    missing = np.ones(y.shape, np.bool_)
    for tap in taps[:-1]:  # what is none of these is the last
        missing &= np.not_equal(tap, y)
        number += missing
    if y.size and math.isnan(y.max()):  # which equals nothing
        for index in reversed(range(len(taps))):
            np.putmask(number, np.isnan(taps[index]), index)


def unpool_taps(dy: Array, argmax: Array, taps: Sequence[Array], overlap: bool) -> None:
    """Write dy to the tap that was the maximum and 0 to the others; add it, if the taps share pixels."""
    for number, tap in enumerate(taps):
        here = argmax == number
        if overlap:
            tap += keep_where(here, dy)
        else:
            keep_where(here, dy, out=tap)


def _taps(image: Array, window: Window) -> list[Array]:
    """For every tap the pixels of a padded image (H, W, C) that it meets, a view (OH, OW, C)."""
    return [image[window.under_tap(kh, kw)[1:]] for kh, kw in window.taps()]
