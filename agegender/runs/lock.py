"""A lock of the operating system that allows one process at a time in a folder; it ends with the process."""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minidl.command import UsageError

from ..errors import cause

_HOLDER = ".process"
"""The file in a folder that names the process and the machine that hold its lock."""
_TRIES = 5
"""Attempts to lock: :func:`is_held` in another process holds the lock for a moment."""


@contextmanager
def holding(folder: Path, warn: Callable[[str], object] | None = None) -> Iterator[None]:
    """Lock a run folder for this process; raises :class:`UsageError` if another process holds the lock.

    If the system or the file system has no locks, ``warn`` is called with a message and other processes are not
    excluded.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, holding(Path(folder)):
    ...     is_held(Path(folder))
    True
    """
    descriptor, problem = _locked(folder, _TRIES)
    if descriptor is None and not problem:
        process = holder(folder)
        which = f". It is {process}" if process else ", or stop it"
        raise UsageError(f"another process is training {folder}: wait until it ends{which}")
    if problem and warn is not None:
        warn(f"{folder} cannot be locked ({problem}): make sure that no other process trains it")
    try:
        if descriptor is not None:
            _sign(descriptor)
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                os.unlink(_HOLDER, dir_fd=descriptor)
            os.close(descriptor)


def holder(folder: Path) -> str:
    """Which process is in a folder with :func:`holding`, and how to stop it; "" where that is not known.

    >>> holder(Path("nowhere"))
    ''
    """
    try:
        process, machine = (folder / _HOLDER).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    return f"process {process}" + (
        f"; stop it with: kill {process}" if machine == platform.node() else f" on {machine}"
    )


def _sign(descriptor: int) -> None:
    """Name this process in the folder of a descriptor, wherever that is meanwhile, if it can be written to."""
    with suppress(OSError):
        file = os.open(_HOLDER, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=descriptor)
        with open(file, "w", encoding="utf-8") as text:  # noqa: PTH123 - a descriptor
            text.write(f"{os.getpid()}\n{platform.node()}\n")


def is_held(folder: Path) -> bool:
    """Whether a process holds the lock of a folder, see :func:`holding`.

    >>> is_held(Path("nowhere"))
    False
    """
    descriptor, problem = _locked(folder, tries=1)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None and not problem


def _locked(folder: Path, tries: int) -> tuple[int | None, str]:
    """A descriptor that holds the lock until closed, or None; and why locking is impossible, "" if it is possible."""
    if sys.platform == "win32":
        return None, "Windows cannot lock folders"
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        return None, cause(error)
    problem = ""
    for attempt in range(tries):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor, ""
        except BlockingIOError:
            if attempt < tries - 1:
                time.sleep(0.02)
        except OSError as error:  # mostly on network file systems
            problem = cause(error)
            break
    with suppress(OSError):
        os.close(descriptor)
    return None, problem
