"""Every exercise of every notebook, answered wrongly in the notebook's own blank."""

import io
import re
import types
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import course
from notebooks import build
from tests.mutation.mutants import mutants

FIVE = 5
IN_NOTEBOOK = {
    name: re.findall(r"^(\w+) = course\.check_(\w+)\(", (build.SOLUTIONS / f"{name}.py").read_text(), re.MULTILINE)
    for name in build.names()
}
"""The exercises of each notebook: the name of the function there, and its checker."""
ALL = [(notebook, *exercise) for notebook, found in IN_NOTEBOOK.items() for exercise in found]


def says(checker: str, attempt: Any) -> str:
    """The output of a checker."""
    text = io.StringIO()
    with redirect_stdout(text):
        getattr(course, f"check_{checker}")(attempt)
    return text.getvalue()


def typed(notebook: str, function: str, answer: str) -> Any:
    """The function of the notebook with a student's answer in place of its blank."""
    script = (build.HERE / f"{notebook}.py").read_text()
    (blank,) = re.findall(rf"^def {function}\(.*?^    \.\.\.  # your code here\n", script, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"np": np, "md": md, "F": md.nn.functional}
    exec(blank.replace("...  # your code here", answer.replace("\n", "\n    ")), names)
    return names[function]


def test_the_notebooks_have_all_exercises_between_them() -> None:
    assert all(IN_NOTEBOOK.values())
    checkers = [checker for _, _, checker in ALL]
    assert sorted(checkers) == sorted(name.removeprefix("check_") for name in course.__all__ if "check_" in name)


@pytest.mark.parametrize(("notebook", "function", "checker"), ALL)
def test_five_wrong_answers_get_five_hints(notebook: str, function: str, checker: str) -> None:
    """Each wrong answer gets the hint of its mistake, and is never accepted."""
    exercise = getattr(course, f"check_{checker}")
    hints = [re.findall(r"Hint: (.*)", says(checker, wrong)) for wrong in exercise.mistakes.values()]
    assert hints == [[hint] for hint in exercise.mistakes]
    assert len(exercise.mistakes) >= FIVE


@pytest.mark.parametrize(("notebook", "function", "checker"), ALL)
def test_the_blank_itself_is_not_solved(notebook: str, function: str, checker: str) -> None:
    assert says(checker, typed(notebook, function, "...  # your code here")).startswith(f"{checker}: not solved yet")


NO_MISTAKE = {
    "return np.maximum(w @ x + b, 0)": "a product of two rows of numbers",
    "for x, slope in zip(node.inputs, node.slopes, strict=False):": "there are as many of both",
    "return float(((logits >= 0) == (labels == 1)).mean())": "a logit of exactly 0 says neither",
    "unexplored += [(node, False), *((x, False) for x in node.inputs)]": "never ends, which no checker can tell",
}
"""Changed lines that are not wrong answers, and why."""


@pytest.mark.parametrize("checker", [checker for _, _, checker in ALL])
def test_no_slip_of_the_pen_is_taken_for_right(checker: str) -> None:
    """The solution with one operator, number or index changed by `tests.mutation`."""
    solution = getattr(course, f"check_{checker}").solution
    for mutant in mutants(solution):
        if mutant.after not in NO_MISTAKE:
            said = says(checker, types.FunctionType(mutant.code, solution.__globals__))
            assert said.startswith(f"{checker}: not right yet"), mutant.after


