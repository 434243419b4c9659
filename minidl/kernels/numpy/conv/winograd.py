"""Convolution with half the multiplications: Winograd's F(4, 3), down the rows.

Four output rows under a kernel of three rows see six input rows. Computed one by one they take 4 x 3 products of a row
with a row of weights; F(4, 3) takes 6 (see :mod:`minidl.kernels.conv.cook_toom`)::

    V = B^T x      six sums of the six input rows                             (6, W, C)
    U = G w        six sums of the three rows of weights                      (6, KW C, K)
    M = V U        six matrix products, over channels and horizontal taps     (6, OW, K)
    y = A^T M      four sums of the six products: the output rows             (4, OW, K)

One dimension is enough: the sums act on whole rows, which are long runs of neighbouring numbers here (NHWC), so that
they are matrix products too, and BLAS does all the work. The horizontal taps are copied side by side, as in im2col, but
KW times instead of KH KW times.

Every step is linear, so the gradients are the same steps transposed and in reverse order::

    D = A dy,    dw = G^T (V^T D),    dx = B (D U^T)

Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks" (2016). The price is a few more rounding errors: about twice those of im2col.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .... import plugins, threads
from ...conv.algorithm import ConvSpec
from ...conv.cook_toom import transforms
from .per_image import Columns, PerImage

Array = NDArray[Any]

OUTPUTS, TAPS, POINTS = 4, 3, 6
"""F(4, 3): output rows of a tile, rows of the kernel, and products, which are also the input rows of a tile."""
STRIP_BYTES = 1 << 22
"""Memory of the transformed input rows that are made at a time."""


@plugins.register("conv_algorithm", "winograd")
class Winograd(PerImage):
    """F(4, 3) down the rows, for kernels of three rows and stride 1."""

    def supports(self, spec: ConvSpec) -> bool:
        window = spec.window
        return super().supports(spec) and (window.KH, window.SH, window.SW) == (TAPS, 1, 1)

    def filters(self, w: Array, spec: ConvSpec) -> Array:
        """U (6, KW C, K)"""
        _, G, _ = transforms(OUTPUTS, TAPS, spec.dtype)
        return (G @ w.reshape(TAPS, -1)).reshape(POINTS, -1, spec.K)

    def convolve(self, x: Array, filters: Array, spec: ConvSpec, y: Array, columns: Columns) -> None:
        A_T, _, _ = transforms(OUTPUTS, TAPS, spec.dtype)
        for strip in _strips(spec):
            M = _rows("winograd products", spec, strip, spec.K)
            np.matmul(_transformed_taps(x, spec, strip, columns), filters, out=M)
            for products, rows in _tiles(M, spec, strip, OUTPUTS, spec.window.OH):
                np.matmul(A_T[: len(y[rows])], products, out=y[rows].reshape(-1, products.shape[1]))

    def spread(self, dy: Array, filters: Array, spec: ConvSpec, dx: Array, columns: Columns) -> None:
        window = spec.window
        width = window.padded_size[1]
        _, _, B_T = transforms(OUTPUTS, TAPS, spec.dtype)
        dx[...] = 0
        for strip in _strips(spec):
            taps = _rows("winograd taps", spec, strip, window.KW * spec.C)
            np.matmul(_transformed_gradient(dy, spec, strip), filters.transpose(0, 2, 1), out=taps)
            dV = threads.scratch("winograd input", (POINTS, len(strip), width, spec.C), spec.dtype)
            dV[...] = 0
            parts = taps.reshape(*dV.shape[:2], window.OW, window.KW, spec.C)
            for kw, (stored, column) in itertools.product(range(window.KW), columns):
                # every number goes back to the pixel that it came from
                dV[:, :, kw : kw + window.OW][:, :, column] += parts[:, :, stored, kw]
            for sums, rows in _tiles(dV, spec, strip, POINTS, len(dx)):
                height = len(dx[rows])
                dx[rows] += (B_T[:, :height].T @ sums).reshape(height, width, -1)  # += : tiles share two rows

    def correlate(self, x: Array, dy: Array, spec: ConvSpec, dw: Array, columns: Columns) -> None:
        _, G, _ = transforms(OUTPUTS, TAPS, spec.dtype)
        dU = threads.scratch("winograd weights", (POINTS, spec.window.KW * spec.C, spec.K), spec.dtype)
        for strip in _strips(spec):
            V, D = _transformed_taps(x, spec, strip, columns), _transformed_gradient(dy, spec, strip)
            np.matmul(V.transpose(0, 2, 1), D, out=dU)
            dw += (G.T @ dU.reshape(POINTS, -1)).reshape(dw.shape)


def _transformed_taps(x: Array, spec: ConvSpec, strip: range, columns: Columns) -> Array:
    """V = B^T x of the tiles of a strip, horizontal taps side by side: (6, tiles OW, KW C)."""
    window = spec.window
    width = x.shape[1]
    _, _, B_T = transforms(OUTPUTS, TAPS, spec.dtype)
    V = threads.scratch("winograd input", (POINTS, len(strip), width, spec.C), spec.dtype)
    for sums, rows in _tiles(V, spec, strip, POINTS, len(x)):
        np.matmul(B_T[:, : len(x[rows])], x[rows].reshape(-1, width * spec.C), out=sums)
    side_by_side = _rows("winograd taps", spec, strip, window.KW * spec.C)
    windows = sliding_window_view(V, window.KW, axis=2).swapaxes(3, 4)
    for stored, column in columns:
        side_by_side.reshape(windows.shape)[:, :, stored] = windows[:, :, column]
    return side_by_side


def _transformed_gradient(dy: Array, spec: ConvSpec, strip: range) -> Array:
    """D = A dy of the tiles of a strip: (6, tiles OW, K)."""
    A_T, _, _ = transforms(OUTPUTS, TAPS, spec.dtype)
    D = _rows("winograd products", spec, strip, spec.K)
    for sums, rows in _tiles(D, spec, strip, OUTPUTS, spec.window.OH):
        np.matmul(A_T[: len(dy[rows])].T, dy[rows].reshape(-1, sums.shape[1]), out=sums)
    return D


def _rows(name: str, spec: ConvSpec, strip: range, length: int) -> Array:
    """Scratch memory for a row of ``length`` numbers at every point, tile and output column."""
    return threads.scratch(name, (POINTS, len(strip) * spec.window.OW, length), spec.dtype)


def _tiles(transformed: Array, spec: ConvSpec, strip: range, height: int, stop: int) -> Iterator[tuple[Array, slice]]:
    """For every tile of a strip: its part (6, numbers) of a transformed array, and the rows of the image it is about.

    The last tile may reach beyond the image; its rows are cut off at ``stop``.
    """
    parts = transformed.reshape(POINTS, len(strip), -1)
    for i, tile in enumerate(strip):
        first = tile * OUTPUTS
        yield parts[:, i], slice(first, min(first + height, stop))


def _strips(spec: ConvSpec) -> list[range]:
    """All tiles, in strips whose transformed taps take about ``STRIP_BYTES``."""
    window = spec.window
    tiles = -(-window.OH // OUTPUTS)
    tile = POINTS * window.OW * window.KW * spec.C * spec.dtype.itemsize
    count = min(-(-tiles * tile // STRIP_BYTES), tiles)
    return [range(tiles)[part] for part in threads.chunks(tiles, -(-tiles // count))]
