"""Paths as users write them, and small text files that are either there as a whole or not at all."""

import shlex
from pathlib import Path

from minidl.checkpoint import atomic_write


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


def dangling(path: Path) -> Path | None:
    """The link to nowhere that the path is, or that is on its way; None if there is none.

    >>> dangling(Path("/"))
    """
    return next((link for link in (path, *path.parents) if link.is_symlink() and not link.exists()), None)


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
