"""Training continues when its terminal is closed, even while ``python -m agegender.train`` still imports its modules.

:mod:`agegender` imports this module first. Once the command runs, :func:`minidl.command.outliving_terminal` takes
over.
"""

import signal
import sys


def module_to_run() -> str:
    """The module that ``python -m`` is about to run, while it searches for it; "" at any other time.

    >>> module_to_run()
    ''
    """
    return sys.orig_argv[-len(sys.argv)] if sys.argv[:1] == ["-m"] else ""


if module_to_run() == "agegender.train" and hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
