"""Checks of data and gradients before they are used, because users may set both by hand.

>>> import minidl as md
>>> x = md.tensor([1, 2])
>>> x.requires_grad = True
Traceback (most recent call last):
minidl.errors.DtypeError: only floating-point tensors have gradients, got int64: use dtype=np.float32
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backends
from .errors import BackendError, DtypeError, GraphError, MinidlError, ShapeError

if TYPE_CHECKING:
    from .tensor import Tensor

Array = Any


def plain_array(data: Any) -> Array:
    """An array of a backend, without a copy; a subclass of np.ndarray becomes a plain array of the same memory.

    Raises :class:`DtypeError` for other objects: the class Tensor does not convert its argument, :func:`minidl.tensor`
    does.

    >>> type(plain_array(np.ones(2).view(np.recarray)))
    <class 'numpy.ndarray'>
    >>> plain_array([1.0])
    Traceback (most recent call last):
    minidl.errors.DtypeError: expected an array, got list: md.tensor(...) takes lists and numbers too
    """
    if backends.is_array(data):
        return data
    if not hasattr(data, "dtype") or hasattr(data, "requires_grad"):
        raise DtypeError(f"expected an array, got {type(data).__name__}: md.tensor(...) takes lists and numbers too")
    return backends.native(data)


def plain_like(seen: Array, dy: Any) -> Array:
    """A gradient as a plain array, if it is a ``np.matrix`` or the like from a user's op; scalars stay scalars.

    >>> type(plain_like(np.ones(2), np.ones(2).view(np.recarray)))
    <class 'numpy.ndarray'>
    """
    return dy if type(dy) is type(seen) else backends.native(dy)


def require_data(tensors: Iterable[Any]) -> None:
    """Raise :class:`MinidlError` for a tensor whose data were set to something else than an array, such as a list.

    Setting the data does not check them, for speed; this is called after an operation failed. Ignores other objects
    than tensors.

    >>> import minidl as md
    >>> x = md.tensor([1.0])
    >>> x.data = md.tensor([2.0])
    >>> x + 1
    Traceback (most recent call last):
    minidl.errors.MinidlError: the data of a tensor of shape (1,) is a Tensor, expected an array: set x.data = ...
    """
    for x in tensors:
        if hasattr(type(x), "requires_grad"):
            _array(x, x.data, "data")


def require_able(x: "Tensor", wanted: bool) -> None:
    """Raise unless ``requires_grad`` may be set to ``wanted``: integers have no gradient, results follow their inputs.

    >>> import minidl as md
    >>> y = md.tensor([1.0], requires_grad=True) * 2
    >>> require_able(y, False)
    Traceback (most recent call last):
    minidl.errors.GraphError: the result of Mul must keep requires_grad=True, or its inputs get no gradient: use ...
    """
    if x.op is not None and not wanted:
        raise GraphError(
            f"the result of {x.op.name} must keep requires_grad=True, or its inputs get no gradient: use y.detach()"
        )
    dtype = getattr(x.data, "dtype", None)
    if wanted and getattr(dtype, "kind", None) != "f":
        raise DtypeError(
            f"only floating-point tensors have gradients, got {dtype or type(x.data).__name__}: use dtype=np.float32"
        )


def checked(tensors: Sequence["Tensor"]) -> None:
    """Check all tensors with a gradient: the data must be an array of floats, and the gradient an array of the same
    backend, dtype and shape. Converts NumPy's scalars, the results of operations on 0-d arrays, back to 0-d arrays.

    Raises :class:`MinidlError` for anything but arrays, :class:`BackendError`, :class:`DtypeError` and
    :class:`ShapeError`, before anything is changed.

    >>> import minidl as md
    >>> w = md.tensor([1.0, 2.0], requires_grad=True)
    >>> w.grad = np.ones(1, np.float32)
    >>> checked([w])
    Traceback (most recent call last):
    minidl.errors.ShapeError: the gradient of a tensor of shape (2,) has shape (1,): set one of the tensor's own shape
    """
    for x in tensors:
        data, grad = x.data, x.grad
        if grad is None:
            continue
        if type(grad) is not type(data) or not backends.is_array(data):
            data, grad = x.data, x.grad = _array(x, data, "data"), _array(x, grad, "gradient")
            if backends.of(data) is not backends.of(grad):
                places = f"{backends.of(grad).name}, the data on {backends.of(data).name}"
                raise BackendError(f"the gradient of {called(x)} is on {places}: move both to one backend")
        if grad.dtype != data.dtype or data.dtype.kind != "f":
            raise DtypeError(
                f"the gradient of {called(x)} is {grad.dtype}, the data are {data.dtype}: both must be the same floats"
            )
        if grad.shape != data.shape:
            raise ShapeError(f"the gradient of {called(x)} has shape {grad.shape}: set one of the tensor's own shape")


def _array(x: "Tensor", value: Any, what: str) -> Array:
    """A value that was set as data or gradient; a NumPy scalar as a 0-d array."""
    if isinstance(value, np.generic):
        return np.asarray(value)
    if not hasattr(value, "dtype") or hasattr(value, "requires_grad") or backends.native(value) is not value:
        raise MinidlError(
            f"the {what} of {called(x)} is a {type(value).__name__}, expected an array: "
            f"set x.{'grad' if what == 'gradient' else what} = y.data, or np.asarray(...)"
        ) from None
    return value


def called(x: "Tensor") -> str:
    """The name of a tensor in errors.

    >>> import minidl as md
    >>> called(md.tensor([1.0, 2.0])), called(md.nn.Dense(1, 1).w)
    ('a tensor of shape (2,)', 'w')
    """
    return x.name or f"a tensor of shape {getattr(x.data, 'shape', ())}"
