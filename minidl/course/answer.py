"""Calling a reader's function: whatever it does, the call ends, and everything is as it was before."""

import builtins
import contextlib
import copy
import ctypes
import inspect
import io
import operator
import os
import random
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..random import rewound

Function = Callable[..., Any]

SECONDS = 3.0
"""The longest a call may take: the examples are small, so a right answer takes milliseconds."""
AGAIN = 0.05
"""The time until a call that has caught the exception of its time limit gets it once more."""
LONGEST = 10_000
"""The number of characters that are kept of what an answer prints."""


class NotSolved(Exception):  # noqa: N818 - a blank, not an error
    """Raised by a blank that is not filled in yet; returning None or ``...`` means the same."""


class OutOfTime(BaseException):
    """Raised inside a call that takes longer than its limit; not an ``Exception``, which the answer may catch."""


@dataclass(frozen=True)
class Answer:
    """What a call gave: its ``value``, or, in words, the ``problem`` that ended it.

    ``value`` is None if the function returned nothing; ``numbers`` is what was read from it. If there are a value and a
    problem, the value could not be read. ``printed`` is the output, ``ran`` lists the watched functions that were
    called, and ``harm`` describes changes that a function must not make.
    """

    value: Any = None
    numbers: Any = None
    problem: str = ""
    printed: str = ""
    ran: list[Function] = field(default_factory=list)
    harm: str = ""


def call(
    function: Function, arguments: Sequence[Any], watched: Iterable[Function] = (), read: Function = lambda value: value
) -> Answer:
    """Call a function with arguments; return an :class:`Answer`, even if it exits, raises or never ends.

    ``read`` gets what the function returned, if anything; it may run more of the reader's code, such as an
    ``__array__``. Output is kept apart, warnings are ignored, and what the function changed is restored: attributes of
    NumPy, of built-in and of this package's modules, signal handlers, the profile function, and threads, which are
    ended. ``watched`` are functions written in Python, of which ``ran`` lists those that the function called. Only a
    Ctrl-C of the reader raises ``KeyboardInterrupt``. The time limit cannot end a single call into C, such as
    ``time.sleep``.

    >>> call(lambda x: x + 1, [2]).value
    3
    >>> call(lambda x: exit(), [2]).problem
    'it calls exit(): return the result instead.'
    """
    output, harm, ran, unseen = _Output(), list[str](), list[Function](), list[str]()
    made, problem = list[Any](), ""
    with _threads_as_before([function, *arguments], harm), _ctrl_c() as pressed:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(output):
                warnings.simplefilter("ignore")  # a hint is more helpful than a warning
                _in_time(function, arguments, _watch(watched, ran, unseen), read, made, _modules(harm))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and pressed:
                raise
            problem = described(error)
    harm += [] if problem else unseen  # an error inside the profile function ends it, too
    value, numbers, *_ = [*made, None, None]
    return Answer(value, numbers, problem, output.getvalue(), ran, " ".join(harm))


def trusted(function: Function, arguments: Sequence[Any], read: Function = lambda value: value) -> Answer:
    """As :func:`call`, for solutions of the course itself: they end, and may only raise exceptions and warn.

    >>> trusted(lambda x: 1 / x, [0]).problem
    'it stops with ZeroDivisionError: division by zero.'
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            value = function(*arguments)
            return Answer(value, read(value))
        except Exception as error:
            return Answer(problem=described(error))


def described(error: BaseException) -> str:
    """What ended a call, in words; "" for a blank.

    >>> described(ValueError(f"no {object()}"))
    'it stops with ValueError: no object.'
    """
    if isinstance(error, NotSolved):
        return ""
    if isinstance(error, OutOfTime):
        return f"it does not end: it was stopped after {SECONDS:g} seconds. Does the condition of its loop ever change?"
    if isinstance(error, SystemExit):
        return "it calls exit(): return the result instead."
    if isinstance(error, RecursionError):
        return "it calls itself without end (RecursionError): when does it return without calling itself?"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is (MemoryError): which array is so large?"
    if isinstance(error, ValueError) and _text(error).startswith("The truth value of an array"):
        return "a condition or `max` gets a whole array: np.maximum and np.where work element by element."
    message = re.sub(r"<(?:[\w.]+\.)?(\w+)(?: object)?(?: \w+)? at 0x[0-9a-fA-F]+>", r"\1", _text(error))
    return f"it stops with {type(error).__name__}" + (f": {message.rstrip('.')}." if message else ".")


def _text(error: BaseException) -> str:
    """The first line of a message; "" if even that cannot be made."""
    try:
        return str(error).strip().partition("\n")[0][:200]
    except Exception:  # the class may be the reader's own
        return ""


class _Output(io.StringIO):
    """What is printed, up to a limit."""

    def write(self, text: str) -> int:
        super().write(text[: max(LONGEST - self.tell(), 0)])
        return len(text)


def _in_time(
    function: Function,
    arguments: Sequence[Any],
    watching: tuple[Function, Function],
    read: Function,
    made: list[Any],
    restore: Function,
) -> None:
    """Add the value of a call to ``made``, and what was read from it, if it returned anything.

    Raises :class:`OutOfTime` inside the call, again and again, once its time is over. ``watching`` are called before
    and after the call alone, as a profile function slows everything down. ``restore`` is called after the call, before
    anything else is looked up in a module: the call may have deleted names there, so that only local variables are
    safe until then.
    """
    start, stop = watching
    caller, lock, ended = threading.get_ident(), threading.Lock(), threading.Event()
    raise_in, out_of_time, seconds, again = _raise_in, OutOfTime, SECONDS, AGAIN

    def watch() -> None:
        wait = seconds
        while not ended.wait(wait):
            wait = again
            with lock:
                if not ended.is_set():
                    raise_in(caller, out_of_time)

    def end() -> None:
        stop()
        restore()
        with lock:
            ended.set()  # nothing is raised from here on, but in the next few steps what was on its way

    threading.Thread(target=watch, daemon=True).start()
    try:
        try:
            start()
            value = function(*arguments)
            stop()
            restore()
            if value is not None and value is not ...:
                made += [value]
                made += [read(value)]
        finally:
            end()
    except out_of_time:
        end()  # it may have come in the middle of the first one
        raise


def _raise_in(
    thread: int | None,
    error: type[BaseException],
    set_exception: Any = ctypes.pythonapi.PyThreadState_SetAsyncExc,
    number: Any = ctypes.c_ulong,
    as_object: Any = ctypes.py_object,
) -> None:
    """Raise an exception in another thread as soon as that runs Python code, whatever the platform."""
    set_exception(number(thread or 0), as_object(error))


def _watch(
    functions: Iterable[Function], ran: list[Function], unseen: list[str]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Two functions: between their calls, ``ran`` notes which of ``functions`` are called, by anything that runs.

    ``unseen`` says in words that another profile function took the place of this one."""
    known = {id(code_of(function)): function for function in functions}
    before, get_profile, set_profile, add = sys.getprofile(), sys.getprofile, sys.setprofile, unseen.append

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and id(frame.f_code) in known:
            ran.append(known[id(frame.f_code)])

    watching = [False]

    def start() -> None:
        watching[0] = True
        set_profile(note)

    def stop() -> None:
        if watching[0] and get_profile() is not note:
            add("it calls sys.setprofile, with which the checker sees what it calls.")
        watching[0] = False
        set_profile(before)

    return start, stop


