"""The loss, the metrics, and the metrics of a constant prediction."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl import Tensor, nn
from minidl.errors import MinidlError

Outputs = dict[str, Any]
Labels = tuple[NDArray[Any], NDArray[Any]]
"""Genders and ages of some faces."""


def loss(outputs: dict[str, Tensor], targets: Outputs) -> Tensor:
    """Binary cross-entropy of the gender logit plus mean absolute error of the age in years, weighted 1:1.

    >>> from minidl import tensor
    >>> outputs = {"gender": tensor([[0.0]]), "age": tensor([[30.0]])}
    >>> round(loss(outputs, {"gender": np.float32([[1]]), "age": np.float32([[28]])}).item(), 4)   # log 2 + 2
    2.6931
    """
    _require_answers(outputs, targets)
    gender = nn.functional.binary_cross_entropy_with_logits(outputs["gender"], targets["gender"])
    return gender + nn.functional.l1_loss(outputs["age"], targets["age"])


def _require_answers(outputs: Any, targets: Outputs) -> None:
    """Raise :class:`minidl.errors.MinidlError` unless the outputs have a gender and an age for each face."""
    given = outputs if isinstance(outputs, Mapping) else {}
    if any(getattr(given.get(name), "shape", None) != targets[name].shape for name in ("gender", "age")):
        shapes = {name: getattr(part, "shape", type(part).__name__) for name, part in given.items()}
        shape = targets["age"].shape
        raise MinidlError(
            f"expected a model that returns {{'gender': logits, 'age': years}}, tensors of shape {shape}, got "
            f"{shapes or type(outputs).__name__}: return this from its forward()"
        )


def years(age: Any) -> Any:
    """The ages to report from the outputs of a model: negative ages become 0.

    >>> years(np.array([-1.5, 30.0]))
    array([ 0., 30.])
    """
    return age.clip(0)


def gender_accuracy(outputs: Outputs, targets: Outputs) -> Any:
    """The fraction of faces whose logit has the correct sign.

    >>> float(gender_accuracy({"gender": np.array([-2.0, 1.0])}, {"gender": np.array([0, 0])}))
    0.5
    """
    return ((outputs["gender"] > 0) == (targets["gender"] > 0.5)).mean()


def age_mae(outputs: Outputs, targets: Outputs) -> Any:
    """The mean absolute error of the reported age, see :func:`years`.

    >>> float(age_mae({"age": np.array([20.0, 31.0])}, {"age": np.array([24, 30])}))
    2.5
    """
    return abs(years(outputs["age"]) - targets["age"]).mean()


METRICS = {"gender_accuracy": gender_accuracy, "age_mae": age_mae}


def baselines(validation: Labels) -> dict[str, float]:
    """The metrics of always predicting the most common gender and the median age of the validation part.

    No other constant prediction is better there; a model that is no better may ignore the images.

    >>> baselines((np.array([1, 1, 0, 1]), np.array([20, 30, 40, 90])))
    {'gender_accuracy': 0.75, 'age_mae': 20.0}
    """
    genders, ages = validation
    return {
        "gender_accuracy": float(max(genders.mean(), 1 - genders.mean())),
        "age_mae": float(np.abs(ages - np.median(ages)).mean()),
    }


GUESSES = {
    "gender_accuracy": "always predicting the most common gender",
    "age_mae": "always predicting the median age",
}
"""The predictions behind the :func:`baselines`."""
ROUNDING = 1e-4
"""The relative error of a float32 mean of some thousand values; about the effect of one face."""


def no_better(metrics: Mapping[str, float], guessing: Mapping[str, float]) -> list[str]:
    """The metrics that are no better than a constant prediction, see :func:`baselines`.

    Metrics are computed in float32; differences within its rounding error are ignored.

    >>> no_better({"gender_accuracy": 0.8, "age_mae": 14e6}, {"gender_accuracy": 0.52, "age_mae": 14.8})
    ['age_mae']
    """
    accuracy, guessed = metrics["gender_accuracy"], guessing["gender_accuracy"]
    error, guessed_error = metrics["age_mae"], guessing["age_mae"]
    better = {  # if the baseline is perfect, as for faces of one gender, equality is enough
        "gender_accuracy": accuracy > guessed + ROUNDING or accuracy == guessed == 1,
        "age_mae": error < guessed_error * (1 - ROUNDING) or error == guessed_error == 0,
    }
    return [name for name, is_better in better.items() if not is_better]
