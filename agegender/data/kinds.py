"""Detect from its content whether a path is a folder, an archive, or an unsupported file."""

import difflib
import re
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path

from minidl import plugins
from minidl.errors import suggestion
from minidl.files import expanded

from ..errors import DataError, cause
from .archives import DAMAGE, Tar, Zip, as_part, decompressed
from .files import dangling, quoted, shown, unreadable
from .folder import Folder
from .sources import Source

EXPECTED = "a folder or an archive (.tar, .tar.gz, .tar.bz2, .tar.xz or .zip) of UTKFace"
_PAGE = "It is a web page: the download needed a login or a confirmation, so open the link in a browser and download it"
_FOREIGN = (
    (b"7z\xbc\xaf\x27\x1c", "It is a 7z archive: unpack it with `7z x {}` and pass the folder"),
    (b"Rar!\x1a\x07", "It is a rar archive: unpack it with `unrar x {}` and pass the folder"),
    (b"\x28\xb5\x2f\xfd", "It is compressed with zstd: unpack it with `tar --zstd -xf {}` and pass the folder"),
    (b"version https://git-lfs", "It is a Git LFS pointer instead of the file: run `git lfs pull`"),
    (b"\xff\xd8\xff", "It is a picture: pass its folder"),
    (b"\x89PNG", "It is a picture: pass its folder"),
)
_ADDRESS = re.compile(r"(https?:|ftp:)/+(.*)", re.IGNORECASE)  # a Path keeps one of the slashes
_INNER = ((b"PK", "zip"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"), (b"\x28\xb5\x2f\xfd", "tar.zst"))
"""Archives that may be inside a compressed file."""


def open_source(path: Path) -> Source:
    """Open the source at ``path``, detected by its content rather than its name; raises ``DataError`` for other kinds.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "1_0_0_20170101.jpg").write_bytes(b"...")
    ...     [(entry.path, entry.size) for entry in open_source(Path(folder)).visible()]
    [('1_0_0_20170101.jpg', 3)]
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            if reason := unreadable(path):
                raise DataError(reason)
            return Folder(path)
        if not stat.S_ISREG(mode):
            raise DataError(f"{shown(path)} is neither a file nor a folder")
        return _archive(path)
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a path with a NUL
        raise DataError(_missing(path)) from None
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {cause(error)}") from None


def _archive(path: Path) -> Source:
    with path.open("rb") as file:
        try:
            content, commands = decompressed(file)
            head = content.read(512)
        except DAMAGE:
            return Tar(path)  # reading it raises the error
    if _begins_tar(head):
        return Tar(path)
    if head.startswith(b"PK") and not commands:
        return Zip(path)
    if part := as_part(path):
        raise DataError(part)
    if commands:
        hint = _hint(head, path, commands)
        raise DataError(f"{shown(path)} is compressed, but not a tar archive: expected {EXPECTED}{hint}")
    if not head:
        raise DataError(f"{shown(path)} is an empty file: download it again")
    raise DataError(f"{shown(path)} is not a data set: expected {EXPECTED}{_hint(head, path)}")


def _begins_tar(head: bytes) -> bool:
    if head[257:262] == b"ustar" or head == bytes(512):  # zeros: an empty archive
        return True
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _hint(head: bytes, path: Path, commands: Sequence[str] = ()) -> str:
    """Advice for a file whose content, decompressed by ``commands``, begins with ``head``; "" if unknown."""
    if b"<html" in head.lower() or b"<!doctype html" in head.lower():
        return f". {_PAGE}"
    if not commands:
        return next((". " + hint.format(quoted(path)) for magic, hint in _FOREIGN if head.startswith(magic)), "")
    pipeline = " | ".join([f"{commands[0]} -dc {quoted(path)}", *(f"{command} -dc" for command in commands[1:])])
    inner = next((suffix for magic, suffix in _INNER if head.startswith(magic)), "")
    return f". It contains a {inner} archive: extract it with `{pipeline} > faces.{inner}`" if inner else ""


def _missing(path: Path) -> str:
    if link := dangling(path):
        return f"{shown(link)} is a link to {shown(link.readlink())}, which does not exist"
    if address := _ADDRESS.match(str(path)):
        return f"{address[1]}//{address[2]} is a web address: download the file and pass its path"
    return f"{shown(path)} does not exist. {_similar(path)}"


def _similar(path: Path) -> str:
    try:
        names = {child.name.lower(): child.name for child in path.parent.iterdir()}
    except OSError:
        names = {}
    close = difflib.get_close_matches(path.name.lower(), names, n=3)
    if close:
        return f"Similar names in {path.parent}: " + ", ".join(repr(names[name]) for name in close) + "."
    known = data_sets()
    close_name = suggestion(path.name, known)
    return f"Expected a folder or an archive of UTKFace, or a data set: {', '.join(known)}.{close_name}"


def place(source: str | Path) -> Path:
    """The path of ``source``; made absolute if its expansion would look like the name of a data set.

    >>> str(place("drawn")), place("./drawn").is_absolute()
    ('drawn', True)
    """
    path = expanded(source)
    return path.absolute() if str(path) != str(source) and str(path) in data_sets() else path


def data_sets() -> list[str]:
    """The names of the data sets that need no path: "drawn", and the data sets of other packages.

    >>> "drawn" in data_sets()
    True
    """
    return [name for name in plugins.names("dataset") if name != "utkface"]