TYPED = {
    "neuron": [
        ("return w * x + b", "the products are not added up yet"),
        ("return np.dot(w, x) + b", "the activation is missing"),
        ("total = 0\nfor i in range(len(x)):\n    total += w[i] * x[i]\nreturn max(total, 0)", "the bias is missing"),
        ("total = b\nfor i in range(len(x) + 1):\n    total += w[i] * x[i]\nreturn max(total, 0)", "IndexError"),
        ("print(max(np.dot(w, x) + b, 0))", "not solved yet, it returns nothing"),
    ],
    "hat": [
        ("return max(0, 1 - abs(x - centre) / width)", "it stops with ValueError"),
        (
            "r = lambda z: z * (z > 0)\nreturn r(x - centre + width) - 2 * r(x - centre) + r(x - centre - width)",
            "high as",
        ),
        ("return [max(0, 1 - abs(number - centre) / width) for number in x]", "this is a list"),
        ("return np.maximum(1 - abs(x + centre) / width, 0)", "it sits on the wrong side of 0"),
    ],
    "relu_slope": [
        ("return x > -1e-9", "at 0 itself there is a kink"),
        ("return max(x, 0)", "this is ReLU itself"),
        ("if x > 0:\n    return 1\nelse:\n    return -1", "ReLU is flat, not falling"),
        ("if x > 0:\n    return 1", "for x=-2.0.\n    Hint: it returns nothing: every branch"),
    ],
    "gradients": [
        ("grads = {node: 0 for node in order}\nreturn grads", "everything is 0"),
        (
            "g = {order[0]: 1.0}\nfor n in order:\n    for x, s in zip(n.inputs, n.slopes): g[x] = s * g[n]\nreturn g",
            "add them up, += instead of =",
        ),
        (
            "g = {order[0]: 1.0}\nfor n in order:\n    for x, s in zip(n.inputs, n.slopes): g[x] += s * g[n]\nreturn g",
            "it stops with KeyError",
        ),
    ],
    "output_size": [
        ("return (size + 2 * padding - kernel) / stride + 1", "there is no half a position"),
        ("return (size - kernel) // stride + 1", "the padding is missing"),
        ("return (size + padding - kernel) // stride + 1", "the padding is on both sides"),
        ("return (size + 2 * padding - kernel + 1) // stride", "the 1 comes after the division"),
        ("return round((size + 2 * padding - kernel) / stride + 1)", "does not fit completely"),
    ],
    "winograd": [
        ("return x[:3] @ g, x[1:] @ g", "this is a tuple"),
        ("return np.convolve(x, g, 'valid')", "the kernel is flipped"),
        ("return np.correlate(x, g)[::-1]", "the two outputs are swapped"),
    ],
    "best_constant": [
        ("return np.mean(ages)", "best for squared errors"),
        ("return max(set(ages), key=list(ages).count)", "this is the most common age"),
        ("return (min(ages) + max(ages)) / 2", "between the youngest and the oldest"),
    ],
    "first_copies": [
        ("return {digest: i for i, digest in enumerate(digests)}", "it returns dict"),
        (
            "d = {digest: i for i, digest in enumerate(digests)}\nreturn [d[digest] for digest in digests]",
            "the last copy",
        ),
        ("return [digests.count(digest) for digest in digests]", "the number of copies of each"),
        ("return sorted(set(digests))", "these are the digests themselves"),
    ],
    "block_shape": [
        ("return shape[0] // 2, shape[1] // 2, filters", "the convolution is missing"),
        ("return (shape[0] - 2) / 2, (shape[1] - 2) / 2, filters", "there is no half a pixel"),
        ("return shape[0] - 2, shape[1] - 2, filters", "the pooling is missing"),
        ("return filters, (shape[0] - 2) // 2, (shape[1] - 2) // 2", "channels come last"),
        ("return (shape[0] - 2) // 2, (shape[1] - 2) // 2", "the answer has shape (2,)"),
    ],
    "conv_parameters": [
        ("return kernel**2 * channels * filters", "the biases are missing"),
        ("return (kernel**2 + 1) * channels * filters", "not one per input channel"),
        ("return kernel * channels * filters + filters", "a kernel is square"),
        ("return kernel**2 * filters + filters", "for every input channel"),
    ],
    "gender_accuracy": [
        ("return np.mean((logits > 0.5) == labels)", "a logit is not a probability"),
        ("return np.mean(logits == labels)", "a logit is hardly ever equal to a label"),
        ("return np.sum((logits > 0) == labels)", "this is the number of right answers"),
        ("return np.mean((logits > 0).ravel() == labels)", "broadcast to (N, N)"),
        ("return np.mean(np.round(logits) == labels)", "round(logit) is not"),
    ],
    "grad_cam": [
        ("return np.maximum((gradients * maps).sum(axis=3), 0)", "each position has its own weight"),
        ("return (gradients.mean(axis=(1, 2), keepdims=True) * maps).sum(axis=3)", "ReLU is missing at the end"),
        ("return np.maximum((gradients.mean(axis=(1, 2)) * maps).sum(axis=3), 0)", "it stops with ValueError"),
    ],
    "group_means": [
        ("return [values[groups == g].mean() for g in np.unique(groups)]", "this is a list"),
        ("return np.array([values[groups == g].sum() for g in np.unique(groups)])", "these are sums"),
        ("return np.bincount(groups)", "these are the sizes of the groups"),
        ("return np.array([values[groups == g].mean() for g in range(max(groups))])", "the last group is missing"),
    ],
}
"""Answers as students type them, for exercises that tests/test_exercises.py hardly covers, and part of the hint."""


@pytest.mark.parametrize(
    ("checker", "answer", "hint"), [(name, *answer) for name, answers in TYPED.items() for answer in answers]
)
def test_what_students_type_into_the_blank(checker: str, answer: str, hint: str) -> None:
    notebook, function = next((notebook, function) for notebook, function, name in ALL if name == checker)
    assert hint in says(checker, typed(notebook, function, answer))
