"""Convolution with half the multiplications: Winograd's F(4, 3), down the rows.

Four output rows of a kernel of three rows depend on six input rows. Computed separately, they take 4 x 3 products of a
row with a row of weights; F(4, 3) takes 6 (see :mod:`minidl.kernels.conv.cook_toom`)::

    V = B^T x      six sums of the six input rows                             (6, W, C)
    U = G w        six sums of the three rows of weights                      (6, KW C, K)
    M = V U        six matrix products, over channels and horizontal taps     (6, OW, K)
    y = A^T M      four sums of the six products: the output rows             (4, OW, K)

The horizontal taps are copied side by side, as in im2col, but KW times instead of KH KW times. The gradients are the
transposed steps in reverse order: D = A dy, dw = G^T (V^T D), dx = B (D U^T). Rounding errors are a few times as large
as with im2col, and relative to the largest value in a tile; a NaN or infinity makes the tile's four output rows NaN
(docs/convolution/accuracy.md; ``using(conv_algorithm="im2col")`` avoids it). docs/convolution/winograd.md derives it.

Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks" (2016).
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .... import plugins, threads
from ...conv.algorithm import ConvSpec
from ...conv.cook_toom import transforms
from .per_chunk import Columns, PerChunk

Array = NDArray[Any]

OUTPUTS, TAPS, POINTS = 4, 3, 6
"""F(4, 3): output rows of a tile, rows of the kernel, and products (also the number of input rows of a tile)."""

AT = (0.0, 5 / 8, -5 / 8, 13 / 8, -13 / 8)
"""The points of the Cook-Toom method, in addition to infinity. Of all symmetric points in eighths, these gave the
smallest rounding errors, a third less than 1, -1, 2, -2. Barabasz, Anderson, Soodhalter and Gregg, "Error Analysis and
Improving the Accuracy of Winograd Convolution for Deep Neural Networks" (2020), show that such a search pays."""


