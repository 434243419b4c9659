"""A stopped training continues bit for bit from its state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import checkpoint, nn, optim
from minidl.callbacks import Checkpoint
from minidl.data import DataLoader
from minidl.errors import MinidlError
from minidl.nn import functional as F
from minidl.train import Trainer

from .training import (
    StopAfter,
    StopInValidation,
    assert_same,
    continued_from,
    final,
    make,
    saved_in,
    trained,
    two_classes,
)


@pytest.mark.parametrize("steps", range(1, 13))
def test_stopping_after_any_step_and_resuming_changes_nothing(steps: int, tmp_path: Path) -> None:
    whole = trained(epochs=3)
    stopped = trained([StopAfter(steps), Checkpoint(tmp_path)], epochs=3)
    assert stopped.optimizer.steps == steps
    resumed = continued_from(saved_in(tmp_path), epochs=3)
    assert_same(final(resumed), final(whole))


def test_stopping_during_validation_repeats_the_validation(tmp_path: Path) -> None:
    whole = trained(epochs=2)
    stopped, train, _ = make([Checkpoint(tmp_path)])
    stopped.fit(train, DataLoader(StopInValidation(stopped), 20, prefetch=0), epochs=2)
    assert stopped.history == []
    resumed = continued_from(saved_in(tmp_path), epochs=2)
    assert_same(final(resumed), final(whole))


def test_a_saved_history_stays_as_it_was_saved() -> None:
    trainer, train, validation = make()
    trainer.fit(train, validation)
    state = trainer.state_dict()
    trainer.history[0]["loss"] = 7.0
    trainer.fit(train, validation, epochs=2)
    assert [row["loss"] == 7.0 for row in state["history"]] == [False]
    other, train, validation = make()
    other.load_state_dict(state, train)
    other.history[0]["loss"] = 8.0
    assert state["history"][0]["loss"] != 8.0


def with_generators_of_its_own(seed: int) -> tuple[Trainer, DataLoader]:
    rng = np.random.Generator(np.random.MT19937(seed))
    layers = [nn.Dense(4, 8, rng=md.Generator(0)), nn.Dropout(0.5, rng=md.Generator(seed)), nn.Dropout(0.2, rng=rng)]
    model = nn.Sequential(*layers, nn.Dense(8, 2, rng=md.Generator(1)))
    return Trainer(model, F.softmax_cross_entropy, optim.SGD(model.parameters())), DataLoader(two_classes(), 16)


def in_one_go_and_resumed(make: Callable[[int], Any], steps: int, folder: Path) -> tuple[Trainer, Trainer]:
    """A trainer after 8 steps, and one that stopped after ``steps`` and was resumed in a trainer with another seed."""
    whole, train = make(1)
    whole.fit(train, steps=8)
    first, train = make(1)
    first.fit(train, steps=steps)
    checkpoint.save_state(folder / "state", first.state_dict())
    resumed, train = make(9)
    resumed.load_state_dict(checkpoint.load_state(folder / "state"), train)
    resumed.fit(train, steps=8)
    return whole, resumed


@pytest.mark.parametrize("steps", [2, 4])
def test_generators_of_layers_are_part_of_the_state(steps: int, tmp_path: Path) -> None:
    whole, resumed = in_one_go_and_resumed(with_generators_of_its_own, steps, tmp_path)
    assert_same(final(resumed), final(whole))


class Weighted(nn.Module):
    """A loss with every kind of state: learned weights, running statistics, its own dropout."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(np.zeros(1, np.float32))
        self.drop = nn.Dropout(0.5, rng=md.Generator(seed))
        self.norm = nn.BatchNorm(2)
        self.modes: list[bool] = []

    def forward(self, outputs: Any, targets: Any) -> Any:
        self.modes.append(self.drop.training)
        loss = F.softmax_cross_entropy(self.norm(self.drop(outputs)), targets)
        return (loss * (-self.log_variance).exp() + self.log_variance).sum()


class Noisy(optim.SGD):
    """Steps with noise from their own generators."""

    def __init__(self, parameters: Any, seed: int) -> None:
        super().__init__(parameters, lr=0.1)
        self.rng, self.others = md.Generator(seed), [md.Generator(seed + 1)]

    def update(self, param: Any, grad: Any, state: Any) -> None:
        for rng in (self.rng, *self.others):
            grad = grad + rng.normal(scale=0.01, size=grad.shape).astype(grad.dtype)
        super().update(param, grad, state)


