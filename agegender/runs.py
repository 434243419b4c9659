"""The folder that a training run leaves: its configuration, environment, results and checkpoints."""

import contextlib
import errno
import itertools
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from minidl import checkpoint
from minidl.checkpoint import CheckpointError
from minidl.command import UsageError

from . import lock
from .cli import command_line
from .data.files import dangling, located, operand, write_text
from .options import CONFIGURED, FREE, OF_THIS_CALL, PLACES, PROGRAM, RUNS, spelled, words

CONFIG, METRICS, SUMMARY = "config.json", "metrics.csv", "summary.json"
BEST, LAST, STATE = "best.safetensors", "last.safetensors", "last.state.safetensors"
PLOTS, EXAMPLES = "plots", "examples.png"
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
_BEGUN = ".new-run-"
LEFT_AFTER = 3600
"""Seconds after which a run that was begun and has no name yet is nobody's."""


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
        return resume_command(self.folder, *words(self._asked_beyond(may_change | OF_THIS_CALL) | changes))

    def again_command(self, **changes: Any) -> str:
        """The command that starts a new run with the options of this one, what this call was asked for, and changes."""
        return again_command(self.folder, *words(self._asked_beyond(CONFIGURED | OF_THIS_CALL) | changes))

    def _asked_beyond(self, names: Collection[str]) -> dict[str, Any]:
        """What this call was asked for of these options, and the run folder does not hold."""
        held = _configuration(self.folder)
        if held.get("val") is not None:  # beside which a share says nothing
            held.pop("val_fraction", None)
        return {
            name: value
            for name, value in self.asked.items()
            if name in names and value != held.get(name)
            if not (name in ("data", "val") and located(value) == held.get(name))
        }


def create(
    parent: Path, name: str | None, model: str, config: Mapping[str, Any], asked: Mapping[str, Any] | None = None
) -> Run:
    """A new run in the folder ``parent/name``; by default the name is made of the time and the model.

    Raises :class:`UsageError` if there is something of that name.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _remove_begun(parent)
    # It is renamed, so that a killed process leaves no part of a run.
    whole = parent / f"{_BEGUN}{secrets.token_hex(8)}"
    try:
        (whole / PLOTS).mkdir(parents=True)
        write_json(whole / CONFIG, config)
        asked = asked or {}
        return Run(_named(whole, parent, name, asked) if name is not None else _numbered(whole, parent, model), asked)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(parent)) from None
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def _remove_begun(parent: Path) -> None:
    """Remove what processes have left that were killed in :func:`create`, which takes no time."""
    for path in parent.glob(f"{_BEGUN}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFT_AFTER:
                shutil.rmtree(path, ignore_errors=True)


def _named(whole: Path, parent: Path, name: str, asked: Mapping[str, Any]) -> Path:
    folder = parent / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not _renamed(whole, folder):
        raise UsageError(_taken(folder, asked))
    return folder


def _numbered(whole: Path, parent: Path, model: str) -> Path:
    """Named by time and model, and numbered where several runs start in the same second."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{model}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(parent / name for name in names if _renamed(whole, parent / name))


def _renamed(whole: Path, folder: Path) -> bool:
    """Rename, unless there is something: then an empty folder gives way, and nothing else does."""
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
    elif folder.exists() or folder.is_symlink():
        return False
    try:
        whole.rename(folder)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):  # another process was faster
            return False
        raise
    return True


def _taken(folder: Path, asked: Mapping[str, Any]) -> str:
    if _is_run(folder):
        run = Run(folder, asked)
        try:
            run.require_whole()
            if run.is_saved:  # with its own data, whatever those are that a new run was to have
                run = Run(folder, {name: value for name, value in asked.items() if name not in PLACES})
            go_on = run.resume_command()
        except UsageError as error:
            return f"the run {folder} exists already, so take another --name. {error}"
        if lock.is_held(folder):
            return f"the run {folder} is trained by another process, which is going on: take another --name"
        remark = "" if run.is_saved else " (nothing was saved of it, so its options may still change)"
        return f"the run {folder} exists already: take another --name, or go on with it{remark}: {go_on}"
    return f"{folder} exists already, and is no run: take another --name"


