"""Callbacks: their events, and what they keep, log, stop and reject."""

import copy
import csv
import errno
import inspect
import io
import pickle
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import minidl as md
from minidl import checkpoint, optim
from minidl.callbacks import Checkpoint, CSVLog, EarlyStopping, ProfileSteps, Progress, StopOnSignal, best_row
from minidl.data import DataLoader
from minidl.errors import MinidlError
from minidl.progress import epoch_facts
from minidl.train import Callback, Trainer

from .training import StopAfter, assert_same, make, regression, saved_in, trained


def test_before_training_there_is_no_epoch_to_report() -> None:
    trainer, loader = regression()
    with pytest.raises(MinidlError, match=r"there is no epoch yet: call trainer\.fit first"):
        epoch_facts(trainer)
    trainer.fit(loader, epochs=0)
    with pytest.raises(MinidlError, match="there is no epoch yet"):
        epoch_facts(trainer)


def test_best_and_last_weights_are_kept(tmp_path: Path) -> None:
    class Spoil(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.epoch == 2:
                trainer.model[0].w.data[...] = 50

    trainer, train, validation = make([Spoil(), Checkpoint(tmp_path)])
    history = trainer.fit(train, validation, epochs=3)
    assert best_row(history)["epoch"] == 2
    best, notes = checkpoint.load_with_metadata(tmp_path / "best.safetensors")
    assert notes == {"epoch": "2"}
    assert_same(dict(md.load(tmp_path / "last.safetensors")), trainer.model.state_dict())
    trainer.model.load_state_dict(best)
    assert trainer.evaluate(validation)["loss"] == history[1]["val_loss"]


class Worse(Callback):
    """Epochs after the second are worse."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.epoch >= 2:
            trainer.model[0].w.data[...] = 50


def failing_save(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Make the second save of a file fail, once."""
    save, calls = checkpoint.save, []

    def fail(path: Any, *arguments: Any) -> None:
        calls.extend([1] * (path.name == name))
        if path.name == name and len(calls) == 2:
            raise error
        save(path, *arguments)

    monkeypatch.setattr(checkpoint, "save", fail)


@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_weights_that_an_error_kept_from_being_saved_are_saved_by_the_next_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, name: str
) -> None:
    trainer, train, validation = make([Checkpoint(tmp_path), Worse()])
    failing_save(monkeypatch, name, error)
    with pytest.raises(type(error)):
        trainer.fit(train, validation, epochs=4)
    history = trainer.fit(train, validation, epochs=2)
    assert checkpoint.read_metadata(tmp_path / "last.safetensors") == {"epoch": "2"}
    history = trainer.fit(train, validation, epochs=4)
    assert best_row(history)["epoch"] == 2
    best, notes = checkpoint.load_with_metadata(tmp_path / "best.safetensors")
    assert notes == {"epoch": "2"}
    trainer.model.load_state_dict(best)
    assert trainer.evaluate(validation)["loss"] == history[1]["val_loss"]


def test_a_state_resumed_in_another_folder_brings_its_best_weights_or_says_that_they_are_not_there(
    tmp_path: Path,
) -> None:
    for number, epochs in enumerate((2, 3)):
        here, there = tmp_path / f"{number}", tmp_path / f"{number}-elsewhere"
        here.mkdir()
        there.mkdir()
        trained([Checkpoint(here), Worse()], epochs=epochs)
        trainer, train, validation = make([Checkpoint(there), Worse()])
        trainer.load_state_dict(saved_in(here), train)
        if epochs == 2:
            trainer.fit(train, validation, epochs=4)
            best, expected = (folder / "best.safetensors" for folder in (there, here))
            assert best.read_bytes() == expected.read_bytes()
        else:
            lost = r"elsewhere.best.safetensors is missing or damaged, but epoch 2 has the best val_loss"
            with pytest.warns(UserWarning, match=lost) as warned:
                trainer.fit(train, validation, epochs=4)
            assert warned[0].filename == __file__
            assert not (there / "best.safetensors").exists()


