"""Convolution by the convolution theorem: a product at every frequency.

With X, W and Y the discrete Fourier transforms over the pixels of the padded images, the weights (padded with zeros to
the same size) and the outputs::

    Y = sum over c of X conj(W)      dX = sum over k of dY W      dW = sum over n of X conj(dY)

The transform is periodic: outputs whose windows would wrap around are dropped, and gradients are padded with zeros
before they are transformed. A stride keeps some of the outputs of stride 1. The cost does not depend on the size of the
kernel, so this is for large kernels. docs/convolution/fft.md derives it.

Every frequency sees all pixels. So rounding errors are relative to the largest number in an image, and one that is NaN
or infinite, or too large to be summed, would spoil the whole image. On the host such images are computed again by the
definition; on a device, where reading the results would make every step wait, they are not.

Mathieu, Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs" (2014).
"""

from dataclasses import replace
from typing import Any

import numpy as np

from ... import plugins
from ..window import Window, pad
from .algorithm import ConvAlgorithm, ConvSpec
from .direct import Direct

Array = Any


@plugins.register("conv_algorithm", "fft")
class FFT(ConvAlgorithm):
    """Fourier transforms of images and weights, and one complex matrix product for every frequency.

    >>> import numpy as np, minidl as md
    >>> x, w = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2))
    >>> md.nn.functional.conv2d(x, w, algorithm="fft").shape
    (1, 2, 2, 2)
    """

    def workspace(self, spec: ConvSpec) -> int:
        """The largest transform several times: itself, what it is made of or into, and both in double precision."""
        height, width = spec.window.padded_size
        frequencies = 2 * spec.dtype.itemsize * height * (width // 2 + 1)  # 2: they are complex
        return int(frequencies * max(7 * spec.N * max(spec.C, spec.K), 4 * spec.C * spec.K))

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        window = spec.window
        with np.errstate(over="ignore", invalid="ignore"):
            X, W = self._of_images(pad(self.xp, x, window), spec), self._of_weights(w, spec)
            y = self._back(X @ W.conj(), spec)[_starts(window)]
        y = self.xp.ascontiguousarray(y)  # what is left out would otherwise stay in memory with it
        for n, one in self._spoiled(y, spec):
            y[n], _ = Direct(self.backend).forward(x[n], w, None, one)
        return (y if b is None else y + b), None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            dY, W = self._of_images(self._unstrided(dy, spec), spec), self._of_weights(w, spec)
            dx = self._back(dY @ W.swapaxes(2, 3), spec)[spec.window.inside]
        for n, one in self._spoiled(dx, spec):
            dx[n] = Direct(self.backend).input_gradient(dy[n], w, one, None)
        return dx

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        window = spec.window
        with np.errstate(over="ignore", invalid="ignore"):
            X = self._of_images(pad(self.xp, x, window), spec)
            dY = self._of_images(self._unstrided(dy, spec), spec)
            dw = self._back(X.swapaxes(2, 3) @ dY.conj(), spec)[:, : window.KH, : window.KW]
        if self._spoiled(dw, spec):
            return Direct(self.backend).weight_gradient(x, dy, spec, saved)
        return self.xp.ascontiguousarray(dw.transpose(1, 2, 0, 3))

    def _spoiled(self, images: Array, spec: ConvSpec) -> list[tuple[slice, ConvSpec]]:
        """Where there are images with numbers that are not finite, with the sizes for one image."""
        if self.xp is not np:
            return []
        spoiled = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
        return [(slice(n, n + 1), replace(spec, N=1)) for n in spoiled.tolist()]

    def _of_images(self, x: Array, spec: ConvSpec) -> Array:
        """The transform (H, W // 2 + 1, N, C) of real images (N, H, W, C): the other frequencies are conjugates."""
        return self.xp.fft.rfft2(x, spec.window.padded_size, axes=(1, 2)).transpose(1, 2, 0, 3)

    def _of_weights(self, w: Array, spec: ConvSpec) -> Array:
        """The transform (H, W // 2 + 1, C, K) of weights (KH, KW, C, K)."""
        return self.xp.fft.rfft2(w, spec.window.padded_size, axes=(0, 1))

    def _back(self, transformed: Array, spec: ConvSpec) -> Array:
        """The real (P, H, W, Q) of a transform (H, W // 2 + 1, P, Q)."""
        return self.xp.fft.irfft2(transformed.transpose(2, 0, 1, 3), spec.window.padded_size, axes=(1, 2))

    def _unstrided(self, dy: Array, spec: ConvSpec) -> Array:
        """dy where its windows start, in an array of the size of the padded images; 0 elsewhere."""
        whole = self.xp.zeros((spec.N, *spec.window.padded_size, spec.K), spec.dtype)
        whole[_starts(spec.window)] = dy
        return whole


def _starts(window: Window) -> tuple[slice, slice, slice]:
    """The pixels at which windows start."""
    return window.under_tap(0, 0)
