"""Metrics of predicted genders and ages, with confidence intervals: arrays in, numbers out.

``labels`` (N,) are 0 or 1, ``logits`` (N,) and ``probabilities`` (N,) those of label 1; ``errors`` (N,) are predicted
minus true ages in years.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]


def accuracy(labels: Values, probabilities: Values) -> float:
    """The share of right answers; a probability above 0.5 is an answer of 1.

    >>> accuracy(np.array([0, 1, 1]), np.array([0.2, 0.6, 0.4])).__round__(3)
    0.667
    """
    return float(np.mean((probabilities > 0.5) == (labels == 1)))


def confusion(labels: Values, probabilities: Values) -> NDArray[np.int64]:
    """The counts (2, 2): row the label, column the answer.

    >>> confusion(np.array([0, 1, 1]), np.array([0.2, 0.6, 0.4]))
    array([[1, 0],
           [1, 1]])
    """
    answers = (probabilities > 0.5).astype(np.int64)
    return np.bincount(2 * labels.astype(np.int64) + answers, minlength=4).reshape(2, 2)


def balanced_accuracy(labels: Values, probabilities: Values) -> float:
    """The mean over both labels of the share of right answers; that of one label if the other is missing.

    >>> balanced_accuracy(np.array([0, 1, 1]), np.array([0.2, 0.6, 0.4]))
    0.75
    """
    counts = confusion(labels, probabilities)
    present = counts.sum(axis=1) > 0
    return float(np.mean(np.diag(counts)[present] / counts.sum(axis=1)[present]))


def auc(labels: Values, scores: Values) -> float:
    """The area under the ROC curve: the chance that a sample of label 1 scores higher than one of label 0.

    Ties count half; NaN if a label is missing. By ranks: Hanley and McNeil, "The meaning and use of the area under a
    receiver operating characteristic (ROC) curve" (1982).

    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    positive = labels == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if not n1 or not n0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # from 1; equal scores share their mean rank
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def log_loss(labels: Values, logits: Values) -> float:
    """The mean binary cross-entropy, -log of the probability of the true label.

    >>> round(log_loss(np.array([1, 0]), np.array([0.0, 0.0])), 4)
    0.6931
    """
    return float(np.mean(np.logaddexp(0, np.where(labels == 1, -logits, logits), dtype=np.float64)))


class Bin(NamedTuple):
    """The samples in a bin of :func:`reliability`: how many, their mean probability, and the share of label 1."""

    size: int
    probability: float
    share: float


def reliability(labels: Values, probabilities: Values, bins: int = 10) -> list[Bin]:
    """The bins of a reliability diagram that hold samples, of equal width in the probability of label 1.

    >>> reliability(np.array([0, 1, 1]), np.array([0.04, 0.06, 0.95]), bins=10)
    [Bin(size=2, probability=0.05, share=0.5), Bin(size=1, probability=0.95, share=1.0)]
    """
    number = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities)  # (low, high], as Guo et al. have them
    return [
        Bin(int(inside.sum()), float(probabilities[inside].mean()), float(np.mean(labels[inside] == 1)))
        for inside in (number == each for each in range(bins))
        if inside.any()
    ]


def calibration_error(labels: Values, probabilities: Values, bins: int = 10) -> float:
    """The expected calibration error (ECE): the mean distance of probability and share over the samples' bins.

    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (2015).

    >>> calibration_error(np.array([0, 1]), np.array([0.5, 0.5]))
    0.0
    """
    found = reliability(labels, probabilities, bins)
    return sum(each.size * abs(each.probability - each.share) for each in found) / len(labels)


def temperature(labels: Values, logits: Values) -> float:
    """The temperature that minimizes the log loss of ``logits / temperature``, between 0.05 and 20.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (2017), section 4.2. The loss is convex
    in 1 / temperature, so its slope is bisected.

    >>> logits = np.array([-4.0, -4.0, -4.0, -4.0, 4.0, 4.0, 4.0, 4.0])
    >>> labels = np.array([0, 0, 0, 1, 1, 1, 1, 0])        # three of four are right
    >>> round(temperature(labels, logits), 3), round(4 / np.log(3).item(), 3)
    (3.641, 3.641)
    """
    margins = np.where(labels == 1, logits, -logits).astype(np.float64)
    low, high = 1 / 20, 1 / 0.05
    for _ in range(60):
        middle = (low + high) / 2
        slope = -np.mean(margins * np.exp(-np.logaddexp(0, middle * margins)))
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(1 / low)


def within(errors: Values, years: float = 5.0) -> float:
    """The cumulative score CS@5: the share of ages within so many years.

    >>> within(np.array([-5.0, 2.0, 7.0, 9.0]))
    0.5
    """
    return float(np.mean(np.abs(errors) <= years))


class Interval(NamedTuple):
    """The ends of a confidence interval, see :func:`interval`."""

    low: float
    high: float


def interval(
    statistic: Callable[..., float], *samples: Values, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """The bootstrap interval of ``statistic(*samples)``: its quantiles over samples drawn again with replacement.

    The arrays of ``samples`` are drawn together along their first axis. Efron and Tibshirani, "An Introduction to the
    Bootstrap" (1993), chapter 13 (percentiles).

    >>> interval(np.mean, np.array([1.0, 1.0, 1.0]))
    Interval(low=1.0, high=1.0)
    """
    rng, count = np.random.default_rng(seed), len(samples[0])
    draws = (rng.integers(count, size=count) for _ in range(resamples))
    found = [statistic(*(values[drawn] for values in samples)) for drawn in draws]
    low, high = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
