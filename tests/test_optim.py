"""Optimizers against the formulas of their papers; schedules; clipping."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.errors import GraphError, MinidlError
from minidl.testing.arrays import numbers

P0 = numbers(3, 4)
GRADIENTS = [numbers(3, 4, seed=seed) for seed in range(1, 6)]


def sgd(lr: float, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> Iterator[Any]:
    p, v = P0.copy(), np.zeros_like(P0)
    for g in GRADIENTS:
        g = g + weight_decay * p
        v = momentum * v + g
        p = p - lr * (g + momentum * v if nesterov else v)
        yield p


def adam(lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> Iterator[Any]:
    p, m, v = P0.copy(), np.zeros_like(P0), np.zeros_like(P0)
    for t, g in enumerate(GRADIENTS, start=1):
        p = p - lr * weight_decay * p
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        p = p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        yield p


def rmsprop(
    lr: float, a: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0, momentum: float = 0.0, centered: int = 0
) -> Iterator[Any]:
    p, v, mean, u = P0.copy(), *np.zeros((3, *P0.shape))
    for g in GRADIENTS:
        g = g + weight_decay * p
        v = a * v + (1 - a) * g**2
        mean = a * mean + (1 - a) * g
        u = momentum * u + g / (np.sqrt(v - centered * mean**2) + eps)
        p = p - lr * u
        yield p


def adagrad(
    lr: float, lr_decay: float = 0.0, weight_decay: float = 0.0, start: float = 0.0, eps: float = 1e-10
) -> Iterator[Any]:
    p, v = P0.copy(), np.full_like(P0, start)
    for t, g in enumerate(GRADIENTS):
        g = g + weight_decay * p
        v = v + g**2
        p = p - lr / (1 + t * lr_decay) * g / (np.sqrt(v) + eps)
        yield p


@pytest.mark.parametrize(
    ("make", "formula"),
    [
        (lambda p: optim.SGD(p, 0.1), sgd(0.1)),
        (lambda p: optim.SGD(p, 0.1, momentum=0.9), sgd(0.1, 0.9)),
        (lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True), sgd(0.1, 0.9, True)),
        (lambda p: optim.SGD(p, 0.1, momentum=0.5, weight_decay=0.2), sgd(0.1, 0.5, False, 0.2)),
        (lambda p: optim.Adam(p, 0.1), adam(0.1)),
        (lambda p: optim.Adam(p, 0.1, betas=(0.8, 0.9), eps=0.1), adam(0.1, 0.8, 0.9, 0.1)),
        (lambda p: optim.AdamW(p, 0.1, weight_decay=0.3), adam(0.1, weight_decay=0.3)),
        (lambda p: optim.RMSprop(p), rmsprop(0.01)),
        (lambda p: optim.RMSprop(p, 0.1, 0.8, 0.1, weight_decay=0.2), rmsprop(0.1, 0.8, 0.1, 0.2)),
        (lambda p: optim.RMSprop(p, momentum=0.5, centered=True), rmsprop(0.01, momentum=0.5, centered=1)),
        (lambda p: optim.Adagrad(p), adagrad(0.01)),
        (lambda p: optim.Adagrad(p, 0.1, 0.5, 0.2, 0.3, 0.1), adagrad(0.1, 0.5, 0.2, 0.3, 0.1)),
    ],
)
def test_steps_follow_the_formula(make: Any, formula: Iterator[Any]) -> None:
    p = nn.Parameter(P0.copy())
    data = p.data
    optimizer = make([p])
    for gradient, expected in zip(GRADIENTS, formula, strict=True):
        p.grad = gradient.copy()
        optimizer.step()
        np.testing.assert_allclose(p.data, expected, rtol=1e-12)
        np.testing.assert_array_equal(p.grad, gradient)
    assert p.data is data, "parameters change in place"


def small_model() -> nn.Sequential:
    return nn.Sequential(nn.Dense(3, 4, rng=md.Generator(0)), nn.Tanh(), nn.Dense(4, 1, rng=md.Generator(1)))


def train(model: nn.Module, optimizer: optim.Optimizer, steps: range) -> None:
    for step in steps:
        x = md.tensor(numbers(5, 3, seed=step), dtype=np.float32)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), np.ones((5, 1))).backward()
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, 0.1, momentum=0.9),
        lambda p: optim.Adam(p, optim.one_cycle(0.1, 10)),
        lambda p: optim.AdamW(p),
        lambda p: optim.RMSprop(p, momentum=0.5, centered=True),
        lambda p: optim.Adagrad(p, lr_decay=0.1),
    ],
)
def test_a_saved_optimizer_goes_on_bit_for_bit(make: Any) -> None:
    model, half, other = small_model(), small_model(), small_model()
    train(model, make(model.parameters()), range(8))
    optimizer = make(half.parameters())
    train(half, optimizer, range(4))
    state, weights = optimizer.state_dict(), half.state_dict()
    train(half, optimizer, range(4, 6))  # the state is a copy: this must not change it
    second = make(other.parameters())
    other.load_state_dict(weights)
    second.load_state_dict(state)
    train(other, second, range(4, 8))
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_centered_rmsprop_whose_gradient_stays_the_same_makes_steps_of_bounded_length(dtype: Any) -> None:
    p = nn.Parameter(np.zeros(4, dtype))
    optimizer = optim.RMSprop([p], centered=True, alpha=0.5)
    gradient = np.array([0.1, 0.3, 0.7, 0], dtype)
    for _ in range(100):
        before = p.data.copy()
        p.grad = gradient
        optimizer.step()
        assert (np.abs(p.data - before) <= 1.01 * 0.01 / np.sqrt(np.finfo(dtype).eps)).all()


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_options_may_be_numbers_of_numpy(number: Any) -> None:
    for momentum in (0.5, 0.0):
        ours, theirs = small_model(), small_model()
        train(ours, optim.RMSprop(ours.parameters(), momentum=momentum, centered=True), range(3))
        numpys = optim.RMSprop(theirs.parameters(), momentum=number(momentum), centered=np.True_)  # type: ignore[arg-type]
        train(theirs, numpys, range(3))
        assert theirs[0].w.dtype == np.float32
        np.testing.assert_allclose(ours[0].w.data, theirs[0].w.data, rtol=1e-4)


@pytest.mark.parametrize("options", [{"momentum": 0.5}, {"centered": True}, {"momentum": 0.5, "centered": True}])
def test_an_option_of_rmsprop_may_be_turned_on_later(options: dict[str, Any]) -> None:
    model, other = small_model(), small_model()
    optimizer = optim.RMSprop(model.parameters())
    train(model, optimizer, range(3))
    other.load_state_dict(model.state_dict())
    loaded = optim.RMSprop(other.parameters(), **options)
    loaded.load_state_dict(optimizer.state_dict())
    vars(optimizer).update(options)
    train(model, optimizer, range(3, 5))
    train(other, loaded, range(3, 5))
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad])
def test_a_subclass_may_remember_something_before_its_base_does(kind: Any) -> None:
    class Counting(kind):  # type: ignore[misc]
        def update(self, param: Any, grad: Any, state: Any) -> None:
            state["updates"] = state.get("updates", 0) + 1
            super().update(param, grad, state)

    model, plain = small_model(), small_model()
    train(model, Counting(model.parameters(), 0.1), range(2))
    train(plain, kind(plain.parameters(), 0.1), range(2))
    np.testing.assert_array_equal(model[0].w.data, plain[0].w.data)


def test_state_is_kept_by_parameter_name() -> None:
    model = small_model()
    optimizer = optim.Adam(model.parameters())
    train(model, optimizer, range(1))
    assert list(optimizer.state) == ["0.w", "0.b", "2.w", "2.b"]
    assert set(optimizer.state["0.w"]) == {"m", "v", "t"}


def test_a_large_parameter_is_updated_like_a_small_one() -> None:
    values, gradient = numbers(300, 301).astype(np.float32), numbers(300, 301, seed=1).astype(np.float32)
    whole = nn.Parameter(values.copy())
    whole.grad = gradient
    optim.Adam([whole], 0.01).step()
    parts = [nn.Parameter(row.copy()) for row in values]
    for part, row in zip(parts, gradient, strict=True):
        part.grad = row
    optim.Adam(parts, 0.01).step()
    np.testing.assert_array_equal(whole.data, np.stack([part.data for part in parts]))


def adam_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many parameters each call of the backend's kernel is for, from now on."""
    backend, calls = md.backends.default, list[int]()
    kernel = type(backend).adam

    def recorded(self: Any, tensors: Any, step: Any) -> None:
        calls.append(len(tensors))
        kernel(self, tensors, step)

    monkeypatch.setattr(type(backend), "adam", recorded)
    return calls


