"""Exercises, and how an answer is checked.

An exercise recognises wrong answers by reproducing them: it lists the usual mistakes, each a hint with a function that
makes the mistake. If the reader's function gives the same values as one of these, or raises the same error, that hint
is shown. A right answer is one that gives the solution's values, in types with which the notebook can go on, for all
examples, and twice for each.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np

from ..tensor import Tensor
from . import answer, kept
from .answer import Function
from .compare import Array, same, unchanged
from .hints import difference, first_difference, is_number, misfit, shown

RANDOM = 20
"""The number of random examples after those that are listed."""
SEED = 17
LARGEST = 10_000_000
"""The number of elements from which an array is not even read: no example has as many."""
NOTHING = "it returns nothing: every branch has to end in a return."
KEEPS = (
    "it gives another result when it is called again with the same arguments: it draws random numbers, or keeps "
    "something from one call to the next, such as a global variable, a default argument or an iterator."
)


@dataclass(frozen=True)
class Exercise:
    """A function that the reader has to write; call it with the reader's attempt.

    ``solution`` is minidl's own version. ``examples`` are tuples of arguments, from easy to hard, each adding one
    difficulty: the first that fails shows what is wrong. ``draw`` makes further ones from random numbers. ``mistakes``
    maps hints to the wrong answers they explain. ``shortcuts`` are functions, written in Python, that an answer must
    not call, because they do the work of the exercise.

    ``numbers`` converts the return value to an array, if it is not one; ``form`` then says in words what it has to be.
    ``use`` calls the function as the notebook does, if it takes more than one call to see whether it is right.

    >>> def double(x):
    ...     return 2 * x
    >>> exercise = Exercise(double, [(3.0,)], {"this is the square.": lambda x: x * x}, lambda rng: (rng.normal(),))
    >>> print(exercise.problem(lambda x: x**2))
    for x=3.0.
        Hint: this is the square.
    >>> print(exercise.problem(lambda x: x + 3))
    for x=1.10...
        Hint: expected 2.20..., got 4.10....
    """

    solution: Function
    examples: Sequence[tuple[Any, ...]]
    mistakes: Mapping[str, Function] = field(default_factory=dict)
    draw: Callable[[np.random.Generator], tuple[Any, ...]] | None = None
    shortcuts: Sequence[Function] = ()
    numbers: Callable[..., Any] = lambda answer, *example: answer
    form: str = ""
    use: Callable[..., Any] = lambda function, *example: function(*example)

    @property
    def name(self) -> str:
        """The name of the reader's function."""
        return self.solution.__name__

    def __call__(self, attempt: Function) -> Function:
        """Return the attempt if it is right, else the solution, and print which, with a hint.

        A right attempt of a notebook is kept for later ones, see :func:`minidl.course.mine`.
        """
        problem = self.problem(attempt)
        if not problem:
            print(f"{self.name}: right.{kept.keep(self, attempt)}")
            return attempt
        state = "not solved yet" if problem == NOTHING else "not right yet"
        said = "it returns nothing." if problem == NOTHING else f"{problem}\n   "
        print(f"{self.name}: {state}, {said} The notebook continues with minidl's own version.")
        return self.solution

    def problem(self, attempt: Function) -> str:
        """The first example on which an attempt fails, with a hint; "" if it is right, :data:`NOTHING` for a blank."""
        if not callable(attempt):
            return f"this is {type(attempt).__name__}, not a function: pass the function that you wrote."
        forms, ran, watched = list[str](), list[Function](), self.watched()
        with answer.random_as_before():
            for example in self.all_examples():
                tried = _Try(self, attempt, example, watched)
                hint, form = tried.hints()
                here = f"for {self._arguments(example)}.\n    Hint: {hint or form}{tried.output()}"
                if hint:
                    return NOTHING if hint == NOTHING and self._is_blank(attempt) else here
                forms += [here] * bool(form)  # said only if the values are right for all examples
                ran += tried.first.ran
        return forms[0] if forms else _refusal(next(iter(ran), None), self.shortcuts)

    def all_examples(self) -> Iterator[tuple[Any, ...]]:
        """The listed examples, then the random ones, which are the same every time."""
        yield from self.examples
        if self.draw is not None:
            rng = np.random.default_rng(SEED)
            yield from (self.draw(rng) for _ in range(RANDOM))

    def watched(self) -> list[Function]:
        """What an answer must not call: the shortcuts, and the solution with the functions of its module it uses."""
        found, new = [], [self.solution]
        while new:
            function = new.pop()
            found.append(function)
            names = function.__code__.co_names if isinstance(function, FunctionType) else ()
            used = [function.__globals__.get(name) for name in names]
            new += [f for f in used if isinstance(f, FunctionType) and f.__module__ == self.solution.__module__]
            new = [f for f in new if f not in found]
        return [*found, *self.shortcuts]

    def _is_blank(self, attempt: Function) -> bool:
        """Whether an attempt returns nothing for any example."""
        return all(_alike(_Try(self, attempt, example).got, NOTHING) for example in self.examples)

    def _arguments(self, example: tuple[Any, ...]) -> str:
        parameters = inspect.signature(self.solution).parameters
        return ", ".join(f"{name}{shown(value)}" for name, value in zip(parameters, example, strict=True))


