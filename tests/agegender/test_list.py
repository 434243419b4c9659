"""``python -m agegender.train --list``: the runs, with what became of them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Command

from agegender import runs

pytestmark = pytest.mark.usefixtures("elsewhere", "without_pictures")
Stop = Callable[..., None]


def test_the_runs_are_listed_with_what_became_of_them(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    assert command("--list").out == "There are no runs in runs/. One is made by: python -m agegender.train\n"
    Path("file").touch()
    assert command("--list", "--out", "file").err == "error: file: Not a directory\n"
    command(*small, "--lr", 0.1, "--name", "whole")
    stop_at(6)
    command(*small, "--name", "stopped")
    stop_at(2, MemoryError())
    command(*small, "--name", "begun")
    shutil.copytree("runs/whole", "runs/damaged")
    Path("runs/damaged/config.json").write_text("{")
    Path("runs/no-run").mkdir()
    done = command("--list")
    assert done.code == 0
    head, *rows = done.out.splitlines()
    assert head.split("  ")[0] == "run"
    states = {row.split()[0]: row for row in rows}
    assert set(states) == {"whole", "stopped", "begun", "damaged"}
    for name, state in (
        ("whole", "finished"),
        ("stopped", "can be resumed"),
        ("begun", "0 of 2"),
        ("damaged", "damaged: "),
    ):
        assert state in states[name]
    assert re.search(r"data0 +finished.* 2 of 2 +0\.\d{3} +\d+\.\d\d years$", states["whole"])
    assert "1 of 2" in states["stopped"]
    facts = {Path(fact["run"]).name: fact for fact in json.loads(command("--list", "--json").out)}
    assert list(facts) == [row.split()[0] for row in rows]
    summary = json.loads(Path("runs/whole/summary.json").read_text())
    assert {name: facts["whole"][name] for name in runs.RESULTS} == {name: summary[name] for name in runs.RESULTS}
    assert (facts["stopped"]["epochs"], facts["stopped"]["of_epochs"]) == (1, 2)
    assert (facts["begun"]["epochs"], facts["begun"]["age_mae"]) == (0, None)
    assert facts["damaged"]["state"].startswith("damaged: ")


def test_a_list_of_runs_shows_what_the_summary_says(command: Command, small: tuple[object, ...]) -> None:
    summary = command(*small, "--name", "a", "--json").summary
    rows = Path("runs/a/metrics.csv").read_text().splitlines()
    Path("runs/a/metrics.csv").write_text("\n".join(rows[:2]) + "\n")
    assert f"{summary['gender_accuracy']:.3f}  {summary['age_mae']:.2f} years" in command("--list").out


def test_a_run_that_lost_its_state_is_neither_gone_on_with_nor_replaced(
    command: Command, small: tuple[object, ...]
) -> None:
    command(*small, "--name", "a")
    Path("runs/a/last.state.safetensors").unlink()
    done = command(*small, "--name", "a")
    assert done.code == 2
    assert done.err.startswith(
        "error: the run runs/a exists already, so take another --name. runs/a has lost its last."
    )
    assert "--resume" not in done.err


def test_the_command_of_an_empty_list_can_be_pasted(command: Command) -> None:
    assert "One is made by: python -m agegender.train --out 'no runs'\n" in command("--list", "--out", "no runs").out


def test_without_runs_the_list_is_empty(command: Command) -> None:
    assert command("--list", "--json").out == "[]\n"
