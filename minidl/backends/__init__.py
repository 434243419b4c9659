"""Backends: array types and the kernels that compute on them."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import plugins
from ..errors import BackendError, DtypeError, MinidlError, ShapeError, brief
from ..options import in_host_order
from . import cupy, numpy
from .base import Backend, DeviceBackend

__all__ = ["Backend", "DeviceBackend", "default", "get", "is_array", "is_writable", "native", "numbers_in", "of"]

default: Backend = numpy.NumPyBackend()
_by_array_type: dict[type, Backend] = {np.ndarray: default}
_GIVEN = {
    "name": (str, "a string"),
    "xp": (object, "a module with NumPy's functions"),
    "array_type": (type, "the class of its arrays"),
}
"""The required attributes of a backend: their types and descriptions."""

plugins.register("backend", "numpy")(numpy.NumPyBackend)
plugins.register("backend", "cupy")(cupy.CuPyBackend)


def get(name: str) -> Backend:
    """The backend with this name, ready to use.

    Raises :class:`minidl.errors.PluginError` for an unknown name, and :class:`BackendError` if the backend cannot be
    used or ``name`` is not a string.

    >>> get("numpy").name
    'numpy'
    """
    if name == default.name:
        return default
    if not isinstance(name, str):
        raise BackendError(
            f"expected the name of a backend, such as 'numpy', got {brief(name)}: astype() converts a dtype"
        )
    return _made(plugins.get("backend", name))


@functools.cache
def _made(plugin: Callable[[], Backend]) -> Backend:
    """One instance per plugin, not per name, because a name may be registered again."""
    backend = plugin()
    for name, (kind, meaning) in _GIVEN.items():
        given = getattr(backend, name, None)
        if given is None or not isinstance(given, kind):
            raise BackendError(
                f"the backend {type(backend).__name__} needs {name}, {meaning}, got {brief(given)}: set it in the "
                "class, or in __init__"
            )
    if backend.array_type is default.array_type:
        raise BackendError(
            f"the backend {type(backend).__name__} cannot use {backend.array_type.__name__} as its array_type, because "
            f"it identifies the arrays of '{default.name}': define an array class for this backend"
        )
    _by_array_type[backend.array_type] = backend
    return backend


def is_array(value: Any) -> bool:
    """Whether ``value`` is an array of a backend in use.

    >>> is_array(np.ones(2)), is_array([1.0, 2.0])
    (True, False)
    """
    return type(value) in _by_array_type


def of(array: Any) -> Backend:
    """The backend that an array belongs to.

    Raises :class:`BackendError` for anything that is not an array of a backend in use.

    >>> of(np.ones(2)).name
    'numpy'
    """
    found = _by_array_type.get(type(array))
    if found is None:
        if isinstance(array, np.generic):
            return default
        if isinstance(array, np.ndarray):
            raise BackendError(
                f"{type(array).__name__} is a subclass of np.ndarray, which may define * or a mask in its own way: "
                "np.asarray(x) makes an array of it, md.tensor(...) a tensor"
            )
        if type(array).__module__.partition(".")[0] == "cupy":
            return get("cupy")
        known = ", ".join(sorted(backend.name for backend in _by_array_type.values()))
        is_tensor = hasattr(array, "requires_grad")
        hint = "x.data is the array of a tensor" if is_tensor else "md.tensor(...) makes a tensor from numbers"
        raise BackendError(f"{type(array).__name__} is not an array of a backend in use ({known}): {hint}")
    return found


def native(value: Any) -> Any:
    """Convert a foreign array, such as one of pandas or PyTorch, or a np.matrix, to a plain NumPy array; return
    anything else unchanged.

    Raises :class:`BackendError` if the conversion fails, and :class:`DtypeError` for a NumPy masked array.

    >>> class Foreign:
    ...     def __array__(self, dtype=None, copy=None):
    ...         return np.array([1.0, 2.0])
    >>> native(Foreign()), native([1.0, 2.0])
    (array([1., 2.]), [1.0, 2.0])
    """
    if type(value) in _by_array_type or not hasattr(value, "__array__"):
        return value
    if isinstance(value, np.generic):
        return value
    if isinstance(value, np.ndarray):
        if hasattr(value, "filled"):
            raise DtypeError("a masked array has missing values: np.ma.filled(x, 0) replaces them by 0")
        return np.asarray(value)
    module = type(value).__module__.partition(".")[0]
    if module == "cupy":
        return value
    try:
        return np.asarray(value)
    except MinidlError:  # from a tensor
        raise
    except Exception as error:  # foreign code may raise anything
        raise BackendError(
            f"{module}.{type(value).__name__} cannot be converted to a NumPy array ({error}): convert it to one first"
        ) from error


def numbers_in(data: Any) -> Any:
    """``data`` as an array in native byte order, without a copy if it is one.

    Raises :class:`DtypeError` unless it holds numbers or booleans, and :class:`ShapeError` for rows of different
    lengths.

    >>> numbers_in([[1, 2], [3, 4]])
    array([[1, 2],
           [3, 4]])
    """
    try:
        array = data if hasattr(data, "dtype") else np.array(data)
    except ValueError as error:  # from NumPy, for ragged nested lists
        raise ShapeError("expected nested lists of equal lengths: pad the short ones, or cut the long ones") from error
    if array.dtype.kind not in "fiub":
        if array.dtype.kind == "O" and all(isinstance(x, int | float) for x in array.flat):
            raise DtypeError(
                "expected numbers of at most 64 bits, got a larger integer: write it as a float, such as 1e30"
            )
        kind = type(data).__name__ if array.dtype.kind == "O" else array.dtype
        raise DtypeError(f"expected numbers or booleans, got {kind}: a tensor holds nothing else, so convert it first")
    return in_host_order(array)


def values_in(operand: Any) -> Any:
    """:func:`numbers_in` an operand or a target. Raises :class:`ShapeError` for a list of arrays.

    A batch of samples that are lists, such as ``[left, top]``, is a list of one array per element: stacked, it would
    have the samples along the second axis.

    >>> values_in([np.ones(3), np.ones(3)])
    Traceback (most recent call last):
    minidl.errors.ShapeError: got a list of arrays, which may be rows or columns: write np.stack(arrays), or np.stack...
    """
    first = operand
    while isinstance(first, list | tuple) and first:
        first = first[0]
    if first is not operand and is_array(first) and first.ndim:
        raise ShapeError(
            f"got a {type(operand).__name__} of arrays, which may be rows or columns: write np.stack(arrays), or "
            "np.stack(arrays, axis=1) for a batch of samples that are lists, or let the data set return np.array([...])"
        )
    return numbers_in(operand)


def unshared(array: Any, source: Any) -> Any:
    """``array``, the result of ``asarray(source)``; a copy if it may share the memory of ``source``, as any view may.

    >>> x = np.ones(2)
    >>> unshared(np.asarray(x), x) is x
    False
    """
    return array.copy() if array is source or getattr(array, "base", None) is not None else array


def is_writable(array: Any) -> bool:
    """Whether an array can be changed in place; scalars and read-only arrays of NumPy cannot.

    >>> is_writable(np.ones(2)), is_writable(np.broadcast_to(1.0, 2)), is_writable(np.float32(1))
    (True, False, False)
    """
    if type(array) is np.ndarray:
        return array.flags.writeable
    return not isinstance(array, np.generic)


def to_host(value: Any) -> Any:
    """Copy an array to a NumPy array; return plain Python values unchanged.

    >>> to_host(3), to_host(np.zeros(2))
    (3, array([0., 0.]))
    """
    if isinstance(value, int | float | bool | str) or value is None:
        return value
    value = native(value)
    return np.array(of(value).to_numpy(value))
