"""Optimizers against the formulas of their papers, custom updates, schedules and clipping."""

import copy
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim, plugins
from minidl.errors import GraphError, MinidlError
from minidl.testing.arrays import numbers

from .training import assert_same, regress, small_model

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
        regress(ours, optim.RMSprop(ours.parameters(), momentum=momentum, centered=True), range(3))
        numpys = optim.RMSprop(theirs.parameters(), momentum=number(momentum), centered=np.True_)  # type: ignore[arg-type]
        regress(theirs, numpys, range(3))
        assert theirs[0].w.dtype == np.float32
        np.testing.assert_allclose(ours[0].w.data, theirs[0].w.data, rtol=1e-4)


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
    """The number of parameters in each later call of the backend's kernel."""
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
    regress(model, optimizer, range(1))
    model.parameters()[0].grad = None
    optimizer.step()
    regress(model, optimizer, range(1))
    assert calls == [4, 3, 1, 3]
    assert [state["t"] for state in optimizer.state.values()] == [2, 3, 3, 3]


class AdamThatCounts(optim.Adam):
    """Adam with its own update, which calls Adam's."""

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
        regress(model, optimizer, range(3))
    assert calls == [1] * 24
    assert [state["updates"] for state in first.state.values()] == [3, 3, 3, 3]
    assert_same(*(model.state_dict() for model in models))
    regress(plain_model := small_model(), optim.Adam(plain_model.parameters()), range(3))
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
        (lambda m: optim.SGD(m.parameters(), lr=lambda: 3), r"called with the step number, .*lr=lambda step"),
        (lambda m: setattr(optim.SGD(m.parameters()), "schedule", lambda: 3), "with the step number, which"),
        (lambda m: optim.SGD(m.parameters(), lr=dict), "expected a schedule, or None .*, got <class 'dict'>"),
        (lambda m: optim.SGD(m.state_dict()), "tensors to update, got str: pass"),
        (lambda m: optim.SGD(m[0].parameters() + small_model()[0].parameters()), "two parameters are named '0.w'"),
        (lambda m: optim.SGD(m.parameters()).load_state_dict({"state": {"x": {}}}), "without class, steps, lr"),
        (
            lambda m: optim.SGD(m.parameters()).load_state_dict(optim.SGD([md.Tensor(np.ones(1), True)]).state_dict()),
            "other parameters, 0, 0.b, 0.w",
        ),
        (lambda m: optim.cosine(1.0, steps=0), "^the number of steps must be an integer >= 1, got 0"),
        (lambda m: optim.cosine(1.0, steps=5, warmup=5), "steps after the warm-up must be .* >= 1, got 0"),
        (lambda m: optim.step(1.0, every=0), "^every must be an integer >= 1, got 0"),
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


@pytest.mark.parametrize("step", [-1, math.nan, "1", None])
def test_no_schedule_has_a_rate_for_a_step_before_the_first(step: Any) -> None:
    for schedule in (optim.constant(0.1), optim.step(0.1, 10, 0), optim.cosine(0.1, 10), optim.one_cycle(0.1, 10)):
        with pytest.raises(MinidlError, match="the step must be a number >= 0, got"):
            schedule(step)


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
    with pytest.raises(MinidlError, match=r"of Functional returned .*, which is ignored: .* param -= "):
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
    with pytest.raises(MinidlError, match=r"the schedule returned .* for step 2, expected a learning rate >= 0"):
        optimizer.step()
    assert w.item() == before[1]
    assert repr(optimizer.state_dict()) == repr(before[0])
    optimizer.schedule = optim.constant(0.2)
    optimizer.step()
    assert (optimizer.lr, optimizer.steps) == (0.2, 3)


@pytest.mark.parametrize("parameters", [lambda w, m: [w, w], lambda w, m: [w, *m.parameters(), *m.parameters()]])
def test_a_parameter_that_is_there_twice_is_refused(parameters: Any) -> None:
    w, model = md.tensor([3.0], requires_grad=True), nn.Dense(1, 1)
    with pytest.raises(MinidlError, match=r"^(a tensor of shape \(1,\)|w) appears twice, and would be updated twice"):
        optim.SGD(parameters(w, model), lr=1.0)


