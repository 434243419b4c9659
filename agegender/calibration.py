"""What the answers of a model are worth: calibrated probabilities of gender, and intervals of age."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minidl as md

from . import metrics, tasks

LEVEL = 0.9
"""The share of true ages that the intervals are to contain."""
LEAST = 50
"""The number of faces that a calibration needs."""
NARROWEST = 1.0
"""The smallest scale of an error, in years."""


@dataclass(frozen=True)
class Calibration:
    """Fitted on faces that a model was not trained on.

    The probability of gender is that of ``logit / temperature``. An age lies within ``width`` times its scale, which is
    ``slope`` times the predicted age plus ``intercept``: errors grow with age.
    """

    temperature: float
    intercept: float
    slope: float
    width: float

    def probabilities(self, logits: NDArray[Any]) -> NDArray[Any]:
        """The probability of label 1 for each logit.

        >>> Calibration(2.0, 1.0, 0.0, 1.0).probabilities(np.array([0.0, 2 * np.log(3)])).round(2).tolist()
        [0.5, 0.75]
        """
        return md.nn.functional.sigmoid(md.tensor(logits / self.temperature)).numpy()

    def intervals(self, ages: NDArray[Any]) -> NDArray[np.float64]:
        """The least and the greatest age (N, 2) for predicted ages (N,), in years.

        >>> Calibration(1.0, 2.0, 0.1, 1.5).intervals(np.array([1.0, 40.0])).tolist()
        [[0.0, 4.15], [31.0, 49.0]]
        """
        half = self.width * _scale(ages, self.intercept, self.slope)
        bounds: NDArray[np.float64] = tasks.years(np.stack([ages - half, ages + half], axis=1))
        return bounds


def fit(labels: NDArray[Any], logits: NDArray[Any], ages: NDArray[Any], predicted: NDArray[Any]) -> Calibration | None:
    """The calibration for genders and ages (N,) and the predictions for them; None for fewer than 50 faces.

    The scale of the errors is their regression on the predicted age, and the width such that an interval contains the
    age of a further face with a probability of 90 %: split conformal prediction, Lei, G'Sell, Rinaldo, Tibshirani and
    Wasserman, "Distribution-Free Predictive Inference for Regression" (2018), sections 2.2 and 5.2.

    >>> rng = np.random.default_rng(0)
    >>> ages = rng.uniform(1, 80, 4000)
    >>> predicted = ages + rng.normal(size=4000) * (1 + ages / 10)
    >>> labels, logits = (ages > 40) * 1, ages - 40
    >>> fitted = fit(*(values[:2000] for values in (labels, logits, ages, predicted)))
    >>> low, high = fitted.intervals(predicted[2000:]).T
    >>> bool(0.88 < np.mean((low <= ages[2000:]) & (ages[2000:] <= high)) < 0.92)
    True
    """
    count = len(labels)
    if count < LEAST:
        return None
    predicted = tasks.years(predicted).astype(np.float64)
    errors = np.abs(predicted - ages)
    slope, intercept = np.polyfit(predicted, errors, 1) if np.ptp(predicted) else (0.0, errors.mean())
    ratios = np.sort(errors / _scale(predicted, intercept, slope))
    width = ratios[min(count, ceil((count + 1) * LEVEL)) - 1]
    return Calibration(metrics.temperature(labels, logits), float(intercept), float(slope), float(width))


def _scale(predicted: NDArray[Any], intercept: float, slope: float) -> NDArray[Any]:
    return np.maximum(intercept + slope * predicted, NARROWEST)
