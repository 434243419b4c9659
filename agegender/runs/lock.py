"""A lock of the operating system that allows one process at a time in a folder; it ends with the process."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minidl.command import UsageError

from ..errors import cause

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
        raise UsageError(f"another process is training {folder}: wait until it ends, or stop it with Ctrl-C there")
    if problem and warn is not None:
        warn(f"{folder} cannot be locked ({problem}): make sure that no other process trains it")
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


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
