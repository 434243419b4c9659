"""What layers take: a tensor, and one of floats where they have weights."""

from typing import Any

from .. import backends
from ..errors import DtypeError, MinidlError
from ..tensor import Tensor


def require_tensor(x: Any) -> None:
    """Raise :class:`MinidlError` for what is neither a tensor nor an array, such as a whole batch.

    >>> require_tensor([1.0])
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected a tensor, got list: use md.tensor(...), and take the inputs out of a batch first
    """
    if not isinstance(x, Tensor) and (not hasattr(x, "dtype") or backends.native(x) is not x):
        raise MinidlError(
            f"expected a tensor, got {_kind(x)}: use md.tensor(...), and take the inputs out of a batch first"
        )


def _kind(x: Any) -> str:
    """The name of a class, with its package where it is none of Python's."""
    package = type(x).__module__.partition(".")[0]
    return type(x).__name__ if package == "builtins" else f"{package}.{type(x).__name__}"


def require_floats(x: Any) -> None:
    """Like :func:`require_tensor`, and :class:`DtypeError` for raw pixels, which no layer with weights takes."""
    require_tensor(x)
    if x.dtype.kind == "u":
        raise DtypeError(
            f"expected floats of about 1, got {x.dtype}: bring pixels to 0 ... 1 with x.astype(np.float32) / 255"
        )
