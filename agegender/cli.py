"""Command lines made from a dataclass, each field an option, its metadata the help; and what a command says."""

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, TextIO, get_args, get_type_hints

from minidl.errors import MinidlError, suggestion

from .errors import DataError


class UsageError(ValueError):
    """A command line that cannot be followed."""


def option(default: Any, help: str, **arguments: Any) -> Any:
    """A field that becomes an option; ``arguments`` are those of ``argparse``'s add_argument."""
    return field(default=default, metadata={"help": help, "arguments": arguments})


def parse_given(program: str, description: str, options: type[Any], arguments: Sequence[str] | None) -> dict[str, Any]:
    """The options that were given on a command line (by default the process's), by field name; none of the defaults.

    Unknown options and values of the wrong type end in :class:`UsageError`.
    """
    parser = Parser(prog=program, description=description, argument_default=argparse.SUPPRESS)
    hints = get_type_hints(options)
    for declared in fields(options):
        parser.add_argument(_flag(declared.name), **_arguments(declared, hints[declared.name]))
    return parser.given(arguments)


def checked(source: object, options: type[Any], config: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The options that were read from a file: ``config``, if its names are ``known`` and its values of the right types.

    Raises :class:`UsageError` that names the file, ``source``, and what is wrong in it.

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


def run(command: Callable[[], int]) -> NoReturn:
    """Run a command and exit: bad input is one line on stderr and exit code 2, Ctrl-C is exit code 130."""
    try:
        code = command()
    except (UsageError, DataError, MinidlError, OSError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        code = 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` for a wrong command line; names the option that an unknown one is most like."""

    def __init__(self, **settings: Any) -> None:
        self._flags: list[str] = []
        super().__init__(**settings, allow_abbrev=False)

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        self._flags += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **settings)

    def given(self, arguments: Sequence[str] | None = None) -> dict[str, Any]:
        """The arguments by name."""
        namespace, unknown = self.parse_known_args(arguments)
        if unknown:
            raise UsageError(f"unknown option {unknown[0]}.{suggestion(unknown[0], self._flags)} See --help.")
        return vars(namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See --help.")


def _flag(name: str) -> str:
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
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in self._waiting)
            self._waiting.clear()

    def log_to(self, path: Path) -> None:
        """Where the log is from now on."""
        self._log = path
