"""A stand-in for CuPy on a machine without a GPU: NumPy arrays with CuPy's restrictions.

Operations that work on NumPy, but fail (or silently synchronize) on a GPU, raise an error here:

- an implicit conversion to a NumPy array or a number: ``np.asarray(x)``, ``float(x)``, ``bool(x)``, ``x.item()``;
- an operation that mixes these arrays with NumPy's, or a NumPy function on them;
- a function that CuPy does not have.

Only the backend can copy between host and device, and it counts the copies.

>>> import numpy as np, minidl as md
>>> x = md.tensor([1.0, 2.0]).to("strict")
>>> (x * x).numpy()
array([1., 4.], dtype=float32)
>>> np.asarray(x.data)
Traceback (most recent call last):
TypeError: implicit conversion of a device array to a NumPy array: use backend.to_numpy(x)
"""

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import DeviceBackend

FUNCTIONS = (
    "abs", "add", "arange", "argmax", "argmin", "ascontiguousarray", "broadcast_to", "clip", "concatenate",
    "cos", "divide", "dot", "empty", "empty_like", "equal", "exp", "expand_dims", "eye", "flip", "full", "full_like",
    "greater", "isfinite", "isnan", "less", "linspace", "log", "log1p", "logical_and", "logical_not",
    "logical_or", "matmul", "max", "maximum", "mean", "min", "minimum", "moveaxis", "multiply", "negative",
    "not_equal", "ones", "ones_like", "pad", "power", "prod", "ravel", "repeat", "reshape", "sign", "sin",
    "sqrt", "square", "squeeze", "stack", "subtract", "sum", "swapaxes", "take_along_axis", "tanh",
    "tensordot", "transpose", "var", "where", "zeros", "zeros_like",
)  # fmt: skip
"""NumPy functions that CuPy has with the same meaning."""

CONSTANTS = (
    "inf", "nan", "pi", "newaxis", "float16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool_",
)  # fmt: skip

OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift",
    "rshift", "lt", "le", "gt", "ge", "eq", "ne",
)  # fmt: skip


class StrictArray:
    """A device array: it has a shape and a dtype, but its values cannot be read."""

    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, host: NDArray[Any], base: "StrictArray | None" = None) -> None:
        self._host = host
        owner = host.base if isinstance(host.base, np.ndarray) else None
        self.base = type(self)(owner) if base is None and owner is not None else base
        """For a view, the array that owns the memory, which all its views share, as in CuPy; else None."""

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    flags = property(lambda self: self._host.flags)

    @property
    def _owner(self) -> "StrictArray":
        return self if self.base is None else self.base

    @property
    def T(self) -> "StrictArray":
        return type(self)(self._host.T, self._owner)

    @classmethod
    def compute(cls, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a NumPy function on device arrays; every computation goes through this method.

        All results are device arrays, even 0-d ones. A result computed in place is the argument itself; any other is a
        new array, whose base, for a view, is the array that owns the memory.
        """
        value = cls._run(function, _operand(args), {key: _operand(value) for key, value in options.items()})
        if not isinstance(value, np.ndarray | np.generic):
            return value
        host = np.asarray(value)
        for given in _arrays((*args, *options.values())):
            if given._host is host:
                return given
            if host.base is not None and given._owner._host is host.base:
                return cls(host, given._owner)
        return cls(host)

    @classmethod
    def _run(cls, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return function(*args, **options)

    def __len__(self) -> int:
        return len(self._host)

    def __getitem__(self, index: Any) -> Any:
        return self.compute(operator.getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.compute(operator.setitem, self, index, value)

    def __neg__(self) -> Any:
        return self.compute(operator.neg, self)

    def __abs__(self) -> Any:
        return self.compute(operator.abs, self)

    def __invert__(self) -> Any:
        return self.compute(operator.invert, self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in METHODS:
            raise AttributeError(f"a device array has no '{name}', unless CuPy has it and minidl does not list it")
        return functools.partial(self.compute, getattr(np.ndarray, name), self)

    def __array__(self, *args: Any, **options: Any) -> NDArray[Any]:
        raise TypeError("implicit conversion of a device array to a NumPy array: use backend.to_numpy(x)")

    def _refuse(self, *_args: Any) -> Any:
        raise TypeError(
            "reading a value of a device array waits for the device: keep it there, or use backend.to_numpy(x)"
        )

    __float__ = __int__ = __bool__ = __index__ = item = tolist = _refuse

    def __iter__(self) -> Iterator["StrictArray"]:
        self._refuse()
        return iter(())


METHODS = (
    "all", "any", "argmax", "argmin", "astype", "clip", "copy", "cumsum", "dot", "fill", "max", "mean", "min",
    "prod", "ravel", "repeat", "reshape", "squeeze", "std", "sum", "swapaxes", "take", "transpose", "var",
    "view",
)  # fmt: skip


def _operator(name: str) -> Callable[[StrictArray, Any], Any]:
    function = getattr(np.ndarray, name)
    return lambda self, other: self.compute(function, self, other)


for _name in OPERATORS:
    for _prefix in ("", "r", "i") if _name not in ("lt", "le", "gt", "ge", "eq", "ne") else ("",):
        setattr(StrictArray, f"__{_prefix}{_name}__", _operator(f"__{_prefix}{_name}__"))


def _operand(value: Any) -> Any:
    """An operand: a device array, a Python number or a NumPy scalar, as in CuPy, but not a NumPy array."""
    if isinstance(value, StrictArray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array in an operation on device arrays: copy it to the device first (backend.asarray)")
    if isinstance(value, tuple | list):
        return type(value)(_operand(part) for part in value)
    return value


def _arrays(values: Iterable[Any]) -> Iterator[StrictArray]:
    """The device arrays among the arguments."""
    for value in values:
        if isinstance(value, StrictArray):
            yield value
        elif isinstance(value, tuple | list):
            yield from _arrays(value)


class StrictModule:
    """The array module: NumPy's functions that CuPy also has, for device arrays."""

    add: Any

    def __init__(self, array_type: type[StrictArray] = StrictArray) -> None:
        self.ndarray = array_type
        for name in FUNCTIONS:
            setattr(self, name, self._function(getattr(np, name)))
        for name in CONSTANTS:
            setattr(self, name, getattr(np, name))
        self.add.at = self._function(np.add.at)
        view = self._function(np.lib.stride_tricks.sliding_window_view)
        self.lib = SimpleNamespace(stride_tricks=SimpleNamespace(sliding_window_view=view))

    def _function(self, function: Callable[..., Any]) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            result = self.ndarray.compute(function, *args, **options)
            out = options.get("out")
            return result if out is None else out

        return call

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"'{name}' is not in the list of CuPy's functions: if CuPy has it, add it to FUNCTIONS in "
            "minidl/testing/strict.py"
        )


class StrictBackend(DeviceBackend):
    """The backend of the stand-in; ``to_device`` and ``to_host`` count copies between host and device."""

    name = "strict"
    xp: Any = StrictModule()
    array_type: type[StrictArray] = StrictArray

    def __init__(self) -> None:
        self.to_device = 0
        self.to_host = 0

    def upload(self, host: Any, dtype: Any) -> StrictArray:
        self.to_device += 1
        return self.array_type(np.array(host, dtype))

    def download(self, array: StrictArray) -> NDArray[Any]:
        self.to_host += 1
        return array._host.copy()
