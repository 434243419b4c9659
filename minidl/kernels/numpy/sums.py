"""Sums over leading axes, as exact as those along the last axis.

NumPy adds pairwise along the last axis, where rounding errors hardly grow with the length. Over all other axes it adds
one element after another, and a float32 sum of millions of equal values ends up some percent off, because each addition
is rounded relative to the running sum. Here a few neighbours are added at a time, then their sums, and so on. It is
also faster: many short rows are treated as few long ones. (Higham, "The Accuracy of Floating Point Summation", 1993.)
"""

from itertools import groupby
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import threads

Array = NDArray[Any]

FEW = 512
"""Elements that may be added sequentially: at worst, the error is some units in the sixth digit."""
TOGETHER = 16
"""Rows that are added at a time."""
SHORT = 32
"""Up to this many rows, one round is enough."""
RUN = 4096
"""Elements of a row that is long enough for full speed and fits into a first-level cache."""
PRODUCTS = 256
"""Rows in one product with ones."""


def sum_over(x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """``x.sum(axis=axes, keepdims=keepdims)``, for non-negative axes.

    >>> x = np.full((1 << 20, 2), 0.1, np.float32)
    >>> x.sum(axis=0)[0] / (len(x) * x[0, 0]) < 1.01  # NumPy's
    np.True_
    >>> round(float(sum_over(x, (0,))[0] / (len(x) * x[0, 0])), 6)
    1.0
    """
    if x.size <= FEW or not _is_long(x, axes):
        return x.sum(axis=axes, keepdims=keepdims)  # type: ignore[no-any-return]
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))  # the order in memory
    groups = [
        (reduced, prod(x.shape[axis] for axis in group))
        for reduced, group in groupby(order, lambda axis: axis in axes)  # adjacent axes of one kind are merged
    ]
    y = x.transpose(order)
    for i, (reduced, size) in reversed(list(enumerate(groups))):
        if reduced:
            inner = prod(length for still, length in groups[i + 1 :] if not still)
            y = _sum_middle(y.reshape(-1, size, inner))
    kept = [axis for axis in order if axis not in axes]
    y = y.reshape([x.shape[axis] for axis in kept]).transpose(np.argsort(kept))
    return np.expand_dims(y, axes) if keepdims else y


def _is_long(x: Array, axes: tuple[int, ...]) -> bool:
    """Whether NumPy would add many floats sequentially."""
    if x.dtype.kind != "f" or prod([x.shape[axis] for axis in axes]) <= FEW:
        return False
    return min(axes) < x.ndim - len(axes) or not x.flags.c_contiguous


def _sum_middle(x: Array) -> Array:
    """The sum (outer, inner) of an array (outer, n, inner)."""
    outer, n, inner = x.shape
    if n <= SHORT:
        short: Array = x.sum(axis=1)
        return short
    run = min(n // TOGETHER, -(-RUN // inner))  # rows that are treated as one
    whole = n - n % (TOGETHER * run)
    sums = x[:, :whole].reshape(-1, TOGETHER, run * inner).sum(axis=1)
    return _sum_middle(sums.reshape(outer, -1, inner)) + _sum_middle(x[:, whole:])


def sum_to_channels(dy: Array) -> Array:
    """The sum (C,) over images and pixels, image by image."""
    sums = np.empty((len(dy), dy.shape[-1]), dy.dtype)

    def one(n: int) -> None:
        sums[n] = sum_rows(dy[n])

    threads.for_each(one, range(len(dy)), dy.size)
    return np.asarray(sum_over(sums, (0,)))


def sum_rows(images: Array) -> Array:
    """The sum (C,) over the pixels of images (..., C): a product with ones, which BLAS computes at full speed.

    BLAS adds sequentially, so many rows are treated as few long ones, which makes the sums short.
    """
    C = images.shape[-1]
    rows = images.reshape(-1, C)
    run = min(len(rows) // PRODUCTS, RUN // C)
    if run < 2:
        return _product(rows)
    whole = len(rows) - len(rows) % run
    sums = _product(rows[:whole].reshape(-1, run * C)).reshape(run, C)
    return np.asarray(sums.sum(axis=0) + rows[whole:].sum(axis=0))


def _product(rows: Array) -> Array:
    return np.asarray(np.dot(np.ones(len(rows), rows.dtype), rows))  # releases the GIL; @ does not
