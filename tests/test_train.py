"""The training loop: it learns, stops and resumes anywhere bit for bit, and its callbacks see what happens."""

import csv
import io
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
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


def in_one_go_and_resumed(make: Callable[[int], Any], steps: int, folder: Path) -> tuple[Trainer, Trainer]:
    """A trainer after 8 steps, and another one, of other seeds, that went on after so many of a third."""
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


def test_a_state_saved_before_generators_were_part_of_it_still_goes_on() -> None:
    first, train = with_generators_of_its_own(1)
    first.fit(train, steps=2)
    state = first.state_dict()
    assert list(state.pop("generators")) == ["1.rng", "2.rng"]
    resumed, train = with_generators_of_its_own(1)
    resumed.load_state_dict(state, train)
    resumed.fit(train, steps=4)
    assert resumed.optimizer.steps == 4


class Weighted(nn.Module):
    """A loss with everything that has a state: learned weights, running statistics, dropout of its own."""

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
    """Steps with noise from generators of its own."""

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


def test_a_state_saved_before_the_loss_was_part_of_it_still_goes_on() -> None:
    first, train = with_a_loss_that_learns(1)
    first.fit(train, steps=2)
    state = first.state_dict()
    assert list(state.pop("loss")) == ["log_variance", "norm.gamma", "norm.beta", "norm.mean", "norm.var"]
    del state["generators"]["loss/drop.rng"], state["generators"]["optimizer/rng"]
    del state["generators"]["optimizer/others.0"]
    assert state["generators"] == {}
    for saved in (state, {name: value for name, value in state.items() if name != "generators"}):
        resumed, train = with_a_loss_that_learns(1)
        before = resumed.loss.state_dict()
        resumed.load_state_dict(saved, train)
        assert_same(resumed.loss.state_dict(), before)
        resumed.fit(train, steps=4)
        assert resumed.optimizer.steps == 4


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


def test_a_state_that_is_none_of_the_common_generator_names_it() -> None:
    trainer, train, _ = make()
    with pytest.raises(MinidlError, match=r"^what is there for md\.seed is no state of a generator of the kind PCG64"):
        trainer.load_state_dict(trainer.state_dict() | {"random": {"bit_generator": "MT19937"}}, train)


@pytest.mark.parametrize("event", ["on_train_begin", "on_step_end", "on_epoch_end", "on_train_end"])
def test_a_callback_cannot_call_fit_again(event: str) -> None:
    class Fits(Callback):
        def fit(self, trainer: Trainer) -> None:
            trainer.fit(trainer.train_loader, epochs=1)  # type: ignore[arg-type]

    callback = Fits()
    setattr(callback, event, callback.fit)
    trainer, train = regression(callbacks=[callback])
    with pytest.raises(MinidlError, match=r"fit is running, .* set trainer\.epochs"):
        trainer.fit(train, epochs=3)
    trainer.callbacks = []
    assert len(trainer.fit(train, epochs=3)) == 3


@pytest.mark.parametrize("state", [None, {}, {"w": np.ones(2)}])
def test_what_is_no_state_of_a_trainer_is_refused(state: Any) -> None:
    trainer, train, _ = make()
    with pytest.raises(MinidlError, match="expected the state of a trainer, got"):
        trainer.load_state_dict(state, train)


def regression(loss: Any = F.mse_loss, metrics: Any = None, callbacks: Any = ()) -> tuple[Trainer, DataLoader]:
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(-1, 1)
    model = nn.Dense(1, 1, rng=md.Generator(0))
    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), metrics, callbacks)
    return trainer, DataLoader(ArrayDataset(x, 3 * x), batch_size=16)


@pytest.mark.parametrize("name", ["loss", "epoch", "lr", "val_loss", "val_accuracy", 3])
def test_names_of_the_history_are_no_names_of_metrics(name: Any) -> None:
    with pytest.raises(MinidlError, match=str(name)):
        regression(metrics={name: accuracy})
    trainer, loader = regression()
    trainer.metrics[name] = accuracy  # later
    for run in (trainer.fit, trainer.evaluate):
        with pytest.raises(MinidlError, match=str(name)):
            run(loader)


@pytest.mark.parametrize("metric", [None, 3, "accuracy", dict])
def test_metrics_are_functions(metric: Any) -> None:
    with pytest.raises(MinidlError, match="the metric 'a' must be a function of outputs and targets"):
        regression(metrics={"a": metric})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "gave nothing: end its function with `return"),
        (np.zeros(16), r"gave shape \(16,\), expected a number: take the mean"),
        (np.zeros(0), r"gave shape \(0,\)"),
        (md.tensor([1.0, 2.0]), r"gave shape \(2,\)"),
        ("0.5", "gave str"),
        ([0.5], "gave list"),
        (np.complex64(1), "gave an array of complex64"),
    ],
)
def test_a_metric_that_gives_no_number_is_an_error(value: Any, message: str) -> None:
    trainer, loader = regression(metrics={"a": lambda outputs, targets: value})
    for run in (trainer.fit, trainer.evaluate):
        with pytest.raises(MinidlError, match=f"the metric 'a' {message}"):
            run(loader)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array([[2]]), md.tensor(2.0), md.tensor([2.0])])
