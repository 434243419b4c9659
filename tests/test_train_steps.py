"""Training for a number of steps: where it ends, what it leaves, and that it continues as if it had not ended."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import optim
from minidl.callbacks import Checkpoint, ProfileSteps
from minidl.data import DataLoader
from minidl.errors import MinidlError
from minidl.train import Callback, Trainer, TrainingError

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


@pytest.mark.parametrize("steps", [1, 3, 4, 6, 8, 12])
def test_training_for_some_steps_is_the_first_part_of_training_for_some_epochs(steps: int, tmp_path: Path) -> None:
    whole = trained(epochs=3)
    first, train, validation = make([Checkpoint(tmp_path)])
    history = first.fit(train, validation, steps=steps)
    assert first.optimizer.steps == steps
    assert list(map(list, history)) == list(map(list, whole.history[: steps // 4]))  # an epoch has 4 steps
    assert_same(dict(md.load(tmp_path / "last.safetensors")), first.model.state_dict())
    saved = saved_in(tmp_path)
    next(iter(train))  # loops over the data
    first.evaluate(train)
    first.fit(train, validation, steps=steps)  # already trained
    first.fit(train, validation, epochs=3)
    assert_same(final(first), final(whole))
    resumed, train, validation = make()
    resumed.load_state_dict(saved, train)
    resumed.evaluate(train)
    resumed.fit(train, validation, steps=12)
    assert_same(final(resumed), final(whole))


def test_a_loop_that_calls_fit_for_each_epoch_is_told_that_it_trains_nothing() -> None:
    """As in Keras, where epochs counts those of one call."""
    trainer, train, validation = make()
    trainer.fit(train, validation, epochs=1)
    with pytest.warns(
        UserWarning, match=r"epochs=1 includes earlier calls, which trained 1 epoch. For one more, write"
    ):
        trainer.fit(train, validation, epochs=1)
    assert trainer.epoch == 1
    trainer.fit(train, validation, epochs=trainer.epoch + 1)
    assert trainer.epoch == 2
    copy, train, validation = make()
    copy.load_state_dict(trainer.state_dict(), train)
    copy.fit(train, validation, epochs=2)  # a run that is resumed may be complete


def test_a_stop_inside_of_an_epoch_leaves_the_weights_of_the_last_one(tmp_path: Path) -> None:
    """The later steps are in the state that training continues from."""
    trainer, train, validation = make([Checkpoint(tmp_path), StopAfter(6)])
    trainer.fit(train, validation, steps=4)
    weights = trainer.model.state_dict()
    trainer.fit(train, validation, epochs=3)
    assert (trainer.optimizer.steps, trainer.inside_epoch) == (6, True)
    assert_same(dict(md.load(tmp_path / "last.safetensors")), weights)
    saved = saved_in(tmp_path)
    assert_same(saved["model"], trainer.model.state_dict())


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_state_saved_after_any_step_goes_on_to_the_last_one(steps: int) -> None:
    states: list[Any] = []

    class Save(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            states.append(trainer.state_dict())

    whole = trained([Save()], steps=8)
    resumed = continued_from(states[steps - 1], steps=8)
    assert_same(final(resumed), final(whole))


def test_steps_and_epochs_count_what_was_trained_before_and_the_first_to_be_reached_ends() -> None:
    trainer, train, validation = make()
    ends = []
    for options in ({"steps": 6}, {"steps": 6}, {"steps": 7}, {"epochs": 2}, {"epochs": 3, "steps": 10}, {"steps": 0}):
        trainer.fit(train, validation, **options)
        ends.append((trainer.epoch, trainer.optimizer.steps))
    assert ends == [(1, 6), (1, 6), (1, 7), (2, 8), (2, 10), (2, 10)]
    trainer.fit(train, validation, epochs=3, steps=99)
    trainer.fit(train, validation)  # one epoch of three
    assert (trainer.epoch, trainer.optimizer.steps) == (3, 12)


def test_validation_on_the_training_data_does_not_move_the_place_in_them() -> None:
    whole, train, _ = make()
    whole.fit(train, train, epochs=3)
    parts, train, _ = make()
    for steps in (3, 4, 9, 12):
        parts.fit(train, train, steps=steps)
    assert_same(final(parts), final(whole))
    other = trained(epochs=3)
    assert_same(other.model.state_dict(), whole.model.state_dict())


def test_an_epoch_that_was_stopped_goes_on_in_the_same_trainer() -> None:
    whole = trained(epochs=2)
    stopped, train, validation = make([StopAfter(3)])
    stopped.fit(train, validation, epochs=2)
    stopped.fit(train, validation, epochs=2)
    assert_same(final(stopped), final(whole))


class SeenOfAnEpoch(Callback):
    """The number of samples in each row."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.train_loader is not None and trainer.train_loader.position == len(trainer.train_loader):
            self.counts.append(trainer.totals.count)


