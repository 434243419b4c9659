"""The errors that minidl raises: what was expected, what came, and what to do about it."""

import difflib
from collections.abc import Iterable


class MinidlError(Exception):
    """Base of minidl's own errors.

    ``where`` says which op or layer complains. An op names itself; a layer on the way out puts its dotted path
    in its place, once (see :meth:`minidl.nn.Module.__call__`).

    >>> error = MinidlError("expected 3 channels, got 1")
    >>> error.locate("features.2 (Conv2D)")
    >>> str(error)
    'features.2 (Conv2D): expected 3 channels, got 1'
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
    """Shapes that do not fit each other, or sizes that leave no output.

    >>> import minidl as md
    >>> md.tensor([1.0, 2.0]) + md.tensor([1.0, 2.0, 3.0])
    Traceback (most recent call last):
    minidl.errors.ShapeError: Add: does not work for inputs of shape (2,) and (3,): sizes must be ...
    """


class DtypeError(MinidlError, TypeError):
    """Data types that may not be mixed or are not supported.

    >>> import minidl as md
    >>> md.tensor(["a"])
    Traceback (most recent call last):
    minidl.errors.DtypeError: expected numbers or booleans, got <U1: a tensor holds nothing else, so convert it first
    """


class BackendError(MinidlError, RuntimeError):
    """A backend that cannot be used here, or arrays of different backends in one op.

    >>> import minidl as md
    >>> md.tensor([1.0]).to(3)
    Traceback (most recent call last):
    minidl.errors.BackendError: expected the name of a backend, such as 'numpy', got 3: astype() converts a dtype
    """


class GraphError(MinidlError, RuntimeError):
    """A backward pass that cannot be made.

    >>> import minidl as md
    >>> md.tensor([1.0]).backward()
    Traceback (most recent call last):
    minidl.errors.GraphError: backward() found nothing to differentiate: no tensor ...
    """


class PluginError(MinidlError, LookupError):
    """A plugin name that nobody registered, or a plugin that cannot be loaded.

    >>> import minidl as md
    >>> md.plugins.get("optimizer", "adm")
    Traceback (most recent call last):
    minidl.errors.PluginError: there is no optimizer 'adm'. Did you mean 'adam'? Known: ...
    """


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
