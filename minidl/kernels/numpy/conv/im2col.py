"""Convolution as one matrix product: im2col.

Every window of the image is copied into one row of KH KW C elements. The convolution is then the product of this
matrix of "columns" with the weights as a (KH KW C, K) matrix, which BLAS computes at full speed (Chellapilla, Puri and
Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006).

The matrix has KH KW times the size of the image. It is never stored as a whole: it is made for a few output rows at a
time, in scratch memory that stays in cache.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .... import plugins, threads
from ...conv.algorithm import ConvSpec
from .per_chunk import Columns, PerChunk

Array = NDArray[Any]

COLUMNS_BYTES = 1 << 20
"""Size of the columns that are made at a time."""


@plugins.register("conv_algorithm", "im2col")
class Im2col(PerChunk):
    """A matrix of windows times a matrix of weights."""

    def scratch_size(self, images: int, spec: ConvSpec) -> int:
        """The columns of a strip, and a product of the size of the weights."""
        window, first = spec.window, _strips(spec)[0]
        return window.KH * window.KW * spec.C * (len(range(window.OH)[first]) * window.OW + spec.K)

    def transformed_weights(self, w: Array, spec: ConvSpec) -> Array:
        """The weights as a matrix (KH KW C, K)."""
        return w.reshape(-1, spec.K)

    def forward_chunk(self, x: Array, weights: Array, spec: ConvSpec, y: Array, columns: Columns) -> None:
        for image, result in zip(x, y, strict=True):
            windows = _windows(image, spec)
            for rows in _strips(spec):
                np.matmul(_matrix(windows[rows], spec, columns), weights, out=result[rows].reshape(-1, spec.K))

    def input_gradient_chunk(
        self, transformed_dy: Array, weights: Array, spec: ConvSpec, dx: Array, columns: Columns
    ) -> None:
        window = spec.window
        dx[...] = 0
        for dy, image in zip(transformed_dy, dx, strict=True):
            for rows in _strips(spec):
                height = rows.stop - rows.start
                matrix = threads.scratch("columns", (height * window.OW, len(weights)), dy.dtype)
                np.matmul(dy[rows].reshape(-1, spec.K), weights.T, out=matrix)
                taps = matrix.reshape(height, window.OW, window.KH, window.KW, spec.C)
                for kh, kw in window.taps():  # col2im: every element goes back to its pixel
                    _, down, across = window.under_tap(kh, kw)
                    pixels = image[down, across][rows]
                    for stored, column in columns:
                        pixels[:, column] += taps[:, stored, kh, kw]
                del matrix, taps  # gives the scratch memory back

    def weight_gradient_chunk(
        self, x: Array, transformed_dy: Array, spec: ConvSpec, dw: Array, columns: Columns
    ) -> None:
        total = dw.reshape(-1, spec.K)
        product = threads.scratch("product", total.shape, dw.dtype)
        for image, dy in zip(x, transformed_dy, strict=True):
            windows = _windows(image, spec)
            for rows in _strips(spec):
                # Not matmul, which holds the GIL where the result is small.
                np.dot(_matrix(windows[rows], spec, columns).T, dy[rows].reshape(-1, spec.K), out=product)
                total += product


def _windows(image: Array, spec: ConvSpec) -> Array:
    """All windows of an image as a view (OH, OW, KH, KW, C); nothing is copied."""
    window = spec.window
    down, across, channel = image.strides
    shape = (window.OH, window.OW, window.KH, window.KW, spec.C)
    return as_strided(image, shape, (window.SH * down, window.SW * across, down, across, channel), writeable=False)


def _matrix(windows: Array, spec: ConvSpec, columns: Columns) -> Array:
    """Windows (rows, OW, KH, KW, C) copied into a matrix (rows OW, KH KW C), in the order of ``columns``.

    With one channel, the copy goes tap by tap: in the transposed matrix these are long runs of neighbouring pixels,
    while a row of the matrix would be gathered from runs of KW elements.
    """
    if spec.C == 1:
        planes = windows[..., 0].transpose(2, 3, 0, 1)
        copied = threads.scratch("columns", planes.shape, windows.dtype)
        for stored, column in columns:
            copied[..., stored] = planes[..., column]
        return copied.reshape(spec.window.KH * spec.window.KW, -1).T
    copied = threads.scratch("columns", windows.shape, windows.dtype)
    for stored, column in columns:
        copied[:, stored] = windows[:, column]
    return copied.reshape(-1, spec.window.KH * spec.window.KW * spec.C)


def _strips(spec: ConvSpec) -> list[slice]:
    """The output rows in strips of about equal height whose columns fit into ``COLUMNS_BYTES``."""
    window = spec.window
    row = window.OW * window.KH * window.KW * spec.C * spec.dtype.itemsize
    count = -(-window.OH * row // COLUMNS_BYTES)
    return threads.chunks(window.OH, -(-window.OH // min(count, window.OH)))
