"""Convolutions on the GPU: a cuBLAS matrix product for any size, and a special kernel for the first layer.

Fused passes save one byte per maximum instead of the convolution's output, which is the largest array of a network: on
a GPU, a training step is bound by memory, not by arithmetic.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ... import plugins
from ..conv.algorithm import ConvAlgorithm, ConvSpec, Pooled
from ..window import Window
from . import pool as pooling
from .reduce import GROUPS, LANES, parts_of, sum_rows
from .source import TYPES, by_value, in_blocks, kernel, name_of

Array = Any

COLUMNS_BYTES = 1 << 28
"""Size of the columns that are made at a time; the same for every card, so the order of the sums is too."""
FILTERS = 4
"""Filters per thread of the first layer, if the number of filters is a multiple of it."""


@plugins.register("conv_algorithm", "gemm")
class Gemm(ConvAlgorithm):
    """A matrix of windows times a matrix of weights, for as many images as fit into ``COLUMNS_BYTES``."""

    def supports(self, spec: ConvSpec) -> bool:
        return hasattr(self.xp, "RawModule") and spec.dtype in TYPES

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        x, weights = self.xp.ascontiguousarray(x), _matrix(self.xp, w, spec)
        y = self.xp.empty(spec.output_shape, x.dtype)
        for chunk, part in _chunks(spec):
            product = self.backend.matmul(self._columns(x[chunk], part), weights)
            self.xp.add(product.reshape(part.output_shape), 0 if b is None else b, out=y[chunk])
        return y, None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        dy, weights, dx = self.xp.ascontiguousarray(dy), _matrix(self.xp, w, spec), self._empty_images(spec)
        for chunk, part in _chunks(spec):
            self._input_gradient_chunk(dy[chunk], weights, part, dx[chunk])
        return dx

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        x, dy, dw = self.xp.ascontiguousarray(x), self.xp.ascontiguousarray(dy), self._no_gradient(spec)
        for chunk, part in _chunks(spec):
            dw += self.backend.matmul(self._columns(x[chunk], part).T, dy[chunk].reshape(-1, spec.K))
        return dw.reshape(spec.window.KH, spec.window.KW, spec.C, spec.K)

    def fuses(self, spec: ConvSpec, pool: Window) -> bool:
        return not pool.padded and pooling.supports(pool)

    def forward_fused(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_grad: bool
    ) -> tuple[Array, Pooled | None]:
        x, b, weights = self.xp.ascontiguousarray(x), self.xp.ascontiguousarray(b), _matrix(self.xp, w, spec)
        y, argmax = self._empty_pooled(spec, pool, needs_grad)
        for chunk, part in _chunks(spec):
            convolved = self.backend.matmul(self._columns(x[chunk], part), weights).reshape(part.output_shape)
            pooling.pool_into(self.xp, convolved, b, pool, y[chunk], None if argmax is None else argmax[chunk])
        return y, None if argmax is None else Pooled(x, w, y, argmax, spec, pool)

    def backward_fused(
        self, dy: Array, pooled: Pooled, needs_grad: Sequence[bool]
    ) -> tuple[Array | None, Array | None, Array | None]:
        x, w, argmax, spec, pool = pooled.x, pooled.w, pooled.argmax, pooled.spec, pooled.pool
        needs_dx, needs_dw, needs_db = needs_grad
        weights = _matrix(self.xp, w, spec)
        dx = self._empty_images(spec) if needs_dx else None
        dw = self._no_gradient(spec) if needs_dw else None
        through_relu = self.backend.relu_backward(dy, pooled.y)
        for chunk, part in _chunks(spec) if needs_dx or needs_dw else ():
            unpooled = pooling.max_pool_backward(self.xp, through_relu[chunk], argmax[chunk], pool)
            if dw is not None:
                dw += self.backend.matmul(self._columns(x[chunk], part).T, unpooled.reshape(-1, spec.K))
            if dx is not None:
                self._input_gradient_chunk(unpooled, weights, part, dx[chunk])
        db = self.backend.sum_to_channels(through_relu) if needs_db else None
        return dx, None if dw is None else dw.reshape(w.shape), db

    def _columns(self, x: Array, spec: ConvSpec) -> Array:
        """The windows of images as a matrix (N OH OW, KH KW C)."""
        window = spec.window
        length = window.KH * window.KW * spec.C
        columns = self.xp.empty((spec.N * window.OH * window.OW, length), x.dtype)
        run = kernel(self.xp, "im2col.cu", name_of("im2col", x.dtype))
        arguments = (x, columns, by_value(window), self.xp.int32(spec.C))
        run(*in_blocks(spec.N * window.OH, window.OW * length), arguments)
        return columns

    def _input_gradient_chunk(self, dy: Array, weights: Array, spec: ConvSpec, dx: Array) -> None:
        """Write the gradient with respect to a few images to dx."""
        window = spec.window
        columns = self.backend.matmul(dy.reshape(-1, spec.K), weights.T)
        run = kernel(self.xp, "im2col.cu", name_of("col2im", dy.dtype))
        arguments = (columns, dx, by_value(window), self.xp.int32(spec.C))
        run(*in_blocks(spec.N * window.H, window.W * spec.C), arguments)

    def _empty_images(self, spec: ConvSpec) -> Array:
        return self.xp.empty((spec.N, spec.window.H, spec.window.W, spec.C), spec.dtype)

    def _empty_pooled(self, spec: ConvSpec, pool: Window, needs_grad: bool) -> tuple[Array, Array | None]:
        y = self.xp.empty((spec.N, pool.OH, pool.OW, spec.K), spec.dtype)
        return y, self.xp.empty(y.shape, self.xp.uint8) if needs_grad else None

    def _no_gradient(self, spec: ConvSpec) -> Array:
        return self.xp.zeros((spec.window.KH * spec.window.KW * spec.C, spec.K), spec.dtype)


@plugins.register("conv_algorithm", "first_layer")
class FirstLayer(Gemm):
    """Convolution, ReLU and max pooling of images with few channels in one kernel (first_layer.cu); else Gemm."""

    def supports(self, spec: ConvSpec) -> bool:
        return super().supports(spec) and spec.C <= 4 and (spec.window.SH, spec.window.SW) == (1, 1)

    def _in_one_kernel(self, spec: ConvSpec, pool: Window) -> bool:
        pixels = (pool.KH + spec.window.KH - 1) * (pool.KW + spec.window.KW - 1)
        return (
            (pool.SH, pool.SW) == (pool.KH, pool.KW)
            and pixels <= 36  # they and the sums are in registers, of which a thread has 255
            and pool.KH * pool.KW <= 9
        )

    def forward_fused(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_grad: bool
    ) -> tuple[Array, Pooled | None]:
        if not self._in_one_kernel(spec, pool):
            return super().forward_fused(x, w, b, spec, pool, needs_grad)
        y, argmax = self._empty_pooled(spec, pool, needs_grad)
        if y.size:
            filters = FILTERS if spec.K % FILTERS == 0 else 1
            name = name_of("convolve_and_pool", spec.dtype, *_sizes(spec, pool), filters)
            inputs = map(self.xp.ascontiguousarray, (x, w, b))
            sizes = (by_value(spec.window), by_value(pool), self.xp.int32(spec.C), self.xp.int32(spec.K))
            grid, block = in_blocks(spec.N * pool.OH, pool.OW * spec.K // filters)
            kernel(self.xp, "first_layer.cu", name)(grid, block, (*inputs, y, argmax, *sizes))
        return y, None if argmax is None else Pooled(x, w, y, argmax, spec, pool)

    def backward_fused(
        self, dy: Array, pooled: Pooled, needs_grad: Sequence[bool]
    ) -> tuple[Array | None, Array | None, Array | None]:
        x, w, spec, pool = pooled.x, pooled.w, pooled.spec, pooled.pool
        if not self._in_one_kernel(spec, pool):
            return super().backward_fused(dy, pooled, needs_grad)
        needs_dx, needs_dw, needs_db = needs_grad  # a first layer rarely needs dx, so Gemm computes it
        dx = super().backward_fused(dy, pooled, (True, False, False))[0] if needs_dx else None
        if not (needs_dw or needs_db):
            return dx, None, None
        rows, count = w.size // spec.K + 1, parts_of(spec.N * pool.OH * pool.OW)
        parts = self.xp.empty((count, rows * spec.K), spec.dtype)
        name = name_of("weight_gradients", spec.dtype, *_sizes(spec, pool))
        sizes = (spec.N, spec.C, spec.K)
        arguments = (
            *map(self.xp.ascontiguousarray, (x, dy)),
            *(pooled.y, pooled.argmax, parts, by_value(spec.window), by_value(pool)),
            *map(self.xp.int32, sizes),
        )
        kernel(self.xp, "first_layer.cu", name)((count, -(-spec.K // LANES), spec.C), (LANES, GROUPS), arguments)
        sums = sum_rows(self.xp, parts).reshape(rows, spec.K)
        return dx, sums[:-1].reshape(w.shape) if needs_dw else None, sums[-1] if needs_db else None


def _matrix(xp: Any, w: Array, spec: ConvSpec) -> Array:
    """The weights as a matrix (KH KW C, K)."""
    return xp.ascontiguousarray(w).reshape(-1, spec.K)


def _sizes(spec: ConvSpec, pool: Window) -> tuple[int, int, int, int]:
    """The template parameters of the kernels in first_layer.cu."""
    return spec.window.KH, spec.window.KW, pool.KH, pool.KW


def _chunks(spec: ConvSpec) -> Iterator[tuple[slice, ConvSpec]]:
    """The batch in parts whose columns fit into ``COLUMNS_BYTES``, with the spec of each."""
    window = spec.window
    image = window.OH * window.OW * window.KH * window.KW * spec.C * spec.dtype.itemsize
    step = max(1, COLUMNS_BYTES // image)
    for start in range(0, spec.N, step):
        end = min(start + step, spec.N)
        yield slice(start, end), replace(spec, N=end - start)
