"""``python -m agegender``: list the commands."""

import importlib
import sys
from collections.abc import Sequence

from minidl import command
from minidl.command import UsageError
from minidl.errors import suggestion
from minidl.table import table

COMMANDS = ("train", "evaluate", "predict", "data.inspect")


def main(arguments: Sequence[str] | None = None) -> int:
    """List the commands; each is a module, run with ``python -m agegender.NAME``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        raise UsageError(f"write the command with a dot: python -m agegender.{' '.join(words)}")
    if words and words[0] not in ("-h", "--help"):
        close = suggestion(words[0], COMMANDS)
        raise UsageError(f"there is no command '{words[0]}'.{close} See python -m agegender.")
    print(table([("command", "what it does"), *map(_row, COMMANDS), ("python -m minidl", "tools for minidl")], left=2))
    print("\n--help after a command lists its options.")
    return 0


def _row(name: str) -> tuple[str, str]:
    module = importlib.import_module(f"agegender.{name}")
    what = (module.__doc__ or "").partition("\n")[0].partition("``: ")[2]
    return f"python -m agegender.{name}", what


if __name__ == "__main__":
    command.run(main)
