"""The exercises of ``08_pooling_relu_dense``."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from .convolution import in_one_row
from .exercise import Exercise

Array = NDArray[Any]
Slices = tuple[slice, slice, slice]


def max_pool(x: Array, size: int, stride: int) -> Array:
    """The maximum of each window of images x (N, H, W, C), in every channel."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.asarray(windows[:, ::stride, ::stride].max(axis=(4, 5)))


def max_pool_backward(dy: Array, x: Array, size: int, stride: int) -> Array:
    """The gradient for x (N, H, W, C): every dy goes to the largest value of its window, and ties to the first."""
    largest, at = np.full(dy.shape, -np.inf), np.zeros(dy.shape)
    for number, pixels in enumerate(_under(dy, size, stride)):
        at[x[pixels] > largest] = number
        largest = np.maximum(x[pixels], largest)
    dx = np.zeros_like(x)
    for number, pixels in enumerate(_under(dy, size, stride)):
        dx[pixels] += dy * (at == number)
    return dx


def _under(dy: Array, size: int, stride: int) -> Iterator[Slices]:
    """For each position in a window, the pixels that lie there in all windows."""
    _, OH, OW, _ = dy.shape
    for u, v in np.ndindex(size, size):
        yield slice(None), slice(u, u + OH * stride, stride), slice(v, v + OW * stride, stride)


