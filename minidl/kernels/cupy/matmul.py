"""A matrix product that can be captured in a CUDA graph, which CuPy does not allow for cuBLAS: see matmul.cu."""

from typing import Any

import numpy as np

from .reduce import sum_rows
from .source import kernel, name_of, packed
from .tiles import TILE_THREADS, parts_in, tiles_in

Array = Any

LEAST_DEPTH = 256
"""Minimum number of products per partial sum."""


def matmul(xp: Any, a: Array, b: Array, tensor_cores: bool) -> Array:
    """The product of matrices (rows, depth) and (depth, columns), summed in an order that depends only on the sizes.

    A transposed left matrix, as in weight gradients, is read without a copy.
    """
    (rows, depth), columns = a.shape, b.shape[1]
    if not rows * columns * depth:
        return xp.zeros((rows, columns), a.dtype)
    transposed = a.T.flags.c_contiguous and not a.flags.c_contiguous
    tiles = tiles_in(rows, columns)
    parts = parts_in(tiles, depth, LEAST_DEPTH)
    sums = xp.empty((parts, rows * columns) if parts > 1 else (rows, columns), a.dtype)
    name = name_of("matmul", a.dtype, tensor_cores, transposed)
    inputs = packed(xp, a.T if transposed else a), packed(xp, b)
    sizes = map(np.int32, (rows, depth, columns))
    kernel(xp, "matmul.cu", name)((tiles, parts), (TILE_THREADS,), (*inputs, sums, *sizes))
    return sum_rows(xp, sums, (rows, columns)) if parts > 1 else sums
