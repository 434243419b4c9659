"""The checkers of the exercises: they take what is right, recognise the usual mistakes, and never raise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from agegender.data.names import parse_name
from minidl.testing import exercises
from minidl.testing.exercises import Exercise, NotSolved

EXERCISES: dict[str, Exercise] = {
    name.removeprefix("check_"): getattr(exercises, name) for name in exercises.__all__ if name.startswith("check_")
}
MISTAKES = [(name, hint) for name, exercise in EXERCISES.items() for hint in exercise.mistakes]


def said(name: str, attempt: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What the checker says; it goes on with the attempt if that is right, with the solution if not."""
    taken = EXERCISES[name](attempt)
    text = capsys.readouterr().out
    assert taken is (attempt if text == f"{name}: right.\n" else EXERCISES[name].solution)
    return text


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(name, EXERCISES[name].solution, capsys) == f"{name}: right.\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_a_blank_is_not_wrong(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def raises(*arguments: Any) -> None:
        raise NotSolved

    for blank in (raises, lambda *arguments: None, lambda *arguments: ...):
        assert said(name, blank, capsys).startswith(f"{name}: not solved yet")


@pytest.mark.parametrize(("name", "hint"), MISTAKES)
def test_each_mistake_gets_its_own_hint(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"Hint: {hint}\n" in said(name, EXERCISES[name].mistakes[hint], capsys)


@pytest.mark.parametrize("name", EXERCISES)
def test_five_mistakes_are_known(name: str) -> None:
    assert len(EXERCISES[name].mistakes) >= 5


# Answers as readers write them, not as the table of mistakes makes them


def convolution(
    x: Any, w: Any, b: Any, stride: int, padding: int, *, flip: bool = False, sides: int = 2, channels: str = "sum"
) -> Any:
    """Six loops, with a mistake."""
    N, H, W, C = x.shape
    KH, KW, _, K = w.shape
    padded = np.zeros((N, H + sides * padding, W + sides * padding, C))
    padded[:, padding : padding + H, padding : padding + W] = x
    OH, OW = ((size - kernel) // stride + 1 for size, kernel in zip(padded.shape[1:3], (KH, KW), strict=True))
    y = np.zeros((N, OH, OW, K))
    for n, i, j, k in np.ndindex(N, OH, OW, K):
        for kh, kw in np.ndindex(KH, KW):
            tap = w[KH - 1 - kh, KW - 1 - kw] if flip else w[kh, kw]
            pixel = padded[n, i * stride + kh, j * stride + kw]
            y[n, i, j, k] += pixel[0] * tap[0, k] if channels == "first" else pixel @ tap[:, k]
        y[n, i, j, k] += b[k]
    return y


def order_of(last: Any, *, post: bool, reverse: bool, remember: bool = True) -> list[Any]:
    """A search in depth, with a mistake."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if remember and node in found:
            return
        if not post:
            found.append(node)
        for x in node.inputs:
            visit(x)
        if post:
            found.append(node)

    visit(last)
    return found[::-1] if reverse else found


def by_columns(x: Any, KH: int, KW: int) -> Any:
    OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1
    return np.array([x[i : i + KH, j : j + KW].ravel() for j in range(OW) for i in range(OH)])


def channels_first(x: Any, KH: int, KW: int) -> Any:
    OH, OW = x.shape[0] - KH + 1, x.shape[1] - KW + 1
    return np.array([x[i : i + KH, j : j + KW].transpose(2, 0, 1).ravel() for i in range(OH) for j in range(OW)])


def changes_its_input(w: Any, dw: Any, lr: float) -> Any:
    w -= lr * dw
    return w


def forgetful_step(model: Any, loss: Any, optimizer: Any, images: Any, targets: Any) -> float:
    value = loss(model(images), targets)
    value.backward()
    optimizer.step()
    return float(value)


def all_bins(probabilities: Any, labels: Any, bins: int) -> float:
    """Takes the mean of bins without faces as well."""
    inside = [(probabilities >= b / bins) & (probabilities < (b + 1) / bins) for b in range(bins)]
    return sum(np.abs(np.divide((probabilities - labels)[i].sum(), i.sum())) * i.mean() for i in inside)


ANSWERS: list[tuple[str, Callable[..., Any], str]] = [
    ("conv2d", convolution, "right."),
    ("conv2d", lambda *a: convolution(*a, flip=True), "the kernel is flipped"),
    ("conv2d", lambda *a: convolution(*a, channels="first"), "only the first channel is used"),
    ("conv2d", lambda *a: convolution(*a, sides=1), "the padding is only at the top and left"),
    ("conv2d", lambda x, w, b, s, p: convolution(x, w, b, 1, p), "the stride is missing"),
    ("conv2d", lambda x, w, b, s, p: convolution(x, w, b, s, 0), "the padding is missing"),
    ("conv2d", lambda x, w, b, s, p: convolution(x, w, np.zeros_like(b), s, p), "the bias is missing"),
    ("conv2d", lambda x, w, b, s, p: convolution(x, w.swapaxes(0, 1), b, s, p), "rows and columns of the kernel"),
    ("conv2d", lambda *a: convolution(*a).transpose(0, 3, 1, 2), "their axes are in the wrong order"),
    ("conv2d", lambda x, w, b, s, p: x[0, 99], "it stops with IndexError"),
    ("conv2d", lambda x, w, b, s, p: "a string", "it returns str"),
    ("topological_order", lambda last: order_of(last, post=True, reverse=True), "right."),
    ("topological_order", lambda last: order_of(last, post=True, reverse=False), "the order of the forward pass"),
    ("topological_order", lambda last: order_of(last, post=False, reverse=False), "as soon as it is met"),
    (
        "topological_order",
        lambda last: order_of(last, post=True, reverse=True, remember=False),
        "comes twice",
    ),
    ("im2col", by_columns, "go down the columns"),
    ("im2col", channels_first, "in the order (C, KH, KW)"),
    ("layer", lambda x, w, b: np.maximum(w @ x + b, 0), "the factors are exchanged"),
    ("layer", lambda x, w, b: np.where(np.dot(x, w.T) + b > 0, np.dot(x, w.T) + b, 0), "w is transposed"),
    ("layer", lambda x, w, b: md.nn.functional.relu(md.tensor(x) @ w + b), "right."),
    ("step", changes_its_input, "it changes the arrays that it gets"),
    ("step", lambda w, dw, lr: -(w - lr * dw), "the sign is wrong everywhere"),
    ("step", lambda w, dw, lr: 3 * (w - lr * dw), "all numbers are 3 times"),
    ("step", lambda w, dw, lr: w / 0.0, "NaN or infinity"),
    ("unbroadcast", lambda dy, shape: dy, "the answer has shape (2, 3): expected (3,)"),
    ("unbroadcast", lambda dy, shape: dy if dy.shape == shape else dy.sum(axis=0), "only one of the axes"),
    ("product_slopes", lambda a, b: [b, a], "right."),
    ("product_slopes", lambda a, b: (b, b), "expected 2 at index (1,), got 5"),
    ("parse_name", lambda name: [int(part) for part in name.split("_")], "it stops with ValueError"),
    ("parse_name", lambda name: (*map(int, name.split("_")[:-1]), -1)[:3], "right."),
    ("parse_name", lambda name: (26, "1", 3), "these are still pieces of text"),
    ("luma", lambda rgb: np.dot(rgb[..., :3], [0.299, 0.587, 0.114])[..., np.newaxis], "their shape is (1, 1, 1)"),
    ("best_constant", lambda ages: sorted(ages)[len(ages) // 2], "right."),
    ("first_copies", lambda digests: [digests.index(digest) for digest in digests], "right."),
    ("block_shape", lambda shape, filters: [int((side - 2) / 2) for side in shape[:2]] + [filters], "right."),
    ("training_step", forgetful_step, "zero_grad() is missing"),
    ("training_step", lambda *given: EXERCISES["training_step"].solution(*given) and None, "not solved yet"),
    ("grad_cam", lambda maps, dy: np.einsum("nhwk,nk->nhw", maps, dy.mean((1, 2))).clip(0), "right."),
    ("saliency", lambda dx: np.linalg.norm(dx, axis=3), "for dx of shape (2, 3, 4, 3)"),
    ("calibration_error", all_bins, "is something divided by 0?"),
]


@pytest.mark.parametrize(("name", "attempt", "hint"), ANSWERS)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_readers_write(
    name: str, attempt: Callable[..., Any], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hint in said(name, attempt, capsys)


def test_the_gradients_are_those_of_autograd() -> None:
    a, b = md.tensor(2.0, requires_grad=True), md.tensor(5.0, requires_grad=True)
    (a * b).backward()
    assert exercises.check_product_slopes.solution(2.0, 5.0) == (a.grad, b.grad)


def test_the_convolution_is_minidl_s() -> None:
    for x, w, b, stride, padding in exercises.check_conv2d.examples:
        y = md.nn.functional.conv2d(md.tensor(x), w, b if len(b) == w.shape[3] else None, stride, padding)
        np.testing.assert_allclose(exercises.check_conv2d.solution(x, w, b, stride, padding), y.numpy(), atol=1e-12)


def test_an_exercise_may_change_what_it_gets(capsys: pytest.CaptureFixture[str]) -> None:
    """A training step does: every answer starts from the same weights, and so does the next reader."""
    for _ in range(2):
        assert said("training_step", EXERCISES["training_step"].solution, capsys) == "training_step: right.\n"


def test_names_are_read_as_agegender_reads_them() -> None:
    for (name,) in exercises.check_parse_name.examples:
        assert exercises.check_parse_name.solution(name) == parse_name(name)
