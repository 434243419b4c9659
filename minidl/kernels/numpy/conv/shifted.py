"""Convolution without columns: matrix products on shifted views of the image.

With stride 1, the pixels that a tap (kh, kw) reads are at a constant offset from the output pixels: kh W + kw pixels in
the flat image (H W, C). So each tap is one matrix product of a slice of the flat image with its weights (C, K), without
a copy. The last KW - 1 products of every row belong to no window; they are dropped or multiplied by 0. NumPy's matrix
products cannot accumulate into their output, so every product is written, then added. docs/convolution/shifted.md
derives it.

Related to kn2row, which shifts the products instead: Vasudevan, Anderson and Gregg, "Parallel Multi Channel Convolution
using General Matrix Multiplication" (2017).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import plugins, threads
from ...conv.algorithm import ConvSpec
from .per_chunk import Columns, PerChunk

Array = NDArray[Any]


@plugins.register("conv_algorithm", "shifted")
class Shifted(PerChunk):
    """One matrix product per tap, on a slice of the flat image; for stride 1."""

    def supports(self, spec: ConvSpec) -> bool:
        return super().supports(spec) and (spec.window.SH, spec.window.SW) == (1, 1)

    def scratch_size(self, images: int, spec: ConvSpec) -> int:
        """Rows as wide as the image: sum, product and dy with K channels, and a product with C."""
        return spec.window.OH * spec.window.padded_size[1] * (3 * spec.K + spec.C)

    def transformed_weights(self, w: Array, spec: ConvSpec) -> Array:
        """The weights as they are."""
        return w

    def forward_chunk(self, x: Array, weights: Array, spec: ConvSpec, y: Array, columns: Columns) -> None:
        total, wide = _wide("sum", spec)
        product, _ = _wide("product", spec)
        for image, result in zip(x, y, strict=True):
            total[...] = 0
            for tap, pixels in _taps(image, spec):
                np.matmul(pixels, weights[tap], out=product)
                total += product
            for stored, column in columns:
                result[:, stored] = wide[:, column]

    def input_gradient_chunk(
        self, transformed_dy: Array, weights: Array, spec: ConvSpec, dx: Array, columns: Columns
    ) -> None:
        dx[...] = 0
        wide, rows = _wide("dy", spec)
        product = threads.scratch("shifted dx", (len(wide), spec.C), spec.dtype)
        for dy, image in zip(transformed_dy, dx, strict=True):
            _widen(dy, rows, columns)
            for tap, pixels in _taps(image, spec):
                np.matmul(wide, weights[tap].T, out=product)
                pixels += product

    def weight_gradient_chunk(
        self, x: Array, transformed_dy: Array, spec: ConvSpec, dw: Array, columns: Columns
    ) -> None:
        wide, rows = _wide("dy", spec)
        for image, dy in zip(x, transformed_dy, strict=True):
            _widen(dy, rows, columns)
            for tap, pixels in _taps(image, spec):
                dw[tap] += np.dot(pixels.T, wide)  # not @, which holds the GIL where the result is small


def _taps(image: Array, spec: ConvSpec) -> Iterator[tuple[tuple[int, int], Array]]:
    """Every tap with its slice (OH W - KW + 1, C) of the flat image."""
    width = image.shape[1]
    flat = image.reshape(-1, spec.C)
    length = spec.window.OH * width - spec.window.KW + 1
    for kh, kw in spec.window.taps():
        start = kh * width + kw
        yield (kh, kw), flat[start : start + length]


def _wide(name: str, spec: ConvSpec) -> tuple[Array, Array]:
    """Scratch memory for output rows as wide as the image: flat, up to the end of the last slice, and as rows."""
    window = spec.window
    rows = threads.scratch(f"shifted {name}", (window.OH, window.padded_size[1], spec.K), spec.dtype)
    flat = rows.reshape(-1, spec.K)
    return flat[: len(flat) - window.KW + 1], rows


def _widen(dy: Array, rows: Array, columns: Columns) -> None:
    """Write dy to rows as wide as the image; 0 where there is no window."""
    for stored, column in columns:
        rows[:, column] = dy[:, stored]
    rows[:, dy.shape[1] :] = 0
