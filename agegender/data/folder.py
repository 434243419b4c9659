"""A folder of pictures or links to pictures."""

import hashlib
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeAlias

from ..errors import Unreadable, Unusable, cause
from . import sources
from .files import identity, leads_nowhere
from .names import is_picture
from .sources import UNIX_KINDS, Entry, Source, problem

_State: TypeAlias = tuple[int, ...]
_FOLDER = problem("folder", 0)


class Folder(Source):
    """A folder and everything below it; links are followed. See :func:`agegender.data.kinds.open_source`.

    A folder that is reachable by several paths is read once, if possible by a path without links.
    """

    def identity(self) -> str:
        """The hash of all names, sizes, times and inodes; for links, those of their targets.

        It stays the same if the folder is renamed, but differs for a copy. Equal sizes and times do not prove equal
        content: uncompressed images have equal sizes, and times can be set.
        """
        return hashlib.blake2b(repr(self._scan).encode(), digest_size=16).hexdigest()

    def entries(self) -> Iterator[Entry]:
        return (entry for entry, _ in self._scan)

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        for entry in wanted:
            try:
                yield entry, (self.path / entry.path).read_bytes()
            except OSError as error:
                yield entry, Unreadable(f"unreadable: {cause(error)}")

    @cached_property
    def _scan(self) -> list[tuple[Entry, _State]]:
        found: list[tuple[Entry, _State]] = []
        folders = deque([""])
        seen = set(map(identity, self.path.resolve().parents))  # a link to one of these leads back to this folder
        while folders and len(found) <= sources.MAX_FILES:
            folder = folders.popleft()
            try:
                place = identity(self.path / folder)
                if place in seen:
                    found.append((Entry(folder, 0, "link to a parent folder, or to one that is read elsewhere"), ()))
                    continue
                seen.add(place)
                with os.scandir(self.path / folder) as items:
                    for item in sorted(items, key=lambda item: item.name):
                        path = f"{folder}/{item.name}".lstrip("/")
                        entry, state = _entry(path, item)
                        if entry.problem != _FOLDER or is_picture(path):
                            found.append((entry, state))
                        elif item.is_symlink():
                            folders.append(path)  # after everything that is reached without links
                        else:
                            folders.appendleft(path)
            except OSError as error:
                found.append((Entry(folder, 0, f"{sources.LOCKED}: {cause(error)}"), ()))
        return sorted(found)


def _entry(path: str, item: os.DirEntry[str]) -> tuple[Entry, _State]:
    """The entry and the state of a file or a link target; an error is part of the entry, and so of the identity."""
    try:
        status = item.stat()
    except OSError as error:
        return Entry(path, 0, "broken link" if leads_nowhere(item) else f"unreadable: {cause(error)}"), ()
    kind = UNIX_KINDS.get(stat.S_IFMT(status.st_mode), "")
    # The modification time can be set by anyone; the inode's change time reveals this.
    state = status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino
    return Entry(path, status.st_size, problem(kind, status.st_size)), state
