"""The exercises of ``09_generalisation``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from .convolution import in_one_row
from .exercise import Exercise

Array = NDArray[Any]
Random = np.random.Generator


def dropout(x: Array, p: float, rng: Random) -> Array:
    """x with 0 in place of each element whose number, rng.random(x.shape), is below p, and the others over 1 - p."""
    keep = rng.random(x.shape) >= p
    return np.asarray(x * keep / (1 - p))


def _kept(choice: Callable[[Array, float, Random], Any], scale: Callable[[float], float]) -> Callable[..., Array]:
    """A wrong dropout, which keeps other elements or multiplies them by another factor."""
    return lambda x, p, rng: np.asarray(x * choice(x, p, rng) * scale(p))


def _usual(x: Array, p: float, rng: Random) -> Array:
    return rng.random(x.shape) >= p


def _inverse(p: float) -> float:
    return 1 / (1 - p)


def _random_dropout(rng: Random, *shape: int) -> tuple[Array, float, Random]:
    return rng.normal(size=shape), float(rng.uniform(0.1, 0.9)), np.random.default_rng(int(rng.integers(1000)))


_RNG = np.random.default_rng(6)
_X = 3 * _RNG.normal(size=(5, 3)) + np.array([4.0, -2.0, 1.0])

check_dropout = Exercise(
    dropout,
    examples=[
        (np.ones((4, 6)), 0.25, np.random.default_rng(3)),
        (_X, 0.75, np.random.default_rng(1)),
        (_X, 0.0, np.random.default_rng(2)),
    ],
    draw=lambda rng: _random_dropout(rng, *rng.integers(2, 7, 2)),
    shortcuts=(nn.functional.dropout, nn.Dropout.forward),
    mistakes={
        "what is kept has to grow: divide it by 1 - p, so that the expectation stays.": _kept(_usual, lambda p: 1),
        "what is kept is multiplied by 1 - p: divide by it, so that the expectation stays.": (
            _kept(_usual, lambda p: 1 - p)
        ),
        "it keeps with the probability p: p is the probability of becoming 0.": (
            _kept(lambda x, p, rng: rng.random(x.shape) < p, _inverse)
        ),
        "it keeps with the probability p, and divides by it: p is the probability of becoming 0.": (
            _kept(lambda x, p, rng: rng.random(x.shape) < p, lambda p: 1 / p)
        ),
        "what is kept is divided by p: it is kept with the probability 1 - p, so divide by that.": (
            _kept(_usual, lambda p: 1 / p if p else np.inf)
        ),
        "the probability is right, but it keeps others: keep where rng.random(x.shape) >= p.": (
            _kept(lambda x, p, rng: rng.random(x.shape) < 1 - p, _inverse)
        ),
        "all samples lose the same elements: draw a number for each element, rng.random(x.shape).": (
            _kept(lambda x, p, rng: rng.random(x.shape[1:]) >= p, _inverse)
        ),
        "each sample keeps all or nothing: draw a number for each element, rng.random(x.shape).": (
            _kept(lambda x, p, rng: rng.random((len(x), 1)) >= p, _inverse)
        ),
        "a single number decides about all elements: draw one for each, rng.random(x.shape).": (
            _kept(lambda x, p, rng: rng.random() >= p, _inverse)
        ),
        "it divides by the share that was kept: divide by its probability, 1 - p.": (
            lambda x, p, rng: x * (keep := _usual(x, p, rng)) / keep.mean()
        ),
        "it divides by the root of 1 - p: that keeps the mean square, and the expectation has to stay.": (
            _kept(_usual, lambda p: (1 - p) ** -0.5)
        ),
        "this is the mask: multiply x by it.": lambda x, p, rng: _kept(_usual, _inverse)(np.ones(x.shape), p, rng),
        "the numbers come from another generator: draw them from rng.": (
            lambda x, p, rng: dropout(x, p, np.random.default_rng(0))
        ),
        "the mask is drawn from the normal distribution: rng.random is uniform between 0 and 1.": (
            _kept(lambda x, p, rng: rng.normal(size=x.shape) >= p, _inverse)
        ),
        "nothing is dropped: multiply by the mask.": _kept(lambda x, p, rng: 1, _inverse),
    },
)


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """gamma (x - mean) / sqrt(var + eps) + beta for x (N, C), mean and var (C,) those of the batch."""
    return np.asarray(gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta)


def _normalised(centre: Callable[[Array], Any], scale: Callable[[Array, float], Any]) -> Callable[..., Array]:
    """A wrong batch norm, which subtracts or divides by something else."""
    return lambda x, gamma, beta, eps: np.asarray(gamma * (x - centre(x)) / scale(x, eps) + beta)


def _mean(x: Array) -> Array:
    return np.asarray(x.mean(axis=0))


def _deviation(x: Array, eps: float) -> Array:
    return np.asarray(np.sqrt(x.var(axis=0) + eps))


def _random_norm(rng: Random) -> tuple[Array, Array, Array, float]:
    """A batch, gamma and beta, and a large eps."""
    N, C = rng.integers(2, 7), rng.integers(1, 5)
    x = rng.normal(size=(N, C)) * rng.uniform(0.5, 3, C) + rng.normal(size=C)
    return x, rng.normal(size=C), rng.normal(size=C), float(rng.uniform(0.05, 1))


_GAMMA, _BETA = np.array([2.0, -1.0, 0.5]), np.array([1.0, 4.0, -3.0])

check_batch_norm = Exercise(
    batch_norm,
    examples=[
        (_X, np.ones(3), np.zeros(3), 0.0),
        (_X, _GAMMA, np.zeros(3), 0.0),
        (_X, _GAMMA, _BETA, 0.0),
        (_X, _GAMMA, _BETA, 0.5),
        (_X[:1], _GAMMA, _BETA, 0.5),
    ],
    draw=_random_norm,
    shortcuts=(nn.functional.batch_norm, nn.BatchNorm.forward),
    mistakes={
        "each sample is normalised by itself: take mean and variance over the batch, axis 0.": _normalised(
            lambda x: x.mean(axis=1, keepdims=True), lambda x, eps: np.sqrt(x.var(axis=1, keepdims=True) + eps)
        ),
        "the mean is that of each sample: take it over the batch, axis 0, one for each column.": _normalised(
            lambda x: x.mean(axis=1), _deviation
        ),
        "all columns have the same mean and variance: each column has its own, axis 0.": _normalised(
            np.mean, lambda x, eps: np.sqrt(x.var() + eps)
        ),
        "it divides by the variance: divide by its root.": _normalised(_mean, lambda x, eps: x.var(axis=0) + eps),
        "the mean is not subtracted.": _normalised(lambda x: 0, _deviation),
        "it only subtracts the mean: divide by sqrt(var + eps), too.": _normalised(_mean, lambda x, eps: 1),
        "the variance is the mean of (x - mean)^2, not of x^2.": _normalised(
            _mean, lambda x, eps: np.sqrt((x**2).mean(axis=0) + eps)
        ),
        "the variance divides by N - 1: here it is the mean of the squares, divided by N.": _normalised(
            _mean, lambda x, eps: np.sqrt(x.var(axis=0, ddof=1) + eps)
        ),
        "it divides by the largest deviation: divide by sqrt(var + eps).": _normalised(
            _mean, lambda x, eps: np.abs(x - x.mean(axis=0)).max(axis=0)
        ),
        "gamma and beta are swapped: gamma multiplies, beta is added.": (
            lambda x, gamma, beta, eps: batch_norm(x, beta, gamma, eps)
        ),
        "gamma is missing: multiply by it.": lambda x, gamma, beta, eps: batch_norm(x, np.ones_like(beta), beta, eps),
        "beta is missing: add it.": lambda x, gamma, beta, eps: batch_norm(x, gamma, np.zeros_like(beta), eps),
        "gamma multiplies beta, too: multiply first, then add beta.": (
            lambda x, gamma, beta, eps: batch_norm(x, gamma, gamma * beta, eps)
        ),
        "beta is subtracted: add it.": lambda x, gamma, beta, eps: batch_norm(x, gamma, -beta, eps),
        "eps is outside the root: sqrt(var + eps).": _normalised(_mean, lambda x, eps: np.sqrt(x.var(axis=0)) + eps),
        "eps is missing: sqrt(var + eps).": lambda x, gamma, beta, eps: batch_norm(x, gamma, beta, 0.0),
    },
)


def batch_norm_backward(dy: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    """The gradients (dx, dgamma, dbeta) of batch_norm, given dy and x (N, C)."""
    s = np.sqrt(x.var(axis=0) + eps)
    normal = (x - x.mean(axis=0)) / s
    dgamma, dbeta = (dy * normal).sum(axis=0), dy.sum(axis=0)
    dx = gamma / s * (dy - dbeta / len(x) - normal * dgamma / len(x))
    return dx, dgamma, dbeta


Gradients = tuple[Array, Array, Array]


def _dx(formula: Callable[[Array, Array, Array, Array], Any]) -> Callable[..., Gradients]:
    """The gradients with a wrong dx, from dy, the normalised x, gamma and the deviation."""

    def wrong(dy: Array, x: Array, gamma: Array, eps: float) -> Gradients:
        s = _deviation(x, eps)
        return formula(dy, (x - _mean(x)) / s, gamma, s), *batch_norm_backward(dy, x, gamma, eps)[1:]

    return wrong


def _inner(dy: Array, normal: Array) -> Array:
    """What gamma / s multiplies in dx."""
    return np.asarray(dy - _mean(dy) - normal * _mean(dy * normal))


def _others(formula: Callable[[Array, Array, Array], tuple[Array, Array]]) -> Callable[..., Gradients]:
    """The gradients with wrong dgamma and dbeta, from dy, x and the normalised x."""

    def wrong(dy: Array, x: Array, gamma: Array, eps: float) -> Gradients:
        normal = (x - _mean(x)) / _deviation(x, eps)
        return batch_norm_backward(dy, x, gamma, eps)[0], *formula(dy, x, normal)

    return wrong


_DY = _RNG.normal(size=(5, 3))

check_batch_norm_backward = Exercise(
    batch_norm_backward,
    examples=[(_DY, _X, np.ones(3), 0.0), (_DY, _X, _GAMMA, 0.0), (_DY, _X, _GAMMA, 0.5)],
    draw=lambda rng: (rng.normal(size=(given := _random_norm(rng))[0].shape), given[0], given[1], given[3]),
    numbers=in_one_row,
    form="three arrays, (dx, dgamma, dbeta)",
    shortcuts=(nn.functional.batch_norm, nn.BatchNorm.forward),
    mistakes={
        "dx takes mean and variance for constants: every x changes both, so two more terms are subtracted.": (
            _dx(lambda dy, normal, gamma, s: gamma / s * dy)
        ),
        "in dx the change of the variance is missing: subtract the normalised x times the mean of dy times it.": (
            _dx(lambda dy, normal, gamma, s: gamma / s * (dy - _mean(dy)))
        ),
        "in dx the change of the mean is missing: subtract the mean of dy.": (
            _dx(lambda dy, normal, gamma, s: gamma / s * (dy - normal * _mean(dy * normal)))
        ),
        "in dx the normalised x is missing before the mean of dy times it.": (
            _dx(lambda dy, normal, gamma, s: gamma / s * (dy - _mean(dy) - _mean(dy * normal)))
        ),
        "in dx sums are subtracted: subtract means, so divide by N.": (
            _dx(lambda dy, normal, gamma, s: gamma / s * (dy - dy.sum(axis=0) - normal * (dy * normal).sum(axis=0)))
        ),
        "in dx the means are added: subtract them.": (
            _dx(lambda dy, normal, gamma, s: gamma / s * (2 * dy - _inner(dy, normal)))
        ),
        "in dx the means are those of each sample: take them over the batch, axis 0.": _dx(
            lambda dy, normal, gamma, s: (
                gamma / s * (dy - dy.mean(1)[:, None] - normal * (dy * normal).mean(1)[:, None])
            )
        ),
        "in dx the deviation is missing: divide by sqrt(var + eps).": (
            _dx(lambda dy, normal, gamma, s: gamma * _inner(dy, normal))
        ),
        "dx is multiplied by the deviation: divide by it.": (
            _dx(lambda dy, normal, gamma, s: gamma * s * _inner(dy, normal))
        ),
        "dx is divided by the variance: divide by its root.": (
            _dx(lambda dy, normal, gamma, s: gamma / s**2 * _inner(dy, normal))
        ),
        "gamma is missing in dx: dy goes back through the product with gamma.": (
            _dx(lambda dy, normal, gamma, s: _inner(dy, normal) / s)
        ),
        "dgamma multiplies dy by x: gamma is multiplied by the normalised x.": (
            _others(lambda dy, x, normal: ((dy * x).sum(axis=0), dy.sum(axis=0)))
        ),
        "dgamma is the sum of dy alone: each dy is multiplied by the normalised x.": (
            _others(lambda dy, x, normal: (dy.sum(axis=0), dy.sum(axis=0)))
        ),
        "dgamma and dbeta are means: the effects of the samples on the loss add up.": (
            _others(lambda dy, x, normal: (_mean(dy * normal), _mean(dy)))
        ),
        "dgamma and dbeta are not summed yet: all samples use the same gamma and beta, so sum over axis 0.": (
            _others(lambda dy, x, normal: (dy * normal, dy))
        ),
        "dgamma and dbeta are summed over the columns: sum over the samples, axis 0.": (
            _others(lambda dy, x, normal: ((dy * normal).sum(axis=1), dy.sum(axis=1)))
        ),
        "the order is dx, dgamma, dbeta: here dbeta comes before dgamma.": (
            lambda dy, x, gamma, eps: tuple(batch_norm_backward(dy, x, gamma, eps)[part] for part in (0, 2, 1))
        ),
        "the order is dx, dgamma, dbeta: here dx comes last.": (
            lambda dy, x, gamma, eps: tuple(batch_norm_backward(dy, x, gamma, eps)[part] for part in (1, 2, 0))
        ),
        "eps is missing: the deviation is sqrt(var + eps), as forward.": (
            lambda dy, x, gamma, eps: batch_norm_backward(dy, x, gamma, 0.0)
        ),
    },
)
