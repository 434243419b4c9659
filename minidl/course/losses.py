"""The exercises of ``05_losses``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]


def bce_with_logits(logits: Array, targets: Array) -> Any:
    """The mean of -t log s(x) - (1 - t) log(1 - s(x)), with the sigmoid s, for logits x of any magnitude."""
    return np.mean(np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits))))


def _logs(logits: Array) -> tuple[Array, Array]:
    """log s(x) and log(1 - s(x))."""
    return -np.logaddexp(0, -logits), -np.logaddexp(0, logits)


def _by_probabilities(logits: Array, targets: Array, nearest: float = 0.0) -> Any:
    """The formula of the likelihood, with probabilities kept at least ``nearest`` away from 0 and 1."""
    p = np.clip(1 / (1 + np.exp(-logits)), nearest, 1 - nearest)
    return np.mean(-targets * np.log(p) - (1 - targets) * np.log(1 - p))


def _limited(nearest: float) -> dict[str, Callable[..., Any]]:
    """The mistake to keep probabilities at least ``nearest`` away from 0 and 1, with its hint."""
    hint = (
        f"the probabilities are kept {nearest:g} away from 0 and 1, so the loss stops growing and its slope is 0 where "
        "the error is largest. Write it without the sigmoid."
    )
    return {hint: lambda logits, targets: _by_probabilities(logits, targets, nearest)}


def _labelled(rng: np.random.Generator, shape: int | tuple[int, ...]) -> tuple[Array, Array]:
    """Logits and labels, 0 or 1 as in the unit; the first logit is wrong, so that the mean loss is not tiny."""
    logits, labels = rng.normal(0, 10 ** rng.uniform(-1, 4), shape), rng.integers(0, 2, shape) * 1.0
    labels.flat[0] = logits.flat[0] < 0
    return logits, labels


check_bce_with_logits = Exercise(
    bce_with_logits,
    examples=[
        (np.array([0.0]), np.array([1.0])),
        (np.array([2.0]), np.array([1.0])),
        (np.array([2.0, -1.0, 0.5]), np.array([1.0, 0.0, 0.0])),
        (np.array([3.0, -3.0]), np.array([0.0, 1.0])),
        (np.array([-1e4]), np.array([1.0])),
        (np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 0.0, 0.0, 1.0])),
    ],
    draw=lambda rng: _labelled(rng, int(rng.integers(1, 6))),
    mistakes={
        "the sign is wrong: log p is negative, and the loss is -log p.": lambda logits, targets: (
            -bce_with_logits(logits, targets)
        ),
        "labels and probabilities are swapped: t = 1 uses log s(x), t = 0 uses log(1 - s(x)).": (
            lambda logits, targets: bce_with_logits(logits, 1 - targets)
        ),
        "only the samples with t = 1 count: those with t = 0 need -(1 - t) log(1 - s(x)).": lambda logits, targets: (
            np.mean(-targets * _logs(logits)[0])
        ),
        "this is the sum over the samples: take their mean.": lambda logits, targets: np.sum(
            np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
        ),
        "this is one value per sample: take their mean.": lambda logits, targets: (
            -targets * _logs(logits)[0] - (1 - targets) * _logs(logits)[1]
        ),
        "the sigmoid is missing: x is a logit, s(x) = 1 / (1 + e^-x) the probability.": lambda logits, targets: np.mean(
            -targets * np.log(np.abs(logits) + 1e-300) - (1 - targets) * np.log(np.abs(1 - logits) + 1e-300)
        ),
        "for large x the sigmoid is exactly 0 or 1, and log 0 is infinite. Write it without the sigmoid.": (
            _by_probabilities
        ),
        "e^x overflows for large x: use log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).": lambda logits, targets: np.mean(
            np.log(1 + np.exp(logits)) - logits * targets
        ),
        "the exponent must never be positive, or e overflows: log(1 + e^-|x|).": lambda logits, targets: np.mean(
            np.maximum(logits, 0) + np.log1p(np.exp(-logits)) - logits * targets
        ),
        "x t is added: for t = 1 the loss is log(1 + e^x) - x, so subtract it.": lambda logits, targets: (
            bce_with_logits(logits, targets) + 2 * np.mean(logits * targets)
        ),
        "x is in the place of max(x, 0): this is right for positive logits only.": lambda logits, targets: np.mean(
            logits - logits * targets + np.log1p(np.exp(-np.abs(logits)))
        ),
        **_limited(1e-7),
        **_limited(1e-8),
        **_limited(1e-10),
        **_limited(1e-12),
        **_limited(1e-15),
    },
)


def bce_gradient(logits: Array, targets: Array) -> Array:
    """The gradient of :func:`bce_with_logits` with respect to the logits: (s(x) - t) / N, for N logits."""
    slopes: Array = (_sigmoid(logits) - targets) / logits.size
    return slopes


def _sigmoid(x: Array) -> Array:
    p: Array = np.exp(-np.logaddexp(0, -x))  # 1 / (1 + e^-x), in which no exponent is positive
    return p


def _column(rng: np.random.Generator) -> tuple[int, ...]:
    """The shape of the outputs of a network with one output: (N,) or (N, 1)."""
    return (int(rng.integers(2, 7)), 1)[: rng.integers(1, 3)]


def _over_e(logits: Array) -> Array:
    """The sigmoid with e^x above and below the line: infinity by infinity for large x."""
    return np.exp(logits) / (1 + np.exp(logits))  # type: ignore[no-any-return]


check_bce_gradient = Exercise(
    bce_gradient,
    examples=[
        (np.array([0.0]), np.array([1.0])),
        (np.array([2.0]), np.array([0.0])),
        (np.array([2.0, -1.0, 0.5]), np.array([1.0, 0.0, 0.0])),
        (np.array([[3.0], [-3.0]]), np.array([[0.0], [1.0]])),
        (np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 0.0, 0.0, 1.0])),
    ],
    draw=lambda rng: _labelled(rng, _column(rng)),
    mistakes={
        "the sign is wrong: where s(x) is above t the logit must fall, so its gradient s(x) - t is positive.": (
            lambda logits, targets: -bce_gradient(logits, targets)
        ),
        "the loss is a mean over N samples: divide by N.": lambda logits, targets: _sigmoid(logits) - targets,
        "the sigmoid is missing: x is a logit, s(x) = 1 / (1 + e^-x) the probability.": lambda logits, targets: (
            (logits - targets) / logits.size
        ),
        "this sigmoid falls: the exponent is -x, s(x) = 1 / (1 + e^-x).": lambda logits, targets: bce_gradient(
            -logits, targets
        ),
        "this is the gradient of the sigmoid alone, s(x) (1 - s(x)): the loss is a logarithm of it.": (
            lambda logits, targets: _sigmoid(logits) * _sigmoid(-logits) / logits.size
        ),
        "the factor s(x) (1 - s(x)) belongs to the squared error: the logarithm of the cross-entropy cancels it.": (
            lambda logits, targets: bce_gradient(logits, targets) * _sigmoid(logits) * _sigmoid(-logits)
        ),
        "this is the loss: its gradient has one number for each logit.": bce_with_logits,
        "this is one number: the gradient has one for each logit, so take no mean.": lambda logits, targets: np.mean(
            _sigmoid(logits) - targets
        ),
        "the target is added: subtract it, s(x) - t.": lambda logits, targets: (
            (_sigmoid(logits) + targets) / logits.size
        ),
        "for large x, e^x / (1 + e^x) is infinity by infinity: divide both by e^x, 1 / (1 + e^-x).": (
            lambda logits, targets: (_over_e(logits) - targets) / logits.size
        ),
    },
)


def log_sum_exp(x: Array) -> Any:
    """log(sum of e^x) for x (K,) of any magnitude."""
    return x.max() + np.log(np.exp(x - x.max()).sum())


check_log_sum_exp = Exercise(
    log_sum_exp,
    examples=[
        (np.array([1.0, 2.0]),),
        (np.array([1.0, 2.0, -1.0]),),
        (np.array([-1e4, -1e4, -1e4]),),
        (np.array([1e4, 1e4 - 1.0]),),
        (np.array([1e4, -1e4, 0.0]),),
        (np.array([-1000.0, 300.0, 300.0]),),
    ],
    draw=lambda rng: (rng.normal(size=rng.integers(1, 6)) * 10 ** rng.uniform(-1, 4),),
    mistakes={
        "the largest x was subtracted: add it again at the end.": lambda x: log_sum_exp(x) - x.max(),
        "the largest x is multiplied: outside the logarithm, add it.": lambda x: (log_sum_exp(x) - x.max()) * x.max(),
        "subtract the largest x: with the mean, e^x still overflows.": (
            lambda x: x.mean() + np.log(np.exp(x - x.mean()).sum())
        ),
        "subtract the largest x, not the first: a later one may be larger, and its e^x overflows.": (
            lambda x: x[0] + np.log(np.exp(x - x[0]).sum())
        ),
        "the logarithm is missing.": lambda x: np.exp(x).sum(),
        "sum first, then take the logarithm: the log of e^x alone is x again.": lambda x: x.sum(),
        "this is the mean of the e^x: take the sum.": lambda x: log_sum_exp(x) - np.log(len(x)),
        "this is the largest x: close, but the others count as well.": lambda x: x.max(),
        "e^x overflows to infinity, or is 0 for all x and log 0 is infinite. Subtract the largest x, with its "
        "sign, from all of them first, and add it at the end.": lambda x: np.log(np.exp(x).sum()),
    },
)


def cross_entropy_gradient(logits: Array, labels: Array) -> Array:
    """The gradient of the mean over N of -log softmax(logits)[label]: (p - y) / N, for logits (N, K), labels (N,)."""
    slopes: Array = (_softmax(logits) - _one_hot(logits, labels)) / len(logits)
    return slopes


def _softmax(logits: Array, axis: int | None = 1) -> Array:
    shifted = np.exp(logits - logits.max(axis=axis, keepdims=True))
    p: Array = shifted / shifted.sum(axis=axis, keepdims=True)
    return p


def _one_hot(logits: Array, labels: Array) -> Array:
    one_hot: Array = 1.0 * (labels[:, None] == np.arange(logits.shape[1]))
    return one_hot


_LOGITS = np.random.default_rng(6).normal(size=(4, 3))


def _random_logits(rng: np.random.Generator, N: int, K: int) -> tuple[Array, Array]:
    return rng.normal(0, 10 ** rng.uniform(-1, 3), (N, K)), rng.integers(0, K, N)


check_cross_entropy_gradient = Exercise(
    cross_entropy_gradient,
    examples=[
        (_LOGITS, np.array([0, 2, 1, 1])),
        (np.array([[1e4, 0.0], [0.0, -1e4]]), np.array([1, 1])),
    ],
    draw=lambda rng: _random_logits(rng, *rng.integers(2, 6, 2)),
    mistakes={
        "the sign is wrong: where p is too large the logit must fall, so its gradient p - y is positive.": (
            lambda logits, labels: -cross_entropy_gradient(logits, labels)
        ),
        "these are the probabilities p: subtract 1 at each sample's class.": lambda logits, labels: (
            _softmax(logits) / len(logits)
        ),
        "these are the probabilities p: subtract 1 at each sample's class, and divide by N.": lambda logits, labels: (
            _softmax(logits)
        ),
        "the loss is a mean over N samples: divide by N.": lambda logits, labels: (
            cross_entropy_gradient(logits, labels) * len(logits)
        ),
        "it is divided by the number of all logits: the mean is over the N samples only.": lambda logits, labels: (
            cross_entropy_gradient(logits, labels) / logits.shape[1]
        ),
        "only each sample's own class gets a gradient: the other classes must fall as well, by p.": (
            lambda logits, labels: cross_entropy_gradient(logits, labels) * _one_hot(logits, labels)
        ),
        "the softmax is taken over all samples together: each row is a separate sample, keepdims=True.": (
            lambda logits, labels: (_softmax(logits, axis=None) - _one_hot(logits, labels)) / len(logits)
        ),
        "the softmax is taken down the columns: the logits of a sample are a row, axis=1.": lambda logits, labels: (
            (_softmax(logits, axis=0) - _one_hot(logits, labels)) / len(logits)
        ),
        "p[:, labels] means these columns of every row: one element of each row is p[np.arange(N), labels].": (
            lambda logits, labels: (_softmax(logits) - _one_hot(logits, labels).any(axis=0)) / len(logits)
        ),
        "the number of the class is subtracted: y is one-hot, 1 at that class and 0 elsewhere.": (
            lambda logits, labels: (_softmax(logits) - labels[:, None]) / len(logits)
        ),
        "the logits are not probabilities: apply softmax first.": lambda logits, labels: (
            (logits - _one_hot(logits, labels)) / len(logits)
        ),
        "e^x overflows: first subtract the largest logit of each row.": lambda logits, labels: _overflowed(
            logits, labels
        ),
        "the largest logit of all is subtracted, so all e^x of a row far below it are 0: subtract that of each row.": (
            lambda logits, labels: _overflowed(logits - logits.max(), labels)
        ),
    },
)


def _overflowed(logits: Array, labels: Array) -> Any:
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (p - _one_hot(logits, labels)) / len(logits)


def l1_gradient(predictions: Array, targets: Array) -> Array:
    """The gradient of the mean of abs(predictions - targets), for predictions of any shape; 0 where both are equal."""
    slopes: Array = np.sign(predictions - targets) / predictions.size
    return slopes


def _near(rng: np.random.Generator) -> tuple[Array, Array]:
    """Whole numbers of years, some of them predicted exactly."""
    predictions, targets = rng.integers(20, 24, (2, *_column(rng))) * 1.0
    return predictions, targets


check_l1_gradient = Exercise(
    l1_gradient,
    examples=[
        (np.array([30.0]), np.array([20.0])),
        (np.array([30.0, 18.0, 40.5]), np.array([20.0, 20.0, 40.0])),
        (np.array([30.0, 20.0, 18.0]), np.array([20.0, 20.0, 20.0])),
        (np.array([[30.0], [18.0]]), np.array([[20.0], [20.0]])),
    ],
    draw=_near,
    mistakes={
        "the sign is wrong: a prediction above its target must fall, so its gradient is positive.": (
            lambda predictions, targets: -l1_gradient(predictions, targets)
        ),
        "the loss is a mean over N samples: divide by N.": lambda predictions, targets: np.sign(predictions - targets),
        "this is the loss: its gradient has one number for each prediction.": lambda predictions, targets: np.abs(
            predictions - targets
        ).mean(),
        "these are the errors: abs(d) has the slope 1 or -1, whatever the size of d.": lambda predictions, targets: (
            (predictions - targets) / predictions.size
        ),
        "this is the gradient of the squared error: abs(d) has the slope 1 or -1, whatever the size of d.": (
            lambda predictions, targets: 2 * (predictions - targets) / predictions.size
        ),
        "all slopes are positive: below its target a prediction must grow, so its slope is -1.": (
            lambda predictions, targets: np.abs(l1_gradient(predictions, targets))
        ),
        "where prediction and target are equal there is no derivative. As in minidl, let it be 0 there, not 1.": (
            lambda predictions, targets: np.where(predictions >= targets, 1.0, -1.0) / predictions.size
        ),
        "where prediction and target are equal there is no derivative. As in minidl, let it be 0 there, not -1.": (
            lambda predictions, targets: np.where(predictions > targets, 1.0, -1.0) / predictions.size
        ),
        "d / abs(d) is 0 by 0 where prediction and target are equal: let it be 0 there, as np.sign does.": (
            lambda predictions, targets: (predictions - targets) / np.abs(predictions - targets) / predictions.size
        ),
    },
)


def numerical_gradient(f: Callable[[Array], float], x: Array, h: float) -> Array:
    """The derivative of f by each element of x, from its values at a step h to both sides."""
    return _differences(f, x, lambda step: (f(x + h * step) - f(x - h * step)) / (2 * h))


def _differences(f: Callable[[Array], float], x: Array, quotient: Callable[[Array], float]) -> Array:
    """A quotient for each element of x, a function of the array that is 1 there and 0 elsewhere."""
    found = [quotient(step.reshape(x.shape)) for step in np.eye(x.size)]
    return np.array(found).reshape(x.shape)


def _accumulating(f: Callable[[Array], float], x: Array, h: float) -> Array:
    """Elements are not restored after their step, so each is still moved for the ones after it."""
    moved = x.astype(np.float64)
    found = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        moved[index] += h
        above = f(moved)
        moved[index] -= 2 * h
        found[index] = (above - f(moved)) / (2 * h)
    return found


def cube(x: Array) -> float:
    """x^3 of one element."""
    return float(x[0] ** 3)


def product(x: Array) -> float:
    """The product of all elements, whose slope by each depends on all others."""
    return float(np.prod(x))


def wave(x: Array) -> float:
    """The sine of the sum of squares, which bends everywhere."""
    return float(np.sin((x**2).sum()))


check_numerical_gradient = Exercise(
    numerical_gradient,
    examples=[
        (cube, np.array([2.0]), 0.1),
        (product, np.array([2.0, 3.0, -1.0]), 0.1),
        (product, np.array([[2.0, 3.0], [-1.0, 0.5]]), 0.1),
    ],
    draw=lambda rng: (wave, rng.uniform(0.5, 2, rng.integers(1, 4, 2)), float(rng.uniform(0.01, 0.3))),
    mistakes={
        "this steps to the right only: its error is of order h, that of (f(x + h) - f(x - h)) / 2h of order h^2.": (
            lambda f, x, h: _differences(f, x, lambda step: (f(x + h * step) - f(x)) / h)
        ),
        "this steps to the left only: its error is of order h, that of (f(x + h) - f(x - h)) / 2h of order h^2.": (
            lambda f, x, h: _differences(f, x, lambda step: (f(x) - f(x - h * step)) / h)
        ),
        "the two points are 2 h apart: divide by 2 h.": lambda f, x, h: 2 * numerical_gradient(f, x, h),
        "the division by 2 h is missing.": lambda f, x, h: 2 * h * numerical_gradient(f, x, h),
        "it is divided by 2 and multiplied by h: write / (2 * h), with parentheses.": lambda f, x, h: (
            h * h * numerical_gradient(f, x, h)
        ),
        "the two points are swapped, so the sign is wrong: f(x + h) - f(x - h).": lambda f, x, h: (
            -numerical_gradient(f, x, h)
        ),
        "all elements move at once: each slope needs its own step, with the others unchanged.": lambda f, x, h: (
            _differences(f, x, lambda step: (f(x + h) - f(x - h)) / (2 * h))
        ),
        "an element that was moved must be restored before the next one moves.": _accumulating,
    },
)
