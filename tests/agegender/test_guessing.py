"""A run that is no better than a constant prediction reports this, and what to try next."""

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Command

from agegender import tasks
from agegender.report import results
from agegender.runs.folder import Run
from agegender.train import nothing_left

pytestmark = pytest.mark.usefixtures("elsewhere", "without_pictures")


@pytest.fixture
def guessing(command: Command, small: tuple[object, ...]) -> Any:
    """A run with a learning rate too low to learn."""
    return command(*small, "--lr", 100, "--name", "a", "--json")


def test_a_run_no_better_than_guessing_is_told_and_marked(command: Command, guessing: Any) -> None:
    assert guessing.code == 0
    assert "age_mae" in guessing.summary["no_better_than_guessing"]
    last = Path("runs/a/metrics.csv").read_text().splitlines()
    assert last[0].endswith(",no_better_than_guessing")
    assert all("age_mae" in line for line in last[1:])
    *_, result, look, advice = guessing.err.splitlines()
    assert re.search(r"age error \S+ years, no better than always predicting the median age \(\S+ years\)", result)
    assert look == "see runs/a/plots/curves.png and runs/a/plots/examples.png"
    command_line = "python -m agegender.train --config runs/a/config.json --lr 0.001"
    assert advice == f"try a lower learning rate first: {command_line}"
    assert "no better than a constant prediction" in command("--list").out


def test_a_run_that_guesses_gets_its_advice_quietly_and_once_it_is_finished_too(
    command: Command, small: tuple[object, ...]
) -> None:
    result, advice = command(*small, "--lr", 100, "--name", "a", "--quiet").out.splitlines()
    assert "--epochs" not in advice
    assert "no better than" in result
    assert advice.startswith("try a lower learning rate first: python -m agegender.train --config runs/a/")
    Path("runs/a").rename("runs/b")
    for options in ([], ["--quiet"]):
        *finished, more = command("--resume", "b", *options).out.splitlines()
        assert finished == ["nothing to do: runs/b already has 2 epochs", result, advice.replace("runs/a", "runs/b")]
        assert more == "or train for ten more epochs: python -m agegender.train --resume runs/b --epochs 12"


@pytest.mark.parametrize("lr", [0.0, 1e-4, 1e-3, 100.0])
@pytest.mark.parametrize("guessed", [[], ["age_mae"]])
@pytest.mark.parametrize("learning", [False, True])
def test_whoever_resumes_a_finished_run_is_told_once_how_to_go_on(
    lr: float, guessed: list[str], learning: bool
) -> None:
    baselines = {"gender_accuracy": 0.5, "baseline_gender_accuracy": 0.5, "age_mae": 9.0, "baseline_age_mae": 9.0}
    summary = {
        "epochs": 1,
        "best_epoch": 1,
        **baselines,
        "no_better_than_guessing": guessed,
        "still_learning": learning,
    }
    run = Run(Path("runs/a"))
    vars(run).update(summary=summary, epochs=1)
    told: list[str] = []
    nothing_left(run, lr, lambda line, always: told.append(line))  # type: ignore[arg-type]
    assert told[0] == "nothing to do: runs/a already has 1 epoch"
    assert sum("python -m agegender.train --resume runs/a --epochs 11" in line for line in told) == 1


def test_a_run_that_learned_says_how_to_go_on() -> None:
    (following,) = results.next_steps({"epochs": 4, "no_better_than_guessing": []}, Run(Path("runs/a")), lr=1e-3)
    assert following == "train for ten more epochs: python -m agegender.train --resume runs/a --epochs 14"


