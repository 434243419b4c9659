"""Checks of the input of a layer: a tensor, and of floats if the layer has weights."""

from typing import Any

from .. import backends
from ..errors import DtypeError, MinidlError
from ..tensor import Tensor


def require_tensor(x: Any) -> None:
    """Raise :class:`MinidlError` unless x is a tensor or an array; a batch of inputs and targets is neither.

    >>> require_tensor([1.0])
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected a tensor, got list: use md.tensor(...), take the inputs out of a batch ...
    """
    if not isinstance(x, Tensor) and (not hasattr(x, "dtype") or backends.native(x) is not x):
        raise MinidlError(
            f"expected a tensor, got {_kind(x)}: use md.tensor(...), take the inputs out of a batch first, and let the "
            "data set return np.array([...]) for inputs, not a list"
        )


def _kind(x: Any) -> str:
    """The name of the class of x, with its package unless it is a built-in."""
    package = type(x).__module__.partition(".")[0]
    return type(x).__name__ if package == "builtins" else f"{package}.{type(x).__name__}"


def require_floats(x: Any) -> None:
    """Like :func:`require_tensor`; also raises :class:`DtypeError` for raw pixels, which need scaling first."""
    require_tensor(x)
    if x.dtype.kind == "u":
        raise DtypeError(
            f"expected floats of order 1, got {x.dtype}: scale pixels to 0 ... 1 with x.astype(np.float32) / 255"
        )
