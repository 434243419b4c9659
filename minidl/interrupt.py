"""Ctrl-C while ``python -m ...`` still imports its modules ends the command with one word, not with a traceback.

:mod:`minidl` imports this module first. Once a command runs, :func:`minidl.command.run` does the same and more.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # as typing calls it, which would take its time to import before there is a handler
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import NoReturn


def excepthook(kind: type[BaseException], error: BaseException, traceback: "TracebackType | None") -> None:
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


def _end(_number: int, _frame: "FrameType | None") -> "NoReturn":
    """In the place of Python's handler: modules in C turn an interrupt into errors of their own while they start."""
    excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    os._exit(130)


def imported() -> None:
    """What was to be imported is there: an interrupt is Python's again.

    >>> imported()
    """
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if sys.argv[:1] == ["-m"]:  # so while `python -m` looks for its module, and at no other time
    sys.excepthook = excepthook
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