def test_clipping_scales_all_gradients_together() -> None:
    a, b = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(1))
    a.grad, b.grad = np.array([3.0, 0.0]), np.array([4.0])
    assert optim.clip_grad_norm([a, b], 10.0) == 5
    np.testing.assert_array_equal(a.grad, [3, 0])
    assert optim.clip_grad_norm([a, b], 1.0) == 5
    np.testing.assert_allclose([*a.grad, *b.grad], [0.6, 0, 0.8])
    assert math.isclose(optim.clip_grad_norm([a, b], 1.0), 1)


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


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("name", plugins.names("optimizer"))
@pytest.mark.parametrize("first", [True, False])
def test_data_that_are_read_only_are_refused_and_nothing_is_changed(name: str, first: bool) -> None:
    one, two = (md.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    optimizer = plugins.build("optimizer", name, [one, two], lr=0.1)
    one.grad = two.grad = np.ones(2, np.float32)
    if not first:
        optimizer.step()
    before = pickle.dumps([one.data, optimizer.state_dict()])
    for data in (read_only(two.data.copy()), np.broadcast_to(np.float32(1), 2)):
        two.data = data
        with pytest.raises(MinidlError, match=r"the data of a tensor of shape \(2,\) are read-only.*x.data.copy\(\)"):
            optimizer.step()
        assert pickle.dumps([one.data, optimizer.state_dict()]) == before
    two.data = two.data.copy()
    optimizer.step()
    assert (one.numpy() < 1).any()


@pytest.mark.parametrize("name", plugins.names("optimizer"))
def test_data_that_become_read_only_between_two_steps_are_refused_and_nothing_is_changed(name: str) -> None:
    one, two = (md.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    optimizer = plugins.build("optimizer", name, [one, two], lr=0.1)
    one.grad = two.grad = np.ones(2, np.float32)
    optimizer.step()
    before = pickle.dumps([one.data, optimizer.state_dict()])
    read_only(two.data)
    with pytest.raises(MinidlError, match="are read-only"):
        optimizer.step()
    assert pickle.dumps([one.data, optimizer.state_dict()]) == before


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "shown",
    [
        lambda g: read_only(g),
        lambda g: np.broadcast_to(g[0], 2),
        lambda g: np.lib.stride_tricks.as_strided(g, (2,), (0,)),
        lambda g: np.stack([g, g])[0],
    ],
    ids=["read-only", "broadcast", "strided", "view"],
)
def test_gradients_of_which_the_memory_is_not_ones_own_are_clipped_too(shown: Any, dtype: Any) -> None:
    one, two = (md.tensor(np.zeros(2, dtype), requires_grad=True) for _ in range(2))
    own = one.grad = np.array([3.0, 3.0], dtype)
    given = two.grad = shown(np.array([4.0, 4.0], dtype))
    norm = optim.clip_grad_norm([one, two], 1.0)
    assert math.isclose(float(norm), 50**0.5, rel_tol=1e-3)
    assert one.grad is own
    assert two.grad.dtype == dtype
    np.testing.assert_allclose([one.grad, two.grad], np.array([[3, 3], [4, 4]]) / 50**0.5, rtol=2e-3)
    np.testing.assert_array_equal(given, 4)


def assign(optimizer: Any, others: Any) -> None:
    optimizer.parameters = others


def extend(optimizer: Any, others: Any) -> None:
    optimizer.parameters += others


def replace(optimizer: Any, others: Any) -> None:
    optimizer.parameters[0] = others[0]


@pytest.mark.parametrize("change", [assign, extend, replace, lambda optimizer, others: optimizer.parameters.append(1)])
def test_other_parameters_want_a_new_optimizer(change: Any) -> None:
    one, other = nn.Dense(1, 1), nn.Dense(1, 1)
    optimizer = optim.SGD(one.parameters(), momentum=0.9)
    with pytest.raises(MinidlError, match=r"parameters of an optimizer cannot be changed.*: build a new one"):
        change(optimizer, other.parameters())
    assert [id(p) for p in optimizer.parameters] == [id(p) for p in one.parameters()]
    assert [id(p) for p in copy.copy(optimizer).parameters] == [id(p) for p in one.parameters()]
    assert [p.name for p in copy.deepcopy(optimizer).parameters] == ["w", "b"]


SCHEDULES = {
    "constant": optim.constant(0.1),
    "cosine": optim.cosine(0.1, 10, warmup=2, final=0.01),
    "one_cycle": optim.one_cycle(0.1, 10),
    "step": optim.step(0.1, 3, factor=0.5),
}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_and_optimizers_that_have_one_can_be_copied_and_pickled(schedule: Any, copied: Any) -> None:
    model = nn.Dense(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=schedule, momentum=0.9)
    (model(md.tensor([[1.0]])) ** 2).sum().backward()
    optimizer.step()
    other = copied(optimizer)
    assert [copied(schedule)(step) for step in range(12)] == [schedule(step) for step in range(12)]
    assert [other.schedule(step) for step in range(12)] == [schedule(step) for step in range(12)]
    other.step()
    assert other.steps == 2


@pytest.mark.parametrize("factor", [2, 2.0])
def test_a_rate_beyond_all_floats_is_named(factor: Any) -> None:
    schedule = optim.step(0.1, 1, factor=factor)
    assert schedule(10) == 0.1 * 2**10
    with pytest.raises(MinidlError, match=r"learning rate of step 5000, 0.1 \* 2.* \*\* 5000, overflows: use"):
        schedule(5000)


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize("values", [[3.0, 4.0], [0.0, 0.0], [1e30, 1e30], []])
def test_the_norm_is_an_array_without_axes_where_the_gradients_are(values: Any, backend: str) -> None:
    x = md.tensor(np.zeros(len(values), np.float32), requires_grad=True, backend=backend)
    x.grad = md.tensor(values, np.float32, backend=backend).data
    norm = optim.clip_grad_norm([x], 1.0)
    assert type(norm) is x.backend.array_type
    assert (norm.shape, norm.dtype) == ((), np.float32)
