"""The checkers of the exercises accept correct answers, recognise the usual mistakes, and never raise."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import course
from minidl.course import Exercise, NotSolved

EXERCISES: dict[str, Exercise] = {
    name.removeprefix("check_"): getattr(course, name) for name in course.__all__ if name.startswith("check_")
}
MISTAKES = [(name, hint) for name, exercise in EXERCISES.items() for hint in exercise.mistakes]


def said(name: str, attempt: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> str:
    """The output of the checker, which continues with the attempt if that is correct, else with the solution."""
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


def empty_below_0(x: Any) -> Any:
    """As where the reader has left out the other branch."""
    return 1.0 if x > 0 else None


def test_what_returns_nothing_for_some_examples_is_solved_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    text = said("relu_slope", empty_below_0, capsys)
    assert text.startswith("relu_slope: not right yet, for x=-2.0.\n    Hint: it returns nothing: every branch")


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


@pytest.mark.parametrize(("name", "hint"), MISTAKES)
def test_each_mistake_gets_its_own_hint(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"Hint: {hint}\n" in said(name, EXERCISES[name].mistakes[hint], capsys)


@pytest.mark.parametrize("name", EXERCISES)
def test_five_mistakes_are_known(name: str) -> None:
    assert len(EXERCISES[name].mistakes) >= 5


# Answers as students write them, not derived from the table of mistakes


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
    """A depth-first search, with a mistake."""
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


def pooled(x: Any, size: int, stride: int, *, start: float = -np.inf, move: int | None = None) -> Any:
    """A running maximum, with a mistake."""
    step = move or stride
    y = np.full([(length - size) // stride + 1 for length in x.shape], start)
    for i, j in np.ndindex(y.shape):
        for a, b in np.ndindex(size, size):
            y[i, j] = max(y[i, j], x[i * step + a, j * step + b])
    return y


def unpooled(dy: Any, x: Any, size: int, stride: int, *, first: bool = True, add: bool = True) -> Any:
    """Gradients routed to the maxima, with a mistake."""
    dx = np.zeros_like(x)
    for i, j in np.ndindex(dy.shape):
        places = [(i * stride + a, j * stride + b) for a, b in np.ndindex(size, size)]
        largest = max(x[place] for place in places)
        equal = [place for place in places if x[place] == largest]
        for place in equal[:1] if first else equal:
            dx[place] = dy[i, j] + (dx[place] if add else 0)
    return dx


def unstable_bce(logits: Any, targets: Any) -> Any:
    p = 1 / (1 + np.exp(-logits))
    return -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p))


def moved_for_good(f: Any, x: Any, h: float) -> Any:
    found = []
    for index in np.ndindex(x.shape):
        x[index] += h
        above = f(x)
        x[index] -= 2 * h
        found.append((above - f(x)) / (2 * h))
    return np.reshape(found, x.shape)


def stopped(losses: Any, patience: int, *, equal: bool = False) -> Any:
    """Counts bad epochs, like many programs."""
    best, bad = 0, 0
    for epoch, loss in enumerate(losses[1:], 1):
        better = loss <= losses[best] if equal else loss < losses[best]
        best, bad = (epoch, 0) if better else (best, bad + 1)
        if bad == patience:
            break
    return epoch, best


def adam_of_keras(w: Any, dw: Any, m: Any, v: Any, t: int, lr: float, beta1: float, beta2: float, eps: float) -> Any:
    """The learning rate includes the bias correction, so eps has another meaning."""
    m, v = beta1 * m + (1 - beta1) * dw, beta2 * v + (1 - beta2) * dw**2
    return w - lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps), m, v


def forgetful_step(model: Any, loss: Any, optimizer: Any, images: Any, targets: Any) -> float:
    value = loss(model(images), targets)
    value.backward()
    optimizer.step()
    return float(value)


def all_bins(probabilities: Any, labels: Any, bins: int) -> float:
    """Takes the mean over empty bins, too."""
    inside = [(probabilities >= b / bins) & (probabilities < (b + 1) / bins) for b in range(bins)]
    return sum(np.abs(np.divide((probabilities - labels)[i].sum(), i.sum())) * i.mean() for i in inside)


def finished(launch: float, work: Any, *, numbered_from: int = 1) -> Any:
    ends = [0.0]
    for number, seconds in enumerate(work, start=numbered_from):
        ends.append(max(ends[-1], number * launch) + seconds)
    return ends[1:]


def pixels_of_windows(H: int, W: int, KH: int, KW: int, stride: int, *, width: int | None = None) -> Any:
    starts = [(i, j) for i in range(0, H - KH + 1, stride) for j in range(0, W - KW + 1, stride)]
    return [[(i + a) * (width or W) + j + b for a, b in np.ndindex(KH, KW)] for i, j in starts]


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
    ("topological_order", lambda last: order_of(last, post=False, reverse=False), "as soon as it is visited"),
    (
        "topological_order",
        lambda last: order_of(last, post=True, reverse=True, remember=False),
        "appears twice",
    ),
    ("im2col", by_columns, "go down the columns"),
    ("im2col", channels_first, "in the order (C, KH, KW)"),
    ("layer", lambda x, w, b: np.maximum(w @ x + b, 0), "the factors are swapped"),
    ("layer", lambda x, w, b: np.where(np.dot(x, w.T) + b > 0, np.dot(x, w.T) + b, 0), "w is transposed"),
    ("layer", lambda x, w, b: md.nn.functional.relu(md.tensor(x) @ w + b), "this is a Tensor"),
    ("step", changes_its_input, "it changes its arguments"),
    ("step", lambda w, dw, lr: -(w - lr * dw), "the sign is wrong everywhere"),
    ("step", lambda w, dw, lr: 3 * (w - lr * dw), "all values are 3 times"),
    ("step", lambda w, dw, lr: w / 0.0, "NaN or infinity"),
    ("unbroadcast", lambda dy, shape: dy, "the answer has shape (2, 3): expected (3,)"),
    ("unbroadcast", lambda dy, shape: dy if dy.shape == shape else dy.sum(axis=0), "only one of the axes"),
    (
        "unbroadcast",
        lambda dy, shape: dy.sum(axis=0),
        "the shapes are equal: nothing was repeated, so nothing is summed",
    ),
    ("neuron", lambda x, w, b: np.maximum(w.reshape(1, -1) @ x + b, 0), "this is an array of shape (1,): the notebook"),
    ("neuron", lambda x, w, b: np.maximum(x * w + b, 0), "the products are not added up yet"),
    ("gradients", lambda order: [1.0] * len(order), "it returns list, which cannot be read as the answer: expected a"),
    ("gradients", lambda order: {}, "expected a dictionary, node -> gradient"),
    (
        "gradients",
        lambda order: {}[order[0]],
        "for order=[node 2, node 1, node 0].\n    Hint: it stops with KeyError: node",
    ),
    ("topological_order", lambda last: last, "it returns Node, which cannot be read as the answer: expected a list of"),
    ("product_slopes", lambda a, b: [b, a], "right."),
    ("product_slopes", lambda a, b: (b, b), "expected 2 at index (1,), got 5"),
    ("max_pool", pooled, "right."),
    ("max_pool", lambda *a: pooled(*a, start=0.0), "do not start from 0"),
    ("max_pool", lambda *a: pooled(*a, move=1), "its windows move by one pixel"),
    ("max_pool", lambda x, size, stride: x.max(), "the answer has shape (): expected (2, 2)"),
    ("max_pool_backward", unpooled, "right."),
    ("max_pool_backward", lambda *a: unpooled(*a, first=False), "all of several equal values get the gradient"),
    ("max_pool_backward", lambda *a: unpooled(*a, add=False), "the maximum of several windows"),
    ("relu_backward", lambda dy, x: np.where(x > 0, dy, 0), "right."),
    ("relu_backward", lambda dy, x: np.where(x > 0, dy, x), "expected 0 at index (1,), got -2"),
    ("relu_backward", lambda dy, x: np.where(x > 0, x, 0), "this is ReLU of x"),
    ("dense_backward", lambda dy, x, w: (dy.dot(w.T), np.einsum("ni,no->io", x, dy), sum(dy)), "right."),
    ("dense_backward", lambda dy, x, w: (dy @ w.T, np.einsum("ni,no->oi", x, dy), sum(dy)), "dw is transposed"),
    ("dense_backward", lambda dy, x, w: (dy @ w.T, x.T @ dy), "cannot be read as the answer"),
    ("bce_with_logits", lambda x, t: np.mean(np.logaddexp(0, x) - x * t), "right."),
    ("bce_with_logits", unstable_bce, "log 0 is infinite"),
    ("bce_with_logits", lambda x, t: np.mean(np.log(1 + np.exp(x)) - x * t), "e^x overflows for large x"),
    ("log_sum_exp", lambda x: np.logaddexp.reduce(x), "right."),
    ("log_sum_exp", lambda x: np.log(sum(np.exp(x))), "Subtract the largest x"),
    ("cross_entropy_gradient", lambda x, y: md.nn.functional.softmax(md.tensor(x)), "these are the probabilities p"),
    ("numerical_gradient", lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h), "expected (1,)"),
    ("numerical_gradient", lambda f, x, h: x, "for f=cube, x=[2.0], h=0.1."),
    ("numerical_gradient", moved_for_good, "it changes its arguments"),
    ("momentum_step", lambda w, dw, v, lr, momentum: (w - lr * dw - lr * momentum * v, momentum * v + dw), "right."),
    ("momentum_step", lambda w, dw, v, lr, momentum: (w - lr * v, momentum * v + dw), "w moved by the old velocity"),
    ("adam_step", adam_of_keras, "expected"),
    ("early_stopping", stopped, "right."),
    ("early_stopping", lambda *a: stopped(*a, equal=True), "an equal loss is not a new best"),
    ("clip_by_norm", lambda gradients, max_norm: [g * max_norm / np.linalg.norm(g) for g in gradients], "its own norm"),
    ("parse_name", lambda name: [int(part) for part in name.split("_")], "it stops with ValueError"),
    ("parse_name", lambda name: (*map(int, name.split("_")[:-1]), -1)[:3], "right."),
    ("parse_name", lambda name: (26, "1", 3), "these are still strings"),
    ("luma", lambda rgb: np.dot(rgb[..., :3], [0.299, 0.587, 0.114])[..., np.newaxis], "their shape is (1, 1, 1)"),
    ("best_constant", lambda ages: sorted(ages)[len(ages) // 2], "right."),
    ("first_copies", lambda digests: [digests.index(digest) for digest in digests], "right."),
    ("block_shape", lambda shape, filters: [int((side - 2) / 2) for side in shape[:2]] + [filters], "right."),
    ("training_step", forgetful_step, "zero_grad() is missing"),
    ("training_step", lambda *given: EXERCISES["training_step"].solution(*given) and None, "not solved yet"),
    ("grad_cam", lambda maps, dy: np.einsum("nhwk,nk->nhw", maps, dy.mean((1, 2))).clip(0), "right."),
    ("saliency", lambda dx: np.linalg.norm(dx, axis=3), "for dx of shape (2, 3, 4, 3)"),
    ("calibration_error", all_bins, "is something divided by 0?"),
    ("matmul_cost", lambda M, K, N: [M * N * (K + K), 4 * M * K + 4 * K * N + 4 * M * N], "right."),
    ("matmul_cost", lambda M, K, N: M * N * (2 * K - 1), "the answer has shape (): expected (2,)"),
    ("attainable", lambda intensity, peak, bandwidth: [min(peak, bandwidth * i) for i in intensity], "this is a list"),
    ("attainable", lambda intensity, peak, bandwidth: min(bandwidth * intensity, peak), "compares two numbers"),
    ("finish_times", finished, "this is a list"),
    ("finish_times", lambda *given: np.array(finished(*given)), "right."),
    ("finish_times", lambda *given: finished(*given, numbered_from=0), "the first launch takes time, too"),
    ("power_mean", lambda x, p: [float(np.mean(row**p) ** (1 / p)) for row in x], "this is a list"),
    ("power_mean", lambda x, p: np.array([np.mean(row**p) ** (1 / p) for row in x]), "right."),
    ("power_mean", lambda x, p: np.mean(x**p, axis=1) ** 1 / p, "the mean is divided by p"),
    ("adagrad_step", lambda w, dw, v, lr, eps: (w - lr * dw / (np.sqrt(v + dw**2) + eps), v + dw**2), "right."),
    ("adagrad_step", lambda w, dw, v, lr, eps: w - lr * dw / (np.sqrt(v + dw**2) + eps), "expected (6,)"),
    ("window_pixels", pixels_of_windows, "this is a list"),
    ("window_pixels", lambda *sizes: np.array(pixels_of_windows(*sizes)), "right."),
    ("window_pixels", lambda *sizes: pixels_of_windows(*sizes, width=sizes[0]), "W further, not H"),
]


@pytest.mark.parametrize(("name", "attempt", "hint"), ANSWERS)
def test_what_readers_write(
    name: str, attempt: Callable[..., Any], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hint in said(name, attempt, capsys)


def wrapped(name: str, wrap: Callable[[Any], Any]) -> Callable[..., Any]:
    """The solution, with its result in another type."""
    return lambda *given: wrap(EXERCISES[name].solution(*given))


def gives_a_number(exercise: Exercise) -> bool:
    return np.isscalar(exercise.solution(*copy.deepcopy(exercise.examples[0])))


NUMBERS = [name for name, exercise in EXERCISES.items() if gives_a_number(exercise)]


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_is_not_taken_for_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def hint(wrap: Callable[[Any], Any]) -> str:
        return said(name, wrapped(name, wrap), capsys).partition("Hint: ")[2].partition("\n")[0]

    the_value = "the value is right, but this is"
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


@pytest.mark.parametrize("name", NUMBERS)
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
        assert said("training_step", EXERCISES["training_step"].solution, capsys) == "training_step: right.\n"
