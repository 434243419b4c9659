"""What convolution algorithms in NumPy share: images on threads, partial sums in a fixed order, and fused pooling.

An algorithm says how to convolve one image and how to go back; everything else is here, once. The fused passes do
convolution, bias, ReLU and max pooling image by image, so that what lies between them stays in cache and is never
written to memory as a whole. Bias and ReLU come after the pooling, as they keep the order of the values under a window:
max(relu(y + b)) = relu(max(y) + b), on a quarter of the values.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import threads
from ...conv.algorithm import ConvAlgorithm, ConvSpec
from ...window import Window, pad
from ..elementwise import keep_where, sum_rows
from ..pool import pool_image, unpool_image

Array = NDArray[Any]

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
    def convolve(self, x: Array, filters: Array, spec: ConvSpec, y: Array) -> None:
        """Write the convolution of one image to y (OH, OW, K), without bias."""

    @abstractmethod
    def spread(self, dy: Array, filters: Array, spec: ConvSpec, dx: Array) -> None:
        """Write the gradient for one image to dx, of the shape of the padded image."""

    @abstractmethod
    def correlate(self, x: Array, dy: Array, spec: ConvSpec, dw: Array) -> None:
        """Add the gradient for the weights from one image to dw (KH, KW, C, K)."""

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        y = np.empty(spec.output_shape, x.dtype)
        filters = self.filters(w, spec)

        def one(n: int) -> None:
            self.convolve(_padded(x, n, spec), filters, spec, y[n])
            if b is not None:
                y[n] += b

        threads.for_each(one, range(spec.N))
        return y, None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        dx, filters = _empty_padded(spec), self.filters(w, spec)
        threads.for_each(lambda n: self.spread(dy[n], filters, spec, dx[n]), range(spec.N))
        return dx[spec.window.inside]

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        sums = _partial_sums(spec)

        def add_up(part: int) -> None:
            for n in range(part, spec.N, len(sums)):
                self.correlate(_padded(x, n, spec), dy[n], spec, sums[part])

        threads.for_each(add_up, range(len(sums)))
        return np.asarray(sums.sum(axis=0))

    def forward_pooled(self, x: Array, w: Array, b: Array, spec: ConvSpec, pool: Window) -> tuple[Array, Array]:
        """relu(max pool(convolution) + b), an array (N, POH, POW, K), and the tap that held each maximum."""
        y = np.empty((spec.N, pool.OH, pool.OW, spec.K), x.dtype)
        argmax = np.empty(y.shape, np.uint8)
        filters = self.filters(w, spec)

        def one(n: int) -> None:
            whole = threads.scratch("convolved", spec.output_shape[1:], x.dtype)
            self.convolve(_padded(x, n, spec), filters, spec, whole)
            pool_image(whole, pool, y[n], argmax[n])
            y[n] += b
            np.maximum(y[n], 0, out=y[n])

        threads.for_each(one, range(spec.N))
        return y, argmax

    def backward_pooled(
        self, dy: Array, x: Array, w: Array, y: Array, argmax: Array, spec: ConvSpec, pool: Window, needs_dx: bool
    ) -> tuple[Array | None, Array, Array]:
        """The gradients for x (None if nobody needs it), w and b, given what :meth:`forward_pooled` gave."""
        sums = _partial_sums(spec)
        bias_sums = np.zeros((len(sums), spec.K), dy.dtype)
        dx, filters = (_empty_padded(spec), self.filters(w, spec)) if needs_dx else (None, None)

        def add_up(part: int) -> None:
            whole = threads.scratch("convolved", spec.output_shape[1:], dy.dtype)
            for n in range(part, spec.N, len(sums)):
                through_relu = keep_where(y[n] > 0, dy[n])
                bias_sums[part] += sum_rows(through_relu)
                unpool_image(through_relu, argmax[n], pool, whole)
                self.correlate(_padded(x, n, spec), whole, spec, sums[part])
                if dx is not None and filters is not None:
                    self.spread(whole, filters, spec, dx[n])

        threads.for_each(add_up, range(len(sums)))
        return (None if dx is None else dx[spec.window.inside]), sums.sum(axis=0), bias_sums.sum(axis=0)


def _padded(x: Array, n: int, spec: ConvSpec) -> Array:
    """Image n with its padding."""
    image: Array = pad(np, x[n : n + 1], spec.window)[0]
    return image


def _empty_padded(spec: ConvSpec) -> Array:
    return np.empty((spec.N, *spec.window.padded_size, spec.C), spec.dtype)


def _partial_sums(spec: ConvSpec) -> Array:
    window = spec.window
    return np.zeros((min(spec.N, PARTIAL_SUMS), window.KH, window.KW, spec.C, spec.K), spec.dtype)
