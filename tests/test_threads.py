"""Threads: the same results for any number of them, errors that propagate, BLAS limited only when minidl computes."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends, nn, optim, threads
from minidl.data import ArrayDataset, DataLoader
from minidl.errors import MinidlError
from minidl.kernels.numpy.conv import im2col, per_chunk
from minidl.nn import functional as F
from minidl.references import is_the_only_one
from minidl.testing.strict import StrictBackend

from .devices import EMULATED
from .elsewhere import in_a_thread, printed, python, side_by_side


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = md.get_num_threads()
    yield
    md.set_num_threads(before)


def _training_step() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2D(1, 6, 3, rng=md.Generator(1)),
        nn.ReLU(),
        nn.MaxPooling2D(2),
        nn.Conv2D(6, 5, 3, rng=md.Generator(2)),
        nn.Flatten(),
        nn.Dense(5 * 5 * 5, 3, rng=md.Generator(3)),
    )
    x = md.tensor(rng.normal(size=(37, 16, 16, 1)).astype(np.float32), requires_grad=True)
    loss = F.softmax_cross_entropy(model(x), rng.integers(0, 3, 37))
    loss.backward()
    assert x.grad is not None
    return [loss.numpy(), x.grad, *(parameter.grad for parameter in model.parameters())]  # type: ignore[list-item]


def test_any_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SMALL", 0)
    md.set_num_threads(1)
    expected = _training_step()
    for count in (2, 3, 5):
        md.set_num_threads(count)
        for one, many in zip(expected, _training_step(), strict=True):
            assert np.array_equal(one, many)


def test_a_little_work_stays_on_the_calling_thread() -> None:
    md.set_num_threads(3)
    where: set[int] = set()
    threads.for_each(lambda _: where.add(threading.get_ident()), range(20), operations=threads.SMALL - 1)
    assert where == {threading.get_ident()}


def test_every_item_is_done_once_and_by_several_threads() -> None:
    md.set_num_threads(3)
    both_there = threading.Barrier(3, timeout=10)  # no thread passes unless three run at the same time
    done: list[int] = []

    def work(item: int) -> None:
        if item < 3:
            both_there.wait()
        done.append(item)

    threads.for_each(work, range(20))
    assert sorted(done) == list(range(20))


@pytest.mark.parametrize("bad", [0, 7, 19])
def test_an_error_on_any_thread_is_raised(bad: int) -> None:
    md.set_num_threads(2)

    def work(item: int) -> None:
        if item == bad:
            raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match=f"item {bad}"):
        threads.for_each(work, range(20))
    done: list[int] = []
    threads.for_each(done.append, range(20))
    assert sorted(done) == list(range(20)), "the pool still works"


def test_nested_calls_run_on_the_thread_they_are_on() -> None:
    md.set_num_threads(2)
    where: dict[int, set[int]] = {}

    def outer(item: int) -> None:
        threads.for_each(lambda _: where.setdefault(item, set()).add(threading.get_ident()), range(5))

    threads.for_each(outer, range(4))
    assert all(len(idents) == 1 for idents in where.values())


def test_the_error_handling_of_numpy_is_the_callers_on_all_threads() -> None:
    md.set_num_threads(2)
    both_there = threading.Barrier(2, timeout=10)

    def overflow(item: int) -> None:
        both_there.wait()
        np.array([1e30], np.float32) * np.float32(1e30)

    with np.errstate(over="ignore"):
        threads.for_each(overflow, range(2))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.for_each(overflow, range(2))


def test_scratch_is_kept_by_thread_and_name() -> None:
    def address(name: str, shape: tuple[int, ...], dtype: Any) -> int:
        return int(threads.scratch(name, shape, dtype).ctypes.data)

    first = address("a", (3, 4), np.float32)
    assert address("a", (2, 2), np.float64) == first
    assert address("b", (3, 4), np.float32) != first
    assert in_a_thread(lambda: address("a", (3, 4), np.float32)) != first


@pytest.mark.parametrize("use", [lambda memory: memory, lambda memory: memory[:, 0], lambda memory: memory.reshape(-1)])
def test_scratch_that_is_in_use_is_not_given_again(use: Any) -> None:
    used = use(threads.scratch("a", (3, 4), np.float32))
    assert not np.shares_memory(used, threads.scratch("a", (3, 4), np.float32))


@pytest.mark.parametrize("name", ["im2col", "shifted", "winograd"])
def test_loops_over_chunks_use_their_scratch_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that the last round of a loop still refers to would be made anew in each round."""
    is_free: list[bool] = []

    def seen(holders: Any, position: Any) -> bool:
        is_free.append(is_the_only_one(holders, position))
        return is_free[-1]

    monkeypatch.setattr(threads, "is_the_only_one", seen)
    monkeypatch.setattr(per_chunk, "CHUNK_BYTES", 1)
    monkeypatch.setattr(im2col, "COLUMNS_BYTES", 1)
    md.set_num_threads(1)
    for channels, pooled in ((1, False), (2, False), (2, True)):
        model = nn.Sequential(nn.Conv2D(channels, 4, 3), *[nn.ReLU(), nn.MaxPooling2D(2)] * pooled)
        with md.using(conv_algorithm=name):
            model(md.randn(65, 9, 9, channels, requires_grad=True)).sum().backward()
    assert all(is_free)


