"""Exercises, and how an answer is checked.

An exercise recognises wrong answers by reproducing them: it lists the usual mistakes, each a hint with a function that
makes the mistake. If the reader's function gives the same values as one of these, or raises the same error, that hint
is shown.
"""

import copy
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tensor import Tensor

Array = NDArray[Any]
Function = Callable[..., Any]

TOLERANCE = 1e-4
NOTHING = "it returns nothing: every branch has to end in a return."


class NotSolved(Exception):  # noqa: N818 - a blank, not an error
    """Raised by a blank that is not filled in yet; returning None or ``...`` means the same."""


@dataclass(frozen=True)
class Exercise:
    """A function that the reader has to write; call it with the reader's attempt.

    ``solution`` is minidl's own version. ``examples`` are tuples of arguments, from easy to hard, each adding one
    difficulty: the first that fails shows what is wrong. ``mistakes`` maps hints to the wrong answers they explain.
    ``numbers`` converts the return value to an array, if it is not one; ``form`` then says in words what it has to be.
    """

    solution: Function
    examples: Sequence[tuple[Any, ...]]
    mistakes: Mapping[str, Function] = field(default_factory=dict)
    numbers: Callable[..., Any] = lambda answer, *example: answer
    form: str = ""

    @property
    def name(self) -> str:
        """The name of the reader's function."""
        return self.solution.__name__

    def __call__(self, attempt: Function) -> Function:
        """Return the attempt if it is right, else the solution, and print which, with a hint."""
        problem = next(filter(None, (self._problem(attempt, example) for example in self.examples)), "")
        if problem and self._is_blank(attempt):
            print(f"{self.name}: not solved yet, it returns nothing. The notebook continues with minidl's own version.")
            return self.solution
        if problem:
            print(f"{self.name}: not right yet, {problem}\n    The notebook continues with minidl's own version.")
            return self.solution
        print(f"{self.name}: right.")
        return attempt

    def _is_blank(self, attempt: Function) -> bool:
        """Whether an attempt returns nothing for any example."""
        return all(self._outcome(attempt, copy.deepcopy(example))[1] is NOTHING for example in self.examples)

    def _is_right_but_in_form(self, attempt: Function) -> bool:
        """Whether an attempt gives the right value for every example, if only in a list or an array."""
        pairs = (
            (self._outcome(f, copy.deepcopy(example))[1] for f in (attempt, self.solution)) for example in self.examples
        )
        return all(not isinstance(got, str) and same(np.ravel(got), np.ravel(expected)) for got, expected in pairs)

    def _problem(self, attempt: Function, example: tuple[Any, ...]) -> str:
        """The example on which the attempt fails, with a hint; "" if it is right."""
        given = copy.deepcopy(example)

        def outcome(function: Function) -> tuple[Any, Array | str]:
            # Pass a copy, because a function may have to change its arguments, as a training step does.
            return self._outcome(function, copy.deepcopy(example))

        answer, got = self._outcome(attempt, given)
        wanted, expected = outcome(self.solution)
        if any(isinstance(old, np.ndarray) and (old != new).any() for old, new in zip(example, given, strict=True)):
            hint = "it changes its arguments. Work on a copy, or build a new array."
        elif not _alike(got, expected):
            right = _is_number(wanted) and self._is_right_but_in_form(
                attempt
            )  # in an array, which may look like a mistake
            mistakes = {} if right else self.mistakes
            known = (hint for hint, wrong in mistakes.items() if _alike(got, outcome(wrong)[1]))
            hint = next(known, "") or (got if isinstance(got, str) else "")
            if not hint and _is_number(wanted) and same(np.ravel(got), np.ravel(expected)):  # for example in a list
                hint = misfit(answer, wanted)
            hint = hint or difference(np.asarray(got), np.asarray(expected))
        else:
            hint = misfit(answer, wanted)
        if not hint:
            return ""
        parameters = inspect.signature(self.solution).parameters
        call = ", ".join(f"{name}{_shown(value)}" for name, value in zip(parameters, example, strict=True))
        return f"for {call}.\n    Hint: {hint}"

    def _outcome(self, function: Function, example: tuple[Any, ...]) -> tuple[Any, Array | str]:
        """The answer of a function, and its values as an array; or, in words, what went wrong."""
        try:
            with np.errstate(all="ignore"):  # a hint is more helpful than a warning
                answer = function(*example)
        except NotSolved:
            return None, NOTHING
        except Exception as error:  # a reader's function may raise anything
            return None, re.sub(r" at 0x[0-9a-f]+", "", f"it stops with {type(error).__name__}: {error}")
        if answer is None or answer is ...:
            return None, NOTHING
        try:
            plain = answer.numpy() if isinstance(answer, Tensor) else answer
            return answer, _array(self.numbers(plain, *example))
        except Exception:  # it may return anything, too
            form = f": expected {self.form}" if self.form else ""
            return answer, f"it returns {type(answer).__name__}, which cannot be read as the answer{form}."