def require_free(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raise :class:`UsageError` if a new run cannot have this folder, as something is there."""
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise UsageError(_taken(folder, asked))


def find(parent: Path, run: str | None, asked: Mapping[str, Any]) -> Run:
    """An earlier run: by path, by name, or the latest one (None); ``asked`` are the options of this call.

    Raises :class:`UsageError` where there is none.
    """
    if run is None:
        known = found(parent)
        if not known:
            raise UsageError(f"there is no run to resume in {parent}/: start one without --resume")
        return Run(known[-1].folder, asked)
    for folder in (Path(run), parent / run):
        if _is_run(folder):
            return Run(folder, asked)
        if folder.is_file() and _is_run(folder.parent):
            whole = Run(folder.parent, asked).resume_command()
            raise UsageError(f"{folder} is a file of a run: name its folder, {whole}")
    there = ", ".join(sorted(known.folder.name for known in found(parent))) or "none"
    place = Path(run) if Path(run).is_dir() else parent / run
    raise UsageError(f"{place} is no run: it has no {CONFIG}. Runs in {parent}/: {there}.")


def found(parent: Path) -> list[Run]:
    """All runs in a folder, the latest last."""
    folders = [folder for folder in parent.glob("*/") if _is_run(folder)]
    return [Run(folder) for folder in sorted(folders, key=lambda folder: (last_written(folder), folder.name))]


def _is_run(folder: Path) -> bool:
    has_file = any(os.path.isfile(folder / name) for name in (CONFIG, STATE))  # noqa: PTH113 - no error without rights
    return has_file and not folder.name.startswith(_BEGUN)


def last_written(folder: Path) -> float:
    return max(path.stat().st_mtime for name in (CONFIG, STATE, SUMMARY) if (path := folder / name).is_file())


def resume_command(folder: Path, *flags: str) -> str:
    """The command that goes on with a run."""
    return command_line(PROGRAM, "--resume", operand(folder), *flags)


def place(folder: Path) -> tuple[int, int] | None:
    """What a folder stays, whatever it is called; None if there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def holding(folder: Path, warn: Callable[[str], object] | None = None) -> AbstractContextManager[None]:
    """Be the one process that trains a run; see :func:`agegender.lock.holding`."""
    return lock.holding(
        folder,
        f"{folder} is trained by another process, which is going on: wait for its end, or stop it with Ctrl-C there",
        warn,
    )


def again_command(folder: Path, *flags: str) -> str:
    """The command that starts a new run with the options of another one, and these flags.

    Options that only the saved state still knows are spelled out.
    """
    where = [] if folder.parent == Path(RUNS) else ["--out", operand(folder.parent)]
    options = ["--config", operand(folder / CONFIG)]
    if (folder / STATE).is_file() and not _is_readable(folder / CONFIG):
        options = spelled(_configuration(folder), flags)
    return command_line(PROGRAM, *options, *where, *flags)


def _configuration(folder: Path) -> dict[str, Any]:
    """The options in a run folder: those of its file, else those that were saved; empty where none can be read."""
    with contextlib.suppress(UsageError):
        return read_json(folder / CONFIG)
    try:
        saved = json.loads(checkpoint.read_metadata(folder / STATE)["config"])
    except (CheckpointError, OSError, LookupError, ValueError):
        return {}
    return saved if isinstance(saved, dict) else {}


def _is_readable(config: Path) -> bool:
    """Whether a file still tells options."""
    with contextlib.suppress(UsageError):
        return bool(read_json(config))
    return False


def require_room(folder: Path, nbytes: int, remedy: str) -> None:
    """Raise :class:`UsageError` if a run of so many bytes can't be written to a folder, which need not exist yet.

    What the run has written already is there to be replaced, file by file. ``remedy`` is what else can be done.
    """
    if link := dangling(folder):
        raise UsageError(f"{link} is a link to {link.readlink()}, which is not there: {remedy}")
    place = folder
    nbytes -= sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"{place} is a file: {remedy}")
    try:
        tempfile.TemporaryFile(dir=place).close()
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise UsageError(f"{place} cannot be written to ({error.strerror}): {remedy}") from None
    if free < nbytes:
        raise UsageError(
            f"a run needs {nbytes / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free in {place.resolve()}: make room, "
            f"or {remedy}"
        )


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
