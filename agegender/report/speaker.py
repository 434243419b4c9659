"""Output for the user and the log of a run."""

from pathlib import Path
from typing import TextIO

from minidl.command import printable

from ..errors import cause


class Speaker:
    """Prints lines and appends them to log.txt; lines before the run folder exists are written there later."""

    def __init__(self, stream: TextIO, quiet: bool) -> None:
        self.stream, self.quiet = stream, quiet
        self._log: Path | None = None
        self._waiting: list[str] = []

    def __call__(self, text: str, always: bool = False) -> None:
        text = printable(text)
        if always or not self.quiet:
            self.stream.write(text + "\n")
            self.stream.flush()
        self.note(text)

    def note(self, text: str) -> None:
        """Append a line to the log without printing it."""
        self._waiting.append(text)
        if self._log is None:
            return
        try:
            with self._log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(line + "\n" for line in self._waiting)
            self._waiting.clear()
        except OSError as error:  # a failing log must not end training
            log, self._log = self._log, None
            self(f"warning: {log} cannot be written, logging ends: {cause(error)}", always=True)

    def log_to(self, path: Path | None) -> None:
        """Set the path of the log; None ends logging."""
        self._log = path