def test_a_metric_may_be_any_number(value: Any) -> None:
    trainer, loader = regression(metrics={"a": lambda outputs, targets: value})
    assert trainer.fit(loader)[0]["a"] == trainer.evaluate(loader)["a"] == 2


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, targets: None, "the loss gave nothing: end its function with `return loss`"),
        (lambda outputs, targets: F.mse_loss(outputs, targets).item(), "the loss gave float, .* without item"),
        (lambda outputs, targets: F.mse_loss(outputs, targets).numpy(), "the loss gave ndarray, .* without item"),
        (lambda outputs, targets: (outputs - targets) ** 2, r"the loss gave a tensor of shape \(16, 1\), .* mean\(\)"),
    ],
)
def test_a_loss_that_is_no_tensor_with_one_element_is_an_error(loss: Any, message: str) -> None:
    trainer, loader = regression(loss)
    for run in (trainer.fit, trainer.evaluate):
        with pytest.raises(MinidlError, match=message):
            run(loader)


def test_notes_that_are_no_texts_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    notes: Any = lambda: {"seed": 3}  # noqa: E731
    trainer, loader = regression(callbacks=[Checkpoint(tmp_path, notes=notes)])
    with pytest.raises(checkpoint.CheckpointError, match="'seed'"):
        trainer.fit(loader)
    trainer, loader = regression(callbacks=[StopAfter(1), Checkpoint(tmp_path, notes=notes)])
    with pytest.raises(checkpoint.CheckpointError, match="'seed'"):
        trainer.fit(DataLoader(loader.dataset, 8))
    assert list(tmp_path.iterdir()) == []


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


def test_signals_arrive_in_the_main_thread_alone() -> None:
    trainer, loader = regression(callbacks=[StopOnSignal()])
    errors: list[Exception] = []

    def train() -> None:
        try:
            trainer.fit(loader)
        except MinidlError as error:
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert "StopOnSignal works in the main thread alone" in str(errors[0])
    assert trainer.optimizer.steps == 0


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
        *[
            (lambda value=value: EarlyStopping(value), "patience must be a whole number >= 0")
            for value in (-1, None, "3")
        ],
        (lambda: EarlyStopping(2.5), "patience must be a whole number >= 0"),
        (lambda: EarlyStopping(True), "patience must be a whole number >= 0"),
        (lambda: EarlyStopping(3, monitor=None), "monitor must be a name in the history"),
        (lambda: Checkpoint(None), "expected the path of a file, got None"),
        (lambda: Checkpoint("here", monitor=3), "monitor must be a name in the history"),
        (lambda: Checkpoint("here", notes={"seed": "3"}), "notes must be a function"),
        (lambda: CSVLog(None), "expected the path of a file, got None"),
        (lambda: Progress("log.txt"), "expected a stream to write to, got 'log.txt'"),
        (lambda: ProfileSteps(3), "expected the path of a file, got 3"),
        (lambda: ProfileSteps("here", steps=0), "steps must be a whole number >= 1"),
        (lambda: ProfileSteps("here", warm_up=-1), "warm_up must be a whole number >= 0"),
        (lambda: regression(callbacks=[optim.cosine(0.1, 10)]), "a schedule goes to the optimizer"),
        (lambda: regression(callbacks=[StopOnSignal]), "make one of a class, with brackets"),
        (lambda: regression(callbacks=[None]), "use those of md.callbacks"),
    ],
)
def test_options_of_callbacks_are_refused_where_they_are_given(make: Any, message: str) -> None:
    with pytest.raises(MinidlError, match=message):
        make()


def test_several_that_stop_on_a_signal_give_the_handler_back() -> None:
    trainers = []

    class Inner(Callback):
        """Trains another model in the middle of a training."""

        def on_epoch_end(self, trainer: Trainer) -> None:
            inner, loader = regression(callbacks=[StopOnSignal(), StopOnSignal()])
            inner.fit(loader)
            signal.raise_signal(signal.SIGINT)
            trainers.append(inner)

    twice = StopOnSignal()
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    trainer, loader = regression(callbacks=[StopOnSignal(), twice, twice, Inner()])
    trainer.fit(loader, epochs=3)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert (trainer.epoch, trainer.stopping, trainers[0].stopping) == (1, True, False)


def test_a_handler_that_others_installed_in_a_training_stays() -> None:
    heard: list[int] = []

    class Listens(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            self.ours = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))

    listens = Listens()
    trainer, loader = regression(callbacks=[StopOnSignal(), listens])
    found = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have its jobs ignore it
    before = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(loader)
        signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
        chained = listens.ours  # that of a training that has ended
        for handler in (chained, lambda number, frame: chained(number, frame)):
            signal.signal(signal.SIGINT, handler)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, found)
