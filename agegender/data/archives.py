"""Tar and zip archives, read member by member without extraction: the path of a member is only a name.

Links are not followed; only regular members are read.
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
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ..errors import DataError, Unusable, cause
from . import sources
from .files import quoted, shown
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
    MemoryError,  # a header of .xz may request any amount
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)
with suppress(ImportError):  # some Pythons are built without it
    from lzma import LZMAError

    DAMAGE += (LZMAError,)
ENCRYPTED = "encrypted in the archive: unpack it with its password and pass the folder"
MORE = (
    "data after the end of the archive: if archives were joined, unpack it with `tar -xif ARCHIVE` and pass the folder"
)
EARLIER = "data before the start of the archive: if archives were joined, unpack each one and pass the folder"
_SPANNED = 4
"""The length of the mark before the first member of an archive that was made as one of several volumes."""
_PEEKED_BYTES = 20_000_000
_UNPACKED = ("symbolic link", "hard link", "sparse file")
"""Kinds of members that become files, or links to files, when the archive is unpacked."""
_TAR_KINDS = {
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.DIRTYPE: "folder",
    tarfile.FIFOTYPE: "FIFO",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
}
_COMPRESSIONS = (
    (re.compile(rb"\x1f\x8b"), "gzip", "gzip"),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bz2", "bzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "lzma", "xz"),
)
"""Magic bytes, the module that decompresses such a file, and the equivalent command."""
_PIECE = re.compile(r"(.+\.(?:zip|tar|tgz|tbz2?|txz|gz|bz2|xz|7z))\.(?:[0-9]{2,3}|a[a-z])", re.IGNORECASE)
_VOLUME = re.compile(r".+\.([zr])[0-9]{2}", re.IGNORECASE)


_hash = partial(hashlib.blake2b, digest_size=16)


class Archive(Source):
    """An archive file; see :func:`agegender.data.kinds.open_source`."""

    checker: str
    """The command that reads the whole archive."""
    unpacker: str
    """The command that unpacks it."""

    def identity(self) -> str:
        """The name and the hash of the content, because times can be set and may differ for a copy."""
        with self._reported(), self.path.open("rb") as file:
            return f"{self.path.name}|{hashlib.file_digest(file, _hash).hexdigest()}"

    def place(self, entry: Entry) -> object:
        return entry.parts

    def peek(self, count: int) -> list[Entry]:
        """The first ``count`` entries, without reading the rest; fewer if the archive is damaged."""
        found: list[Entry] = []
        with suppress(DataError):
            found.extend(islice(self.entries(), count))
        return found

    @abstractmethod
    def unpack(self, member: str) -> str:
        """How to extract a member, for a message."""

    def _problem(self, kind: str, size: int) -> str:
        """The reason not to read a member, see :func:`agegender.data.sources.problem`."""
        remedy = f": unpack the archive with `{self.unpacker} ARCHIVE` and pass the folder" if kind in _UNPACKED else ""
        return problem(kind, size) + remedy

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn errors into ``DataError``; damage and read errors, which may be temporary, get different messages."""
        try:
            yield
        except DataError:
            raise
        except DAMAGE as error:
            if is_passing(error):
                raise DataError(f"{shown(self.path)} cannot be read: {cause(error)}") from None
            if part := as_part(self.path):
                raise DataError(part) from None
            raise DataError(
                f"{shown(self.path)} is truncated or damaged ({cause(error)}), so it is not used: "
                f"`{self.checker} {quoted(self.path)}` checks the whole file; if that fails too, download it again"
            ) from None


class Tar(Archive):
    """A tar archive, plain or compressed with gzip, bzip2 or xz, once or twice; see :class:`Archive`."""

    checker, unpacker = "tar -tf", "tar -xf"

    def entries(self) -> Iterator[Entry]:
        with self._stream(sources.MAX_TOTAL_BYTES) as stream, tarfile.TarFile(fileobj=stream) as archive:
            yield from self._members(archive)
            # tarfile takes a broken header for the end; the true end is a block of zeros, then gzip's checksum.
            stream.seek(archive.offset)
            if stream.read(512) != bytes(512):
                raise EOFError("the end of the archive is missing")
            rest = 0
            while block := stream.read(1 << 20):
                rest += bool(block.strip(b"\0"))
            if rest:
                yield Entry(self.path.name, 0, MORE)

    def peek(self, count: int) -> list[Entry]:
        found: list[Entry] = []
        with suppress(DataError), self._stream(_PEEKED_BYTES) as stream, tarfile.TarFile(fileobj=stream) as archive:
            found.extend(islice(self._members(archive), count))
        return found

    def _members(self, archive: tarfile.TarFile) -> Iterator[Entry]:
        for member in archive:
            kind = "" if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else "special file"
            kind = "sparse file" if member.issparse() else _TAR_KINDS.get(member.type, kind)
            if kind != "folder" or is_picture(member.name):
                yield Entry(member.name, member.size, self._problem(kind, member.size), member.offset_data)

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        with self._stream(sources.MAX_TOTAL_BYTES) as stream:
            for entry in sorted(wanted, key=lambda entry: entry.position):
                stream.seek(entry.position)
                yield entry, stream.read(entry.size)

    def unpack(self, member: str) -> str:
        dashes = "-- " if member.startswith("-") else ""
        command = f"tar -xf {quoted(self.path)} {dashes}{shlex.quote(member)}"
        return f"unpack it with `{command}` and pass {shown(member)}"

    @contextmanager
    def _stream(self, limit: int) -> Iterator["_Capped"]:
        with self._reported(), self.path.open("rb") as file:
            yield _Capped(decompressed(file)[0], limit, self.path)