def test_an_epoch_begins_anew_with_another_loader_and_after_an_error() -> None:
    class FailOnce(Callback):
        failed = False

        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.optimizer.steps == 4 and not self.failed:
                self.failed = True
                raise KeyboardInterrupt

    seen = SeenOfAnEpoch()
    trainer, train, validation = make([seen, FailOnce()])
    trainer.fit(train, validation, steps=2)
    other = DataLoader(two_classes(30), 10)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(other, validation)
    trainer.fit(other, validation)
    assert seen.counts == [30]
    assert trainer.optimizer.steps == 2 + 2 + 3


def test_an_epoch_that_was_stopped_in_its_validation_begins_anew_with_another_loader() -> None:
    seen = SeenOfAnEpoch()
    trainer, train, validation = make([seen])
    trainer.fit(train, DataLoader(StopInValidation(trainer), 20, prefetch=0))
    assert (trainer.history, trainer.optimizer.steps) == ([], 4)
    history = trainer.fit(DataLoader(two_classes(30), 10), validation)
    assert (len(history), trainer.optimizer.steps) == (1, 4 + 3)
    assert seen.counts == [50, 30]


class Interrupt(Callback):
    """Ctrl-C inside a step, which is not completed."""

    def __init__(self, trainer: Trainer, at: int) -> None:
        self.loss, self.left = trainer.loss, at
        self.heard: list[Any] = []
        trainer.loss, trainer.callbacks = self, [self]  # type: ignore[assignment]

    def __call__(self, outputs: Any, targets: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.loss(outputs, targets)

    def on_train_error(self, trainer: Trainer) -> None:
        self.heard.append(trainer.state_dict())


@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_a_state_saved_after_an_error_goes_on_as_the_trainer_itself_does(at: int) -> None:
    first, train, _ = make()
    heard = Interrupt(first, at).heard
    with pytest.raises(KeyboardInterrupt):
        first.fit(train, epochs=2)
    before = first.optimizer.steps
    assert not first.inside_epoch
    states = [*heard, first.state_dict()]
    first.fit(train, epochs=2)
    assert first.optimizer.steps == before + (2 - (at > 4)) * 4
    for state in states:
        assert state["loader"]["position"] == 0
        resumed, train, _ = make()
        resumed.load_state_dict(state, train)
        resumed.fit(train, epochs=2)
        assert_same(final(resumed), final(first))
        assert resumed.optimizer.steps == first.optimizer.steps


def test_a_state_saved_after_a_loss_that_is_no_number_begins_the_epoch_anew() -> None:
    trainer, train, _ = make()
    weights = trainer.model.state_dict()
    trainer.model[0].w.data[...] = np.nan
    with pytest.raises(TrainingError):
        trainer.fit(train, steps=3)
    trainer.model.load_state_dict(weights)
    state = trainer.state_dict()
    assert (state["loader"]["position"], state["totals"]["count"]) == (0, 0)


def test_a_state_from_before_training_can_be_loaded() -> None:
    whole, train, validation = make()
    state = whole.state_dict()
    whole.fit(train, validation)
    assert_same(final(continued_from(state)), final(whole))


def test_a_loss_that_is_no_number_where_the_steps_end_keeps_the_checkpoints(tmp_path: Path) -> None:
    trainer, train, validation = make([Checkpoint(tmp_path)])
    trainer.fit(train, validation, steps=2)
    before = (tmp_path / "last.state.safetensors").read_bytes()
    trainer.model[0].w.data[...] = np.nan
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1"):
        trainer.fit(train, validation, steps=3)
    assert (tmp_path / "last.state.safetensors").read_bytes() == before
    trainer.load_state_dict(saved_in(tmp_path), train)
    trainer.fit(train, validation, epochs=1)
    assert trainer.optimizer.steps == 4


def test_an_epoch_whose_loss_is_no_number_begins_anew_once_the_weights_are_mended() -> None:
    trainer, train, validation = make()
    weights = trainer.model.state_dict()
    trainer.model[0].w.data[...] = np.nan
    with pytest.raises(TrainingError):
        trainer.fit(train, validation)
    trainer.model.load_state_dict(weights)
    trainer.optimizer = optim.SGD(trainer.model.parameters())
    assert np.isfinite(trainer.fit(train, validation)[0]["loss"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2],), "expected a loader, got list: use DataLoader"),
        ((None, 5), "expected a loader, got int: use epochs=5"),
        ((None, None, "3"), "epochs must be an integer >= 0, got '3'"),
        ((None, None, 1.5), "epochs must be an integer >= 0, got 1.5"),
        ((None, None, True), "epochs must be an integer >= 0, got True"),
        ((None, None, None, -1), "steps must be an integer >= 0, got -1"),
        ((None, None, None, 2.5), "steps must be an integer >= 0, got 2.5"),
        ((None, None, None, float("inf")), "steps must be an integer >= 0, got inf"),
    ],
)
def test_mistakes_in_fit_are_found_before_the_first_step(arguments: Any, message: str) -> None:
    trainer, train, _ = make()
    first, *others = arguments
    with pytest.raises(MinidlError, match=message):
        trainer.fit(train if first is None else first, *others)
    assert trainer.optimizer.steps == 0