IN_A_HANDLER = """
import sys, numpy as np, minidl as md
from minidl import nn, optim
md.set_num_threads({count})
md.seed(0)
x, z = md.randn(8, 24, 24, 8), md.randn(8, 24, 24, 8)
model = nn.Sequential(nn.Conv2D(8, 32, 3), nn.ReLU(), nn.MaxPooling2D(2), nn.Conv2D(32, 8, 3))
other = nn.Dense(2, 1)
optimizer = optim.SGD(other.parameters())
expected = model(x).numpy().copy(), model(z).numpy().copy()
calls, wrong, handled = 0, 0, 0
def handler(*_):
    # A signal handler may run between any two instructions: here it does at every {every}th call or return.
    global calls, wrong, handled
    calls += 1
    if calls % {every} == 0:
        handled += 1
        wrong += bool((model(z).numpy() != expected[1]).any())
        other.zero_grad()
        other(md.ones(1, 2)).sum().backward()
        optimizer.step()
for _ in range({passes}):
    sys.setprofile(handler)
    y = model(x)
    y.mark_changed()
    sys.setprofile(None)
    wrong += bool((y.numpy() != expected[0]).any())
print(wrong, handled > 50)
"""


@pytest.mark.parametrize("count", [1, 2])
def test_a_signal_handler_may_run_the_model_that_it_interrupts(count: int) -> None:
    assert printed(IN_A_HANDLER.format(count=count, every=7, passes=4)) == "0 True\n"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_bad_number_in_the_environment_is_named(value: str) -> None:
    done = python("import minidl; minidl.get_num_threads()", MINIDL_NUM_THREADS=value)
    assert done.returncode != 0
    assert f"MINIDL_NUM_THREADS must be an integer >= 1, got '{value}'" in done.stderr


def test_the_environment_decides() -> None:
    done = python("import minidl; print(minidl.get_num_threads())", MINIDL_NUM_THREADS="3")
    assert done.stdout.strip() == "3"


@pytest.mark.parametrize("value", [0, 2.0, "2", True])
def test_threads_are_an_integer_from_one_on(value: Any) -> None:
    before = md.get_num_threads()
    with pytest.raises(MinidlError, match=f"must be an integer >= 1, got {value!r}"):
        md.set_num_threads(value)
    assert md.get_num_threads() == before


