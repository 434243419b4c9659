"""The exercises of ``07_convolution`` and ``14_fast_convolution``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from .exercise import Exercise

Array = NDArray[Any]


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """The number of positions of a kernel on an image of this size, padded on both sides."""
    return (size + 2 * padding - kernel) // stride + 1


def _random_window(rng: np.random.Generator) -> tuple[int, int, int]:
    """A kernel, a stride and a padding."""
    kernel = int(rng.integers(1, 6))
    return kernel, int(rng.integers(1, 5)), int(rng.integers(0, 4))


check_output_size = Exercise(
    output_size,
    examples=[(5, 3, 1, 0), (5, 3, 1, 2), (7, 3, 2, 0), (8, 3, 2, 0), (8, 4, 3, 2)],
    draw=lambda rng: (int(rng.integers(5, 40)), *_random_window(rng)),
    mistakes={
        "the 1 comes after the division: (size + 2 padding - kernel) // stride + 1.": (
            lambda size, kernel, stride, padding: (size + 2 * padding - kernel + 1) // stride
        ),
        "one position is missing: the kernel also has one before the first step. Add 1.": (
            lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride
        ),
        "the padding is missing.": lambda size, kernel, stride, padding: (size - kernel) // stride + 1,
        "the padding is on both sides: 2 padding.": lambda size, kernel, stride, padding: (
            (size + padding - kernel) // stride + 1
        ),
        "the stride is missing: only every stride-th position is used.": (
            lambda size, kernel, stride, padding: size + 2 * padding - kernel + 1
        ),
        "a kernel that does not fit completely at the end has no position there: round down, with //.": (
            lambda size, kernel, stride, padding: -(-(size + 2 * padding - kernel) // stride) + 1
        ),
        "there is no half a position: round down, with //.": (
            lambda size, kernel, stride, padding: (size + 2 * padding - kernel) / stride + 1
        ),
    },
)


def conv2d(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    """The convolution of images x (N, H, W, C) with kernels w (KH, KW, C, K) and biases b (K,), written as loops."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    N, H, W, _ = x.shape
    KH, KW, _, K = w.shape
    y = np.zeros((N, (H - KH) // stride + 1, (W - KW) // stride + 1, K))
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            window = x[:, i * stride : i * stride + KH, j * stride : j * stride + KW]
            y[:, i, j] = np.tensordot(window, w, 3) + b
    return y


def _images(*shape: int) -> Array:
    return np.random.default_rng(list(shape)).normal(size=shape)


def _random_convolution(rng: np.random.Generator) -> tuple[Array, Array, Array, int, int]:
    """All sizes differ from each other now and then, and so do stride and padding."""
    N, C, K, KH, KW = (int(size) for size in rng.integers(1, 4, 5))
    H, W = (int(size) for size in rng.integers(3, 9, 2))
    x, w, b = rng.normal(size=(N, H, W, C)), rng.normal(size=(KH, KW, C, K)), rng.normal(size=K)
    return x, w, b, int(rng.integers(1, 4)), int(rng.integers(0, 4))


_NO_BIAS = np.zeros(1)

check_conv2d = Exercise(
    conv2d,
    examples=[
        (_images(1, 4, 5, 1), _images(1, 1, 1, 1), _NO_BIAS, 1, 0),
        (_images(1, 5, 6, 1), _images(3, 3, 1, 1), _NO_BIAS, 1, 0),
        (_images(1, 5, 6, 1), _images(2, 3, 1, 1), _NO_BIAS, 1, 0),
        (_images(1, 5, 6, 2), _images(2, 3, 2, 1), _NO_BIAS, 1, 0),
        (_images(2, 5, 6, 2), _images(2, 3, 2, 3), np.zeros(3), 1, 0),
        (_images(2, 5, 6, 2), _images(2, 3, 2, 3), _images(3), 1, 0),
        (_images(2, 7, 6, 2), _images(2, 3, 2, 3), _images(3), 2, 0),
        (_images(2, 7, 6, 2), _images(2, 3, 2, 3), _images(3), 1, 1),
        (_images(2, 7, 6, 2), _images(2, 3, 2, 3), _images(3), 2, 1),
    ],
    shortcuts=(np.correlate, np.convolve, nn.functional.conv2d, nn.Conv2D.forward),
    draw=_random_convolution,
    mistakes={
        "the kernel is flipped. This is the mathematical convolution; in deep learning, w[0, 0] meets the top left "
        "pixel of the window (a correlation).": lambda x, w, b, stride, padding: conv2d(
            x, w[::-1, ::-1], b, stride, padding
        ),
        "rows and columns of the kernel are swapped: w[kh, kw] meets row i + kh and column j + kw.": (
            lambda x, w, b, stride, padding: conv2d(x, w.transpose(1, 0, 2, 3), b, stride, padding)
        ),
        "rows and columns of the output are swapped: y is (N, OH, OW, K).": (
            lambda x, w, b, stride, padding: conv2d(x, w, b, stride, padding).transpose(0, 2, 1, 3)
        ),
        "only the first channel is used: sum over all channels of the window.": (
            lambda x, w, b, stride, padding: conv2d(x[..., :1], w[:, :, :1], b, stride, padding)
        ),
        "y contains only the last channel: add up the channels, += instead of =.": (
            lambda x, w, b, stride, padding: conv2d(x[..., -1:], w[:, :, -1:], b, stride, padding)
        ),
        "the channels are averaged: they must be summed.": (
            lambda x, w, b, stride, padding: conv2d(x / x.shape[3], w, b, stride, padding)
        ),
        "the bias is missing: add b[k] to every element of output channel k.": (
            lambda x, w, b, stride, padding: conv2d(x, w, 0 * b, stride, padding)
        ),
        "the padding is missing: first put rows and columns of zeros around each image.": (
            lambda x, w, b, stride, padding: conv2d(x, w, b, stride, 0)
        ),
        "the padding is only at the top and left: it goes to all four sides.": (
            lambda x, w, b, stride, padding: conv2d(
                np.pad(x, ((0, 0), (padding, 0), (padding, 0), (0, 0))), w, b, stride, 0
            )
        ),
        "the images are padded with their border pixels: pad with zeros.": lambda x, w, b, stride, padding: conv2d(
            np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="edge"), w, b, stride, 0
        ),
        "the stride is missing: the window of output (i, j) starts at row i stride and column j stride.": (
            lambda x, w, b, stride, padding: conv2d(x, w, b, 1, padding)
        ),
        "y has the right size, but its windows move by one pixel: they start at i stride and j stride.": (
            lambda x, w, b, stride, padding: _crowded(x, w, b, stride, padding)
        ),
    },
)


def _crowded(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    """Windows of stride 1, as many as with the given stride."""
    _, OH, OW, _ = conv2d(x, w, b, stride, padding).shape
    return conv2d(x, w, b, 1, padding)[:, :OH, :OW]


def im2col(x: Array, KH: int, KW: int) -> Array:
    """The windows of one image x (H, W, C) as the rows of a matrix (OH OW, KH KW C)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(0, 1))  # (OH, OW, C, KH, KW)
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, KH * KW * x.shape[2])


check_im2col = Exercise(
    im2col,
    examples=[(_images(3, 3, 1), 1, 1), (_images(4, 5, 1), 2, 3), (_images(4, 5, 2), 2, 3)],
    draw=lambda rng: (rng.normal(size=rng.integers(3, 7, 3)), *(int(k) for k in rng.integers(1, 4, 2))),
    mistakes={
        "the windows are columns: here each window is a row, (OH OW, KH KW C).": lambda x, KH, KW: im2col(x, KH, KW).T,
        "the elements of a window are in the order (C, KH, KW), but those of w in (KH, KW, C).": (
            lambda x, KH, KW: (
                im2col(x, KH, KW).reshape(-1, KH * KW, x.shape[2]).swapaxes(1, 2).reshape(-1, KH * KW * x.shape[2])
            )
        ),
        "the rows and columns of each window are swapped.": lambda x, KH, KW: (
            im2col(x, KH, KW).reshape(-1, KH, KW, x.shape[2]).transpose(0, 2, 1, 3).reshape(-1, KH * KW * x.shape[2])
        ),
        "the windows go down the columns of the image: they must go along its rows, like the outputs.": (
            lambda x, KH, KW: (
                im2col(x, KH, KW)
                .reshape(x.shape[0] - KH + 1, x.shape[1] - KW + 1, -1)
                .swapaxes(0, 1)
                .reshape(-1, KH * KW * x.shape[2])
            )
        ),
        "the last windows are missing: there are H - KH + 1 rows and W - KW + 1 columns of them.": (
            lambda x, KH, KW: im2col(x[:-1, :-1], KH, KW)
        ),
        "this is the transposed matrix in the wrong shape: build it row by row.": (
            lambda x, KH, KW: im2col(x, KH, KW).T.reshape(-1, KH * KW * x.shape[2])
        ),
    },
)


def winograd(x: Array, g: Array) -> Array:
    """Two outputs of a filter g (3,) on x (4,), with four multiplications: Winograd's F(2, 3)."""
    m = (
        (x[0] - x[2]) * g[0],
        (x[1] + x[2]) * (g[0] + g[1] + g[2]) / 2,
        (x[2] - x[1]) * (g[0] - g[1] + g[2]) / 2,
        (x[1] - x[3]) * g[2],
    )
    return np.array([m[0] + m[1] + m[2], m[1] - m[2] - m[3]])


def _wrong_winograd(x: Array, g: Array, halves: float = 2, last: float = 1, third: float = 1) -> Array:
    m1, m4 = (x[0] - x[2]) * g[0], last * (x[1] - x[3]) * g[2]
    m2 = (x[1] + x[2]) * (g[0] + g[1] + g[2]) / halves
    m3 = third * (x[2] - x[1]) * (g[0] - g[1] + g[2]) / halves
    return np.array([m1 + m2 + m3, m2 - m3 - m4])


check_winograd = Exercise(
    winograd,
    examples=[(np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.0, 3.0, 5.0])), (_images(4), _images(3))],
    draw=lambda rng: (rng.normal(size=4), rng.normal(size=3)),
    shortcuts=(np.correlate, np.convolve),
    mistakes={
        "the kernel is flipped: g[0] meets the first of its three inputs.": lambda x, g: winograd(x, g[::-1]),
        "the sums of the filter are not halved: m2 and m3 both need the factor 1/2.": lambda x, g: _wrong_winograd(
            x, g, halves=1
        ),
        "the sign of m4 is wrong: it contains x1 - x3, and is subtracted.": lambda x, g: _wrong_winograd(x, g, last=-1),
        "the sign of m3 is wrong: it contains x2 - x1, and y = (m1 + m2 + m3, m2 - m3 - m4).": lambda x, g: (
            _wrong_winograd(x, g, third=-1)
        ),
        "the two outputs are swapped.": lambda x, g: winograd(x, g)[::-1],
    },
)
