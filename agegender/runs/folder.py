"""A run folder: its files, and the information about the run that they contain besides the weights."""

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from minidl import checkpoint
from minidl.checkpoint import CheckpointError
from minidl.command import UsageError

from ..cli import command_line
from ..data.files import is_file, located, operand, write_text
from ..options import CONFIGURED, FREE, OF_THIS_CALL, PROGRAM, RUNS, spelled, words

CONFIG, ENVIRONMENT, METRICS, SUMMARY = "config.json", "env.json", "metrics.csv", "summary.json"
BEST, LAST, STATE = "best.safetensors", "last.safetensors", "last.state.safetensors"
PLOTS, EXAMPLES = "plots", "examples.png"
BEGUN = ".new-run-"
"""The prefix of a run folder that is being created."""
SUMMARIZED = {
    "epochs": int,
    "best_epoch": int,
    "gender_accuracy": float,
    "age_mae": float,
    "baseline_gender_accuracy": float,
    "baseline_age_mae": float,
    "no_better_than_guessing": list,
}
"""The entries and types that a valid summary must have."""


@dataclass(frozen=True)
class Run:
    """A run folder; nothing here loads its weights, except ``epochs`` for a state without notes.

    ``asked`` are the options of this call, which the printed commands repeat.
    """

    folder: Path
    asked: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The options of the last start; without the file, those in the state. :class:`UsageError` if damaged."""
        path = self.folder / CONFIG
        if not path.exists():
            return self.trained_with
        try:
            return read_json(path)
        except UsageError as error:
            known = self.trained_with and os.access(path, os.R_OK)
            remedy = "Delete it to resume with the saved options" if known else ""
            raise UsageError(f"{error}. {remedy or 'Restore it, or start a new run'}") from None

    @cached_property
    def notes(self) -> dict[str, str]:
        """The metadata of the last saved state; empty before the first save. :class:`UsageError` if damaged."""
        try:
            return checkpoint.read_metadata(self.folder / STATE) if self.is_saved else {}
        except CheckpointError as error:
            raise UsageError(f"{error} Or start a new run: {self.again_command()}") from None

    @property
    def is_saved(self) -> bool:
        """Whether there is a saved state to resume from."""
        return (self.folder / STATE).is_file()

    @cached_property
    def epochs(self) -> int:
        """The number of complete epochs."""
        if not self.is_saved or "epoch" in self.notes:
            return int(self._note("epoch", 0))
        return int(checkpoint.load_state(self.folder / STATE)["epoch"])  # a state saved without notes

    @property
    def seconds(self) -> float:
        """The duration of the run until its last save, over all its calls."""
        return float(self._note("seconds", 0.0))

    @property
    def trained_with(self) -> dict[str, Any]:
        """The options that led to the saved state; empty before the first save."""
        return dict(self._note("config", {}))

    def require_whole(self) -> None:
        """Raise :class:`UsageError` if a file that the run needs was lost or cannot be written."""
        for name in (METRICS, SUMMARY, LAST):
            if (self.folder / name).is_dir():
                raise UsageError(f"{self.folder / name} is a folder, but must be a file: move it elsewhere")
        if (self.folder / PLOTS).is_file():
            raise UsageError(f"{self.folder / PLOTS} is a file, but must be a folder: move it elsewhere")
        lost = STATE if (self.folder / METRICS).exists() and not self.is_saved else ""
        lost = BEST if self.epochs and not (self.folder / BEST).is_file() else lost
        if lost:
            raise UsageError(
                f"{self.folder} has lost its {lost} and cannot be resumed without it. Restore the file, or start a new "
                f"run: {self.again_command()}"
            )

    def _note(self, name: str, default: Any) -> Any:
        notes = self.notes
        try:
            return type(default)(json.loads(notes[name])) if name in notes else default
        except (ValueError, TypeError):
            raise CheckpointError(f"{self.folder / STATE} is damaged: its '{name}' cannot be read") from None

    @cached_property
    def summary(self) -> dict[str, Any] | None:
        """The results, or None if they are missing, damaged or of an earlier epoch."""
        try:
            summary = read_json(self.folder / SUMMARY)
            whole = all(type(summary[name]) is kind for name, kind in SUMMARIZED.items())
        except (UsageError, LookupError):  # missing, or damaged: it is written again at the end of training
            return None
        return summary if whole and summary["epochs"] == self.epochs else None

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are complete and the results and plots exist."""
        return self.epochs >= (self.config.get("epochs") or 0) and not self.lacking

    @property
    def lacking(self) -> str:
        """The file that should exist after the last epoch and is missing or outdated; "" if there is none."""
        if self.summary is None:
            return SUMMARY
        return "" if (self.folder / PLOTS / EXAMPLES).is_file() else f"{PLOTS}/{EXAMPLES}"

    def after_this_call(self) -> "Run":
        """The run without the options that affect only this call, for printing the next commands."""
        return Run(self.folder, {name: value for name, value in self.asked.items() if name not in OF_THIS_CALL})

    def resume_command(self, **changes: Any) -> str:
        """The command that resumes the run with the options of this call and ``changes``."""
        may_change = FREE | {"val"} if self.is_saved else CONFIGURED
        flags = words(self._asked_beyond(may_change | OF_THIS_CALL) | changes)
        return command_line(PROGRAM, "--resume", operand(self.folder), *flags)

    def again_command(self, **changes: Any) -> str:
        """The command that starts a new run with the options of this one, those of this call, and ``changes``.

        If ``config.json`` is unreadable, the saved options are spelled out.
        """
        flags = words(self._asked_beyond(CONFIGURED | OF_THIS_CALL) | changes)
        where = [] if self.folder.parent == Path(RUNS) else ["--out", operand(self.folder.parent)]
        options = ["--config", operand(self.folder / CONFIG)]
        if self.is_saved and not self._written():
            options = spelled(self._held(), flags)
        return command_line(PROGRAM, *options, *where, *flags)

    def _asked_beyond(self, names: Collection[str]) -> dict[str, Any]:
        """The options of this call among ``names`` that differ from those in the run folder."""
        held = self._held()
        if held.get("val") is not None:  # then the fraction has no effect
            held.pop("val_fraction", None)
        return {
            name: value
            for name, value in self.asked.items()
            if name in names and value != held.get(name)
            if not (name in ("data", "val") and located(value) == held.get(name))
        }

    def _held(self) -> dict[str, Any]:
        """The options in ``config.json``, otherwise those in the saved state, otherwise an empty dict."""
        if (written := self._written()) is not None:
            return written
        try:
            saved = json.loads(checkpoint.read_metadata(self.folder / STATE)["config"])
        except (CheckpointError, OSError, LookupError, ValueError):
            return {}
        return saved if isinstance(saved, dict) else {}

    def _written(self) -> dict[str, Any] | None:
        """The options in ``config.json``, or None if it is missing or damaged."""
        with suppress(UsageError):
            return read_json(self.folder / CONFIG)
        return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, indented, in one step."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; raises :class:`UsageError` for anything else."""
    if is_file(path / CONFIG):
        raise UsageError(f"{path} is a folder: pass the file in it, {path / CONFIG}")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows may add a byte order mark
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold a JSON object")
    return content
