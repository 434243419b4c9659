"""Elementwise kernels: large arrays are processed on all threads, in blocks that fit into a core's cache."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import threads
from . import memory

Array = NDArray[Any]

BLOCK = 1 << 16
"""Elements per block: a few float32 blocks of this size fit into a second-level cache of 1 MiB."""

_INTEGERS = {size: np.dtype(f"i{size}") for size in (2, 4, 8)}
"""The integer dtypes by their size in bytes."""


def for_blocks(formula: Callable[..., object], *arrays: Array) -> None:
    """Call ``formula(*blocks)`` for matching blocks of arrays of one shape, which the formula changes in place.

    If the formula is elementwise, the result is that of ``formula(*arrays)``.

    >>> x, y = np.arange(4.0), np.zeros(4)
    >>> for_blocks(lambda x, y: np.multiply(x, 2, out=y), x, y)
    >>> y
    array([0., 2., 4., 6.])
    """
    size = arrays[0].size
    if size <= BLOCK or not all(array.flags.c_contiguous for array in arrays):
        formula(*arrays)
        return
    flat = [array.reshape(-1) for array in arrays]
    threads.for_each(lambda block: formula(*(array[block] for array in flat)), threads.chunks(size, BLOCK))


def relu(x: Array) -> Array:
    """``max(x, 0)``."""
    y = _empty_like(x)
    for_blocks(lambda x, y: np.maximum(x, 0, out=y), x, y)
    return y


def _empty_like(x: Array) -> Array:
    """``numpy.empty_like``, which keeps the order of the axes in memory."""
    return memory.empty(x.shape, x.dtype) if x.flags.c_contiguous else np.empty_like(x)


def relu_backward(dy: Array, y: Array) -> Array:
    """``dy`` where ``y > 0``, else 0."""
    dx = _empty_like(y)
    # reshape, because ascontiguousarray adds an axis to a 0-d array
    for_blocks(_keep_where_positive, np.ascontiguousarray(dy).reshape(y.shape), y, dx)
    return dx


def _keep_where_positive(dy: Array, y: Array, dx: Array) -> None:
    keep_where(y > 0, dy, out=dx)


def keep_where(mask: Array, values: Array, out: Array | None = None) -> Array:
    """``np.where(mask, values, 0)``, ten times as fast where the mask is irregular.

    A bitwise AND with all ones keeps an element and with all zeros makes it 0, without a branch per element. (A product
    with the mask would be as fast, but turn masked infinities into NaN.)

    >>> keep_where(np.array([True, False]), np.array([1.5, np.inf]))
    array([1.5, 0. ])
    """
    bits = _INTEGERS.get(values.itemsize)
    if bits is None:  # extended floats
        kept = np.empty_like(values) if out is None else out
        kept[...] = np.where(mask, values, 0)
        return kept
    pattern = np.negative(mask.view(np.int8)).astype(bits)
    masked: Array = np.bitwise_and(values.view(bits), pattern, out=pattern if out is None else out.view(bits))
    return masked.view(values.dtype)
