"""What a model is worth on labelled faces: metrics, calibration, and groups of people, as one nested dictionary."""

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import calibration, metrics, tasks
from ..calibration import Calibration
from ..predictions import Predictions

DECADE = 10
OLDEST = 80
"""The last group of ages has no upper end: few faces are older."""
FEW = 30
"""A group below this size is marked: its numbers say little."""
GENDERS = ("male", "female")
ETHNICITIES = ("White", "Black", "Asian", "Indian", "other")
"""UTKFace's names for the labels 0 to 4. They are used to look for unequal errors, and for nothing else."""


class Labels(NamedTuple):
    """The labels of N faces: gender 0 or 1, age in years, and ethnicity 0 to 4 or -1 (unknown).

    >>> Labels(np.array([0, 1]), np.array([30, 40]), np.array([-1, 2])).at(np.array([1])).ages
    array([40])
    """

    genders: NDArray[Any]
    ages: NDArray[Any]
    ethnicities: NDArray[Any]

    def at(self, indices: NDArray[Any]) -> "Labels":
        """The labels of some of the faces."""
        return Labels(*(column[indices] for column in self))


def judgement(labels: Labels, predictions: Predictions) -> dict[str, Any]:
    """All metrics of the predictions for labelled faces, each group with its size, and 95 % bootstrap intervals.

    >>> rng = np.random.default_rng(0)
    >>> ages = rng.integers(1, 90, 400)
    >>> labels = Labels(rng.integers(0, 2, 400), ages, rng.integers(-1, 5, 400))
    >>> found = judgement(labels, Predictions(labels.genders - 0.5, ages + 2.0))
    >>> found["gender"]["accuracy"], found["age"]["mae"], found["age"]["bias"]
    (1.0, 2.0, 2.0)
    >>> list(found["groups"])
    ['age', 'gender', 'ethnicity', 'gender and ethnicity']
    """
    probabilities = Calibration(1.0, 0.0, 0.0, 0.0).probabilities(predictions.logits)
    errors = tasks.years(predictions.ages) - labels.ages
    return {
        "faces": len(errors),
        "gender": _gender(labels.genders, predictions.logits, probabilities),
        "age": _age(errors),
        "baselines": tasks.baselines((labels.genders, labels.ages)),
        "calibration": calibrated(labels, predictions),
        "groups": {
            kind: [_group(name, labels, probabilities, errors, inside) for name, inside in members]
            for kind, members in _groups(labels).items()
        },
    }


def _gender(labels: NDArray[Any], logits: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Any]:
    return {
        "accuracy": metrics.accuracy(labels, probabilities),
        "accuracy_interval": metrics.interval(metrics.accuracy, labels, probabilities),
        "balanced_accuracy": metrics.balanced_accuracy(labels, probabilities),
        "auc": metrics.auc(labels, logits),
        "confusion": metrics.confusion(labels, probabilities).tolist(),
        "log_loss": metrics.log_loss(labels, logits),
        "calibration_error": metrics.calibration_error(labels, probabilities),
        "reliability": [each._asdict() for each in metrics.reliability(labels, probabilities)],
    }


def _age(errors: NDArray[Any]) -> dict[str, Any]:
    return {
        "mae": float(np.abs(errors).mean()),
        "mae_interval": metrics.interval(_mae, errors),
        "median_error": float(np.median(np.abs(errors))),
        "within_5_years": metrics.within(errors),
        "within_5_years_interval": metrics.interval(metrics.within, errors),
        "bias": float(errors.mean()),
    }


def _mae(errors: NDArray[Any]) -> float:
    return float(np.abs(errors).mean())


def calibrated(labels: Labels, predictions: Predictions, seed: int = 0) -> dict[str, Any] | None:
    """The metrics that calibration improves, of one half of the faces, with the calibration fitted on the other half.

    None if there are too few faces. :func:`judgement` has them.
    """
    order = np.random.default_rng(seed).permutation(len(labels.ages))
    first, second = np.array_split(order, 2)
    fitted = fit(labels.at(first), Predictions(*(column[first] for column in predictions)))
    if fitted is None or not len(second):
        return None
    genders, ages, _ = labels.at(second)
    logits, predicted = predictions.logits[second] / fitted.temperature, tasks.years(predictions.ages[second])
    low, high = fitted.intervals(predicted).T
    return {
        "temperature": fitted.temperature,
        "log_loss": metrics.log_loss(genders, logits),
        "calibration_error": metrics.calibration_error(genders, fitted.probabilities(predictions.logits[second])),
        "age_interval_coverage": float(np.mean((low <= ages) & (ages <= high))),
        "age_interval_mean_width": float(np.mean(high - low)),
    }


def fit(labels: Labels, predictions: Predictions) -> Calibration | None:
    """The calibration of the predictions for labelled faces, see :func:`agegender.calibration.fit`."""
    return calibration.fit(labels.genders, predictions.logits, labels.ages, predictions.ages)


def _groups(labels: Labels) -> dict[str, list[tuple[str, NDArray[np.bool_]]]]:
    """The groups of each kind that have members, with a mask for each."""
    genders = [(name, labels.genders == code) for code, name in enumerate(GENDERS)]
    ethnicities = [(name, labels.ethnicities == code) for code, name in enumerate(ETHNICITIES)]
    unknown = [("unknown", labels.ethnicities == -1)]
    crossed = [(f"{a}, {b}", first & second) for (a, first), (b, second) in product(genders, ethnicities)]
    kinds = {
        "age": list(_decades(labels.ages)),
        "gender": genders,
        "ethnicity": ethnicities + unknown,
        "gender and ethnicity": crossed,
    }
    return {kind: [(name, inside) for name, inside in found if inside.any()] for kind, found in kinds.items()}


def _decades(ages: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for start in range(0, OLDEST, DECADE):
        yield f"{start} to {start + DECADE - 1}", (ages >= start) & (ages < start + DECADE)
    yield f"{OLDEST} and older", ages >= OLDEST


def _group(
    name: str, labels: Labels, probabilities: NDArray[Any], errors: NDArray[Any], inside: NDArray[np.bool_]
) -> dict[str, Any]:
    genders, chances, off = labels.genders[inside], probabilities[inside], errors[inside]
    return {
        "name": name,
        "faces": len(off),
        "few": len(off) < FEW,
        "accuracy": metrics.accuracy(genders, chances),
        "accuracy_interval": metrics.interval(metrics.accuracy, genders, chances),
        "mae": float(np.abs(off).mean()),
        "mae_interval": metrics.interval(_mae, off),
        "bias": float(off.mean()),
    }