def test_adam_hands_all_parameters_of_one_age_to_the_backend_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    optimizer = optim.Adam(model.parameters())
    calls = adam_calls(monkeypatch)
    train(model, optimizer, range(1))
    model.parameters()[0].grad = None
    optimizer.step()
    train(model, optimizer, range(1))
    assert calls == [4, 3, 1, 3]
    assert [state["t"] for state in optimizer.state.values()] == [2, 3, 3, 3]


class AdamThatCounts(optim.Adam):
    """Adam with an update of its own, which goes on to Adam's."""

    def update(self, param: Any, grad: Any, state: Any) -> None:
        state["updates"] = state.get("updates", 0) + 1
        super().update(param, -grad, state)


def test_an_update_of_ones_own_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [small_model() for _ in range(2)]
    calls = adam_calls(monkeypatch)
    first = AdamThatCounts(models[0].parameters())
    second = optim.Adam(models[1].parameters())
    plain = second.update
    monkeypatch.setattr(second, "update", lambda param, grad, state: plain(param, -grad, state))
    for model, optimizer in zip(models, (first, second), strict=True):
        train(model, optimizer, range(3))
    assert calls == [1] * 24
    assert [state["updates"] for state in first.state.values()] == [3, 3, 3, 3]
    assert all(
        np.array_equal(mine, other) for mine, other in zip(*(m.state_dict().values() for m in models), strict=True)
    )
    train(plain_model := small_model(), optim.Adam(plain_model.parameters()), range(3))
    assert not np.array_equal(plain_model.state_dict()["0.w"], models[0].state_dict()["0.w"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: optim.Adam(m.parameters()).step(), r"no gradient: call backward\(\) first"),
        (lambda m: optim.clip_grad_norm(m.parameters(), 1.0), "no gradient to clip"),
        (lambda m: optim.SGD(m.parameters(), lr=-1), "learning rate must be a number >= 0 or a schedule, got -1"),
        (lambda m: optim.SGD(m.parameters(), nesterov=True), "Nesterov's method needs momentum"),
        (lambda m: optim.SGD([m(md.tensor(np.ones((1, 3), np.float32)))]), "leaf tensors, got the result of Linear"),
        (lambda m: optim.SGD(m[0].w), "parameters of a model, got Parameter: pass"),
        (lambda m: optim.SGD(m.parameters(), lr=None), "or a schedule, got None"),
        (lambda m: optim.SGD(m.state_dict()), "tensors to change, got str: pass"),
        (lambda m: optim.SGD(m[0].parameters() + small_model()[0].parameters()), "two parameters are called '0.w'"),
        (lambda m: optim.SGD(m.parameters()).load_state_dict({"state": {"x": {}}}), "other parameters, 0.b, 0.w"),
        (lambda m: optim.cosine(1.0, steps=0), "at least one step"),
        (lambda m: optim.RMSprop(m.parameters(), alpha=1.5), "^alpha must be a number >= 0 and < 1, got 1.5"),
        (lambda m: optim.RMSprop(m.parameters(), alpha=1), "^alpha must be a number >= 0 and < 1, got 1"),
        (lambda m: optim.RMSprop(m.parameters(), eps=-1e-8), "^eps must be a number >= 0, got -1e-08"),
        (lambda m: optim.RMSprop(m.parameters(), momentum=math.nan), "^momentum must be a number >= 0, got nan"),
        (lambda m: optim.RMSprop(m.parameters(), weight_decay="0.1"), "^weight_decay must be .*, got '0.1'"),
        (lambda m: optim.Adagrad(m.parameters(), eps=-1), "^eps must be a number >= 0, got -1"),
        (lambda m: optim.Adagrad(m.parameters(), lr_decay=-1), "^lr_decay must be a number >= 0, got -1"),
        (
            lambda m: optim.Adagrad(m.parameters(), initial_accumulator_value=-1),
            "^initial_accumulator_value must be a number >= 0, got -1",
        ),
    ],
)
def test_mistakes(call: Any, message: str) -> None:
    with pytest.raises((GraphError, MinidlError), match=message):
        call(small_model())


