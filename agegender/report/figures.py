"""Plots of a run: learning curves, and faces with predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

import minidl as md

if TYPE_CHECKING:
    from minidl.viz import Picture

CURVES = (("loss", "loss"), ("gender_accuracy", "gender accuracy"), ("age_mae", "age error (years)"))


def learning_curves(history: Sequence[dict[str, float]], baselines: dict[str, float]) -> "Picture":
    """Loss, gender accuracy and age error per epoch for both parts, with the metrics of a constant prediction.

    >>> row = {name: 1.0 for key, _ in CURVES for name in (key, f"val_{key}")}
    >>> len(learning_curves([{"epoch": 1, **row}], {"age_mae": 14.8}).axes)
    3
    """
    figure = blank(12, 3.6)
    epochs = [row["epoch"] for row in history]
    for position, (name, label) in enumerate(CURVES, start=1):
        axes = figure.add_subplot(1, 3, position)
        for part, prefix in (("training", ""), ("validation", "val_")):
            axes.plot(epochs, [row[prefix + name] for row in history], marker="o", markersize=3, label=part)
        if name in baselines:
            axes.axhline(baselines[name], color="grey", linestyle=":", label="constant prediction")
        axes.set_xlabel("epoch")
        axes.set_title(label)
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        axes.set_xlim(0.5, max(epochs) + 0.5)  # integer ticks, even for a single epoch
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def predictions(images: NDArray[Any], truth: dict[str, Any], predicted: dict[str, Any]) -> "Picture":
    """Faces (N, 128, 128, 1), each with its label and prediction; wrong genders in red.

    ``truth`` and ``predicted`` hold "gender" (the label, 0 or 1; the predicted probability of 1) and "age" in years,
    each of shape (N, 1).

    >>> import numpy as np
    >>> said = {"gender": np.ones((2, 1)), "age": np.full((2, 1), 30.0)}
    >>> len(predictions(np.zeros((2, 128, 128, 1)), said, said).axes)
    2
    """
    columns = 6
    rows = -(-len(images) // columns)
    figure = blank(1.75 * columns, 2.3 * rows)
    for number, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], frame_on=False)
        guess = float(predicted["gender"][number, 0])
        wrong = (guess > 0.5) != (truth["gender"][number, 0] > 0.5)
        text = (
            f"is {_sex(truth['gender'][number, 0])}, {truth['age'][number, 0]:.0f}\n"
            f"says {_sex(guess)} ({max(guess, 1 - guess):.0%}), {predicted['age'][number, 0]:.0f}"
        )
        axes.set_xlabel(text, fontsize=8, color="crimson" if wrong else "black")
    return figure


def _sex(value: float) -> str:
    return "female" if value > 0.5 else "male"


def blank(width: float, height: float) -> "Picture":
    """An empty figure, in inches.

    >>> len(blank(4, 3).axes)
    0
    """
    from minidl.viz import Picture  # matplotlib is slow to import

    return Picture(width, height)


def probabilities(logits: NDArray[Any]) -> NDArray[Any]:
    """Probabilities of label 1 from logits: their sigmoid, as an array.

    >>> import numpy as np
    >>> probabilities(np.array([0.0, 1e4]))
    array([0.5, 1. ])
    """
    return md.nn.functional.sigmoid(md.tensor(logits)).numpy()