def with_a_loss_that_learns(seed: int) -> tuple[Trainer, DataLoader]:
    model, loss = nn.Sequential(nn.Dense(4, 2, rng=md.Generator(0))), Weighted(seed)
    optimizer = Noisy([*model.parameters(), *loss.parameters()], seed)
    return Trainer(model, loss, optimizer), DataLoader(two_classes(), 16)


@pytest.mark.parametrize("steps", [2, 4])
def test_a_loss_that_is_a_module_and_an_optimizers_generators_are_part_of_the_state(steps: int, tmp_path: Path) -> None:
    whole, resumed = in_one_go_and_resumed(with_a_loss_that_learns, steps, tmp_path)
    assert_same(final(resumed), final(whole))
    assert_same(resumed.loss.state_dict(), whole.loss.state_dict())
    assert whole.loss.log_variance.item() != 0


def test_of_a_state_whose_loss_does_not_fit_nothing_is_loaded() -> None:
    first, train = with_a_loss_that_learns(1)
    first.fit(train, steps=2)
    other, train = with_a_loss_that_learns(1)
    weights, other.loss = other.model.state_dict(), F.softmax_cross_entropy
    with pytest.raises(MinidlError):
        other.load_state_dict(first.state_dict(), train)
    assert_same(other.model.state_dict(), weights)
    plain, train, _ = make()
    assert plain.state_dict()["loss"] == {}


def test_a_loss_that_is_a_module_is_evaluated_and_trained_in_its_mode() -> None:
    trainer, loader = with_a_loss_that_learns(1)
    statistics = trainer.loss.norm.mean.numpy().copy()
    assert trainer.evaluate(loader) == trainer.evaluate(loader)
    assert trainer.loss.modes == [False] * 2 * len(loader)
    assert trainer.loss.training
    assert trainer.loss.drop.training
    np.testing.assert_array_equal(trainer.loss.norm.mean.numpy(), statistics)
    trainer.loss.eval()
    trainer.loss.modes.clear()
    trainer.fit(loader)
    assert trainer.loss.modes == [True] * len(loader)


def everything(trainer: Trainer, loader: DataLoader) -> dict[str, Any]:
    return {**trainer.state_dict(), "loader itself": loader.state_dict(), "next": loader.start}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["model"].pop("0.w"),
        lambda state: state["optimizer"]["state"]["0.w"].update(m=np.zeros(3)),
        lambda state: state["optimizer"].update({"class": "SGD"}),
        lambda state: state["loader"].update(batch_size=5),
        lambda state: state["generators"].update(extra={}),
        lambda state: state.update(random={"bit_generator": "MT19937"}),
        lambda state: state.pop("totals"),
        lambda state: state.pop("optimizer"),
    ],
)
def test_of_a_state_that_does_not_fit_nothing_is_loaded(change: Any) -> None:
    first = trained(steps=6)
    state = first.state_dict()
    change(state)
    other, train, validation = make()
    other.fit(train, validation, steps=2)
    before = everything(other, train)
    with pytest.raises(MinidlError):
        other.load_state_dict(state, train)
    np.testing.assert_equal(everything(other, train), before)


def test_a_state_that_is_none_of_the_common_generator_names_it() -> None:
    trainer, train, _ = make()
    with pytest.raises(MinidlError, match=r"^the entry for md\.seed is not a state of a PCG64 generator"):
        trainer.load_state_dict(trainer.state_dict() | {"random": {"bit_generator": "MT19937"}}, train)


def test_of_generators_of_which_one_does_not_fit_none_is_loaded() -> None:
    first, train = with_generators_of_its_own(1)
    first.fit(train, steps=1)
    state = first.state_dict()
    state["generators"]["2.rng"] = {"bit_generator": "MT19937"}
    other, train = with_generators_of_its_own(9)
    before = everything(other, train)
    with pytest.raises(MinidlError, match=r"'2\.rng' is not a state of a "):
        other.load_state_dict(state, train)
    np.testing.assert_equal(everything(other, train), before)


@pytest.mark.parametrize("state", [None, {}, {"w": np.ones(2)}])
def test_what_is_no_state_of_a_trainer_is_refused(state: Any) -> None:
    trainer, train, _ = make()
    with pytest.raises(MinidlError, match="expected the state of a trainer, got"):
        trainer.load_state_dict(state, train)