def test_schedules() -> None:
    assert [optim.constant(0.5)(step) for step in (0, 99)] == [0.5, 0.5]
    assert [optim.step(1.0, 3)(step) for step in (2, 3, 6)] == pytest.approx([1, 0.1, 0.01])
    cosine = optim.cosine(1.0, steps=110, warmup=10, final=0.1)
    assert [cosine(step) for step in (0, 9, 10, 60, 110, 500)] == pytest.approx([0.1, 1, 1, 0.55, 0.1, 0.1])
    cycle = optim.one_cycle(2.0, steps=100, rise=0.2)
    assert [cycle(step) for step in (0, 10, 20, 60, 100)] == pytest.approx([0.08, 1.04, 2, 1.0001, 2e-4])
    assert max(range(101), key=cycle) == 20
    assert len(md.plugins.names("schedule")) == 4


def test_a_schedule_drives_the_optimizer() -> None:
    p = nn.Parameter(np.zeros(1))
    optimizer = optim.SGD([p], lr=optim.step(1.0, every=2, factor=0.5))
    seen = []
    for _ in range(4):
        p.grad = np.ones(1)
        optimizer.step()
        seen.append(optimizer.lr)
    assert seen == [1, 1, 0.5, 0.5]
    assert p.data == [-3]


def test_clipping_scales_all_gradients_together() -> None:
    a, b = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(1))
    a.grad, b.grad = np.array([3.0, 0.0]), np.array([4.0])
    assert optim.clip_grad_norm([a, b], 10.0) == 5
    np.testing.assert_array_equal(a.grad, [3, 0])
    assert optim.clip_grad_norm([a, b], 1.0) == 5
    np.testing.assert_allclose([*a.grad, *b.grad], [0.6, 0, 0.8])
    assert math.isclose(optim.clip_grad_norm([a, b], 1.0), 1)


