"""Matrix products on all threads, split so that the sums do not depend on the number of threads."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import threads
from . import memory

Array = NDArray[Any]

COLUMNS = 128
"""Columns of the result per piece of work: wide enough for BLAS to reach full speed."""
LENGTH = 1 << 12
"""Elements per piece of a product of vectors."""


def matmul(a: Array, b: Array) -> Array:
    """``a @ b``; two large matrices are multiplied in strips of rows or columns of the result.

    The product of two long vectors is computed piece by piece, because BLAS would add the products sequentially. In a
    product with a matrix, even one of a single row, BLAS chooses the order of summation.
    """
    if a.ndim == b.ndim == 1 and len(a) == len(b) > LENGTH:
        whole = len(a) - len(a) % LENGTH
        pieces = np.vecdot(a[:whole].reshape(-1, LENGTH), b[:whole].reshape(-1, LENGTH))
        return np.asarray(pieces.sum() + np.dot(a[whole:], b[whole:]))
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] * a.shape[1] * b.shape[1] < threads.SMALL:
        return np.asarray(np.matmul(a, b))
    y = memory.empty((a.shape[0], b.shape[1]), np.result_type(a, b))
    if a.shape[0] > b.shape[1]:

        def rows(strip: slice) -> None:
            np.matmul(a[strip], b, out=y[strip])

        threads.for_each(rows, threads.chunks(a.shape[0], COLUMNS))
        return y

    def columns(strip: slice) -> None:
        np.matmul(a, b[:, strip], out=y[:, strip])

    threads.for_each(columns, threads.chunks(b.shape[1], COLUMNS))
    return y
