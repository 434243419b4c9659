"""Atomic file writes, after which a crash leaves the old file or the new one, never a part; the folder of caches."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import CallError, brief


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name only when it is complete and on disk.

    An error removes the temporary file and leaves an existing file unchanged. A write error is an ``OSError`` with
    ``path``. A killed process leaves the temporary file, see :func:`remove_leftovers`. If several processes or threads
    write at once, the last to finish wins. A symbolic link is kept: its target is written. The permissions of a file
    that is replaced are kept. A device or a FIFO is not replaced but written to. Raises ``IsADirectoryError`` for a
    folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(f"{folder}/a") as file:
    ...         print(file.write(b"text"), Path(folder, "a").exists())
    ...     print(Path(folder, "a").read_text())
    4 False
    text
    """
    path = as_path(path)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    require_folder(target)
    # File systems limit names to 255 bytes, of which a character may take four.
    temporary = target.parent / f".{target.name[:50]}.{os.getpid()}-{secrets.token_hex(8)}.tmp"
    replacing = _is_replaceable(path)
    try:
        with _replacing(target, temporary) if replacing else path.open("wb") as file:
            yield file
    except OSError as error:
        if error.filename in (None, str(temporary), str(target.parent)):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _is_replaceable(path: Path) -> bool:
    """Whether a path is a regular file or does not exist, rather than a device or a FIFO, which others have open."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a folder: add the name of the file to write")
    return stat.S_ISREG(mode)


@contextlib.contextmanager
def _replacing(target: Path, temporary: Path) -> Iterator[IO[bytes]]:
    """A file under a temporary name, which is renamed to ``target`` when it is complete."""
    try:
        with temporary.open("xb") as file:
            _keep_mode(target, temporary)  # while it is empty
            yield file
            file.flush()
            _sync(file.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):  # so that the first error is the one raised
            temporary.unlink(missing_ok=True)


def _keep_mode(old: Path, new: Path) -> None:
    """Give a new file the permissions of the one that it replaces; some file systems refuse any change of them."""
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(old.stat().st_mode)
        if mode != stat.S_IMODE(new.stat().st_mode):
            new.chmod(mode)


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files that killed processes have left in a folder and below it, see :func:`atomic_write`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, ".w.safetensors.17-8f1c.tmp").touch()
    ...     remove_leftovers(folder)
    ...     list(Path(folder).iterdir())
    []
    """
    for path in Path(folder).rglob(".*.[0-9]*.tmp"):
        path.unlink(missing_ok=True)


def require_folder(path: str | os.PathLike[str]) -> None:
    """Raise ``FileNotFoundError`` if the folder of a file to be written does not exist.

    >>> require_folder("no/such/file")
    Traceback (most recent call last):
    FileNotFoundError: there is no folder no/such to write file to: create it first
    """
    path = as_path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to: create it first")


def expanded(path: str | Path) -> Path:
    """The path with a leading ``~`` replaced by the home folder, for a ``~`` that the shell did not expand.

    Raises :class:`CallError` as :func:`as_path` does.

    >>> expanded("~/UTKFace") == Path.home() / "UTKFace"
    True
    """
    path = as_path(path)
    try:
        return path.expanduser()
    except RuntimeError:  # no such user
        return path


def user_cache() -> Path:
    """The folder of all caches: ``$MINIDL_CACHE``, or else ``minidl`` in the user's cache folder.

    Raises ``RuntimeError`` if there is no home folder.

    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, MINIDL_CACHE="~/mine"):
    ...     user_cache() == Path.home() / "mine"
    True
    """
    if named := os.environ.get("MINIDL_CACHE"):
        return expanded(named)
    return expanded(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minidl"


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # other systems cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)


def _sync(descriptor: int) -> None:
    """Wait until the written data are on disk, if the file system supports it: some network shares do not."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


def as_path(path: Any) -> Path:
    """``path`` as a Path. Raises :class:`CallError` for anything but a path, and for one with a NUL character.

    >>> as_path("w.safetensors").name
    'w.safetensors'
    """
    try:
        found = Path(path)
    except TypeError as error:
        raise CallError(f"expected the path of a file, got {brief(path)}") from error
    if "\0" in str(found):
        raise CallError(f"no file can have a NUL character in its path: leave it out of {path!r:.60}")
    return found
