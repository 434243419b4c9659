"""Which memory was changed in place, and when: a backward pass must not use values that are not those of its forward.

An array that shares memory with others (a view, the data of ``x.detach()``) is known by the one that owns the memory,
so a change through any of them counts for all. Ops and changes are numbered together.

>>> import numpy as np
>>> w = np.zeros(4)
>>> number = next(numbers)
>>> mark(w)
>>> is_newer(w[:2], number), is_newer(np.zeros(2), number)
(True, False)
"""

import itertools
import threading
import weakref
from typing import Any

Array = Any

numbers = itertools.count(1)
"""The order of things: ops take the next number in the forward pass, changes when they happen."""
latest = 0
"""The number of the latest change, whatever it was: what is newer than this needs no further look."""
_changed: dict[int, list[Any]] = {}
"""By the address of the owner of the memory: a reference, as addresses are used again, and the number."""
_lock = threading.Lock()


def mark(*arrays: Array) -> None:
    """Say that the memory of arrays was changed in place."""
    global latest
    with _lock:
        number = latest = next(numbers)
    for array in arrays:
        owner = array if array.base is None else _owner(array)
        known = _changed.get(id(owner))
        if known is not None and known[0]() is owner:
            known[1] = number
        else:
            _changed[id(owner)] = [_reference(owner), number]


def is_newer(array: Array, number: int) -> bool:
    """Whether the memory of an array was changed after the op with this number ran."""
    owner = _owner(array)
    known = _changed.get(id(owner))
    return known is not None and known[1] > number and known[0]() is owner


def _reference(owner: Array) -> weakref.ref[Any]:
    """A reference to an array that takes what is known of it away with it."""
    key = id(owner)

    def forget(dead: weakref.ref[Any]) -> None:
        if key in _changed and _changed[key][0] is dead:
            del _changed[key]

    return weakref.ref(owner, forget)


def _owner(array: Array) -> Array:
    """The array whose memory this one shows: the last in the chain of its bases."""
    owner = array
    while array is not None:
        owner = array if hasattr(array, "dtype") else owner  # bytes, or a mapped file, may own the memory of an array
        array = getattr(array, "base", None)
    return owner
