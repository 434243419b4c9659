"""Memory for large results: a buffer is reused if and only if nothing refers to it."""

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.kernels.numpy import memory

from .elsewhere import side_by_side

F = nn.functional
SHAPE = (2, 48, 48, 16)
"""The shape of images whose results of the ops below are just large enough to be kept."""


@pytest.fixture(autouse=True)
def _store_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_buffers", [])


def images(seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal(SHAPE, np.float32)


WEIGHTS = np.random.default_rng(9).standard_normal((3, 3, 16, 16), np.float32) / 12
OPS: dict[str, Callable[[Any], Any]] = {
    "conv2d": lambda x: F.conv2d(x, md.tensor(WEIGHTS), algorithm="im2col"),
    "winograd": lambda x: F.conv2d(x, md.tensor(WEIGHTS), algorithm="winograd"),
    "padded": lambda x: F.conv2d(x, md.tensor(WEIGHTS), padding=1, algorithm="shifted"),
    "relu": F.relu,
    "max_pool2d": lambda x: F.max_pool2d(x, 2, 1),
    "matmul": lambda x: x.reshape(-1, 16) @ md.tensor(np.tile(WEIGHTS[0, 0], 4)),
}
HOLDERS: dict[str, Callable[[Any], Any]] = {
    "array": lambda y: y,
    "slice": lambda y: y[1:, ..., ::2],
    "transposed": lambda y: y.T,
    "reshaped": lambda y: y.reshape(2, -1)[1],
    "other type": lambda y: y.view(np.uint8),
    "subclass": lambda y: y.view(np.matrix if y.ndim == 2 else np.recarray),
    "base": lambda y: y.base,
    "memoryview": memoryview,
    "from a buffer": lambda y: np.frombuffer(memoryview(y.reshape(-1)), np.float32),
    "DLPack": np.from_dlpack,
    "tensor": md.Tensor,
    "detached": lambda y: md.Tensor(y).detach(),
}
"""References that a user may keep in place of a result."""


def run_more(op: Callable[[Any], Any]) -> None:
    """More results of the same size, forward and backward."""
    for seed in range(5, 8):
        x = md.tensor(images(seed), requires_grad=True)
        op(x).sum().backward()
        with md.no_grad():
            op(x)


def content(held: Any) -> Any:
    return np.array(held.numpy() if isinstance(held, md.Tensor) else held)


@pytest.mark.parametrize(("op", "holder"), [(op, "slice") for op in OPS] + [("conv2d", holder) for holder in HOLDERS])
def test_whatever_is_kept_of_a_result_stays_as_it_is(op: str, holder: str) -> None:
    with md.no_grad():
        held = HOLDERS[holder](OPS[op](md.tensor(images(0))).data)
    assert memory._buffers
    before = content(held)
    run_more(OPS[op])
    np.testing.assert_array_equal(content(held), before)


@pytest.mark.parametrize("op", OPS)
def test_gradients_that_are_kept_stay_as_they_are(op: str) -> None:
    x = md.tensor(images(0), requires_grad=True)
    (OPS[op](x) * 2).sum().backward()
    held = x.grad
    assert held is not None
    del x
    before = held.copy()
    run_more(OPS[op])
    np.testing.assert_array_equal(held, before)


@pytest.mark.parametrize("op", OPS)
def test_a_graph_that_waits_keeps_what_it_saved(op: str) -> None:
    def loss() -> tuple[Any, Any]:
        x = md.tensor(images(0), requires_grad=True)
        return x, (F.relu(OPS[op](F.relu(x))) * 2).sum()

    x, at_once = loss()
    at_once.backward()
    late, waiting = loss()
    run_more(OPS[op])
    waiting.backward()
    np.testing.assert_array_equal(late.grad, x.grad)


def test_a_buffer_is_used_again_when_the_last_view_is_gone() -> None:
    y = memory.empty(SHAPE, np.float32)
    address, view = y.ctypes.data, memoryview(y[:, 1:])
    del y
    assert memory.empty(SHAPE, np.float32).ctypes.data != address
    view.release()
    again = [memory.empty(SHAPE, np.float32) for _ in range(2)]  # the other one is free now, too
    assert address in [y.ctypes.data for y in again]


def test_sizes_and_types_do_not_mix() -> None:
    memory.empty(SHAPE, np.float32)
    held = memory.empty(SHAPE, np.float64)
    assert (held.shape, held.dtype, len(memory._buffers)) == (SHAPE, np.float64, 2)
    assert not memory.zeros(SHAPE, np.float32).any()
    small = memory.empty((2,), np.float32)
    assert small.base is None
    assert len(memory._buffers) == 2


def test_what_is_kept_for_nobody_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    size = memory.empty(SHAPE, np.float32).nbytes
    monkeypatch.setattr(memory, "KEPT", 3 * size)
    held = memory.empty((*SHAPE, 2), np.float32)
    held[...] = 7
    for length in range(1, 9):
        memory.empty((size // 4 + length,), np.float32)
        assert sum(buffer.nbytes for buffer in memory._buffers) <= 3 * size + 64
    memory.clear()
    assert not memory._buffers
    assert (held == 7).all()


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Several threads have scratch memory of their own, each from its first task on."""
    before = md.get_num_threads()
    md.set_num_threads(1)
    yield
    md.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("fusion", [True, False])
def test_a_warm_training_step_makes_no_new_large_array(fusion: bool) -> None:
    model = nn.Sequential(
        nn.Conv2D(16, 32, 3, algorithm="im2col"), nn.ReLU(), nn.MaxPooling2D(2),
        nn.Conv2D(32, 32, 3, algorithm="winograd"), nn.ReLU(), nn.MaxPooling2D(2),
        nn.Flatten(), nn.Dense(10 * 10 * 32, 4),
    )  # fmt: skip
    optimizer = optim.SGD(model.parameters())
    x, labels = md.tensor(np.repeat(images(0), 16, axis=0)), np.arange(16 * SHAPE[0]) % 4

    def step() -> None:
        loss = F.softmax_cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with md.using(fusion=fusion):
        step()
        step()
        warm = sorted(buffer.ctypes.data for buffer in memory._buffers)
        tracemalloc.start()
        step()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sorted(buffer.ctypes.data for buffer in memory._buffers) == warm
    assert len(warm) >= 4
    assert peak < 1 << 21, "an output of the first layer alone is larger"


def test_threads_never_get_the_same_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    original, looking, wrong = memory.is_the_only_one, threading.Semaphore(), []

    def hesitating(buffers: Any, position: int) -> bool:
        if not looking.acquire(blocking=False):
            wrong.append("two look for a free buffer at once")
            return original(buffers, position)
        free = original(buffers, position)
        time.sleep(1e-4)  # the others could now find the same buffer free
        looking.release()
        return free

    def work(number: int) -> None:
        for _ in range(50):
            mine = memory.empty((memory.SMALL,), np.uint8)
            mine[::4096] = number
            time.sleep(1e-4)
            if (mine[::4096] != number).any():
                wrong.append("another thread has the same buffer")

    monkeypatch.setattr(memory, "is_the_only_one", hesitating)
    side_by_side(4, work)
    assert not wrong
    assert len(memory._buffers) <= 2 * 4  # each holds one buffer while it requests the next
