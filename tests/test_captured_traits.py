"""Implicit dependencies of a captured training step: after every change the bits equal those of computed steps.

On the emulated GPU, and on a real one where there is one. Each change is made between the steps of two trainers, of
which one may capture.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim, plugins
from minidl.errors import DtypeError, GraphError

from .captures import F, dense_trainer, steps
from .dependencies import ATTRIBUTES, LOSSES, OpInside, Scale, ScaleOp, Squares, reset

pytestmark = pytest.mark.usefixtures("as_before")


def assert_same_bits(make: Callable[[bool], tuple[md.Trainer, Callable[[], object]]]) -> None:
    """Three steps, a change and three more steps give the weights of a trainer that does not capture."""
    found = []
    for capturing in (True, False):
        one, change = make(capturing)
        before = steps(one, 3)
        assert one.captured.replays == capturing, one.captured.reason
        change()
        found.append(before + steps(one, 3))
        assert one.captured.replays == capturing, one.captured.reason
    assert found[0] == found[1]


@pytest.mark.parametrize("what", ATTRIBUTES)
def test_whatever_a_layer_reads_leads_to_a_new_capture(what: str, device: Any, replays: list[int]) -> None:
    read, start, change = ATTRIBUTES[what]
    found = []
    for capturing in (True, False):
        reset()
        layer = Scale(read, start())
        layer.weight = nn.Parameter([1.0])
        layer.weight.rate = 1.0
        one = dense_trainer(device, layer, capturing=capturing)
        one.optimizer = optim.SGD([p for p in one.model.parameters() if p is not layer.weight], lr=0.05)
        before = steps(one, 3)
        unchanged = steps(one, 1)
        change(layer)
        found.append([*before, *unchanged, *steps(one, 3)])
        assert one.captured.replays == capturing, one.captured.reason
    assert found[0] == found[1]
    assert len(replays) == 3 + 2


@pytest.mark.parametrize("what", LOSSES)
def test_whatever_a_loss_reads_leads_to_a_new_capture(what: str, device: Any, replays: list[int]) -> None:
    make, change = LOSSES[what]

    def start(capturing: bool) -> Any:
        reset()
        loss = make()
        return dense_trainer(device, loss=loss, capturing=capturing), lambda: change(loss)

    assert_same_bits(start)
    assert len(replays) == 2 + 2


def buffered() -> Any:
    layer: Any = Scale(lambda s: 1.0)
    layer.shift = nn.Buffer(np.ones((), np.float32))
    layer.forward = lambda x: x * layer.shift
    return layer


def tie(one: md.Trainer) -> None:
    one.model[4].b = one.model[3].other  # type: ignore[index]


def untie(one: md.Trainer) -> None:
    one.model[3].other = nn.Parameter(np.full(1, 0.5, np.float32))  # type: ignore[index]
    one.model[3].to(one.model[4].w.backend.name)  # type: ignore[index]


class WithOther(nn.Module):
    """Adds a parameter of one element, possibly shared with another layer."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other

    def forward(self, x: md.Tensor) -> md.Tensor:
        return x + self.other


def new_buffer(one: md.Trainer) -> None:
    one.model[3].shift = nn.Buffer(np.full((), 2, np.float32))  # type: ignore[index]
    one.model.to(one.model[1].w.backend.name)  # type: ignore[index]


