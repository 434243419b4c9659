"""A run folder: its files, and the information about the run that they contain besides the weights."""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from minidl import checkpoint
from minidl.checkpoint import CheckpointError
from minidl.command import UsageError

from ..cli import command_line
from ..data.files import located, operand, write_text
from ..json_files import conform, read_json
from ..options import CONFIGURED, FREE, OF_THIS_CALL, PROGRAM, RUNS, spelled, words

CONFIG, ENVIRONMENT, METRICS, SUMMARY = "config.json", "env.json", "metrics.csv", "summary.json"
BEST, LAST, STATE = "best.safetensors", "last.safetensors", "last.state.safetensors"
SPLIT, SKIPPED, SKIPPED_VALIDATION = "split.csv", "skipped.csv", "skipped_validation.csv"
PLOTS, EXAMPLES = "plots", "examples.png"
BEGUN = ".new-run-"
"""The prefix of a run folder that is being created."""


class Summary(TypedDict):
    """The entries of ``summary.json`` that are read."""

    epochs: int
    best_epoch: int
    gender_accuracy: float
    age_mae: float
    baseline_gender_accuracy: float
    baseline_age_mae: float
    no_better_than_guessing: list[str]


class Data(TypedDict):
    """What identifies the data of a run, and those of a separate validation."""

    source: str
    faces: int
    fingerprint: str
    validation: NotRequired["Data"]


class Environment(TypedDict):
    """The entries of ``env.json`` that are read."""

    data: Data


class TrainedWith(TypedDict, total=False):
    """The saved options that are computed with; those of other versions are not checked."""

    data: str | None
    val: str | None
    epochs: int | None


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
            return read_json(path, dict)
        except UsageError as error:
            if not os.access(path, os.R_OK):
                remedy = "Make it readable"
            elif self.trained_with:
                remedy = "Delete it to resume with the saved options"
            else:
                remedy = "Restore it, or start a new run"
            raise UsageError(f"{error}. {remedy}") from None

    @cached_property
    def notes(self) -> dict[str, str]:
        """The metadata of the last saved state; empty before the first save. :class:`UsageError` if damaged."""
        with self.or_again():
            return checkpoint.read_metadata(self.folder / STATE) if self.is_saved else {}

    @property
    def is_saved(self) -> bool:
        """Whether there is a saved state to resume from."""
        return (self.folder / STATE).is_file()

    @cached_property
    def epochs(self) -> int:
        """The number of complete epochs."""
        if not self.is_saved or "epoch" in self.notes:
            return int(self._note("epoch", 0))
        with self.or_again():
            return int(checkpoint.load_state(self.folder / STATE)["epoch"])  # a state saved without notes

    @property
    def seconds(self) -> float:
        """The duration of the run until its last save, over all its calls."""
        return float(self._note("seconds", 0.0))

    @property
    def trained_with(self) -> dict[str, Any]:
        """The options that led to the saved state; empty before the first save."""
        return dict(self._note("config", {}, TrainedWith))

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

    def _note(self, name: str, default: Any, declared: Any = None) -> Any:
        notes = self.notes
        with self.or_again():
            try:
                return conform(json.loads(notes[name]), declared or type(default), name) if name in notes else default
            except (ValueError, RecursionError):
                raise CheckpointError(f"{self.folder / STATE} is damaged: its '{name}' cannot be read.") from None

    @cached_property
    def summary(self) -> dict[str, Any] | None:
        """The results, or None if they are missing, damaged or of an earlier epoch."""
        try:
            summary = read_json(self.folder / SUMMARY, Summary)
        except UsageError:  # missing, or damaged: it is written again at the end of training
            return None
        return {**summary} if summary["epochs"] == self.epochs else None

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

    @contextmanager
    def or_again(self) -> Iterator[None]:
        """Turn errors about damaged weights or a damaged state into :class:`UsageError` with a way out.

        It is the command that starts the run again, and the best weights if they are whole.
        """
        try:
            yield
        except CheckpointError as error:
            kept = ""
            with suppress(CheckpointError, OSError):
                checkpoint.load(self.folder / BEST)
                kept = f" The weights of the best epoch are whole: {self.folder / BEST}."
            raise UsageError(f"{error}{kept} Or start a new run: {self.again_command()}") from None

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
            return read_json(self.folder / CONFIG, dict)
        return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, indented, in one step."""
    write_text(path, json.dumps(content, indent=2) + "\n")
