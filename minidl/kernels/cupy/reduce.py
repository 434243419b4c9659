"""Deterministic sums: see reduce.cu."""

from typing import Any

from .source import kernel, name_of

Array = Any

LANES, GROUPS = 32, 8
"""The block size of the summing kernels: the number of columns, and the threads per column."""
LEAST_ROWS = 256
"""Minimum number of rows per part: enough to be worth a block."""
MOST_PARTS = 1024
"""Maximum number of parts: a few blocks per multiprocessor. Equal on all GPUs, so the order of summation is fixed."""


def parts_of(rows: int) -> int:
    """The number of parts that ``rows`` are split into.

    >>> parts_of(10), parts_of(1000), parts_of(10**9)
    (1, 3, 1024)
    """
    return max(1, min(rows // LEAST_ROWS, MOST_PARTS))


def sum_rows(xp: Any, x: Array, shape: tuple[int, ...] = ()) -> Array:
    """The sum (columns,) of a matrix (rows, columns) over its rows, reshaped to ``shape`` unless that is empty."""
    parts = parts_of(len(x))
    if parts > 1:
        x = _sum_parts(xp, x, xp.empty((parts, x.shape[1]), x.dtype), parts)
    return _sum_parts(xp, x, xp.empty(shape or x.shape[1:], x.dtype), 1)


def _sum_parts(xp: Any, x: Array, sums: Array, parts: int) -> Array:
    rows, columns = x.shape
    run = kernel(xp, "reduce.cu", name_of("sum_rows", x.dtype))
    run((-(-columns // LANES), parts), (LANES, GROUPS), (x, sums, xp.int64(rows), xp.int32(columns)))
    return sums
