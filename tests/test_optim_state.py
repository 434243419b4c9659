"""Optimizer states: restored bit for bit, rejected if they do not match, moved with the parameters."""

import math
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.errors import MinidlError
from minidl.testing.arrays import numbers

from .training import assert_same, regress, small_model

STATES: dict[str, Any] = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, optim.one_cycle(0.1, 10)),
    "AdamW": optim.AdamW,
    "RMSprop": lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1, lr_decay=0.1),
}


@pytest.mark.parametrize("name", STATES)
def test_a_saved_optimizer_goes_on_bit_for_bit(name: str) -> None:
    model, half, other = small_model(), small_model(), small_model()
    regress(model, STATES[name](model.parameters()), range(8))
    optimizer = STATES[name](half.parameters())
    regress(half, optimizer, range(4))
    state, weights = optimizer.state_dict(), half.state_dict()
    regress(half, optimizer, range(4, 6))  # the state is a copy: this must not change it
    second = STATES[name](other.parameters())
    other.load_state_dict(weights)
    second.load_state_dict(state)
    regress(other, second, range(4, 8))
    assert_same(other.state_dict(), model.state_dict())


@pytest.mark.parametrize("options", [{"momentum": 0.5}, {"centered": True}, {"momentum": 0.5, "centered": True}])
def test_an_option_of_rmsprop_may_be_turned_on_later(options: dict[str, Any]) -> None:
    model, other = small_model(), small_model()
    optimizer = optim.RMSprop(model.parameters())
    regress(model, optimizer, range(3))
    other.load_state_dict(model.state_dict())
    loaded = optim.RMSprop(other.parameters(), **options)
    loaded.load_state_dict(optimizer.state_dict())
    vars(optimizer).update(options)
    regress(model, optimizer, range(3, 5))
    regress(other, loaded, range(3, 5))
    assert_same(other.state_dict(), model.state_dict())


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad])
def test_a_subclass_may_remember_something_before_its_base_does(kind: Any) -> None:
    class Counting(kind):  # type: ignore[misc]
        def update(self, param: Any, grad: Any, state: Any) -> None:
            state["updates"] = state.get("updates", 0) + 1
            super().update(param, grad, state)

    model, plain = small_model(), small_model()
    regress(model, Counting(model.parameters(), 0.1), range(2))
    regress(plain, kind(plain.parameters(), 0.1), range(2))
    np.testing.assert_array_equal(model[0].w.data, plain[0].w.data)


def test_state_is_kept_by_parameter_name() -> None:
    model = small_model()
    optimizer = optim.Adam(model.parameters())
    regress(model, optimizer, range(1))
    assert list(optimizer.state) == ["0.w", "0.b", "2.w", "2.b"]
    assert set(optimizer.state["0.w"]) == {"m", "v", "t"}


def trained(make: Any, shape: tuple[int, ...] = (3, 2)) -> Any:
    """An optimizer after one step, for a parameter of some shape and a scalar."""
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
        (lambda state: state.update(steps="3"), "^steps must be an integer"),
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


WITHOUT = {("SGD", "velocity"), ("RMSprop", "mean"), ("RMSprop", "velocity")}
"""State that may be missing, because its option may have been enabled since; it starts with zeros."""


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


MOVES = {
    "float64": lambda model: model.astype(np.float64),
    "float16": lambda model: model.astype(np.float16),
    "strict": lambda model: model.to("strict"),
    "both": lambda model: model.astype(np.float64).to("strict"),
    "there and back": lambda model: model.to("strict").to("numpy"),
    "float16 and back": lambda model: model.astype(np.float16).astype(np.float32),
}


class Noting(optim.Optimizer):
    """Keeps state of other dtypes than its parameters: sums in float64, and integers."""

    def update(self, param: Any, grad: Any, state: Any) -> None:
        xp = md.backends.of(param).xp
        if not state:
            state.update(total=xp.zeros(param.shape, np.float64), seen=xp.zeros((), np.int64), name="x", last=grad)
        state["total"] += grad.astype(np.float64)
        state["seen"] += 1
        state["last"] = (grad + state["last"]) / 2
        param -= self.lr * state["last"]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("make", [*STATES.values(), lambda p: Noting(p, lr=0.1)])
def test_what_is_remembered_follows_the_parameters(make: Any, move: str) -> None:
    def steps(change: Any) -> tuple[nn.Module, optim.Optimizer]:
        model = small_model()
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
    regress(model, optimizer, range(2))
    state = optimizer.state_dict()
    model.astype(np.float64)
    optimizer.load_state_dict(state)
    model.astype(np.float32)
    regress(model, optimizer, range(2, 4))
    assert {value.dtype for each in optimizer.state.values() for value in (each["m"], each["v"])} == {np.dtype("f4")}
    too_large = {**state, "state": {**state["state"]}}
    name = next(iter(state["state"]))
    too_large["state"][name] = {**state["state"][name], "v": np.full(state["state"][name]["v"].shape, 1e39)}
    with pytest.raises(MinidlError, match=r"1e\+39 in 'v' of .* is out of range for float32"):
        optimizer.load_state_dict(too_large)


def test_what_is_remembered_stays_with_its_parameter() -> None:
    """Other parameters, or another order, would get the wrong momentum."""
    model = small_model()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for change in (
        lambda: optimizer.parameters[::-1],
        lambda: optimizer.parameters + tuple(nn.Dense(1, 1).parameters()),
    ):
        with pytest.raises(MinidlError, match="the parameters of an optimizer cannot be changed"):
            optimizer.parameters = change()
    regress(model, optimizer, range(1))
    before = model.state_dict()
    optimizer.state.clear()
    with pytest.raises(MinidlError, match="a dictionary for each parameter, and some are missing: clear them"):
        regress(model, optimizer, range(1))
    assert_same(model.state_dict(), before)