def trained(make: Any, shape: tuple[int, ...] = (3, 2)) -> Any:
    """An optimizer after a step, for a parameter of some shape and a number."""
    model = nn.Module()
    model.w, model.b = nn.Parameter(np.ones(shape, np.float32)), nn.Parameter(2.0)  # type: ignore[attr-defined]
    optimizer = make(model.parameters())
    for p in optimizer.parameters:
        p.grad = np.ones_like(p.data)
    optimizer.step()
    return optimizer


def with_value(value: Any) -> Any:
    return lambda state: state["state"]["w"].update(m=value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.update(trained(lambda p: optim.SGD(p, momentum=0.9)).state_dict()),
            "state of SGD, not of",
        ),
        (
            lambda state: state.update(trained(optim.Adam, (4, 2)).state_dict()),
            r"'m' of w has shape \(4, 2\), expected",
        ),
        (
            with_value(np.ones((3, 2), np.complex64)),
            "'m' of w is an array of complex64, expected a real number",
        ),
        (with_value(None), "'m' of w is None, expected a real number"),
        (with_value("1"), "'m' of w is '1', expected a real number"),
        (lambda state: state["state"]["b"].update(v=np.ones(3)), r"'v' of b has shape \(3,\), expected"),
        (lambda state: state.update(lr=None), "^lr must be a number"),
        (lambda state: state.update(steps="3"), "^steps must be a whole number"),
        (lambda state: state.pop("steps"), "state of an optimizer, got one without steps"),
        (lambda state: state.pop("state"), "state of an optimizer, got one without state"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change: Any, message: str) -> None:
    optimizer, saved = trained(optim.Adam), trained(optim.Adam).state_dict()
    before = optimizer.state_dict()
    saved["state"]["w"]["m"] += 1
    change(saved)
    with pytest.raises(MinidlError, match=message):
        optimizer.load_state_dict(saved)
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_a_state_saved_without_the_class_of_its_optimizer_still_goes_on() -> None:
    saved = trained(optim.Adam).state_dict()
    del saved["class"]
    other = trained(optim.Adam)
    other.load_state_dict(saved)
    assert other.steps == 1


