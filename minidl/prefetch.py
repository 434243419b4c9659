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
    ready: queue.Queue[Any] = queue.Queue(ahead)
    end = object()
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                put(batch)
                if stop.is_set():
                    return
            put(end)
        except BaseException as error:  # any exception is raised again in the loop
            put(_Failure(error))

    process = os.getpid()
    thread = threading.Thread(target=work, name="minidl-loader", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no threads, in a browser for example
        yield from batches
        return
    try:
        while (item := ready.get()) is not end:
            if isinstance(item, _Failure):
                raise item.error
            yield item
            if os.getpid() != process:
                raise MinidlError("this process was forked inside a loop over a loader: start another loop in it")
    finally:
        stop.set()
        thread.join()
