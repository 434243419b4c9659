"""Context managers that are decorators, too."""

import functools
import inspect
import threading
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NoReturn

from .errors import MinidlError, brief

Function = Callable[..., Any]


class ContextMeta(ABCMeta):
    """The metaclass of context managers; ``with`` and a class without parentheses raise an error.

    >>> class Loud(metaclass=ContextMeta): ...
    >>> with Loud:
    ...     pass
    Traceback (most recent call last):
    minidl.errors.MinidlError: Loud needs parentheses: write `with Loud():`
    """

    def __enter__(cls) -> NoReturn:
        raise MinidlError(f"{cls.__name__} needs parentheses: write `with {cls.__name__}():`")

    def __exit__(cls, *error: object) -> None: ...


class Decorating(metaclass=ContextMeta):
    """A context that decorates functions and generators: each call, and each step of a generator, is inside a new one.

    >>> class Loud(Decorating):
    ...     def __enter__(self):
    ...         print("in")
    ...     def __exit__(self, *error):
    ...         print("out")
    ...     def again(self):
    ...         return Loud()
    >>> @Loud()
    ... def numbers():
    ...     yield 1
    >>> for number in numbers():
    ...     print(number)
    in
    out
    in
    out
    1
    in
    out
    """

    @abstractmethod
    def again(self) -> AbstractContextManager[Any]:
        """A new context like this one."""

    def __call__(self, function: Function) -> Function:
        """The function inside the context.

        Raises :class:`MinidlError` for a coroutine, because other code of the thread can run while it waits; for a
        class, because its methods are called outside of the context; and for anything that is not callable.
        """
        name = type(self).__name__
        if isinstance(function, type):
            raise MinidlError(
                f"{name} cannot decorate the class {function.__name__}: decorate its methods, such as forward"
            )
        if not callable(function):
            raise MinidlError(
                f"{name} decorates functions, got {brief(function)}: write it below @property, @classmethod "
                "and the like"
            )
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            self._refuse_coroutine(function)

        @functools.wraps(function)
        def inside(*inputs: Any, **options: Any) -> Any:
            with self.again():
                given = function(*inputs, **options)
            if inspect.iscoroutine(given):  # another decorator, or a class, can hide a coroutine function
                given.close()
            if inspect.iscoroutine(given) or inspect.isasyncgen(given):
                self._refuse_coroutine(function)
            return _stepped(given, self.again) if inspect.isgenerator(given) else given

        return inside

    def _refuse_coroutine(self, function: Function) -> NoReturn:
        name, called = type(self).__name__, getattr(function, "__name__", type(function).__name__)
        raise MinidlError(
            f"{name} cannot decorate the coroutine {called}: write `with {name}(...):` inside, around what does not "
            "await"
        )


class OfThread(Decorating):
    """A context of the thread that enters it, even if another thread ends it, as it may end a generator.

    >>> class Depth(threading.local):
    ...     def __init__(self):
    ...         self.depth = 0
    >>> class Deeper(OfThread):
    ...     local = Depth()
    ...     def enter(self, state):
    ...         state["depth"] += 1
    ...     def leave(self, state):
    ...         state["depth"] -= 1
    ...     def again(self):
    ...         return Deeper()
    >>> with Deeper(), Deeper():
    ...     Deeper.local.depth
    2
    """

    local: ClassVar[threading.local]
    """Its attributes in a thread are what the context changes."""

    def __init__(self) -> None:
        self._entered: list[dict[str, Any]] = []

    @abstractmethod
    def enter(self, state: dict[str, Any]) -> None:
        """Begin in the thread with these attributes of ``local``."""

    @abstractmethod
    def leave(self, state: dict[str, Any]) -> None:
        """End in that thread."""

    def __enter__(self) -> None:
        self._entered.append(vars(self.local))
        self.enter(self._entered[-1])

    def __exit__(self, *error: object) -> None:
        place, here = -1, vars(self.local)
        if self._entered[-1] is not here:  # several threads are inside, or another thread entered it
            place = max((place for place, state in enumerate(self._entered) if state is here), default=-1)
        self.leave(self._entered.pop(place))


def _stepped(generator: Generator[Any, Any, Any], context: Callable[[], AbstractContextManager[Any]]) -> Any:
    """The generator with each step inside a context; the code between its steps is outside."""
    step, given = generator.send, None
    while True:
        try:
            with context():
                value = step(given)
        except StopIteration as end:
            return end.value
        try:
            step, given = generator.send, (yield value)
        except BaseException as error:
            step, given = generator.throw, error