def _refusal(called: Function | None, shortcuts: Sequence[Function]) -> str:
    """What is said of a right answer that calls one of the watched functions; "" if it calls none."""
    if called is None:
        return ""
    if called in shortcuts:
        name = f"{called.__module__}.{getattr(called, '__qualname__', called.__name__)}"
        return f"it calls {name}, which does the work of this exercise: write it yourself."
    return "this is minidl's own version, or calls it: write it yourself."


class _Try:
    """An attempt at one example: its answers to two calls with equal arguments, beside the solution's."""

    def __init__(
        self, exercise: Exercise, attempt: Function, example: tuple[Any, ...], watched: Sequence[Function] = ()
    ) -> None:
        self.exercise, self.attempt, self.example = exercise, attempt, example
        self.first, self.given, self.got = self._outcome(attempt, watched)

    def _outcome(self, function: Function, watched: Sequence[Function] = ()) -> tuple[answer.Answer, Any, Array | str]:
        """The answer of a function, its arguments after the call, and its values; or, in words, what went wrong."""
        given = copy.deepcopy(self.example)
        use, numbers = self.exercise.use, self.exercise.numbers
        strange = bool(watched) or function is not self.exercise.solution  # a mistake, too, may not end

        def read(value: Any) -> Array:
            return _array(numbers(_plain(value), *given))

        arguments = (function, *given)
        made = answer.call(use, arguments, watched, read) if strange else answer.trusted(use, arguments, read)
        if made.problem and made.value is not None:
            form = f": expected {self.exercise.form}" if self.exercise.form else ""
            return made, given, f"it returns {type(made.value).__name__}, which cannot be read as the answer{form}."
        return made, given, made.problem or (NOTHING if made.value is None else made.numbers)

    def hints(self) -> tuple[str, str]:
        """What is wrong with the answer, and what with the type of one that has the right values; "" if nothing is."""
        solved, by_solution, expected = self._outcome(self.exercise.solution)
        assert not isinstance(expected, str), f"{self.exercise.name}: the solution fails for {self.example}: {expected}"
        if self.first.harm:
            return self.first.harm, ""
        if changed := self._changed(by_solution):
            return f"it changes its arguments ({changed}). Work on a copy, or build a new array.", ""
        if not isinstance(self.got, str):
            again, _, got_again = self._outcome(self.attempt)
            if not _alike(self.got, got_again):
                return KEEPS, ""
            if _alike(self.got, expected) and _shares(self.first.value, again.value):
                return "it returns the same array every time and overwrites it: build a new one in each call.", ""
        if _alike(self.got, expected):
            return "", misfit(self.first.value, solved.value)
        return self._of_values(solved.value, expected), ""

    def output(self) -> str:
        """What the attempt printed, for those who look for the mistake with print()."""
        return f"\n    It printed: {self.first.printed[:500].strip()}" if self.first.printed.strip() else ""

    def _changed(self, by_solution: tuple[Any, ...]) -> str:
        """The names of the arguments that the attempt changed, and the solution did not."""
        parameters = inspect.signature(self.exercise.solution).parameters
        arguments = zip(parameters, self.example, by_solution, self.given, strict=True)
        return ", ".join(name for name, old, by, new in arguments if unchanged(old, by) and not unchanged(old, new))

    def _of_values(self, wanted: Any, expected: Array) -> str:
        """A hint for wrong values: that of a known mistake, else what the values look like."""
        in_form = is_number(wanted) and self._is_right_but_in_form()
        known = {} if in_form else self.exercise.mistakes  # a number in a list may look like a mistake
        for hint, wrong in known.items():
            if _alike(self.got, self._outcome(wrong)[2]):
                return hint
        if isinstance(self.got, str):
            return self.got
        if is_number(wanted) and same(np.ravel(self.got), np.ravel(expected)):  # for example in a list
            return misfit(self.first.value, wanted)
        return first_difference(self.first.value, wanted) or difference(np.asarray(self.got), expected)

    def _is_right_but_in_form(self) -> bool:
        """Whether the attempt gives the right value for every example, if only in a list or an array."""
        for example in self.exercise.examples:
            here = _Try(self.exercise, self.attempt, example)
            expected = here._outcome(self.exercise.solution)[2]
            if isinstance(here.got, str) or not same(np.ravel(here.got), np.ravel(expected)):
                return False
        return True


def _alike(one: Array | str, other: Array | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return same(one, other)


def _shares(one: Any, other: Any) -> bool:
    """Whether two answers are the same array, which the second call has overwritten."""
    arrays = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    return arrays and one.flags.writeable and bool(np.may_share_memory(one, other))


def _plain(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def _array(value: Any) -> Array:
    value = _plain(value)
    if isinstance(value, np.ndarray) and value.size > LARGEST:
        raise ValueError("too many elements")
    return np.array(value, np.float64)  # a copy, as the answer may be overwritten
