"""What the places that pictures come from have in common: they list their files, and read them one after the other."""

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
REPLACED = "replaced by a later file of the same path in the archive"

UNIX_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Entry(NamedTuple):
    """A file in a source. ``problem`` says what forbids to read it; ``position`` finds it again in an archive.

    >>> Entry("./UTKFace/1_0_0_20170101.jpg", 2048).parts
    ('UTKFace', '1_0_0_20170101.jpg')
    """

    path: str
    size: int
    problem: str = ""
    position: int = 0

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders and the name. Backslashes separate them too: archives made on Windows may have them."""
        return tuple(part for part in self.path.replace("\\", "/").split("/") if part not in ("", "."))


class Source(ABC):
    """A place that can list its files and read them; :func:`agegender.data.kinds.open_source` finds the right one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def identity(self) -> str:
        """A string that changes when the content does, found without decoding anything."""

    def visible(self) -> list[Entry]:
        """All files but hidden ones and those that macOS adds; raises ``DataError`` if the source is damaged."""
        found: list[Entry] = []
        last: dict[object, int] = {}
        for entry in self.entries():
            if any(is_hidden(part) for part in entry.parts):
                continue
            place = self.place(entry)
            if (earlier := last.get(place)) is not None:  # of one path, unpacking leaves the last one
                found[earlier] = found[earlier]._replace(problem=REPLACED)
            last[place] = len(found)
            found.append(entry)
            if len(found) > MAX_FILES:
                raise DataError(f"{shown(self.path)} holds more than {MAX_FILES:,} files: name UTKFace's own place")
        return found

    def place(self, entry: Entry) -> object:
        """What two entries have in common of which only the later one would be there, were all of them files."""
        return entry.path

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every file, links and other oddities included."""

    @abstractmethod
    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        """The wanted files, in an order that suits the source: the content, or the reason why it is unreadable."""


def problem(kind: str, size: int) -> str:
    """What forbids to read a file of this kind ("": a regular one) and size in bytes; "" if nothing does.

    >>> problem("FIFO", 0)
    'not a regular file (FIFO)'
    """
    if kind:
        return f"not a regular file ({kind})"
    return f"larger than {MAX_FILE_BYTES // 1_000_000} MB: save it smaller" if size > MAX_FILE_BYTES else ""


def is_hidden(part: str) -> bool:
    """Whether a folder or a file is hidden, or one of those that macOS adds to archives.

    >>> [is_hidden(part) for part in (".git", "__MACOSX", "..", "UTKFace")]
    [True, True, False, False]
    """
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))
