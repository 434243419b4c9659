"""Captured training steps, on the emulated GPU and on a real one, give the same bits as computed steps."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.errors import MinidlError
from minidl.profiler import Profiler
from minidl.totals import Totals

from .captures import BATCH, SAMPLES, F, data, dense_trainer, loader, steps, trainer
from .devices import no_copies


def test_captured_steps_give_the_bits_of_computed_ones(device: Any, replays: list[int]) -> None:
    """A training with a schedule, running means, batches of two sizes, and validation in between."""
    results = []
    for capturing in (True, False):
        one = trainer(device, capturing=capturing)
        one.fit(loader(), loader(), epochs=3)
        results.append(one)
        assert one.captured.reason is None
        assert one.captured.replays == capturing
    captured, computed = results
    # Three full batches an epoch, the first of which is computed; the last batch has another shape.
    assert len(replays) == 3 * (SAMPLES // BATCH) - 1
    assert captured.history == computed.history
    before, after = captured.model.state_dict(), computed.model.state_dict()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def test_a_captured_step_copies_the_batch_and_nothing_else(device: Any, replays: list[int]) -> None:
    if not hasattr(device, "to_device"):
        pytest.skip("only the emulated GPU counts copies")
    one = trainer(device)
    batch = [device.asarray(array) for array in data().batch(np.arange(BATCH))]
    for _ in range(2):
        one.train_step(*batch)
    with no_copies(device):
        for _ in range(2):
            one.train_step(*batch)
    assert len(replays) == 3


def test_a_model_that_asks_for_the_backend_on_which_it_is_can_be_captured(device: Any, replays: list[int]) -> None:
    class Asking(nn.Dense):
        static = True

        def forward(self, x: md.Tensor) -> md.Tensor:
            return super().forward(x.to(device.name)).to(device.name)

    one = trainer(device, Asking(3, 1, rng=md.Generator(0)))
    for _ in range(3):
        one.train_step(np.ones((2, 3), np.float32), np.ones((2, 1), np.float32))
    assert one.captured.reason is None
    assert len(replays) == 2


def change_nothing(one: md.Trainer) -> None:
    pass


def freeze(one: md.Trainer) -> None:
    one.model.parameters()[0].requires_grad = False


def evaluate_a_layer(one: md.Trainer) -> None:
    one.model[8].eval()  # type: ignore[index]


def replace(one: md.Trainer) -> None:
    one.model.load_state_dict({name: value / 2 for name, value in one.model.state_dict().items()})


def in_tf32(one: md.Trainer) -> None:
    backend = one.model.parameters()[0].backend
    if "tf32" not in backend.precisions:
        pytest.skip("this card has no tensor cores for TF32")
    backend.set_precision("tf32")


def replace_a_layer(one: md.Trainer) -> None:
    setattr(one.model, "9", nn.Tanh())


def set_eps(one: md.Trainer) -> None:
    one.model[8].eps = 0.1  # type: ignore[index]


def set_momentum(one: md.Trainer) -> None:
    one.model[8].momentum = 0.5  # type: ignore[index]


def set_size(one: md.Trainer) -> None:
    one.model[2].size = 1  # type: ignore[index]


def replace_a_forward(one: md.Trainer) -> None:
    one.model[9].forward = F.sigmoid  # type: ignore[index]


def set_delta(one: md.Trainer) -> None:
    one.loss.delta = 0.1  # type: ignore[attr-defined]


CHANGES = [change_nothing, freeze, evaluate_a_layer, replace, in_tf32]
ATTRIBUTES = [replace_a_layer, set_eps, set_momentum, set_size, replace_a_forward, set_delta]


@pytest.mark.parametrize("change", CHANGES + ATTRIBUTES)
def test_a_change_of_the_model_leads_to_a_new_capture(
    change: Callable[[md.Trainer], None], device: Any, replays: list[int]
) -> None:
    found = []
    try:
        for capturing in (True, False):
            one = trainer(device, loss=nn.HuberLoss(), capturing=capturing)
            steps(one, 3)
            change(one)
            found.append(steps(one, 3))
            device.set_precision("float32")
    finally:
        device.set_precision("float32")
    assert found[0] == found[1]
    assert len(replays) == (5 if change is change_nothing else 4)


def test_another_loss_metric_or_algorithm_is_noticed(device: Any, replays: list[int]) -> None:
    found = []
    for capturing in (True, False):
        one = trainer(device, capturing=capturing)
        steps(one, 3)
        one.loss = lambda outputs, targets: F.mse_loss(outputs, targets)
        steps(one, 3)
        one.metrics["least"] = lambda outputs, targets: outputs.min()
        with pytest.raises(MinidlError, match="the metrics became loss, accuracy, least in the middle of an epoch"):
            steps(one, 1)
        one.totals = Totals()
        steps(one, 3)
        with md.using(fusion=False):
            found.append((steps(one, 3), one.totals.state_dict()))
    assert found[0] == found[1]
    assert len(replays) == 2 + 2 + 3 + 2  # the failing step is the first of its kind


def test_gradients_that_add_up_are_computed(device: Any) -> None:
    """With parameters of a second optimizer, which steps now and then."""
    found = []
    for capturing in (True, False):
        one = trainer(device, capturing=capturing)
        last = one.model.parameters()[-2:]
        one.optimizer, other = optim.SGD(one.model.parameters()[:-2]), optim.SGD(last, lr=0.1)
        weights = []
        for _ in range(3):
            weights += steps(one, 2)
            other.step()
            other.zero_grad()
        found.append(weights)
    assert found[0] == found[1]


class Reads(nn.Module):
    """Computes with two parts of its input, selected by ``read``."""

    static = True

    def __init__(self, read: Callable[[Any], Any]) -> None:
        super().__init__()
        self.read = read
        self.weight = nn.Parameter(np.ones(2, np.float32))

    def forward(self, x: Any) -> md.Tensor:
        a, b = self.read(x)
        return (a - b) * self.weight


class Named(NamedTuple):
    a: Any
    b: Any


class Swapped(NamedTuple):
    b: Any
    a: Any


@dataclass
class Partly:
    a: Any
    b: Any = field(compare=False)


A, B = np.array([[1, 2]], np.float32), np.array([[5, 3]], np.float32)


@pytest.mark.parametrize(
    ("read", "first", "then"),
    [
        (lambda x: (x["a"], x["b"]), {"a": A, "b": B}, {"b": B, "a": A}),
        (lambda x: x.values(), {"a": A, "b": B}, {"b": B, "a": A}),
        (lambda x: (x.a, x.b), Named(A, B), Swapped(A, B)),
        (lambda x: x if isinstance(x, Named) else (x[1], x[0]), Named(A, B), (A, B)),
        (lambda x: x if isinstance(x, list) else (x[1], x[0]), [A, B], (A, B)),
        (lambda x: (x.a, x.b.sum()), Partly(A, B), Partly(A, B[:, :1])),
    ],
)
def test_batches_of_another_structure_are_another_step(
    read: Any, first: Any, then: Any, device: Any, replays: list[int]
) -> None:
    found = []
    for capturing in (True, False):
        one = trainer(device, Reads(read), loss=F.mse_loss, capturing=capturing)
        weights = []
        for batch in (first, first, then):
            one.train_step(batch, np.ones((1, 2), np.float32))
            weights.append(one.model.state_dict()["weight"].tobytes())
        found.append(weights)
    assert found[0] == found[1]
    assert len(replays) == 1


def test_hooks_and_profilers_see_every_step(device: Any, replays: list[int]) -> None:
    one, seen = trainer(device), []
    steps(one, 3)
    assert len(replays) == 2
    remove = one.model[0].add_hook(lambda *_: seen.append(1))  # type: ignore[index]
    steps(one, 2)
    remove()
    with Profiler() as profiler:
        steps(one, 2)
    assert (len(replays), len(seen)) == (2, 2)
    assert "Conv2DReLUMaxPool2D" in {event.op for event in profiler.events}
    steps(one, 1)
    assert len(replays) == 3


def test_a_model_may_go_to_another_backend_and_back(device: Any, replays: list[int]) -> None:
    one = trainer(device)
    steps(one, 2)
    one.model.to("numpy")
    one.optimizer, one.totals = optim.SGD(one.model.parameters()), Totals()
    steps(one, 1)
    assert one.captured.reason == "the backend 'numpy' has no CUDA graphs"
    one.model.to(device.name)
    one.totals = Totals()
    steps(one, 2)
    assert one.captured.replays
    assert len(replays) == 2


def test_another_algorithm_under_the_same_name_leads_to_a_new_capture(
    device: Any, replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(device)
    steps(one, 3)

    class Again(md.plugins.get("conv_algorithm", "direct")):  # type: ignore[misc]
        """Another one."""

    monkeypatch.setitem(md.plugins._registered["conv_algorithm"], "direct", Again)
    steps(one, 3)
    assert len(replays) == 4


class Weighted(nn.Module):
    """A loss with parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.ones((), np.float32))

    def forward(self, outputs: md.Tensor, targets: Any) -> md.Tensor:
        return F.mse_loss(outputs * self.weight, targets)


