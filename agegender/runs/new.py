"""A new run: its place is free and has room, and its folder is there as a whole or not at all."""

import errno
import itertools
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minidl.command import UsageError
from minidl.progress import size

from ..data.files import dangling, remove_abandoned
from ..options import PLACES, Options
from . import lock
from .earlier import is_run
from .folder import BEGUN, CONFIG, PLOTS, Run, write_json

COPIES = 8
"""Of the parameters in a run folder: the best, the last, three in the state with Adam's, and these again as a new state
is written before the old one is removed."""


def create(options: Options, asked: Mapping[str, Any]) -> Run:
    """A new run in the folder of the runs; without a name of its own it is called by the time and the model.

    ``asked`` are the options that this call was given. Raises :class:`UsageError` if there is something of that name.
    """
    parent = Path(options.out)
    parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(parent, BEGUN)
    # It is renamed, so that a killed process leaves no part of a run.
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
    """Names of time and model, numbered where several runs start in the same second."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{model}"
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))


def _renamed(whole: Path, folder: Path) -> bool:
    """Rename, unless there is something: then an empty folder gives way, and nothing else does."""
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
    """Whether something is there that does not give way."""
    is_empty = folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    return (folder.exists() or folder.is_symlink()) and not is_empty


def _taken(folder: Path, asked: Mapping[str, Any]) -> str:
    """What to do where the place of a new run is taken."""
    if is_run(folder):
        run = Run(folder, asked)
        try:
            run.require_whole()
            if run.is_saved:  # with its own data, whatever those are that a new run was to have
                run = Run(folder, {name: value for name, value in asked.items() if name not in PLACES})
            go_on = _going_on(run)
        except UsageError as error:
            return f"the run {folder} exists already, so take another --name. {error}"
        if lock.is_held(folder):
            return f"the run {folder} is trained by another process, which is going on: take another --name"
        remark = "" if run.is_saved else " (nothing was saved of it, so its options may still change)"
        return f"the run {folder} exists already: take another --name, or go on with it{remark}{go_on}"
    return f"{folder} exists already, and is no run: take another --name"


def _going_on(run: Run) -> str:
    """How to go on with a run, for as many epochs as were asked for unless it has so many: never for none."""
    asked = run.asked.get("epochs") or 0
    if not run.is_saved or asked > run.epochs:
        return f": {run.resume_command()}"
    if not run.is_finished:
        return f": {run.resume_command(epochs=None)}"
    return f", with ten epochs more: {run.resume_command(epochs=run.epochs + 10)}"


def require_place(options: Options, earlier: Run | None, weights: int, asked: Mapping[str, Any]) -> None:
    """Raise :class:`UsageError` if a run with weights of so many bytes cannot be written where it is to be."""
    if earlier is not None:
        _require_room(earlier.folder, COPIES * weights, "copy the run to a place with room, and resume it there")
        return
    if options.name is not None and _is_taken(folder := Path(options.out, options.name)):
        raise UsageError(_taken(folder, asked))
    _require_room(Path(options.out), COPIES * weights, "name a folder of yours for the runs with --out")


def _require_room(folder: Path, nbytes: int, remedy: str) -> None:
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
            f"a run needs {size(nbytes)}, and {size(free)} are free in {place.resolve()}: make room, or {remedy}"
        )
