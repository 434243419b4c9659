"""Ops that move elements without changing their values: shape, selection, joining, padding, copies, dtype and backend.

Their gradients move the elements back. All raise :class:`minidl.errors.ShapeError` for incompatible shapes.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BoundsError, DtypeError, ShapeError, brief
from ..op import Op
from ..options import exact_beside, integer, number
from ..plugins import register

if TYPE_CHECKING:
    from ..backends import Backend

__all__ = ["Reshape", "Transpose", "GetItem", "Concatenate", "Stack", "Pad", "BroadcastTo", "Clone", "Cast", "Transfer"]

Array = Any


class _Move(Op):
    """An op without arithmetic."""

    exact = "iub"

    def flops(self, output: tuple[int, ...]) -> int:
        return 0


@register("op", "reshape")
class Reshape(_Move):
    """y = the elements of x, in order, in another shape; one size may be -1, to be inferred

    >>> Reshape.apply([1.0, 2.0, 3.0, 4.0], shape=(2, -1)).shape
    (2, 2)
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        try:
            return x.reshape(self.shape)
        except TypeError as error:
            raise ShapeError(f"the sizes of a shape are integers, got {brief(self.shape)}: divide with //") from error
        except ValueError as error:
            raise ShapeError(
                f"cannot reshape {x.shape} to {self.shape}: the product of the sizes must be {x.size} (-1 is inferred)"
            ) from error

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (dy.reshape(self.x_shape),)


@register("op", "transpose")
class Transpose(_Move):
    """y = x with its axes in another order (reversed by default)

    >>> Transpose.apply([[1.0, 2.0, 3.0]]).shape
    (3, 1)
    """

    def __init__(self, axes: tuple[int, ...] | None = None) -> None:
        self.axes = None if axes is None else tuple(integer("axis", axis) for axis in axes)

    def forward(self, x: Array) -> Array:
        axes = tuple(range(x.ndim))[::-1] if self.axes is None else tuple(_from_0(axis, x.ndim) for axis in self.axes)
        if sorted(axes) != list(range(x.ndim)):
            raise ShapeError(
                f"axes {self.axes} are not a permutation of the {x.ndim} axes of shape {x.shape}: name each axis once"
            )
        self.back = [axes.index(axis) for axis in range(x.ndim)]
        return x.transpose(axes)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (dy.transpose(self.back),)


def _from_0(axis: int, ndim: int) -> int:
    """The axis counted from 0; one that does not exist is returned unchanged."""
    return axis + ndim if -ndim <= axis < 0 else axis


@register("op", "getitem")
class GetItem(_Move):
    """y = x[index], with NumPy's indices: integers, slices, lists, arrays, boolean masks, None and ...

    >>> GetItem.apply([1.0, 2.0, 3.0], index=[2, 0, 0])
    tensor([3., 1., 1.])
    """

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        self.x_shape, self.parts = x.shape, tuple(map(self._on_backend, parts))
        try:
            return x[self.parts]
        except IndexError as error:
            raise BoundsError(f"{error}: the input has the shape {x.shape}") from error
        except TypeError as error:
            raise DtypeError(f"{error}, got {brief(self.index)}: use // and int(...)") from error

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        dx = self.xp.zeros(self.x_shape, dy.dtype)
        if not any(hasattr(part, "dtype") for part in self.parts):
            dx[self.parts] = dy
        else:
            self.xp.add.at(dx, self.parts, dy)  # accumulates where an element is selected twice
        return (dx,)

    def _on_backend(self, part: Any) -> Any:
        """A part of the index; arrays, tensors and lists become arrays of the backend."""
        if part is None or part is Ellipsis or isinstance(part, int | slice):
            return part
        nothing = isinstance(part, list) and not part  # which NumPy would make float64
        array = self.own(part.data if hasattr(part, "requires_grad") else part, np.int64 if nothing else None)
        if array.dtype.kind not in "iub":
            raise DtypeError(
                f"an index is an integer, a slice, or an array of integers or booleans, got {brief(part)}: "
                "use int(...) or .astype(np.int64)"
            )
        return array