def test_an_optimizer_that_remembers_other_shapes_says_so() -> None:
    class Rows(optim.Optimizer):
        def update(self, param: Any, grad: Any, state: Any) -> None:
            state["rows"] = grad.mean(-1) if grad.ndim else grad

    class Saved(Rows):
        def check_state(self, name: str, param: Any, remembered: Any) -> None:
            assert remembered["rows"].shape == param.shape[:-1]

    with pytest.raises(MinidlError, match=r"'rows' of w has shape \(3,\), expected"):
        trained(lambda p: Rows(p, 0.1)).load_state_dict(trained(lambda p: Rows(p, 0.1)).state_dict())
    trained(lambda p: Saved(p, 0.1)).load_state_dict(trained(lambda p: Saved(p, 0.1)).state_dict())


STATES: dict[str, Any] = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "Adam": optim.Adam,
    "AdamW": optim.AdamW,
    "RMSprop": lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
    "Adagrad": optim.Adagrad,
}
WITHOUT = {("SGD", "velocity"), ("RMSprop", "mean"), ("RMSprop", "velocity")}
"""What may be missing, as an option may have been turned on since: it begins with zeros."""


@pytest.mark.parametrize("name", STATES)
def test_every_wrong_entry_of_a_state_is_refused_and_changes_nothing(name: str) -> None:
    saved = trained(STATES[name]).state_dict()
    optimizer = trained(STATES[name])
    before = optimizer.state_dict()

    def remembering(of_w: Any) -> Any:
        return {**saved, "state": {**saved["state"], "w": of_w}}

    for key, value in saved["state"]["w"].items():
        if isinstance(value, int):
            wrong = [-1, 2.5, "3", None, np.ones(2), True]
        else:
            wrong = [0, 0.5, None, "x", np.ones(7), np.ones((3, 2), np.int64), np.ones((3, 2), complex), [[1.0]]]
        for other in wrong:
            with pytest.raises(MinidlError, match=f"'{key}' of w"):
                optimizer.load_state_dict(remembering({**saved["state"]["w"], key: other}))
        rest = {other: kept for other, kept in saved["state"]["w"].items() if other != key}
        if rest and (name, key) not in WITHOUT:
            with pytest.raises(MinidlError, match=f"for w, got one without {key}"):
                optimizer.load_state_dict(remembering(rest))
    for entry, wrong in (
        ("steps", [2.5, -1, None, "3"]),
        ("lr", [-1, None, math.nan]),
        ("state", [None, 3, {"w": 3, "b": 3}]),
    ):
        for other in wrong:
            with pytest.raises(MinidlError):
                optimizer.load_state_dict({**saved, entry: other})
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_a_count_saved_as_an_array_without_axes_is_a_count_again() -> None:
    optimizer, expected = trained(optim.Adam), trained(optim.Adam)
    saved = optimizer.state_dict()
    saved["state"]["w"]["t"] = np.array(saved["state"]["w"]["t"])
    optimizer.load_state_dict(saved)
    for one in (optimizer, expected):
        one.parameters[0].grad = np.ones((3, 2), np.float32)
        one.step()
    np.testing.assert_array_equal(optimizer.parameters[0].numpy(), expected.parameters[0].numpy())


def test_an_update_of_ones_own_remembers_what_it_likes() -> None:
    class Mean(optim.Adam):
        def update(self, param: Any, grad: Any, state: dict[str, Any]) -> None:
            state["m"] = float(grad.mean())

    saved = trained(Mean).state_dict()
    other = trained(Mean)
    other.load_state_dict(saved)
    assert other.state["w"] == saved["state"]["w"]


@pytest.mark.parametrize("name", STATES)
def test_arrays_saved_in_another_dtype_go_on_in_that_of_the_steps(name: str) -> None:
    saved = trained(STATES[name]).state_dict()
    optimizer = trained(STATES[name])
    wide = {
        key: value if isinstance(value, int) else value.astype(np.float64) for key, value in saved["state"]["w"].items()
    }
    optimizer.load_state_dict({**saved, "state": {**saved["state"], "w": wide}})
    assert {value.dtype for value in optimizer.state["w"].values() if not isinstance(value, int)} <= {
        np.dtype(np.float32)
    }
    np.testing.assert_equal(optimizer.state_dict(), saved)


