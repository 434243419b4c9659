"""Command lines made from a dataclass, each field an option, its metadata the help; and what a command says."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TextIO, get_args, get_type_hints

from minidl.command import Parser, UsageError
from minidl.errors import suggestion

from .errors import cause


def option(default: Any, help: str, **arguments: Any) -> Any:
    """A field that becomes an option; ``arguments`` are those of ``argparse``'s add_argument."""
    return field(default=default, metadata={"help": help, "arguments": arguments})


def parse_given(
    program: str, description: str, options: type[Any], arguments: Sequence[str] | None, **settings: Any
) -> dict[str, Any]:
    """The options that were given on a command line (by default the process's), by field name; none of the defaults.

    ``settings`` are those of :class:`minidl.command.Parser`. Unknown options and values of the wrong type end in
    :class:`minidl.command.UsageError`.
    """
    parser = Parser(prog=program, description=description, argument_default=argparse.SUPPRESS, **settings)
    hints = get_type_hints(options)
    for declared in fields(options):
        parser.add_argument(flag(declared.name), **_arguments(declared, hints[declared.name]))
    return parser.given(arguments)


def command_line(program: str, *words: str) -> str:
    """A command line to be copied into a terminal: words are quoted where its shell needs it.

    >>> command_line("python -m agegender.train", "--resume", "runs/my run")
    "python -m agegender.train --resume 'runs/my run'"
    >>> print(command_line("ls", "two\\nlines"))
    ls $'two\\x0alines'
    """
    quoted = subprocess.list2cmdline(words) if sys.platform == "win32" else " ".join(map(_quoted, words))
    return f"{program} {quoted}"


def _quoted(word: str) -> str:
    """A word for the shell; bytes that no terminal shows, such as those of names that are not UTF-8, as escapes."""
    if word.isprintable() and _can_be_shown(word):
        return shlex.quote(word)
    plain = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}" for byte in os.fsencode(word)
    )
    return f"$'{''.join(plain)}'"


def _can_be_shown(word: str) -> bool:
    """Whether the characters exist in the encoding of the terminal."""
    try:
        word.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def checked(source: object, options: type[Any], config: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The options that were read from a file: ``config``, if its names are ``known`` and its values of the right types.

    Raises :class:`minidl.command.UsageError` that names the file, ``source``, and what is wrong in it.

    >>> class Options:
    ...     lr: float
    >>> checked("config.json", Options, {"lr": 1}, {"lr"})
    {'lr': 1.0}
    """
    hints = get_type_hints(options)
    found = {}
    for name, value in config.items():
        if name not in known:
            raise UsageError(f"{source} has an option that does not exist, '{name}'.{suggestion(name, known)}")
        kinds = get_args(hints[name]) or (hints[name],)
        if float in kinds and type(value) is int:
            value = float(value)
        if type(value) not in kinds:
            wanted = " or ".join("null" if kind is NoneType else kind.__name__ for kind in kinds)
            raise UsageError(f"{source}: '{name}' must be {wanted}, got {value!r}")
        found[name] = value
    return found


def flag(name: str) -> str:
    """The option of a field.

    >>> flag("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")


def _arguments(declared: Field[Any], hint: Any) -> dict[str, Any]:
    """What argparse wants to know of an option: its type from the annotation, its default in the help."""
    given = dict(declared.metadata["arguments"])
    default = declared.default if declared.default is not MISSING else None
    note = "" if default is None or default is False else f" (default: {default})"
    arguments: dict[str, Any] = {"help": declared.metadata["help"] + note}
    if hint is bool:
        return arguments | {"action": "store_true"}
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] if isinstance(hint, UnionType) else [hint]
    return arguments | {"type": kinds[0], "metavar": kinds[0].__name__.upper()} | given


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
