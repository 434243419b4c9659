"""Options: any kind of number is converted to a plain Python number, and its range is checked.

NumPy's scalars are converted because they have a dtype, which takes part in type promotion; Python numbers have none.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .errors import DtypeError, GraphError, MinidlError, brief


def plain(value: Any) -> Any:
    """The Python number of a scalar or a 0-d array or tensor; anything else unchanged.

    >>> import numpy as np
    >>> plain(np.float64(0.5)), plain(np.array(2)), plain("same")
    (0.5, 2, 'same')

    Raises :class:`GraphError` for a tensor that requires a gradient, because an option has none.
    """
    if getattr(value, "ndim", None) != 0:
        return value
    if getattr(value, "requires_grad", False):
        raise GraphError(
            "an option is a number without a gradient, got a tensor with requires_grad=True: compute with tensors "
            "instead, such as F.maximum(x, low) for clip or F.where(x > 0, x, slope * x) for leaky_relu, or pass "
            "x.item()"
        )
    return value.item()


def dtype_of(value: Any) -> np.dtype[Any]:
    """The dtype that ``value`` specifies; :class:`DtypeError` if it specifies none, or one that is not numeric.

    >>> dtype_of("float33")
    Traceback (most recent call last):
    minidl.errors.DtypeError: expected a dtype, such as np.float32, got 'float33'
    """
    try:
        found: np.dtype[Any] = np.dtype(value)
    except TypeError as error:
        raise DtypeError(f"expected a dtype, such as np.float32, got {brief(value)}") from error
    if found.kind not in "fiub":
        raise DtypeError(f"expected a dtype of numbers or booleans, such as np.float32, got {found}")
    return host_order(found)


def host_order(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in native byte order, the only one in which minidl computes.

    >>> host_order(np.dtype(">f4")) is np.dtype(np.float32)
    True
    """
    return np.dtype(dtype.type)


def in_host_order(array: Any) -> Any:
    """The array, or a copy in native byte order if it has another.

    >>> in_host_order(np.ones(2, ">f4")).dtype
    dtype('float32')
    """
    return array if array.dtype.isnative else array.astype(host_order(array.dtype))


def require_room(host: NDArray[Any], dtype: np.dtype[Any], name: str = "") -> None:
    """Raise :class:`DtypeError` for values out of the range of a dtype, which would wrap around or become infinite.

    Fractions may be truncated, and floats rounded.

    >>> require_room(np.array([1, 300]), np.dtype(np.uint8))
    Traceback (most recent call last):
    minidl.errors.DtypeError: 300 is out of range for uint8, 0 ... 255: use a wider dtype
    """
    if host.size == 0 or dtype.kind == "b" or np.can_cast(host.dtype, dtype):
        return
    if dtype.kind == "f":
        largest = float(np.finfo(dtype).max)
        with np.errstate(over="ignore"):
            odd = host[np.isinf(host.astype(dtype)) & np.isfinite(host)]
        limits, found = f"{-largest:g} ... {largest:g}", odd[:1].tolist()
    else:
        info = np.iinfo(dtype)
        ends = host.min().item(), host.max().item()  # as Python numbers, which are compared exactly
        limits, found = f"{info.min} ... {info.max}", [end for end in ends if not info.min - 1 < end < info.max + 1]
    if found:
        raise DtypeError(
            f"{found[0]}{f' in {name}' * bool(name)} is out of range for {dtype}, {limits}: use a wider dtype"
        )


SIGNS = {">=": operator.ge, ">": operator.gt, "<": operator.lt, "<=": operator.le}


def number(name: str, value: Any, *limits: str) -> float:
    """The value of an option as a Python number; :class:`MinidlError` for anything else, and outside the limits.

    If there are limits, it must also be finite.

    >>> number("momentum", 1.5, ">= 0", "< 1")
    Traceback (most recent call last):
    minidl.errors.MinidlError: momentum must be a number >= 0 and < 1, got 1.5
    """
    plain_value: float = plain(value)
    is_number = isinstance(plain_value, int | float) and not isinstance(plain_value, bool)
    limited = [*map(str.split, limits), *([("<", "inf")] if limits else [])]
    if not is_number or not all(SIGNS[sign](plain_value, float(end)) for sign, end in limited):
        raise MinidlError(f"{name} must be a number{' ' * bool(limits)}{' and '.join(limits)}, got {brief(value)}")
    return plain_value


