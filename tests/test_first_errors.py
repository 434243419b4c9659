"""Slips in a first program end in one line that says what to write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.errors import CallError, MinidlError, brief
from tests.test_habits import WORLD, answer

F = nn.functional
SLIPS = {
    # a module that is built with its inputs
    "nn.SoftmaxCrossEntropy(model(images), labels)": "write nn.SoftmaxCrossEntropy()(logits, labels)",
    "nn.MSELoss(x, x)": "write nn.MSELoss()(predictions, targets)",
    "nn.HuberLoss(x, x)": "write nn.HuberLoss()(predictions, targets)",
    "nn.ReLU(x)": "write nn.ReLU()(x)",
    # names and arguments
    "next(model.parameters())": "write model.parameters()[0]",
    "F.mse": "F.mse_loss",
    "F.mae": "F.l1_loss",
    "F.bce": "F.binary_cross_entropy_with_logits",
    "nn.MSE": "nn.MSELoss()",
    "md.set_default_device('cuda')": 'model.to("cupy")',
    "trainer.fit(loader, nb_epoch=2)": "epochs=5",
    "md.Trainer(model, F.mse_loss, optimizer, epochs=3)": "trainer.fit(loader, epochs=5)",
    "md.Trainer(model, F.mse_loss, optimizer, max_epochs=3)": "trainer.fit(loader, epochs=5)",
    "md.Trainer(model, F.mse_loss, optimizer, device='cuda')": 'model.to("cupy")',
    "F.concatenate(x, x)": "write [x, y]",
    "F.stack(x, x)": "write [x, y]",
    # what follows from the data of a tensor
    "x.device = 'cuda'": "x.backend",
    "x.dtype = np.float64": "write x.astype(np.float64)",
    "x.shape = (3, 2)": "write x.reshape(3, 2)",
    "x.size = 2": "write x.reshape(3, 2)",
    "x.backend = 'cupy'": 'write x.to("cupy")',
    "layer.w.dtype = np.float64": "write x.astype(np.float64), or model.astype(np.float64)",
    "del x.data; x + 1": "the data of the tensor were deleted: set x.data",
    "x.data = None; x + 1": "set x.data = y.data",
    "w.grad = 1; (w * w).sum().backward()": "set x.grad = y.data",
    # plugins and parameters
    "md.plugins.register('optimizer')": '@register("optimizer", "...")',
    "md.plugins.register(optim.SGD)": '@register("optimizer", "lion")',
    "nn.Parameter((3, 2))": "nn.Parameter(np.zeros((3, 2), np.float32)) for a shape, nn.Parameter([3, 2]) for values",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_answered_with_what_to_write(slip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(WORLD, names)
    said = answer(slip, names)
    assert SLIPS[slip] in said
    assert "\n" not in said


def test_the_parameters_are_a_list_otherwise() -> None:
    parameters = nn.Dense(2, 2).parameters()
    assert isinstance(parameters, list)
    assert list(iter(parameters))[1] is parameters[1]
    assert nn.Parameter((3.0, 2.0)).shape == (2,)


# Metrics

METRICS: dict[str, Callable[[Any, Any], Any]] = {
    "numpy": lambda p, _: p.numpy().mean(),
    "detach": lambda p, _: p.detach().mean(),
    "cpu": lambda _, t: t.cpu(),
    "backward": lambda p, _: p.sum().backward(),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_that_expects_tensors_is_told_that_it_gets_arrays(name: str) -> None:
    model, x = nn.Dense(2, 2), np.ones((4, 2), np.float32)
    trainer = md.Trainer(model, F.mse_loss, optim.SGD(model.parameters()), metrics={"mine": METRICS[name]})
    with pytest.raises(MinidlError, match=rf"^the metric 'mine' uses \.{name}, and it gets arrays, not tensors: leave"):
        trainer.evaluate([(x, x)])


def test_another_error_of_a_metric_is_left_alone() -> None:
    model, x = nn.Dense(2, 2), np.ones((4, 2), np.float32)
    trainer = md.Trainer(model, F.mse_loss, optim.SGD(model.parameters()), metrics={"mine": lambda p, t: "p".mean()})  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"^'str' object has no attribute 'mean'$"):
        trainer.evaluate([(x, x)])


# Optimizers


@pytest.mark.parametrize("update", [lambda self, param, grad: None, lambda self, p, g, s, more: None, lambda: None])
def test_an_update_takes_a_parameter_its_gradient_and_its_state(update: Any) -> None:
    with pytest.raises(CallError, match=r"^update of Mine must be a method def update\(self, param, grad, state\)$"):
        type("Mine", (optim.Optimizer,), {"update": update})
    type("Mine", (optim.Optimizer,), {"update": lambda self, p, g, s: None})


def of_data(_: Any, param: Any, grad: Any, state: Any) -> None:
    param.data -= grad


def of_grad(_: Any, param: Any, grad: Any, state: Any) -> None:
    param -= param.grad


def of_method(_: Any, param: Any, grad: Any, state: Any) -> None:
    param.data.sub_(grad)


@pytest.mark.parametrize("update", [of_data, of_grad, of_method])
def test_an_update_that_expects_tensors_is_told_that_it_gets_arrays(update: Any) -> None:
    model = nn.Dense(2, 2)
    model(md.ones(1, 2)).sum().backward()
    optimizer = type("Mine", (optim.Optimizer,), {"update": update})(model.parameters(), 0.1)
    with pytest.raises(CallError, match=r"^update gets arrays, not tensors: write param -= "):
        optimizer.step()


# Values in messages

BIG = md.tensor(np.arange(12, dtype=np.float32).reshape(6, 2) + 0.25)
SHOWING: list[Callable[[], Any]] = [
    lambda: F.softmax(BIG, BIG),  # type: ignore[arg-type]
    lambda: BIG.to(BIG),  # type: ignore[arg-type]
    lambda: nn.Dense(2, 2).to(BIG),  # type: ignore[arg-type]
    lambda: md.Trainer(BIG, F.mse_loss, BIG),  # type: ignore[arg-type]
    lambda: md.Trainer(nn.Dense(2, 2), BIG, BIG),
    lambda: md.Trainer(nn.Dense(2, 2), F.mse_loss, BIG),  # type: ignore[arg-type]
    lambda: optim.SGD(nn.Dense(2, 2).parameters(), lr=BIG),  # type: ignore[arg-type]
    lambda: nn.Conv2D(1, 2, BIG),  # type: ignore[arg-type]
    lambda: nn.Dropout(BIG),  # type: ignore[arg-type]
    lambda: md.seed(BIG.numpy()),  # type: ignore[arg-type]
    lambda: md.zeros(BIG),  # type: ignore[arg-type]
    lambda: BIG.reshape(BIG),
    lambda: F.broadcast_to(BIG, BIG),  # type: ignore[arg-type]
    lambda: md.no_grad(BIG),
    lambda: md.load(BIG),  # type: ignore[arg-type]
    lambda: md.plugins.get("op", BIG),  # type: ignore[arg-type]
    lambda: md.plugins.names(BIG),  # type: ignore[arg-type]
    lambda: nn.Dense(2, 2, initializer=BIG),  # type: ignore[arg-type]
    lambda: BIG[BIG],
]


@pytest.mark.parametrize("call", SHOWING)
def test_a_message_shows_no_values_of_a_tensor(call: Callable[[], Any]) -> None:
    with pytest.raises(MinidlError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert "11.25" not in said
    assert len(said) < 250


def test_a_value_in_a_message_is_short() -> None:
    assert brief(BIG) == "Tensor of float32 and shape (6, 2)"
    assert brief(np.ones(3)) == "ndarray of float64 and shape (3,)"
    assert brief(np.float64) == "<class 'numpy.float64'>"
    assert brief(md.tensor(0.5)) == "tensor(0.5)"
    assert brief("a\nb") == "'a\\nb'"
    assert len(brief("x" * 999)) == 60


# Representations


@pytest.mark.parametrize(
    "code",
    [
        "LeakyReLU(slope=0.3)",
        "LeakyReLU()",
        "BatchNorm(3, momentum=0.9, eps=0.1)",
        "BatchNorm(3)",
        "Dense(2, 3, bias=False)",
        "Dense(2, 3)",
        "Conv2D(1, 2, kernel_size=(3, 3), stride=1, padding=0, bias=False, algorithm='direct')",
        "HuberLoss(delta=2.0)",
        "SoftmaxCrossEntropy(ignore_index=3)",
        "MSELoss()",
    ],
)
def test_a_layer_shows_its_options_that_are_not_the_default(code: str) -> None:
    assert repr(eval(f"nn.{code}")) == code


def test_an_optimizer_shows_its_options() -> None:
    parameters = nn.Dense(2, 2).parameters()
    assert repr(optim.SGD(parameters, momentum=0.9)) == "SGD(2 parameters, lr=0.01, momentum=0.9)"
    assert repr(optim.Adam(parameters[:1], lr=optim.constant(0.1))) == "Adam(1 parameter, lr=0.1)"
    assert repr(optim.Adam(parameters, betas=(0.5, 0.9))) == "Adam(2 parameters, lr=0.001, betas=(0.5, 0.9))"


def test_a_module_of_a_user_shows_its_parts_alone() -> None:
    class Net(nn.Module):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.width = width

    assert repr(Net(4)) == "Net()"