def test_blas_is_limited_when_minidl_computes_and_not_before() -> None:
    code = """
import numpy as np, threadpoolctl, minidl as md
from minidl.nn import functional as F
blas = lambda: {info["num_threads"] for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"}
before = blas()
x = md.tensor(np.ones((2, 8, 8, 1), np.float32)); w = md.tensor(np.ones((3, 3, 1, 1), np.float32))
imported = blas()
F.conv2d(x, w)
print(before == imported, blas())
"""
    done = python(code, OPENBLAS_NUM_THREADS="4")
    assert done.stdout.split(maxsplit=1) == ["True", "{1}\n"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_makes_its_own_pool() -> None:
    code = """
import os, minidl as md
from minidl import threads
md.set_num_threads(2)
threads.for_each(str, range(10))
if os.fork() == 0:
    done = []
    threads.for_each(done.append, range(10))
    os._exit(0 if sorted(done) == list(range(10)) else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert printed(code).strip() == "0"


def test_the_number_of_threads_may_change_while_others_convolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SMALL", 0)
    x = md.tensor(np.random.default_rng(0).random((8, 12, 12, 2), np.float32))
    w = md.tensor(np.random.default_rng(1).random((3, 3, 2, 4), np.float32))
    expected = F.conv2d(x, w).numpy().tobytes()
    end = time.monotonic() + 1

    def work(number: int) -> int:
        done = 0
        while time.monotonic() < end:
            if number == 0:
                threads.set_num_threads(1 + done % 4)
            else:
                assert F.conv2d(x, w).numpy().tobytes() == expected
            done += 1
        return done

    assert min(side_by_side(3, work)) > 10


def test_the_threads_of_earlier_numbers_end() -> None:
    for count in (3, 4, 3, 4, 1):
        threads.set_num_threads(count)
        threads.for_each(lambda _: time.sleep(0.001), range(8))
    wait_for_the_end_of_the_threads()


def test_an_error_that_is_kept_keeps_no_threads() -> None:
    def fail(_: int) -> None:
        time.sleep(0.001)
        raise ValueError("kept")

    threads.set_num_threads(3)
    with pytest.raises(ValueError, match="kept") as kept:
        threads.for_each(fail, range(8))
    threads.set_num_threads(1)
    wait_for_the_end_of_the_threads()
    assert kept.value.__traceback__ is not None


def wait_for_the_end_of_the_threads() -> None:
    end = time.monotonic() + 10
    while any(thread.name.startswith("minidl_") for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


def history_of(number: int, device: str) -> list[dict[str, float]]:
    """A separate training, with results that depend on ``number``; on a device its steps are captured."""
    rng = np.random.default_rng(number)
    data = ArrayDataset(rng.random((24, 10, 10, 1), np.float32), rng.integers(0, 2, 24))
    draw = md.Generator(number)
    model = nn.Sequential(nn.Conv2D(1, 3, 3, rng=draw), nn.ReLU(), nn.MaxPooling2D(2), nn.Flatten())
    model = nn.Sequential(model, nn.Dense(48, 2, rng=draw), nn.BatchNorm(2)).to(device)
    model.static = True
    loader = DataLoader(data, 8, shuffle=True, seed=number)
    trainer = md.Trainer(model, F.softmax_cross_entropy, optim.Adam(model.parameters()))
    return trainer.fit(loader, DataLoader(data, 8), epochs=3)


@pytest.mark.parametrize("device", ["numpy", EMULATED])
def test_models_trained_side_by_side_learn_what_each_learns_alone(device: str) -> None:
    backends.get(device)
    together = side_by_side(4, lambda number: history_of(number, device))
    assert together == [history_of(number, device) for number in range(4)]


def test_loops_of_several_threads_over_one_loader_give_each_all_batches() -> None:
    loader = DataLoader(ArrayDataset(np.arange(200)), 3, shuffle=True)
    expected = [batch.tolist() for (batch,) in loader]
    loader.epoch = 0
    loops = [iter(loader) for _ in range(4)]
    for seen in side_by_side(4, lambda number: [batch.tolist() for (batch,) in loops[number]]):
        assert seen == expected


def test_each_thread_says_for_itself_that_its_work_shall_be_capturable() -> None:
    device = StrictBackend()
    entered, left = threading.Event(), threading.Event()

    def other() -> list[bool]:
        with device.only_capturable():
            entered.set()
            left.wait(10)
            inside = device.capturable
        return [inside, device.capturable]

    with ThreadPoolExecutor(1) as pool:
        with device.only_capturable():
            seen = pool.submit(other)
            entered.wait(10)
        assert not device.capturable
        left.set()
        assert seen.result() == [True, False]
    assert not device.capturable
