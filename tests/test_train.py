"""The training loop: it learns, stops and resumes anywhere bit for bit, and its callbacks see what happens."""

import csv
import io
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import checkpoint, nn, optim
from minidl.callbacks import Checkpoint, CSVLog, EarlyStopping, ProfileSteps, Progress, StopOnSignal, best_row
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import MinidlError
from minidl.nn import functional as F
from minidl.train import Callback, Trainer, TrainingError


def accuracy(outputs: Any, labels: Any) -> Any:
    return (outputs.argmax(1) == labels).mean()


def two_classes(count: int = 50) -> ArrayDataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    return ArrayDataset((rng.normal(size=(count, 4)) + labels[:, None]).astype(np.float32), labels)


def make(callbacks: Any = ()) -> tuple[Trainer, DataLoader, DataLoader]:
    """A trainer with everything that has a state: dropout, batch norm, shuffling, Adam and a schedule."""
    md.seed(5)
    rng = md.Generator(1)
    model = nn.Sequential(nn.Dense(4, 8, rng=rng), nn.BatchNorm(8), nn.ReLU(), nn.Dropout(0.3), nn.Dense(8, 2, rng=rng))
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(0.01, 15))
    trainer = Trainer(model, F.softmax_cross_entropy, optimizer, {"accuracy": accuracy}, callbacks)
    data = two_classes()
    return trainer, DataLoader(data, 16, shuffle=True, seed=2), DataLoader(data, 20)


