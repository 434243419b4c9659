"""Whether two values are the same: results up to rounding, arguments down to the last object inside."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tensor import Tensor

Array = NDArray[Any]

RELATIVE = 1e-5
"""The tolerance of a result, relative to each element: wide enough for float32."""
OF_LARGEST = 1e-6
"""Its tolerance relative to the largest element, because sums that cancel are only as exact as their largest term."""
ROUNDING = 1e-9
"""The tolerance of arguments, which an answer may change and change back."""


def same(one: Array, other: Array) -> bool:
    """Whether two arrays have the same shape and, up to rounding, the same values, including NaN.

    The tolerance is relative to the size of ``other``.

    >>> same(np.array([1e-12, 1e-12]), np.array([1e-12, 2e-12])), same(np.array([1.0]), np.array([1.000001]))
    (False, True)
    """
    if one.shape != other.shape:
        return False
    finite = np.abs(other[np.isfinite(other)])
    allowed = OF_LARGEST * float(finite.max(initial=0)) or ROUNDING
    return bool(np.allclose(one, other, rtol=RELATIVE, atol=allowed, equal_nan=True))


def unchanged(before: Any, after: Any, known: dict[tuple[int, int], tuple[Any, Any]] | None = None) -> bool:
    """Whether an argument still equals a copy made before the call.

    Arrays, tensors, lists, dictionaries and plain objects are compared with all they hold. Functions and other objects
    without attributes count as equal. ``known`` has the pairs that are being compared, or were found
    equal: each pair is compared once, however many paths lead to it.

    >>> unchanged({"a": [np.zeros(2)]}, {"a": [np.zeros(2)]}), unchanged([1, [2]], [1, [2, 3]])
    (True, False)
    """
    known = {} if known is None else known
    if (id(before), id(after)) in known:
        return True
    if type(before) is not type(after):
        return False
    known[id(before), id(after)] = before, after  # which keeps temporary objects, and so their ids
    if isinstance(before, Tensor):
        return unchanged(before.numpy(), after.numpy(), known)
    if isinstance(before, np.ndarray):
        return _equal(before, after)
    if isinstance(before, str | bytes | int | float | complex | None):
        return bool(before == after or before != before)
    if isinstance(before, Mapping):
        before, after = list(before.items()), list(after.items())
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(unchanged(*two, known) for two in zip(before, after, strict=True))
    if isinstance(before, type | ModuleType) or not hasattr(before, "__dict__"):
        return True
    return unchanged(vars(before), vars(after), known)


def _equal(before: Array, after: Array) -> bool:
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    if before.dtype.kind not in "fc":
        return bool((before == after).all())
    return bool(np.allclose(before, after, rtol=ROUNDING, atol=ROUNDING * ROUNDING, equal_nan=True))
