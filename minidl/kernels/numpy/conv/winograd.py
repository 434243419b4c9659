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
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .... import plugins, threads
from ...conv.algorithm import ConvSpec
from ...conv.cook_toom import transforms
from .per_chunk import Columns, PerChunk

Array = NDArray[Any]

OUTPUTS, TAPS, POINTS = 4, 3, 6
"""F(4, 3): output rows of a tile, rows of the kernel, and products, which are also the input rows of a tile."""
STRIP_BYTES = 1 << 22
"""Memory of the transformed input rows that are made at a time."""


@plugins.register("conv_algorithm", "winograd")
class Winograd(PerChunk):
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
            V = _transformed_taps(x, spec, strip, columns)
            M = _at_points("winograd products", spec, len(x), strip, spec.K)
            np.matmul(_matrices(V), filters, out=_matrices(M))
            for tiles, rows in _runs(y, strip, OUTPUTS):
                np.matmul(A_T[: rows.shape[2]], _tilewise(M)[:, tiles], out=rows)

    def spread(self, dy: Array, filters: Array, spec: ConvSpec, dx: Array, columns: Columns) -> None:
        window, width = spec.window, spec.window.padded_size[1]
        _, _, B_T = transforms(OUTPUTS, TAPS, spec.dtype)
        dx[...] = 0
        for strip in _strips(spec):
            D = _transformed_gradient(dy, spec, strip)
            taps = _at_points("winograd taps", spec, len(dy), strip, window.KW * spec.C)
            np.matmul(_matrices(D), filters.transpose(0, 2, 1), out=_matrices(taps))
            dV = threads.scratch("winograd input", (*taps.shape[:3], width, spec.C), spec.dtype)
            dV[...] = 0
            parts = taps.reshape(*taps.shape[:4], window.KW, spec.C)
            for kw, (stored, column) in itertools.product(range(window.KW), columns):
                # every number goes back to the pixel that it came from
                dV[:, :, :, kw : kw + window.OW][:, :, :, column] += parts[:, :, :, stored, kw]
            for tiles, rows in _runs(dx, strip, POINTS):
                sums = B_T[:, : rows.shape[2]].T @ _tilewise(dV)[:, tiles]
                for tile in range(rows.shape[1]):
                    rows[:, tile] += sums[:, tile]  # one after the other: neighbouring tiles share two rows

    def correlate(self, x: Array, dy: Array, spec: ConvSpec, dw: Array, columns: Columns) -> None:
        _, G, _ = transforms(OUTPUTS, TAPS, spec.dtype)
        dU = threads.scratch("winograd weights", (POINTS, spec.window.KW * spec.C, spec.K), spec.dtype)
        for strip in _strips(spec):
            V, D = _transformed_taps(x, spec, strip, columns), _transformed_gradient(dy, spec, strip)
            np.matmul(_matrices(V).transpose(0, 2, 1), _matrices(D), out=dU)
            dw += (G.T @ dU.reshape(POINTS, -1)).reshape(dw.shape)


def _transformed_taps(x: Array, spec: ConvSpec, strip: range, columns: Columns) -> Array:
    """V = B^T x of the tiles of a strip, horizontal taps side by side: (6, n, tiles, OW, KW C)."""
    window = spec.window
    _, _, B_T = transforms(OUTPUTS, TAPS, spec.dtype)
    V = threads.scratch("winograd input", (POINTS, len(x), len(strip), *x.shape[2:]), spec.dtype)
    for tiles, rows in _runs(x, strip, POINTS):
        np.matmul(B_T[:, : rows.shape[2]], rows, out=_tilewise(V)[:, tiles])
    side_by_side = _at_points("winograd taps", spec, len(x), strip, window.KW * spec.C)
    windows = as_strided(V, side_by_side.shape, V.strides, writeable=False)
    for stored, column in columns:
        side_by_side[:, :, :, stored] = windows[:, :, :, column]
    return side_by_side


def _transformed_gradient(dy: Array, spec: ConvSpec, strip: range) -> Array:
    """D = A dy of the tiles of a strip: (6, n, tiles, OW, K)."""
    A_T, _, _ = transforms(OUTPUTS, TAPS, spec.dtype)
    D = _at_points("winograd products", spec, len(dy), strip, spec.K)
    for tiles, rows in _runs(dy, strip, OUTPUTS):
        np.matmul(A_T[: rows.shape[2]].T, rows, out=_tilewise(D)[:, tiles])
    return D


def _at_points(name: str, spec: ConvSpec, images: int, strip: range, length: int) -> Array:
    """Scratch memory for ``length`` numbers at every point, image, tile and output column."""
    return threads.scratch(name, (POINTS, images, len(strip), spec.window.OW, length), spec.dtype)


def _matrices(transformed: Array) -> Array:
    """A transformed array as six matrices, with a row for every column of every tile."""
    return transformed.reshape(POINTS, -1, transformed.shape[-1])


def _tilewise(transformed: Array) -> Array:
    """A transformed array as a small matrix for every image and tile: (n, tiles, 6, numbers in a row)."""
    return transformed.reshape(*transformed.shape[:3], -1).transpose(1, 2, 0, 3)


def _runs(images: Array, strip: range, height: int) -> Iterator[tuple[slice, Array]]:
    """The rows of images that each tile of a strip is about: (n, tiles, height, numbers in a row), a view.

    Where the last tile reaches beyond the images it comes alone, with the rows that there are.
    """
    rows = images.reshape(*images.shape[:2], -1)
    image, row, number = rows.strides
    tiles = np.array(strip)
    whole = int(np.count_nonzero(tiles * OUTPUTS + height <= rows.shape[1]))
    for part in (slice(0, whole), slice(whole, len(strip))):
        count = part.stop - part.start
        if count:
            first = strip[part.start] * OUTPUTS
            shape = (len(rows), count, min(height, rows.shape[1] - first), rows.shape[2])
            yield part, as_strided(rows[:, first:], shape, (image, OUTPUTS * row, row, number))


def _strips(spec: ConvSpec) -> list[range]:
    """All tiles, in strips whose transformed taps take about ``STRIP_BYTES``."""
    window = spec.window
    tiles = -(-window.OH // OUTPUTS)
    tile = POINTS * window.OW * window.KW * spec.C * spec.dtype.itemsize
    count = min(-(-tiles * tile // STRIP_BYTES), tiles)
    return [range(tiles)[part] for part in threads.chunks(tiles, -(-tiles // count))]