@pytest.mark.parametrize("together", [False, True])
def test_an_update_that_returns_the_new_array_is_an_error(together: bool) -> None:
    class Functional(optim.Optimizer):
        def update(self, param: Any, grad: Any, state: Any) -> Any:
            return param - self.lr * grad

        if together:

            def update_all(self, updates: Any) -> Any:
                return [self.update(*one) for one in updates]

    w = md.tensor([1.0], requires_grad=True)
    (w * w).sum().backward()
    optimizer = Functional([w], lr=0.1)
    with pytest.raises(MinidlError, match=r"of Functional returns what nobody reads, .* param -= "):
        optimizer.step()
    assert (w.item(), optimizer.steps) == (1.0, 0)


def test_an_update_may_return_the_array_that_it_has_changed() -> None:
    class InPlace(optim.Optimizer):
        def update(self, param: Any, grad: Any, state: Any) -> Any:
            param -= self.lr * grad
            return param

    w = md.tensor([1.0], requires_grad=True)
    (w * w).sum().backward()
    InPlace([w], lr=0.5).step()
    assert w.item() == 0


@pytest.mark.parametrize("rate", [None, float("nan"), -0.1, "0.1", 1j, np.ones(2)])
def test_what_a_schedule_gives_is_looked_at_in_every_step(rate: Any) -> None:
    w = md.tensor([1.0], requires_grad=True)
    rates: Any = lambda step: 0.1 if step < 2 else rate  # noqa: E731
    optimizer = optim.Adam([w], lr=rates)
    for _ in range(2):
        w.grad = np.ones(1, np.float32)
        optimizer.step()
    before = optimizer.state_dict(), w.item()
    with pytest.raises(MinidlError, match=r"the schedule gives .* for step 2, expected a learning rate >= 0"):
        optimizer.step()
    assert w.item() == before[1]
    assert repr(optimizer.state_dict()) == repr(before[0])
    optimizer.schedule = optim.constant(0.2)
    optimizer.step()
    assert (optimizer.lr, optimizer.steps) == (0.2, 3)


@pytest.mark.parametrize("parameters", [lambda w, m: [w, w], lambda w, m: [w, *m.parameters(), *m.parameters()]])
def test_a_parameter_that_is_there_twice_is_refused(parameters: Any) -> None:
    w, model = md.tensor([3.0], requires_grad=True), nn.Dense(1, 1)
    with pytest.raises(MinidlError, match=r"^(a tensor of shape \(1,\)|w) is there twice, and would be changed twice"):
        optim.SGD(parameters(w, model), lr=1.0)


