"""Create a run folder in one step, after checking that its name is free and that the disk has room."""

import errno
import itertools
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minidl.command import UsageError, reason
from minidl.progress import size

from ..data.files import dangling, exists, is_folder, leads_nowhere, remove_abandoned, unreadable
from ..options import PLACES, Options
from . import lock
from .earlier import is_run
from .folder import BEGUN, CONFIG, PLOTS, Run, write_json

COPIES = 8
"""Copies of the parameters in a run folder: best, last, three in the state (with Adam's moments), and three more while
a new state replaces the old one."""


def create(options: Options, asked: Mapping[str, Any]) -> Run:
    """Create a run in ``options.out``; without ``options.name`` it is named after the time and the model.

    ``asked`` are the options of this call. Raises :class:`UsageError` if the name is taken.
    """
    parent = Path(options.out)
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except RecursionError:
        raise UsageError(f"--out has {len(parent.parts):,} folders inside one another, too many to create") from None
    remove_abandoned(parent, BEGUN)
    # The folder is renamed when complete, so a killed process leaves no partial run.
    whole = parent / f"{BEGUN}{secrets.token_hex(8)}"
    try:
        (whole / PLOTS).mkdir(parents=True)
        write_json(whole / CONFIG, options.configuration())
        for name in _numbered(options.model) if options.name is None else [options.name]:
            if _renamed(whole, parent / name):
                return Run(parent / name, asked)
        raise UsageError(_taken(parent / name, asked))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(parent)) from None
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def _numbered(model: str) -> Iterator[str]:
    """Names from time and model, numbered if several runs start in the same second."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{model}"
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))


def _renamed(whole: Path, folder: Path) -> bool:
    """Rename a folder unless the name is taken; an empty folder is replaced."""
    if _is_taken(folder):
        return False
    if folder.exists():
        folder.rmdir()
    try:
        whole.rename(folder)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):  # another process was faster
            return False
        raise
    return True


def _is_taken(folder: Path) -> bool:
    """Whether a path exists and is not an empty folder."""
    if not exists(folder):
        return leads_nowhere(folder)
    return folder.is_symlink() or not folder.is_dir() or bool(unreadable(folder)) or any(folder.iterdir())


def _taken(folder: Path, asked: Mapping[str, Any]) -> str:
    """The message for a new run whose name is taken."""
    if locked := unreadable(folder):
        return f"{locked}: choose another --name"
    if is_run(folder):
        run = Run(folder, asked)
        try:
            run.require_whole()
            if run.is_saved:  # it keeps its own data
                run = Run(folder, {name: value for name, value in asked.items() if name not in PLACES})
            go_on = _going_on(run)
        except (UsageError, OSError) as error:
            return f"the run {folder} already exists: choose another --name. {reason(error)}"
        if lock.is_held(folder):
            return f"another process is training the run {folder}: choose another --name"
        remark = "" if run.is_saved else " (nothing was saved yet, so its options may change)"
        return f"the run {folder} already exists: choose another --name, or resume it{remark}{go_on}"
    return f"{folder} already exists and is not a run: choose another --name"


def _going_on(run: Run) -> str:
    """How to resume a run: for the requested epochs, else for the rest of its own, else for ten more."""
    asked = run.asked.get("epochs") or 0
    if not run.is_saved or asked > run.epochs:
        return f": {run.resume_command()}"
    if not run.is_finished:
        return f": {run.resume_command(epochs=None)}"
    return f" for ten more epochs: {run.resume_command(epochs=run.epochs + 10)}"


def require_place(options: Options, earlier: Run | None, weights: int, asked: Mapping[str, Any]) -> None:
    """Raise :class:`UsageError` if a run with weights of ``weights`` bytes cannot be written to its folder."""
    if earlier is not None:
        _require_room(earlier.folder, COPIES * weights, "copy the run to another disk, and resume it there")
        return
    if options.name is not None and _is_taken(folder := Path(options.out, options.name)):
        raise UsageError(_taken(folder, asked))
    _require_room(Path(options.out), COPIES * weights, "choose another folder for the runs with --out")


def _require_room(folder: Path, nbytes: int, remedy: str) -> None:
    """Raise :class:`UsageError` if a run of ``nbytes`` can't be written to a folder, which need not exist yet.

    Files that the run has already written count as free: they are replaced one by one. ``remedy`` ends the message.
    """
    if link := dangling(folder):
        raise UsageError(f"{link} is a link to {link.readlink()}, which does not exist: {remedy}")
    place = folder
    nbytes -= sum(path.stat().st_size for path in (folder.glob("*.safetensors") if is_folder(folder) else ()))
    while not exists(place) and place != place.parent:
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
            f"a run needs {size(nbytes)}, but only {size(free)} are free in {place.resolve()}: make room, or {remedy}"
        )
