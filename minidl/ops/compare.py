"""Comparisons and logic.

They have no gradient, so they are not registered as plugins of the kind ``op``, whose checks compare gradients.

A scalar or an array is converted to the dtype of a float operand, as in arithmetic: ``x == 0.1`` is true where x is the
float32 nearest to 0.1. It keeps its value if the other operand is an integer: ``x < 300`` is true for all of uint8. So
does a scalar beyond the range of the float dtype: ``x == 1e300`` is false for every float32, including infinity.
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
    """An op without a gradient, on inputs that broadcast."""

    exact = "fiub"

    relation: ClassVar[Callable[..., Array]]

    def forward(self, a: Array, b: Array) -> Array:
        self.needs_grad = ()  # records nothing, even if an input requires a gradient
        return type(self).relation(a, b)


class _Comparison(_Relation):
    """A relation that accepts scalars of any size: one beyond the range of the dtype equals no value, not even inf."""

    up: ClassVar[bool | None]
    """Which value of the dtype may replace a right operand between two of them, as the result is the same: the one
    above (True), the one below (False), or neither (None)."""

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> "Tensor":
        if len(inputs) == 2:
            a, b = inputs
            inputs = _within(a, b, None if cls.up is None else not cls.up), _within(b, a, cls.up)
        return super().apply(*inputs, **options)


def _within(value: Any, beside: Any, up: bool | None) -> Any:
    """A scalar that overflows the dtype of the other operand, replaced by one that gives the same result."""
    dtype = getattr(beside, "dtype", None)
    number = value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
    if not isinstance(number, int | float) or not isinstance(dtype, np.dtype) or -65504 <= number <= 65504:
        return value  # within the range of float16, the narrowest
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
    except OverflowError:  # from Python, for an integer beyond float64
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
    """y = (a == b)

    >>> Equal.apply([1.0, 2.0], [2.0, 2.0])
    tensor([False,  True], dtype=bool)
    """

    relation = operator.eq
    up = None


class NotEqual(_Comparison):
    """y = (a != b)

    >>> NotEqual.apply([1.0, 2.0], [2.0, 2.0])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.ne
    up = None


class _Logic(_Relation):
    """A logical op on booleans, bitwise on integers; floats raise :class:`DtypeError`."""

    exact = "iub"

    def forward(self, *arrays: Array) -> Array:
        for array in arrays:
            if array.dtype.kind not in "iub":
                raise DtypeError(
                    f"expected booleans or integers, got {array.dtype}: compare first, with parentheses as in "
                    "(x > 0) & (x < 1)"
                )
        self.needs_grad = ()
        return type(self).relation(*arrays)


class And(_Logic):
    """y = a and b; bitwise on integers

    >>> And.apply([True, True], [True, False])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.and_


class Or(_Logic):
    """y = a or b; bitwise on integers

    >>> Or.apply([True, False], [False, False])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.or_


class Xor(_Logic):
    """y = a xor b; bitwise on integers

    >>> Xor.apply([True, True], [False, True])
    tensor([ True, False], dtype=bool)
    """

    relation = operator.xor


class Not(_Logic):
    """y = not x; bitwise on integers

    >>> Not.apply([True, False])
    tensor([False,  True], dtype=bool)
    """

    relation = operator.invert
