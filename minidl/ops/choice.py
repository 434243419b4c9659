"""Ops that select each element from several inputs or limits: maximum, minimum, where and clip.

Shapes and dtypes are as in :mod:`minidl.ops.elementwise`. The selected element gets the gradient, the others get 0.
"""

from typing import Any

import numpy as np

from .. import backends
from ..errors import DtypeError
from ..op import Op
from ..options import number
from ..plugins import register

__all__ = ["Maximum", "Minimum", "Where", "Clip"]

Array = Any


class _Choice(Op):
    """An op that takes each element from a where a condition is true, else from b."""

    exact = "iub"

    def choose(self, from_a: Array, a: Array, b: Array) -> Array:
        self.save(from_a)
        return self.xp.where(from_a, a, b)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (from_a,) = self.saved
        zero = self.xp.zeros((), dy.dtype)
        return self.xp.where(from_a, dy, zero), self.xp.where(from_a, zero, dy)


@register("op", "maximum")
class Maximum(_Choice):
    """y = max(a, b); where they are equal, a gets the gradient; NaN propagates

    >>> Maximum.apply([1.0, 5.0], 3.0)
    tensor([3., 5.])
    """

    def forward(self, a: Array, b: Array) -> Array:
        return self.choose((a >= b) | (a != a), a, b)


@register("op", "minimum")
class Minimum(_Choice):
    """y = min(a, b); where they are equal, a gets the gradient; NaN propagates

    >>> Minimum.apply([1.0, 5.0], 3.0)
    tensor([1., 3.])
    """

    def forward(self, a: Array, b: Array) -> Array:
        return self.choose((a <= b) | (a != a), a, b)


@register("op", "where")
class Where(_Choice):
    """y = a where the condition (booleans, or numbers with 0 as false) is true, else b

    >>> Where.apply([1.0, 2.0], 0.0, condition=[True, False])
    tensor([1., 0.])
    """

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, a: Array, b: Array) -> Array:
        condition = backends.numbers_in(backends.native(self.condition))
        return self.choose(self.own(condition, bool), a, b)


@register("op", "clip")
class Clip(Op):
    """y = min(max(x, low), high), with derivative 1 at both ends; integers keep their dtype if the limits are integers

    >>> Clip.apply([-1.0, 0.5, 9.0], low=0.0, high=1.0)
    tensor([0. , 0.5, 1. ])
    """

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        self.low = None if low is None else number("low", low)
        self.high = None if high is None else number("high", high)
        self.exact = "iu" if isinstance(self.low, int | None) and isinstance(self.high, int | None) else ""

    def forward(self, x: Array) -> Array:
        low, high = self._binding(x) if x.dtype.kind in "iu" else (self.low, self.high)
        y = x
        if low is not None:
            y = self.xp.maximum(y, low)
        if high is not None:
            y = self.xp.minimum(y, high)
        self.save(x == y)
        return y

    def _binding(self, x: Array) -> tuple[float | None, float | None]:
        """The limits within the range of this integer dtype; limits outside it have no effect, as in NumPy."""
        held = np.iinfo(x.dtype)
        low = None if self.low is None or self.low < held.min else self.low
        high = None if self.high is None or self.high > held.max else self.high
        if (low is not None and low > held.max) or (high is not None and high < held.min):
            raise DtypeError(
                f"{x.dtype} has no values from {self.low} to {self.high}: convert x with .astype(...) first"
            )
        return low, high

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (inside,) = self.saved
        return (self.xp.where(inside, dy, self.xp.zeros((), dy.dtype)),)