@pytest.mark.parametrize("count", [np.array(2), np.int64(2), md.tensor(2)])
def test_epochs_and_steps_are_integers_of_any_kind(count: Any) -> None:
    trainer, train, _ = make()
    assert len(trainer.fit(train, epochs=count)) == 2
    assert type(trainer.epochs) is int
    trainer.fit(train, steps=trainer.optimizer.steps + count)
    assert trainer.optimizer.steps == 2 * len(train) + 2


def test_a_profile_of_few_steps_waits_for_no_more_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(md.Profiler, "plot", lambda self, path: None)
    trained([ProfileSteps(tmp_path)], steps=2)
    assert "one step of 1:" in (tmp_path / "profile.txt").read_text()  # the first is warm-up


class Look(Callback):
    """Loops over the training data in the middle of training."""

    def on_step_end(self, trainer: Trainer) -> None:
        assert trainer.train_loader is not None
        next(iter(trainer.train_loader))
        trainer.evaluate(trainer.train_loader)


@pytest.mark.parametrize("steps", [None, 3, 4, 5])
def test_callbacks_may_loop_over_the_training_data(steps: int | None) -> None:
    whole = trained(epochs=3)
    watched, train, validation = make([Look()])
    if steps is not None:
        watched.fit(train, validation, steps=steps)
        state = watched.state_dict()
        watched, train, validation = make([Look()])
        watched.load_state_dict(state, train)
    watched.fit(train, validation, epochs=3)
    assert_same(final(watched), final(whole))
    assert watched.optimizer.steps == 12


