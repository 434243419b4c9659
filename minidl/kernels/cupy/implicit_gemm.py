"""Convolution with stride 1 as one matrix product that gathers its left matrix on the fly: see implicit_gemm.cu.

In float32 the products are exact up to rounding. At the backend's precision "tf32", tensor cores multiply operands
rounded to 11 bits and accumulate in float32.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ... import plugins
from ..conv.algorithm import ConvAlgorithm, ConvSpec, Pooled
from ..window import Window
from .reduce import sum_rows
from .source import TYPES, by_value, kernel, name_of, packed
from .tiles import TILE_ROWS, TILE_THREADS, parts_in, tiles_in

Array = Any

PACK = 4
"""Elements that are read at once: the numbers of channels and filters must be multiples of it."""
LEAST_PIXELS = 256
"""Minimum number of output pixels per part of the weight gradient."""
LARGEST = 2**31 - 1
"""The kernels index pixels with 32-bit integers."""


@plugins.register("conv_algorithm", "implicit_gemm")
class ImplicitGemm(ConvAlgorithm):
    """An implicit matrix product on CUDA cores or, in TF32, on tensor cores, with fused 2 x 2 max pooling."""

    def supports(self, spec: ConvSpec) -> bool:
        window = spec.window
        padded_height, padded_width = window.padded_size
        return (
            hasattr(self.xp, "RawModule")
            and spec.dtype in TYPES
            and (window.SH, window.SW) == (1, 1)
            and spec.C % PACK == spec.K % PACK == 0
            and spec.N * padded_height * padded_width <= LARGEST - TILE_ROWS
        )

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        y = self.xp.empty(spec.output_shape, spec.dtype)
        self._convolve(x, None, w, b, y, None, spec)
        return y, None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        return self._input_gradient(dy, None, w, spec)

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        return self._weight_gradient(x, dy, None, spec)

    def fuses(self, spec: ConvSpec, pool: Window) -> bool:
        return (pool.KH, pool.KW, pool.SH, pool.SW) == (2, 2, 2, 2) and not pool.padded

    def forward_fused(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_grad: bool
    ) -> tuple[Array, Pooled | None]:
        y = self.xp.empty((spec.N, pool.OH, pool.OW, spec.K), spec.dtype)
        argmax = self.xp.empty(y.shape, self.xp.uint8) if needs_grad else None
        self._convolve(x, None, w, b, y, argmax, spec, pooled=True)
        return y, None if argmax is None else Pooled(x, w, y, argmax, spec, pool)

    def backward_fused(
        self, dy: Array, pooled: Pooled, needs_grad: Sequence[bool]
    ) -> tuple[Array | None, Array | None, Array | None]:
        needs_dx, needs_dw, needs_db = needs_grad
        through_relu = self.backend.relu_backward(dy, pooled.y)
        dx = self._input_gradient(through_relu, pooled.argmax, pooled.w, pooled.spec) if needs_dx else None
        dw = self._weight_gradient(pooled.x, through_relu, pooled.argmax, pooled.spec) if needs_dw else None
        return dx, dw, self.backend.sum_to_channels(through_relu) if needs_db else None

    def _convolve(
        self,
        x: Array,
        x_taps: Array | None,
        w: Array,
        b: Array | None,
        y: Array,
        argmax: Array | None,
        spec: ConvSpec,
        pooled: bool = False,
    ) -> None:
        """Write y. With ``x_taps``, x is the cotangent of a pooling; with ``pooled``, y is the output of one."""
        if not y.size:
            return
        pixels = y.size // spec.K
        rows = -(-pixels // 8) * 32 if pooled else pixels
        name = name_of("convolve", spec.dtype, self._tensor_cores(spec), pooled, x_taps is not None)
        inputs = (None if array is None else packed(self.xp, array) for array in (x, x_taps, w, b))
        tiles = tiles_in(rows, spec.K)
        kernel(self.xp, "implicit_gemm.cu", name)((tiles,), (TILE_THREADS,), (*inputs, y, argmax, *_sizes(spec)))

    def _input_gradient(self, dy: Array, argmax: Array | None, w: Array, spec: ConvSpec) -> Array:
        """A convolution of dy with the weights turned by 180 degrees (Dumoulin and Visin, relationship 8)."""
        dx = self.xp.empty((spec.N, spec.window.H, spec.window.W, spec.C), spec.dtype)
        turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
        self._convolve(dy, argmax, turned, None, dx, None, _turned(spec))
        return dx

    def _weight_gradient(self, x: Array, dy: Array, argmax: Array | None, spec: ConvSpec) -> Array:
        window = spec.window
        shape = (window.KH, window.KW, spec.C, spec.K)
        if not dy.size:
            return self.xp.zeros(shape, spec.dtype)
        tiles = tiles_in(prod(shape[:3]), spec.K)
        count = parts_in(tiles, prod(spec.output_shape[:3]), LEAST_PIXELS)
        parts = self.xp.empty((count, prod(shape)), spec.dtype)
        name = name_of("correlate", spec.dtype, self._tensor_cores(spec), argmax is not None)
        inputs = (None if array is None else packed(self.xp, array) for array in (x, dy, argmax))
        kernel(self.xp, "implicit_gemm.cu", name)((tiles, count), (TILE_THREADS,), (*inputs, parts, *_sizes(spec)))
        return sum_rows(self.xp, parts, shape)

    def _tensor_cores(self, spec: ConvSpec) -> bool:
        return self.backend.precision == "tf32" and spec.dtype == np.float32


def _sizes(spec: ConvSpec) -> tuple[Any, ...]:
    """The trailing arguments of both kernels."""
    return by_value(spec.window), *map(np.int32, (spec.N, spec.C, spec.K))


def _turned(spec: ConvSpec) -> ConvSpec:
    """The convolution that computes dx from dy.

    >>> from minidl.kernels.window import sliding_window
    >>> back = _turned(ConvSpec(2, 4, 8, sliding_window(9, 9, 3, 1, 0), np.dtype(np.float32)))
    >>> back.window.padding[1:3], back.output_shape, back.C
    (((2, 2), (2, 2)), (2, 9, 9, 4), 8)
    """
    window = spec.window
    turned = replace(
        window, H=window.OH, W=window.OW, OH=window.H, OW=window.W,
        top=window.KH - 1 - window.top, bottom=window.KH - 1 - window.bottom,
        left=window.KW - 1 - window.left, right=window.KW - 1 - window.right,
    )  # fmt: skip
    return replace(spec, C=spec.K, K=spec.C, window=turned)
