"""Whether more or less of a monitored value is better is declared, never guessed."""

from pathlib import Path
from typing import Any

import pytest

import minidl as md
from minidl import checkpoint, nn
from minidl.callbacks import Checkpoint, EarlyStopping, best_row
from minidl.directions import direction
from minidl.errors import MinidlError

ROWS = [
    {"epoch": epoch, "loss": 1.0, "val_accuracy": value, "val_score": value, "val_age_mae": value}
    for epoch, value in enumerate([0.5, 0.9, 0.7, 0.3, float("nan")], start=1)
]


@pytest.mark.parametrize(
    ("monitor", "mode", "best"),
    [("val_accuracy", None, 2), ("val_accuracy", "auto", 2), ("val_accuracy", "min", 4), ("val_age_mae", None, 4),
     ("val_score", "max", 2), ("val_score", "min", 4)],
)  # fmt: skip
def test_the_best_accuracy_is_the_highest_and_the_best_error_the_lowest(
    tmp_path: Path, monitor: str, mode: str | None, best: int
) -> None:
    assert best_row(ROWS, monitor, mode)["epoch"] == best
    model = nn.Dense(1, 1)
    trainer = md.Trainer(model, nn.MSELoss(), md.optim.SGD(model.parameters()))
    kept = Checkpoint(tmp_path, monitor, mode=mode)
    for epoch, row in enumerate(ROWS, start=1):
        trainer.history.append(row)
        trainer.epoch, trainer.stopping = epoch, False
        EarlyStopping(2, monitor, mode).on_epoch_end(trainer)
        kept.on_epoch_end(trainer)
        assert trainer.stopping == (epoch - best_row(ROWS[:epoch], monitor, mode)["epoch"] >= 2)
    assert checkpoint.read_metadata(tmp_path / "best.safetensors")["epoch"] == str(best)


def test_a_stop_that_others_asked_for_is_not_taken_back() -> None:
    """Such as Ctrl-C in the best epoch so far."""
    model = nn.Dense(1, 1)
    trainer = md.Trainer(model, nn.MSELoss(), md.optim.SGD(model.parameters()))
    trainer.history.append({"epoch": 1, "val_loss": 0.5})
    trainer.epoch, trainer.stopping = 1, True
    EarlyStopping(2).on_epoch_end(trainer)
    assert trainer.stopping


@pytest.mark.parametrize(
    "name",
    [
        "val_score",
        "1-accuracy",
        "neg_mean_squared_error",
        "lr",
        "val_acuracy",
        "",
        "val_accuracy_gap",
        "accuracy_std",
        "recall_disparity",
        "missed_recall",
        "mae_improvement",
        "loss_reduction",
    ],
)
def test_a_name_that_says_not_what_is_better_wants_a_mode(name: str) -> None:
    for make in (lambda: EarlyStopping(monitor=name), lambda: Checkpoint("a", name), lambda: best_row(ROWS, name)):
        with pytest.raises(MinidlError, match=r'whether higher or lower is better: write mode="max" or mode="min"$'):
            make()


@pytest.mark.parametrize("mode", [None, "max", "auto", "higher"])
@pytest.mark.parametrize("monitor", [3, None, ["val_loss"]])
def test_what_is_no_name_is_one_error_whatever_the_mode(monitor: Any, mode: Any) -> None:
    for make in (
        lambda: EarlyStopping(monitor=monitor, mode=mode),
        lambda: Checkpoint("a", monitor, mode=mode),
        lambda: best_row(ROWS, monitor, mode),
        lambda: best_row([], monitor, mode),
        lambda: direction(monitor, mode),
    ):
        with pytest.raises(MinidlError, match=r"^monitor must be a name in the history, such as 'val_loss', got "):
            make()


def test_names_say_what_is_better_by_their_last_word() -> None:
    less = "loss val_loss mean_absolute_error age_mae val_cross_entropy accuracy_error kl_divergence"
    more = "accuracy val_acc gender_accuracy f1_score auc_1 mean_iou r2 valAccuracy top5_accuracy"
    assert {name: direction(name) for name in less.split()} == dict.fromkeys(less.split(), "min")
    assert {name: direction(name) for name in more.split()} == dict.fromkeys(more.split(), "max")
    with pytest.raises(MinidlError, match=r"got 'higher'$"):
        direction("loss", "higher")


def test_patience_is_a_number_of_epochs() -> None:
    with pytest.raises(MinidlError, match="expected a number of epochs, got 'val_loss': write monitor='val_loss'"):
        EarlyStopping("val_loss")  # type: ignore[arg-type]
    for patience in (-1, 1.5, None):
        with pytest.raises(MinidlError, match="patience must be an integer >= 0"):
            EarlyStopping(patience)  # type: ignore[arg-type]
