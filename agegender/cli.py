"""Command lines: options declared as fields of a dataclass, and commands to paste into a shell."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from types import NoneType
from typing import Any, get_args, get_type_hints

from minidl.command import Parser, UsageError
from minidl.errors import suggestion

from .json_files import conform


def option(default: Any, help: str, **arguments: Any) -> Any:
    """A field for an option, or a positional argument if ``default`` is MISSING; ``arguments`` go to add_argument."""
    return field(default=default, metadata={"help": help, "arguments": arguments})


def parse_given(
    program: str, description: str, options: type[Any], arguments: Sequence[str] | None, **settings: Any
) -> dict[str, Any]:
    """The options on a command line (default: ``sys.argv``) by field name, without defaults.

    ``settings`` go to :class:`minidl.command.Parser`. Raises :class:`minidl.command.UsageError` for unknown options and
    values of the wrong type.
    """
    parser = Parser(prog=program, description=description, argument_default=argparse.SUPPRESS, **settings)
    hints = get_type_hints(options)
    for declared in fields(options):
        name = declared.name if declared.default is MISSING else flag(declared.name)
        parser.add_argument(name, **_arguments(declared, hints[declared.name]))
    return parser.given(arguments)


def command_line(program: str, *words: str) -> str:
    """A command line to paste into a shell, with quotes where they are needed.

    >>> command_line("python -m agegender.train", "--resume", "runs/my run")
    "python -m agegender.train --resume 'runs/my run'"
    >>> print(command_line("ls", "two\\nlines"))
    ls $'two\\x0alines'
    """
    quoted = subprocess.list2cmdline(words) if sys.platform == "win32" else " ".join(map(_quoted, words))
    return f"{program} {quoted}"


def _quoted(word: str) -> str:
    """A word for the shell; unprintable bytes, such as those of names that are not UTF-8, are written as escapes."""
    if word.isprintable() and _can_be_shown(word):
        return shlex.quote(word)
    plain = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}" for byte in os.fsencode(word)
    )
    return f"$'{''.join(plain)}'"


def _can_be_shown(word: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    try:
        word.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def checked(source: object, options: type[Any], config: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The options in ``config``, converted to the types of their annotations.

    Raises :class:`minidl.command.UsageError`, which names the file ``source``, if a name is not in ``known`` or a value
    has the wrong type.

    >>> class Options:
    ...     lr: float
    >>> checked("config.json", Options, {"lr": 1}, {"lr"})
    {'lr': 1.0}
    """
    hints = get_type_hints(options)
    for name in config:
        if name not in known:
            raise UsageError(f"{source} has an unknown option '{name}'.{suggestion(name, known)}")
    try:
        return {name: conform(value, hints[name], name) for name, value in config.items()}
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None


def flag(name: str) -> str:
    """The command-line option of a field.

    >>> flag("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")


def _arguments(declared: Field[Any], hint: Any) -> dict[str, Any]:
    """The arguments of add_argument: the type comes from the annotation, and the help includes the default."""
    given = dict(declared.metadata["arguments"])
    default = declared.default
    note = "" if default is None or default is False or default is MISSING else f" (default: {default})"
    arguments: dict[str, Any] = {"help": declared.metadata["help"] + note}
    if hint is bool:
        return arguments | {"action": "store_true"}
    kind = next(kind for kind in get_args(hint) or (hint,) if kind is not NoneType)
    return arguments | {"type": kind, "metavar": kind.__name__.upper()} | given
