"""The interface of folders and archives: list files and read them one after another."""

import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, Unusable
from .files import shown

MAX_FILE_BYTES = 25_000_000
MAX_FILES = 1_000_000
MAX_TOTAL_BYTES = 50_000_000_000
REPLACED = "replaced by a later file with the same path in the archive"
LOCKED = "unreadable folder"
"""The beginning of the reason for a folder that cannot be listed."""

UNIX_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Entry(NamedTuple):
    """A file in a source. ``problem`` is the reason not to read it, or ""; ``position`` is its position in an archive.

    >>> Entry("./UTKFace/1_0_0_20170101.jpg", 2048).parts
    ('UTKFace', '1_0_0_20170101.jpg')
    """

    path: str
    size: int
    problem: str = ""
    position: int = 0

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders and the name. Backslashes also separate them, as in archives made on Windows."""
        return tuple(part for part in self.path.replace("\\", "/").split("/") if part not in ("", "."))


class Source(ABC):
    """A folder or an archive, opened by :func:`agegender.data.kinds.open_source`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def identity(self) -> str:
        """A string that changes with the content, computed without decoding pictures."""

    def visible(self) -> list[Entry]:
        """All files except hidden ones, see :func:`is_hidden`; raises ``DataError`` if the source is damaged."""
        found: list[Entry] = []
        last: dict[object, int] = {}
        for entry in self.entries():
            if any(is_hidden(part) for part in entry.parts):
                continue
            place = self.place(entry)
            if (earlier := last.get(place)) is not None:  # unpacking would keep only the last one
                found[earlier] = found[earlier]._replace(problem=REPLACED)
            last[place] = len(found)
            found.append(entry)
            if len(found) > MAX_FILES:
                raise DataError(f"{shown(self.path)} contains more than {MAX_FILES:,} files: pass UTKFace's folder")
        return found

    def place(self, entry: Entry) -> object:
        """A key that two entries share if unpacking would keep only the later one."""
        return entry.path

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """All files, including links and special files."""

    @abstractmethod
    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        """Read the wanted files, in any order; yields the content of each, or the reason why it is unreadable."""


def problem(kind: str, size: int) -> str:
    """The reason not to read a file of this kind ("": a regular file) and size in bytes; "" if there is none.

    >>> problem("FIFO", 0)
    'not a regular file (FIFO)'
    """
    if kind:
        return f"not a regular file ({kind})"
    return f"larger than {MAX_FILE_BYTES // 1_000_000} MB: save it as a smaller file" if size > MAX_FILE_BYTES else ""


def is_hidden(part: str) -> bool:
    """Whether a folder or a file is hidden, or added by macOS to an archive or by Linux to a disk.

    >>> [is_hidden(part) for part in (".git", "__MACOSX", "lost+found", "..", "UTKFace")]
    [True, True, True, False, False]
    """
    return part in ("__MACOSX", "lost+found") or (part.startswith(".") and part not in (".", ".."))
