"""Paths as users write them, identities of folders, and text files written in one step."""

import csv
import io
import shlex
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from minidl.files import atomic_write

ABANDONED_SECONDS = 3600.0


def expanded(path: str | Path) -> Path:
    """The path with a leading ``~`` replaced by the home folder, for a ``~`` that the shell did not expand.

    >>> expanded("~/UTKFace") == Path.home() / "UTKFace"
    True
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user
        return Path(path)


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
    return str(Path(source).resolve()) if Path(source).exists() and source != "drawn" else source


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
    return next((link for link in (path, *path.parents) if link.is_symlink() and not link.exists()), None)


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
            latest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            if time.time() - latest > ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file in one step, see :func:`agegender.data.faces.write_skipped`."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    write_text(path, table.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step: a crash leaves the earlier file or the new one, never a part.

    Characters that UTF-8 cannot hold (parts of undecodable file names) are written as backslash escapes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "a.txt", "all of it")
    ...     (Path(folder) / "a.txt").read_text()
    'all of it'
    """
    with atomic_write(path) as file:
        file.write(written(text).encode())


def written(text: str) -> str:
    """The text as :func:`write_text` stores it.

    >>> print(written("ü \\udcff.jpg"))
    ü \\udcff.jpg
    """
    return text.encode("utf-8", "backslashreplace").decode()
