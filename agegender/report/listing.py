"""``python -m agegender.train --list``: the runs in a folder and their results."""

import csv
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minidl.callbacks import best_row
from minidl.checkpoint import CheckpointError
from minidl.command import UsageError
from minidl.errors import MinidlError
from minidl.table import table

from ..cli import command_line
from ..data.files import operand, unreadable
from ..errors import cause
from ..options import PROGRAM, RUNS
from ..runs import lock
from ..runs.earlier import found, is_run, last_written
from ..runs.folder import CONFIG, METRICS, Run
from .results import LABELS

RESULTS = (*LABELS, "no_better_than_guessing")
HEAD = ("run", "last written", "data", "state", "epochs", *(label for label, _ in LABELS.values()))
LEAST = ("data", "last written", "epochs", *(label for label, _ in LABELS.values()))
"""The columns to drop in a narrow terminal, in this order."""


def overview(parent: Path, width: int | None = None) -> str:
    """A table of all runs in a folder, the latest last, for a terminal of ``width`` columns.

    Columns are dropped until it fits; names of runs are never shortened. Remarks on runs follow. Raises
    :class:`UsageError` or OSError if the folder can't be read.

    >>> print(overview(Path("nowhere")))
    There are no runs in nowhere/. To start one: python -m agegender.train --out nowhere
    """
    facts = listed(parent)
    if not facts and is_run(parent):
        whole = command_line(PROGRAM, "--list", "--out", operand(parent.parent))
        return f"{parent} is a run itself. To list it and the other runs next to it: {whole}"
    if not facts:
        how = PROGRAM if parent == Path(RUNS) else command_line(PROGRAM, "--out", operand(parent))
        return f"There are no runs in {parent}/. To start one: {how}"
    columns = {name: [name, *cells] for name, *cells in zip(HEAD, *map(_row, facts), strict=True)}
    shown = _table(columns)
    for name in LEAST:
        if width is not None and max(map(len, shown.splitlines())) > width:
            del columns[name]
            shown = _table(columns)
    remarks = [remark for run in facts for remark in _remarks(run)]
    return "\n".join([shown, *([""] if remarks else []), *remarks])


def _table(columns: Mapping[str, Sequence[str]]) -> str:
    return table(list(zip(*columns.values(), strict=True)), left=list(columns).index("state") + 1)


def listed(parent: Path) -> list[dict[str, Any]]:
    """The facts about each run in a folder as JSON values, null if unknown; the latest run last.

    Raises :class:`UsageError` or OSError if the folder can't be read.

    >>> listed(Path("nowhere"))
    []
    """
    return [_facts(run) for run in found(parent)]


def _facts(run: Run) -> dict[str, Any]:
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(last_written(run.folder)))
    facts: dict[str, Any] = {"run": str(run.folder), "last_written": date}
    unknown = dict.fromkeys(("data", "epochs", "of_epochs", "process")) | dict.fromkeys(RESULTS)
    if reason := unreadable(run.folder):
        return facts | unknown | {"state": f"unreadable: {reason}"}
    try:
        run.require_whole()
        known = {"data": str(run.config["data"]), "epochs": run.epochs, "of_epochs": int(run.config["epochs"])}
        results = _results(run) if run.epochs else dict.fromkeys(RESULTS)
        state = _state(run)
        process = lock.holder(run.folder) if state == "running" else ""
        return facts | known | {"state": state, "process": process or None} | results
    except (UsageError, CheckpointError) as error:
        damage = f"damaged: {error}"
    except OSError as error:
        damage = f"damaged: {error.filename or run.folder} cannot be read: {cause(error)}"
    except (LookupError, TypeError, ValueError, ArithmeticError):
        damage = f"damaged: {run.folder / CONFIG} lacks options: restore an earlier version of the file"
    return facts | unknown | {"state": damage}


def _state(run: Run) -> str:
    if lock.is_held(run.folder):
        return "running"
    if run.is_finished:
        return "finished"
    if run.epochs < int(run.config["epochs"]):
        return "can be resumed"
    problem = "damaged or outdated" if (run.folder / run.lacking).exists() else "missing"
    return f"can be resumed: its {run.lacking} is {problem}; to write it: {run.resume_command()}"


def _row(facts: Mapping[str, Any]) -> tuple[str, ...]:
    words = (_printable(Path(facts["run"]).name), facts["last_written"], _printable(Path(facts["data"] or "").name))
    epochs = "" if facts["epochs"] is None else f"{facts['epochs']} of {facts['of_epochs']}"
    results = ("" if facts[name] is None else form.format(facts[name]) for name, (_, form) in LABELS.items())
    return (*words, facts["state"].partition(":")[0], epochs, *results)


def _remarks(facts: Mapping[str, Any]) -> list[str]:
    """The remarks on a run, below the table."""
    name, (state, _, reason) = _printable(Path(facts["run"]).name), facts["state"].partition(": ")
    state = f"is {state}" if state in ("damaged", "unreadable") else state
    remarks = [f"{name} {state}: {reason}"] if reason else []
    remarks += [f"{name} is running: {facts['process']}"] if facts["process"] else []
    guessed = [LABELS[name][0] if name in LABELS else name for name in facts["no_better_than_guessing"] or []]
    return [
        *remarks,
        *([f"{name}: no better than a constant prediction in {' and '.join(guessed)}"] if guessed else []),
    ]


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _results(run: Run) -> dict[str, Any]:
    """The metrics at the best epoch, and which of them are no better than a constant prediction."""
    if run.summary is not None:
        return _of_epoch(run.summary, "")
    try:
        with (run.folder / METRICS).open(encoding="utf-8", newline="") as file:
            rows: Any = [{**row, "val_loss": float(row["val_loss"])} for row in csv.DictReader(file)]
        return _of_epoch(best_row(rows), "val_")
    except FileNotFoundError:
        if run.epochs == 1:  # killed before it was written for the first time
            return dict.fromkeys(RESULTS)
        problem = f"{run.folder / METRICS} is missing"
    except (MinidlError, ValueError, TypeError, LookupError, csv.Error):
        problem = f"{run.folder / METRICS} is not a table of epochs"
    raise UsageError(f"{problem}; to write it again: {run.resume_command()}")


def _of_epoch(best: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    values = (float(best[f"{prefix}gender_accuracy"]), float(best[f"{prefix}age_mae"]))
    if not all(map(math.isfinite, values)):
        raise ValueError("a result is not finite")
    guessed = best.get("no_better_than_guessing") or []
    return dict(zip(RESULTS, (*values, guessed.split() if isinstance(guessed, str) else guessed), strict=True))
