"""Every exercise of every notebook, answered in the notebook's own blank."""

import io
import re
import time
import types
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import course, nn, op
from minidl.course import answer
from notebooks import build
from tests.answers import CHECKERS, FUNCTIONS, RIGHT, SOLVED, WRONG, typed
from tests.mutation.mutants import mutants

FIVE = 5


def says(checker: str, attempt: Any) -> str:
    """The output of a checker."""
    text = io.StringIO()
    with redirect_stdout(text):
        getattr(course, f"check_{checker}")(attempt)
    return text.getvalue()


def test_the_notebooks_have_all_exercises_between_them() -> None:
    assert sorted(name.removeprefix("check_") for name in course.__all__ if "check_" in name) == CHECKERS


pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The exception that ends a call may be raised inside a weak reference's callback, which Python reports and ignores."""


@pytest.fixture(autouse=True)
def less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter limit for answers that do not end."""
    monkeypatch.setattr(answer, "SECONDS", 0.3)


@pytest.mark.parametrize("checker", CHECKERS)
def test_five_wrong_answers_get_five_hints(checker: str) -> None:
    """Each wrong answer gets the hint of its mistake, and is never accepted."""
    exercise = getattr(course, f"check_{checker}")
    hints = [re.findall(r"Hint: (.*)", says(checker, wrong)) for wrong in exercise.mistakes.values()]
    assert hints == [[hint] for hint in exercise.mistakes]
    assert len(exercise.mistakes) >= FIVE


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_blank_itself_is_not_solved(checker: str) -> None:
    assert says(checker, typed(checker, "...  # your code here")).startswith(f"{checker}: not solved yet")


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_notebook_s_own_answer_is_right(checker: str) -> None:
    _, function = FUNCTIONS[checker]
    (answer,) = re.findall(
        rf"^def {function}\((?:.(?!^def ))*?# <blank>\n(.*?)    # </blank>\n",
        "\n".join(SOLVED.values()),
        re.MULTILINE | re.DOTALL,
    )
    assert says(checker, typed(checker, re.sub("^    ", "", answer, flags=re.MULTILINE))) == f"{checker}: right.\n"


NO_MISTAKE = {
    "return np.maximum(w @ x + b, 0)": "a product of two rows of numbers",
    "for x, slope in zip(node.inputs, node.slopes, strict=False):": "there are as many of both",
    "for x, dx in zip(node.inputs, node.backward(found[node]), strict=False):": "there are as many of both",
    "return float(((logits >= 0) == (labels == 1)).mean())": "a logit of exactly 0 says neither",
    "keep = rng.random(x.shape) > p": "no number that is drawn equals p",
}
"""Changed lines that are not wrong answers, and why."""


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_no_slip_of_the_pen_is_taken_for_right(checker: str) -> None:
    """The solution with one operator, number or index changed by `tests.mutation`."""
    solution = getattr(course, f"check_{checker}").solution
    for mutant in mutants(solution):
        if mutant.after not in NO_MISTAKE:
            said = says(checker, types.FunctionType(mutant.code, solution.__globals__))
            assert said.startswith(f"{checker}: not right yet, for "), mutant.after


@pytest.mark.parametrize("checker", CHECKERS)
def test_five_right_and_five_wrong_answers_are_listed(checker: str) -> None:
    assert len(RIGHT.get(checker, [])) >= FIVE
    assert len(WRONG.get(checker, [])) >= FIVE


def test_answers_belong_to_exercises() -> None:
    assert {*RIGHT, *WRONG} <= {*CHECKERS}


@pytest.mark.parametrize(("checker", "answer"), [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_a_right_answer_is_right(checker: str, answer: str) -> None:
    assert says(checker, typed(checker, answer)) == f"{checker}: right.\n"


@pytest.mark.parametrize(("checker", "answer", "hint"), [(name, *pair) for name in WRONG for pair in WRONG[name]])
def test_a_wrong_answer_gets_its_hint(checker: str, answer: str, hint: str) -> None:
    said = says(checker, typed(checker, answer))
    assert said.startswith(f"{checker}: not ")
    assert hint in said


def defined(notebook: str, *names: str) -> str:
    """The source of classes and functions of a notebook."""
    return "".join(
        re.findall(rf"^((?:class|def) (?:{'|'.join(names)})\b.*?)(?=^\S)", SOLVED[notebook], re.MULTILINE | re.DOTALL)
    )


OF_LAYERS = [(name, answer) for name in ("dropout", "batch_norm", "batch_norm_backward") for answer in RIGHT[name]]


@pytest.mark.parametrize(("checker", "answer"), OF_LAYERS)
def test_a_right_answer_in_float64_trains_in_layers_of_float32(checker: str, answer: str) -> None:
    """Such as one that starts with np.zeros(x.shape): the next cells of unit 9 train with it."""
    names = {name: getattr(course, f"check_{name}").solution for name, _ in OF_LAYERS}
    names |= {"np": np, "nn": nn, "op": op, "EPS": 1e-3, checker: typed(checker, answer)}
    exec(defined("09_generalisation", "Dropout", "Normalise", "BatchNorm"), names)
    rng = md.Generator(0)
    model = nn.Sequential(nn.Dense(3, 4, rng=rng), names["BatchNorm"](4), names["Dropout"](0.3, rng))
    model(md.tensor(np.ones((5, 3), np.float32))).sum().backward()
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {np.dtype(np.float32)}


@pytest.mark.parametrize("answer", RIGHT["bce_with_logits"])
def test_a_right_loss_of_a_row_is_a_number_for_the_column_of_a_network(answer: str) -> None:
    """Such as one that loops over the logits: unit 13 has logits (N, 1)."""
    names = {"bce_with_logits": typed("bce_with_logits", answer), "Array": lambda value, inputs, backward: value}
    exec(defined("13_your_own_library", "gender_loss"), names)
    logits = types.SimpleNamespace(value=np.array([[2.0], [-1.0]]))
    assert np.ndim(names["gender_loss"](logits, np.array([[1.0], [0.0]]))) == 0


def test_a_right_answer_with_a_loop_over_all_elements_does_not_train_the_network() -> None:
    """Unit 13 replaces one that takes long on a small array."""
    slow = types.SimpleNamespace(**vars(course) | {"mine": lambda name: lambda *arguments: time.sleep(0.02)})
    (cell,) = [source for _, source in build.cells(SOLVED["13_your_own_library"]) if "def quick" in source]
    names = {"np": np, "time": time, "course": slow}
    with redirect_stdout(io.StringIO()):
        exec(cell, names)
    parts = ["conv2d", "conv2d_backward", "max_pool", "max_pool_backward", "relu_backward", "dense_backward"]
    assert [names[part] for part in parts] == [getattr(course, f"check_{part}").solution for part in parts]
