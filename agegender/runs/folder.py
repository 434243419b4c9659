"""A run folder: its files, and what can be known of a run without loading its weights."""

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
from ..data.files import located, operand, write_text
from ..options import CONFIGURED, FREE, OF_THIS_CALL, PROGRAM, RUNS, spelled, words

CONFIG, ENVIRONMENT, METRICS, SUMMARY = "config.json", "env.json", "metrics.csv", "summary.json"
BEST, LAST, STATE = "best.safetensors", "last.safetensors", "last.state.safetensors"
PLOTS, EXAMPLES = "plots", "examples.png"
BEGUN = ".new-run-"
"""What the name of a run folder begins with that is still being made."""
SUMMARIZED = {
    "epochs": int,
    "best_epoch": int,
    "gender_accuracy": float,
    "age_mae": float,
    "baseline_gender_accuracy": float,
    "baseline_age_mae": float,
    "no_better_than_guessing": list,
}
"""What a summary must hold to count."""


@dataclass(frozen=True)
class Run:
    """A run folder with what can be known of it without loading its weights.

    ``asked`` are the options that this call was given: the commands that it prints repeat them.
    """

    folder: Path
    asked: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The options of the last start, or without the file those of the state. :class:`UsageError` if damaged."""
        path = self.folder / CONFIG
        if not path.exists():
            return self.trained_with
        try:
            return read_json(path)
        except UsageError as error:
            known = self.trained_with and os.access(path, os.R_OK)
            remedy = "Delete it, and the run goes on with the options that were saved" if known else ""
            raise UsageError(f"{error}. {remedy or 'Write it anew, or start another run'}") from None

    @cached_property
    def notes(self) -> dict[str, str]:
        """What was stored with the last saved state; empty before the first one. :class:`UsageError` if damaged."""
        try:
            return checkpoint.read_metadata(self.folder / STATE) if self.is_saved else {}
        except CheckpointError as error:
            raise UsageError(f"{error} Or start a new run: {self.again_command()}") from None

    @property
    def is_saved(self) -> bool:
        """Whether there is a state to go on from; false for what ended before the first one was written."""
        return (self.folder / STATE).is_file()

    @cached_property
    def epochs(self) -> int:
        """The epochs that are complete."""
        if not self.is_saved or "epoch" in self.notes:
            return int(self._note("epoch", 0))
        return int(checkpoint.load_state(self.folder / STATE)["epoch"])  # of a state that was saved without notes

    @property
    def seconds(self) -> float:
        """How long the run had taken when its state was saved, in all its calls."""
        return float(self._note("seconds", 0.0))

    @property
    def trained_with(self) -> dict[str, Any]:
        """The options of the training that led to the saved state; empty before the first one."""
        return dict(self._note("config", {}))

    def require_whole(self) -> None:
        """Raise :class:`UsageError` if a file is missing that the run needs to go on, and had, or cannot be written."""
        for name in (METRICS, SUMMARY, LAST):
            if (self.folder / name).is_dir():
                raise UsageError(f"{self.folder / name} is a folder, where a file is to be written: move it elsewhere")
        if (self.folder / PLOTS).is_file():
            raise UsageError(f"{self.folder / PLOTS} is a file, where a folder is to be: move it elsewhere")
        lost = STATE if (self.folder / METRICS).exists() and not self.is_saved else ""
        lost = BEST if self.epochs and not (self.folder / BEST).is_file() else lost
        if lost:
            raise UsageError(
                f"{self.folder} has lost its {lost}, and cannot go on without. Bring the file back, or start a new "
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
        """The results, if the run has come to its end with all epochs that it has."""
        try:
            summary = read_json(self.folder / SUMMARY)
            whole = all(type(summary[name]) is kind for name, kind in SUMMARIZED.items())
        except (UsageError, LookupError):  # there is none, or it can be made anew
            return None
        return summary if whole and summary["epochs"] == self.epochs else None

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do but further epochs: results and pictures are there."""
        return self.epochs >= (self.config.get("epochs") or 0) and not self.lacking

    @property
    def lacking(self) -> str:
        """The file that is made after the last epoch and is not there, or is of an earlier one; "" if none is."""
        if self.summary is None:
            return SUMMARY
        return "" if (self.folder / PLOTS / EXAMPLES).is_file() else f"{PLOTS}/{EXAMPLES}"

    def after_this_call(self) -> "Run":
        """The run without what says something about this call alone, for the commands that come next."""
        return Run(self.folder, {name: value for name, value in self.asked.items() if name not in OF_THIS_CALL})

    def resume_command(self, **changes: Any) -> str:
        """The command that goes on with the run as this call was asked to, but for changes."""
        may_change = FREE | {"val"} if self.is_saved else CONFIGURED
        flags = words(self._asked_beyond(may_change | OF_THIS_CALL) | changes)
        return command_line(PROGRAM, "--resume", operand(self.folder), *flags)

    def again_command(self, **changes: Any) -> str:
        """The command that starts a new run with the options of this one, what this call was asked for, and changes.

        Options that only the saved state still knows are spelled out.
        """
        flags = words(self._asked_beyond(CONFIGURED | OF_THIS_CALL) | changes)
        where = [] if self.folder.parent == Path(RUNS) else ["--out", operand(self.folder.parent)]
        options = ["--config", operand(self.folder / CONFIG)]
        if self.is_saved and not self._written():
            options = spelled(self._held(), flags)
        return command_line(PROGRAM, *options, *where, *flags)

    def _asked_beyond(self, names: Collection[str]) -> dict[str, Any]:
        """What this call was asked for of these options, and the run folder does not hold."""
        held = self._held()
        if held.get("val") is not None:  # beside which a share says nothing
            held.pop("val_fraction", None)
        return {
            name: value
            for name, value in self.asked.items()
            if name in names and value != held.get(name)
            if not (name in ("data", "val") and located(value) == held.get(name))
        }

    def _held(self) -> dict[str, Any]:
        """The options in the folder: those of its file, else those that were saved; empty where none can be read."""
        if (written := self._written()) is not None:
            return written
        try:
            saved = json.loads(checkpoint.read_metadata(self.folder / STATE)["config"])
        except (CheckpointError, OSError, LookupError, ValueError):
            return {}
        return saved if isinstance(saved, dict) else {}

    def _written(self) -> dict[str, Any] | None:
        """The options of the file, if it still tells them."""
        with suppress(UsageError):
            return read_json(self.folder / CONFIG)
        return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, indented, in one step."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; anything else ends in :class:`UsageError`."""
    if (path / CONFIG).is_file():
        raise UsageError(f"{path} is a folder: name the file in it, {path / CONFIG}")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # as editors on Windows write it
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is no text") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold a JSON object")
    return content
