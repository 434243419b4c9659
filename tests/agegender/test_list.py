"""``python -m agegender.train --list``: the runs and their results."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Command, printed

from agegender.report import listing

pytestmark = pytest.mark.usefixtures("elsewhere", "without_pictures")
Stop = Callable[..., None]


def test_the_runs_are_listed_with_what_became_of_them(
    command: Command, small: tuple[object, ...], stop_at: Stop
) -> None:
    assert command("--list").out == "There are no runs in runs/. To start one: python -m agegender.train\n"
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
    shown, _, remarks = done.out.partition("\n\n")
    head, *rows = shown.splitlines()
    assert head.split("  ")[0] == "run"
    states = {row.split()[0]: row for row in rows}
    assert set(states) == {"whole", "stopped", "begun", "damaged"}
    for name, state in (
        ("whole", "finished"),
        ("stopped", "can be resumed"),
        ("begun", "0 of 2"),
        ("damaged", "damaged"),
    ):
        assert state in states[name]
    assert re.search(r"data0 +finished.* 2 of 2 +0\.\d{3} +\d+\.\d\d years$", states["whole"])
    assert "1 of 2" in states["stopped"]
    assert "damaged is damaged: runs/damaged/config.json cannot be read: " in remarks
    assert max(map(len, shown.splitlines())) < 100
    facts = {Path(fact["run"]).name: fact for fact in json.loads(command("--list", "--json").out)}
    assert list(facts) == [row.split()[0] for row in rows]
    summary = json.loads(Path("runs/whole/summary.json").read_text())
    assert {name: facts["whole"][name] for name in listing.RESULTS} == {name: summary[name] for name in listing.RESULTS}
    assert (facts["stopped"]["epochs"], facts["stopped"]["of_epochs"]) == (1, 2)
    assert (facts["begun"]["epochs"], facts["begun"]["age_mae"]) == (0, None)
    assert facts["damaged"]["state"].startswith("damaged: ")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--resume", "a", "--name", "q", "--epochs", 3], "--resume, --name, --epochs"),
        (["--resume"], "--resume"),
        (["--dry-run", "--out", "runs"], "--dry-run"),
        (["--quiet", "--json"], "--quiet"),
    ],
)
def test_a_list_of_runs_ignores_no_option(command: Command, options: list[object], named: str) -> None:
    done = command("--list", *options)
    message = f"error: --list only lists the runs in --out: leave out {named}, or --list\n"
    assert (done.code, done.out, done.err) == (2, "", message)


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
    assert done.err.startswith("error: the run runs/a already exists: choose another --name. runs/a has lost its last.")
    assert "--resume" not in done.err


def test_the_command_of_an_empty_list_can_be_pasted(command: Command) -> None:
    assert "To start one: python -m agegender.train --out 'no runs'\n" in command("--list", "--out", "no runs").out


def test_the_list_of_a_run_is_to_be_had_from_its_folder(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--epochs", 1, "--out", "my runs", "--name", "a")
    done = command("--list", "--out", "my runs/a")
    assert done.out.startswith("my runs/a is a run itself. To list it and the other runs next to it: python")
    assert command(*printed(done)).out.splitlines()[1].split()[0] == "a"


def test_without_runs_the_list_is_empty(command: Command) -> None:
    assert command("--list", "--json").out == "[]\n"


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("file", "damage", "listed", "resumed"),
    [
        ("metrics.csv", as_folder, "metrics.csv is a folder, but must be a file: move it elsewhere", 2),
        ("metrics.csv", lambda path: path.write_bytes(b"\xff\xfe\0"), "metrics.csv is not a table of epochs; to", 0),
        (
            "metrics.csv",
            lambda path: path.write_text("epoch,val_loss\n"),
            "metrics.csv is not a table of epochs; to",
            0,
        ),
        ("metrics.csv", lambda path: path.write_text("a\nb\n"), "metrics.csv is not a table of epochs; to write it", 0),
        ("metrics.csv", Path.unlink, "metrics.csv is missing; to write it again: python -m", 0),
        ("config.json", as_folder, "config.json cannot be read: Is a directory. Delete it to resume", 2),
        (
            "config.json",
            lambda path: path.write_bytes(b"\xff\0"),
            "config.json cannot be read: it is not UTF-8 text. Delete",
            2,
        ),
        ("config.json", lambda path: path.write_text("{}"), "config.json lacks options: restore", 2),
        ("last.safetensors", as_folder, "last.safetensors is a folder, but must be a file: move it", 2),
    ],
)
def test_a_damaged_run_is_told_in_a_sentence_and_the_others_are_listed(
    command: Command, small: tuple[object, ...], file: str, damage: Callable[[Path], object], listed: str, resumed: int
) -> None:
    command(*small, "--name", "a")
    shutil.copytree("runs/a", "runs/b")
    Path("runs/b/summary.json").unlink()
    damage(Path("runs/b", file))
    shown, _, remarks = command("--list").out.partition("\n\n")
    assert re.search(r"^a .* finished .*2 of 2", shown, re.MULTILINE)
    assert re.search(r"^b .* damaged$", shown, re.MULTILINE)
    assert f"b is damaged: runs/b/{listed}" in remarks
    assert "[Errno" not in remarks
    done = command("--resume", "b", "--epochs", 3)
    assert done.code == resumed
    assert "Errno" not in done.err
    assert done.err.count("\n") == bool(resumed)


def test_a_run_killed_before_its_first_table_can_be_resumed(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--epochs", 1, "--name", "a")
    for name in ("metrics.csv", "summary.json"):
        Path("runs/a", name).unlink()
    shown = json.loads(command("--list", "--json").out)[0]
    assert shown["state"].startswith("can be resumed: its summary.json is missing; to write it: python -m")
    assert (shown["epochs"], shown["age_mae"]) == (1, None)
    assert command("--list").code == 0
    assert command("--resume", "a").code == 0
    assert json.loads(command("--list", "--json").out)[0]["state"] == "finished"


@pytest.mark.parametrize("width", [130, 100, 80, 70, 45])
def test_the_table_fits_the_terminal_and_keeps_the_names(
    command: Command, small: tuple[object, ...], width: int
) -> None:
    command(*small, "--name", "a-name-of-25-characters-1", "--lr", 100)
    shown, _, remarks = listing.overview(Path("runs"), width).partition("\n\n")
    assert max(map(len, shown.splitlines())) <= width
    assert "a-name-of-25-characters-1  " in shown
    assert ("last written" in shown) == (width >= 100)
    assert remarks.startswith("a-name-of-25-characters-1: no better than a constant prediction in ")


def test_a_table_as_wide_as_the_terminal_keeps_its_columns(command: Command, small: tuple[object, ...]) -> None:
    command(*small, "--name", "a")
    whole = listing.overview(Path("runs")).partition("\n\n")[0]
    width = max(map(len, whole.splitlines()))
    assert listing.overview(Path("runs"), width).partition("\n\n")[0] == whole
    assert "last written" in listing.overview(Path("runs"), width - 1)
    assert "data" not in listing.overview(Path("runs"), width - 1).splitlines()[0]


@pytest.mark.parametrize("name", ["val_gender_accuracy", "val_age_mae"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_result_that_is_no_number_is_a_damaged_table(
    command: Command, small: tuple[object, ...], name: str, value: str
) -> None:
    command(*small, "--epochs", 1, "--name", "a")
    Path("runs/a/summary.json").unlink()
    table = Path("runs/a/metrics.csv")
    head, row = table.read_text().splitlines()
    cells = dict(zip(head.split(","), row.split(","), strict=True)) | {name: value}
    table.write_text(f"{head}\n{','.join(cells.values())}\n")
    shown = json.loads(command("--list", "--json").out)[0]
    assert shown["state"].startswith("damaged: runs/a/metrics.csv is not a table of epochs; to write it again")
    assert (shown["gender_accuracy"], shown["age_mae"]) == (None, None)


def test_a_run_whose_loss_was_no_number_for_once_shows_its_best_epoch(
    command: Command, small: tuple[object, ...]
) -> None:
    command(*small, "--epochs", 2, "--name", "a")
    Path("runs/a/summary.json").unlink()
    table = Path("runs/a/metrics.csv")
    head, first, second = table.read_text().splitlines()
    place = head.split(",").index("val_loss")
    spoilt = [*first.split(",")[:place], "nan", *first.split(",")[place + 1 :]]
    table.write_text("\n".join([head, ",".join(spoilt), second]) + "\n")
    shown = json.loads(command("--list", "--json").out)[0]
    assert not shown["state"].startswith("damaged")
    assert shown["age_mae"] == float(second.split(",")[head.split(",").index("val_age_mae")])
