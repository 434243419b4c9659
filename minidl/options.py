"""Options are plain Python numbers, whatever kind of number was given, in the range that they must have.

A scalar of NumPy is no plain number: it is as precise as it says, where a Python number takes the dtype beside it.
"""

from typing import Any

from .errors import MinidlError


def plain(value: Any) -> Any:
    """The Python number of a scalar, an array or a tensor without axes; anything else as it is.

    >>> import numpy as np
    >>> plain(np.float64(0.5)), plain(np.array(2)), plain("same")
    (0.5, 2, 'same')
    """
    return value.item() if getattr(value, "ndim", None) == 0 else value


def number(
    name: str, value: Any, least: float | None = None, below: float | None = None, above: float | None = None
) -> float:
    """The value of an option as a Python number; :class:`MinidlError` unless least <= value < below, or above < value.

    >>> number("momentum", 1.5, least=0, below=1)
    Traceback (most recent call last):
    minidl.errors.MinidlError: momentum must be a number >= 0 and < 1, got 1.5
    """
    given, value = value, plain(value)
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    fits = fits and (least is None or value >= least) and (above is None or value > above)
    if not (fits and (below is None or value < below)):
        limits = [f"{sign} {limit:g}" for sign, limit in ((">=", least), (">", above), ("<", below)) if limit is not None]
        raise MinidlError(f"{name} must be a number{' ' * bool(limits)}{' and '.join(limits)}, got {given!r}")
    plain_number: float = value
    return plain_number


def whole(name: str, value: Any, least: int | None = None) -> int:
    """The value of an option as a Python int; :class:`MinidlError` for anything else, and below ``least``.

    >>> whole("axis", 1.0)
    Traceback (most recent call last):
    minidl.errors.MinidlError: axis must be a whole number, got 1.0
    """
    given, value = value, plain(value)
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        limit = "" if least is None else f" >= {least}"
        raise MinidlError(f"{name} must be a whole number{limit}, got {given!r}")
    return value


def exact_beside(*numbers: Any) -> str:
    """The kinds of whole numbers that numbers beside them leave whole: see :attr:`minidl.op.Op.exact`.

    >>> exact_beside(0, 9), exact_beside(-1), exact_beside(0.5)
    ('iu', 'i', '')
    """
    if not all(isinstance(value, int) for value in numbers):
        return ""
    return "iu" if min(numbers, default=0) >= 0 else "i"
