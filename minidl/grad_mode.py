"""Whether the running thread records graphs: the context and decorator ``no_grad``."""

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any

from .errors import MinidlError

Function = Callable[..., Any]


class _Mode(threading.local):
    """How many ``no_grad`` the running thread is inside of: a count, which may end in any order."""

    without_grad = 0


mode = _Mode()


class _Brackets(type):
    """The class of a context manager that says so where the brackets were forgotten."""

    def __enter__(cls) -> None:
        raise MinidlError(f"{cls.__name__} has brackets: write `with {cls.__name__}():`")

    def __exit__(cls, *error: object) -> None: ...


class no_grad(metaclass=_Brackets):  # noqa: N801 - named as everybody knows it
    """Compute without recording a graph, as a context or a decorator, of generators too; may be nested.

    Counts for the running thread alone. Raises :class:`MinidlError` without brackets and for coroutines, which other
    code of the thread runs in between.

    >>> from minidl import tensor
    >>> x = tensor(1.0, requires_grad=True)
    >>> with no_grad():
    ...     (2 * x).requires_grad
    False
    """

    def __init__(self, *wrong: Any) -> None:
        if wrong:
            raise MinidlError(f"no_grad takes no arguments, got {wrong[0]!r}: write @no_grad(), with brackets")

    def __enter__(self) -> None:
        mode.without_grad += 1

    def __exit__(self, *error: object) -> None:
        mode.without_grad = max(0, mode.without_grad - 1)  # never below, where another thread ends a generator

    def __call__(self, function: Function) -> Function:
        """The function without a graph.

        >>> from minidl import tensor
        >>> @no_grad()
        ... def halves(x):
        ...     while True:
        ...         yield (x := x / 2)
        >>> half = next(halves(tensor(1.0, requires_grad=True)))
        >>> half.item(), half.requires_grad
        (0.5, False)
        """
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise MinidlError(
                f"no_grad cannot decorate the coroutine {function.__name__}: write `with no_grad():` inside, around "
                "what does not await"
            )

        @functools.wraps(function)
        def without_grad(*inputs: Any, **options: Any) -> Any:
            with no_grad():
                result = function(*inputs, **options)
            return _without_grad(result) if inspect.isgeneratorfunction(function) else result

        return without_grad


def _without_grad(generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """The generator; what happens between its steps is not concerned."""
    step, given = generator.send, None
    while True:
        try:
            with no_grad():
                value = step(given)
        except StopIteration as end:
            return end.value
        try:
            step, given = generator.send, (yield value)
        except GeneratorExit:
            with no_grad():
                generator.close()
            raise
        except BaseException as error:
            step, given = generator.throw, error
