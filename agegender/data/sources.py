"""The places where pictures come from: a folder, a tar archive or a zip archive.

Archives are read as a stream, member by member, and never extracted: a member's path is only a name here. Nothing but
regular files is ever opened.
"""

import difflib
import gzip
import hashlib
import io
import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

from minidl import plugins
from minidl.errors import suggestion

from ..errors import DataError, Unusable
from .names import is_picture

MAX_FILE_BYTES = 25_000_000
MAX_FILES = 1_000_000
MAX_TOTAL_BYTES = 50_000_000_000

_UNIX_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}
_TAR_KINDS = {
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.DIRTYPE: "folder",
    tarfile.FIFOTYPE: "FIFO",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.GNUTYPE_SPARSE: "sparse file",
}
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)


class Entry(NamedTuple):
    """A file in a source. ``problem`` says what forbids to read it; ``position`` finds it again in an archive.

    >>> Entry("UTKFace/1_0_0_20170101.jpg", 2048).problem
    ''
    """

    path: str
    size: int
    problem: str = ""
    position: int = 0


class Source(ABC):
    """A place that can list its files and read them one after the other; :func:`open_source` finds the right one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def identity(self) -> str:
        """A string that changes when the content does, found without reading all of it.

        For an archive: its name, size, time of change, and the hash of its first and last MiB.
        """
        status = self.path.stat()
        content = hashlib.blake2b(digest_size=16)
        with self.path.open("rb") as file:
            content.update(file.read(1 << 20))
            file.seek(max(0, status.st_size - (1 << 20)))
            content.update(file.read(1 << 20))
        return f"{self.path.name}|{status.st_size}|{status.st_mtime_ns}|{content.hexdigest()}"

    def visible(self) -> list[Entry]:
        """All files but hidden ones and those that macOS adds; raises ``DataError`` if the source is damaged."""
        found: list[Entry] = []
        for entry in self.entries():
            if not any(_is_hidden(part) for part in entry.path.split("/")):
                found.append(entry)
            if len(found) > MAX_FILES:
                raise DataError(f"{self.path} holds more than {MAX_FILES:,} files: name UTKFace's own place")
        return found

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every file, links and other oddities included."""

    @abstractmethod
    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        """The wanted files, in an order that suits the source: the content, or the reason why it is unreadable."""


def open_source(path: Path) -> Source:
    """The source at ``path``, told by its content rather than its name; raises ``DataError`` for any other kind.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "1_0_0_20170101.jpg").write_bytes(b"...")
    ...     [(entry.path, entry.size) for entry in open_source(Path(folder)).visible()]
    [('1_0_0_20170101.jpg', 3)]
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return Folder(path)
        if not stat.S_ISREG(mode):
            raise DataError(f"{path} is neither a file nor a folder")
        with path.open("rb") as file:
            head = file.read(512)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} does not exist. {_similar(path)}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if head.startswith(b"PK"):
        return Zip(path)
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar" or head == bytes(512):  # zeros: an empty tar
        return Tar(path)
    if not head:
        raise DataError(f"{path} is an empty file: download it again")
    raise DataError(f"{path} is no data set: expected a folder or a .tar.gz, .tar or .zip archive of UTKFace")


class Folder(Source):
    """A folder, see :func:`open_source`, and all below it. Links are not followed, as an archive's are not."""

    def identity(self) -> str:
        """The hash of all names, sizes and times of change."""
        return hashlib.blake2b(repr(self._scan).encode(), digest_size=16).hexdigest()

    def entries(self) -> Iterator[Entry]:
        return (entry for entry, _ in self._scan)

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        for entry in wanted:
            try:
                yield entry, (self.path / entry.path).read_bytes()
            except OSError as error:
                yield entry, Unusable(f"unreadable: {error.strerror}")

    @cached_property
    def _scan(self) -> list[tuple[Entry, int]]:
        found: list[tuple[Entry, int]] = []
        folders = [""]
        while folders and len(found) <= MAX_FILES:
            folder = folders.pop()
            try:
                with os.scandir(self.path / folder) as items:
                    for item in items:
                        path = f"{folder}/{item.name}".lstrip("/")
                        if item.is_dir(follow_symlinks=False) and not is_picture(path):
                            folders.append(path)
                            continue
                        status = item.stat(follow_symlinks=False)
                        kind = _UNIX_KINDS.get(stat.S_IFMT(status.st_mode), "")
                        entry = Entry(path, status.st_size, _problem(kind, status.st_size))
                        found.append((entry, status.st_mtime_ns))
            except OSError as error:
                found.append((Entry(folder, 0, f"unreadable folder: {error.strerror}"), 0))
        return sorted(found)


