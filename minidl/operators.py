"""The operators and methods of tensors, as in NumPy; each applies an op."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsIndex

import numpy as np

from . import backends, ops
from .checks import require_data
from .errors import CallError, GraphError, MissingNameError
from .habits import Missing, explained, missing_attribute
from .op import Op
from .options import dtype_of
from .ufuncs import ArrayUfunc, refuse

if TYPE_CHECKING:
    from .tensor import Tensor

Axis = int | tuple[int, ...] | None


def _without(sign: str, instead: str) -> Callable[["Operators", Any], NoReturn]:
    """The method of an operator that tensors do not support."""

    def refuse(_self: "Operators", _other: Any) -> NoReturn:
        raise CallError(f"tensors have no {sign}: write {instead}")

    return refuse


class Operators:
    """The base class of Tensor with its arithmetic; names and semantics follow NumPy.

    All raise :class:`minidl.errors.ShapeError` for incompatible shapes.

    >>> import minidl as md
    >>> x = md.tensor([[1.0, 2.0], [3.0, 5.0]])
    >>> (2 * x - 1).sum(axis=0), x.T.shape, x[0].mean().item()
    (tensor([ 6., 12.]), (2, 2), 1.5)
    """

    __slots__ = ()
    _is_state = False
    """Whether modules hold such tensors as their state: parameters and buffers, frozen or not."""
    device = Missing()
    __array_ufunc__ = ArrayUfunc()  # so that numpy_array * tensor calls Tensor.__rmul__

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

    __floordiv__ = __rfloordiv__ = _without("//", "np.floor_divide(x.numpy(), ...), without a gradient")
    __mod__ = __rmod__ = _without("%", "np.mod(x.numpy(), ...), without a gradient")
    __divmod__ = __rdivmod__ = _without("divmod", "np.divmod(x.numpy(), ...), without a gradient")
    __lshift__ = __rlshift__ = _without("<<", "x * 2**n")
    __rshift__ = __rrshift__ = _without(">>", "x / 2**n, or np.right_shift(x.numpy(), ...), without a gradient")

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

    def __ipow__(self, other: Any) -> "Tensor":
        return self._in_place("**", self**other)

    def __imatmul__(self, other: Any) -> "Tensor":
        return self._in_place("@", self @ other)

    def _in_place(self: Any, sign: str, result: "Tensor") -> "Tensor":
        """The new tensor that ``x += 1`` binds to x; an error for a leaf that requires grad, and for a parameter or
        buffer, which would not change."""
        if self.op is None and (self.requires_grad or self._is_state):
            which = "has requires_grad=True" if self.requires_grad else f"is a {type(self).__name__}"
            raise GraphError(
                f"{sign}= would make a new tensor and leave this one, which {which}, unchanged: "
                f"write x.data {sign}= ... to change it after backward(), or y = x {sign} ... to compute from it"
            )
        return result

    # Comparisons and logic: tensors of booleans, which have no gradient

    def __lt__(self, other: Any) -> "Tensor":
        return self._related(ops.Less, other)

    def __le__(self, other: Any) -> "Tensor":
        return self._related(ops.LessEqual, other)

    def __gt__(self, other: Any) -> "Tensor":
        return self._related(ops.Greater, other)

    def __ge__(self, other: Any) -> "Tensor":
        return self._related(ops.GreaterEqual, other)

    def __eq__(self, other: object) -> "Tensor":  # type: ignore[override]
        return self._related(ops.Equal, other)

    def __ne__(self, other: object) -> "Tensor":  # type: ignore[override]
        return self._related(ops.NotEqual, other)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> "Tensor":
        return self._related(ops.And, other)

    def __or__(self, other: Any) -> "Tensor":
        return self._related(ops.Or, other)

    def __xor__(self, other: Any) -> "Tensor":
        return self._related(ops.Xor, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> "Tensor":
        return ops.Not.apply(self)

    def _related(self: Any, relation: type[Op], other: Any) -> "Tensor":
        """The comparison of every element; NotImplemented for operands that are not numeric, such as None."""
        has_numbers = hasattr(other, "dtype") or hasattr(other, "__array__")
        if not has_numbers and not isinstance(other, int | float | list | tuple):
            return NotImplemented  # type: ignore[no-any-return]
        if isinstance(other, float) and self.dtype.kind in "iub":
            other = np.float64(other)  # exactly, as NumPy compares an integer with a float
        return relation.apply(self, other)

    def __pos__(self: Any) -> "Tensor":
        return self  # type: ignore[no-any-return]

    def __neg__(self) -> "Tensor":
        return ops.Neg.apply(self)

    def __abs__(self) -> "Tensor":
        return ops.Abs.apply(self)

    def exp(self) -> "Tensor":
        """e^x, elementwise."""
        return ops.Exp.apply(self)

    def log(self) -> "Tensor":
        """The natural logarithm, elementwise."""
        return ops.Log.apply(self)

    def sqrt(self) -> "Tensor":
        """The square root, elementwise."""
        return ops.Sqrt.apply(self)

    def abs(self) -> "Tensor":
        """The absolute value, elementwise, with derivative 0 at 0."""
        return ops.Abs.apply(self)

    @explained
    def clip(self, low: float | None = None, high: float | None = None) -> "Tensor":
        """The values clipped to the interval ``low ... high``."""
        return ops.Clip.apply(self, low=low, high=high)

    @explained
    def sum(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The sum over one axis, several, or all (None)."""
        return ops.Sum.apply(self, axis=axis, keepdims=keepdims)

    @explained
    def mean(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The mean over one axis, several, or all (None)."""
        return ops.Mean.apply(self, axis=axis, keepdims=keepdims)

    @explained
    def max(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The maximum over one axis, several, or all (None); the first of equal maxima gets the gradient.

        Returns only the values, as in NumPy: :meth:`argmax` returns the indices.
        """
        return ops.Max.apply(self, axis=axis, keepdims=keepdims)

    @explained
    def min(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The minimum over one axis, several, or all (None); the first of equal minima gets the gradient.

        Returns only the values, as in NumPy: :meth:`argmin` returns the indices.
        """
        return ops.Min.apply(self, axis=axis, keepdims=keepdims)

    @explained
    def var(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The variance over one axis, several, or all (None), with ddof 0."""
        return ops.Var.apply(self, axis=axis, keepdims=keepdims)

    @explained
    def argmax(self, axis: int | None = None, keepdims: bool = False) -> "Tensor":
        """The indices of the maxima along an axis, or in the flattened tensor (None), without a gradient.

        Returns the first index if several elements are equal.

        >>> import minidl as md
        >>> scores = md.tensor([[0.1, 0.7, 0.2], [0.5, 0.2, 0.5]])
        >>> scores.argmax(axis=1), scores.argmax().item()
        (tensor([1, 0], dtype=int64), 1)
        """
        return ops.ArgMax.apply(self, axis=axis, keepdims=keepdims)

    @explained
    def argmin(self, axis: int | None = None, keepdims: bool = False) -> "Tensor":
        """The indices of the minima; see :meth:`argmax`."""
        return ops.ArgMin.apply(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any, **wrong: Any) -> "Tensor":
        """The same elements in a new shape; one size may be -1."""
        if wrong:
            raise CallError(f"reshape takes no {', '.join(wrong)}=: write x.reshape(3, 2)")
        return ops.Reshape.apply(self, shape=unpacked(shape))

    def transpose(self, *axes: Any, **wrong: Any) -> "Tensor":
        """The tensor with its axes permuted, by default reversed."""
        if wrong:
            raise CallError(f"transpose takes no {', '.join(wrong)}=: write x.transpose(1, 0), the order of all axes")
        return ops.Transpose.apply(self, axes=unpacked(axes) or None)

    @property
    def T(self) -> "Tensor":
        """The tensor with its axes reversed, such as the transpose of a matrix."""
        return self.transpose()

    def clone(self) -> "Tensor":
        """A copy of the tensor; the gradient flows back to this tensor.

        ``x.copy()`` is the same. For a new leaf, detach first: ``x.detach().clone()``. ``copy.copy(x)`` of a leaf is a
        leaf of the same class: a copy of a parameter is a parameter.

        >>> import minidl as md
        >>> x = md.tensor([1.0, 2.0], requires_grad=True)
        >>> y = x.clone()
        >>> (y * y).sum().backward()
        >>> x.grad, y.data is x.data
        (array([2., 4.], dtype=float32), False)
        """
        return ops.Clone.apply(self)

    copy = clone

    def __copy__(self) -> Self:
        if op := getattr(self, "op", None):  # matplotlib copies the columns of what it plots
            raise GraphError(
                f"the result of {op.name} is not copied or converted to a NumPy array implicitly: use x.numpy() "
                "if no gradient is needed, as to plot it, or x.clone(), which copies inside of the graph"
            )
        return copy.deepcopy(self)  # two leaves must not share an array: a change of one would change the other

    def __reduce_ex__(self: Any, protocol: SupportsIndex) -> Any:
        """Support for the module ``copy`` and pickle: a leaf with its gradient, but no graph."""
        if self.op is not None:
            raise GraphError(
                f"only leaves can be pickled, or copied by the module copy, got the result of {self.op.name}: "
                "x.clone() copies inside of the graph, x.detach() leaves it"
            )
        return super().__reduce_ex__(protocol)

    def __getitem__(self, index: Any) -> "Tensor":
        return ops.GetItem.apply(self, index=index)

    if not TYPE_CHECKING:  # so that a type checker still finds wrong names

        def __getattr__(self, name: str) -> Any:
            if name == "data":
                raise MissingNameError(self, name, "the data of the tensor were deleted: set x.data to another array")
            if hasattr(type(self), name):  # such as shape, if the data are not an array
                require_data([self])
            return missing_attribute(self, name)

    # NumPy

    def __array_function__(self, function: Any, *call: Any) -> NoReturn:
        refuse(function)

    def __array__(self, *options: Any, **more: Any) -> NoReturn:
        raise GraphError(
            "a tensor is not converted to a NumPy array implicitly, because that would break the graph: use x.numpy() "
            "if no gradient is needed, F.stack to make a tensor of several"
        )

    # Conversions

    @explained
    def to(self: Any, backend: str) -> "Tensor":
        """The tensor on another backend; itself if it is already there. Gradients flow back."""
        there = backends.get(backend)
        return self if there is self.backend else ops.Transfer.apply(self, backend=there)

    def astype(self, dtype: Any) -> "Tensor":
        """The tensor converted to another dtype, as in NumPy: values out of range wrap around or become infinite.

        The gradient is converted back to the dtype of this tensor.
        """
        return ops.Cast.apply(self, dtype=dtype_of(dtype))


def unpacked(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of ``f(2, 3)`` or ``f((2, 3))``, which mean the same.

    >>> unpacked((2, 3)) == unpacked(((2, 3),))
    True
    """
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
