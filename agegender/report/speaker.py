"""What a training says, to its user and in its log."""

from pathlib import Path
from typing import TextIO

from ..errors import cause


class Speaker:
    """Says things to the user, and to log.txt; what was said before there is a run folder is written there later."""

    def __init__(self, stream: TextIO, quiet: bool) -> None:
        self.stream, self.quiet = stream, quiet
        self._log: Path | None = None
        self._waiting: list[str] = []

    def __call__(self, text: str, always: bool = False) -> None:
        if always or not self.quiet:
            self.stream.write(text + "\n")
            self.stream.flush()
        self.note(text)

    def note(self, text: str) -> None:
        """A line for the log alone."""
        self._waiting.append(text)
        if self._log is None:
            return
        try:
            with self._log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(line + "\n" for line in self._waiting)
            self._waiting.clear()
        except OSError as error:  # a log is not worth the training that it tells of
            log, self._log = self._log, None
            self(f"warning: no more is written to {log}: {cause(error)}", always=True)

    def log_to(self, path: Path | None) -> None:
        """Where the log is from now on, or that there is none."""
        self._log = path
