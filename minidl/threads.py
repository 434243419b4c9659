"""The thread pool, the number of threads, and the scratch memory of each thread.

NumPy releases the GIL in its loops and matrix products, so a pool of Python threads uses all cores. Work is split into
chunks by its shape, never by the number of threads, and the results of chunks are added in a fixed order: results are
bitwise identical for any number of threads. While minidl computes, BLAS runs on one thread, because several small
products in parallel use the caches better than one product on all cores. BLAS has a single limit for the whole process;
it is set when minidl first computes on threads, and remains set (threadpoolctl can reset it).

The number of threads is ``MINIDL_NUM_THREADS``, by default the number of cores that the process may use;
:func:`set_num_threads` changes it at any time.

User threads may use minidl concurrently, to build, train and evaluate models, convolve, and iterate over data sets.
Contexts (``no_grad``, ``using``, a capture) apply to the thread that enters them. A model, a trainer, an optimizer or a
callback may be used by one thread at a time. The whole process shares the number of threads, the precision of a backend
and the default generator (:func:`minidl.seed`), whose values then depend on the order of the threads: pass each thread
its own ``rng``.

A signal handler and a ``__del__`` may compute, also with the model of the forward pass that they interrupt; they do so
on their thread alone. They must not change what it uses: no training step of that model, and no ``model.eval()``
without ``model.train()`` at the end.
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

from .errors import MinidlError, brief
from .references import is_the_only_one

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_Item = TypeVar("_Item")


class _Settings:
    """The settings of the process: the number of threads, and the pool, which is created on first use."""

    num_threads: int | None = None
    pool: "ThreadPoolExecutor | None" = None
    lock = threading.RLock()


class _Here(threading.local):
    """The state of the current thread."""

    inside = False
    """Whether it works on the items of :func:`for_each`, or shares them out: then other items are its own."""

    def __init__(self) -> None:
        self.scratch: dict[str, np.ndarray[Any, Any]] = {}


_here = _Here()


def get_num_threads() -> int:
    """The number of threads that minidl uses.

    >>> get_num_threads() >= 1
    True
    """
    if _Settings.num_threads is None:
        text = os.environ.get("MINIDL_NUM_THREADS", "")
        if text and not (text.isdecimal() and int(text) >= 1):
            raise MinidlError(f"MINIDL_NUM_THREADS must be an integer >= 1, got '{text}'")
        _Settings.num_threads = int(text) if text else _usable_cores()
    return _Settings.num_threads


def set_num_threads(count: int) -> None:
    """Set the number of threads that minidl uses. Results do not depend on it.

    >>> before = get_num_threads(); set_num_threads(1); get_num_threads()
    1
    >>> set_num_threads(before)
    """
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise MinidlError(f"the number of threads must be an integer >= 1, got {brief(count)}")
    with _Settings.lock:  # work on the old pool finishes there: its threads end once it is no longer referenced
        _Settings.num_threads, _Settings.pool = int(count), None


SMALL = 1 << 20
"""Below this number of operations, waking other threads costs more than it saves."""


def for_each(function: Callable[[_Item], object], items: Sequence[_Item], operations: float = inf) -> None:
    """Call ``function`` on every item, on all threads; return when all are done, raise the first error.

    ``operations`` is the approximate total number of operations; a small amount runs on the calling thread alone.

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
    numbers = itertools.count()  # shared: every thread takes the next free item

    def work() -> None:
        while (number := next(numbers)) < len(items):
            function(items[number])

    _here.inside = True  # also of a signal handler, which must not wait for a lock of the pool that this thread holds
    try:
        helpers = _submit(work, workers - 1)
        try:
            work()
        finally:
            errors = [helper.exception() for helper in helpers]
    finally:
        _here.inside = False
    for error in errors:
        if error is not None:
            raise error


def chunks(length: int, size: int) -> list[slice]:
    """Split ``range(length)`` into slices of ``size``; the last may be shorter.

    >>> chunks(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Uninitialised memory that the current thread keeps, and reuses for the next call with the same name.

    While the result or a view of it is in use, other calls get new memory: a signal handler may run the same function.
    So drop it before the next call in a loop.

    >>> address = scratch("example", (2, 3), np.float32).ctypes.data
    >>> scratch("example", (3, 1), np.float32).ctypes.data == address
    True
    """
    nbytes, kept_by_name = prod(shape) * np.dtype(dtype).itemsize, _here.scratch
    if name not in kept_by_name or kept_by_name[name].nbytes < nbytes:
        kept_by_name[name] = np.empty(nbytes, np.uint8)
    memory = kept_by_name[name] if is_the_only_one(kept_by_name, name) else np.empty(nbytes, np.uint8)
    kept: np.ndarray[Any, Any] = memory[:nbytes].view(dtype).reshape(shape)
    return kept


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool() -> "ThreadPoolExecutor":
    threads = max(get_num_threads() - 1, 1)
    with _Settings.lock:
        if _Settings.pool is None:
            from concurrent.futures import ThreadPoolExecutor  # slow to import

            _Settings.pool = ThreadPoolExecutor(threads, "minidl", setattr, (_here, "inside", True))
        return _Settings.pool


def _submit(work: Callable[[], None], times: int) -> "list[Future[None]]":
    """Start ``work`` on other threads. Frames of :func:`for_each` do not hold the pool: errors may be kept.

    Each runs in a copy of the context, which holds NumPy's error handling (np.errstate): all threads use the caller's.
    """
    pool = _pool()
    return [pool.submit(contextvars.copy_context().run, work) for _ in range(times)]


@functools.cache
def _single_threaded_blas() -> object:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # results are the same without it, only slower
        return None
    return threadpool_limits(limits=1, user_api="blas")


if hasattr(os, "register_at_fork"):  # a forked process does not inherit the threads of the pool

    def _after_fork() -> None:
        _Settings.pool, _Settings.lock = None, threading.RLock()

    os.register_at_fork(after_in_child=_after_fork)
