"""A convolution algorithm: one matrix product over all windows."""

from typing import Any

from minidl.kernels.conv import ConvAlgorithm, ConvSpec
from minidl.kernels.window import pad

Array = Any


class Windows(ConvAlgorithm):
    """Copies every window to a row of a matrix, and multiplies it by the matrix whose columns are the kernels.

    The rows overlap and take KH KW times the memory of the image: Chellapilla, Puri and Simard, "High Performance
    Convolutional Neural Networks for Document Processing" (2006), section 3. The gradient for x is again a
    convolution: of dy, dilated by the strides, with the flipped kernels (Dumoulin and Visin, "A guide to convolution
    arithmetic for deep learning", 2016, chapter 4).

    >>> import numpy as np, minidl as md
    >>> conv = md.nn.Conv2D(1, 1, 2, algorithm="windows")
    >>> conv(md.tensor(np.ones((1, 3, 3, 1), np.float32))).shape
    (1, 2, 2, 1)
    """

    def forward(self, x: Array, w: Array, b: Array | None, spec: ConvSpec) -> tuple[Array, None]:
        window = spec.window
        rows = self.rows(pad(self.xp, x, window), w.shape, (window.SH, window.SW))
        y = self.backend.matmul(rows, w.reshape(-1, spec.K)).reshape(spec.output_shape)
        return (y if b is None else y + b), None

    def input_gradient(self, dy: Array, w: Array, spec: ConvSpec, saved: None) -> Array:
        window = spec.window
        (H, W), KH, KW = window.padded_size, window.KH, window.KW
        spread = self.xp.zeros((spec.N, H + KH - 1, W + KW - 1, spec.K), dy.dtype)
        spread[:, KH - 1 : KH + H - 1, KW - 1 : KW + W - 1][window.under_tap(0, 0)] = dy
        turned = w[::-1, ::-1].swapaxes(2, 3)
        rows = self.rows(spread, turned.shape, (1, 1))
        dx = self.backend.matmul(rows, turned.reshape(-1, spec.C)).reshape(spec.N, H, W, spec.C)
        return dx[window.inside]

    def weight_gradient(self, x: Array, dy: Array, spec: ConvSpec, saved: None) -> Array:
        window = spec.window
        shape = (window.KH, window.KW, spec.C, spec.K)
        rows = self.rows(pad(self.xp, x, window), shape, (window.SH, window.SW))
        return self.backend.matmul(rows.T, dy.reshape(-1, spec.K)).reshape(shape)

    def rows(self, x: Array, kernel: tuple[int, int, int, int], stride: tuple[int, int]) -> Array:
        """The windows of a batch x (N, H, W, C) under kernels (KH, KW, C, K): (N OH OW, KH KW C)."""
        KH, KW, C, _ = kernel
        view = self.xp.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(1, 2))  # (N, OH, OW, C, KH, KW)
        windows = view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
        return windows.reshape(-1, KH * KW * C)
