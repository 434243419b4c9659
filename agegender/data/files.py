"""Paths as users write them, what folders they lead to, and small text files, there as a whole or not at all."""

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
    """The path with the user's home for a ``~`` at its beginning, which a shell leaves alone where it is quoted.

    >>> expanded("~/UTKFace") == Path.home() / "UTKFace"
    True
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user
        return Path(path)


def shown(path: str | Path) -> str:
    """The path as a message names it: in quotes if it begins or ends with white space, which nobody sees otherwise.

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
    """The path as every program takes it for a path.

    A dash begins an option, ``@`` a list of files for 7z; for tar, a colon before any slash ends the name of a host.

    >>> operand("-x.zip")
    './-x.zip'
    """
    text = str(path)
    host = ":" in text.partition("/")[0] and not Path(text).is_absolute()
    return f"./{text}" if host or text.startswith(("-", "@")) else text


def located(source: str) -> str:
    """A data set's name, or its path as it holds in any folder: a run may be resumed from another one.

    >>> located("drawn")
    'drawn'
    """
    return str(Path(source).resolve()) if Path(source).exists() and source != "drawn" else source


def identity(folder: Path) -> object:
    """What a folder stays, whatever it is called and whatever the way to it; its path where that cannot be told.

    >>> identity(Path(".")) == identity(Path.cwd())
    True
    """
    try:
        status = folder.stat()
    except OSError:
        return folder
    return (status.st_dev, status.st_ino) if status.st_ino else folder


def dangling(path: Path) -> Path | None:
    """The link to nowhere that the path is, or that is on its way; None if there is none.

    >>> dangling(Path("/"))
    """
    return next((link for link in (path, *path.parents) if link.is_symlink() and not link.exists()), None)


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the folders, called so and more, that killed processes have left: a living one writes all the time.

    >>> remove_abandoned(Path("nowhere"), ".building-")
    """
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # gone meanwhile
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
    """The text as it stands in a file that :func:`write_text` made.

    >>> print(written("ü \\udcff.jpg"))
    ü \\udcff.jpg
    """
    return text.encode("utf-8", "backslashreplace").decode()
