"""A stand-in for CuPy on a machine without a GPU: NumPy arrays behind CuPy's fences.

What slips through on NumPy and fails (or silently waits for the device) on a GPU fails here:

- an implicit conversion to a NumPy array or a number: ``np.asarray(x)``, ``float(x)``, ``bool(x)``, ``x.item()``;
- an operation that mixes these arrays with NumPy's, or a NumPy function on them;
- a function that CuPy does not have.

Copies between host and device are allowed through the backend alone, which counts them.

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
"""Functions of NumPy that CuPy has with the same meaning."""

CONSTANTS = (
    "inf", "nan", "pi", "newaxis", "float16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool_",
)  # fmt: skip

OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift",
    "rshift", "lt", "le", "gt", "ge", "eq", "ne",
)  # fmt: skip


class StrictArray:
    """A device array: knows its shape and dtype, and gives its values to nobody."""

    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, host: NDArray[Any], base: "StrictArray | None" = None) -> None:
        self._host = host
        owner = host.base if isinstance(host.base, np.ndarray) else None
        self.base = type(self)(owner) if base is None and owner is not None else base
        """The array that owns the memory, if this is a view: the same for all its views, as in CuPy."""

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
        """A function of NumPy on device arrays: all that is computed passes here.

        Every array that comes out is a device array, results without axes too: one of those that went in where it is
        changed in place, else a new one, which knows as its base the one that it is a view of.
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
            raise AttributeError(f"a device array has no '{name}', or minidl does not know that CuPy's has")
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
    """What goes in: device arrays, Python numbers and NumPy scalars, as in CuPy; but no NumPy arrays."""
    if isinstance(value, StrictArray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array meets a device array: copy it to the device first (backend.asarray)")
    if isinstance(value, tuple | list):
        return type(value)(_operand(part) for part in value)
    return value


def _arrays(values: Iterable[Any]) -> Iterator[StrictArray]:
    """The device arrays among what goes in."""
    for value in values:
        if isinstance(value, StrictArray):
            yield value
        elif isinstance(value, tuple | list):
            yield from _arrays(value)


class StrictModule:
    """The array module: NumPy's functions on device arrays, as far as CuPy has them."""

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
            f"minidl does not know that CuPy has '{name}': if it does, add it to FUNCTIONS in minidl/testing/strict.py"
        )


class StrictBackend(DeviceBackend):
    """The backend of the stand-in; ``to_device`` and ``to_host`` count the copies across."""

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