def code_of(function: Function) -> CodeType | None:
    """The code of a function written in Python, also if NumPy has wrapped it; None for any other function.

    >>> code_of(np.correlate).co_name, code_of(len)
    ('correlate', None)
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


@contextlib.contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """Yield a list that is not empty after a Ctrl-C, as the answer may raise ``KeyboardInterrupt`` itself."""
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield pressed  # no signal is handled here
        return

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _modules(harm: list[str]) -> Callable[[], None]:
    """A function that restores what the call replaced or deleted in the modules that the checker depends on.

    It restores functions, classes and modules, and adds them to ``harm``; new names are allowed.
    """
    own = [module for name, module in sys.modules.items() if name.startswith(__package__ or __name__)]
    modules = [np, np.linalg, copy, inspect, contextlib, threading, sys, *own]
    kept = [(module.__name__, vars(module), dict(vars(module))) for module in modules]
    functions = [f for module in own for f in vars(module).values() if isinstance(f, FunctionType)]
    insides = [(f, f.__code__, f.__defaults__) for f in functions]
    built_in, built_in_before = vars(builtins), dict(vars(builtins))
    limit, set_limit, is_module, same = sys.getrecursionlimit(), sys.setrecursionlimit, ModuleType, operator.is_

    def restore() -> None:
        changed = [("builtins", name) for name, value in built_in_before.items() if built_in.get(name) is not value]
        built_in.update(built_in_before)  # what follows uses them
        set_limit(limit)
        for module, now, before in kept:
            if len(now) >= len(before) and all(map(same, now.values(), before.values())):
                continue  # at most new names, which are the last
            for name, value in before.items():
                if now.get(name) is not value and (callable(value) or isinstance(value, is_module)):
                    now[name] = value
                    changed.append((module, name))
        for function, code, defaults in insides:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                function.__code__, function.__defaults__ = code, defaults
                changed.append((function.__module__, function.__name__))
        harm.extend(
            f"it changes {module}.{name}: a function leaves what others use as it is." for module, name in changed
        )

    return restore


@contextlib.contextmanager
def _threads_as_before(involved: Sequence[Any], harm: list[str]) -> Iterator[None]:
    """End the threads that were started in the context, and run functions of the same modules as those involved.

    Others, such as those of minidl's pool, outlive the call.
    """
    before = {*threading.enumerate()}
    notebooks = [getattr(one, "__globals__", None) for one in involved if callable(one)]
    try:
        yield
    finally:
        for thread in threading.enumerate():
            names = getattr(getattr(thread, "_target", None), "__globals__", None)
            own = names is not None and any(names is one for one in notebooks)
            if thread not in before and (own or type(thread).__module__ == "__main__"):
                _raise_in(thread.ident, SystemExit)
                harm.append("it starts a thread and does not wait for its end.")


@contextlib.contextmanager
def random_as_before() -> Iterator[None]:
    """Restore the random numbers that the notebook would draw next, and the current folder, at the end."""
    drawn, folder = (random.getstate(), np.random.get_state()), os.getcwd()  # noqa: NPY002, PTH109
    try:
        with rewound({}):
            yield
    finally:
        os.chdir(folder)
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])  # noqa: NPY002
