"""The common part of the NumPy convolution algorithms: threads over images, partial sums, and fused pooling.

An algorithm defines both passes for a few images; everything else is here. The fused passes compute convolution, bias,
ReLU and max pooling for a few images at a time, so the intermediate results stay in cache and are never stored as a
whole. Bias and ReLU follow the pooling, because they are monotonic: max(relu(y + b)) = relu(max(y) + b). For pooling by
2 x 2, they then act on a quarter of the values.

Pooling with stride 2 reads every second column, which is slow where a pixel has few channels: contiguous reads are
faster. A convolution can write its columns in any order, so it writes them phase by phase (first the even ones, then
the odd ones), and pooling reads contiguous memory.
"""

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import threads
from ...conv.algorithm import ConvAlgorithm, ConvSpec, Pooled
from ...reference import argmax_dtype
from ...window import Window, pad
from .. import memory
from ..elementwise import keep_where
from ..pool import pool_taps, unpool_taps
from ..sums import sum_rows

Array = NDArray[Any]
Columns = list[tuple[slice, slice]]
"""An order of the output columns: pairs (where the columns are stored, which columns they are)."""

PARTIAL_SUMS = 8
"""Maximum number of partial sums of the weight gradient, each over some of the images.

Threads work on whole parts; their number is fixed, so the order of the sum does not depend on the number of threads.
"""
CHUNK_BYTES = 1 << 20
"""Size of the output that is computed at a time: several small images, or one."""


class PerChunk(ConvAlgorithm):
    """A convolution algorithm that is defined by its passes for a few images x (n, H, W, C), which are padded."""

    def supports(self, spec: ConvSpec) -> bool:
        return self.xp is np

    def workspace(self, spec: ConvSpec) -> int:
        """The partial sums of the weight gradient, and the scratch memory of every thread."""
        parts = _parts(spec)
        chunks = [chunk.stop - chunk.start for part in parts for chunk in part]
        images, busy = max(chunks, default=0), min(threads.get_num_threads(), len(chunks))
        padded = images * prod(spec.window.padded_size) * spec.C if spec.window.padded else 0
        scratch = busy * (padded + self.scratch_size(images, spec))
        return int(spec.dtype.itemsize * (len(parts) * prod(_weights(spec)) + scratch))

    @abstractmethod
    def scratch_size(self, images: int, spec: ConvSpec) -> int:
        """The number of elements in a thread's scratch memory while it computes this number of images."""

    @abstractmethod
    def transformed_weights(self, w: Array, spec: ConvSpec) -> Array:
        """The weights for :meth:`forward_chunk` and :meth:`input_gradient_chunk`, computed once for all images."""

    def transformed_dy(self, dy: Array, spec: ConvSpec) -> Array:
        """dy of a few images for both gradients, computed once. By default dy itself."""
        return dy

    @abstractmethod
    def forward_chunk(self, x: Array, weights: Array, spec: ConvSpec, y: Array, columns: Columns) -> None:
        """Write the convolution of a few images to y (n, OH, OW, K), without bias, in the order of ``columns``."""

    @abstractmethod
    def input_gradient_chunk(
        self, transformed_dy: Array, weights: Array, spec: ConvSpec, dx: Array, columns: Columns
    ) -> None:
        """Write the gradient with respect to a few images, padding included, to dx."""

    @abstractmethod
    def weight_gradient_chunk(
        self, x: Array, transformed_dy: Array, spec: ConvSpec, dw: Array, columns: Columns
    ) -> None:
        """Add the gradient with respect to the weights, from a few images, to dw."""

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        y = memory.empty(spec.output_shape, x.dtype)
        weights, columns = self.transformed_weights(w, spec), by_phase(spec.window.OW, 1)

        def one(chunk: slice) -> None:
            self.forward_chunk(pad(np, x[chunk], spec.window), weights, spec, y[chunk], columns)
            if b is not None:
                y[chunk] += b

        threads.for_each(one, [chunk for part in _parts(spec) for chunk in part], spec.flops)
        return y, None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        dx, weights, columns = _empty_padded(spec), self.transformed_weights(w, spec), by_phase(spec.window.OW, 1)

        def one(chunk: slice) -> None:
            self.input_gradient_chunk(self.transformed_dy(dy[chunk], spec), weights, spec, dx[chunk], columns)

        threads.for_each(one, [chunk for part in _parts(spec) for chunk in part], spec.flops)
        return dx[spec.window.inside]

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        parts, columns = _parts(spec), by_phase(spec.window.OW, 1)
        sums = memory.zeros((len(parts), *_weights(spec)), dy.dtype)

        def add_up(part: int) -> None:
            for chunk in parts[part]:
                padded = pad(np, x[chunk], spec.window)
                self.weight_gradient_chunk(padded, self.transformed_dy(dy[chunk], spec), spec, sums[part], columns)

        threads.for_each(add_up, range(len(parts)), spec.flops)
        return np.asarray(sums.sum(axis=0))

    def fuses(self, spec: ConvSpec, pool: Window) -> bool:
        return not pool.padded

    def forward_fused(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_grad: bool
    ) -> tuple[Array, Pooled | None]:
        y = memory.empty((spec.N, pool.OH, pool.OW, spec.K), x.dtype)
        argmax = memory.empty(y.shape, argmax_dtype(np, pool)) if needs_grad else None
        weights, columns = self.transformed_weights(w, spec), by_phase(spec.window.OW, pool.SW)
        bias = np.tile(b, pool.OW)  # a whole row, for fewer and longer loops

        def one(chunk: slice) -> None:
            images = x[chunk]
            whole = threads.scratch("convolved", (len(images), *spec.output_shape[1:]), x.dtype)
            self.forward_chunk(pad(np, images, spec.window), weights, spec, whole, columns)
            pool_taps(_taps(whole, pool, columns), y[chunk], None if argmax is None else argmax[chunk])
            rows = y[chunk].reshape(-1, len(bias))
            rows += bias
            np.maximum(rows, 0, out=rows)

        threads.for_each(one, [chunk for part in _parts(spec) for chunk in part], spec.flops)
        return y, None if argmax is None else Pooled(x, w, y, argmax, spec, pool)

    def backward_fused(
        self, dy: Array, pooled: Pooled, needs_grad: Sequence[bool]
    ) -> tuple[Array | None, Array | None, Array | None]:
        x, y, argmax, spec, pool = pooled.x, pooled.y, pooled.argmax, pooled.spec, pooled.pool
        needs_dx, needs_dw, needs_db = needs_grad
        parts, columns = _parts(spec), by_phase(spec.window.OW, pool.SW)
        dx = _empty_padded(spec) if needs_dx else None
        dw = memory.zeros((len(parts), *_weights(spec)), dy.dtype) if needs_dw else None
        db = memory.zeros((len(parts), spec.K), dy.dtype) if needs_db else None
        weights: Any = self.transformed_weights(pooled.w, spec) if needs_dx else None

        def add(part: int, chunk: slice) -> None:
            through_relu = keep_where(y[chunk] > 0, dy[chunk])
            if db is not None:
                db[part] += sum_rows(through_relu)
            if dx is None and dw is None:
                return
            whole = threads.scratch("convolved", (len(through_relu), *spec.output_shape[1:]), dy.dtype)
            if not pool.covers_once:  # some pixels are in no window, or in several
                whole[...] = 0
            unpool_taps(through_relu, argmax[chunk], _taps(whole, pool, columns), pool.overlaps)
            transformed_dy = self.transformed_dy(whole, spec)
            if dw is not None:
                self.weight_gradient_chunk(pad(np, x[chunk], spec.window), transformed_dy, spec, dw[part], columns)
            if dx is not None:
                self.input_gradient_chunk(transformed_dy, weights, spec, dx[chunk], columns)

        def add_up(part: int) -> None:
            for chunk in parts[part]:
                add(part, chunk)

        threads.for_each(add_up, range(len(parts)), spec.flops)
        return (
            None if dx is None else dx[spec.window.inside],
            None if dw is None else dw.sum(axis=0),
            None if db is None else db.sum(axis=0),
        )