def test_where_the_loss_was_still_falling_more_epochs_are_the_other_thing_to_try() -> None:
    summary = {"epochs": 4, "still_learning": True, "no_better_than_guessing": ["age_mae"]}
    advice = partial(results.next_steps, run=Run(Path("elsewhere/a")))
    lower, more = advice(summary, lr=2e-3)
    assert lower.endswith("python -m agegender.train --config elsewhere/a/config.json --out elsewhere --lr 0.0002")
    assert more.startswith("or, since the loss was decreasing, train for ten more epochs: python")
    assert len(advice({**summary, "still_learning": False}, lr=1e-3)) == 1
    assert len(advice({**summary, "epochs": 1}, lr=2e-3)) == 1
    (longer,) = advice(summary, lr=1e-3)
    assert longer.startswith("a learning rate of 0.001 takes longer; train for ten more epochs: python")
    assert "first thing to lower" not in "".join(advice(summary, lr=0.0))


@pytest.mark.parametrize(
    ("loss", "val_loss", "age_mae", "expected"),
    [
        ([9, 8, 7], [9, 8, 7], 20.0, True),
        ([9, 6, 7], [9, 8, 7], 20.0, False),
        ([9, 7, 7], [9, 8, 7], 20.0, False),
        ([9, 8, 7], [9, 6, 7], 20.0, False),
        ([9, 8, math.nan], [9, 8, 7], 20.0, False),
        ([1e40, 1e30, 1e20], [1e40, 1e30, 1e20], 1e20, False),
        ([9, 8, 7], [9, 8, 7], math.nan, False),
        ([9], [9], 20.0, True),
        ([9], [9], 1e20, False),
    ],
)
def test_a_run_learns_while_both_losses_fall_and_its_errors_are_years(
    loss: list[float], val_loss: list[float], age_mae: float, expected: bool
) -> None:
    rows = zip(loss, val_loss, strict=True)
    history = [{"loss": one, "val_loss": other, "val_age_mae": age_mae} for one, other in rows]
    assert results.still_learning(history) is expected


def test_a_run_that_diverged_is_not_told_to_train_on(command: Command, small: tuple[object, ...]) -> None:
    done = command(*small, "--optimizer", "sgd", "--lr", 1e30, "--name", "a", "--json")
    assert done.code == 0
    assert done.summary["age_mae"] > 1e6
    assert not done.summary["still_learning"]
    assert "train on" not in done.err
    *_, advice = done.err.splitlines()
    assert advice.startswith("try a lower learning rate first: ")


def test_nothing_is_better_than_guessing_where_guessing_is_always_right() -> None:
    perfect = {"gender_accuracy": 1.0, "age_mae": 0.0}
    assert tasks.no_better(perfect, perfect) == []


def test_equal_to_guessing_is_no_better_and_so_is_no_number() -> None:
    guesses = {"gender_accuracy": 0.5, "age_mae": 10.0}
    assert tasks.no_better(guesses, guesses) == ["gender_accuracy", "age_mae"]
    assert tasks.no_better({"gender_accuracy": 0.6, "age_mae": float("nan")}, guesses) == ["age_mae"]


@pytest.mark.parametrize(
    ("lr", "epochs", "best", "advice"),
    [
        (0.0, 7, 7, "a learning rate of 0 is too low to learn; 0.001 is usual: python"),
        (1e-20, 7, 3, "a learning rate of 1e-20 is too low to learn; 0.001 is usual: python"),
        (1e-4, 7, 3, "a learning rate of 0.0001 takes longer; train for"),
        (1e-3, 1, 1, "a learning rate of 0.001 takes longer; train for"),
        (1e-3, 4, 1, "try a lower learning rate first: python"),
        (1e30, 4, 1, "try a lower learning rate first: python"),
    ],
)
def test_the_advice_about_the_learning_rate_fits_it(lr: float, epochs: int, best: int, advice: str) -> None:
    summary = {"epochs": epochs, "still_learning": best == epochs, "no_better_than_guessing": ["age_mae"]}
    line = results.next_steps(summary, Run(Path("runs/a")), lr)[0]
    assert line.startswith(advice)
    assert line.endswith("--lr 0.001") == (lr > 1 or lr < 1e-6)
