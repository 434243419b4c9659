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
    MemoryError,  # a header of .xz may ask for any amount
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)
with suppress(ImportError):  # some Pythons are built without it
    from lzma import LZMAError

    DAMAGE += (LZMAError,)
ENCRYPTED = "encrypted in the archive: unpack that with its password and name the folder"
MORE = "data after the end of the archive: if archives were joined, unpack it with 'tar -xi'"
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
    (re.compile(rb"\x1f\x8b"), "gzip", "gzip"),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bz2", "bzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "lzma", "xz"),
)
"""What a file begins with, the module that decompresses it, and the command that does."""
_PIECE = re.compile(r"(.+\.(?:zip|tar|tgz|tbz2?|txz|gz|bz2|xz|7z))\.(?:[0-9]{2,3}|a[a-z])", re.IGNORECASE)
_VOLUME = re.compile(r".+\.([zr])[0-9]{2}", re.IGNORECASE)


_hash = partial(hashlib.blake2b, digest_size=16)


class Archive(Source):
    """A file that holds files; see :func:`agegender.data.kinds.open_source`."""

    checker: str
    """The command that reads all of it."""

    def identity(self) -> str:
        """Its name and the hash of its content: times can be set, and a move or a copy changes nothing of it."""
        with self._reported(), self.path.open("rb") as file:
            return f"{self.path.name}|{hashlib.file_digest(file, _hash).hexdigest()}"

    def place(self, entry: Entry) -> object:
        return entry.parts

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
                raise DataError(f"{shown(self.path)} cannot be read: {cause(error)}") from None
            if part := as_part(self.path):
                raise DataError(part) from None
            raise DataError(
                f"{shown(self.path)} is cut short or damaged ({cause(error)}), so nothing of it is used: "
                f"'{self.checker} {quoted(self.path)}' checks the whole of it; if that fails too, download it again"
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
            rest = 0
            while block := stream.read(1 << 20):
                rest += bool(block.strip(b"\0"))
            if rest:
                yield Entry(self.path.name, 0, MORE)

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
        dashes = "-- " if member.startswith("-") else ""
        command = f"tar -xf {quoted(self.path)} {dashes}{shlex.quote(member)}"
        return f"unpack it with '{command}' and name {shown(member)}"

    @contextmanager
    def _stream(self, limit: int) -> Iterator["_Capped"]:
        with self._reported(), self.path.open("rb") as file:
            yield _Capped(decompressed(file)[0], limit, self.path)


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
            if _ends_volumes(self.path):
                raise DataError(as_part(self.path))
            for position, member in enumerate(archive.infolist()):
                path = member.filename.rstrip("/\\")
                kind = UNIX_KINDS.get(stat.S_IFMT(member.external_attr >> 16), "")
                kind = "folder" if path != member.filename else kind
                if kind != "folder" or is_picture(path):
                    encrypted = ENCRYPTED if member.flag_bits & 1 else ""
                    yield Entry(path, member.file_size, problem(kind, member.file_size) or encrypted, position)

    def read(self, wanted: Iterable[Entry]) -> Iterator[tuple[Entry, bytes | Unusable]]:
        with self._reported(), zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
            for entry in wanted:
                try:
                    content: bytes | Unusable = archive.read(members[entry.position])
                except DAMAGE as error:  # a wrong checksum, an unknown compression
                    if is_passing(error):
                        raise
                    content = Unusable("damaged in the archive, or compressed in a way that is not read")
                yield entry, content

    def unpack(self, member: str) -> str:
        command = f"python -m zipfile -e {quoted(self.path)} unpacked"
        return f"unpack all with '{command}' and name unpacked/{member}"


def is_archive(name: str) -> bool:
    """Whether the name ends as that of an archive does which can be read.

    >>> is_archive("UTKFace.tar.GZ"), is_archive("UTKFace.7z")
    (True, False)
    """
    return name.lower().endswith(SUFFIXES)


def as_part(path: Path) -> str:
    """What to say of a file that is named as a part of a split archive, or that ends one; "" for any other.

    >>> as_part(Path("UTKFace.zip.001")).partition(": ")[2]
    "join the parts with 'cat UTKFace.zip.* > UTKFace.zip' and name UTKFace.zip"
    >>> as_part(Path("UTKFace.z01")).partition(": ")[2]
    "unpack all of them with '7z x UTKFace.zip' and name the folder"
    """
    advice = ""
    if match := _PIECE.fullmatch(path.name):
        whole = path.with_name(match[1])
        advice = f"join the parts with 'cat {quoted(whole)}.* > {quoted(whole)}' and name {shown(whole)}"
    elif first := _first_volume(path):
        advice = f"unpack all of them with '7z x {quoted(first)}' and name the folder"
    return f"{shown(path)} is a part of a split archive: {advice}" if advice else ""


def _first_volume(path: Path) -> Path | None:
    """The file that is named to unpack the volumes of which ``path`` is one: of a zip archive that is the last one."""
    if _ends_volumes(path):
        return path
    if match := _VOLUME.fullmatch(path.name):
        return path.with_suffix(".zip" if match[1] in "zZ" else ".rar")
    name, parts = re.subn(r"(?<=\.part)[0-9]+(?=\.rar$)", lambda number: "1".zfill(len(number[0])), path.name)
    return path.with_name(name) if parts else None


def _ends_volumes(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.with_suffix(".z01").exists()


def decompressed(file: IO[bytes]) -> tuple[IO[bytes], list[str]]:
    """The content of a file that was compressed, once or twice, and the commands that decompress it, in their order.

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
            raise DataError(
                f"{shown(self._path)} holds more than {self._limit // 10**9} GB of data: that is not UTKFace"
            )