def by_phase(length: int, stride: int) -> Columns:
    """The order of ``length`` columns in which columns ``stride`` apart are adjacent.

    >>> by_phase(5, 2)  # 0 2 4, then 1 3
    [(slice(0, 3, None), slice(0, 5, 2)), (slice(3, 5, None), slice(1, 5, 2))]
    """
    which = [slice(phase, length, stride) for phase in range(stride)]
    ends = list(itertools.accumulate(len(range(length)[columns]) for columns in which))
    return [(slice(start, end), columns) for start, end, columns in zip([0, *ends[:-1]], ends, which, strict=True)]


def _taps(images: Array, pool: Window, columns: Columns) -> list[Array]:
    """For every tap of the pooling its pixels (n, POH, POW, K), in images whose columns are ordered by phase."""
    taps = []
    for kh, kw in pool.taps():
        first = columns[kw % pool.SW][0].start + kw // pool.SW
        taps.append(images[:, pool.under_tap(kh, kw)[1], first : first + pool.OW])
    return taps


def _empty_padded(spec: ConvSpec) -> Array:
    return memory.empty((spec.N, *spec.window.padded_size, spec.C), spec.dtype)


def _weights(spec: ConvSpec) -> tuple[int, int, int, int]:
    return spec.window.KH, spec.window.KW, spec.C, spec.K


def _parts(spec: ConvSpec) -> list[list[slice]]:
    """The images in at most ``PARTIAL_SUMS`` contiguous parts, each in chunks of about ``CHUNK_BYTES`` of output."""
    image = prod(spec.output_shape[1:]) * spec.dtype.itemsize
    size = max(1, CHUNK_BYTES // image)
    return [
        [
            slice(part.start + chunk.start, part.start + chunk.stop)
            for chunk in threads.chunks(part.stop - part.start, size)
        ]
        for part in threads.chunks(spec.N, -(-max(spec.N, 1) // PARTIAL_SUMS))
    ]
