"""The exercises of ``00_a_trained_network``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]


def mean_absolute_error(answers: Array, targets: Array) -> Any:
    """The mean of the absolute differences between answers (N,) and targets (N,)."""
    return np.abs(answers - targets).mean()


def _random_pair(rng: np.random.Generator, least: int = 1) -> tuple[Array, Array]:
    ages, errors = rng.uniform(1, 90, (2, rng.integers(least, 12)))
    return ages + errors - 45, ages


check_mean_absolute_error = Exercise(
    mean_absolute_error,
    examples=[
        (np.array([30.0]), np.array([26.0])),
        (np.array([30.0, 20.0, 50.0]), np.array([26.0, 27.0, 51.0])),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
    ],
    draw=_random_pair,
    mistakes={
        "answers that are too high and too low cancel each other: take the absolute value of each difference.": (
            lambda answers, targets: (answers - targets).mean()
        ),
        "the absolute value comes first: this is the absolute value of the mean.": (
            lambda answers, targets: np.abs((answers - targets).mean())
        ),
        "this is the sum: divide it by the number of answers.": lambda answers, targets: np.abs(
            answers - targets
        ).sum(),
        "the errors are squared: take their absolute values.": lambda answers, targets: (
            (answers - targets) ** 2
        ).mean(),
        "this is the root of the mean square: take the mean of the absolute values.": (
            lambda answers, targets: np.sqrt(((answers - targets) ** 2).mean())
        ),
        "this is the largest error: take the mean of all.": lambda answers, targets: np.abs(answers - targets).max(),
        "this is one error for each answer: take their mean.": lambda answers, targets: np.abs(answers - targets),
    },
)


def largest_errors(answers: Array, targets: Array, count: int) -> Array:
    """The indices of the ``count`` answers that differ most from their targets, the largest difference first."""
    order: Array = np.argsort(-np.abs(answers - targets))
    return order[:count]


def _random_errors(rng: np.random.Generator) -> tuple[Array, Array, int]:
    answers, targets = _random_pair(rng, least=2)
    return answers, targets, int(rng.integers(1, len(answers)))


check_largest_errors = Exercise(
    largest_errors,
    examples=[
        (np.array([10.0, 20.0, 30.0, 40.0]), np.array([13.0, 15.0, 28.0, 50.0]), 1),
        (np.array([10.0, 20.0, 30.0, 40.0]), np.array([13.0, 15.0, 28.0, 50.0]), 2),
        (np.array([40.0, 20.0, 30.0, 10.0, 5.0]), np.array([41.0, 15.0, 38.0, 31.0, 5.5]), 3),
    ],
    draw=_random_errors,
    mistakes={
        "these are the smallest errors: sort from the largest to the smallest.": (
            lambda answers, targets, count: np.argsort(np.abs(answers - targets))[:count]
        ),
        "the right indices in the wrong order: the largest error comes first.": (
            lambda answers, targets, count: np.argsort(np.abs(answers - targets))[-count:]
        ),
        "an answer that is too low is an error as well: take absolute values.": (
            lambda answers, targets, count: np.argsort(targets - answers)[:count]
        ),
        "an answer that is too high is an error as well: take absolute values.": (
            lambda answers, targets, count: np.argsort(answers - targets)[:count]
        ),
        "these are the errors: their indices are asked for, see np.argsort.": (
            lambda answers, targets, count: np.sort(np.abs(answers - targets))[::-1][:count]
        ),
        "these are the indices of all answers: keep the first count of them.": (
            lambda answers, targets, count: np.argsort(-np.abs(answers - targets))
        ),
        "these are the answers: their indices are asked for.": (
            lambda answers, targets, count: answers[largest_errors(answers, targets, count)]
        ),
    },
)


def cube_slope(x: float) -> float:
    """The derivative of (2 x - 1)^3."""
    return 6 * (2 * x - 1) ** 2


check_cube_slope = Exercise(
    cube_slope,
    examples=[(3.0,), (0.5,), (-1.0,)],
    draw=lambda rng: (round(float(rng.normal()), 2),),
    mistakes={
        "the inner derivative is missing: by the chain rule, multiply by that of 2 x - 1.": (
            lambda x: 3 * (2 * x - 1) ** 2
        ),
        "the exponent 3 does not become a factor: the derivative of u^3 is 3 u^2.": lambda x: 2 * (2 * x - 1) ** 2,
        "the exponent is still 3: the derivative of u^3 is 3 u^2.": lambda x: 6 * (2 * x - 1) ** 3,
        "this is the function itself, not its derivative.": lambda x: (2 * x - 1) ** 3,
        "this is the derivative of (2 x)^3: the -1 stays inside the power.": lambda x: 6 * (2 * x) ** 2,
        "this is the second derivative: differentiate once.": lambda x: 24 * (2 * x - 1),
        "the exponent falls by 1, to 2: this is 6 (2 x - 1).": lambda x: 6 * (2 * x - 1),
    },
)
