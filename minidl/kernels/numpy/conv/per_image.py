"""What convolution algorithms in NumPy share: images on threads, partial sums in a fixed order, and fused pooling.

An algorithm says how to convolve one image and how to go back; everything else is here, once. The fused passes do
convolution, bias, ReLU and max pooling image by image, so that what lies between them stays in cache and is never
written to memory as a whole. Bias and ReLU come after the pooling, as they keep the order of the values under a window:
max(relu(y + b)) = relu(max(y) + b), on a quarter of the values.

Pooling reads every second column, say, which is slow where a pixel has few channels: the processor would rather go
straight on. As a convolution can write its columns in any order, it writes them phase by phase (first the even ones,
then the odd ones), and what pooling reads together lies together.
"""

import itertools
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import threads
from ...conv.algorithm import ConvAlgorithm, ConvSpec
from ...window import Window, pad
from ..elementwise import keep_where, sum_rows
from ..pool import pool_taps, unpool_taps

Array = NDArray[Any]

Columns = list[tuple[slice, slice]]
"""An order of the output columns: pairs of where columns are in memory, and which they are."""

PARTIAL_SUMS = 8
"""The weight gradient is summed up in so many parts at most, each over some of the images, then over the parts."""


class PerImage(ConvAlgorithm):
    """A convolution algorithm that is defined by what it does with one image x (H, W, C), padded already."""

    def supports(self, spec: ConvSpec) -> bool:
        return self.xp is np

    def supports_pooled(self, spec: ConvSpec, pool: Window) -> bool:
        return not pool.padded and pool.KH * pool.KW <= 256

    @abstractmethod
    def filters(self, w: Array, spec: ConvSpec) -> Array:
        """The weights as :meth:`convolve` and :meth:`spread` want them: made once, for all images."""

    @abstractmethod
    def convolve(self, x: Array, filters: Array, spec: ConvSpec, y: Array, columns: Columns) -> None:
        """Write the convolution of one image to y (OH, OW, K), without bias, in the order of ``columns``."""

    @abstractmethod
    def spread(self, dy: Array, filters: Array, spec: ConvSpec, dx: Array, columns: Columns) -> None:
        """Write the gradient for one image to dx, of the padded image's shape; dy is in the order of ``columns``."""

    @abstractmethod
    def correlate(self, x: Array, dy: Array, spec: ConvSpec, dw: Array, columns: Columns) -> None:
        """Add the gradient for the weights from one image to dw (KH, KW, C, K); dy is in the order of ``columns``."""

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        y = np.empty(spec.output_shape, x.dtype)
        filters, columns = self.filters(w, spec), by_phase(spec.window.OW, 1)

        def one(n: int) -> None:
            self.convolve(_padded(x, n, spec), filters, spec, y[n], columns)
            if b is not None:
                y[n] += b

        threads.for_each(one, range(spec.N))
        return y, None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        dx, filters, columns = _empty_padded(spec), self.filters(w, spec), by_phase(spec.window.OW, 1)
        threads.for_each(lambda n: self.spread(dy[n], filters, spec, dx[n], columns), range(spec.N))
        return dx[spec.window.inside]

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        sums, columns = _partial_sums(spec), by_phase(spec.window.OW, 1)

        def add_up(part: int) -> None:
            for n in range(part, spec.N, len(sums)):
                self.correlate(_padded(x, n, spec), dy[n], spec, sums[part], columns)

        threads.for_each(add_up, range(len(sums)))
        return np.asarray(sums.sum(axis=0))

    def forward_pooled(
        self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window, needs_argmax: bool
    ) -> tuple[Array, Array | None]:
        """relu(max pool(convolution) + b), an array (N, POH, POW, K), and the tap that held each maximum, if wanted."""
        y = np.empty((spec.N, pool.OH, pool.OW, spec.K), x.dtype)
        argmax = np.empty(y.shape, np.uint8) if needs_argmax else None
        filters, columns = self.filters(w, spec), by_phase(spec.window.OW, pool.SW)

        def one(n: int) -> None:
            whole = threads.scratch("convolved", spec.output_shape[1:], x.dtype)
            self.convolve(_padded(x, n, spec), filters, spec, whole, columns)
            pool_taps(_taps(whole, pool, columns), y[n], None if argmax is None else argmax[n])
            y[n] += b
            np.maximum(y[n], 0, out=y[n])

        threads.for_each(one, range(spec.N))
        return y, argmax

    def backward_pooled(
        self, dy: Array, x: Array, w: Array, y: Array, argmax: Array, spec: ConvSpec, pool: Window, needs_dx: bool
    ) -> tuple[Array | None, Array, Array]:
        """The gradients for x (None if nobody needs it), w and b, given what :meth:`forward_pooled` gave."""
        sums, columns = _partial_sums(spec), by_phase(spec.window.OW, pool.SW)
        bias_sums = np.zeros((len(sums), spec.K), dy.dtype)
        dx = _empty_padded(spec) if needs_dx else None
        filters = self.filters(w, spec)

        def add_up(part: int) -> None:
            whole = threads.scratch("convolved", spec.output_shape[1:], dy.dtype)
            for n in range(part, spec.N, len(sums)):
                through_relu = keep_where(y[n] > 0, dy[n])
                bias_sums[part] += sum_rows(through_relu)
                if not pool.covers_once:
                    whole[...] = 0
                unpool_taps(through_relu, argmax[n], _taps(whole, pool, columns), pool.overlaps)
                self.correlate(_padded(x, n, spec), whole, spec, sums[part], columns)
                if dx is not None:
                    self.spread(whole, filters, spec, dx[n], columns)

        threads.for_each(add_up, range(len(sums)))
        return (None if dx is None else dx[spec.window.inside]), sums.sum(axis=0), bias_sums.sum(axis=0)


def by_phase(length: int, stride: int) -> Columns:
    """The order of ``length`` columns in which those that lie ``stride`` apart are neighbours.

    >>> by_phase(5, 2)  # 0 2 4, then 1 3
    [(slice(0, 3, None), slice(0, 5, 2)), (slice(3, 5, None), slice(1, 5, 2))]
    """
    which = [slice(phase, length, stride) for phase in range(stride)]
    ends = list(itertools.accumulate(len(range(length)[columns]) for columns in which))
    return [(slice(start, end), columns) for start, end, columns in zip([0, *ends[:-1]], ends, which, strict=True)]


def _taps(image: Array, pool: Window, columns: Columns) -> list[Array]:
    """For every tap of the pooling the pixels (POH, POW, K) that it meets, in an image whose columns lie by phase."""
    taps = []
    for kh, kw in pool.taps():
        first = columns[kw % pool.SW][0].start + kw // pool.SW
        taps.append(image[pool.under_tap(kh, kw)[1], first : first + pool.OW])
    return taps


def _padded(x: Array, n: int, spec: ConvSpec) -> Array:
    """Image n with its padding."""
    image: Array = pad(np, x[n : n + 1], spec.window)[0]
    return image


def _empty_padded(spec: ConvSpec) -> Array:
    return np.empty((spec.N, *spec.window.padded_size, spec.C), spec.dtype)


def _partial_sums(spec: ConvSpec) -> Array:
    window = spec.window
    return np.zeros((min(spec.N, PARTIAL_SUMS), window.KH, window.KW, spec.C, spec.K), spec.dtype)
