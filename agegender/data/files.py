"""Small files that are either there as a whole or not at all."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step: a crash leaves the earlier file or the new one, never a part.

    Characters that UTF-8 cannot hold (parts of undecodable file names) are written as backslash escapes.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
