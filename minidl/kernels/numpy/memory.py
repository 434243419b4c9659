"""Memory for large results, reused once nothing refers to it.

The operating system allocates a large array page by page and clears every page first. A training step makes the same
arrays again and again, and this costs more than some of its computations. So large buffers are kept here. A buffer is
free when only this module refers to it: Python counts references, and an array or view that is still in use keeps its
buffer from being reused. (A view of a view refers to the array that owns the memory.)
"""

import threading
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...references import ARE_COUNTED, is_the_only_one

Array = NDArray[Any]

SMALL = 1 << 18
"""Arrays below this number of bytes are allocated as usual: the C library pools such memory itself."""
KEPT = 1 << 29
"""Maximum number of bytes to keep; beyond it, the buffers that have been free for longest are released."""

_buffers: list[Array] = []
"""All buffers, the most recently used last."""
_lock = threading.RLock()
_is_searched = False
"""Whether the thread that holds the lock is looking for a buffer; if so, a signal handler has interrupted it."""


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Like ``numpy.empty``.

    >>> a = empty((512, 1024), np.float32)
    >>> address, b = a.ctypes.data, a[:3]
    >>> del a
    >>> empty((512, 1024), np.float32).ctypes.data == address  # b is a view of a
    False
    >>> del b
    >>> empty((512, 1024), np.float32).ctypes.data == address
    True
    """
    global _is_searched
    nbytes = prod(shape) * np.dtype(dtype).itemsize
    if nbytes < SMALL or not ARE_COUNTED:
        return np.empty(shape, dtype)
    with _lock:
        if _is_searched:
            return np.empty(shape, dtype)
        _is_searched = True
        try:
            array: Array = _buffer(nbytes).view(dtype).reshape(shape)
        finally:
            _is_searched = False
    return array


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """Like ``numpy.zeros``."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


def clear() -> None:
    """Drop all buffers. One that is still in use is freed with its last reference, like any other array."""
    with _lock:
        if not _is_searched:
            _buffers.clear()


def _buffer(nbytes: int) -> Array:
    for position in range(len(_buffers)):
        if _buffers[position].nbytes == nbytes and is_the_only_one(_buffers, position):
            _buffers.append(_buffers.pop(position))
            return _buffers[-1]
    _make_room(nbytes)
    _buffers.append(np.empty(nbytes, np.uint8))
    return _buffers[-1]


def _make_room(nbytes: int) -> None:
    """Release free buffers until another one fits."""
    excess = sum(buffer.nbytes for buffer in _buffers) + nbytes - KEPT
    position = 0
    while excess > 0 and position < len(_buffers):
        if is_the_only_one(_buffers, position):
            excess -= _buffers.pop(position).nbytes
        else:
            position += 1
