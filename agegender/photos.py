"""Photos that are named on a command line: files, folders, patterns, and standard input."""

import sys
from collections.abc import Iterator, Sequence
from glob import has_magic, iglob
from pathlib import Path
from typing import NamedTuple

from minidl.files import expanded

from .data.folder import Folder
from .data.names import is_picture
from .data.sources import MAX_FILE_BYTES, problem
from .errors import DataError, Unusable, cause

STANDARD_INPUT = "-"


class Photo(NamedTuple):
    """The name of a photo and its content, or the reason why it could not be read, see :func:`photos`."""

    name: str
    content: bytes | Unusable


def photos(places: Sequence[str]) -> Iterator[Photo]:
    """The photos in some places, one after another: ``-``, files, folders with all pictures in them, and patterns.

    Raises ``DataError`` before the first photo for a place that does not exist or has no pictures.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.jpg").write_bytes(b"picture"), Path(folder, "b.txt").write_bytes(b"text")
    ...     [(Path(photo.name).name, photo.content) for photo in photos([folder, f"{folder}/*.jpg"])]
    [('a.jpg', b'picture'), ('a.jpg', b'picture')]
    """
    return (_read(name) for name in [name for place in places for name in _names(place)])


def _names(place: str) -> list[str]:
    if place == STANDARD_INPUT:
        return [place]
    path = expanded(place)
    if path.is_dir():
        inside = sorted(entry.path for entry in Folder(path).visible() if is_picture(entry.path))
        if not inside:
            raise DataError(f"{path} has no pictures in it")
        return [str(path / name) for name in inside]
    if path.exists():
        return [str(path)]
    if not has_magic(place):
        raise DataError(f"{place} does not exist: expected a photo, a folder of photos, or - for standard input")
    found = sorted(iglob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
    if not found:
        raise DataError(f"no file matches {place}")
    return found


def _read(name: str) -> Photo:
    if name == STANDARD_INPUT:
        return Photo(name, sys.stdin.buffer.read(MAX_FILE_BYTES + 1))
    try:
        size = Path(name).stat().st_size
        if reason := problem("" if Path(name).is_file() else "folder", size):
            return Photo(name, Unusable(reason))
        return Photo(name, Path(name).read_bytes())
    except OSError as error:
        return Photo(name, Unusable(f"unreadable: {cause(error)}"))
