"""Ctrl-C while ``python -m ...`` still imports its modules ends the command with one word, not with a traceback.

:mod:`minidl` imports this module first. Once a command runs, :func:`minidl.command.run` does the same and more.
"""

import sys
from types import TracebackType


def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """In the place of ``sys.excepthook``: an interrupt is one word, everything else is shown as usual.

    >>> from contextlib import redirect_stderr
    >>> with redirect_stderr(sys.stdout):
    ...     excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    interrupted
    """
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    elif sys.stderr is not None:
        sys.stderr.write("interrupted\n")


if sys.argv[:1] == ["-m"]:  # so while `python -m` looks for its module, and at no other time
    sys.excepthook = excepthook
