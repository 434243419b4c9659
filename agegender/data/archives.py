"""Tar and zip archives, read as a stream, member by member, and never extracted: a member's path is only a name here.

Links in them lead nowhere, and nothing but regular members is read.
"""

import errno
import hashlib
import importlib
import io
import re
import shlex
import stat
import tarfile
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ..errors import DataError, Unusable, cause
from . import sources
from .names import is_picture
from .sources import UNIX_KINDS, Entry, Source, problem

SUFFIXES = (".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".gz", ".bz2", ".xz")
DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    MemoryError,  # a header of .xz may ask for any amount
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)
with suppress(ImportError):  # some Pythons are built without it
    from lzma import LZMAError

    DAMAGE += (LZMAError,)
_PEEKED_BYTES = 20_000_000
_TAR_KINDS = {
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.DIRTYPE: "folder",
    tarfile.FIFOTYPE: "FIFO",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.GNUTYPE_SPARSE: "sparse file",
}
_COMPRESSIONS = (
    (re.compile(rb"\x1f\x8b"), "gzip"),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bz2"),
    (re.compile(rb"\xfd7zXZ\0"), "lzma"),
)


class Archive(Source):
    """A file that holds files; see :func:`agegender.data.kinds.open_source`."""

    checker: str
    """The command that reads all of it."""

    def identity(self) -> str:
        """Its name, size, time of change, and the hash of its first and last MiB."""
        content = hashlib.blake2b(digest_size=16)
        with self._reported(), self.path.open("rb") as file:
            status = self.path.stat()
            content.update(file.read(1 << 20))
            file.seek(max(0, status.st_size - (1 << 20)))
            content.update(file.read(1 << 20))
        return f"{self.path.name}|{status.st_size}|{status.st_mtime_ns}|{content.hexdigest()}"

    def peek(self, count: int) -> list[Entry]:
        """Its first entries, found without reading all of it; fewer than there are if it is damaged."""
        found: list[Entry] = []
        with suppress(DataError):
            found.extend(islice(self.entries(), count))
        return found

    @abstractmethod
    def unpack(self, member: str) -> str:
        """What to do to get a member as a file of its own."""

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Say of which file a failure is, and tell one of reading, which may pass, from damage, which stays."""
        try:
            yield
        except DataError:
            raise
        except DAMAGE as error:
            if is_passing(error):
                raise DataError(f"{self.path} cannot be read: {cause(error)}") from None
            raise DataError(
                f"{self.path} is cut short or damaged ({cause(error)}), so nothing of it is used: '{self.checker} "
                f"{shlex.quote(str(self.path))}' checks the whole of it; if that fails too, download it again"
            ) from None


class Tar(Archive):
    """A tar archive, plain or compressed with gzip, bzip2 or xz, also twice; see :class:`Archive`."""

    checker = "tar -tf"

    def entries(self) -> Iterator[Entry]:
        with self._stream(sources.MAX_TOTAL_BYTES) as stream, tarfile.TarFile(fileobj=stream) as archive:
            yield from _members(archive)
            # The module takes a broken header for the end; the true end is a block of zeros, then gzip's checksum.
            stream.seek(archive.offset)
            if stream.read(512) != bytes(512):
                raise EOFError("the end of the archive is missing")
            while stream.read(1 << 20):
                pass

    def peek(self, count: int) -> list[Entry]:
        found: list[Entry] = []
        with suppress(DataError), self._stream(_PEEKED_BYTES) as stream, tarfile.TarFile(fileobj=stream) as archive:
            found.extend(islice(_members(archive), count))
        return found

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        with self._stream(sources.MAX_TOTAL_BYTES) as stream:
            for entry in sorted(wanted, key=lambda entry: entry.position):
                stream.seek(entry.position)
                yield entry, stream.read(entry.size)

    def unpack(self, member: str) -> str:
        return f"unpack it with 'tar -xf {shlex.quote(str(self.path))} {shlex.quote(member)}' and name {member}"

    @contextmanager
    def _stream(self, limit: int) -> Iterator["_Capped"]:
        with self._reported(), self.path.open("rb") as file:
            yield _Capped(decompressed(file), limit, self.path)


def _members(archive: tarfile.TarFile) -> Iterator[Entry]:
    for member in archive:
        kind = "" if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else "special file"
        kind = _TAR_KINDS.get(member.type, kind)
        if kind != "folder" or is_picture(member.name):
            yield Entry(member.name, member.size, problem(kind, member.size), member.offset_data)


class Zip(Archive):
    """A zip archive; see :class:`Archive`."""

    checker = "python -m zipfile -t"

    def entries(self) -> Iterator[Entry]:
        with self._reported(), zipfile.ZipFile(self.path) as archive:
            for position, member in enumerate(archive.infolist()):
                path = member.filename.rstrip("/\\")
                kind = UNIX_KINDS.get(stat.S_IFMT(member.external_attr >> 16), "")
                kind = "folder" if path != member.filename else kind
                if kind != "folder" or is_picture(path):
                    yield Entry(path, member.file_size, problem(kind, member.file_size), position)

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        with self._reported(), zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
            for entry in wanted:
                try:
                    content: bytes | Unusable = archive.read(members[entry.position])
                except DAMAGE as error:  # a wrong checksum, a password, an unknown compression
                    if is_passing(error):
                        raise
                    content = Unusable("damaged or encrypted in the archive")
                yield entry, content

    def unpack(self, member: str) -> str:
        command = f"python -m zipfile -e {shlex.quote(str(self.path))} unpacked"
        return f"unpack all with '{command}' and name unpacked/{member}"


def is_archive(name: str) -> bool:
    """Whether the name ends as that of an archive does which can be read.

    >>> is_archive("UTKFace.tar.GZ"), is_archive("UTKFace.7z")
    (True, False)
    """
    return name.lower().endswith(SUFFIXES)


def decompressed(file: IO[bytes]) -> IO[bytes]:
    """The content of a compressed file, or of a file that was compressed twice; any other file as it is.

    >>> import gzip
    >>> decompressed(io.BytesIO(gzip.compress(b"names"))).read()
    b'names'
    """
    stream: Any = file
    for _ in range(2):
        head = stream.read(10)
        stream.seek(0)
        for magic, module in _COMPRESSIONS:
            if magic.match(head):
                stream = _opener(module)(stream)
    found: IO[bytes] = stream
    return found


def _opener(module: str) -> Any:
    try:
        return importlib.import_module(module).open
    except ImportError:
        raise DataError(
            f"this Python was built without '{module}', which reads such an archive: unpack it and name the folder"
        ) from None


def is_passing(error: BaseException) -> bool:
    """Whether a failure says nothing of what was read: no memory, or an error of the operating system's with a number.

    "Invalid argument" is what a wrong position in a damaged archive leads to.

    >>> is_passing(OSError(5, "Input/output error")), is_passing(EOFError("the end is missing"))
    (True, False)
    """
    numbered = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    return numbered or isinstance(error, MemoryError)


class _Capped(io.BufferedIOBase):
    """A stream that refuses what only a hostile archive asks for: huge headers, or endless data from a few bytes."""

    def __init__(self, stream: IO[bytes], limit: int, path: Path) -> None:
        self._stream, self._limit, self._path = stream, limit, path

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= 2 * sources.MAX_FILE_BYTES:
            raise ValueError("a header of absurd size")
        self._check(self.tell())
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0, /) -> int:
        self._check(position)
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise DataError(f"{self._path} holds more than {self._limit // 10**9} GB of data: that is not UTKFace")