@plugins.register("conv_algorithm", "winograd")
class Winograd(PerChunk):
    """F(4, 3) down the rows, for kernels of three rows and stride 1."""

    def supports(self, spec: ConvSpec) -> bool:
        window = spec.window
        return super().supports(spec) and (window.KH, window.SH, window.SW) == (TAPS, 1, 1)

    def scratch_size(self, images: int, spec: ConvSpec) -> int:
        """At the six points: products, taps side by side, rows and their sums; also dU and dw."""
        KW = spec.window.KW
        rows = images * -(-spec.window.OH // OUTPUTS) * spec.window.OW
        return POINTS * rows * (spec.K + (KW + 2) * spec.C) + (POINTS + TAPS) * KW * spec.C * spec.K

    def transformed_weights(self, w: Array, spec: ConvSpec) -> Array:
        """U (6, KW C, K)"""
        _, G, _ = transforms(OUTPUTS, TAPS, spec.dtype, AT)
        return (G @ w.reshape(TAPS, -1)).reshape(POINTS, -1, spec.K)

    def transformed_dy(self, dy: Array, spec: ConvSpec) -> Array:
        """D = A dy: (6, n, tiles, OW, K)"""
        A_T, _, _ = transforms(OUTPUTS, TAPS, spec.dtype, AT)
        D = _at_points("winograd products", len(dy), spec, spec.K)
        for tiles, rows in _tiles(dy, spec, OUTPUTS):
            np.matmul(A_T[: rows.shape[2]].T, rows, out=_tilewise(D)[:, tiles])
        return D

    def forward_chunk(self, x: Array, weights: Array, spec: ConvSpec, y: Array, columns: Columns) -> None:
        A_T, _, _ = transforms(OUTPUTS, TAPS, spec.dtype, AT)
        M = _at_points("winograd products", len(x), spec, spec.K)
        np.matmul(_matrices(_transformed_taps(x, spec, columns)), weights, out=_matrices(M))
        for tiles, rows in _tiles(y, spec, OUTPUTS):
            np.matmul(A_T[: rows.shape[2]], _tilewise(M)[:, tiles], out=rows)

    def input_gradient_chunk(
        self, transformed_dy: Array, weights: Array, spec: ConvSpec, dx: Array, columns: Columns
    ) -> None:
        window = spec.window
        _, _, B_T = transforms(OUTPUTS, TAPS, spec.dtype, AT)
        side_by_side = _at_points("winograd taps", len(dx), spec, window.KW * spec.C)
        np.matmul(_matrices(transformed_dy), weights.transpose(0, 2, 1), out=_matrices(side_by_side))
        dV = threads.scratch("winograd rows", (*transformed_dy.shape[:3], *dx.shape[2:]), spec.dtype)
        dV[...] = 0
        taps = side_by_side.reshape(*transformed_dy.shape[:4], window.KW, spec.C)
        for kw, (stored, column) in itertools.product(range(window.KW), columns):
            # every element goes back to its pixel
            dV[:, :, :, kw:][:, :, :, column] += taps[:, :, :, stored, kw]
        dx[...] = 0
        for tiles, rows in _tiles(dx, spec, POINTS):
            sums = threads.scratch("winograd sums", rows.shape, spec.dtype)
            np.matmul(B_T[:, : rows.shape[2]].T, _tilewise(dV)[:, tiles], out=sums)
            for tile in range(rows.shape[1]):
                rows[:, tile] += sums[:, tile]  # one at a time, because neighbouring tiles share two rows
            del sums  # gives its scratch memory back

    def weight_gradient_chunk(
        self, x: Array, transformed_dy: Array, spec: ConvSpec, dw: Array, columns: Columns
    ) -> None:
        _, G, _ = transforms(OUTPUTS, TAPS, spec.dtype, AT)
        V = _transformed_taps(x, spec, columns)
        dU = threads.scratch("winograd dU", (POINTS, V.shape[-1], spec.K), spec.dtype)
        np.matmul(_matrices(V).transpose(0, 2, 1), _matrices(transformed_dy), out=dU)
        back = threads.scratch("winograd dw", dw.shape, spec.dtype)
        np.matmul(G.T, dU.reshape(POINTS, -1), out=back.reshape(TAPS, -1))
        dw += back


def _transformed_taps(x: Array, spec: ConvSpec, columns: Columns) -> Array:
    """V = B^T x, horizontal taps side by side: (6, n, tiles, OW, KW C)."""
    _, _, B_T = transforms(OUTPUTS, TAPS, spec.dtype, AT)
    side_by_side = _at_points("winograd taps", len(x), spec, spec.window.KW * spec.C)
    V = threads.scratch("winograd rows", (*side_by_side.shape[:3], *x.shape[2:]), spec.dtype)
    for tiles, rows in _tiles(x, spec, POINTS):
        np.matmul(B_T[:, : rows.shape[2]], rows, out=_tilewise(V)[:, tiles])
    windows = as_strided(V, side_by_side.shape, V.strides, writeable=False)
    for stored, column in columns:
        side_by_side[:, :, :, stored] = windows[:, :, :, column]
    return side_by_side


def _at_points(name: str, images: int, spec: ConvSpec, length: int) -> Array:
    """Scratch memory for ``length`` elements at every point, image, tile and output column."""
    tiles = -(-spec.window.OH // OUTPUTS)
    return threads.scratch(name, (POINTS, images, tiles, spec.window.OW, length), spec.dtype)


def _matrices(transformed: Array) -> Array:
    """A transformed array as six matrices, with one row per column of every tile."""
    return transformed.reshape(POINTS, -1, transformed.shape[-1])


def _tilewise(transformed: Array) -> Array:
    """A transformed array as a small matrix for every image and tile: (n, tiles, 6, elements in a row)."""
    return transformed.reshape(*transformed.shape[:3], -1).transpose(1, 2, 0, 3)


def _tiles(images: Array, spec: ConvSpec, height: int) -> Iterator[tuple[slice, Array]]:
    """The rows of images in each tile, as a view (n, tiles, height, elements in a row).

    If the last tile reaches beyond the images, it is yielded separately, with the remaining rows.
    """
    rows = images.reshape(*images.shape[:2], -1)
    image, row, number = rows.strides
    total = -(-spec.window.OH // OUTPUTS)
    whole = min((rows.shape[1] - height) // OUTPUTS + 1, total)
    if whole > 0:
        shape = (len(rows), whole, height, rows.shape[2])
        yield slice(0, whole), as_strided(rows, shape, (image, OUTPUTS * row, row, number))
    if whole < total:
        yield slice(whole, total), rows[:, None, whole * OUTPUTS :]
