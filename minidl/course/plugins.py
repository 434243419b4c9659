"""The exercises of ``16_plugins``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]

_RNG = np.random.default_rng(4)


def power_mean(x: Array, p: float) -> Array:
    """The p-th root of the mean of the p-th powers, (N,), for each row of positive x (N, n)."""
    mean: Array = np.mean(x**p, axis=1) ** (1 / p)
    return mean


check_power_mean = Exercise(
    power_mean,
    examples=[(np.array([[3.0, 5.0]]), 1.0), (np.array([[3.0, 5.0]]), 2.0), (_RNG.uniform(0.2, 3, (4, 3)), 3.0)],
    draw=lambda rng: (rng.uniform(0.2, 3, rng.integers(1, 5, 2)), float(rng.uniform(0.5, 5))),
    mistakes={
        "these are sums: divide by the length of a row before taking the root.": lambda x, p: (
            np.sum(x**p, axis=1) ** (1 / p)
        ),
        "the root is missing: the mean of the powers is raised to 1 / p at the end.": lambda x, p: np.mean(
            x**p, axis=1
        ),
        "this is the plain mean of each row: first raise the elements to the power p.": lambda x, p: np.mean(x, axis=1),
        "the mean is raised to p, and the elements to 1 / p: it must be the other way round.": lambda x, p: (
            np.mean(x ** (1 / p), axis=1) ** p
        ),
        "the root is always the square root here: raise to 1 / p.": lambda x, p: np.sqrt(np.mean(x**p, axis=1)),
        "this is one mean of all elements: take one per row, axis=1.": lambda x, p: np.mean(x**p) ** (1 / p),
        "these are the means of the columns: a row is averaged over axis=1.": lambda x, p: (
            np.mean(x**p, axis=0) ** (1 / p)
        ),
        "the mean is divided by p: the root is a power, ** (1 / p).": lambda x, p: np.mean(x**p, axis=1) / p,
    },
)


def adagrad_step(w: Array, dw: Array, v: Array, lr: float, eps: float) -> tuple[Array, Array]:
    """The weights and the sum of squares after one step: v = v + dw^2, w = w - lr dw / (sqrt(v) + eps)."""
    v = v + dw * dw
    return w - lr * dw / (v**0.5 + eps), v


def _flat(answer: Any, *example: Any) -> Array:
    return np.concatenate([np.ravel(part) for part in answer])


_W, _DW, _V = np.array([1.0, -2.0, 0.5]), np.array([3.0, 2.0, -1.0]), np.array([4.0, 0.5, 2.0])

check_adagrad_step = Exercise(
    adagrad_step,
    examples=[
        (_W, _DW, np.zeros(3), 0.1, 1e-8),
        (_W, _DW, _V, 0.1, 1e-8),
        (_W, _DW, _V, 0.1, 0.5),
    ],
    numbers=_flat,
    draw=lambda rng: (*rng.normal(size=(2, 4)), rng.uniform(0, 4, 4), *rng.uniform(0.01, 1, 2).tolist()),
    mistakes={
        "it climbs: subtract the gradient from w.": lambda w, dw, v, lr, eps: (
            w + lr * dw / ((v + dw * dw) ** 0.5 + eps),
            v + dw * dw,
        ),
        "the squares are not added up: v = v + dw * dw.": lambda w, dw, v, lr, eps: (
            w - lr * dw / ((dw * dw) ** 0.5 + eps),
            dw * dw,
        ),
        "v adds up the gradients themselves: add up their squares, dw * dw.": lambda w, dw, v, lr, eps: (
            w - lr * dw / ((v + dw) ** 0.5 + eps),
            v + dw,
        ),
        "v adds up the absolute values of the gradients: add up their squares, dw * dw.": lambda w, dw, v, lr, eps: (
            w - lr * dw / ((v + np.abs(dw)) ** 0.5 + eps),
            v + np.abs(dw),
        ),
        "the root is missing: the step is lr dw / (sqrt(v) + eps).": lambda w, dw, v, lr, eps: (
            w - lr * dw / (v + dw * dw + eps),
            v + dw * dw,
        ),
        "w moved by the old v: update v first, then w.": lambda w, dw, v, lr, eps: (
            w - lr * dw / (v**0.5 + eps),
            v + dw * dw,
        ),
        "eps is inside the root: it is added to sqrt(v).": lambda w, dw, v, lr, eps: (
            w - lr * dw / (v + dw * dw + eps) ** 0.5,
            v + dw * dw,
        ),
        "v is the new sum, but w moved by the plain gradient: divide by sqrt(v) + eps.": lambda w, dw, v, lr, eps: (
            w - lr * dw,
            v + dw * dw,
        ),
        "the learning rate is also in v: it belongs only to the step.": lambda w, dw, v, lr, eps: (
            w - lr * dw / ((v + lr * dw * dw) ** 0.5 + eps),
            v + lr * dw * dw,
        ),
        "the order is w, v.": lambda w, dw, v, lr, eps: adagrad_step(w, dw, v, lr, eps)[::-1],
    },
)


def window_pixels(H: int, W: int, KH: int, KW: int, stride: int) -> Array:
    """The indices of the pixels of each window (OH OW, KH KW), for pixels numbered row by row from 0."""
    return _pixels(H, W, KH, KW, stride)


def _pixels(
    H: int, W: int, KH: int, KW: int, stride: int, *, width: int = 0, move: tuple[int, int] = (0, 0), first: int = 0
) -> Array:
    """The indices of the pixels, correct unless a wrong row width, stride or start is passed."""
    down, right = move if any(move) else (stride, stride)
    rows = [
        [first + (i * down + a) * (width or W) + j * right + b for a in range(KH) for b in range(KW)]
        for i in range((H - KH) // stride + 1)
        for j in range((W - KW) // stride + 1)
    ]
    return np.array(rows)


def _sizes(H: int, W: int, KH: int, KW: int, stride: int) -> tuple[int, int]:
    return (H - KH) // stride + 1, (W - KW) // stride + 1


check_window_pixels = Exercise(
    window_pixels,
    examples=[(3, 5, 2, 2, 1), (5, 4, 2, 3, 1), (5, 7, 3, 2, 2)],
    draw=lambda rng: (*rng.integers(3, 9, 2).tolist(), *rng.integers(1, 4, 3).tolist()),
    mistakes={
        "a row of the image has W pixels: the pixel below is W further, not H.": lambda H, W, KH, KW, stride: _pixels(
            H, W, KH, KW, stride, width=H
        ),
        "the rows have the width of the output here: a row of the image has W pixels.": (
            lambda H, W, KH, KW, stride: _pixels(H, W, KH, KW, stride, width=_sizes(H, W, KH, KW, stride)[1])
        ),
        "the stride is missing: window (i, j) starts at row i * stride and column j * stride.": (
            lambda H, W, KH, KW, stride: _pixels(H, W, KH, KW, stride, move=(1, 1))
        ),
        "the stride is missing: there is a window at every stride-th row and column only.": (
            lambda H, W, KH, KW, stride: _pixels(H, W, KH, KW, 1)
        ),
        "the stride applies to both directions: it is missing for the columns.": lambda H, W, KH, KW, stride: _pixels(
            H, W, KH, KW, stride, move=(stride, 1)
        ),
        "the stride applies to both directions: it is missing for the rows.": lambda H, W, KH, KW, stride: _pixels(
            H, W, KH, KW, stride, move=(1, stride)
        ),
        "the pixels are numbered from 0.": lambda H, W, KH, KW, stride: _pixels(H, W, KH, KW, stride, first=1),
        "the windows go down the columns first: go along the rows.": lambda H, W, KH, KW, stride: np.array(
            _pixels(H, W, KH, KW, stride).reshape(*_sizes(H, W, KH, KW, stride), -1).swapaxes(0, 1).reshape(-1, KH * KW)
        ),
        "inside a window it goes down the columns first: go along the rows.": lambda H, W, KH, KW, stride: (
            _pixels(H, W, KH, KW, stride).reshape(-1, KH, KW).swapaxes(1, 2).reshape(-1, KH * KW)
        ),
        "this is the transpose: each row is a window, each column a position in it.": lambda H, W, KH, KW, stride: (
            _pixels(H, W, KH, KW, stride).T
        ),
        "this is only the first pixel of each window: each row lists all KH * KW.": lambda H, W, KH, KW, stride: (
            _pixels(H, W, KH, KW, stride)[:, :1]
        ),
    },
)