def _alike(one: Array | str, other: Array | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return same(one, other)


def same(one: Array, other: Array) -> bool:
    """Whether two arrays have the same shape and, up to rounding, the same values, including NaN."""
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))


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
    factor = float((got * expected).sum() / max((expected * expected).sum(), 1e-30))
    if factor and same(got, factor * expected):
        return f"all values are {factor:.4g} times what they should be."
    worst = tuple(int(i) for i in np.unravel_index(np.abs(got - expected).argmax(), got.shape))
    place = f" at index {worst}" if worst else ""
    return f"expected {expected[worst]:.6g}{place}, got {got[worst]:.6g}."


def misfit(answer: Any, wanted: Any, name: str = "this") -> str:
    """A hint for an answer with the right values, but a wrong type; "" if the notebook can use it.

    >>> misfit([2.0], 2.0)
    'the value is right, but this is a list: the notebook needs a plain number, add [0].'
    >>> misfit((np.float32(1), 2), (1.0, 2.0))
    ''
    """
    kind = f"array of shape {answer.shape}" if isinstance(answer, np.ndarray) else type(answer).__name__
    it_is = f"{name} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}: the notebook needs"
    if isinstance(wanted, list | tuple):
        if not isinstance(answer, Sequence | np.ndarray | Tensor) or len(answer) != len(wanted):
            return f"the values are right, but {it_is} a {type(wanted).__name__} of {len(wanted)}."
        pairs = enumerate(zip(answer, wanted, strict=True))
        return next(filter(None, (misfit(*pair, f"element {number}") for number, pair in pairs)), "")
    if isinstance(wanted, np.ndarray) and not isinstance(answer, np.ndarray):
        how = "add .numpy()" if isinstance(answer, Tensor) else "np.array(...)"
        return f"the values are right, but {it_is} a NumPy array, {how}."
    if _is_number(wanted) and not _is_number(answer):
        single = isinstance(answer, np.ndarray | Tensor) and answer.size == 1
        how = "add .item()" if single else "add [0]" if isinstance(answer, list | tuple) else "float(...)"
        return f"the value is right, but {it_is} a plain number, {how}."
    return ""


def _is_number(value: Any) -> bool:
    """Whether ``value`` is a Python number, a NumPy scalar or a 0-d array."""
    is_array = isinstance(value, np.ndarray)
    return value.shape == () and value.dtype.kind in "biuf" if is_array else isinstance(value, Real | np.bool_)


def _array(answer: Any) -> Array:
    return np.asarray(answer.numpy() if isinstance(answer, Tensor) else answer, np.float64)


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"={value.tolist()}" if value.size <= 4 else f" of shape {value.shape}"
    if callable(value):
        return f"={value.__name__}" if hasattr(value, "__name__") else ""
    return f"={value}" if isinstance(value, int | float | str | list | tuple) else ""
