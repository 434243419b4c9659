"""Max pooling on all threads, an image at a time.

Windows are never gathered: tap (kh, kw) of all windows is a strided view of the image, and the result is the
elementwise maximum of a few such views, which NumPy computes with vector instructions. Few long calls are best,
because only one thread can run between two NumPy calls.
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
    """The maximum of each window and the tap that held it: see :meth:`ReferenceKernels.max_pool`."""
    y = memory.empty((len(x), window.OH, window.OW, x.shape[-1]), x.dtype)
    argmax = memory.empty(y.shape, argmax_dtype(np, window))
    first, last = (bound.astype(argmax.dtype) for bound in taps_inside(np, window))

    def one(n: int) -> None:
        pool_taps(_taps(pad(np, x[n : n + 1], window, -np.inf)[0], window), y[n], argmax[n])
        if window.padded:  # the tap may be on the padding where the window holds only -inf, or NaN
            np.clip(argmax[n], first, last, out=argmax[n])

    threads.for_each(one, range(len(x)), y.size * window.KH * window.KW)
    return y, argmax


def max_pool_backward(dy: Array, argmax: Array, window: Window) -> Array:
    """The gradient with respect to the input: see :meth:`ReferenceKernels.max_pool_backward`."""
    dx = memory.empty((len(dy), *window.padded_size, dy.shape[-1]), dy.dtype)

    def one(n: int) -> None:
        if not window.covers_once:  # some pixels are in no window, or in several
            dx[n] = 0
        unpool_taps(dy[n], argmax[n], _taps(dx[n], window), window.overlaps)

    threads.for_each(one, range(len(dy)), dy.size * window.KH * window.KW)
    return dx[window.inside]


def pool_taps(taps: Sequence[Array], y: Array, argmax: Array | None) -> None:
    """Write the maximum of the taps, arrays like y, to y, and its tap to ``argmax``, if that is not None."""
    np.maximum(taps[0], taps[-1], out=y)
    for tap in taps[1:-1]:
        np.maximum(y, tap, out=y)
    if argmax is not None:
        _first_equal(taps, y, argmax)


def _first_equal(taps: Sequence[Array], y: Array, number: Array) -> None:
    """Write the index of the first tap that equals y to ``number``, by counting the taps before it."""
    number[...] = 0
    missing = np.ones(y.shape, np.bool_)
    for tap in taps[:-1]:  # if none of these equals y, the last one does
        missing &= np.not_equal(tap, y)
        number += missing
    if y.size and math.isnan(y.max()):  # NaN equals no tap
        for index in reversed(range(len(taps))):
            np.putmask(number, np.isnan(taps[index]), index)


def unpool_taps(dy: Array, argmax: Array, taps: Sequence[Array], overlap: bool) -> None:
    """Write dy to the tap that held the maximum and 0 to the others; add instead if the taps share pixels."""
    for number, tap in enumerate(taps):
        here = argmax == number
        if overlap:
            tap += keep_where(here, dy)
        else:
            keep_where(here, dy, out=tap)


def _taps(image: Array, window: Window) -> list[Array]:
    """For every tap, a view (OH, OW, C) of its pixels in a padded image (H, W, C)."""
    return [image[window.under_tap(kh, kw)[1:]] for kh, kw in window.taps()]
