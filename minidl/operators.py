"""What can be written with tensors: NumPy's operators and methods, each the application of an op."""

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import backends, ops
from .errors import GraphError

if TYPE_CHECKING:
    from .tensor import Tensor

Axis = int | tuple[int, ...] | None


class Operators:
    """The base of Tensor with its arithmetic; names and meanings are those of NumPy."""

    __slots__ = ()
    __array_ufunc__ = None  # numpy_array * tensor is then ours to compute, not NumPy's

    # Arithmetic, as in NumPy

    def __add__(self, other: Any) -> "Tensor":
        return ops.Add.apply(self, other)

    def __radd__(self, other: Any) -> "Tensor":
        return ops.Add.apply(other, self)

    def __sub__(self, other: Any) -> "Tensor":
        return ops.Sub.apply(self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return ops.Sub.apply(other, self)

    def __mul__(self, other: Any) -> "Tensor":
        return ops.Mul.apply(self, other)

    def __rmul__(self, other: Any) -> "Tensor":
        return ops.Mul.apply(other, self)

    def __truediv__(self, other: Any) -> "Tensor":
        return ops.Div.apply(self, other)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return ops.Div.apply(other, self)

    def __pow__(self, other: Any) -> "Tensor":
        return ops.Pow.apply(self, other)

    def __rpow__(self, other: Any) -> "Tensor":
        return ops.Pow.apply(other, self)

    def __matmul__(self, other: Any) -> "Tensor":
        return ops.MatMul.apply(self, other)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return ops.MatMul.apply(other, self)

    def __iadd__(self, other: Any) -> "Tensor":
        return self._in_place("+", self + other)

    def __isub__(self, other: Any) -> "Tensor":
        return self._in_place("-", self - other)

    def __imul__(self, other: Any) -> "Tensor":
        return self._in_place("*", self * other)

    def __itruediv__(self, other: Any) -> "Tensor":
        return self._in_place("/", self / other)

    def _in_place(self: Any, sign: str, result: "Tensor") -> "Tensor":
        """The new tensor that ``x += 1`` names x from now on; not for a leaf, which would never hear of it."""
        if self.requires_grad and self.op is None:
            raise GraphError(
                f"{sign}= would leave this tensor, which wants a gradient, as it is and make a new one: "
                f"write x.data {sign}= ... to change it after backward(), or y = x {sign} ... to compute from it"
            )
        return result

    def __neg__(self) -> "Tensor":
        return ops.Neg.apply(self)

    def __abs__(self) -> "Tensor":
        return ops.Abs.apply(self)

    def exp(self) -> "Tensor":
        return ops.Exp.apply(self)

    def log(self) -> "Tensor":
        return ops.Log.apply(self)

    def sqrt(self) -> "Tensor":
        return ops.Sqrt.apply(self)

    def abs(self) -> "Tensor":
        return ops.Abs.apply(self)

    def clip(self, low: float | None = None, high: float | None = None) -> "Tensor":
        return ops.Clip.apply(self, low=low, high=high)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        return ops.Sum.apply(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        return ops.Mean.apply(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        return ops.Max.apply(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        return ops.Min.apply(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        return ops.Var.apply(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> "Tensor":
        return ops.Reshape.apply(self, shape=_unpacked(shape))

    def transpose(self, *axes: Any) -> "Tensor":
        return ops.Transpose.apply(self, axes=_unpacked(axes) or None)

    @property
    def T(self) -> "Tensor":
        return self.transpose()

    def __getitem__(self, index: Any) -> "Tensor":
        return ops.GetItem.apply(self, index=index)

    # NumPy

    def __array_function__(self, function: Any, *call: Any) -> NoReturn:
        raise GraphError(
            f"np.{function.__name__} does not know tensors and would leave the graph: use a method of the tensor or a "
            "function of minidl.nn.functional, or x.numpy() where no gradient is wanted"
        )

    def __array__(self, *options: Any, **more: Any) -> NoReturn:
        raise GraphError(
            "a tensor does not become a NumPy array unasked, as that would leave the graph: use x.numpy() where no "
            "gradient is wanted, F.stack to make a tensor of several"
        )

    # Conversions

    def to(self, backend: str) -> "Tensor":
        """The tensor on another backend, itself if it is there. Gradients travel back."""
        there = backends.get(backend)
        return ops.Transfer.apply(self, backend=there)

    def astype(self, dtype: Any) -> "Tensor":
        """The tensor in another dtype; the gradient comes back in this one."""
        return ops.Cast.apply(self, dtype=np.dtype(dtype))


def _unpacked(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
