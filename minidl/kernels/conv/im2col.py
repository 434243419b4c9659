"""Convolution as one matrix product: im2col.

Every window of the image is written out as one row of KH KW C numbers; the convolution is then the product of this
matrix of "columns" with the weights as a (KH KW C, K) matrix, which BLAS does at full speed (Chellapilla, Puri and
Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006).

The matrix has KH KW times the size of the image. It never exists as a whole: it is made for a few output rows at a
time, in scratch memory that stays in cache, on all threads.
"""

from typing import Any

from ... import plugins
from ..window import pad
from .algorithm import ConvAlgorithm, ConvSpec

Array = Any

MOST_PARTIAL_SUMS = 16
"""The weight gradient is summed in at most this many parts, which depend on the batch size alone."""


@plugins.register("conv_algorithm", "im2col")
class Im2col(ConvAlgorithm):
    """Rows of windows times a matrix of weights."""

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        xp, backend = self.xp, self.backend
        windows = self._windows(x, spec)
        filters = w.reshape(-1, spec.K)
        y = backend.empty(spec.output_shape, x.dtype)

        def convolve(n: int) -> None:
            for rows in self._strips(spec):
                part = y[n, rows].reshape(-1, spec.K)
                xp.matmul(self._columns(windows[n, rows], spec), filters, out=part)
                if b is not None:
                    part += b

        backend.for_each(convolve, range(spec.N))
        return y, None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        xp, backend, window = self.xp, self.backend, spec.window
        filters = w.reshape(-1, spec.K).T
        dx = backend.empty((spec.N, *window.padded_size, spec.C), dy.dtype)

        def spread(n: int) -> None:
            dx[n] = 0
            for rows in self._strips(spec):
                size = rows.stop - rows.start
                columns = backend.scratch("columns", (size * window.OW, filters.shape[1]), dy.dtype)
                xp.matmul(dy[n, rows].reshape(-1, spec.K), filters, out=columns)
                taps = columns.reshape(size, window.OW, window.KH, window.KW, spec.C)
                first = rows.start * window.SH
                below = dx[n : n + 1, first:]
                for kh, kw in window.taps():  # col2im: each number goes back to the pixel it came from
                    _, _, across = window.under_tap(kh, kw)
                    down = slice(kh, kh + window.SH * (size - 1) + 1, window.SH)
                    below[0, down, across] += taps[:, :, kh, kw]

        backend.for_each(spread, range(spec.N))
        return dx[window.inside]

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        xp, backend, window = self.xp, self.backend, spec.window
        windows = self._windows(x, spec)
        parts = min(spec.N, MOST_PARTIAL_SUMS)
        shape = (window.KH * window.KW * spec.C, spec.K)
        sums = xp.zeros((parts, *shape), dy.dtype)

        def collect(part: int) -> None:
            product = backend.scratch("product", shape, dy.dtype)
            for n in range(part, spec.N, parts):
                for rows in self._strips(spec):
                    columns = self._columns(windows[n, rows], spec)
                    xp.matmul(columns.T, dy[n, rows].reshape(-1, spec.K), out=product)
                    sums[part] += product

        backend.for_each(collect, range(parts))
        return sums.sum(axis=0).reshape(window.KH, window.KW, spec.C, spec.K)

    def _windows(self, x: Array, spec: ConvSpec) -> Array:
        """All windows as a view (N, OH, OW, KH, KW, C) of the padded images: no number is copied."""
        window = spec.window
        view = self.xp.lib.stride_tricks.sliding_window_view(
            pad(self.xp, x, window), (window.KH, window.KW), axis=(1, 2)
        )
        return view[:, :: window.SH, :: window.SW].transpose(0, 1, 2, 4, 5, 3)

    def _columns(self, windows: Array, spec: ConvSpec) -> Array:
        """Windows (rows, OW, KH, KW, C) copied into a matrix (rows OW, KH KW C).

        With one channel the copy goes tap by tap: shifted planes, the transpose of the matrix, are long runs of
        neighbouring pixels, where the rows of the matrix would be gathered from runs of KW numbers.
        """
        if spec.C == 1:
            planes = windows[..., 0].transpose(2, 3, 0, 1)
            copied = self.backend.scratch("columns", planes.shape, windows.dtype)
            copied[...] = planes
            return copied.reshape(spec.window.KH * spec.window.KW, -1).T
        copied = self.backend.scratch("columns", windows.shape, windows.dtype)
        copied[...] = windows
        return copied.reshape(-1, spec.window.KH * spec.window.KW * spec.C)

    def _strips(self, spec: ConvSpec) -> list[slice]:
        """The output rows of an image in strips whose columns fit into ``backend.scratch_bytes``."""
        window = spec.window
        row = window.OW * window.KH * window.KW * spec.C * spec.dtype.itemsize
        most = max(1, self.backend.scratch_bytes // row)
        strips = -(-window.OH // most)
        size = -(-window.OH // strips)
        return [slice(start, min(start + size, window.OH)) for start in range(0, window.OH, size)]
