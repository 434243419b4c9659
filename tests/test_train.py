"""The training loop learns, stops and resumes anywhere bit for bit, and calls its callbacks."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.callbacks import Checkpoint, CSVLog, EarlyStopping, Progress, StopOnSignal
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import MinidlError, ShapeError
from minidl.nn import functional as F
from minidl.train import Callback, Trainer, TrainingError

from .training import accuracy, assert_same, final, make, regression, trained, two_classes


def test_training_learns_and_records_every_epoch() -> None:
    trainer, train, validation = make()
    history = trainer.fit(train, validation, epochs=8)
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert set(history[0]) == {"epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert history[-1]["val_loss"] < 0.8 * history[0]["val_loss"]
    assert trainer.samples == 8 * 50
    assert trainer.evaluate(validation)["accuracy"] == history[-1]["val_accuracy"]


def test_metrics_are_means_over_samples_not_over_batches() -> None:
    trainer, _, _ = make()
    data = two_classes()
    whole = trainer.evaluate(DataLoader(data, 50))
    assert trainer.evaluate(DataLoader(data, 7)) == pytest.approx(whole, rel=1e-6)


def test_more_epochs_continue_where_the_last_fit_ended() -> None:
    whole = trained(epochs=4)
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


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_the_mode_of_the_model_as_it_was(training: bool) -> None:
    trainer, _, validation = make()
    trainer.model.train(training)
    trainer.evaluate(validation)
    assert trainer.model.training is training


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


@pytest.mark.parametrize("made", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_of_a_trainer_goes_on_by_itself(made: Any, tmp_path: Path) -> None:
    watching = [Progress(), Checkpoint(tmp_path), CSVLog(tmp_path / "a.csv"), EarlyStopping(), StopOnSignal()]
    trainer, train, validation = make(watching)
    trainer.fit(train, validation, steps=6)
    before = final(trainer)
    other = made(trainer)
    assert other.callbacks[0].stream is trainer.callbacks[0].stream
    assert other.optimizer.parameters[0] is other.model.parameters()[0]
    state = md.random.default_rng.state
    other.fit(other.train_loader, validation, epochs=3)
    assert_same(final(trainer), before)
    md.random.default_rng.state = state
    trainer.fit(train, validation, epochs=3)
    assert_same(final(other), final(trainer))


def test_a_copy_that_is_made_while_a_trainer_trains_can_be_trained() -> None:
    class Keep(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            copies.append(copy.deepcopy(trainer))

    copies: list[Trainer] = []
    trainer, train, _ = make([Keep()])
    trainer.fit(train)
    (one,) = copies
    assert one.train_loader is not None
    assert len(one.fit(one.train_loader, epochs=2)) == 2
    assert len(trainer.history) == 1


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(1, 1)

    def forward(self, inputs: Any) -> md.Tensor:
        return self.dense(inputs["x"]) * inputs["a"]


class WithScale(ArrayDataset):
    """Its batches have one value for all samples in addition to those for each sample."""

    def batch(self, indices: Any) -> Any:
        x, y = super().batch(indices)
        return {"x": x, "a": np.float32(2)}, y


def test_a_batch_may_have_numbers_without_axes_beside_its_samples() -> None:
    model = Scaled()
    trainer = Trainer(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.01))
    x = np.ones((6, 1), np.float32)
    trainer.fit(DataLoader(WithScale(x, x), 4))
    assert trainer.samples == 6
    with pytest.raises(ShapeError, match=r"expected inputs \(N, ...\), with a first axis for the samples, got none"):
        trainer.train_step({"x": np.float32(2), "a": np.float32(1)}, np.ones((1, 1), np.float32))


def test_training_runs_on_the_strict_stand_in() -> None:
    """No host array enters the step: the stand-in for a GPU would raise."""
    trainer, train, validation = make()
    trainer.model.to("strict")
    trainer.fit(train, validation, epochs=2)
    host = trained(epochs=2)
    assert trainer.history[-1] == pytest.approx(host.history[-1], rel=1e-4)


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
        (None, "returned nothing: end its function with `return"),
        (np.zeros(16), r"returned shape \(16,\), expected a number: take its mean"),
        (np.zeros(0), r"returned shape \(0,\)"),
        (md.tensor([1.0, 2.0]), r"returned shape \(2,\)"),
        ("0.5", "returned str"),
        ([0.5], "returned list"),
        (np.complex64(1), "returned an array of complex64"),
    ],
)
def test_a_metric_that_gives_no_number_is_an_error(value: Any, message: str) -> None:
    trainer, loader = regression(metrics={"a": lambda outputs, targets: value})
    for run in (trainer.fit, trainer.evaluate):
        with pytest.raises(MinidlError, match=f"the metric 'a' {message}"):
            run(loader)


def test_parts_of_the_outputs_that_are_no_tensors_reach_the_metrics_unchanged() -> None:
    class Explained(nn.Dense):
        def forward(self, x: md.Tensor) -> Any:
            y = super().forward(x)
            return {"y": y, "attention": None, "name": "dense", "host": y.numpy()}

    def kinds(outputs: Any, targets: Any) -> float:
        assert [type(part) for part in outputs.values()] == [np.ndarray, type(None), str, np.ndarray]
        return 1.0

    model = Explained(1, 1)
    trainer = Trainer(model, lambda y, t: F.mse_loss(y["y"], t), optim.SGD(model.parameters()), {"kinds": kinds})
    loader = DataLoader(ArrayDataset(np.ones((4, 1), np.float32), np.ones((4, 1), np.float32)), 2)
    assert trainer.fit(loader, loader)[0]["val_kinds"] == 1


def test_a_metric_that_fails_is_named_with_what_metrics_get() -> None:
    trainer, loader = regression(metrics={"fine": lambda y, t: 1, "worst": lambda y, t: y.item()})
    for run in (trainer.fit, trainer.evaluate):
        with pytest.raises(ValueError, match="array of size 1") as error:
            run(loader)
        assert error.value.__notes__ == [
            "in the metric 'worst': metrics get the outputs and targets as arrays, not as tensors"
        ]


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array([[2]]), md.tensor(2.0), md.tensor([2.0])])
def test_a_metric_may_be_any_number(value: Any) -> None:
    trainer, loader = regression(metrics={"a": lambda outputs, targets: value})
    assert trainer.fit(loader)[0]["a"] == trainer.evaluate(loader)["a"] == 2


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, targets: None, "the loss returned nothing: end its function with `return loss`"),
        (lambda outputs, targets: F.mse_loss(outputs, targets).item(), "the loss returned float, .* without item"),
        (lambda outputs, targets: F.mse_loss(outputs, targets).numpy(), "the loss returned ndarray, .* without item"),
        (lambda outputs, targets: (outputs - targets) ** 2, r"returned a tensor of shape \(16, 1\), .* mean\(\)"),
    ],
)
def test_a_loss_that_is_no_tensor_with_one_element_is_an_error(loss: Any, message: str) -> None:
    trainer, loader = regression(loss)
    for run in (trainer.fit, trainer.evaluate):
        with pytest.raises(MinidlError, match=message):
            run(loader)


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
