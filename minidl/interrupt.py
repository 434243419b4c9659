"""Ctrl-C while ``python -m ...`` is importing its modules ends the command with one word instead of a traceback.

:mod:`minidl` imports this module first. Once a command runs, :func:`minidl.command.run` takes over.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # not from typing, which is slow to import while there is no handler
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import NoReturn


def excepthook(kind: type[BaseException], error: BaseException, traceback: "TracebackType | None") -> None:
    """A replacement for ``sys.excepthook`` that prints one word for an interrupt, and any other error as usual.

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
    """A replacement for Python's handler, because C modules turn an interrupt during import into other errors."""
    excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    os._exit(130)


def imported() -> None:
    """All modules are imported: restore Python's handler.

    >>> before = signal.signal(signal.SIGINT, _end)
    >>> imported()
    >>> signal.getsignal(signal.SIGINT) is signal.default_int_handler
    True
    >>> _ = signal.signal(signal.SIGINT, before)
    """
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if sys.argv[:1] == ["-m"]:  # only while `python -m` is looking for its module
    sys.excepthook = excepthook
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
