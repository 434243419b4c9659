"""Paths as users write them, identities of folders, and text files written in one step."""

import csv
import errno
import io
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from minidl.files import atomic_write

from ..errors import cause

ABANDONED_SECONDS = 3600.0
_UNWRITTEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def shown(path: str | Path) -> str:
    """The path for a message: in quotes if it begins or ends with white space.

    >>> print(shown("UTKFace"), shown("UTKFace "))
    UTKFace 'UTKFace '
    """
    text = str(path)
    return text if text == text.strip() else repr(text)


def quoted(path: str | Path) -> str:
    """The path as a word of a command line, see :func:`operand`.

    >>> print(quoted("my faces.zip"), quoted("-x.zip"), quoted("a:b.tar"), quoted("/data/a:b.tar"))
    'my faces.zip' ./-x.zip ./a:b.tar /data/a:b.tar
    """
    return shlex.quote(operand(path))


def operand(path: str | Path) -> str:
    """The path in a form that every program reads as a path.

    A leading dash marks an option, ``@`` a list of files for 7z, and a colon before any slash a host name for tar.

    >>> operand("-x.zip")
    './-x.zip'
    """
    text = str(path)
    host = ":" in text.partition("/")[0] and not Path(text).is_absolute()
    return f"./{text}" if host or text.startswith(("-", "@")) else text


def located(source: str) -> str:
    """The name of a data set, or its absolute path: a run may be resumed from another folder.

    >>> located("drawn")
    'drawn'
    """
    return str(Path(source).resolve()) if exists(Path(source)) and source != "drawn" else source


def identity(folder: Path) -> object:
    """An identity that does not depend on the folder's name or path; its path if there is none.

    >>> identity(Path(".")) == identity(Path.cwd())
    True
    """
    try:
        status = folder.stat()
    except OSError:
        return folder
    return (status.st_dev, status.st_ino) if status.st_ino else folder


def dangling(path: Path) -> Path | None:
    """The first broken link among the path and its parents; None if there is none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     link = Path(folder, "link")
    ...     link.symlink_to("nowhere")
    ...     dangling(link / "faces") == link, dangling(Path(folder))
    (True, None)
    """
    return next(filter(leads_nowhere, (path, *path.parents)), None)


def leads_nowhere(path: Path | os.DirEntry[str]) -> bool:
    """Whether a path is a broken link, rather than one whose target may not be read.

    >>> leads_nowhere(Path("nowhere"))
    False
    """
    try:
        path.stat()
    except OSError as error:
        return error.errno in _NOWHERE and path.is_symlink()
    return False


def _known(look: Callable[[], bool]) -> bool:
    """What a look at a path finds; False if it is not allowed."""
    try:
        return look()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether a path exists; like :func:`is_folder`, False if a folder above it cannot be searched.

    >>> exists(Path("."))
    True
    """
    return _known(path.exists)


def is_folder(path: Path | os.DirEntry[str]) -> bool:
    """Whether a path is a folder; False where ``Path.is_dir`` raises ``PermissionError``.

    >>> is_folder(Path("."))
    True
    """
    return _known(path.is_dir)


def is_file(path: Path) -> bool:
    """Whether a path is a file, see :func:`is_folder`.

    >>> is_file(Path("."))
    False
    """
    return _known(path.is_file)


def unreadable(folder: Path) -> str:
    """Why a folder cannot be listed or searched; "" if it can be, and if there is none.

    >>> unreadable(Path(".")), unreadable(Path("nowhere"))
    ('', '')
    """
    try:
        os.scandir(folder).close()
        os.stat(os.path.join(folder, "."))  # noqa: PTH116, PTH118 - a Path would drop the dot
    except OSError as error:
        return "" if error.errno in _NOWHERE else f"{shown(folder)} cannot be read: {cause(error)}"
    return ""


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove folders with this prefix that killed processes left: a live process would have written to them recently.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in (".building-a", ".building-b", "other"):
    ...         Path(folder, name).mkdir()
    ...     os.utime(Path(folder, ".building-a"), (0, 0))
    ...     os.utime(Path(folder, "other"), (0, 0))
    ...     remove_abandoned(Path(folder), ".building-")
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['.building-b', 'other']
    """
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # already removed
            latest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
            if time.time() - latest > ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as the content of a CSV file; for names with control characters, see :func:`written`.

    >>> table([("name", "reason"), ("a,b.jpg", "empty")])
    'name,reason\\n"a,b.jpg",empty\\n'
    """
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows([written(cell) for cell in row] for row in rows)
    return content.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step: a crash leaves the earlier file or the new one, never a part.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "a.txt", "all of it")
    ...     (Path(folder) / "a.txt").read_text()
    'all of it'
    """
    with atomic_write(path) as file:
        file.write(text.encode())


def written(text: str) -> str:
    """The text as :func:`table` stores it.

    Control characters, which may change a terminal that shows the file, and characters that UTF-8 cannot hold (parts of
    undecodable file names) are written as backslash escapes.

    >>> print(written("ü \\x1b[31m \\udcff.jpg"))
    ü \\x1b[31m \\udcff.jpg
    """
    return _UNWRITTEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
