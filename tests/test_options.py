"""Options accept scalars of any type, and wrong values raise an error where they are set."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.callbacks import EarlyStopping
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import GraphError, MinidlError
from minidl.testing.arrays import numbers
from minidl.train import Trainer

from .tensors import leaf

F = nn.functional
X = md.tensor(numbers(2, 3, 4).astype(np.float32))
ROWS, SHIFTED = X.reshape(6, 4), X.numpy() + 1
IMAGE = md.tensor(numbers(2, 6, 6, 2).astype(np.float32))
W = np.ones((3, 3, 2, 1), np.float32)
ONE, ZERO = np.ones(4, np.float32), np.zeros(4, np.float32)

Kind = Callable[[Any], Any]

KINDS: dict[str, Kind] = {
    "float64 and int64": lambda n: np.int64(n) if isinstance(n, int) else np.float64(n),
    "float32 and int8": lambda n: np.int8(n) if isinstance(n, int) else np.float32(n),
    "arrays": np.array,
    "tensors": lambda n: md.tensor(np.array(n)),
}


def trained(make: Callable[[list[md.Tensor]], optim.Optimizer], k: Kind) -> md.Tensor:
    w = md.tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    optimizer = make([w])
    for _ in range(3):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optim.clip_grad_norm([w], k(1.0))
        optimizer.step()
        assert type(optimizer.lr) is float
    return w


CALLS: dict[str, Callable[[Kind], md.Tensor]] = {
    "sum": lambda k: X.sum(k(1)),
    "sum over two": lambda k: X.sum((k(0), k(-1))),
    "mean": lambda k: X.mean(axis=k(1), keepdims=True),
    "max": lambda k: X.max(k(1)),
    "var": lambda k: X.var([k(1)]),
    "argmax": lambda k: X.argmax(k(1)),
    "softmax": lambda k: F.softmax(X, k(1)),
    "log_softmax": lambda k: F.log_softmax(X, k(1)),
    "Softmax": lambda k: nn.Softmax(k(1))(X),
    "reshape": lambda k: X.reshape(k(2), k(-1)),
    "transpose": lambda k: X.transpose(k(0), k(2), k(-2)),
    "concatenate": lambda k: F.concatenate([X, X], k(1)),
    "stack": lambda k: F.stack([X, X], k(1)),
    "getitem": lambda k: X[k(1), k(0) : k(2)],
    "pad": lambda k: F.pad(X, ((k(1), k(0)), (k(0), k(0)), (k(2), k(1))), value=k(0.5)),
    "broadcast_to": lambda k: F.broadcast_to(X, (k(5), k(2), k(3), k(4))),
    "clip": lambda k: X.clip(k(-0.5), k(1)),
    "leaky_relu": lambda k: F.leaky_relu(X, k(0.1)),
    "LeakyReLU": lambda k: nn.LeakyReLU(k(0.1))(X),
    "dropout": lambda k: F.dropout(X, k(0.5), rng=md.Generator(k(3))),
    "Dropout": lambda k: nn.Dropout(k(0.5), rng=md.Generator(3))(X),
    "huber_loss": lambda k: F.huber_loss(X, SHIFTED, k(0.5)),
    "HuberLoss": lambda k: nn.HuberLoss(k(0.5))(X, SHIFTED),
    "batch_norm": lambda k: F.batch_norm(X, ONE, ZERO, eps=k(0.1)),
    "BatchNorm": lambda k: nn.BatchNorm(k(4), momentum=k(0.5), eps=k(0.01))(X),
    "BatchNorm in eval": lambda k: nn.BatchNorm(k(4), momentum=k(0.5), eps=k(0.01)).eval()(X),
    "Dense": lambda k: nn.Dense(k(4), k(2))(ROWS),
    "Conv2D": lambda k: nn.Conv2D(k(2), k(3), k(3), k(2), k(1))(IMAGE),
    "Conv2D of pairs": lambda k: nn.Conv2D(2, 3, (k(3), k(2)), (k(2), k(1)), ((k(1), k(0)), (k(0), k(1))))(IMAGE),
    "Conv2D of lists": lambda k: nn.Conv2D(2, 3, [k(3), k(2)], [k(2), k(1)], [k(1), k(0)])(IMAGE),
    "conv2d": lambda k: F.conv2d(IMAGE, W, stride=k(2), padding=(k(1), k(1))),
    "max_pool2d": lambda k: F.max_pool2d(IMAGE, k(2), k(1), k(1)),
    "avg_pool2d of lists": lambda k: F.avg_pool2d(IMAGE, [k(2), k(3)], [k(1), k(2)], [k(1), k(1)]),
    "MaxPooling2D": lambda k: nn.MaxPooling2D(k(2), k(1), k(1))(IMAGE),
    "AveragePooling2D of lists": lambda k: nn.AveragePooling2D([k(2), k(3)], [k(1), k(1)])(IMAGE),
    "zeros": lambda k: md.zeros(k(2), k(3)),
    "arange": lambda k: md.arange(k(1), k(2), k(0.25)),
    "SGD": lambda k: trained(lambda p: optim.SGD(p, k(0.1), k(0.9), True, k(0.1)), k),
    "Adam": lambda k: trained(lambda p: optim.Adam(p, k(0.1), (k(0.5), k(0.75)), k(1e-3)), k),
    "AdamW": lambda k: trained(lambda p: optim.AdamW(p, k(0.1), [k(0.5), k(0.75)], k(1e-3), k(0.1)), k),
    "RMSprop": lambda k: trained(lambda p: optim.RMSprop(p, k(0.1), k(0.5), k(1e-3), k(0.1), k(0.5), True), k),
    "Adagrad": lambda k: trained(lambda p: optim.Adagrad(p, k(0.1), k(0.1), k(0.1), k(0.1), k(1e-3)), k),
    "constant": lambda k: trained(lambda p: optim.SGD(p, optim.constant(k(0.1))), k),
    "step": lambda k: trained(lambda p: optim.SGD(p, optim.step(k(0.1), k(2), k(0.5))), k),
    "cosine": lambda k: trained(lambda p: optim.SGD(p, optim.cosine(k(0.1), k(10), k(2), k(0.01))), k),
    "one_cycle": lambda k: trained(lambda p: optim.SGD(p, optim.one_cycle(k(0.1), k(9), k(0.5), k(0.1), k(0.01))), k),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS)
def test_an_option_may_be_a_number_of_any_kind(call: str, kind: str) -> None:
    md.seed(1)
    expected = CALLS[call](lambda n: n)
    md.seed(1)
    y = CALLS[call](KINDS[kind])
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("call", CALLS)
def test_an_option_that_would_lose_its_gradient_is_refused(call: str) -> None:
    """A slope that is a Parameter would never be trained."""
    learned = []

    def kind(n: Any) -> Any:
        if not isinstance(n, float):
            return n
        learned.append(nn.Parameter(n))
        return learned[-1]

    message = "an option is a number without a gradient, .* F.maximum.* for clip or F.where.* for leaky_relu, or pass"
    refused = ""
    try:
        CALLS[call](kind)
    except GraphError as error:
        refused = error.message
    assert bool(re.match(message, refused)) == bool(learned)


def test_what_the_error_says_to_write_instead_has_the_gradient() -> None:
    x, slope, low = leaf(-1.0, 0.25, 2.0), leaf(0.25), leaf(0.5)
    F.where(x > 0, x, slope * x).sum().backward()
    F.maximum(x.detach(), low).sum().backward()
    assert (slope.grad, low.grad) == ([-1.0], [2.0])


P = [md.tensor([1.0], requires_grad=True)]
NAN = float("nan")
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "max_norm below 0": (lambda: optim.clip_grad_norm(P, -1), "max_norm must be a number >= 0, got -1"),
    "max_norm NaN": (lambda: optim.clip_grad_norm(P, NAN), "max_norm must be a number >= 0, got nan"),
    "delta below 0": (lambda: F.huber_loss(X, X, -1), "delta must be a number > 0, got -1"),
    "delta 0": (lambda: nn.HuberLoss(0), "delta must be a number > 0, got 0"),
    "slope": (lambda: nn.LeakyReLU("0.1"), "slope must be a number, got '0.1'"),
    "slope nan": (lambda: nn.LeakyReLU(float("nan")), "slope must be a finite number, got nan"),
    "slope inf": (lambda: nn.functional.leaky_relu(md.ones(1), float("inf")), "slope must be a finite number, got inf"),
    "beta 1": (lambda: optim.Adam(P, betas=(1, 0.9)), "beta1 must be a number >= 0 and < 1, got 1"),
    "beta NaN": (lambda: optim.Adam(P, betas=(0.9, NAN)), "beta2 must be a number >= 0 and < 1, got nan"),
    "one beta": (lambda: optim.AdamW(P, betas=0.9), "betas must be a pair of numbers >= 0 and < 1, got 0.9"),
    "Adam's eps": (lambda: optim.Adam(P, eps=-1e-8), "eps must be a number >= 0, got -1e-08"),
    "weight_decay": (lambda: optim.AdamW(P, weight_decay=-1), "weight_decay must be a number >= 0, got -1"),
    "SGD's weight_decay": (lambda: optim.SGD(P, weight_decay=NAN), "weight_decay must be a number >= 0, got nan"),
    "SGD's momentum": (lambda: optim.SGD(P, momentum=-0.9), "momentum must be a number >= 0, got -0.9"),
    "BatchNorm's momentum": (
        lambda: nn.BatchNorm(3, momentum=1.1),
        "momentum must be a number >= 0 and <= 1, got 1.1",
    ),
    "BatchNorm's eps": (lambda: nn.BatchNorm(3, eps=-1), "eps must be a number >= 0, got -1"),
    "channels": (lambda: nn.BatchNorm(0), "channels must be an integer >= 1, got 0"),
    "batch_norm's eps": (lambda: F.batch_norm(X, ONE, ZERO, eps=NAN), "eps must be a number >= 0, got nan"),
    "rate": (lambda: nn.Dropout(NAN), "the dropout rate must be in 0 <= rate < 1, got nan"),
    "rate as text": (lambda: F.dropout(X, "half"), "the dropout rate must be in 0 <= rate < 1, got 'half'"),
    "axis": (lambda: X.sum(1.0), "axis must be an integer, got 1.0"),
    "axis of a layer": (lambda: nn.Softmax(axis=0.5), "axis must be an integer, got 0.5"),
    "axes": (lambda: X.transpose(0, 1, "2"), "axis must be an integer, got '2'"),
    "low": (lambda: X.clip("0"), "low must be a number, got '0'"),
    "value": (lambda: F.pad(X, ((0, 0), (0, 0), (0, 0)), value=None), "value must be a number, got None"),
    "width": (lambda: F.pad(X, ((0, 0), (0, 0), (0, 0.5))), "a width must be an integer, got 0.5"),
    "widths": (lambda: F.pad(X, (1, 2, 3)), r"expected one pair \(before, after\) per axis, got \(1, 2, 3\)"),
    "lr of a schedule": (lambda: optim.constant(-1), "lr must be a number >= 0, got -1"),
    "factor": (lambda: optim.step(1.0, 2, factor=-0.5), "factor must be a number >= 0, got -0.5"),
    "every": (lambda: optim.step(1.0, 2.5), "every must be an integer >= 1, got 2.5"),
    "warmup": (lambda: optim.cosine(1.0, 10, warmup=-1), "warmup must be an integer >= 0, got -1"),
    "rise": (lambda: optim.one_cycle(1.0, 10, rise=2), "rise must be a number >= 0 and <= 1, got 2"),
    "seed": (lambda: md.seed(-1), "seed must be an integer >= 0, got -1"),
    "pooling size": (lambda: F.max_pool2d(IMAGE, 0), "the size of the kernel must be an integer >= 1"),
    "pooling stride": (lambda: nn.MaxPooling2D(2, stride=0), "the stride must be an integer >= 1"),
    "pooling padding": (lambda: nn.AveragePooling2D(2, padding=2), "padding must be smaller than the pooling window"),
    "convolution": (lambda: nn.Conv2D(1, 1, 3, stride=0.5), "the stride must be an integer >= 1"),
}


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_option_is_refused_where_it_is_given(option: str) -> None:
    call, message = WRONG[option]
    with pytest.raises(MinidlError, match=message):
        call()


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize(
    ("gradient", "limit", "norm", "clipped"),
    [
        ([0.0, 0.0], 0.0, 0, [0, 0]),
        ([3.0, 4.0], 0.0, 5, [0, 0]),
        ([3.0, 4.0], float("inf"), 5, [3, 4]),
        ([3.0, 4.0], 1.0, 5, [0.6, 0.8]),
        ([3.0, 4.0], 5.0, 5, [3, 4]),
    ],
)
def test_gradients_are_clipped_at_every_limit(
    gradient: list[float], limit: float, norm: float, clipped: list[float], backend: str
) -> None:
    x = md.tensor(gradient, requires_grad=True, backend=backend)
    x.grad = md.tensor(gradient, backend=backend).data
    assert float(x.backend.to_numpy(optim.clip_grad_norm([x], limit))) == norm
    np.testing.assert_allclose(x.backend.to_numpy(x.grad), clipped, rtol=1e-6)


def test_clipping_float16_does_not_square_in_float16() -> None:
    x = md.tensor(np.array([300.0, 400.0], np.float16), requires_grad=True)
    x.grad = x.numpy().copy()
    assert optim.clip_grad_norm([x], 5.0) == 500
    assert x.grad.dtype == np.float16
    np.testing.assert_allclose(x.grad, [3, 4], rtol=1e-3)


def adam() -> optim.Adam:
    return optim.Adam([md.tensor([1.0], requires_grad=True)])


def sgd() -> optim.SGD:
    return optim.SGD([md.tensor([1.0], requires_grad=True)], momentum=0.5)


def loader() -> DataLoader:
    return DataLoader(ArrayDataset(np.zeros((4, 1), np.float32), np.zeros((4, 1), np.float32)), batch_size=2)


def trainer() -> Trainer:
    model = nn.Dense(1, 1)
    return Trainer(model, F.mse_loss, optim.SGD(model.parameters()))


SET_LATER: list[tuple[Callable[[], Any], str, Any, str]] = [
    (adam, "lr", -1, "the learning rate must be a number >= 0 or a schedule, got -1"),
    (adam, "lr", float("inf"), "the learning rate must be a number >= 0 or a schedule, got inf"),
    (adam, "eps", float("inf"), "eps must be a number >= 0, got inf"),
    (adam, "lr", NAN, "the learning rate must be a number >= 0 or a schedule, got nan"),
    (adam, "lr", "0.1", "the learning rate must be a number"),
    (adam, "lr", None, "the learning rate must be a number"),
    (adam, "lr", True, "the learning rate must be a number >= 0 or a schedule, got True"),
    (adam, "lr", md.tensor([0.1, 0.2]), "the learning rate must be a number"),
    (adam, "lr", optim.constant(0.1), "a schedule is set as optimizer.schedule"),
    (adam, "schedule", 0.1, "expected a schedule, or None for a constant optimizer.lr, got 0.1"),
    (adam, "betas", (0.9, 7), "beta2 must be a number >= 0 and < 1, got 7"),
    (adam, "eps", -1, "eps must be a number >= 0, got -1"),
    (adam, "weight_decay", "x", "weight_decay must be a number >= 0, got 'x'"),
    (sgd, "momentum", -1, "momentum must be a number >= 0, got -1"),
    (sgd, "nesterov", "x", "nesterov must be True or False, got 'x'"),
    (lambda: optim.SGD(P), "nesterov", True, "Nesterov's method needs momentum > 0"),
    (lambda: optim.RMSprop(P), "alpha", 1, "alpha must be a number >= 0 and < 1, got 1"),
    (lambda: optim.RMSprop(P), "centered", 0.9, "centered must be True or False, got 0.9"),
    (lambda: optim.Adagrad(P), "lr_decay", -1, "lr_decay must be a number >= 0, got -1"),
    (lambda: nn.BatchNorm(2), "momentum", 7, "momentum must be a number >= 0 and <= 1, got 7"),
    (lambda: nn.BatchNorm(2), "eps", None, "eps must be a number >= 0, got None"),
    (lambda: nn.Dropout(0.5), "rate", 7, "the dropout rate must be in 0 <= rate < 1, got 7"),
    (lambda: nn.Dropout(0.5), "rng", 0, "expected rng=md.Generator"),
    (lambda: nn.LeakyReLU(), "slope", "x", "slope must be a number, got 'x'"),
    (lambda: nn.Softmax(), "axis", 0.5, "axis must be an integer, got 0.5"),
    (lambda: nn.HuberLoss(), "delta", 0, "delta must be a number > 0, got 0"),
    (lambda: nn.SoftmaxCrossEntropy(), "ignore_index", 1.5, "ignore_index must be an integer, got 1.5"),
    (loader, "batch_size", 0, "batch_size must be an integer >= 1, got 0"),
    (loader, "batch_size", 2.5, "batch_size must be an integer >= 1, got 2.5"),
    (loader, "shuffle", "yes", "shuffle must be True or False, got 'yes'"),
    (loader, "mirror", True, "mirror=True is for images"),
    (loader, "seed", -1, "seed must be an integer >= 0, got -1"),
    (loader, "prefetch", -1, "prefetch must be an integer >= 0, got -1"),
    (lambda: DataLoader(ArrayDataset(np.zeros(4)), 8), "drop_last", True, "4 samples gives no batch of 8"),
    (trainer, "loss", None, "expected a loss of outputs and targets, got None"),
    (trainer, "optimizer", "adam", "expected an optimizer, got 'adam'"),
    (trainer, "metrics", ["mae"], "expected a dictionary of metrics"),
    (trainer, "callbacks", 3, "expected a list of callbacks, got int"),
    (EarlyStopping, "patience", "5", "patience must be an integer >= 0, got '5'"),
]


@pytest.mark.parametrize(("make", "name", "value", "message"), SET_LATER)
def test_a_wrong_option_is_refused_when_it_is_set_later_and_the_old_one_stays(
    make: Callable[[], Any], name: str, value: Any, message: str
) -> None:
    thing = make()
    before = getattr(thing, name)
    with pytest.raises(MinidlError, match=re.escape(message)):
        setattr(thing, name, value)
    assert getattr(thing, name) is before


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_set_later_becomes_a_plain_number(kind: str) -> None:
    optimizer, layer = adam(), nn.BatchNorm(2)
    optimizer.lr = KINDS[kind](0.5)
    layer.momentum = KINDS[kind](0.5)
    assert type(optimizer.lr) is type(layer.momentum) is float
    assert optimizer.lr == layer.momentum == 0.5


def test_an_option_set_later_counts_in_the_next_step() -> None:
    w = md.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    optimizer.lr = 0.25
    (w * w).sum().backward()
    optimizer.step()
    assert w.item() == 0.5


@pytest.mark.parametrize("wrong", [-0.1, NAN, None, "0.1", True])
def test_what_a_schedule_gives_is_checked_in_every_step_before_anything_changes(wrong: Any) -> None:
    w = md.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=lambda step: wrong if step == 1 else 0.25)
    (w * w).sum().backward()
    optimizer.step()
    with pytest.raises(MinidlError, match=f"^the schedule returned {wrong!r} for step 1, expected a learning rate"):
        optimizer.step()
    assert (w.item(), optimizer.steps, optimizer.lr) == (0.5, 1, 0.25)


def test_reading_an_option_is_reading_an_attribute() -> None:
    assert vars(adam())["lr"] == 1e-3
    assert not hasattr(vars(optim.Optimizer)["lr"], "__get__")


def test_an_option_that_is_not_set_yet_says_so() -> None:
    class Early(optim.SGD):
        def __init__(self) -> None:
            self.seen = repr(self.momentum)
            super().__init__(P)

    assert Early().seen == "<the option momentum, not set yet>"


@pytest.mark.parametrize(
    "use",
    [
        lambda option: option * 2,
        lambda option: 2 - option,
        lambda option: -option,
        lambda option: option > 0,
        lambda option: not option,
        lambda option: float(option),
        lambda option: range(option),
        lambda option: [*option],
        lambda option: option[0],
        lambda option: np.float32(2) * option,
    ],
)
def test_computing_with_an_option_that_is_not_set_yet_is_an_error(use: Callable[[Any], Any]) -> None:
    class Early(optim.SGD):
        def __init__(self) -> None:
            self.seen = use(self.momentum)
            super().__init__(P)

    with pytest.raises(MinidlError, match=r"^momentum is not set yet: call super\(\).__init__\(\) before using it$"):
        Early()


def test_an_attribute_of_an_option_that_is_not_set_yet_is_an_error() -> None:
    class Early(DataLoader):
        def __init__(self) -> None:
            self.dataset.take([0])

    with pytest.raises(AttributeError, match=r"^dataset is not set yet and has no 'take': call super"):
        Early()


@pytest.mark.parametrize("wrong", ["False", "", 0.5, None, 2, np.array([True, False]), np.ones(2)])
def test_requires_grad_is_true_or_false(wrong: Any) -> None:
    x = md.tensor([1.0])
    for change in (
        lambda: setattr(x, "requires_grad", wrong),
        lambda: md.tensor([1.0], requires_grad=wrong),
        lambda: md.zeros(1, requires_grad=wrong),
        lambda: md.Tensor(np.ones(1), wrong),
    ):
        with pytest.raises(MinidlError, match=r"^requires_grad must be True or False, got "):
            change()
    assert x.requires_grad is False
    for on in (True, np.bool_(True), np.array(True), 1):
        assert md.Tensor(np.ones(1), on).requires_grad is True  # type: ignore[arg-type]
    assert md.Tensor(np.ones(1), np.bool_(False)).requires_grad is False  # type: ignore[arg-type]