class StopAfter(Callback):
    """Asks to stop after some steps, as Ctrl-C would."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, trainer: Trainer) -> None:
        trainer.stopping |= trainer.optimizer.steps == self.steps


def final(trainer: Trainer) -> dict[str, Any]:
    """All that a training leaves, without the clock."""
    return {**trainer.model.state_dict(), **{f"row{i}": list(row.items()) for i, row in enumerate(trainer.history)}}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name


def test_training_learns_and_records_every_epoch() -> None:
    trainer, train, validation = make()
    history = trainer.fit(train, validation, epochs=8)
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert set(history[0]) == {"epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert history[-1]["val_loss"] < 0.8 * history[0]["val_loss"]
    assert trainer.images == 8 * 50
    assert trainer.evaluate(validation)["accuracy"] == history[-1]["val_accuracy"]


def test_metrics_are_means_over_samples_not_over_batches() -> None:
    trainer, _, _ = make()
    data = two_classes()
    whole = trainer.evaluate(DataLoader(data, 50))
    assert trainer.evaluate(DataLoader(data, 7)) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("steps", range(1, 13))
def test_stopping_after_any_step_and_resuming_changes_nothing(steps: int, tmp_path: Path) -> None:
    whole, train, validation = make()
    whole.fit(train, validation, epochs=3)
    stopped, train, validation = make([StopAfter(steps), Checkpoint(tmp_path)])
    stopped.fit(train, validation, epochs=3)
    assert stopped.optimizer.steps == steps
    resumed, train, validation = make()
    resumed.model[0].w.data[...] = 99  # whatever it was
    md.seed(99)
    resumed.load_state_dict(checkpoint.load_state(tmp_path / "last.state.safetensors"), train)
    resumed.fit(train, validation, epochs=3)
    assert_same(final(resumed), final(whole))


class StopInValidation(ArrayDataset):
    trainer: Trainer

    def batch(self, indices: Any) -> Any:
        self.trainer.stopping = True
        return super().batch(indices)


def test_stopping_during_validation_repeats_the_validation(tmp_path: Path) -> None:
    whole, train, validation = make()
    whole.fit(train, validation, epochs=2)
    stopped, train, _ = make([Checkpoint(tmp_path)])
    data = StopInValidation(*two_classes().arrays)
    data.trainer = stopped
    stopped.fit(train, DataLoader(data, 20, prefetch=0), epochs=2)
    assert stopped.history == []
    resumed, train, validation = make()
    resumed.load_state_dict(checkpoint.load_state(tmp_path / "last.state.safetensors"), train)
    resumed.fit(train, validation, epochs=2)
    assert_same(final(resumed), final(whole))


def test_more_epochs_continue_where_the_last_fit_ended() -> None:
    whole, train, validation = make()
    whole.fit(train, validation, epochs=4)
    parts, train, validation = make()
    parts.fit(train, validation, epochs=2)
    parts.fit(train, validation, epochs=4)
    assert_same(final(parts), final(whole))


def test_a_loss_that_is_no_number_is_an_error_that_keeps_the_checkpoints(tmp_path: Path) -> None:
    trainer, train, validation = make([Checkpoint(tmp_path)])
    trainer.fit(train, validation, epochs=1)
    before = (tmp_path / "last.state.safetensors").read_bytes()
    trainer.model[0].w.data[...] = np.nan
    with pytest.raises(TrainingError, match="the loss became nan in epoch 2: try a smaller learning rate"):
        trainer.fit(train, validation, epochs=2)
    assert (tmp_path / "last.state.safetensors").read_bytes() == before


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


def test_the_log_has_a_row_an_epoch_and_is_whole_after_resuming(tmp_path: Path) -> None:
    trainer, train, validation = make([CSVLog(tmp_path / "metrics.csv")])
    trainer.fit(train, validation, epochs=3)
    assert logged(tmp_path / "metrics.csv") == trainer.history
    for lost in ("", "epoch,lr,loss\n1,0.1,2.5\n"):  # the run was ended between its last state and the log
        (tmp_path / "metrics.csv").write_text(lost)
        resumed, train, validation = make([CSVLog(tmp_path / "metrics.csv")])
        resumed.load_state_dict(trainer.state_dict(), train)
        resumed.fit(train, validation, epochs=3)
        assert resumed.optimizer.steps == trainer.optimizer.steps
        assert logged(tmp_path / "metrics.csv") == trainer.history


def logged(path: Path) -> list[dict[str, float]]:
    """The rows of a log, without what is empty."""
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_gives_the_handler_back(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kill(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.optimizer.steps == 3:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    stop = StopOnSignal()
    trainer, train, validation = make([stop, Kill()])
    trainer.fit(train, validation, epochs=3)
    assert (stop.received, trainer.optimizer.steps) == (number, 3)
    assert signal.getsignal(number) is before
    assert "stopping after this step" in capsys.readouterr().err


def test_an_error_gives_the_signal_handlers_and_the_profiler_back(tmp_path: Path) -> None:
    class Fail(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            raise RuntimeError("no")

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    profile = ProfileSteps(tmp_path)
    trainer, train, validation = make([StopOnSignal(), profile, Fail()])
    with pytest.raises(RuntimeError, match="no"):
        trainer.fit(train, validation)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert profile.profiler is None


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_the_mode_of_the_model_as_it_was(training: bool) -> None:
    trainer, _, validation = make()
    trainer.model.train(training)
    trainer.evaluate(validation)
    assert trainer.model.training is training


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_rewrites_one_line_and_elsewhere_writes_epochs_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for stream in (Terminal(), io.StringIO()):
        progress = Progress(stream)
        progress.shown = -1.0
        trainer, train, validation = make([progress])
        trainer.fit(train, validation, epochs=2)
        text = stream.getvalue()
        assert text.count("\n") == 2
        assert "epoch 2/2" in text
        assert "val_accuracy" in text
        assert ("step 1/4" in text and "left" in text and "\x1b[2K" in text) == stream.isatty()


@pytest.mark.parametrize("width", [40, 80, 20])
def test_the_lines_of_a_training_fit_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    progress = Progress(Terminal())
    progress.shown = -1.0
    trainer, train, validation = make([progress])
    trainer.fit(train, validation, epochs=2)
    text = progress.stream.getvalue()  # type: ignore[attr-defined]
    lines = re.split(r"[\r\n]|\x1b\[2K", text)
    assert max(map(len, lines)) < width
    assert "epoch 1/2" in lines[1 if lines[0] else 2]
    for fact in ("epoch 2/2", "val_accuracy", "val_loss"):
        assert fact in text, "of a whole epoch nothing is left out"


def test_batches_may_be_structures() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Dense(4, 2, rng=md.Generator(0))

        def forward(self, inputs: dict[str, Any]) -> dict[str, Any]:
            return {"y": self.dense(inputs["a"] + inputs["b"])}

    class Pairs(ArrayDataset):
        def batch(self, indices: Any) -> Any:
            x, labels = super().batch(indices)
            return {"a": x, "b": x}, {"y": labels}

    model = Two()

    def loss(outputs: Any, targets: Any) -> Any:
        return F.softmax_cross_entropy(outputs["y"], targets["y"])

    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1))
    history = trainer.fit(DataLoader(Pairs(*two_classes().arrays), 16), epochs=3)
    assert history[2]["loss"] < history[0]["loss"]


def test_training_runs_on_the_strict_stand_in() -> None:
    """No array of the host slips into the step: the stand-in for a GPU would refuse it."""
    trainer, train, validation = make()
    trainer.model.to("strict")
    trainer.fit(train, validation, epochs=2)
    host, train, validation = make()
    host.fit(train, validation, epochs=2)
    assert trainer.history[-1] == pytest.approx(host.history[-1], rel=1e-4)


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


def test_evaluation_leaves_each_layer_in_its_mode_after_an_error_too() -> None:
    trainer, train, validation = make()
    trainer.model[1].eval()  # type: ignore[index]
    before = [module.training for _, module in trainer.model.named_modules()]
    trainer.evaluate(validation)
    assert [module.training for _, module in trainer.model.named_modules()] == before
    with pytest.raises(MinidlError, match="expected batches of two parts"):
        trainer.evaluate(DataLoader(ArrayDataset(np.ones((2, 4), np.float32))))
    assert [module.training for _, module in trainer.model.named_modules()] == before
    mean = trainer.model.state_dict()["1.mean"]
    trainer.fit(train, validation)
    np.testing.assert_array_equal(trainer.model.state_dict()["1.mean"], mean)
    trainer.model.eval()
    trainer.fit(train, validation, epochs=2)
    assert all(module.training for _, module in trainer.model.named_modules())


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


@pytest.mark.parametrize("steps", [2, 4])
def test_generators_of_layers_are_part_of_the_state(steps: int, tmp_path: Path) -> None:
    whole, train = with_generators_of_its_own(1)
    whole.fit(train, steps=8)
    first, train = with_generators_of_its_own(1)
    first.fit(train, steps=steps)
    checkpoint.save_state(tmp_path / "state", first.state_dict())
    resumed, train = with_generators_of_its_own(9)
    resumed.load_state_dict(checkpoint.load_state(tmp_path / "state"), train)
    resumed.fit(train, steps=8)
    assert_same(final(resumed), final(whole))


def test_a_state_saved_before_generators_were_part_of_it_still_goes_on() -> None:
    first, train = with_generators_of_its_own(1)
    first.fit(train, steps=2)
    state = first.state_dict()
    assert list(state.pop("generators")) == ["1.rng", "2.rng"]
    resumed, train = with_generators_of_its_own(1)
    resumed.load_state_dict(state, train)
    resumed.fit(train, steps=4)
    assert resumed.optimizer.steps == 4


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
    first, train, validation = make()
    first.fit(train, validation, steps=6)
    state = first.state_dict()
    change(state)
    other, train, validation = make()
    other.fit(train, validation, steps=2)
    before = everything(other, train)
    with pytest.raises(MinidlError):
        other.load_state_dict(state, train)
    np.testing.assert_equal(everything(other, train), before)


def test_of_generators_of_which_one_does_not_fit_none_is_loaded() -> None:
    first, train = with_generators_of_its_own(1)
    first.fit(train, steps=1)
    state = first.state_dict()
    state["generators"]["2.rng"] = {"bit_generator": "MT19937"}
    other, train = with_generators_of_its_own(9)
    before = everything(other, train)
    with pytest.raises(MinidlError, match=r"'2\.rng' is no state of a generator"):
        other.load_state_dict(state, train)
    np.testing.assert_equal(everything(other, train), before)


@pytest.mark.parametrize("state", [None, {}, {"w": np.ones(2)}])
def test_what_is_no_state_of_a_trainer_is_refused(state: Any) -> None:
    trainer, train, _ = make()
    with pytest.raises(MinidlError, match="expected the state of a trainer, got"):
        trainer.load_state_dict(state, train)
