"""Comparisons and logic: tensors of booleans, which have no gradient, so no check of the kind ``op`` would fit.

A number or an array takes the dtype of the floats beside it, as in arithmetic: ``x == 0.1`` holds where x is the
float32 nearest to 0.1. Beside integers it is compared as what it is: ``x < 300`` holds for all of uint8. So is a
number beyond all floats of the dtype: ``x == 1e300`` holds for no float32, infinity included.
"""

import operator
from collections.abc import Callable
from math import inf, nan
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import DtypeError
from ..op import Op

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["Less", "LessEqual", "Greater", "GreaterEqual", "Equal", "NotEqual", "And", "Or", "Xor", "Not"]

Array = Any


class _Relation(Op):
    """An op of two inputs that broadcast, without a gradient."""

    exact = "fiub"

    relation: ClassVar[Callable[..., Array]]

    def forward(self, a: Array, b: Array) -> Array:
        self.needs_grad = ()  # whatever the inputs want: nothing is recorded
        return type(self).relation(a, b)


class _Comparison(_Relation):
    """A relation that takes numbers of any size: one beyond those of the dtype is none of them, and not infinite."""

    up: ClassVar[bool | None]
    """Whether the relation to a number at the right is that to the next one above it, or below it; None: to neither."""

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> "Tensor":
        if len(inputs) == 2:
            a, b = inputs
            inputs = _within(a, b, None if cls.up is None else not cls.up), _within(b, a, cls.up)
        return super().apply(*inputs, **options)


def _within(value: Any, beside: Any, up: bool | None) -> Any:
    """A number that the dtype beside it can hold, in its place if that is too far from 0."""
    dtype = getattr(beside, "dtype", None)
    number = value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
    if not isinstance(number, int | float) or not isinstance(dtype, np.dtype) or -65504 <= number <= 65504:
        return value  # as float16, the narrowest, holds it
    sign = 1 if number > 0 else -1
    if dtype.kind != "f":
        return value if isinstance(number, float) or -(2**63) <= number < 2**64 else sign * inf
    if number != number or number == sign * inf or not _overflows(number, dtype):
        return value
    return nan if up is None else sign * (inf if up == (number > 0) else float(np.finfo(dtype).max))


def _overflows(number: float, dtype: np.dtype[Any]) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isinf(dtype.type(number)))
    except OverflowError:  # Python's own, for an integer that no float holds
        return True


class Less(_Comparison):
    """y = a < b

    >>> Less.apply([1.0, 2.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.lt
    up = True


class LessEqual(_Comparison):
    """y = a <= b

    >>> LessEqual.apply([1.0, 3.0], [1.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.le
    up = False


class Greater(_Comparison):
    """y = a > b

    >>> Greater.apply([3.0, 2.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.gt
    up = False


class GreaterEqual(_Comparison):
    """y = a >= b

    >>> GreaterEqual.apply([2.0, 1.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.ge
    up = True


class Equal(_Comparison):
    """y = whether a and b are equal, elementwise

    >>> Equal.apply([1.0, 2.0], [2.0, 2.0])
    tensor([False,  True], dtype=bool)
    """

    relation = operator.eq
    up = None


class NotEqual(_Comparison):
    """y = whether a and b differ, elementwise

    >>> NotEqual.apply([1.0, 2.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.ne
    up = None


class _Logic(_Relation):
    """A relation of booleans, or of integers bit by bit; floats are a :class:`DtypeError`."""

    exact = "iub"

    def forward(self, *arrays: Array) -> Array:
        for array in arrays:
            if array.dtype.kind not in "iub":
                raise DtypeError(
                    f"expected booleans or integers, got {array.dtype}: compare first, with brackets as in "
                    "(x > 0) & (x < 1)"
                )
        self.needs_grad = ()
        return type(self).relation(*arrays)


class And(_Logic):
    """y = a and b, elementwise

    >>> And.apply([True, True], [True, False])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.and_


class Or(_Logic):
    """y = a or b, elementwise

    >>> Or.apply([True, False], [False, False])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.or_


class Xor(_Logic):
    """y = either a or b, elementwise

    >>> Xor.apply([True, True], [False, True])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.xor


class Not(_Logic):
    """y = not x, elementwise; of integers all bits

    >>> Not.apply([True, False])
    tensor([False,  True], dtype=bool)
    """

    relation = operator.invert
