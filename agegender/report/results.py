"""The results of a run, as a summary and as printed lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import minidl as md
from minidl.callbacks import best_row
from minidl.progress import duration

from .. import tasks
from ..data.names import MAX_AGE
from ..runs.folder import Run


def validated(row: dict[str, float]) -> dict[str, float]:
    """The validation metrics in a row of the history, without their prefix.

    >>> validated({"epoch": 1, "age_mae": 3.0, "val_age_mae": 6.5})
    {'age_mae': 6.5}
    """
    return {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}


def summarize(
    trainer: md.Trainer, faces: tuple[int, int], baselines: dict[str, float], folder: Path, seconds: float
) -> dict[str, Any]:
    """The results of a run: at the epoch with the lowest validation loss, and at the last one.

    ``faces`` are the sizes of the two parts; ``seconds`` is the duration of the run over all its calls.
    """
    best, last = best_row(trainer.history), trainer.history[-1]
    return {
        "epochs": trainer.epoch,
        "train_images": faces[0],
        "val_images": faces[1],
        "gender_accuracy": best["val_gender_accuracy"],
        "age_mae": best["val_age_mae"],
        "best_epoch": int(best["epoch"]),
        "last_gender_accuracy": last["val_gender_accuracy"],
        "last_age_mae": last["val_age_mae"],
        "baseline_gender_accuracy": baselines["gender_accuracy"],
        "baseline_age_mae": baselines["age_mae"],
        "no_better_than_guessing": tasks.no_better(validated(best), baselines),
        "still_learning": still_learning(trainer.history),
        "precision": trainer.model.parameters()[0].backend.precision,
        "seconds": round(seconds, 1),
        "images_per_second": round(trainer.samples / trainer.seconds, 1),
        "run": str(folder),
    }


def still_learning(history: Sequence[dict[str, float]]) -> bool:
    """Whether more epochs may help: the losses of both parts were decreasing in the last epoch.

    A run with an age error above the maximum age has diverged: its loss may decrease for a long time and never reach a
    useful value.

    >>> still_learning([{"loss": 9.0, "val_loss": 9.5, "val_age_mae": 9.0}])
    True
    >>> still_learning([{"loss": 9e30, "val_loss": 9e30, "val_age_mae": 9e30}])
    False
    """
    *earlier, last = history
    falling = best_row(history) is last and all(last["loss"] < before["loss"] for before in earlier[-1:])
    return falling and last["val_age_mae"] <= MAX_AGE


USUAL_LR = 1e-3
LABELS = {"gender_accuracy": ("gender accuracy", "{:.3f}"), "age_mae": ("age error", "{:.2f} years")}
"""The label and the format of each result."""


def result(summary: dict[str, Any]) -> str:
    """The results in a line.

    >>> summary = {"gender_accuracy": 0.9, "baseline_gender_accuracy": 0.5, "age_mae": 99.5, "baseline_age_mae": 14.8}
    >>> line = result({**summary, "no_better_than_guessing": ["age_mae"], "best_epoch": 2, "epochs": 3})
    >>> print(line.replace(", ", "\\n"))
    gender accuracy 0.900 (constant prediction: 0.500)
    age error 99.50 years
    no better than always predicting the median age (14.80 years); at epoch 2 of 3
    """
    told = []
    for name, (label, form) in LABELS.items():
        value, guessing = form.format(summary[name]), form.format(summary[f"baseline_{name}"])
        if name in summary["no_better_than_guessing"]:
            told.append(f"{label} {value}, no better than {tasks.GUESSES[name]} ({guessing})")
        else:
            told.append(f"{label} {value} (constant prediction: {guessing})")
    return f"{', '.join(told)}; at epoch {summary['best_epoch']} of {summary['epochs']}"


def effort(summary: dict[str, Any]) -> str:
    """The speed and the duration of a run.

    >>> effort({"images_per_second": 300.2, "precision": "float32", "seconds": 75})
    '300 images/s in float32, 1:15 in all'
    """
    speed = f"{summary['images_per_second']:.0f} images/s in {summary['precision']}"
    return f"{speed}, {duration(summary['seconds'])} in all"


def ten_more(summary: dict[str, Any], run: Run) -> str:
    """How to go on with a finished run.

    >>> ten_more({"epochs": 4}, Run(Path("runs/a")))
    'train for ten more epochs: python -m agegender.train --resume runs/a --epochs 14'
    """
    return f"train for ten more epochs: {run.after_this_call().resume_command(epochs=summary['epochs'] + 10)}"


def next_steps(summary: dict[str, Any], run: Run, lr: float) -> list[str]:
    """The commands to run next, the most useful first."""
    more, run = ten_more(summary, run), run.after_this_call()
    if not summary["no_better_than_guessing"]:
        return [more]
    if lr < USUAL_LR / 1000:
        again = run.again_command(lr=f"{USUAL_LR:g}")
        return [f"a learning rate of {lr:g} is too low to learn; {USUAL_LR:g} is usual: {again}"]
    learning = summary.get("still_learning", False)  # missing in summaries of older versions
    if lr < USUAL_LR or (lr == USUAL_LR and learning):
        return [f"a learning rate of {lr:g} takes longer; {more}"]
    first = f"try a lower learning rate first: {run.again_command(lr=lower(lr))}"
    return [first, f"or, since the loss was decreasing, {more}"] if learning and summary["epochs"] > 1 else [first]


def lower(lr: float) -> str:
    """The learning rate to try after ``lr``: a tenth of it, but at most the usual one.

    >>> lower(1e30), lower(0.001)
    ('0.001', '0.0001')
    """
    return f"{min(lr / 10, USUAL_LR):g}"
