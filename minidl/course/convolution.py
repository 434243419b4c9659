"""The exercises of ``07_convolution``."""

from collections.abc import Callable, Sequence
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
    """The convolution of images x (N, H, W, C) with kernels w (KH, KW, C, K) and biases b (K,).

    A loop over the positions in the kernel: each meets the same image, shifted.
    """
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    KH, KW, _, K = w.shape
    OH, OW = (x.shape[1] - KH) // stride + 1, (x.shape[2] - KW) // stride + 1
    y = np.zeros((len(x), OH, OW, K), x.dtype) + b
    for u, v in np.ndindex(KH, KW):
        y += x[:, u : u + OH * stride : stride, v : v + OW * stride : stride] @ w[u, v]
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
        "y contains only the last position of the kernel: add up the products, += instead of =.": (
            lambda x, w, b, stride, padding: conv2d(x, _last_position(w), 0 * b, stride, padding)
        ),
        "the bias is added once for each position of the kernel: add it once.": lambda x, w, b, stride, padding: conv2d(
            x, w, b * w.shape[0] * w.shape[1], stride, padding
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


def _last_position(w: Array) -> Array:
    """A kernel with all weights 0, except those of its last position."""
    last = np.zeros_like(w)
    last[-1, -1] = w[-1, -1]
    return last


def _crowded(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    """Windows of stride 1, as many as with the given stride."""
    _, OH, OW, _ = conv2d(x, w, b, stride, padding).shape
    return conv2d(x, w, b, 1, padding)[:, :OH, :OW]


def conv2d_backward(dy: Array, x: Array, w: Array, stride: int, padding: int) -> tuple[Array, Array, Array]:
    """The gradients (dx, dw, db) of a convolution, given dy (N, OH, OW, K), x (N, H, W, C) and w (KH, KW, C, K)."""
    H, W, C = x.shape[1:]
    padded = _with_border(x, padding)
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    for u, v in np.ndindex(w.shape[:2]):
        pixels = _under(u, v, dy, stride)
        dx[pixels] += dy @ w[u, v].T
        dw[u, v] = padded[pixels].reshape(-1, C).T @ dy.reshape(-1, w.shape[3])
    return dx[:, padding : padding + H, padding : padding + W], dw, dy.sum(axis=(0, 1, 2))


def _with_border(x: Array, padding: int) -> Array:
    return np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _under(u: int, v: int, dy: Array, stride: int) -> tuple[slice, slice, slice]:
    """The pixels that the position (u, v) of the kernel meets in all windows, as an index of the padded images."""
    _, OH, OW, _ = dy.shape
    return slice(None), slice(u, u + OH * stride, stride), slice(v, v + OW * stride, stride)


def in_one_row(answer: Any, *example: Any) -> Array:
    """The numbers of a tuple (dx, dw, db), one after the other."""
    dx, dw, db = answer
    return np.concatenate([np.ravel(part) for part in (dx, dw, db)])


Gradients = tuple[Array, Array, Array]


def _wrong(change: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    """A mistake: ``change`` gets the correct (dx, dw, db), then the arguments."""
    return lambda *arguments: change(conv2d_backward(*arguments), *arguments)


def _padded_dx(dy: Array, x: Array, w: Array, stride: int, padding: int) -> Array:
    return conv2d_backward(dy, _with_border(x, padding), w, stride, 0)[0]


def _overwriting(by_window: bool, dy: Array, x: Array, w: Array, stride: int, padding: int) -> Gradients:
    """What was last written to each pixel of dx, by a window or by a position of the kernel."""
    dx, dw, db = conv2d_backward(dy, x, w, stride, padding)
    dx = _with_border(np.zeros_like(dx), padding)
    for i, j in np.ndindex(dy.shape[1:3] if by_window else (0, 0)):
        place = (slice(None), slice(i * stride, i * stride + len(w)), slice(j * stride, j * stride + w.shape[1]))
        dx[place] = np.tensordot(dy[:, i, j], w, (1, 3))
    for u, v in np.ndindex((0, 0) if by_window else w.shape[:2]):
        dx[_under(u, v, dy, stride)] = dy @ w[u, v].T
    return dx[:, padding : padding + x.shape[1], padding : padding + x.shape[2]], dw, db


def _without_stride(dy: Array, x: Array, w: Array, stride: int, padding: int) -> Gradients:
    """The windows move by one pixel."""
    padded, dx = _with_border(x, padding), _with_border(0 * x, padding)
    near = (slice(None), slice(len(w) + dy.shape[1] - 1), slice(w.shape[1] + dy.shape[2] - 1))
    dx[near], dw, db = conv2d_backward(dy, padded[near], w, 1, 0)
    return dx[:, padding : padding + x.shape[1], padding : padding + x.shape[2]], dw, db


def _of_last_window(dy: Array, *arguments: Any) -> Array:
    last = np.zeros_like(dy)
    last[:, -1, -1] = dy[:, -1, -1]
    return conv2d_backward(last, *arguments)[1]


def _without_padding(dy: Array, x: Array, w: Array, stride: int, padding: int) -> Gradients:
    dx, dw, db = conv2d_backward(dy, x, w, stride, padding)
    for u, v in np.ndindex(w.shape[:2]):
        dw[u, v] = x[_under(u, v, dy, stride)].reshape(-1, x.shape[3]).T @ dy.reshape(-1, w.shape[3])
    return dx, dw, db


def _with_gradient(rng: np.random.Generator, x: Array, w: Array, stride: int, padding: int) -> tuple[Any, ...]:
    """An example: a gradient dy of the right shape, and what comes after it."""
    shape = conv2d(x, w, np.zeros(w.shape[3]), stride, padding).shape
    return rng.normal(size=shape), x, w, stride, padding


def _random_gradient(rng: np.random.Generator) -> tuple[Any, ...]:
    x, w, _, stride, padding = _random_convolution(rng)
    return _with_gradient(rng, x, w, stride, padding)


_RNG = np.random.default_rng(7)

check_conv2d_backward = Exercise(
    conv2d_backward,
    examples=[
        _with_gradient(_RNG, _images(1, 2, 3, 1), _images(1, 1, 1, 1), 1, 0),
        _with_gradient(_RNG, _images(1, 4, 5, 1), _images(2, 3, 1, 1), 1, 0),
        _with_gradient(_RNG, _images(1, 4, 5, 2), _images(2, 3, 2, 2), 1, 0),
        _with_gradient(_RNG, _images(2, 5, 6, 2), _images(2, 3, 2, 3), 1, 0),
        _with_gradient(_RNG, _images(2, 7, 6, 2), _images(2, 3, 2, 3), 2, 0),
        _with_gradient(_RNG, _images(2, 7, 6, 2), _images(2, 3, 2, 3), 1, 1),
        _with_gradient(_RNG, _images(2, 8, 6, 2), _images(2, 3, 2, 3), 3, 2),
    ],
    draw=_random_gradient,
    numbers=in_one_row,
    form="three arrays, (dx, dw, db)",
    shortcuts=(np.correlate, np.convolve, nn.functional.conv2d, nn.Conv2D.forward),
    mistakes={
        "dx and dw are swapped: the order is dx, dw, db.": _wrong(lambda right, *_: (right[1], right[0], right[2])),
        "the order is dx, dw, db: here db comes first.": _wrong(lambda right, *_: (right[2], right[0], right[1])),
        "dx is empty where padding is 0, because -0 is 0: cut the padding off with padding : padding + H.": _wrong(
            lambda right, dy, x, w, stride, padding: (
                _padded_dx(dy, x, w, stride, padding)[:, padding:-padding, padding:-padding],
                *right[1:],
            )
        ),
        "dw does not depend on dy: multiply the pixels by the dy of their window.": _wrong(
            lambda right, dy, *rest: (right[0], conv2d_backward(np.ones_like(dy), *rest)[1], right[2])
        ),
        "dx does not depend on dy: every gradient is something times dy.": _wrong(
            lambda right, dy, *rest: (conv2d_backward(np.ones_like(dy), *rest)[0], *right[1:])
        ),
        "each window overwrites what its neighbours gave to shared pixels: add to dx, += instead of =.": (
            lambda *arguments: _overwriting(True, *arguments)
        ),
        "each position of the kernel overwrites what the others gave to dx: add, += instead of =.": (
            lambda *arguments: _overwriting(False, *arguments)
        ),
        "dw holds the last window only: all windows used the same weights, so add, += instead of =.": _wrong(
            lambda right, *arguments: (right[0], _of_last_window(*arguments), right[2])
        ),
        "dx meets the kernel flipped: the pixel at row i stride + u got its weight w[u, v].": _wrong(
            lambda right, dy, x, w, *rest: (conv2d_backward(dy, x, w[::-1, ::-1], *rest)[0], *right[1:])
        ),
        "dw is flipped: dw[u, v] sums the pixels at row i stride + u and column j stride + v.": _wrong(
            lambda right, *_: (right[0], right[1][::-1, ::-1], right[2])
        ),
        "dw is transposed: dw[u, v] has the shape (C, K), so it is the pixels transposed times dy.": _wrong(
            lambda right, *_: (right[0], right[1].swapaxes(2, 3), right[2])
        ),
        "in dx the weights are not transposed: dy (..., K) comes back through w[u, v].T (K, C).": _wrong(
            lambda right, dy, x, w, *rest: (conv2d_backward(dy, x, w.swapaxes(2, 3), *rest)[0], *right[1:])
        ),
        "dw is averaged over the images: their effects on the loss add up.": _wrong(
            lambda right, dy, *_: (right[0], right[1] / len(dy), right[2])
        ),
        "db is a mean: b was added to every output of its channel, so its gradient is the sum of their dy.": _wrong(
            lambda right, dy, *_: (right[0], right[1], dy.mean(axis=(0, 1, 2)))
        ),
        "db is summed over the images only: sum over rows and columns as well, axis=(0, 1, 2).": _wrong(
            lambda right, dy, *_: (right[0], right[1], dy.sum(axis=0))
        ),
        "db is one number: there is one for each channel, so do not sum over the last axis.": _wrong(
            lambda right, dy, *_: (right[0], right[1], dy.sum())
        ),
        "the stride is missing: the window of dy[:, i, j] starts at row i stride and column j stride.": _without_stride,
        "dx is cut off at the end only: its padding is at the top and left, too, padding : padding + H.": _wrong(
            lambda right, dy, x, *rest: (_padded_dx(dy, x, *rest)[:, : x.shape[1], : x.shape[2]], *right[1:])
        ),
        "dx still has its padding: cut it off, so that dx has the shape of x.": _wrong(
            lambda right, *arguments: (_padded_dx(*arguments), *right[1:])
        ),
        "dw meets the images without their padding: pad x first, as in the forward pass.": _without_padding,
    },
)
