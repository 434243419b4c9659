"""Find and resume earlier runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import minidl as md
from minidl import checkpoint
from minidl.checkpoint import CheckpointError
from minidl.command import UsageError
from minidl.data import DataLoader
from minidl.files import remove_leftovers

from ..cli import flag
from ..data.files import exists, is_file, is_folder, unreadable
from ..data.sources import is_hidden
from .folder import BEGUN, BEST, CONFIG, ENVIRONMENT, PLOTS, STATE, SUMMARY, Run, read_json


def find(parent: Path, run: str | None, asked: Mapping[str, Any]) -> Run:
    """Find a run by path or name, or the latest one (None); ``asked`` are the options of this call.

    Raises :class:`UsageError` if there is none.
    """
    if run is None:
        known = found(parent)
        if not known:
            raise UsageError(f"there is no run to resume in {parent}/: start one without --resume")
        if reason := unreadable(known[-1].folder):
            raise UsageError(f"{reason}. To resume an earlier run, name it: --resume RUN")
        return Run(known[-1].folder, asked)
    for folder in (Path(run), parent / run):
        _require_readable(folder)
        if is_run(folder):
            return Run(folder, asked)
        if is_file(folder) and is_run(folder.parent):
            whole = Run(folder.parent, asked).resume_command()
            raise UsageError(f"{folder} is a file of a run: resume its folder, {whole}")
    there = ", ".join(sorted(known.folder.name for known in found(parent))) or "none"
    place = Path(run) if Path(run).is_dir() else parent / run
    raise UsageError(f"{place} is not a run: it has no {CONFIG}. Runs in {parent}/: {there}.")


def found(parent: Path) -> list[Run]:
    """All runs in a folder, and folders that may be runs but cannot be read; the latest last.

    Raises :class:`UsageError` if the folder itself cannot be read, and ``NotADirectoryError`` for a file.
    """
    _require_readable(parent)
    inside = filter(is_folder, parent.iterdir() if exists(parent) else ())
    folders = [folder for folder in inside if is_run(folder) or (unreadable(folder) and not is_hidden(folder.name))]
    return [Run(folder) for folder in sorted(folders, key=lambda folder: (last_written(folder), folder.name))]


def _require_readable(folder: Path) -> None:
    if reason := unreadable(folder):
        raise UsageError(reason)


def is_run(folder: Path) -> bool:
    """Whether a folder is a complete run folder, rather than one that is being created."""
    has_file = any(is_file(folder / name) for name in (CONFIG, STATE))
    return has_file and not folder.name.startswith(BEGUN)


def last_written(folder: Path) -> float:
    """When a run was last written, as a file time; for a folder that cannot be read, its own time."""
    times = [path.stat().st_mtime for name in (CONFIG, STATE, SUMMARY) if exists(path := folder / name)]
    return max(times, default=folder.stat().st_mtime)


def tidy(run: Run) -> None:
    """Remove leftovers of a killed process from a run folder, and create the folder for plots."""
    remove_leftovers(run.folder)
    (run.folder / PLOTS).mkdir(exist_ok=True)


def resume(run: Run, trainer: md.Trainer, train: DataLoader, data: Mapping[str, Any]) -> None:
    """Restore the last saved state of a run into a trainer and a loader; nothing is written.

    Raises :class:`UsageError` if ``data`` differs from the data that the run was started with.
    """
    if not run.is_saved:
        return
    _require_same(run, data)
    if run.epochs:  # during the first epoch there are no best weights
        try:
            md.load(run.folder / BEST)  # if damaged, fail now rather than after training
        except CheckpointError as error:
            raise UsageError(f"{error} Or start a new run: {run.again_command()}") from None
    trainer.load_state_dict(checkpoint.load_state(run.folder / STATE), train)


def _require_same(run: Run, now: Mapping[str, Any]) -> None:
    path = run.folder / ENVIRONMENT
    try:
        before = read_json(path).get("data")
    except UsageError:  # missing or damaged
        before = None
    if not isinstance(before, dict) or "fingerprint" not in before:
        raise UsageError(
            f"{path} no longer describes the data that the run was started with. Restore "
            f"the file, or start a new run: {run.again_command()}"
        )
    for option, old, new in (("data", before, now), ("val", before.get("validation"), now.get("validation"))):
        if old is not None and new is not None and old["fingerprint"] != new["fingerprint"]:
            raise UsageError(_changed(run, option, old, new))


def _changed(run: Run, option: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The message if the data have changed since the run was started."""
    if old.get("source") != new["source"]:
        return (
            f"{new['source']} does not contain the faces of {run.folder}, last read from {old.get('source')}. "
            f"Pass their location to {flag(option)}, or start a new run with these: "
            f"{run.again_command(**{option: new['source']})}"
        )
    counts = f" (faces: {old.get('faces')} then, {new['faces']} now)" if old.get("faces") != new["faces"] else ""
    return (
        f"{new['source']} has changed since {run.folder} was started{counts}. Restore the earlier files, or "
        f"start a new run: {run.again_command()}"
    )