def test_clipping_counts_a_parameter_that_is_there_twice_once() -> None:
    w = nn.Parameter(np.zeros(2))
    w.grad = np.array([3.0, 4.0])
    assert optim.clip_grad_norm([w, w], 1.0) == 5
    np.testing.assert_allclose(w.grad, [0.6, 0.8])


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, size) for size in (1e-36, 1e-30, 1e-19, 1e-12, 1.0, 1e12, 2e19, 1e30, 1e37)]
    + [(np.float64, size) for size in (1e-300, 1e-150, 1.0, 1e150, 1e300)]
    + [(np.float16, size) for size in (1e-3, 1.0, 1e4)],
)
def test_clipping_knows_the_norm_of_numbers_of_any_size(dtype: Any, size: float, backend: str) -> None:
    values = [np.array([3 * size, 0], dtype), np.array([[4 * size]], dtype), np.zeros((0, 2), dtype)]
    params = [md.Tensor(md.tensor(np.zeros_like(value), backend=backend).data, True) for value in values]
    for param, value in zip(params, values, strict=True):
        param.grad = md.tensor(value, backend=backend).data
    tolerance = 2e-3 if dtype == np.float16 else 1e-6
    norm = md.Tensor(optim.clip_grad_norm(params, size / 2)).numpy()
    assert float(norm) == pytest.approx(5 * size, rel=tolerance)
    for param, value in zip(params, values, strict=True):
        np.testing.assert_allclose(md.Tensor(param.grad).numpy(), value / dtype(10), rtol=tolerance)


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize(
    ("values", "norm"), [([0, 0], 0), ([math.inf, 1], math.inf), ([math.nan, 1], math.nan), ([], 0)]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_norm_of_what_is_0_or_no_number_is_it(values: Any, norm: float, backend: str) -> None:
    x = md.Tensor(md.tensor(values, np.float32, backend=backend).data, True)
    x.grad = x.data
    np.testing.assert_equal(float(md.Tensor(optim.clip_grad_norm([x], 1.0)).numpy()), norm)


MOVES = {
    "float64": lambda model: model.astype(np.float64),
    "float16": lambda model: model.astype(np.float16),
    "strict": lambda model: model.to("strict"),
    "both": lambda model: model.astype(np.float64).to("strict"),
    "there and back": lambda model: model.to("strict").to("numpy"),
    "float16 and back": lambda model: model.astype(np.float16).astype(np.float32),
}


class Noting(optim.Optimizer):
    """Remembers what its parameters are not: sums in float64, and whole numbers."""

    def update(self, param: Any, grad: Any, state: Any) -> None:
        xp = md.backends.of(param).xp
        if not state:
            state.update(total=xp.zeros(param.shape, np.float64), seen=xp.zeros((), np.int64), name="x", last=grad)
        state["total"] += grad.astype(np.float64)
        state["seen"] += 1
        state["last"] = (grad + state["last"]) / 2
        param -= self.lr * state["last"]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        optim.Adam,
        optim.AdamW,
        lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
        lambda p: optim.Adagrad(p, lr=0.1),
        lambda p: Noting(p, lr=0.1),
    ],
)
def test_what_is_remembered_follows_the_parameters(make: Any, move: str) -> None:
    def steps(change: Any) -> tuple[nn.Module, optim.Optimizer]:
        model = nn.Sequential(nn.Dense(3, 4, rng=md.Generator(0)), nn.Tanh(), nn.Dense(4, 1, rng=md.Generator(1)))
        optimizer = make(model.parameters())
        for step in range(4):
            if step == 2:
                change(model)
            w, place = model[0].w, model[0].w.backend.name
            x = md.tensor(numbers(5, 3), dtype=w.dtype, backend=place)
            optimizer.zero_grad()
            (model(x) ** 2).mean().backward()
            optimizer.step()
        return model, optimizer

    (stays, _), (moved, optimizer) = steps(lambda model: model), steps(MOVES[move])
    for param, remembered in zip(moved.parameters(), optimizer.state.values(), strict=True):
        arrays = {key: value for key, value in remembered.items() if hasattr(value, "dtype") and value.shape}
        assert arrays
        for key, value in arrays.items():
            assert md.backends.of(value) is param.backend
            wide = np.dtype(np.float32) if param.dtype == np.float16 else param.dtype
            assert value.dtype == (np.float64 if key == "total" else wide)
    tolerance = 2e-2 if "16" in move else 1e-5
    for name, value in stays.state_dict().items():
        np.testing.assert_allclose(moved.state_dict()[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("moves", [("strict", "numpy"), ("strict", "emulated", "strict"), ("float64", "float32")])
def test_what_is_remembered_follows_from_move_to_move(moves: tuple[str, ...]) -> None:
    model = small_model()
    optimizer = optim.Adam(model.parameters())
    for move in ("", *moves):
        if move:
            model.astype(move) if move.startswith("float") else model.to(move)
        w = model.parameters()[0]
        optimizer.zero_grad()
        model(md.tensor(numbers(5, 3), dtype=w.dtype, backend=w.backend.name)).sum().backward()
        optimizer.step()
        arrays = [value for value in optimizer.state[w.name].values() if getattr(value, "shape", ())]
        assert arrays
        assert {md.backends.of(value) for value in arrays} == {w.backend}
        assert {value.dtype for value in arrays} == {w.dtype}


def test_a_state_that_is_loaded_lives_where_the_parameters_are() -> None:
    model = small_model()
    optimizer = optim.Adam(model.parameters())
    train(model, optimizer, range(2))
    state = optimizer.state_dict()
    model.astype(np.float64)
    optimizer.load_state_dict(state)
    model.astype(np.float32)
    train(model, optimizer, range(2, 4))
    assert {value.dtype for each in optimizer.state.values() for value in (each["m"], each["v"])} == {np.dtype("f4")}
    too_large = {**state, "state": {**state["state"]}}
    name = next(iter(state["state"]))
    too_large["state"][name] = {**state["state"][name], "v": np.full(state["state"][name]["v"].shape, 1e39)}
    with pytest.raises(MinidlError, match=r"1e\+39 in 'v' of .* is none of the numbers of float32"):
        optimizer.load_state_dict(too_large)
