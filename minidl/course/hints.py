"""Hints for a wrong answer, from its values and its type alone."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tensor import Tensor
from .compare import same

Array = NDArray[Any]

MANY = 4
"""The largest array that a hint shows number by number."""


def difference(got: Array, expected: Array) -> str:
    """A hint for a wrong answer, from its values alone.

    >>> difference(np.array([2.0, 4.0]), np.array([1.0, 2.0]))
    'all values are 2 times what they should be.'
    """
    if got.shape != expected.shape:
        if any(same(got, expected.transpose(order)) for order in permutations(range(expected.ndim))):
            return f"the values are right, but their axes are in the wrong order: expected shape {expected.shape}."
        if got.size == expected.size and same(got.reshape(expected.shape), expected):
            return f"the values are right, but their shape is {got.shape}: expected {expected.shape}."
        return f"the answer has shape {got.shape}: expected {expected.shape}."
    if not np.isfinite(got).all():
        return "the answer contains NaN or infinity: is something divided by 0?"
    if same(got, -expected):
        return "the sign is wrong everywhere."
    if got.size == 1:
        return f"expected {expected.item():.6g}, got {got.item():.6g}."
    factor = float((got * expected).sum() / max((expected * expected).sum(), 1e-30))
    if factor and same(got, factor * expected):
        return f"all values are {factor:.4g} times what they should be."
    worst = tuple(int(i) for i in np.unravel_index(np.abs(got - expected).argmax(), got.shape))
    return f"expected {expected[worst]:.6g} at index {worst}, got {got[worst]:.6g}."


def first_difference(answer: Any, wanted: Any) -> str:
    """:func:`difference` of the first part that is wrong of a tuple of arrays, with its number; "" for other answers.

    >>> first_difference((np.zeros(2), np.array([1.0, 4.0])), (np.zeros(2), np.array([1.0, 2.0])))
    'expected 2 at index (1,), got 4, in element 1.'
    >>> first_difference((np.zeros(2), 5.0), (np.zeros(2), np.array([1.0, 2.0])))
    'the answer has shape (): expected (2,), in element 1.'
    """
    if not isinstance(wanted, tuple) or not isinstance(answer, list | tuple) or len(answer) != len(wanted):
        return ""
    pairs = [(np.asarray(got) if is_number(got) else got, part) for got, part in zip(answer, wanted, strict=True)]
    if not all(isinstance(part, np.ndarray) for pair in pairs for part in pair):
        return ""
    return _first(f"{difference(*pair)[:-1]}, in element {i}." for i, pair in enumerate(pairs) if not same(*pair))


def misfit(answer: Any, wanted: Any, name: str = "this") -> str:
    """A hint for an answer with the right values, but a type with which the notebook cannot continue; else "".

    ``wanted`` is the solution's answer. A list or an array may stand for a tuple, and the other way round, because all
    can be unpacked and indexed.

    >>> misfit([2.0], 2.0)
    'the value is right, but this is a list: the notebook needs a plain number, add [0].'
    >>> misfit(5.0, 5)
    'the value is right, but this is a float: the notebook needs a whole number, use // or int(...).'
    >>> misfit((np.float32(1), 2), (1.0, 2))
    ''
    >>> misfit((2.0, np.zeros((1, 3))), (2.0, np.zeros(3)))
    'the values are right, but element 1 is an array of shape (1, 3): the notebook needs shape (3,).'
    """
    kind = f"array of shape {answer.shape}" if isinstance(answer, np.ndarray) else type(answer).__name__
    it_is = f"{name} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}: the notebook needs"
    if isinstance(wanted, list | tuple):
        if not isinstance(answer, list | tuple | np.ndarray) or len(answer) != len(wanted):
            return f"the values are right, but {it_is} a {type(wanted).__name__} of {len(wanted)}."
        return _first(misfit(*pair, f"element {i}") for i, pair in enumerate(zip(answer, wanted, strict=True)))
    if isinstance(wanted, Mapping):
        if not isinstance(answer, dict):
            return f"the values are right, but {it_is} a dictionary."
        one = next(iter(wanted.values()), None)
        return _first(misfit(value, one, "one of its values") for value in answer.values())
    if isinstance(wanted, np.ndarray):
        if isinstance(answer, np.ndarray) and not _fits(answer.dtype.kind, wanted.dtype.kind):
            needed = "integers, add .astype(int)" if wanted.dtype.kind in "iu" else "real numbers"
            return f"the values are right, but {name} is an array of {answer.dtype}: the notebook needs {needed}."
        if isinstance(answer, np.ndarray) and answer.shape != wanted.shape:  # in a tuple, whose numbers are in one row
            return f"the values are right, but {it_is} shape {wanted.shape}."
        how = "add .numpy()" if isinstance(answer, Tensor) else "np.array(...)"
        return "" if isinstance(answer, np.ndarray) else f"the values are right, but {it_is} a NumPy array, {how}."
    if is_number(wanted) and not is_number(answer):
        single = isinstance(answer, np.ndarray | Tensor) and answer.size == 1
        how = "add .item()" if single else "add [0]" if isinstance(answer, list | tuple) else "float(...)"
        return f"the value is right, but {it_is} a plain number, {how}."
    if _is_whole(wanted) and not _is_whole(answer):
        return f"the value is right, but {it_is} a whole number, use // or int(...)."
    return ""


def _fits(kind: str, wanted: str) -> bool:
    return kind in ("biu" if wanted in "iu" else "biuf")


def _first(hints: Any) -> str:
    return next(filter(None, hints), "")


def is_number(value: Any) -> bool:
    """Whether ``value`` is a Python number, a NumPy scalar or a 0-d array.

    >>> is_number(np.float32(1)), is_number([1.0])
    (True, False)
    """
    is_array = isinstance(value, np.ndarray)
    return value.shape == () and value.dtype.kind in "biuf" if is_array else isinstance(value, Real | np.bool_)


def _is_whole(value: Any) -> bool:
    is_array = isinstance(value, np.ndarray)
    return value.dtype.kind in "biu" if is_array else isinstance(value, Integral | np.bool_)


def shown(value: Any) -> str:
    """An argument as a hint shows it, after its name.

    >>> shown(2.0), shown(np.ones(2)), shown(np.ones((8, 8))), shown([np.ones((8, 8))])
    ('=2.0', '=[1.0, 1.0]', ' of shape (8, 8)', ', a list of 1')
    """
    if isinstance(value, np.ndarray):
        return f"={value.tolist()}" if value.size <= MANY else f" of shape {value.shape}"
    if isinstance(value, list) and any(isinstance(part, np.ndarray) for part in value):
        return f", a list of {len(value)}"
    if callable(value):
        return f"={value.__name__}" if hasattr(value, "__name__") else ""
    return f"={value}" if isinstance(value, int | float | str | Sequence) else ""
