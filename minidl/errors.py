"""The errors that minidl raises: what was expected, what came, and what to do about it."""

import difflib
from collections.abc import Iterable


class MinidlError(Exception):
    """Base of minidl's own errors.

    ``where`` says which op or layer complains. An op names itself; a layer on the way out puts its dotted path
    in its place, once (see :meth:`minidl.nn.Module.__call__`).
    """

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where
        self.located = False

    def locate(self, where: str) -> None:
        """Say in which layer this happened, unless a layer further inside has said so already."""
        if not self.located:
            self.where, self.located = where, True

    def __str__(self) -> str:
        message = super().__str__()
        return f"{self.where}: {message}" if self.where else message


class ShapeError(MinidlError, ValueError):
    """Shapes that do not fit each other, or sizes that leave no output."""


class DtypeError(MinidlError, TypeError):
    """Data types that may not be mixed or are not supported."""


class BackendError(MinidlError, RuntimeError):
    """A backend that cannot be used here, or arrays of different backends in one op."""


class GraphError(MinidlError, RuntimeError):
    """A backward pass that cannot be made."""


class PluginError(MinidlError, LookupError):
    """A plugin name that nobody registered, or a plugin that cannot be loaded."""


ELSEWHERE = {"cuda": "cupy", "gpu": "cupy", "cpu": "numpy"}
"""What other frameworks call it."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'adam'?"`` for the known name closest to ``name``, or nothing.

    >>> suggestion("adm", ["sgd", "adam"])
    " Did you mean 'adam'?"
    """
    name = str(name).lower()  # whatever was given in the place of a name
    close = difflib.get_close_matches(ELSEWHERE.get(name, name), list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
