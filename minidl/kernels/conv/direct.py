"""The direct convolution: the definition, one kernel tap at a time."""

from math import prod
from typing import Any

from ... import plugins
from ..window import pad
from .algorithm import ConvAlgorithm, ConvSpec

Array = Any


@plugins.register("conv_algorithm", "direct")
class Direct(ConvAlgorithm):
    """Every tap (kh, kw) of the kernel multiplies its pixels; the products accumulate.

    Slow and simple, for every backend: tests compare the other algorithms with it.

    >>> import numpy as np, minidl as md
    >>> x, w = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2))
    >>> md.nn.functional.conv2d(x, w, algorithm="direct").shape
    (1, 2, 2, 2)
    """

    def workspace(self, spec: ConvSpec) -> int:
        """The padded images, and the pixels of two taps (one is copied before the last is freed) or a product."""
        window = spec.window
        padded = prod(window.padded_size) * spec.C if window.padded else 0
        return int(spec.dtype.itemsize * spec.N * (padded + window.OH * window.OW * max(2 * spec.C, spec.K)))

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        window = spec.window
        x = pad(self.xp, x, window)
        y = self.xp.zeros(spec.output_shape, x.dtype)
        for kh, kw in window.taps():
            y += x[window.under_tap(kh, kw)] @ w[kh, kw]
        return (y if b is None else y + b), None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        window = spec.window
        dx = self.xp.zeros((spec.N, *window.padded_size, spec.C), dy.dtype)
        for kh, kw in window.taps():
            dx[window.under_tap(kh, kw)] += dy @ w[kh, kw].T  # += : neighbouring windows share pixels
        return dx[window.inside]

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        window = spec.window
        x = pad(self.xp, x, window)
        dw = self.xp.zeros((window.KH, window.KW, spec.C, spec.K), dy.dtype)
        for kh, kw in window.taps():
            pixels = x[window.under_tap(kh, kw)].reshape(-1, spec.C)
            dw[kh, kw] = pixels.T @ dy.reshape(-1, spec.K)
        return dw
