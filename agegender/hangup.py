"""Training continues when its terminal is closed, even while ``python -m agegender.train`` still imports its modules.

:mod:`agegender` imports this module first, even before :mod:`minidl.interrupt`, which does the same for Ctrl-C: to
import it is to import NumPy. Once the command runs, :func:`minidl.command.outliving_terminal` takes over.
"""

import signal
import sys

searching = sys.argv[:1] == ["-m"]  # see minidl.interrupt
if searching and sys.orig_argv[-len(sys.argv)] == "agegender.train" and hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
