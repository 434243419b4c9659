"""The context and decorator ``no_grad``, which sets whether the current thread records graphs."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from .contexts import OfThread
from .errors import MinidlError, brief


class _Mode(threading.local):
    """The number of active ``no_grad`` contexts in the current thread, which may end in any order."""

    def __init__(self) -> None:
        self.without_grad = 0


mode = _Mode()


class no_grad(OfThread):  # noqa: N801 - PyTorch's name
    """A context and decorator, also of generators, that disables the recording of a graph; may be nested.

    Affects only the current thread. Raises :class:`MinidlError` without parentheses, for classes, and for coroutines,
    because other code of the thread can run while they wait.

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

    local = mode

    def __init__(self, *wrong: Any, **unknown: Any) -> None:
        if wrong or unknown:
            given = brief(wrong[0]) if wrong else ", ".join(unknown)
            raise MinidlError(f"no_grad takes no arguments, got {given}: write @no_grad(), with parentheses")
        super().__init__()

    def enter(self, state: dict[str, Any]) -> None:
        state["without_grad"] += 1

    def leave(self, state: dict[str, Any]) -> None:
        state["without_grad"] = max(0, state["without_grad"] - 1)  # inside recording()

    def again(self) -> "no_grad":
        return no_grad()


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Record graphs even inside :class:`no_grad`, for code that reads the graph and not the gradients.

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
