"""Prefetching: a thread makes the next batches while the current one is used."""

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from .errors import MinidlError


class _Failure:
    """An exception passed from the thread to the loop."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def prefetched(batches: Iterable[Any], ahead: int) -> Iterator[Any]:
    """The same batches, made by a thread that runs up to ``ahead`` batches ahead.

    Raises :class:`MinidlError` in a process that was forked meanwhile, which has no such thread.

    >>> list(prefetched(range(3), 2))
    [0, 1, 2]
    """
    # Not queue.Queue, whose lock an interrupt may leave locked: then both sides would wait for ever.
    ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
    places: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(ahead):
        places.put(None)
    end = object()
    began = stopped = False

    def work() -> None:
        nonlocal began
        began = True
        try:
            if stopped:
                return
            for batch in batches:
                places.get()
                if stopped:
                    return
                ready.put(batch)
            ready.put(end)
        except BaseException as error:  # any exception is raised again in the loop
            ready.put(_Failure(error))

    process = os.getpid()
    thread = threading.Thread(target=work, name="minidl-loader", daemon=True)
    try:
        try:
            thread.start()
        except RuntimeError:  # no threads, in a browser for example
            yield from batches
            return
        while (item := ready.get()) is not end:
            if isinstance(item, _Failure):
                raise item.error
            places.put(None)
            yield item
            if os.getpid() != process:
                raise MinidlError("this process was forked inside a loop over a loader: start another loop in it")
    finally:
        stopped = True
        places.put(None)
        if began:  # otherwise it ends when it begins, if an interrupt has not kept it from beginning
            thread.join()