def test_weights_of_a_step_after_the_best_epoch_are_not_saved_as_its_own(tmp_path: Path) -> None:
    """The epoch that an error ends begins again, but the weights have changed."""

    class Fail(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.optimizer.steps == 10:
                raise ZeroDivisionError

    trainer, train, validation = make([Fail()])
    with pytest.raises(ZeroDivisionError):
        trainer.fit(train, validation, epochs=3)
    assert best_row(trainer.history)["epoch"] == trainer.epoch == 2
    trainer.callbacks += [Checkpoint(tmp_path), Worse()]
    with pytest.warns(UserWarning, match="epoch 2 has the best val_loss, and its weights are not in the last state"):
        trainer.fit(train, validation, epochs=3)
    assert checkpoint.read_metadata(tmp_path / "last.safetensors") == {"epoch": "3"}


def test_early_stopping_waits_for_its_patience() -> None:
    trainer, train, validation = make([EarlyStopping(patience=2)])
    losses = iter([3.0, 2.0, 2.5, 2.0, 1.0])
    trainer.evaluate = lambda loader: {"loss": next(losses)}  # type: ignore[method-assign]
    history = trainer.fit(train, validation, epochs=5)
    assert [row["val_loss"] for row in history] == [3.0, 2.0, 2.5, 2.0]
    trainer.fit(train, validation, epochs=5)  # once more
    assert (trainer.epoch, trainer.optimizer.steps) == (4, 16)
    trainer.callbacks = [EarlyStopping(patience=3)]
    trainer.fit(train, validation, epochs=5)
    assert trainer.epoch == 5


def test_a_validation_that_comes_later_is_not_compared_with_what_was_trained_before(tmp_path: Path) -> None:
    """The weights kept as the best, and the step at which training stops, depend on the validation alone."""
    trainer, train, validation = make([EarlyStopping(patience=2), Checkpoint(tmp_path)])
    trainer.fit(train, epochs=2)
    assert checkpoint.read_metadata(tmp_path / "best.safetensors") == {"epoch": str(best_row(trainer.history)["epoch"])}
    losses = iter([90.0, 80.0, 85.0, 82.0, 1.0])
    trainer.evaluate = lambda loader: {"loss": next(losses)}  # type: ignore[method-assign]
    trainer.fit(train, validation, epochs=10)
    assert [row.get("val_loss") for row in trainer.history] == [None, None, 90, 80, 85, 82]
    assert best_row(trainer.history)["epoch"] == 4
    assert checkpoint.read_metadata(tmp_path / "best.safetensors") == {"epoch": "4"}


def test_a_profile_of_few_steps_leaves_its_options_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(md.Profiler, "plot", lambda self, path: None)
    profile = ProfileSteps(tmp_path, steps=2, warm_up=1)
    trainer, train, _ = make([profile])
    for steps, measured in ((1, "one step of 1:"), (5, "one step of 2:")):
        trainer.fit(train, steps=steps)
        assert measured in (tmp_path / "profile.txt").read_text()
        assert (profile.steps, profile.warm_up) == (2, 1)


def test_of_a_history_without_rows_none_is_the_best() -> None:
    with pytest.raises(MinidlError, match="expected the rows of a history, got none: train for an epoch first"):
        best_row([])


def test_the_log_has_a_row_an_epoch_and_is_whole_after_resuming(tmp_path: Path) -> None:
    trainer = trained([CSVLog(tmp_path / "metrics.csv")], epochs=3)
    assert logged(tmp_path / "metrics.csv") == trainer.history
    for lost in ("", "epoch,lr,loss\n1,0.1,2.5\n"):  # the process was killed between its last state and the log
        (tmp_path / "metrics.csv").write_text(lost)
        resumed, train, validation = make([CSVLog(tmp_path / "metrics.csv")])
        resumed.load_state_dict(trainer.state_dict(), train)
        resumed.fit(train, validation, epochs=3)
        assert resumed.optimizer.steps == trainer.optimizer.steps
        assert logged(tmp_path / "metrics.csv") == trainer.history


def logged(path: Path) -> list[dict[str, float]]:
    """The rows of a log without empty fields."""
    with path.open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_the_log_takes_a_validation_and_a_metric_that_come_later(tmp_path: Path) -> None:
    trainer, train, validation = make([CSVLog(tmp_path / "metrics.csv")])
    trainer.fit(train, epochs=1)
    trainer.fit(train, validation, epochs=2)
    trainer.metrics.clear()
    trainer.fit(train, validation, epochs=3)
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert header == "epoch,lr,loss,accuracy,val_loss,val_accuracy"
    assert logged(tmp_path / "metrics.csv") == trainer.history


def test_callbacks_are_called_in_order() -> None:
    seen: list[str] = []

    class Record(Callback):
        def on_train_begin(self, trainer: Trainer) -> None:
            seen.append("begin")

        def on_step_end(self, trainer: Trainer) -> None:
            seen.append("step")

        def on_epoch_end(self, trainer: Trainer) -> None:
            seen.append(f"epoch {trainer.epoch} {trainer.history[-1]['epoch']}")

        def on_train_end(self, trainer: Trainer) -> None:
            seen.append("end")

    trainer, train, validation = make([Record()])
    trainer.fit(train, validation, epochs=2)
    assert seen == ["begin", *["step"] * 4, "epoch 1 1", *["step"] * 4, "epoch 2 2", "end"]
    seen.clear()
    trainer.fit(train, validation, steps=14)
    assert seen == ["begin", *["step"] * 4, "epoch 3 3", *["step"] * 2, "end"]


@pytest.mark.parametrize("callback", [lambda **name: Checkpoint(Path(), **name), EarlyStopping])
def test_a_name_that_nobody_measures_cannot_be_monitored(callback: Any) -> None:
    trainer, train, validation = make([callback(monitor="val_acuracy", mode="max")])
    known = "epoch, lr, loss, accuracy, val_loss, val_accuracy"
    with pytest.raises(MinidlError, match=f"no 'val_acuracy' .*mean 'val_accuracy'.* This epoch has {known}"):
        trainer.fit(train, validation)


def test_what_is_no_number_is_never_the_best() -> None:
    nan = float("nan")
    rows = [{"epoch": i, "loss": 1.0, "val_error": v} for i, v in enumerate([nan, 3.0, nan, 2.0, nan], start=1)]
    assert best_row(rows, "val_error")["epoch"] == 4
    assert best_row(rows[:3], "val_error")["epoch"] == 2
    assert best_row(rows[:1], "val_error")["epoch"] == 1


def test_without_validation_the_training_counts_under_the_same_name() -> None:
    rows = [{"epoch": 1, "loss": 1.0, "error": 2.0}, {"epoch": 2, "loss": 0.5, "error": 3.0}]
    assert best_row(rows)["epoch"] == 2
    assert best_row(rows, "val_error")["epoch"] == 1
    with pytest.raises(MinidlError, match="no 'val_loss' to monitor"):
        best_row([{"epoch": 1, "loss": 1.0, "val_error": 2.0}])


def test_notes_that_are_no_texts_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    notes: Any = lambda: {"seed": 3}  # noqa: E731
    trainer, loader = regression(callbacks=[Checkpoint(tmp_path, notes=notes)])
    with pytest.raises(checkpoint.CheckpointError, match="'seed'"):
        trainer.fit(loader)
    trainer, loader = regression(callbacks=[StopAfter(1), Checkpoint(tmp_path, notes=notes)])
    with pytest.raises(checkpoint.CheckpointError, match="'seed'"):
        trainer.fit(DataLoader(loader.dataset, 8))
    assert list(tmp_path.iterdir()) == []


WRITING = {"checkpoint": ("folder",), "csv_log": ("folder", "metrics.csv"), "profile_steps": ("folder",)}
"""Where the callbacks write that are made with a path."""


@pytest.mark.parametrize("name", WRITING)
def test_a_folder_that_is_not_there_is_told_before_the_first_step(tmp_path: Path, name: str) -> None:
    callback = md.plugins.get("callback", name)(tmp_path.joinpath(*WRITING[name]))
    trainer, loader = regression(callbacks=[callback])
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*folder to write .* to: create it first"):
        trainer.fit(loader)
    assert trainer.optimizer.steps == 0
    (tmp_path / "folder").mkdir()
    trainer.fit(loader)
    assert list((tmp_path / "folder").iterdir())


def test_every_callback_that_writes_is_tried_without_a_folder() -> None:
    paths = {"folder", "path"}
    found = {
        name
        for name in md.plugins.names("callback")
        if (kind := md.plugins.get("callback", name)).__module__.startswith("minidl.")
        if paths & set(inspect.signature(kind).parameters)
    }
    assert found == set(WRITING)


class Failing(Callback):
    """Raises in one event."""

    def __init__(self, event: str) -> None:
        def fail(trainer: Trainer) -> None:
            raise RuntimeError(f"{event} failed")

        setattr(self, event, fail)


@pytest.mark.parametrize("event", ["on_train_begin", "on_step_end", "on_epoch_end", "on_train_end", "on_train_error"])
@pytest.mark.parametrize("at", [0, 2])
def test_whatever_a_callback_raises_all_hear_of_the_error(event: str, at: int) -> None:
    told = []

    class Told(Callback):
        def on_train_error(self, trainer: Trainer) -> None:
            told.append(1)

    callbacks = [Told(), StopOnSignal(), Told()]
    callbacks.insert(at, Failing(event))
    if event == "on_train_error":
        callbacks.insert(0, Failing("on_step_end"))
    trainer, loader = regression(callbacks=callbacks)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match=f"{event} failed"):
        trainer.fit(loader)
    assert told == [1, 1]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_callback_that_takes_itself_away_skips_no_other() -> None:
    class Once(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            trainer.callbacks.remove(self)

    told = []

    class Told(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            told.append(trainer.optimizer.steps)

    trainer, loader = regression(callbacks=[Once(), Told()])
    trainer.fit(loader, epochs=2)
    assert told == [1, 2]


@pytest.mark.parametrize(
    ("patience", "losses", "last"),
    [(0, [5, 4, 3], 3), (0, [5, 4, 4, 3], 3), (0, [5, 6, 4], 2), (1, [5, 4, 4, 3], 3), (2, [5, 6, 4, 5, 6, 1], 5)],
)
def test_early_stopping_stops_where_keras_does(patience: int, losses: list[float], last: int) -> None:
    stopping: Any = SimpleNamespace(history=[], epoch=0, stopping=False)
    callback = EarlyStopping(patience, monitor="loss")
    for epoch, loss in enumerate(losses, start=1):
        stopping.history.append({"epoch": epoch, "loss": loss})
        stopping.epoch = epoch
        callback.on_epoch_end(stopping)
        if stopping.stopping:
            break
    assert stopping.epoch == last


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *[(lambda value=value: EarlyStopping(value), "patience must be an integer >= 0") for value in (-1, None, "3")],
        (lambda: EarlyStopping(2.5), "patience must be an integer >= 0"),
        (lambda: EarlyStopping(True), "patience must be an integer >= 0"),
        (lambda: EarlyStopping(3, monitor=None), "monitor must be a name in the history"),
        (lambda: Checkpoint(None), "expected the path of a file, got None"),
        (lambda: Checkpoint("here", monitor=3), "monitor must be a name in the history"),
        (lambda: Checkpoint("here", notes={"seed": "3"}), "notes must be a function"),
        (lambda: CSVLog(None), "expected the path of a file, got None"),
        (lambda: Progress("log.txt"), "expected a stream to write to, got 'log.txt'"),
        (lambda: ProfileSteps(3), "expected the path of a file, got 3"),
        (lambda: ProfileSteps("here", steps=0), "steps must be an integer >= 1"),
        (lambda: ProfileSteps("here", warm_up=-1), "warm_up must be an integer >= 0"),
        (lambda: regression(callbacks=[optim.cosine(0.1, 10)]), "pass a schedule to the optimizer"),
        (lambda: regression(callbacks=[StopOnSignal]), "make an instance of the class, with parentheses"),
        (lambda: regression(callbacks=[None]), "use a callback of md.callbacks"),
    ],
)
def test_options_of_callbacks_are_refused_where_they_are_given(make: Any, message: str) -> None:
    with pytest.raises(MinidlError, match=message):
        make()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: Any, monkeypatch: pytest.MonkeyPatch, columns: int = 200, **until: int) -> str:
    """A writer that records every training step."""
    monkeypatch.setenv("COLUMNS", str(columns))
    progress = Progress(stream)
    progress.shown = -1.0
    trained([progress], **until)
    return str(stream.getvalue())


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_progress_on_a_terminal_rewrites_one_line_and_elsewhere_writes_epochs_only(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(stream(), monkeypatch, epochs=2)
    assert text.count("\n") == 2
    assert "epoch 2/2" in text
    assert "val_accuracy" in text
    assert ("step 1/4" in text and "left" in text and "\x1b[2K" in text) == (stream is Terminal)


@pytest.mark.parametrize("width", [40, 80, 20])
def test_the_lines_of_a_training_fit_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = shown(Terminal(), monkeypatch, width, epochs=2)
    lines = re.split(r"[\r\n]|\x1b\[2K", text)
    assert max(map(len, lines)) < width
    assert "epoch 1/2" in lines[1 if lines[0] else 2]
    for fact in ("epoch 2/2", "val_accuracy", "val_loss"):
        assert fact in text, "of a whole epoch nothing is left out"


def test_progress_of_some_steps_counts_them_and_shows_how_far_the_last_epoch_got(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "epoch 1  step 1/6" in shown(Terminal(), monkeypatch, steps=6)
    lines = shown(io.StringIO(), monkeypatch, steps=6).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2 up to step 6"]
    assert "val_loss" not in lines[1]


def test_a_trainer_that_shows_its_progress_can_be_copied() -> None:
    trainer, train, _ = make([Progress(), Progress(stream := io.StringIO())])
    trainer.fit(train, epochs=1)
    other = copy.deepcopy(trainer)
    before = stream.getvalue()
    other.fit(train, epochs=2)
    assert stream.getvalue().startswith(before + "epoch 2/2")
    assert pickle.loads(pickle.dumps(Progress())).shown == 0