class Tar(Source):
    """A tar archive, compressed with gzip or not; see :func:`open_source`."""

    def entries(self) -> Iterator[Entry]:
        with self._stream() as stream, tarfile.TarFile(fileobj=stream) as archive:
            for member in archive:
                kind = "" if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else "special file"
                kind = _TAR_KINDS.get(member.type, kind)
                if kind != "folder" or is_picture(member.name):
                    yield Entry(member.name, member.size, _problem(kind, member.size), member.offset_data)
            # The module takes a broken header for the end; the true end is a block of zeros, then gzip's checksum.
            stream.seek(archive.offset)
            if stream.read(512) != bytes(512):
                raise EOFError("the end of the archive is missing")
            while stream.read(1 << 20):
                pass

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        with self._stream() as stream:
            for entry in sorted(wanted, key=lambda entry: entry.position):
                stream.seek(entry.position)
                yield entry, stream.read(entry.size)

    @contextmanager
    def _stream(self) -> Iterator["_Capped"]:
        with _damage_reported(self.path, "tar -tf"), self.path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield _Capped(gzip.GzipFile(fileobj=file) if zipped else file)


class Zip(Source):
    """A zip archive; see :func:`open_source`."""

    def entries(self) -> Iterator[Entry]:
        with _damage_reported(self.path, "unzip -t"), zipfile.ZipFile(self.path) as archive:
            for position, member in enumerate(archive.infolist()):
                path = member.filename.rstrip("/")
                kind = _UNIX_KINDS.get(stat.S_IFMT(member.external_attr >> 16), "")
                kind = "folder" if member.is_dir() else kind
                if kind != "folder" or is_picture(path):
                    yield Entry(path, member.file_size, _problem(kind, member.file_size), position)

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        with _damage_reported(self.path, "unzip -t"), zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
            for entry in wanted:
                try:
                    content: bytes | Unusable = archive.read(members[entry.position])
                except _DAMAGE:  # a wrong checksum, a password, an unknown compression
                    content = Unusable("damaged or encrypted in the archive")
                yield entry, content


class _Capped(io.BufferedIOBase):
    """A stream that refuses what only a hostile archive asks for: huge headers, or endless data from a few bytes."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._stream = stream

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= 2 * MAX_FILE_BYTES:
            raise ValueError("a header of absurd size")
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0, /) -> int:
        if position > MAX_TOTAL_BYTES:
            raise ValueError(f"more than {MAX_TOTAL_BYTES // 10**9} GB of data")
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()


@contextmanager
def _damage_reported(path: Path, check: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} is cut short or damaged ({reason}), so nothing of it is used: "
            f"'{check} {path.name}' checks the whole of it; if that fails too, download it again"
        ) from None


def _similar(path: Path) -> str:
    try:
        names = {child.name.lower(): child.name for child in path.parent.iterdir()}
    except OSError:
        names = {}
    close = difflib.get_close_matches(path.name.lower(), names, n=3)
    if close:
        return f"In {path.parent} there is " + " and ".join(repr(names[name]) for name in close) + "."
    known = data_sets()
    close_name = suggestion(path.name, known)
    return f"Name the folder or the archive of UTKFace, or a data set: {', '.join(known)}.{close_name}"


def data_sets() -> list[str]:
    """The names of the data sets that need no path: the drawings, and what other packages bring.

    >>> "drawn" in data_sets()
    True
    """
    return [name for name in plugins.names("dataset") if name != "utkface"]


def _problem(kind: str, size: int) -> str:
    if kind:
        return f"not a regular file ({kind})"
    return f"larger than {MAX_FILE_BYTES // 1_000_000} MB" if size > MAX_FILE_BYTES else ""


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))
