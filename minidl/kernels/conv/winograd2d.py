"""Convolution with 4/9 of the multiplications: Winograd's F(2 x 2, 3 x 3), as in the paper of Lavin and Gray.

A tile of 2 x 2 outputs sees 4 x 4 inputs, and takes 4 x 4 products where the definition takes 4 x 9::

    V = B^T x B      U = G w G^T      M = V U, summed over the channels      y = A^T M A

For every one of the 16 points, M is a matrix product over all tiles of the batch. The gradients are the same steps
transposed, in reverse order: dM = A dy A^T, dw = G^T (V^T dM) G, dx = B (dM U^T) B^T. docs/convolution/winograd2d.md
derives it, and says why :mod:`minidl.kernels.numpy.conv.winograd` is faster. Rounding errors are relative to the
largest number in a tile, and NaN and infinity give NaN for its four outputs (docs/convolution/accuracy.md).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016).
"""

from typing import Any

from ... import plugins
from ..window import Window, pad, sliding_window
from .algorithm import ConvAlgorithm, ConvSpec
from .cook_toom import transforms

Array = Any


@plugins.register("conv_algorithm", "winograd2d")
class Winograd2D(ConvAlgorithm):
    """F(2 x 2, 3 x 3), for kernels of 3 x 3 and stride 1.

    >>> import numpy as np, minidl as md
    >>> x, w = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2))
    >>> md.nn.functional.conv2d(x, w, algorithm="winograd2d").shape
    (1, 2, 2, 2)
    """

    def supports(self, spec: ConvSpec) -> bool:
        window = spec.window
        return (window.KH, window.KW, window.SH, window.SW) == (3, 3, 1, 1)

    def workspace(self, spec: ConvSpec) -> int:
        """The 16 numbers of all tiles, of images or outputs, three times: as they are, copied and multiplied."""
        return int(3 * 16 * spec.dtype.itemsize * (_count(spec) * max(spec.C, spec.K) + spec.C * spec.K))

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        A_T, G, B_T = self._matrices(spec)
        M = self._both(B_T, self._input_tiles(x, spec)) @ self._both(G, w)
        y = self._from_output_tiles(self._both(A_T, M), spec)
        return (y if b is None else y + b), None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        A_T, G, B_T = self._matrices(spec)
        dM = self._both(A_T.T, self._output_tiles(dy, spec))
        return self._from_input_tiles(self._both(B_T.T, dM @ self._both(G, w).swapaxes(2, 3)), spec)

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        A_T, G, B_T = self._matrices(spec)
        V = self._both(B_T, self._input_tiles(x, spec))
        return self._both(G.T, V.swapaxes(2, 3) @ self._both(A_T.T, self._output_tiles(dy, spec)))

    def _matrices(self, spec: ConvSpec) -> list[Array]:
        """A^T (2, 4), G (4, 3) and B^T (4, 4)."""
        return [self.xp.asarray(matrix) for matrix in transforms(2, 3, spec.dtype)]

    def _both(self, matrix: Array, tiles: Array) -> Array:
        """matrix tile matrix^T, for tiles along the first two axes."""
        for _ in range(2):  # each round multiplies along the second axis and makes it the first
            tiles = self.xp.tensordot(matrix, tiles.swapaxes(0, 1), 1)
        return tiles

    def _input_tiles(self, x: Array, spec: ConvSpec) -> Array:
        """All tiles of the padded images: (4, 4, tiles, C)."""
        tile = _tile(spec)
        whole = self.xp.zeros((spec.N, tile.H, tile.W, spec.C), spec.dtype)
        height, width = spec.window.padded_size
        whole[:, :height, :width] = pad(self.xp, x, spec.window)
        tiles = [whole[tile.under_tap(i, j)].reshape(_count(spec), spec.C) for i, j in tile.taps()]
        return self.xp.stack(tiles).reshape(tile.KH, tile.KW, _count(spec), spec.C)

    def _from_input_tiles(self, tiles: Array, spec: ConvSpec) -> Array:
        """The transpose of :meth:`_input_tiles`: what tiles share adds up, and the padding is cut off."""
        tile = _tile(spec)
        whole = self.xp.zeros((spec.N, tile.H, tile.W, spec.C), spec.dtype)
        for i, j in tile.taps():
            whole[tile.under_tap(i, j)] += tiles[i, j].reshape(spec.N, tile.OH, tile.OW, spec.C)
        return whole[spec.window.inside]

    def _output_tiles(self, dy: Array, spec: ConvSpec) -> Array:
        """An output as tiles (2, 2, tiles, K), with zeros where the last ones reach beyond it."""
        tile = _tile(spec)
        whole = self.xp.zeros((spec.N, 2 * tile.OH, 2 * tile.OW, spec.K), spec.dtype)
        whole[:, : spec.window.OH, : spec.window.OW] = dy
        split = whole.reshape(spec.N, tile.OH, 2, tile.OW, 2, spec.K)
        return split.transpose(2, 4, 0, 1, 3, 5).reshape(2, 2, _count(spec), spec.K)

    def _from_output_tiles(self, tiles: Array, spec: ConvSpec) -> Array:
        """The output (N, OH, OW, K) of which these are the tiles."""
        tile = _tile(spec)
        split = tiles.reshape(2, 2, spec.N, tile.OH, tile.OW, spec.K).transpose(2, 3, 0, 4, 1, 5)
        whole = split.reshape(spec.N, 2 * tile.OH, 2 * tile.OW, spec.K)
        return self.xp.ascontiguousarray(whole[:, : spec.window.OH, : spec.window.OW])


def _tile(spec: ConvSpec) -> Window:
    """The tiles of the input as a window of 4 x 4 that slides by 2."""
    rows, columns = (-(-size // 2) for size in (spec.window.OH, spec.window.OW))
    return sliding_window(2 * rows + 2, 2 * columns + 2, 4, 2, 0)


def _count(spec: ConvSpec) -> int:
    """The number of tiles in the batch."""
    tile = _tile(spec)
    return spec.N * tile.OH * tile.OW
