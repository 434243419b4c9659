"""Find and resume earlier runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import minidl as md
from minidl import checkpoint
from minidl.command import UsageError
from minidl.data import DataLoader
from minidl.files import remove_leftovers

from ..cli import flag
from ..data.files import exists, is_file, is_folder, unreadable
from ..data.sources import is_hidden
from ..data.split import Split
from ..errors import DataError
from ..json_files import read_json
from .folder import (
    BEGUN,
    BEST,
    CONFIG,
    ENVIRONMENT,
    PLOTS,
    SPLIT,
    STATE,
    SUMMARY,
    Data,
    Environment,
    Run,
)


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
    given = Path(run)
    if given.name in ("", ".."):  # so that the folder has a name and a parent
        given = given.resolve()
    for folder in (given, parent / run):
        _require_readable(folder)
        if is_run(folder):
            return Run(folder, asked)
        if is_file(folder) and is_run(folder.parent):
            whole = Run(folder.parent, asked).resume_command()
            raise UsageError(f"{folder} is a file of a run: resume its folder, {whole}")
    there = ", ".join(sorted(known.folder.name for known in found(parent))) or "none"
    place = given if exists(given) else parent / run
    problem = f"is not a run: it has no {CONFIG}" if exists(place) else "does not exist"
    raise UsageError(f"{place} {problem}. Runs in {parent}/: {there}.")


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


@contextmanager
def moved_data_explained(run: Run | None, given: Mapping[str, Any]) -> Iterator[None]:
    """Add to an error about the data of a run that is resumed how to pass their new path."""
    try:
        yield
    except DataError as error:
        if run is None or "data" in given:
            raise
        command = run.resume_command(data="PATH")
        raise DataError(f"{error}. If the data of {run.folder} were moved, pass their new path: {command}") from None


def resume(run: Run, trainer: md.Trainer, train: DataLoader, data: Data, split: Split | None) -> None:
    """Restore the last saved state of a run into a trainer and a loader; nothing is written.

    Raises :class:`UsageError` if ``data`` or their split differs from those that the run was started with.
    """
    if not run.is_saved:
        return
    _require_same(run, data)
    if split is not None:
        _require_same_split(run, split)
    with run.or_again():
        if run.epochs:  # during the first epoch there are no best weights
            md.load(run.folder / BEST)  # if damaged, fail now rather than after training
        state = checkpoint.load_state(run.folder / STATE)
    trainer.load_state_dict(state, train)


def _require_same_split(run: Run, split: Split) -> None:
    path = run.folder / SPLIT
    if path.is_file() and path.read_bytes() != split.table().encode():
        raise UsageError(
            f"{path} is not the split that is drawn from the data now: training would use faces of the validation "
            f"part. Restore or delete the file if it was edited, or start a new run: {run.again_command()}"
        )


def _require_same(run: Run, now: Data) -> None:
    path = run.folder / ENVIRONMENT
    try:
        before = read_json(path, Environment)["data"]
    except UsageError as error:  # missing or damaged
        raise UsageError(_unknown(run, str(error))) from None
    pairs = [("data", before, now)]
    if "validation" in now:
        if "validation" not in before:
            raise UsageError(_unknown(run, f"{path}: 'data.validation' is missing"))
        pairs.append(("val", before["validation"], now["validation"]))
    for option, old, new in pairs:
        if old["fingerprint"] != new["fingerprint"]:
            raise UsageError(_changed(run, option, old, new))


def _unknown(run: Run, problem: str) -> str:
    """The message if it is not known which data the run was started with."""
    return (
        f"{problem}, so the data that the run was started with are not known. Restore the file, or start a new run: "
        f"{run.again_command()}"
    )


def _changed(run: Run, option: str, old: Data, new: Data) -> str:
    """The message if the data have changed since the run was started."""
    if old["source"] != new["source"]:
        return (
            f"{new['source']} does not contain the faces of {run.folder}, last read from {old['source']}. "
            f"Pass their location to {flag(option)}, or start a new run with these: "
            f"{run.again_command(**{option: new['source']})}"
        )
    counts = f" (faces: {old['faces']} then, {new['faces']} now)" if old["faces"] != new["faces"] else ""
    return (
        f"{new['source']} has changed since {run.folder} was started{counts}. Restore the earlier files, or "
        f"start a new run: {run.again_command()}"
    )
