"""Memory for large results, used again once nothing refers to it.

The operating system gives a large array memory page by page and clears every page first: in a training step that
makes the same arrays again and again, this costs more than some of the computations. So large buffers are kept here.
A buffer is free when only this module refers to it: an array, or a view of one, that anybody still holds keeps its
buffer from being used again, as Python counts references. (A view of a view refers to the array that owns the memory.)
"""

import threading
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...references import ARE_COUNTED, is_the_only_one

Array = NDArray[Any]

SMALL = 1 << 18
"""Arrays below this number of bytes are made anew: the C library has its own store of such memory."""
KEPT = 1 << 29
"""Bytes of buffers to keep at most; beyond it those go that have been free for longest."""

_buffers: list[Array] = []
"""All buffers, the one that was used last at the end."""
_lock = threading.Lock()


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
    nbytes = prod(shape) * np.dtype(dtype).itemsize
    if nbytes < SMALL or not ARE_COUNTED:
        return np.empty(shape, dtype)
    with _lock:
        array: Array = _buffer(nbytes).view(dtype).reshape(shape)
    return array


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """Like ``numpy.zeros``."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


def clear() -> None:
    """Keep nothing: what somebody holds lives on, and is freed with its last reference like any other array."""
    with _lock:
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
    """Let go of free buffers until another fits in."""
    excess = sum(buffer.nbytes for buffer in _buffers) + nbytes - KEPT
    position = 0
    while excess > 0 and position < len(_buffers):
        if is_the_only_one(_buffers, position):
            excess -= _buffers.pop(position).nbytes
        else:
            position += 1