@register("op", "concatenate")
class Concatenate(_Move):
    """y = the inputs joined along an existing axis

    >>> Concatenate.apply([1.0], [2.0, 3.0])
    tensor([1., 2., 3.])
    """

    def __init__(self, axis: int = 0) -> None:
        self.axis = integer("axis", axis)

    def forward(self, *xs: Array) -> Array:
        axis = self.axis
        self.sizes = [x.shape[axis] if -x.ndim <= axis < x.ndim else -1 for x in xs]
        rests = {(*x.shape[:axis], *x.shape[axis:][1:]) for x in xs}
        if -1 in self.sizes or len(rests) > 1:
            shapes = ", ".join(str(x.shape) for x in xs)
            raise ShapeError(f"shapes {shapes} must agree in all axes except axis {axis}")
        return self.xp.concatenate(xs, axis=axis)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        ends = [sum(self.sizes[: i + 1]) for i in range(len(self.sizes))]
        before = (slice(None),) * (self.axis % dy.ndim)
        return tuple(dy[(*before, slice(end - n, end))] for n, end in zip(self.sizes, ends, strict=True))


@register("op", "stack")
class Stack(_Move):
    """y = inputs of equal shape joined along a new axis

    >>> Stack.apply([1.0, 2.0], [3.0, 4.0], axis=1).shape
    (2, 2)
    """

    def __init__(self, axis: int = 0) -> None:
        self.axis = integer("axis", axis)

    def forward(self, *xs: Array) -> Array:
        if len({x.shape for x in xs}) > 1:
            raise ShapeError(f"only equal shapes can be stacked, got {', '.join(str(x.shape) for x in xs)}")
        return self.xp.stack(xs, axis=self.axis)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        before = (slice(None),) * (self.axis % dy.ndim)
        return tuple(dy[(*before, i)] for i in range(dy.shape[self.axis]))


@register("op", "pad")
class Pad(_Move):
    """y = x padded with ``value``; ``widths`` has one pair (before, after) per axis

    >>> Pad.apply([1.0, 2.0], widths=((1, 2),))
    tensor([0., 1., 2., 0., 0.])
    """

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> None:
        try:
            self.widths = tuple((integer("a width", before), integer("a width", after)) for before, after in widths)
        except (TypeError, ValueError) as error:  # not pairs
            raise ShapeError(
                f"expected one pair (before, after) per axis, got {widths}: write widths=[(0, 0), (1, 1)] for two axes"
            ) from error
        self.value = number("value", value)
        self.exact = "iub" if self.value == 0 else exact_beside(self.value)

    def forward(self, x: Array) -> Array:
        if len(self.widths) != x.ndim or any(width < 0 for pair in self.widths for width in pair):
            raise ShapeError(f"expected one pair (before, after) >= 0 per axis of {x.shape}, got widths {self.widths}")
        if x.dtype.kind in "iu" and not np.iinfo(x.dtype).min <= self.value <= np.iinfo(x.dtype).max:
            raise DtypeError(f"{x.dtype} cannot hold the padding of {self.value}: convert x with .astype(...) first")
        self.inside = tuple(slice(before, before + n) for (before, _), n in zip(self.widths, x.shape, strict=True))
        return self.xp.pad(x, self.widths, constant_values=self.value) if x.ndim else x.copy()

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (dy[self.inside],)


@register("op", "broadcast_to")
class BroadcastTo(_Move):
    """y = x broadcast to a shape, by NumPy's rules

    >>> BroadcastTo.apply([1.0, 2.0], shape=(3, 2)).shape
    (3, 2)
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        try:
            return self.xp.broadcast_to(x, self.shape)
        except TypeError as error:
            raise ShapeError(f"the sizes of a shape are integers, got {brief(self.shape)}: as in (2, 3)") from error
        except ValueError as error:
            raise ShapeError(f"shape {x.shape} cannot be broadcast to {brief(self.shape)}") from error

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (dy,)  # Op.gradients sums it


@register("op", "clone")
class Clone(_Move):
    """y = a copy of x

    >>> Clone.apply([1.0, 2.0])
    tensor([1., 2.])
    """

    def forward(self, x: Array) -> Array:
        return x.copy()

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (dy,)


@register("op", "cast")
class Cast(_Move):
    """y = x in another dtype; integers and booleans have no gradient

    >>> Cast.apply([1.0, 2.0], dtype="float64").dtype
    dtype('float64')
    """

    keeps_dtype = False

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        self.x_dtype, y = x.dtype, x.astype(self.dtype)
        if y.dtype.kind != "f":
            self.needs_grad = ()
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (dy.astype(self.x_dtype),)


@register("op", "transfer")
class Transfer(_Move):
    """y = x on another backend

    >>> from minidl import backends
    >>> Transfer.apply([1.0, 2.0], backend=backends.get("numpy"))
    tensor([1., 2.])
    """

    def __init__(self, backend: "Backend") -> None:
        self.there = backend

    def forward(self, x: Array) -> Array:
        return self.there.asarray(self.backend.to_numpy(x))

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return (self.backend.asarray(self.there.to_numpy(dy)),)
