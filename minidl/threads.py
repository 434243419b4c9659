"""Threads: how many, who runs on them, and the scratch memory that each keeps.

NumPy lets other threads run inside its loops and matrix products, so a pool of Python threads uses all cores. Work is
cut into chunks by its shape alone, never by the number of threads, and whoever adds up chunks does so in their order:
results are the same bit for bit for any number of threads. While minidl computes, BLAS runs on one thread: several
small products side by side use the caches better than one product on all cores. As BLAS knows only one limit for the
whole process, it is set when minidl first computes something on threads and stays (threadpoolctl undoes it).

The number of threads is ``MINIDL_NUM_THREADS`` or what :func:`set_num_threads` says, at any time; at first, the cores
that the process may use.

Threads of one's own may use minidl side by side: build, train and evaluate models, convolve, loop over data sets. What
contexts set (``no_grad``, ``using``, a capture) counts for the thread that is inside. Shared are a model, a trainer,
an optimizer and a callback, of which one thread at a time may use each; and what is of the whole process: the default
generator (:func:`minidl.seed`), whose numbers then depend on which thread comes first, so give each thread an ``rng``
of its own; the number of threads; and the precision of a backend.
"""

import contextvars
import functools
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from math import inf, prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .errors import MinidlError

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_Item = TypeVar("_Item")


class _Settings:
    """What the process has decided: the number of threads and the pool, made when first needed, by one thread."""

    num_threads: int | None = None
    pool: "ThreadPoolExecutor | None" = None
    lock = threading.Lock()


class _Here(threading.local):
    """What belongs to the running thread: whether it runs a chunk already, and its scratch memory."""

    inside = False

    def __init__(self) -> None:
        self.scratch: dict[str, np.ndarray[Any, Any]] = {}


_here = _Here()


def get_num_threads() -> int:
    """The number of threads that minidl computes on.

    >>> get_num_threads() >= 1
    True
    """
    if _Settings.num_threads is None:
        text = os.environ.get("MINIDL_NUM_THREADS", "")
        if text and not (text.isdecimal() and int(text) >= 1):
            raise MinidlError(f"MINIDL_NUM_THREADS must be a whole number >= 1, got '{text}'")
        _Settings.num_threads = int(text) if text else _usable_cores()
    return _Settings.num_threads


def set_num_threads(count: int) -> None:
    """Compute on ``count`` threads from now on. The results do not depend on it.

    >>> before = get_num_threads(); set_num_threads(1); get_num_threads()
    1
    >>> set_num_threads(before)
    """
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise MinidlError(f"the number of threads must be a whole number >= 1, got {count!r}")
    with _Settings.lock:  # what runs on the old pool runs to its end there: its threads end once nobody refers to it
        _Settings.num_threads, _Settings.pool = int(count), None


SMALL = 1 << 20
"""Operations below which waking other threads costs more than they save."""


def for_each(function: Callable[[_Item], object], items: Sequence[_Item], operations: float = inf) -> None:
    """Call ``function`` on every item, on all threads; returns when all are done, raises the first error.

    ``operations`` is about how many that takes in all: a little is done by the calling thread alone.

    >>> squares = np.zeros(3)
    >>> def square(i):
    ...     squares[i] = i * i
    >>> for_each(square, range(3))
    >>> squares
    array([0., 1., 4.])
    """
    workers = min(get_num_threads(), len(items)) if operations >= SMALL else 1
    _single_threaded_blas()
    if workers <= 1 or _here.inside:
        for item in items:
            function(item)
        return
    numbers = itertools.count()  # shared: every thread takes the next item that nobody has taken

    def work() -> None:
        _here.inside = True
        try:
            while (number := next(numbers)) < len(items):
                function(items[number])
        finally:
            _here.inside = False

    # NumPy's error handling (np.errstate) is part of the context, and is the caller's on all threads.
    pool = _pool()
    helpers = [pool.submit(contextvars.copy_context().run, work) for _ in range(workers - 1)]
    try:
        work()
    finally:
        errors = [helper.exception() for helper in helpers]
    for error in errors:
        if error is not None:
            raise error


def chunks(length: int, size: int) -> list[slice]:
    """``range(length)`` in slices of ``size``; the last may be shorter.

    >>> chunks(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Uninitialised memory that the running thread keeps for the next call with the same name.

    It must not leave the function that asked for it: the next call overwrites it.

    >>> scratch("example", (2, 3), np.float32).shape
    (2, 3)
    """
    nbytes = prod(shape) * np.dtype(dtype).itemsize
    memory = _here.scratch.get(name)
    if memory is None or memory.nbytes < nbytes:
        memory = _here.scratch[name] = np.empty(nbytes, np.uint8)
    kept: np.ndarray[Any, Any] = memory[:nbytes].view(dtype).reshape(shape)
    return kept


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool() -> "ThreadPoolExecutor":
    threads = max(get_num_threads() - 1, 1)
    with _Settings.lock:
        if _Settings.pool is None:
            from concurrent.futures import ThreadPoolExecutor  # slow to import

            _Settings.pool = ThreadPoolExecutor(threads, thread_name_prefix="minidl")
        return _Settings.pool


@functools.cache
def _single_threaded_blas() -> object:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # without it everything is right, only slower
        return None
    return threadpool_limits(limits=1, user_api="blas")


if hasattr(os, "register_at_fork"):  # the threads of the pool do not live on in a forked process

    def _after_fork() -> None:
        _Settings.pool, _Settings.lock = None, threading.Lock()

    os.register_at_fork(after_in_child=_after_fork)
