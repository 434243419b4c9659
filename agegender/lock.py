"""One process at a time in a folder: a lock of the operating system, which ends with the process that holds it."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minidl.command import UsageError

_TRIES = 5
"""Somebody may only look, see :func:`is_held`."""


@contextmanager
def holding(folder: Path, refusal: str) -> Iterator[None]:
    """Keep other processes out of a folder; raises :class:`UsageError` with this text if one is in there.

    Where the system or the file system has no locks, nobody is kept out.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, holding(Path(folder), "it is in use"):
    ...     is_held(Path(folder))
    True
    """
    descriptor = _locked(folder)
    if descriptor is None:
        raise UsageError(refusal)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether a process is in a folder with :func:`holding`.

    >>> is_held(Path("nowhere"))
    False
    """
    descriptor = _locked(folder, tries=1)
    if descriptor is not None and descriptor >= 0:
        os.close(descriptor)
    return descriptor is None


def _locked(folder: Path, tries: int = _TRIES) -> int | None:
    """A descriptor that holds the lock until it is closed, -1 where there are no locks, None where another holds it."""
    if sys.platform == "win32":
        return -1
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # what is not there, or cannot be read, is told by who uses it
        return -1
    for attempt in range(tries):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if attempt < tries - 1:
                time.sleep(0.02)
        except OSError:
            break
    else:
        with suppress(OSError):
            os.close(descriptor)
        return None
    os.close(descriptor)
    return -1