class Zip(Archive):
    """A zip archive; see :class:`Archive`."""

    checker, unpacker = "unzip -t", "unzip"

    def entries(self) -> Iterator[Entry]:
        with self._reported(), zipfile.ZipFile(self.path) as archive:
            if _ends_volumes(self.path):
                raise DataError(as_part(self.path))
            for position, member in enumerate(archive.infolist()):
                path = member.filename.rstrip("/\\")
                kind = UNIX_KINDS.get(stat.S_IFMT(member.external_attr >> 16), "")
                kind = "folder" if path != member.filename else kind
                if kind != "folder" or is_picture(path):
                    encrypted = ENCRYPTED if member.flag_bits & 1 else ""
                    reason = self._problem(kind, member.file_size) or encrypted
                    yield Entry(path, member.file_size, reason, position)
            if min((member.header_offset for member in archive.infolist()), default=0) > _SPANNED:
                yield Entry(self.path.name, 0, EARLIER)

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        with self._reported(), zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
            for entry in wanted:
                try:
                    content: bytes | Unusable = archive.read(members[entry.position])
                except DAMAGE as error:  # a wrong checksum, an unknown compression
                    if is_passing(error):
                        raise
                    content = Unusable("damaged in the archive, or compressed with an unsupported method")
                yield entry, content

    def unpack(self, member: str) -> str:
        command = f"python -m zipfile -e {quoted(self.path)} unpacked"
        return f"unpack all with `{command}` and pass {shown(f'unpacked/{member}')}"


def is_archive(name: str) -> bool:
    """Whether the name has the suffix of a supported archive.

    >>> is_archive("UTKFace.tar.GZ"), is_archive("UTKFace.7z")
    (True, False)
    """
    return name.lower().endswith(SUFFIXES)


def as_part(path: Path) -> str:
    """The message for a file whose name marks it as a part of a split archive; "" for any other file.

    >>> as_part(Path("UTKFace.zip.001")).partition(": ")[2]
    'join the parts with `cat UTKFace.zip.* > UTKFace.zip` and pass UTKFace.zip'
    >>> as_part(Path("UTKFace.z01")).partition(": ")[2]
    'unpack all of them with `7z x UTKFace.zip` and pass the folder'
    """
    advice = ""
    if match := _PIECE.fullmatch(path.name):
        whole = path.with_name(match[1])
        advice = f"join the parts with `cat {quoted(whole)}.* > {quoted(whole)}` and pass {shown(whole)}"
    elif first := _first_volume(path):
        advice = f"unpack all of them with `7z x {quoted(first)}` and pass the folder"
    return f"{shown(path)} is a part of a split archive: {advice}" if advice else ""


def _first_volume(path: Path) -> Path | None:
    """The volume from which all are unpacked (the last one of a zip archive); None for other files."""
    if _ends_volumes(path):
        return path
    if match := _VOLUME.fullmatch(path.name):
        return path.with_suffix(".zip" if match[1] in "zZ" else ".rar")
    name, parts = re.subn(r"(?<=\.part)[0-9]+(?=\.rar$)", lambda number: "1".zfill(len(number[0])), path.name)
    return path.with_name(name) if parts else None


def _ends_volumes(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.with_suffix(".z01").exists()


def decompressed(file: IO[bytes]) -> tuple[IO[bytes], list[str]]:
    """The content of a file that was compressed up to twice, and the commands that decompress it, in order.

    >>> import gzip
    >>> content, commands = decompressed(io.BytesIO(gzip.compress(b"names")))
    >>> content.read(), commands
    (b'names', ['gzip'])
    """
    stream: Any = file
    commands: list[str] = []
    for _ in range(2):
        head = stream.read(10)
        stream.seek(0)
        for magic, module, command in _COMPRESSIONS:
            if magic.match(head):
                stream = _opener(module)(stream)
                commands.append(command)
    return stream, commands


def _opener(module: str) -> Any:
    try:
        return importlib.import_module(module).open
    except ImportError:
        raise DataError(
            f"this Python was built without '{module}', which reads such an archive: unpack it and pass the folder"
        ) from None


def is_passing(error: BaseException) -> bool:
    """Whether an error is unrelated to the data: out of memory, or an OSError with an errno.

    EINVAL ("Invalid argument") is excluded: a wrong position in a damaged archive causes it.

    >>> is_passing(OSError(5, "Input/output error")), is_passing(EOFError("the end is missing"))
    (True, False)
    """
    numbered = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    return numbered or isinstance(error, MemoryError)


class _Capped(io.BufferedIOBase):
    """A stream that raises errors for malicious archives: huge headers, or a few bytes that decompress endlessly."""

    def __init__(self, stream: IO[bytes], limit: int, path: Path) -> None:
        self._stream, self._limit, self._path = stream, limit, path

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= 2 * sources.MAX_FILE_BYTES:
            raise ValueError("a header is implausibly large")
        self._check(self.tell())
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0, /) -> int:
        self._check(position)
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise DataError(
                f"{shown(self._path)} contains more than {self._limit // 10**9} GB of data: it is not UTKFace"
            )