OTHERS: dict[str, tuple[Callable[[], Any], Callable[[md.Trainer], object]]] = {
    "frozen": (nn.ReLU, lambda one: setattr(one.model[1].w, "requires_grad", False)),  # type: ignore[index]
    "evaluated": (nn.ReLU, lambda one: one.model[2].eval()),  # type: ignore[index]
    "buffer replaced": (buffered, new_buffer),
    "buffer changed in place": (buffered, lambda one: one.model[3].shift.data.fill(2)),  # type: ignore[index]
    "weights changed in place": (nn.ReLU, lambda one: one.model[1].w.data.fill(0.01)),  # type: ignore[index]
    "weights tied": (lambda: WithOther(nn.Parameter(np.zeros(1, np.float32))), tie),
    "learning rate": (nn.ReLU, lambda one: setattr(one.optimizer, "lr", 0.5)),
    "momentum": (nn.ReLU, lambda one: setattr(one.optimizer, "momentum", 0.0)),
    "attribute of an op": (OpInside, lambda one: setattr(ScaleOp, "rate", 3.0)),
    "number of threads": (nn.ReLU, lambda one: md.threads.set_num_threads(1)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_changes_give_the_bits_of_computed_steps(what: str, device: Any) -> None:
    layer, change = OTHERS[what]
    threads = md.threads.get_num_threads()

    def start(capturing: bool) -> Any:
        reset()
        one = dense_trainer(device, layer(), capturing=capturing)
        return one, lambda: change(one)

    try:
        assert_same_bits(start)
    finally:
        md.threads.set_num_threads(threads)


def test_weights_that_are_tied_no_more(device: Any) -> None:
    def start(capturing: bool) -> Any:
        one = dense_trainer(device, WithOther(None), capturing=capturing)
        one.model[3].other = one.model[4].b  # type: ignore[index]
        return one, lambda: untie(one)

    assert_same_bits(start)


def test_weights_of_another_dtype_are_the_error_that_they_were(device: Any) -> None:
    one = dense_trainer(device)
    steps(one, 3)
    one.model.astype(np.float64)
    with pytest.raises(DtypeError, match="different dtypes"):
        steps(one, 1)


def test_a_step_inside_no_grad_is_the_error_that_it_was(device: Any) -> None:
    one = dense_trainer(device)
    steps(one, 3)
    with md.no_grad(), pytest.raises(GraphError, match="nothing to differentiate"):
        steps(one, 1)
    assert len(steps(one, 2)) == 2


@pytest.mark.parametrize("kind", ["layer", "loss", "op"])
def test_a_plugin_that_is_replaced_under_its_name(
    kind: str,
    device: Any,
    replays: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = dense_trainer(device)
    steps(one, 3)
    monkeypatch.setitem(plugins._registered[kind], "again", object())
    steps(one, 3)
    assert len(replays) == 2 + 2


def test_a_method_of_a_layer_of_minidl_that_is_replaced(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(capturing: bool) -> Any:
        monkeypatch.undo()
        one = dense_trainer(device, nn.Tanh(), capturing=capturing)
        return one, lambda: monkeypatch.setattr(nn.Tanh, "forward", lambda self, x: x * 2)

    assert_same_bits(start)


def test_what_changes_in_every_step_is_computed(device: Any, replays: list[int]) -> None:
    kept: list[Any] = []
    losses: list[Any] = [Squares(1.0), lambda y, t: (kept.append(y), F.mse_loss(y, t))[1]]
    losses[0].method = losses[0]
    for loss in losses:
        one = dense_trainer(device, loss=loss)
        for number in range(4):
            losses[0].weight = 1.0 + number
            steps(one, 1)
        assert one.captured.reason is None
    assert replays == []


def test_a_loss_that_looks_at_its_trainer_is_computed(device: Any, replays: list[int]) -> None:
    found, sizes = [], []
    for capturing in (True, False):
        known: list[md.Trainer] = []
        one = dense_trainer(device, loss=lambda y, t: F.mse_loss(y, t) * (1 + known[0].epoch), capturing=capturing)  # noqa: B023
        known.append(one)
        weights = []
        for epoch in range(4):
            one.epoch = epoch // 2
            weights += steps(one, 2)
            sizes.append(len(one.captured._noticed.things))
        found.append(weights)
        assert one.captured.reason is None
    assert found[0] == found[1]
    assert max(sizes) < 2 * min(sizes)
    assert replays == []


def test_too_much_to_look_at_is_not_captured(device: Any, replays: list[int], monkeypatch: Any) -> None:
    loss = Squares(1.0)
    loss.table = np.zeros(1 << 14)  # type: ignore[attr-defined]
    one = dense_trainer(device, loss=loss)
    steps(one, 3)
    assert (
        one.captured.reason
        == "the step depends on an array on the host of 131072 bytes, too many to compare in every step"
    )
    monkeypatch.setattr("minidl.traits.MOST_PARTS", 10)
    one = dense_trainer(device)
    steps(one, 3)
    assert "depends on more than 10 objects" in str(one.captured.reason)
    assert replays == []


def test_plugins_that_stay_the_same_are_not_copied_in_every_step(
    device: Any, replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asked = dense_trainer(device), []
    registered = plugins.registered
    monkeypatch.setattr(plugins, "registered", lambda kind: (asked.append(kind), registered(kind))[1])
    plugins.register("layer", "relu")(nn.ReLU)  # already has that value
    steps(one, 3)
    plugins.register("layer", "relu")(nn.ReLU)
    steps(one, 3)
    assert len(replays) == 2 + 3
    assert {*asked} == {"conv_algorithm"}


def test_a_step_between_loss_and_backward_is_noticed_through_views_on_a_device(device: Any) -> None:
    w = md.tensor([1.0, 2.0], requires_grad=True, backend=device.name)
    x = md.tensor([1.0, 1.0], requires_grad=True, backend=device.name)
    y = (x * w.detach().reshape(2, 1).reshape(2)).sum()
    optimizer = optim.SGD([w], lr=1.0)
    (w * w).sum().backward()
    optimizer.step()
    with pytest.raises(GraphError, match="was changed"):
        y.backward()
