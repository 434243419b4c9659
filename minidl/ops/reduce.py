"""Reductions: sum, mean, max, min, var, argmax and argmin.

``axis`` is one axis, several, or None for all; ``keepdims`` keeps the reduced axes with size 1. All raise
:class:`minidl.errors.ShapeError` for an axis that does not exist, and all except sum if there are no elements to
reduce.
"""

from math import prod
from typing import Any

from ..errors import ShapeError
from ..op import Op
from ..options import flag, integer
from ..plugins import register

__all__ = ["Sum", "Mean", "Max", "Min", "Var", "ArgMax", "ArgMin"]

Array = Any
Axis = int | tuple[int, ...] | None


def _integers(axis: Any) -> Any:
    """One or several axes as Python integers."""
    return (
        tuple(integer("axis", one) for one in axis) if isinstance(axis, tuple | list | range) else integer("axis", axis)
    )


class _Reduction(Op):
    """An op that reduces one axis, several, or all (None), with NumPy's ``axis`` and ``keepdims``."""

    def __init__(self, axis: Axis = None, keepdims: bool = False) -> None:
        self.axis = axis if axis is None or type(axis) is int else _integers(axis)
        self.keepdims = keepdims if keepdims is False or keepdims is True else flag("keepdims", keepdims)

    def axes(self, x: Array) -> tuple[int, ...]:
        """The reduced axes, counted from 0."""
        if self.axis is None:
            return tuple(range(x.ndim))
        given = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        if any(not -x.ndim <= axis < x.ndim for axis in given):
            raise ShapeError(
                f"axis {self.axis} is out of bounds for shape {x.shape}: expected {-x.ndim} <= axis <= {x.ndim - 1}"
                if x.ndim
                else f"axis {self.axis} does not exist for a scalar: omit axis"
            )
        axes = tuple(axis % x.ndim for axis in given)
        if len(set(axes)) < len(axes):
            raise ShapeError(f"axis {self.axis} names one axis twice for an array of shape {x.shape}")
        return axes

    def count(self, x: Array) -> int:
        """The number of elements in one reduction; 0 is an error, because their mean or maximum is undefined."""
        count: int = prod(x.shape[axis] for axis in self.axes(x))
        if count == 0:
            raise ShapeError(f"there is nothing to reduce along axis {self.axis} of an array of shape {x.shape}")
        return count

    def kept(self, x: Array) -> tuple[int, ...]:
        """The shape of the result with the reduced axes kept at size 1."""
        axes = self.axes(x)
        return tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))

    def flops(self, output: tuple[int, ...]) -> int:
        return int(self.inputs[0].size) if self.inputs else super().flops(output)


@register("op", "sum")
class Sum(_Reduction):
    """y = sum of x over the axes

    >>> Sum.apply([[1.0, 2.0], [3.0, 5.0]], axis=0)
    tensor([4., 7.])
    """

    exact = "iub"

    def forward(self, x: Array) -> Array:
        self.x_shape, self.kept_shape = x.shape, self.kept(x)
        return self.backend.sum(x, self.axes(x), self.keepdims)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (self.xp.broadcast_to(dy.reshape(self.kept_shape), self.x_shape),)


@register("op", "mean")
class Mean(_Reduction):
    """y = mean of x over the axes

    >>> Mean.apply([[1.0, 2.0], [3.0, 5.0]], axis=1, keepdims=True)
    tensor([[1.5],
            [4. ]])
    """

    def forward(self, x: Array) -> Array:
        self.x_shape, self.kept_shape, self.n = x.shape, self.kept(x), self.count(x)
        return self.backend.mean(x, self.axes(x), self.keepdims)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (self.xp.broadcast_to(dy.reshape(self.kept_shape) / self.n, self.x_shape),)


@register("op", "var")
class Var(_Reduction):
    """y = mean of (x - mean of x)^2 over the axes: the variance with ddof 0

    >>> Var.apply([1.0, 3.0])
    tensor(1.)
    """

    def forward(self, x: Array) -> Array:
        self.kept_shape, self.n = self.kept(x), self.count(x)
        centred = x - self.backend.mean(x, self.axes(x), keepdims=True)
        self.save(centred)
        return self.backend.mean(centred * centred, self.axes(x), self.keepdims)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (centred,) = self.saved
        return (dy.reshape(self.kept_shape) * centred * (2 / self.n),)


class _Extremum(_Reduction):
    """Max and min: the gradient goes to one element only, the first of equal ones."""

    exact = "iub"

    def find(self, lines: Array) -> Array:
        """The index of the extremum along the last axis."""
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        axes, self.kept_shape = self.axes(x), self.kept(x)
        others = [axis for axis in range(x.ndim) if axis not in axes]
        self.order = (*others, *axes)
        moved = x.transpose(self.order)
        self.moved_shape = moved.shape
        lines = moved.reshape((*moved.shape[: len(others)], self.count(x)))  # the reduced axes as one, at the end
        position = self.find(lines)[..., None]
        self.save(position)
        y = self.xp.take_along_axis(lines, position, axis=-1).reshape(self.kept_shape)
        return y if self.keepdims else y.reshape([x.shape[axis] for axis in others])

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        (position,) = self.saved
        xp = self.xp
        length = prod(self.moved_shape[position.ndim - 1 :])
        here = xp.arange(length) == position
        lines = xp.where(here, dy.reshape(position.shape), xp.zeros((), dy.dtype))
        back = [self.order.index(axis) for axis in range(len(self.order))]
        return (lines.reshape(self.moved_shape).transpose(back),)


@register("op", "max")
class Max(_Extremum):
    """y = maximum of x over the axes

    >>> Max.apply([[1.0, 2.0], [3.0, 5.0]], axis=0)
    tensor([3., 5.])
    """

    def find(self, lines: Array) -> Array:
        return lines.argmax(axis=-1)


@register("op", "min")
class Min(_Extremum):
    """y = minimum of x over the axes

    >>> Min.apply([[1.0, 2.0], [3.0, 5.0]], axis=0)
    tensor([1., 2.])
    """

    def find(self, lines: Array) -> Array:
        return lines.argmin(axis=-1)


class _Position(_Reduction):
    """The index of an extremum. It has no gradient, so it is not an ``op`` plugin, whose checks compare gradients."""

    exact = "iub"

    def find(self, x: Array) -> Array:
        """The index of the extremum along the axis, or in the flattened array."""
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        if isinstance(self.axis, tuple):
            raise ShapeError(
                f"expected one axis, or None for the index in the flattened array, got axis {self.axis}: reshape "
                "these axes into one first"
            )
        self.count(x)
        self.needs_grad = ()  # records nothing, even if the input requires a gradient
        position = self.find(x)
        return position.reshape(self.kept(x)) if self.keepdims else position


class ArgMax(_Position):
    """y = index of the maximum of x along an axis, or in flattened x (None); the first of equal ones

    >>> ArgMax.apply([[1.0, 2.0], [5.0, 5.0]], axis=1)
    tensor([1, 0], dtype=int64)
    """

    def find(self, x: Array) -> Array:
        return x.argmax(axis=self.axis)


class ArgMin(_Position):
    """y = index of the minimum of x along an axis, or in flattened x (None); the first of equal ones

    >>> ArgMin.apply([[1.0, 2.0], [5.0, 5.0]], axis=1)
    tensor([0, 0], dtype=int64)
    """

    def find(self, x: Array) -> Array:
        return x.argmin(axis=self.axis)
