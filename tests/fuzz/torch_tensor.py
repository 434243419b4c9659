"""A PyTorch tensor with the methods that programs of the fuzzer use: NumPy's, and minidl's rule for integers.

Intended differences of minidl are translated here, each with the name of its contract (see contracts.py).
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch

Axis = int | tuple[int, ...] | None
nan = float("nan")


class Tensor(torch.Tensor):
    """A PyTorch tensor with the methods of minidl, which behave as in NumPy."""

    def max(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return _first(self, axis, keepdims, largest=True)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return _first(self, axis, keepdims, largest=False)

    def var(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return torch.Tensor.var(floats(self)[0], axis, correction=0, keepdim=keepdims)  # ddof 0

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return torch.Tensor.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return torch.Tensor.argmin(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return torch.Tensor.mean(floats(self)[0], axis, keepdims)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Any:
        y = torch.Tensor.sum(self, axis, keepdims)
        return y.to(torch.uint64) if self.dtype in (torch.uint8, torch.uint64) else y  # unsigned

    def __abs__(self) -> Any:
        return absolute(self) if self.is_floating_point() else torch.Tensor.abs(self)

    def __pow__(self, power: Any) -> Any:
        x, p = floats(self, power)
        return x.sqrt() if isinstance(p, float) and p == 0.5 else torch.Tensor.__pow__(x, p)  # roots

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, list) for part in parts):  # indices
            parts = tuple([part] if type(part) is int else part for part in parts)
        return torch.Tensor.__getitem__(self, parts)

    def transpose(self, *axes: int) -> Any:
        return self.permute(axes or tuple(reversed(range(self.ndim))))

    def astype(self, dtype: str) -> Any:
        return self.to(getattr(torch, dtype), copy=True)

    def clip(self, low: Any, high: Any) -> Any:
        return floats(self)[0].clamp(low, high)  # the bounds are not integers


def _operator(name: str, exact: str = "") -> Any:
    """An operator that keeps integers where minidl's op is exact for them."""

    def method(self: Any, *others: Any) -> Any:
        return getattr(torch.Tensor, name)(*promoted(exact, self, *others))

    return method


def _relation(name: str) -> Any:
    def method(self: Any, other: Any) -> Any:
        return getattr(torch.Tensor, name)(self.long() if self.dtype == torch.uint8 else self, other)  # bytes

    return method


for _name in ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__neg__"):
    setattr(Tensor, _name, _operator(_name, "i"))
for _name in ("__and__", "__or__", "__xor__"):
    setattr(Tensor, _name, _operator(_name, "iub"))  # axes
for _name in ("__truediv__", "__rtruediv__", "__rpow__", "__matmul__", "exp", "log", "sqrt"):
    setattr(Tensor, _name, _operator(_name))
for _name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"):
    setattr(Tensor, _name, _relation(_name))


def promoted(exact: str, *xs: Any) -> Sequence[Any]:
    """Integers in the dtype of a float operand; without one, as float32 unless an op is exact for their kind."""
    tensors = [x for x in xs if isinstance(x, torch.Tensor)]
    if any(x.is_floating_point() for x in tensors):
        return [*_alike(*xs)]
    kinds = [np.dtype(str(x.dtype)[6:]) if isinstance(x, torch.Tensor) else x for x in xs]
    common = np.result_type(np.bool_, *kinds)  # a Python integer takes the dtype of the integers beside it
    dtype = getattr(torch, str(common)) if common.kind in exact else torch.float32  # whole
    return [x.to(dtype) if isinstance(x, torch.Tensor) else x for x in xs]


def _first(x: Any, axis: Axis, keepdims: bool, largest: bool) -> Any:
    """An extremum whose gradient goes to the first of equal elements."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if any(not -x.ndim <= a < x.ndim for a in axes):
        raise IndexError(f"axis {axis}")
    inside = [a % x.ndim for a in axes]
    others = [a for a in range(x.ndim) if a not in inside]
    length = prod(x.shape[a] for a in inside)
    lines = x.permute([*others, *inside]).reshape([*(x.shape[a] for a in others), length])
    find = torch.Tensor.argmax if largest else torch.Tensor.argmin
    y = lines.gather(-1, find(lines.byte() if x.dtype == torch.bool else lines, -1, True))[..., 0]  # ties
    return y.reshape([1 if a in inside else size for a, size in enumerate(x.shape)]) if keepdims else y


def _alike(*xs: Any) -> Sequence[Any]:
    """Integers in the dtype of the other float operand."""
    dtypes = [x.dtype for x in xs if isinstance(x, torch.Tensor) and x.is_floating_point()]
    return [
        x if not isinstance(x, torch.Tensor) or x.is_floating_point() or not dtypes else x.to(dtypes[0]) for x in xs
    ]


def floats(*xs: Any) -> Sequence[Any]:
    """Integers as floats."""
    return promoted("", *xs)


def absolute(x: Any) -> Any:
    """The absolute value of floats."""
    return torch.Tensor.abs(x) * torch.where(x != x, nan, 1.0).to(x.dtype)  # nan
