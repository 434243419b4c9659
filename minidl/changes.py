"""A record of in-place changes: a backward pass must use the values of its forward pass.

Arrays that share memory (a view, the data of ``x.detach()``) are identified by the array that owns the memory, so a
change through one of them counts for all. Ops and changes share one counter.

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
"""The common counter: an op takes the next number in its forward pass, a change when it happens."""
latest = 0
"""The number of the latest change: an op with a larger number needs no further check."""
_changed: dict[int, list[Any]] = {}
"""Maps the id of the owner of the memory to a weak reference, because ids are reused, and the number."""
_lock = threading.Lock()


def mark(*arrays: Array) -> None:
    """Record that the memory of arrays was changed in place."""
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
    """A weak reference to an array that removes its entry when the array is freed."""
    key = id(owner)

    def forget(dead: weakref.ref[Any]) -> None:
        if key in _changed and _changed[key][0] is dead:
            del _changed[key]

    return weakref.ref(owner, forget)


def _owner(array: Array) -> Array:
    """The array that owns the memory of this one: the last array in the chain of its bases."""
    owner = array
    while array is not None:
        owner = array if hasattr(array, "dtype") else owner  # bytes, or a mapped file, may own the memory of an array
        array = getattr(array, "base", None)
    return owner
