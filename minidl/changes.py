"""A record of in-place changes: a backward pass must use the values of its forward pass.

Arrays that share memory (a view, the data of ``x.detach()``) are identified by the array that owns the memory, so a
change through one of them counts for all. Memory that no NumPy array owns, such as a buffer or a tensor of PyTorch, is
identified by its addresses. They are not reused while an op may still ask: it keeps its arrays. Ops and changes share
one counter.

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

import numpy as np
from numpy.lib.array_utils import byte_bounds

Array = Any

numbers = itertools.count(1)
"""The common counter: an op takes the next number in its forward pass, a change when it happens."""
latest = 0
"""The number of the latest change: an op with a larger number needs no further check."""
_changed: dict[int, list[Any]] = {}
"""Maps the id of the owner of the memory to a weak reference, because ids are reused, the number, and the range of
addresses if the memory is lent: the owner is the last array, and something else owns its memory."""
_lent: dict[tuple[int, int], int] = {}
"""Maps the ranges of lent memory that were changed last to the number."""
_MOST_LENT = 1024
_latest_lent = 0
"""The number of the latest change of lent memory."""
_lock = threading.RLock()  # reentrant, because a signal handler may train a model, too


def mark(*arrays: Array) -> None:
    """Record that the memory of arrays was changed in place."""
    global latest
    with _lock:
        number = next(numbers)
        if number > latest:  # not so if a signal handler ran in between
            latest = number
    for array in arrays:
        owner = array if array.base is None else _owner(array)
        known = _changed.get(id(owner))
        if known is None or known[0]() is not owner:
            place = None if owner.base is None else byte_bounds(owner)
            known = _changed[id(owner)] = [_reference(owner), number, place]
        known[1] = number
        if known[2] is not None:
            _mark_lent(known[2], number)


def is_newer(array: Array, number: int) -> bool:
    """Whether the memory of an array was changed after the op with this number ran."""
    owner = _owner(array)
    known = _changed.get(id(owner))
    if known is not None and known[1] > number and known[0]() is owner:
        return True
    is_lent = owner.base is not None
    return (is_lent or _latest_lent > number) and isinstance(array, np.ndarray) and _meets(array, is_lent, number)


def _mark_lent(place: tuple[int, int], number: int) -> None:
    global _latest_lent
    with _lock:
        if number > _latest_lent:
            _latest_lent = number
        _lent.pop(place, None)  # so that the ranges are in the order of their changes
        _lent[place] = number
        if len(_lent) > _MOST_LENT:
            del _lent[next(iter(_lent))]


def _meets(array: Array, is_lent: bool, number: int) -> bool:
    """Whether the addresses of an array are in memory that was changed after the op with this number ran."""
    low, high = byte_bounds(array)
    if any(later > number and start < high and low < end for (start, end), later in list(_lent.items())):
        return True
    newer = [reference() for reference, later, _ in list(_changed.values()) if is_lent and later > number]
    return any(isinstance(owner, np.ndarray) and np.may_share_memory(owner, array) for owner in newer)


def _reference(owner: Array) -> weakref.ref[Any]:
    """A weak reference to an array that removes its entry when the array is freed."""
    key = id(owner)

    def forget(dead: weakref.ref[Any]) -> None:
        if key in _changed and _changed[key][0] is dead:
            del _changed[key]

    return weakref.ref(owner, forget)


def _owner(array: Array) -> Array:
    """The array that owns the memory of this one: the last array in the chain of its bases.

    It has a base itself if something else owns the memory, such as bytes or a mapped file.
    """
    owner, kind = array, type(array)
    while array is not None:
        owner = array if isinstance(array, kind) else owner
        array = getattr(array, "base", None)
    return owner