def _windows(x: Array, size: int, stride: int) -> Iterator[tuple[int, int, Slices]]:
    """The windows that fit into x (N, H, W, C): the position (i, j) of each in the output, and its pixels."""
    for i in range((x.shape[1] - size) // stride + 1):
        for j in range((x.shape[2] - size) // stride + 1):
            yield i, j, (slice(None), slice(i * stride, i * stride + size), slice(j * stride, j * stride + size))


def _pooled(x: Array, size: int, stride: int, summary: Callable[[Array], Any]) -> Array:
    """What ``summary`` makes of each window (N, size, size, C): an array (N, C)."""
    y = np.zeros_like(max_pool(x, size, stride))
    for i, j, window in _windows(x, size, stride):
        y[:, i, j] = summary(x[window])
    return y


def _crowded(x: Array, size: int, stride: int) -> Array:
    """Windows of stride 1, as many as with the given stride."""
    _, OH, OW, _ = max_pool(x, size, stride).shape
    return max_pool(x, size, 1)[:, :OH, :OW]


def _with_parts(x: Array, size: int, stride: int) -> Array:
    """Includes windows that extend beyond the bottom and right."""
    more = [(0, -(length - size) % stride) for length in x.shape[1:3]]
    return max_pool(np.pad(x, [(0, 0), *more, (0, 0)], constant_values=-np.inf), size, stride)


_X = np.random.default_rng(3).permutation(252).reshape(2, 7, 9, 2) - 80.0
_DEEP = -1.0 - np.abs(_X)


def _random_pool(rng: np.random.Generator) -> tuple[Array, Array, int, int]:
    """Gradients, images with some equal pixels, a size and a stride."""
    size, stride = (int(length) for length in rng.integers(1, 4, 2))
    x = rng.integers(-9, 9, (*rng.integers(1, 3, 1), *rng.integers(3, 9, 2), *rng.integers(1, 4, 1))) / 2
    return rng.normal(size=max_pool(x, size, stride).shape), x, size, stride


check_max_pool = Exercise(
    max_pool,
    examples=[
        (_X[:1, :4, :4, :1], 2, 2),
        (_X[:1, :4, :6, :1], 2, 2),
        (_DEEP[:1, :4, :6, :1], 2, 2),
        (_X[:, :4, :6], 2, 2),
        (_X, 2, 2),
        (_X, 3, 2),
    ],
    draw=lambda rng: _random_pool(rng)[1:],
    shortcuts=(nn.functional.max_pool2d, nn.MaxPooling2D.forward),
    mistakes={
        "this is the mean of each window: max pooling keeps the largest value.": (
            lambda x, size, stride: _pooled(x, size, stride, lambda window: window.mean(axis=(1, 2)))
        ),
        "this is the smallest value of each window: return the largest.": (
            lambda x, size, stride: -max_pool(-x, size, stride)
        ),
        "this is the first value of each window: compare all of them.": (
            lambda x, size, stride: _pooled(x, size, stride, lambda window: window[:, 0, 0])
        ),
        "this is the last value of each window: compare it with those before, np.maximum(y, pixels).": (
            lambda x, size, stride: _pooled(x, size, stride, lambda window: window[:, -1, -1])
        ),
        "where all values are negative, the largest of them is still negative: do not start from 0.": (
            lambda x, size, stride: np.maximum(max_pool(x, size, stride), 0)
        ),
        "rows and columns of the output are swapped: y[:, i, j] belongs to row i stride and column j stride of x.": (
            lambda x, size, stride: max_pool(x, size, stride).swapaxes(1, 2)
        ),
        "all channels have the same maximum: pool each channel by itself.": lambda x, size, stride: _pooled(
            x, size, stride, lambda window: window.max(axis=(1, 2, 3))[:, None]
        ),
        "the channels are gone: pool each channel by itself, y is (N, OH, OW, C).": (
            lambda x, size, stride: max_pool(x, size, stride).max(axis=3)
        ),
        "all images have the same maximum: pool each image by itself.": lambda x, size, stride: _pooled(
            x, size, stride, lambda window: window.max(axis=(0, 1, 2))
        ),
        "the stride is missing: the window of y[:, i, j] starts at row i stride and column j stride.": (
            lambda x, size, stride: max_pool(x, size, 1)
        ),
        "y has the right size, but its windows move by one pixel: they start at i stride and j stride.": _crowded,
        "the windows move by their own size: they start at i stride and j stride.": (
            lambda x, size, stride: max_pool(x, size, size)
        ),
        "a window that extends beyond the image does not count: there are (H - size) // stride + 1 rows.": _with_parts,
    },
)


def _spread(
    dy: Array, x: Array, size: int, stride: int, shares: Callable[[Array], Any], keep: Callable[[Array], Any] = np.copy
) -> Array:
    """Distribute every dy among the pixels of its window, and add it to the part of their gradient that is kept."""
    dx = np.zeros_like(x)
    for i, j, window in _windows(x, size, stride):
        dx[window] = keep(dx[window]) + shares(x[window]) * dy[:, i : i + 1, j : j + 1]
    return dx


def _is_largest(window: Array) -> Array:
    """Where a window (N, size, size, C) has its largest value, in each image and channel."""
    return np.asarray(window == window.max(axis=(1, 2), keepdims=True))


def _is_first(window: Array) -> Array:
    """Where it has the first of them."""
    return max_pool_backward(np.ones((len(window), 1, 1, window.shape[3])), window, window.shape[1], 1)


def _overwrites(dy: Array, x: Array, size: int, stride: int) -> Array:
    """Where windows overlap, a pixel keeps only the contribution of the last one."""
    dx = np.zeros_like(x)
    for i, j, window in _windows(x, size, stride):
        dx[window] = np.where(_is_first(x[window]) > 0, dy[:, i : i + 1, j : j + 1], dx[window])
    return dx


def _last_position(dy: Array, x: Array, size: int, stride: int) -> Array:
    """A pixel keeps only what it gets at its last position in a window."""
    dx = np.zeros_like(x)
    at = np.zeros(dy.shape)
    for i, j, window in _windows(x, size, stride):
        first = _is_first(x[window]).reshape(len(x), size * size, x.shape[3])
        at[:, i, j] = first.argmax(axis=1)
    for number, pixels in enumerate(_under(dy, size, stride)):
        dx[pixels] = dy * (at == number)
    return dx


_TIES = np.array([[1.0, 1, 0, 2], [0, 1, 2, 2], [3, 0, 5, 0], [0, 3, 0, 5]])[None, :, :, None]
_HILL = np.array([[1.0, 2, 3, 1], [2, 9, 4, 0], [3, 5, 8, 1], [1, 0, 2, 7]])[None, :, :, None]
_DY = np.random.default_rng(4).normal(size=(2, 3, 4, 2))

check_max_pool_backward = Exercise(
    max_pool_backward,
    examples=[
        (_DY[:1, :2, :2, :1], _HILL, 2, 2),
        (_DY[:1, :2, :2, :1], _TIES, 2, 2),
        (_DY[:1, :, :3, :1], _HILL, 2, 1),
        (_DY[:, :2, :2], _X[:, :4, :4], 2, 2),
        (_DY, _X, 3, 2),
    ],
    draw=_random_pool,
    shortcuts=(nn.functional.max_pool2d, nn.MaxPooling2D.forward),
    mistakes={
        "every pixel of a window gets its dy: only the largest affects y.": (
            lambda dy, x, size, stride: _spread(dy, x, size, stride, np.ones_like)
        ),
        "dy is divided evenly, as for the mean: here the largest pixel gets all of it.": (
            lambda dy, x, size, stride: _spread(dy, x, size, stride, lambda window: np.ones_like(window) / size**2)
        ),
        "this marks the positions of the maxima: they get dy, not 1.": (
            lambda dy, x, size, stride: max_pool_backward(np.ones_like(dy), x, size, stride)
        ),
        "dy is multiplied by the maximum: y is the pixel itself, so its slope is 1.": (
            lambda dy, x, size, stride: _spread(dy, x, size, stride, lambda window: _is_largest(window) * window)
        ),
        "all of several equal values get the gradient: give it only to the first, as in minidl.": (
            lambda dy, x, size, stride: _spread(dy, x, size, stride, _is_largest)
        ),
        "each of several equal values gets a share of the gradient: give it only to the first, as in minidl.": (
            lambda dy, x, size, stride: _spread(
                dy, x, size, stride, lambda window: _is_largest(window) / _is_largest(window).sum((1, 2), keepdims=True)
            )
        ),
        "the last of several equal values gets the gradient: give it to the first, as np.argmax.": (
            lambda dy, x, size, stride: _spread(
                dy, x, size, stride, lambda window: _is_first(window[:, ::-1, ::-1])[:, ::-1, ::-1]
            )
        ),
        "a pixel that is the maximum of several windows gets several gradients: add them, += instead of =.": (
            _overwrites
        ),
        "each window overwrites what its neighbours gave to shared pixels: add, += instead of =.": (
            lambda dy, x, size, stride: _spread(dy, x, size, stride, _is_first, np.zeros_like)
        ),
        "each position of the window overwrites what the others gave to shared pixels: add, += instead of =.": (
            _last_position
        ),
        "only the largest of all channels gets a gradient: each channel has a maximum of its own.": (
            lambda dy, x, size, stride: _spread(
                dy, x, size, stride, lambda window: _is_first(window) * (window == window.max((1, 2, 3), keepdims=True))
            )
        ),
    },
)


def relu_backward(dy: Array, x: Array) -> Array:
    """The gradient for x, given dy for y = max(x, 0); at 0 the slope is 0."""
    return np.where(x > 0, dy, 0.0)


_SIGNS = np.array([3.0, -2.0, 0.5, -1.0, 4.0])

check_relu_backward = Exercise(
    relu_backward,
    examples=[
        (np.array([2.0, -5.0, 7.0, 3.0, -1.0]), _SIGNS),
        (np.array([2.0, -5.0, 7.0, 3.0, -1.0]), np.array([3.0, 0.0, 0.0, -1.0, 4.0])),
        (_X[:, :2, :3], _X[:, 2:4, :3]),
    ],
    draw=lambda rng: tuple(rng.normal(size=(2, 2, 3, 4))),
    shortcuts=(nn.functional.relu, nn.ReLU.forward),
    mistakes={
        "this is only ReLU's slope: multiply it by the gradient of the output, dy.": lambda dy, x: 1.0 * (x > 0),
        "this is ReLU of x: the backward pass passes dy on, where x is positive.": lambda dy, x: np.maximum(x, 0),
        "this is ReLU of dy: whether a gradient passes depends on the sign of x, not of dy.": lambda dy, x: np.maximum(
            dy, 0
        ),
        "everything passes: where x is negative, y does not change, and nothing passes.": lambda dy, x: dy,
        "it is the other way round: dy passes where x is positive.": lambda dy, x: dy * (x <= 0),
        "dy is multiplied by x: ReLU's slope is 1 or 0.": lambda dy, x: dy * np.maximum(x, 0),
        "at 0 itself there is a kink and no derivative. As in minidl, let it be 0 there.": lambda dy, x: dy * (x >= 0),
        "where x is negative the slope is 0, not -1.": lambda dy, x: dy * np.sign(x),
    },
)


def dense_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """The gradients (dx, dw, db) of y = x w + b, given dy (N, out), x (N, in) and w (in, out)."""
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


def _and(*parts: int) -> Callable[..., tuple[Array, ...]]:
    """The correct gradients in another order."""
    return lambda dy, x, w: tuple(dense_backward(dy, x, w)[part] for part in parts)


_RNG = np.random.default_rng(5)


def _random_dense(rng: np.random.Generator, N: int, inputs: int, outputs: int) -> tuple[Array, Array, Array]:
    return rng.normal(size=(N, outputs)), rng.normal(size=(N, inputs)), rng.normal(size=(inputs, outputs))


check_dense_backward = Exercise(
    dense_backward,
    examples=[_random_dense(_RNG, 3, 3, 3), _random_dense(_RNG, 4, 3, 2)],
    numbers=in_one_row,
    form="three arrays, (dx, dw, db)",
    shortcuts=(nn.functional.linear, nn.Dense.forward),
    draw=lambda rng: _random_dense(rng, *rng.integers(1, 6, 3)),
    mistakes={
        "in dx the weights are not transposed: dy (N, out) comes back through w.T (out, in).": lambda dy, x, w: (
            dy @ w,
            x.T @ dy,
            dy.sum(axis=0),
        ),
        "in dx the factors are swapped: rows of dy are multiplied by w.T, so it is dy @ w.T.": lambda dy, x, w: (
            w.T @ dy,
            x.T @ dy,
            dy.sum(axis=0),
        ),
        "dw is transposed: it has the shape of w, (in, out), so it is x.T @ dy.": lambda dy, x, w: (
            dy @ w.T,
            dy.T @ x,
            dy.sum(axis=0),
        ),
        "in dw the sum is over the wrong axis: sum over the samples, x.T @ dy.": lambda dy, x, w: (
            dy @ w.T,
            x @ dy,
            dy.sum(axis=0),
        ),
        "dw is averaged over the samples: their effects on the loss add up. (The loss itself takes the mean.)": (
            lambda dy, x, w: (dy @ w.T, x.T @ dy / len(x), dy.sum(axis=0))
        ),
        "db is averaged over the samples: their effects on the loss add up.": lambda dy, x, w: (
            dy @ w.T,
            x.T @ dy,
            dy.mean(axis=0),
        ),
        "db is not summed yet: b was added to every sample, so its gradient is the sum of dy over them.": (
            lambda dy, x, w: (dy @ w.T, x.T @ dy, dy)
        ),
        "db is summed over the outputs: it has one element per output, so sum over the samples, axis 0.": (
            lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.sum(axis=1))
        ),
        "dx does not depend on dy: every gradient is something times dy.": lambda dy, x, w: (
            np.ones_like(dy) @ w.T,
            x.T @ dy,
            dy.sum(axis=0),
        ),
        "dx and dw are swapped: the order is dx, dw, db.": _and(1, 0, 2),
        "the order is dx, dw, db: here db comes first.": _and(2, 0, 1),
    },
)
