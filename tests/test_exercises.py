"""The checkers of the exercises accept correct answers, recognise the usual mistakes, and never raise."""

import copy
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import course
from minidl.course import Exercise, NotSolved

EXERCISES: dict[str, Exercise] = {
    name.removeprefix("check_"): getattr(course, name) for name in course.__all__ if name.startswith("check_")
}


def said(name: str, attempt: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> str:
    """The output of the checker, which continues with the attempt if that is correct, else with the solution."""
    taken = EXERCISES[name](attempt)
    text = capsys.readouterr().out
    assert taken is (attempt if text == f"{name}: right.\n" else EXERCISES[name].solution)
    return text


@pytest.mark.parametrize("name", EXERCISES)
def test_minidl_s_own_version_is_no_answer(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither as it is nor in a function that calls it; it is refused as the last thing, so its values are right."""
    solution = EXERCISES[name].solution
    for attempt in (solution, lambda *arguments: solution(*arguments)):
        assert "this is minidl's own version, or calls it: write it yourself" in said(name, attempt, capsys)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_blank_is_not_wrong(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def raises(*arguments: Any) -> None:
        raise NotSolved

    for blank in (raises, lambda *arguments: None, lambda *arguments: ...):
        assert said(name, blank, capsys).startswith(f"{name}: not solved yet")


def empty_below_0(x: Any) -> Any:
    """As where the reader has left out the other branch."""
    return 1.0 if x > 0 else None


def test_what_returns_nothing_for_some_examples_is_solved_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    text = said("relu_slope", empty_below_0, capsys)
    assert text.startswith("relu_slope: not right yet, for x=-2.0.\n    Hint: it returns nothing: every branch")


def empty_if_never_stopped(losses: Any, patience: int) -> Any:
    """As where the reader has left out the return after the loop."""
    for epoch in range(len(losses)):
        best = int(np.argmin(losses[: epoch + 1]))
        if epoch - best >= patience:
            return epoch, best
    return None


def test_what_returns_several_numbers_or_nothing_is_solved_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    text = said("early_stopping", empty_if_never_stopped, capsys)
    assert "Hint: it returns nothing: every branch" in text


ARRAYS = [
    name
    for name, exercise in EXERCISES.items()
    if isinstance(exercise.solution(*copy.deepcopy(exercise.examples[0])), np.ndarray)
]


@pytest.mark.parametrize("name", ARRAYS)
def test_a_tensor_as_the_answer_is_told_to_become_an_array(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "this is a Tensor: the notebook needs a NumPy array, add .numpy()." in said(
        name, wrapped(name, md.tensor), capsys
    )


def fails_with_its_arguments(*arguments: Any) -> None:
    raise KeyError(*arguments)


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("attempt", [fails_with_its_arguments, lambda *arguments: object(), lambda *arguments: 12345.0])
def test_no_hint_shows_the_address_of_an_object(
    name: str, attempt: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(name, attempt, capsys)
    assert "0x" not in text
    assert "minidl.course" not in text


def wrapped(name: str, wrap: Callable[[Any], Any]) -> Callable[..., Any]:
    """The solution, with its result in another type."""
    solution = copied(EXERCISES[name].solution)
    return lambda *given: wrap(solution(*given))


def copied(function: Callable[..., Any]) -> Any:
    """A function with code of its own, as that of the solution and of what it calls is refused."""
    names = dict(function.__globals__)
    made = FunctionType(function.__code__.replace(), names, None, function.__defaults__, function.__closure__)
    same = [f for name in made.__code__.co_names if isinstance(f := names.get(name), FunctionType)]
    names |= {f.__name__: copied(f) for f in same if f.__module__ == function.__module__ and f is not function}
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def gives_a_number(exercise: Exercise) -> bool:
    return np.isscalar(exercise.solution(*copy.deepcopy(exercise.examples[0])))


NUMBERS = [name for name, exercise in EXERCISES.items() if gives_a_number(exercise)]


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_is_not_taken_for_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def hint(wrap: Callable[[Any], Any]) -> str:
        return said(name, wrapped(name, wrap), capsys).partition("Hint: ")[2].partition("\n")[0]

    the_value = "the value is right, but " + ("element 0 is" if name == "training_step" else "this is")
    a_number = "the notebook needs a plain number"
    assert hint(lambda y: md.tensor(float(y))) == f"{the_value} a Tensor: {a_number}, add .item()."
    assert hint(lambda y: str(float(y))) in (
        f"{the_value} a str: {a_number}, float(...).",
        "it returns str, which cannot be read as the answer.",
    )


@pytest.mark.parametrize("name", sorted({*NUMBERS} - {"training_step"}))  # which is read with its model
def test_a_number_in_a_list_or_an_array_of_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    a_list, an_array = (said(name, wrapped(name, wrap), capsys) for wrap in (lambda y: [y], np.atleast_1d))
    assert "this is a list: the notebook needs a plain number, add [0]." in a_list
    assert "this is an array of shape (1,): the notebook needs a plain number, add .item()." in an_array


WHOLE = ["output_size", "conv_parameters"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_number_is_not_a_float(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for wrap in (np.int64, np.asarray):
        assert said(name, wrapped(name, wrap), capsys) == f"{name}: right.\n"
    for wrap in (float, np.float64, lambda y: np.asarray(float(y))):
        assert "the notebook needs a whole number, use // or int(...)." in said(name, wrapped(name, wrap), capsys)


@pytest.mark.parametrize("name", [name for name in NUMBERS if name not in WHOLE])
@pytest.mark.parametrize("wrap", [float, np.float64, np.float32, np.asarray, lambda y: md.tensor(y).numpy()])
def test_a_plain_number_is_right(name: str, wrap: Callable[[Any], Any], capsys: pytest.CaptureFixture[str]) -> None:
    """A Python or NumPy scalar, and a 0-d array."""
    assert said(name, wrapped(name, wrap), capsys) == f"{name}: right.\n"


def test_a_truth_value_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    for slope in (lambda x: x > 0, lambda x: np.greater(x, 0), lambda x: np.sign(max(x, 0)), lambda x: int(x > 0)):
        assert said("relu_slope", slope, capsys) == "relu_slope: right.\n"


def test_the_parts_of_an_answer_are_what_follows_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """A tuple with a string in place of a number, a list in place of an array, one long array, an iterator."""
    for name, wrap, hint in (
        ("product_slopes", lambda y: tuple(map(md.tensor, y)), "it returns tuple, which cannot be read"),
        ("product_slopes", lambda y: (y[0], str(y[1])), "element 1 is a str: the notebook needs a plain number"),
        ("momentum_step", lambda y: (y[0], list(y[1])), "element 1 is a list: the notebook needs a NumPy array"),
        ("momentum_step", np.concatenate, "this is an array of shape (6,): the notebook needs a tuple of 2."),
        ("parse_name", iter, "this is a tuple_iterator: the notebook needs a tuple of 3."),
        ("topological_order", iter, "this is a list_iterator: the notebook needs a list of"),
    ):
        assert hint in said(name, wrapped(name, wrap), capsys)
    for name in ("product_slopes", "block_shape", "momentum_step", "first_copies", "matmul_cost"):
        assert said(name, wrapped(name, np.array), capsys) == f"{name}: right.\n"


def test_an_exercise_may_change_what_it_gets(capsys: pytest.CaptureFixture[str]) -> None:
    """A training step changes the model: every answer starts from the same weights, and so does the next student."""
    for _ in range(2):
        assert said("training_step", wrapped("training_step", float), capsys) == "training_step: right.\n"