class Raises:
    """A metric that fails in the first validation."""

    failed = False

    def __init__(self, trainer: Trainer) -> None:
        self.model = trainer.model

    def __call__(self, outputs: Any, targets: Any) -> Any:
        if not self.model.training and not self.failed:
            self.failed = True
            raise OSError("of validation")
        return (outputs.argmax(1) == targets).mean()


def test_after_an_error_in_the_validation_each_sample_counts_once() -> None:
    whole = trained(epochs=3)
    trainer, train, validation = make()
    trainer.metrics = {"accuracy": Raises(trainer)}
    with pytest.raises(OSError, match="of validation"):
        trainer.fit(train, validation, epochs=3)
    trainer.fit(train, validation, epochs=3)
    assert trainer.optimizer.steps == 12
    assert_same(final(trainer), final(whole))


def test_after_an_error_in_the_validation_its_epoch_is_complete_whatever_the_loader_does_next() -> None:
    trainer, train, validation = make()
    trainer.metrics = {"accuracy": Raises(trainer)}
    with pytest.raises(OSError, match="of validation"):
        trainer.fit(train, validation, epochs=1)
    loss, train.batch_size = trainer.totals.means()["loss"], 10
    (row,) = trainer.fit(train, validation, epochs=1)
    assert (trainer.optimizer.steps, row["loss"]) == (4, loss)
    trainer.fit(train, validation, epochs=2)
    assert trainer.optimizer.steps == 4 + 5


def test_a_loss_that_is_no_number_is_no_error_any_more_once_the_weights_are_mended() -> None:
    trainer, train, validation = make()
    trainer.metrics = {"accuracy": Raises(trainer)}
    weights = trainer.model.state_dict()
    trainer.model[0].b.data[...] = np.nan
    with pytest.raises(TrainingError):  # before the validation, whose error would keep the loss
        trainer.fit(train, validation, epochs=1)
    trainer.model.load_state_dict(weights)
    trainer.optimizer, trainer.metrics = optim.SGD(trainer.model.parameters()), {}
    assert np.isfinite(trainer.fit(train, validation, epochs=1)[0]["loss"])
    assert trainer.optimizer.steps == 4


class Doubled(DataLoader):
    """A custom loader, whose loops are generators."""

    def __iter__(self) -> Any:
        for inputs, targets in super().__iter__():
            yield 2 * inputs, targets


@pytest.mark.parametrize("steps", [3, 4, 5])
def test_a_loader_may_change_its_batches(steps: int) -> None:
    whole, _, validation = make()
    whole.fit(Doubled(two_classes(), 16, shuffle=True), validation, epochs=3)
    first, _, validation = make()
    first.fit(Doubled(two_classes(), 16, shuffle=True), validation, steps=steps)
    state = first.state_dict()
    resumed, _, validation = make()
    train = Doubled(two_classes(), 16, shuffle=True)
    resumed.load_state_dict(state, train)
    resumed.fit(train, validation, epochs=3)
    assert_same(final(resumed), final(whole))


@pytest.mark.parametrize("steps", [2, 3, 4, 6, 8])
def test_after_a_resume_the_training_data_are_evaluated_as_a_whole(steps: int) -> None:
    """A loop over the loader before fit continues gets whole epochs, as without the resume."""
    whole = trained(epochs=3)
    first = trained(steps=steps)
    expected, state = first.evaluate(DataLoader(two_classes(), 16)), first.state_dict()
    resumed, train, validation = make()
    resumed.load_state_dict(state, train)
    for _ in range(2):
        found = resumed.evaluate(train)
        assert found == {name: pytest.approx(value) for name, value in expected.items()}
    assert len(list(train)) == 4
    resumed.fit(train, validation, epochs=3)
    assert_same(final(resumed), final(whole))


def test_a_place_that_a_user_gave_a_loader_is_kept() -> None:
    trainer, train, _ = make()
    untrained = trainer.state_dict()
    next(iter(train))
    place = train.state_dict()
    train.load_state_dict(place)
    trainer.load_state_dict(untrained, train)
    assert len(list(train)) == 3
