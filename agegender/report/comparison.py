"""Several models side by side: their metrics, and paired differences on the same faces."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import metrics, tasks
from ..predictions import Predictions
from .judgement import Labels
from .page import Page


class Judged(NamedTuple):
    """A model on labelled faces, whose names are ``faces``, with what was found: see :func:`differences`."""

    name: str
    source: str
    faces: list[str]
    labels: Labels
    predictions: Predictions
    found: dict[str, Any]


def differences(first: Judged, other: Judged) -> dict[str, Any] | None:
    """How much higher the accuracy and the age error of the other model are, each with a 95 % bootstrap interval.

    Both are differences for the same faces, so what is hard for both models does not widen the intervals. None if the
    models were judged on different faces.

    >>> labels = Labels(np.array([0, 1]), np.array([20, 40]), np.array([0, 0]))
    >>> def model(name, ages):
    ...     return Judged(name, "", ["a", "b"], labels, Predictions(np.array([-1.0, 1]), np.array(ages)), {})
    >>> differences(model("a", [22.0, 44]), model("b", [21.0, 43]))["age_error"]
    {'difference': -1.0, 'interval': Interval(low=-1.0, high=-1.0)}
    """
    if first.faces != other.faces or not np.array_equal(first.labels, other.labels):
        return None
    right, errors = _right(other) - _right(first), _errors(other) - _errors(first)
    return {"first": first.name, "other": other.name, "accuracy": _mean(right), "age_error": _mean(errors)}


def _right(model: Judged) -> NDArray[np.float64]:
    right: NDArray[np.bool_] = (model.predictions.logits > 0) == (model.labels.genders == 1)
    return right.astype(np.float64)


def _errors(model: Judged) -> NDArray[np.float64]:
    errors: NDArray[np.float64] = np.abs(tasks.years(model.predictions.ages) - model.labels.ages)
    return errors


def _mean(values: NDArray[np.float64]) -> dict[str, Any]:
    return {"difference": float(values.mean()), "interval": metrics.interval(np.mean, values)}


def lines(found: Sequence[dict[str, Any] | None]) -> list[str]:
    """The differences in words."""
    return [
        f"{each['other']} against {each['first']}: gender accuracy {_said(each['accuracy'], 3)}, "
        f"age error {_said(each['age_error'], 2)} years"
        if each is not None
        else "the models were judged on different faces, so there are no paired differences: name faces with --data"
        for each in found
    ]


def _said(part: dict[str, Any], digits: int) -> str:
    low, high = part["interval"]
    return f"{part['difference']:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def page(models: Sequence[Judged], found: Sequence[dict[str, Any] | None]) -> Page:
    """The page of several models."""
    made = Page(f"Comparison of {', '.join(model.name for model in models)}")
    made.table(
        ["model", "faces", "gender accuracy", "interval", "age error", "interval", "within 5 years", "judged on"],
        [_row(model) for model in models],
    )
    made.heading("Differences")
    made.text("Of the same faces, with 95 % bootstrap intervals: one that contains 0 may be chance.")
    for line in lines(found):
        made.text(line)
    return made


def _row(model: Judged) -> list[str]:
    gender, age = model.found["gender"], model.found["age"]
    return [
        model.name,
        f"{model.found['faces']:,}",
        f"{gender['accuracy']:.3f}",
        "{:.3f} to {:.3f}".format(*gender["accuracy_interval"]),
        f"{age['mae']:.2f}",
        "{:.2f} to {:.2f}".format(*age["mae_interval"]),
        f"{age['within_5_years']:.3f}",
        model.source,
    ]