def test_a_loss_may_learn_too(device: Any) -> None:
    found = []
    for capturing in (True, False):
        loss: Any = Weighted().to(device.name)
        one = trainer(device, loss=loss, capturing=capturing)
        one.optimizer = optim.SGD([*one.model.parameters(), *loss.parameters()], lr=0.1)
        found.append((steps(one, 5), loss.state_dict()["weight"].tobytes()))
        assert one.captured.replays == capturing
    assert found[0] == found[1]


def test_gradients_that_are_there_before_a_step_are_added_to(device: Any) -> None:
    """With parameters of a second optimizer, which does not step for a while."""
    found = []
    for capturing in (True, False):
        one = trainer(device, capturing=capturing)
        last = one.model.parameters()[-2:]
        one.optimizer, other = optim.SGD(one.model.parameters()[:-2]), optim.SGD(last, lr=0.1)
        for _ in range(4):
            steps(one, 1)
            other.zero_grad()
        assert one.captured.replays == capturing
        steps(one, 2)
        other.step()
        found.append(steps(one, 1))
    assert found[0] == found[1]


COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]


@pytest.mark.parametrize("made", COPIES)
@pytest.mark.parametrize("before", [0, 3])
def test_a_copy_of_a_trainer_captures_steps_of_its_own(made: Any, before: int, device: Any, replays: list[int]) -> None:
    """A copy has its own loss and does not change the original, whatever was captured before."""
    found = []
    for copies in (True, False):
        original = dense_trainer(device)
        steps(original, before)
        assert original.captured.replays == (before > 0)
        one = made(original) if copies else original
        assert not (copies and one.captured.replays)
        assert (one.captured is original.captured) != copies
        found.append(steps(one, 3))
        one.loss = F.l1_loss
        found[-1] += steps(one, 3)
        assert one.captured.replays
        assert original.captured.replays == (before > 0 or not copies)
    assert found[0] == found[1]