def finite(name: str, value: Any) -> float:
    """The value of an option as a finite Python number; :class:`MinidlError` for anything else.

    >>> finite("slope", float("nan"))
    Traceback (most recent call last):
    minidl.errors.MinidlError: slope must be a finite number, got nan
    """
    plain_value = number(name, value)
    if not math.isfinite(plain_value):
        raise MinidlError(f"{name} must be a finite number, got {brief(value)}")
    return plain_value


def integer(name: str, value: Any, least: int | None = None) -> int:
    """The value of an option as a Python int; :class:`MinidlError` for anything else, or below ``least``.

    >>> integer("axis", 1.0)
    Traceback (most recent call last):
    minidl.errors.MinidlError: axis must be an integer, got 1.0
    """
    plain_value: int = plain(value)
    is_integer = isinstance(plain_value, int) and not isinstance(plain_value, bool)
    if not is_integer or (least is not None and plain_value < least):
        limit = "" if least is None else f" >= {least}"
        raise MinidlError(f"{name} must be an integer{limit}, got {brief(value)}")
    return plain_value


def flag(name: str, value: Any) -> bool:
    """The value of a boolean option; :class:`MinidlError` for anything but True and False.

    >>> flag("nesterov", 0.9)
    Traceback (most recent call last):
    minidl.errors.MinidlError: nesterov must be True or False, got 0.9
    """
    plain_value = plain(value)
    if not isinstance(plain_value, int) or plain_value not in (0, 1):
        raise MinidlError(f"{name} must be True or False, got {brief(value)}")
    return bool(plain_value)


def option(check: Callable[..., Any], *limits: Any, beside: Callable[[dict[str, Any]], None] | None = None) -> Any:
    """An attribute that is checked whenever it is set, by the constructor and later: see :class:`Option`.

    >>> class Ball:
    ...     bounce: float = option(number, ">= 0", "<= 1")
    >>> ball = Ball()
    >>> ball.bounce = 2
    Traceback (most recent call last):
    minidl.errors.MinidlError: bounce must be a number >= 0 and <= 1, got 2
    """
    return Option(check, limits, beside)


class Option:
    """The descriptor that :func:`option` makes.

    ``check(name, value, *limits)`` returns the value to store, or raises. ``beside(options)`` gets all attributes of
    the object with the new value, and may raise an error for values that conflict. There is no ``__get__``, so reading
    is as fast as for any instance attribute. The price: reading an option that is not set yet, such as before
    ``super().__init__()``, returns this descriptor instead of raising an error. Its repr says so, and computing with
    it raises :class:`MinidlError`.

    >>> class Ball:
    ...     bounce: float = option(number, ">= 0", "<= 1")
    >>> Ball().bounce
    <the option bounce, not set yet>
    >>> Ball().bounce * 2
    Traceback (most recent call last):
    minidl.errors.MinidlError: bounce is not set yet: call super().__init__() before using it
    """

    def __init__(self, check: Callable[..., Any], limits: Any, beside: Callable[[dict[str, Any]], None] | None) -> None:
        self.check, self.limits, self.beside = check, limits, beside

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<the option {self.name}, not set yet>"

    def _refuse(self, *_others: Any) -> NoReturn:
        raise MinidlError(f"{self.name} is not set yet: call super().__init__() before using it")

    __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = _refuse
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __neg__ = __abs__ = __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __getitem__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        mine = vars(self).get("name", "the option")
        raise AttributeError(f"{mine} is not set yet and has no '{name}': call super().__init__() before using it")

    def __set__(self, thing: Any, value: Any) -> None:
        if isinstance(value, Option):
            value._refuse()
        checked = self.check(self.name, value, *self.limits)
        if self.beside is not None:
            self.beside({**vars(thing), self.name: checked})
        vars(thing)[self.name] = checked


def optional(check: Callable[..., Any]) -> Callable[..., Any]:
    """The same check, but None is allowed.

    >>> print(optional(integer)("ignore_index", None), optional(integer)("ignore_index", np.int64(3)))
    None 3
    """
    return lambda name, value, *limits: None if value is None else check(name, value, *limits)


def exact_beside(*numbers: Any) -> str:
    """The kinds of integer tensors that stay integers when combined with ``numbers``; see :attr:`minidl.op.Op.exact`.

    >>> exact_beside(0, 9), exact_beside(-1), exact_beside(0.5)
    ('iu', 'i', '')
    """
    if not all(isinstance(value, int) for value in numbers):
        return ""
    return "iu" if min(numbers, default=0) >= 0 else "i"
