"""Whether the running thread records graphs: the context and decorator ``no_grad``."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from .contexts import Decorating
from .errors import MinidlError


class _Mode(threading.local):
    """How many ``no_grad`` the running thread is inside of: a count, which may end in any order."""

    without_grad = 0


mode = _Mode()


class no_grad(Decorating):  # noqa: N801 - named as everybody knows it
    """Compute without recording a graph, as a context or a decorator, of generators too; may be nested.

    Counts for the running thread alone. Raises :class:`MinidlError` without brackets, for classes, and for coroutines,
    which other code of the thread runs in between.

    >>> from minidl import tensor
    >>> x = tensor(1.0, requires_grad=True)
    >>> with no_grad():
    ...     (2 * x).requires_grad
    False
    >>> @no_grad()
    ... def halves(x):
    ...     while True:
    ...         yield (x := x / 2)
    >>> half = next(halves(x))
    >>> half.item(), half.requires_grad
    (0.5, False)
    """

    def __init__(self, *wrong: Any, **unknown: Any) -> None:
        if wrong or unknown:
            given = repr(wrong[0]) if wrong else ", ".join(unknown)
            raise MinidlError(f"no_grad takes no arguments, got {given}: write @no_grad(), with brackets")

    def __enter__(self) -> None:
        mode.without_grad += 1

    def __exit__(self, *error: object) -> None:
        mode.without_grad = max(0, mode.without_grad - 1)  # never below, where another thread ends a generator

    def again(self) -> "no_grad":
        return no_grad()


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """In here graphs are recorded, also inside :class:`no_grad`: for what reads the graph and not the gradients.

    >>> from minidl import tensor
    >>> x = tensor(1.0, requires_grad=True)
    >>> with no_grad(), recording():
    ...     (2 * x).op.name
    'Mul'
    """
    before, mode.without_grad = mode.without_grad, 0
    try:
        yield
    finally:
        mode.without_grad = before
