"""Steps that cannot be captured are computed and reported; nothing is left behind."""

import itertools
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.backends.cuda_graph import CaptureError, CudaGraph

from .captures import BATCH, Network, network, steps, trainer
from .elsewhere import in_a_thread


class Watched(Network):
    """A model that is not what it declares."""

    def __init__(self, watch: Callable[[md.Tensor], md.Tensor]) -> None:
        super().__init__(*network())
        self.watch = watch

    def forward(self, x: md.Tensor) -> md.Tensor:
        return self.watch(super().forward(x))


def reads_a_number(y: md.Tensor) -> md.Tensor:
    return y * y.sum().item()


def brings_a_number(y: md.Tensor) -> md.Tensor:
    return y * md.tensor(np.ones((BATCH, 1), np.float32), backend=y.backend.name)


def waits(y: md.Tensor) -> md.Tensor:
    y.backend.synchronize()
    return y


def draws_a_number(y: md.Tensor) -> md.Tensor:
    return y * float(md.random.default_rng.random(()))


def test_what_cannot_be_captured_is_computed_and_said(device: Any) -> None:
    reasons = {
        reads_a_number: r"an array of shape \(\) is read on the host",
        brings_a_number: r"an array of shape \(4, 1\) is copied from the host to the device",
        waits: "cudaErrorStreamCaptureUnsupported",
        draws_a_number: "a replay of the captured step does not reproduce its results",
    }
    for watch, reason in reasons.items():
        found = []
        for capturing in (True, False):
            md.seed(3)
            one = trainer(device, Watched(watch), capturing=capturing)
            found.append(steps(one, 4))
            assert not one.captured.replays
            assert re.search(reason if capturing else "^None", str(one.captured.reason)), one.captured.reason
        assert found[0] == found[1], "steps are what they would have been"


def test_cublas_cannot_be_captured(device: Any) -> None:
    model = nn.Dense(3, 1)
    model.static = True
    one = trainer(device, model)
    for _ in range(3):
        one.train_step(np.ones((2, 5, 3), np.float32), np.ones((2, 5, 1), np.float32))
    assert re.match("NotImplementedError: .*cuBLAS", one.captured.reason or ""), one.captured.reason


@pytest.mark.parametrize("use", [lambda y, n: y + n, lambda y, n: y + n * (y - y.detach())], ids=["value", "slope"])
def test_a_replay_must_give_the_loss_and_the_gradients(use: Any, device: Any) -> None:
    """A loss that changes between steps while its gradients do not, and the other way round."""
    numbers = itertools.count(1)  # its changes cannot be detected
    one = trainer(device, loss=lambda outputs, targets: use(outputs.sum(), next(numbers)))
    steps(one, 3)
    assert one.captured.reason == "a replay of the captured step does not reproduce its results"


@pytest.mark.parametrize("is_steady", [True, False], ids=["captured", "not captured"])
def test_arrays_that_a_step_adds_to_are_added_to_once(is_steady: bool, device: Any, replays: list[int]) -> None:
    """Arrays on the device that are no tensors, such as the counts of a metric."""
    numbers = itertools.repeat(1.0) if is_steady else itertools.count(1)  # its changes cannot be detected
    seen = device.asarray(np.zeros(1, np.float32))

    def count(outputs: Any, _targets: Any) -> float:
        nonlocal seen
        seen += len(outputs)
        return next(numbers)

    one = trainer(device)
    one.metrics = {"count": count}
    for number in (1, 2, 3, 4):
        steps(one, 1)
        assert device.to_numpy(seen).tolist() == [number * BATCH]
    assert one.captured.replays == is_steady
    assert replays, "the second step is captured, and replayed once"


class Remembers(Network):
    """A model that replaces one of its buffers."""

    def __init__(self) -> None:
        super().__init__(*network())
        self.last = nn.Buffer(np.zeros((), np.float32))

    def forward(self, x: md.Tensor) -> md.Tensor:
        y = super().forward(x)
        self.last.data = y.data.sum()
        return y


def test_a_model_that_replaces_a_buffer_is_never_alike(device: Any, replays: list[int]) -> None:
    one = trainer(device, Remembers())
    steps(one, 4)
    assert (one.captured.reason, replays) == (None, [])


def test_what_other_threads_copy_is_no_obstacle(device: Any) -> None:
    graph = CudaGraph(device)

    def work() -> Any:
        in_a_thread(lambda: device.asarray(np.zeros(1)))
        return device.xp.zeros(3)

    graph.run(work)
    assert graph.obstacle is None
    graph.capture(work)


def test_memory_of_a_graph_keeps_its_pool_alive() -> None:
    """An array of CuPy itself does not: its memory is freed with the pool."""
    pool = SimpleNamespace(malloc=lambda size: SimpleNamespace(ptr=512, size=size))
    cuda = SimpleNamespace(
        Stream=lambda non_blocking: None,
        MemoryPool=lambda: pool,
        Device=lambda: SimpleNamespace(id=1),
        UnownedMemory=lambda *args: args,
        MemoryPointer=lambda memory, offset: (memory, offset),
    )
    backend: Any = SimpleNamespace(xp=SimpleNamespace(cuda=cuda))
    (ptr, size, owner, device), offset = CudaGraph(backend)._malloc(12)
    assert (ptr, size, device, offset) == (512, 12, 1, 0)
    assert owner[0].size == 12
    assert owner[1] is pool


def test_a_model_that_does_not_say_that_it_is_static_is_not_captured(device: Any, replays: list[int]) -> None:
    one = trainer(device, nn.Sequential(*network()))
    steps(one, 3)
    assert (one.captured.reason, replays) == ("Sequential is not declared static", [])


def test_what_a_graph_cannot_contain_leaves_everything_as_it_was(device: Any) -> None:
    x = device.asarray(np.ones(3, np.float32))
    graph = CudaGraph(device)

    def work() -> None:
        x[...] = x + 1
        device.asarray(np.ones(3))

    with pytest.raises(CaptureError, match="is copied from the host"):
        graph.capture(work)
    np.testing.assert_array_equal(device.to_numpy(x + x), 2)


def test_a_model_that_is_not_static_any_more_is_computed(device: Any, replays: list[int]) -> None:
    one = trainer(device)
    steps(one, 3)
    one.model.static = False
    steps(one, 2)
    assert not one.captured.replays
    assert (one.captured.reason, len(replays)) == ("Network is not declared static", 2)
    one.model.static = True
    steps(one, 3)
    assert one.captured.replays
