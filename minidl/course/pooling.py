"""The exercises of ``08_pooling_relu_dense``."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]


def _windows(x: Array, size: int, stride: int) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """The windows that fit into x (H, W): the position (i, j) of each in the output, and its pixels."""
    for i in range((x.shape[0] - size) // stride + 1):
        for j in range((x.shape[1] - size) // stride + 1):
            yield i, j, (slice(i * stride, i * stride + size), slice(j * stride, j * stride + size))


def max_pool(x: Array, size: int, stride: int) -> Array:
    """The maximum of each window of one plane x (H, W)."""
    return _pooled(x, size, stride, np.max)


def _pooled(x: Array, size: int, stride: int, summary: Callable[[Array], Any]) -> Array:
    y = np.zeros([(length - size) // stride + 1 for length in x.shape])
    for i, j, window in _windows(x, size, stride):
        y[i, j] = summary(x[window])
    return y


def _crowded(x: Array, size: int, stride: int) -> Array:
    """Windows of stride 1, as many as with the given stride."""
    OH, OW = max_pool(x, size, stride).shape
    return max_pool(x, size, 1)[:OH, :OW]


def _with_parts(x: Array, size: int, stride: int) -> Array:
    """Includes windows that extend beyond the bottom and right."""
    more = [(0, -(length - size) % stride) for length in x.shape]
    return max_pool(np.pad(x, more, constant_values=-np.inf), size, stride)


_PLANE = np.random.default_rng(3).permutation(63).reshape(7, 9) - 20.0
_DEEP = -1.0 - np.abs(_PLANE)


def _random_pool(rng: np.random.Generator) -> tuple[Array, Array, int, int]:
    """Gradients, a plane with some equal pixels, a size and a stride."""
    size, stride = (int(length) for length in rng.integers(1, 4, 2))
    x = rng.integers(-9, 9, rng.integers(3, 9, 2)) / 2
    return rng.normal(size=[(length - size) // stride + 1 for length in x.shape]), x, size, stride


check_max_pool = Exercise(
    max_pool,
    examples=[(_PLANE[:4, :4], 2, 2), (_PLANE[:4, :6], 2, 2), (_DEEP[:4, :6], 2, 2), (_PLANE, 2, 2), (_PLANE, 3, 2)],
    draw=lambda rng: _random_pool(rng)[1:],
    mistakes={
        "this is the mean of each window: max pooling keeps the largest value.": (
            lambda x, size, stride: _pooled(x, size, stride, np.mean)
        ),
        "this is the smallest value of each window: return the largest.": (
            lambda x, size, stride: _pooled(x, size, stride, np.min)
        ),
        "this is the first value of each window: compare all of them.": (
            lambda x, size, stride: _pooled(x, size, stride, lambda window: window[0, 0])
        ),
        "where all values are negative, the largest of them is still negative: do not start from 0.": (
            lambda x, size, stride: np.maximum(max_pool(x, size, stride), 0)
        ),
        "rows and columns of the output are swapped: y[i, j] belongs to row i stride and column j stride of x.": (
            lambda x, size, stride: max_pool(x, size, stride).T
        ),
        "the stride is missing: the window of y[i, j] starts at row i stride and column j stride.": (
            lambda x, size, stride: max_pool(x, size, 1)
        ),
        "y has the right size, but its windows move by one pixel: they start at i stride and j stride.": _crowded,
        "the windows move by their own size: they start at i stride and j stride.": (
            lambda x, size, stride: max_pool(x, size, size)
        ),
        "a window that extends beyond the image does not count: there are (H - size) // stride + 1 rows.": _with_parts,
    },
)


def max_pool_backward(dy: Array, x: Array, size: int, stride: int) -> Array:
    """The gradient for x (H, W): every dy goes to the largest value of its window, and ties to the first."""

    def largest(window: Array) -> Any:
        return np.equal(np.arange(window.size).reshape(window.shape), window.argmax())

    return _spread(dy, x, size, stride, largest)


def _spread(
    dy: Array, x: Array, size: int, stride: int, shares: Callable[[Array], Any], keep: Callable[[Array], Any] = np.copy
) -> Array:
    """Distribute every dy among the pixels of its window, and add it to the part of their gradient that is kept."""
    dx = np.zeros_like(x)
    for i, j, window in _windows(x, size, stride):
        dx[window] = keep(dx[window]) + shares(x[window]) * dy[i, j]
    return dx


def _overwrites(dy: Array, x: Array, size: int, stride: int) -> Array:
    """Where windows overlap, a pixel keeps only the contribution of the last one."""
    dx = np.zeros_like(x)
    for i, j, window in _windows(x, size, stride):
        row, column = np.unravel_index(x[window].argmax(), (size, size))
        dx[window][row, column] = dy[i, j]
    return dx


def _last_of_equals(dy: Array, x: Array, size: int, stride: int) -> Array:
    def last(window: Array) -> Any:
        numbers = np.arange(window.size).reshape(window.shape)
        return np.equal(numbers, window.size - 1 - window.ravel()[::-1].argmax())

    return _spread(dy, x, size, stride, last)


_TIES = np.array([[1.0, 1, 0, 2], [0, 1, 2, 2], [3, 0, 5, 0], [0, 3, 0, 5]])
_HILL = np.array([[1.0, 2, 3, 1], [2, 9, 4, 0], [3, 5, 8, 1], [1, 0, 2, 7]])
_DY = np.random.default_rng(4).normal(size=(3, 4))

check_max_pool_backward = Exercise(
    max_pool_backward,
    examples=[
        (_DY[:2, :2], _HILL, 2, 2),
        (_DY[:2, :2], _TIES, 2, 2),
        (_DY[:, :3], _HILL, 2, 1),
        (_DY, _PLANE, 3, 2),
    ],
    draw=_random_pool,
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
            lambda dy, x, size, stride: _spread(dy, x, size, stride, lambda window: (window == window.max()) * window)
        ),
        "all of several equal values get the gradient: give it only to the first, as in minidl.": (
            lambda dy, x, size, stride: _spread(dy, x, size, stride, lambda window: window == window.max())
        ),
        "each of several equal values gets a share of the gradient: give it only to the first, as in minidl.": (
            lambda dy, x, size, stride: _spread(
                dy, x, size, stride, lambda window: (window == window.max()) / (window == window.max()).sum()
            )
        ),
        "the last of several equal values gets the gradient: give it to the first, as np.argmax.": _last_of_equals,
        "a pixel that is the maximum of several windows gets several gradients: add them, += instead of =.": (
            _overwrites
        ),
        "each window overwrites what its neighbours gave to shared pixels: add, += instead of =.": (
            lambda dy, x, size, stride: _spread(
                dy, x, size, stride, lambda window: max_pool_backward(np.ones((1, 1)), window, size, 1), np.zeros_like
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
        (_PLANE[:2, :3], _PLANE[2:4, :3]),
    ],
    draw=lambda rng: tuple(rng.normal(size=(2, 3, 4))),
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


def _flat(answer: Any, *example: Any) -> Array:
    dx, dw, db = answer
    return np.concatenate([np.ravel(part) for part in (dx, dw, db)])


check_dense_backward = Exercise(
    dense_backward,
    examples=[_random_dense(_RNG, 3, 3, 3), _random_dense(_RNG, 4, 3, 2)],
    numbers=_flat,
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
