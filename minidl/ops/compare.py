"""Comparisons and logic: tensors of booleans, which have no gradient, so no check of the kind ``op`` would fit.

A number or an array takes the dtype of the floats beside it, as in arithmetic: ``x == 0.1`` holds where x is the
float32 nearest to 0.1. Beside whole numbers it is compared as what it is: ``x < 300`` holds for all of uint8.
"""

import operator
from collections.abc import Callable
from typing import Any, ClassVar

from ..errors import DtypeError
from ..op import Op

__all__ = ["Less", "LessEqual", "Greater", "GreaterEqual", "Equal", "NotEqual", "And", "Or", "Xor", "Not"]

Array = Any


class _Relation(Op):
    """An op of two inputs that broadcast, without a gradient."""

    exact = "fiub"

    relation: ClassVar[Callable[..., Array]]

    def forward(self, a: Array, b: Array) -> Array:
        self.needs_grad = ()  # whatever the inputs want: nothing is recorded
        return type(self).relation(a, b)


class Less(_Relation):
    """y = a < b

    >>> Less.apply([1.0, 2.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.lt


class LessEqual(_Relation):
    """y = a <= b

    >>> LessEqual.apply([1.0, 3.0], [1.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.le


class Greater(_Relation):
    """y = a > b

    >>> Greater.apply([3.0, 2.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.gt


class GreaterEqual(_Relation):
    """y = a >= b

    >>> GreaterEqual.apply([2.0, 1.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.ge


class Equal(_Relation):
    """y = whether a and b are equal, elementwise

    >>> Equal.apply([1.0, 2.0], [2.0, 2.0])
    tensor([False,  True], dtype=bool)
    """

    relation = operator.eq


class NotEqual(_Relation):
    """y = whether a and b differ, elementwise

    >>> NotEqual.apply([1.0, 2.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.ne


class _Logic(_Relation):
    """A relation of booleans, or of whole numbers bit by bit; floats are a :class:`DtypeError`."""

    exact = "iub"

    def forward(self, *arrays: Array) -> Array:
        for array in arrays:
            if array.dtype.kind not in "iub":
                raise DtypeError(
                    f"expected booleans or whole numbers, got {array.dtype}: compare first, with brackets as in "
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
    """y = not x, elementwise; of whole numbers all bits

    >>> Not.apply([True, False])
    tensor([False,  True], dtype=bool)
    """

    relation = operator.invert
