"""The plots of a run show the correct values."""

import io

import numpy as np
import pytest
from PIL import Image

from agegender.report import figures
from minidl.viz import Picture

HISTORY = [
    {"epoch": epoch, **{f"{part}{name}": 1.0 / epoch for part in ("", "val_") for name, _ in figures.CURVES}}
    for epoch in (1, 2, 3)
]


def size(picture: Picture) -> tuple[int, int]:
    """Width and height as shown in a notebook."""
    return Image.open(io.BytesIO(picture._repr_png_())).size


def test_curves_show_both_parts_and_the_baselines() -> None:
    picture = figures.learning_curves(HISTORY, {"gender_accuracy": 0.5, "age_mae": 15.0})
    assert size(picture) == (1080, 324)
    lines = [{line.get_label(): list(line.get_ydata()) for line in axes.lines} for axes in picture.axes]
    assert lines[0] == {"training": [1, 1 / 2, 1 / 3], "validation": [1, 1 / 2, 1 / 3]}
    assert [panel.get("constant prediction") for panel in lines] == [None, [0.5, 0.5], [15.0, 15.0]]


def test_a_single_epoch_can_be_drawn_and_is_epoch_1() -> None:
    picture = figures.learning_curves(HISTORY[:1], {})
    assert [tick for tick in picture.axes[0].get_xticks() if 0.5 <= tick <= 1.5] == [1]


def test_predictions_are_written_below_their_faces_and_wrong_ones_are_red() -> None:
    truth = {"gender": np.array([[1], [0], [1]]), "age": np.array([[20], [30], [40]])}
    predicted = {"gender": np.array([[0.9], [0.2], [0.3]]), "age": np.array([[22.4], [29.6], [41.0]])}
    picture = figures.predictions(np.zeros((3, 128, 128, 1)), truth, predicted)
    labels = [(axes.get_xlabel(), axes.xaxis.label.get_color()) for axes in picture.axes]
    assert labels == [
        ("is female, 20\nsays female (90%), 22", "black"),
        ("is male, 30\nsays male (80%), 30", "black"),
        ("is female, 40\nsays male (70%), 41", "crimson"),
    ]
    assert size(picture)[0] > 900


def test_probabilities_are_exact_for_logits_of_any_size() -> None:
    assert figures.probabilities(np.array([-1e4, 0.0, 1e4])).tolist() == pytest.approx([0, 0.5, 1])
    assert figures.probabilities(np.array([-80.0])).item() == pytest.approx(np.exp(-80.0), rel=1e-12, abs=0)
