"""Paths as users write them, and small text files that are either there as a whole or not at all."""

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
        file.write(text.encode("utf-8", "backslashreplace"))
