"""The report of ``python -m agegender.evaluate``: its page, its figures and its lines for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minidl.data import Dataset
from minidl.errors import counted

from .. import tasks
from ..predictions import Predictions
from . import figures
from .judgement import FEW
from .page import Page

if TYPE_CHECKING:
    from minidl.viz import Picture

SHOWN = 12
"""The number of faces in a gallery."""


def lines(found: dict[str, Any]) -> list[str]:
    """The results in a few lines.

    >>> gender = {"accuracy": 0.91, "accuracy_interval": [0.9, 0.92]}
    >>> age = {"mae": 6.5, "mae_interval": [6.3, 6.7]}
    >>> baselines = {"gender_accuracy": 0.5, "age_mae": 14.8}
    >>> print("\\n".join(lines({"faces": 2000, "gender": gender, "age": age, "baselines": baselines})))
    2,000 faces
    gender: accuracy 0.910 (0.900 to 0.920; constant prediction: 0.500)
    age: mean error 6.50 years (6.30 to 6.70; constant prediction: 14.80)
    """
    gender, age, guess = found["gender"], found["age"], found["baselines"]
    accuracy, error = _range(gender["accuracy_interval"], ".3f"), _range(age["mae_interval"], ".2f")
    return [
        counted(found["faces"], "face"),
        f"gender: accuracy {gender['accuracy']:.3f} ({accuracy}; constant prediction: {guess['gender_accuracy']:.3f})",
        f"age: mean error {age['mae']:.2f} years ({error}; constant prediction: {guess['age_mae']:.2f})",
    ]


def _range(interval: Sequence[float], form: str) -> str:
    low, high = interval
    return f"{low:{form}} to {high:{form}}"


def page(name: str, source: str, found: dict[str, Any], faces: Dataset, predictions: Predictions) -> Page:
    """The page of one model; ``faces`` are those that were answered."""
    made = Page(f"Evaluation of {name}")
    made.text(f"{counted(found['faces'], 'face')} of {source}. Intervals are 95 % bootstrap intervals.")
    _overall(made, found)
    _calibration(made, found)
    _groups(made, found)
    _galleries(made, faces, predictions)
    return made


def _overall(made: Page, found: dict[str, Any]) -> None:
    gender, age, guess = found["gender"], found["age"], found["baselines"]
    made.heading("Gender")
    made.table(
        ["metric", "value", "interval"],
        [
            ["accuracy", f"{gender['accuracy']:.3f}", _range(gender["accuracy_interval"], ".3f")],
            ["accuracy of a constant prediction", f"{guess['gender_accuracy']:.3f}", ""],
            ["balanced accuracy", f"{gender['balanced_accuracy']:.3f}", ""],
            ["area under the ROC curve", f"{gender['auc']:.3f}", ""],
            ["log loss", f"{gender['log_loss']:.3f}", ""],
        ],
    )
    rows = [["male", *gender["confusion"][0]], ["female", *gender["confusion"][1]]]
    made.text("Predictions by label:")
    made.table(["label", "answer male", "answer female"], [[row[0], *(f"{n:,}" for n in row[1:])] for row in rows])
    made.heading("Age")
    made.table(
        ["metric", "value", "interval"],
        [
            ["mean absolute error, years", f"{age['mae']:.2f}", _range(age["mae_interval"], ".2f")],
            ["that of a constant prediction", f"{guess['age_mae']:.2f}", ""],
            ["median absolute error, years", f"{age['median_error']:.2f}", ""],
            ["within 5 years", f"{age['within_5_years']:.3f}", _range(age["within_5_years_interval"], ".3f")],
            ["bias (mean of predicted - true), years", f"{age['bias']:+.2f}", ""],
        ],
    )


def _calibration(made: Page, found: dict[str, Any]) -> None:
    gender, fitted = found["gender"], found["calibration"]
    made.heading("Calibration")
    made.picture(reliability(gender["reliability"]), "Reliability diagram: share of label 1 by predicted probability")
    error = f"The expected calibration error is {gender['calibration_error']:.3f}."
    if fitted is None:
        made.text(f"{error} There are too few faces to fit a calibration.")
        return
    made.text(
        f"{error} With a calibration fitted on one half of the faces (temperature {fitted['temperature']:.2f}) it is "
        f"{fitted['calibration_error']:.3f} on the other half, where {fitted['age_interval_coverage']:.1%} of the ages "
        f"lie in their 90 % interval; it is {fitted['age_interval_mean_width']:.0f} years wide on average."
    )


def _groups(made: Page, found: dict[str, Any]) -> None:
    made.heading("Groups")
    made.text(
        f"Ages, genders and ethnicities as labelled in the data. Groups of fewer than {FEW} faces are marked: their "
        "numbers say little."
    )
    made.picture(errors_by_age(found["groups"]["age"]), "Mean age error and gender accuracy by age, with intervals")
    for kind, members in found["groups"].items():
        made.table(
            [kind, "faces", "gender accuracy", "interval", "age error", "interval", "age bias"],
            [_group(group) for group in members],
            [group["few"] for group in members],
        )


def _group(group: dict[str, Any]) -> list[str]:
    accuracy = f"{group['accuracy']:.3f}", _range(group["accuracy_interval"], ".3f")
    error = f"{group['mae']:.2f}", _range(group["mae_interval"], ".2f")
    return [group["name"], f"{group['faces']:,}", *accuracy, *error, f"{group['bias']:+.1f}"]


def _galleries(made: Page, faces: Dataset, predictions: Predictions) -> None:
    _, truth = faces.batch(np.arange(len(faces)))
    errors = np.abs(tasks.years(predictions.ages) - truth["age"][:, 0])
    surprise = np.where(truth["gender"][:, 0] == 1, -predictions.logits, predictions.logits)
    for title, order in (
        ("The largest errors of age", np.argsort(-errors, kind="stable")),
        ("The surest wrong genders", np.argsort(-surprise, kind="stable")),
        ("Typical answers", np.argsort(np.abs(errors - np.median(errors)), kind="stable")),
    ):
        made.heading(title)
        made.picture(gallery(faces, predictions, order[:SHOWN]), title)


def gallery(faces: Dataset, predictions: Predictions, chosen: NDArray[Any]) -> "Picture":
    """The chosen faces with their labels and predictions."""
    images, truth = faces.batch(chosen)
    chances = figures.probabilities(predictions.logits[chosen])[:, np.newaxis]
    return figures.predictions(
        images, truth, {"gender": chances, "age": tasks.years(predictions.ages[chosen])[:, None]}
    )


def reliability(bins: Sequence[dict[str, float]]) -> "Picture":
    """The share of label 1 by predicted probability; on the diagonal they are equal.

    >>> len(reliability([{"size": 3, "probability": 0.2, "share": 0.3}]).axes)
    1
    """
    figure = figures.blank(4.5, 4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    axes.plot([each["probability"] for each in bins], [each["share"] for each in bins], marker="o", label="model")
    axes.set(xlabel="predicted probability of female", ylabel="share of female", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return figure


def errors_by_age(groups: Sequence[dict[str, Any]]) -> "Picture":
    """Age error and gender accuracy by age, with their intervals.

    >>> group = {"name": "0 to 9", "accuracy": 0.9, "accuracy_interval": [0.8, 1], "mae": 3, "mae_interval": [2, 4]}
    >>> len(errors_by_age([group]).axes)
    2
    """
    figure = figures.blank(10, 3.8)
    names = [group["name"].replace(" and older", "+").replace(" to ", "-") for group in groups]
    for position, (key, label) in enumerate((("mae", "age error (years)"), ("accuracy", "gender accuracy")), start=1):
        axes = figure.add_subplot(1, 2, position)
        values = np.array([group[key] for group in groups])
        ends = np.array([group[f"{key}_interval"] for group in groups]).T
        axes.errorbar(names, values, np.abs(ends - values), fmt="o", capsize=3)
        axes.set(xlabel="age", title=label)
        axes.tick_params(axis="x", rotation=45)
        axes.grid(alpha=0.3)
    return figure
