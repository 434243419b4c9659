"""The loader: every sample once per epoch, a reproducible order, states that can be saved, and errors on the way."""

import copy
import os
import pickle
import signal
import threading
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as md
from minidl import backends
from minidl.data import ArrayDataset, DataLoader, Dataset, Subset
from minidl.errors import MinidlError
from minidl.nested import leaves

from .datasets import Computed, loader_threads
from .elsewhere import printed


def loader(length: int = 10, **options: Any) -> DataLoader:
    return DataLoader(ArrayDataset(np.arange(length)), **options)


def epoch(batches: DataLoader) -> list[list[int]]:
    return [batch.tolist() for (batch,) in batches]


def test_without_shuffling_the_order_is_that_of_the_data() -> None:
    assert epoch(loader(5, batch_size=2)) == [[0, 1], [2, 3], [4]]
    assert epoch(loader(5, batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3), st.booleans())
def test_an_epoch_holds_every_sample_once(length: int, size: int, prefetch: int, shuffle: bool) -> None:
    batches = loader(length, batch_size=size, shuffle=shuffle, prefetch=prefetch)
    made = epoch(batches)
    assert len(made) == len(batches)
    assert sorted(chain(*made)) == list(range(length))


def test_the_order_follows_from_seed_and_epoch() -> None:
    one, two = (loader(50, shuffle=True, seed=3) for _ in range(2))
    epochs = [epoch(one), epoch(one)]
    assert epochs == [epoch(two), epoch(two)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != epoch(loader(50, shuffle=True, seed=4))


@given(st.integers(0, 4), st.integers(0, 3))
def test_a_saved_state_goes_on_with_the_next_batch(stop: int, prefetch: int) -> None:
    whole = loader(batch_size=2, shuffle=True)
    expected = epoch(whole) + epoch(whole)
    first = loader(batch_size=2, shuffle=True, prefetch=prefetch)
    made = []
    for (batch,) in first:
        if len(made) == stop:
            break
        made.append(batch.tolist())
        state = first.state_dict()
    if stop == 0:
        state = loader(batch_size=2, shuffle=True).state_dict()
    second = loader(batch_size=2, shuffle=True, seed=99, prefetch=prefetch)
    second.load_state_dict(state)
    assert made + epoch(second) + epoch(second) == expected


def test_a_loop_that_is_left_early_starts_its_epoch_again() -> None:
    batches = loader(shuffle=True, batch_size=2)
    expected = epoch(loader(shuffle=True, batch_size=2))
    for _ in batches:
        break
    assert epoch(batches) == expected


def test_a_state_for_other_data_is_refused() -> None:
    with pytest.raises(MinidlError, match="state is for 10 samples and batch 0, the data set has 11 samples"):
        loader(11).load_state_dict(loader(10).state_dict())


class Reusing(Dataset):
    """Fills the same arrays for every batch: one, two in a structure, or a part of one."""

    def __init__(self, structure: Callable[[Any, Any], Any]) -> None:
        self.first, self.second, self.structure = np.zeros(4), np.zeros((9, 1)), structure

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> float:
        return float(index)

    def batch(self, indices: Any) -> Any:
        self.first[:] = indices
        self.second[:4, 0] = indices
        return self.structure(self.first, self.second[:4])


@pytest.mark.parametrize(
    "structure",
    [
        lambda one, two: one,
        lambda one, two: two,
        lambda one, two: (one, {"y": two}),
        lambda one, two: md.Tensor(one),
    ],
)
@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_data_set_may_fill_one_array_for_all_its_batches(structure: Any, prefetch: int) -> None:
    expected = np.arange(24.0).reshape(6, 4).tolist()
    for dataset in (Reusing(structure), Subset(Reusing(structure), np.arange(24))):
        for parts in zip(*map(leaves, DataLoader(dataset, 4, prefetch=prefetch)), strict=True):
            assert [values(part) for part in parts] == expected


def values(part: Any) -> list[float]:
    numbers: list[float] = (part.numpy() if isinstance(part, md.Tensor) else part).ravel().tolist()
    return numbers


def test_samples_that_are_taken_are_not_those_of_the_next_take() -> None:
    dataset = Reusing(lambda one, two: (one, two))
    taken = [dataset.take(np.array(indices)) for indices in ([0, 1, 2, 3], [4, 5, 6, 7])]
    assert [values(some[:][0]) for some in taken] == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_threads_that_share_a_loop_get_every_batch_once(prefetch: int) -> None:
    batches, got = iter(loader(200, batch_size=1, prefetch=prefetch)), []
    threads = [threading.Thread(target=lambda: got.extend(batch.tolist() for (batch,) in batches)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(chain(*got)) == list(range(200))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_forked_inside_a_loop_starts_another_one() -> None:
    made = iter(loader(100, batch_size=1))
    next(made)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            next(made)
        except MinidlError as error:
            told = "forked inside a loop over a loader: start another loop in it" in str(error)
            os._exit(0 if told and len(epoch(loader(100, batch_size=1))) == 100 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert next(made)[0].tolist() == [1]


def test_an_error_in_the_data_reaches_the_loop_and_ends_the_thread() -> None:
    batches = DataLoader(BrokenAt(5), batch_size=2)
    made = iter(batches)
    assert [next(made)[0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="disk error"):
        next(made)
    assert not loader_threads()


def test_leaving_a_loop_ends_its_thread() -> None:
    for _ in loader(100, batch_size=1):
        break
    assert not loader_threads()


def test_batches_are_made_ahead_but_no_further_than_asked() -> None:
    made, enough = [], threading.Event()

    def sample(index: int) -> int:
        made.append(index)
        if len(made) == 4:  # one in use, two in the queue, and one waiting to enter it
            enough.set()
        return index

    batches = iter(DataLoader(Computed(20, sample), batch_size=1, prefetch=2))
    assert next(batches).tolist() == [0]
    assert enough.wait(10)
    assert made == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"prefetch": -1}, "prefetch must be an integer >= 0"),
        ({"length": 0}, r"0 samples gives no batch of 32: take more samples$"),
        ({"length": 3, "batch_size": 4, "drop_last": True}, "3 samples gives no batch of 4"),
    ],
)
def test_impossible_loaders_say_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MinidlError, match=message):
        loader(**options)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epoch", -1, "epoch must be an integer >= 0, got -1"),
        ("epoch", 1.5, "epoch must be an integer >= 0, got 1.5"),
        ("position", -1, "position must be an integer >= 0"),
        ("start", 0.5, "start must be an integer >= 0"),
        ("dataset", np.ones(3), "expected a data set, got ndarray: wrap arrays"),
        ("dataset", ArrayDataset(np.arange(1)), "a data set of 1 sample gives no batch of 2"),
        ("mirror", True, "mirror=True is for images"),
    ],
)
def test_what_is_set_later_is_checked_too(name: str, value: Any, message: str) -> None:
    batches = loader(4, batch_size=2, drop_last=True)
    before = getattr(batches, name)
    with pytest.raises(MinidlError, match=message):
        setattr(batches, name, value)
    assert getattr(batches, name) is before
    assert epoch(batches) == [[0, 1], [2, 3]]


def test_another_data_set_counts_from_the_next_loop_on() -> None:
    batches = loader(4, batch_size=2)
    assert len(epoch(batches)) == 2
    batches.dataset = ArrayDataset(np.arange(3))
    assert epoch(batches) == [[0, 1], [2]]


def test_loops_over_one_loader_do_not_disturb_each_other() -> None:
    batches = loader(6, batch_size=2)
    assert [(a.tolist(), b.tolist()) for (a,), (b,) in zip(batches, batches, strict=True)] == [
        ([0, 1], [0, 1]), ([2, 3], [2, 3]), ([4, 5], [4, 5]),
    ]  # fmt: skip
    seen = []
    for (outer,) in batches:
        seen.append(outer.tolist())
        assert epoch(batches) == [[0, 1], [2, 3], [4, 5]]
    assert seen == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_looking_at_a_batch_inside_a_loop_changes_neither_its_batches_nor_its_place(prefetch: int) -> None:
    batches = loader(shuffle=True, batch_size=3, prefetch=prefetch)
    expected = epoch(loader(shuffle=True, batch_size=3))
    loop, seen = iter(batches), []
    for (batch,) in loop:
        assert next(iter(batches))[0].tolist() == expected[0]
        seen.append(batch.tolist())
        assert loop.state_dict()["position"] == len(seen)
    assert seen == expected
    assert (batches.epoch, batches.position) == (1, 0)
    assert next(loop, None) is None
    assert (batches.epoch, batches.position) == (1, 0), "it ends once"


def test_the_place_of_a_loader_is_that_of_the_loop_that_moved_last() -> None:
    batches = loader(8, batch_size=2)
    one, other = iter(batches), iter(batches)
    next(one), next(one), next(other)
    assert batches.state_dict()["position"] == 1
    next(one)
    resumed = loader(8, batch_size=2)
    resumed.load_state_dict(batches.state_dict())
    assert epoch(resumed) == [[6, 7]]


SET_INSIDE_A_LOOP = [
    {"batch_size": 3},
    {"shuffle": False},
    {"seed": 1},
    {"drop_last": True},
    {"dataset": ArrayDataset(np.arange(6))},
]


@pytest.mark.parametrize("change", SET_INSIDE_A_LOOP)
def test_a_state_inside_a_loop_has_the_options_of_the_loop(change: dict[str, Any]) -> None:
    batches = loader(8, batch_size=2, shuffle=True)
    loop = iter(batches)
    next(loop), next(loop)
    (name, value), *_ = change.items()
    setattr(batches, name, value)
    assert batches.state_dict() == loop.state_dict()
    resumed = loader(8, batch_size=2, shuffle=True)
    resumed.load_state_dict(batches.state_dict())
    assert epoch(resumed) == [batch.tolist() for (batch,) in loop]
    after = batches.state_dict()
    assert (after["position"], after["samples"]) == (0, len(batches.dataset))
    assert after.get(name, value) == value


@pytest.mark.parametrize("change", SET_INSIDE_A_LOOP)
def test_options_are_set_before_a_state_is_loaded_and_not_after(change: dict[str, Any]) -> None:
    batches = loader(8, batch_size=2, shuffle=True)
    batches.load_state_dict({**batches.state_dict(), "position": 2})
    (name, value), *_ = change.items()
    setattr(batches, name, value)
    with pytest.raises(MinidlError, match=r"^the loader continues at batch 2 of an epoch with .* before load_"):
        next(iter(batches))
    batches.start = 0
    assert len(epoch(batches)) == len(batches)


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_loop_is_not_copied(made: Any) -> None:
    loop = iter(loader(6, batch_size=2))
    next(loop)
    with pytest.raises(MinidlError, match=r"a loop over a loader cannot be copied or pickled.* its state_dict"):
        made(loop)
    assert [batch.tolist() for (batch,) in loop] == [[2, 3], [4, 5]]


@pytest.mark.parametrize("change", [{"batch_size": 3}, {"shuffle": False}, {"drop_last": True}])
def test_a_state_of_other_batches_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    options: dict[str, Any] = {"batch_size": 2, "shuffle": True}
    saved = loader(seed=5, **options)
    next(iter(saved))
    other = loader(**(options | change))
    before = other.state_dict()
    (name, value), *_ = change.items()
    with pytest.raises(MinidlError, match=f"for batches with {name}=.*, and the loader has {name}={value}"):
        other.load_state_dict(saved.state_dict())
    assert other.state_dict() == before


@pytest.mark.parametrize("state", [None, {}, {"seed": 0, "epoch": 0, "position": 0}])
def test_what_is_no_state_of_a_loader_is_refused(state: Any) -> None:
    with pytest.raises(MinidlError, match="expected the state of a loader, got"):
        loader().load_state_dict(state)


class BrokenAt(Computed):
    """Eight samples, some of which cannot be read."""

    def __init__(self, *broken: int, error: type[BaseException] = OSError) -> None:
        super().__init__(8, self.read)
        self.broken, self.error = broken, error

    def read(self, index: int) -> Any:
        if index in self.broken:
            raise self.error("disk error")
        return (np.int64(index),)


def with_errors(batches: DataLoader) -> list[Any]:
    """The batches of an epoch, and the position of the loader after each error."""
    loop, made = iter(batches), []
    while True:
        try:
            (batch,) = next(loop)
            made.append(batches.dataset.backend.to_numpy(batch).tolist() if batch is not None else None)
        except OSError:
            made.append((batches.state_dict()["epoch"], batches.state_dict()["position"]))
        except StopIteration:
            return made


@pytest.mark.parametrize("prefetch", [0, 1, 2, 5])
def test_after_an_error_the_loop_goes_on_with_the_next_batch(prefetch: int) -> None:
    batches = DataLoader(BrokenAt(5), batch_size=2, prefetch=prefetch)
    assert with_errors(batches) == [[0, 1], [2, 3], (0, 2), [6, 7]]
    assert (batches.epoch, batches.position) == (1, 0)
    batches = DataLoader(BrokenAt(0, 2, 3, 7), batch_size=2, prefetch=prefetch)
    assert with_errors(batches) == [(0, 0), (0, 0), [4, 5], (0, 3)]
    assert not loader_threads()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_after_an_error_a_loop_keeps_its_order_and_its_batches(prefetch: int) -> None:
    whole = DataLoader(BrokenAt(), batch_size=2, shuffle=True, seed=3, prefetch=0)
    orders = [[batch.tolist() for (batch,) in whole] for _ in range(2)]
    batches = DataLoader(BrokenAt(5), batch_size=2, shuffle=True, seed=3, prefetch=prefetch)
    loop = iter(batches)
    batches.load_state_dict(batches.state_dict() | {"epoch": 1})  # another loop may be at another position
    made = []
    for _ in range(4):
        try:
            made.append(next(loop)[0].tolist())
        except OSError:
            batches.batch_size = 3
    assert made == [batch for batch in orders[0] if 5 not in batch]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_state_saved_after_an_error_goes_on_with_the_batch_that_failed(prefetch: int) -> None:
    batches = DataLoader(BrokenAt(5), batch_size=2, prefetch=prefetch)
    with pytest.raises(OSError, match="disk error"):
        list(batches)
    again = DataLoader(BrokenAt(), batch_size=2, prefetch=prefetch)
    again.load_state_dict(batches.state_dict())
    assert [batch.tolist() for (batch,) in again] == [[4, 5], [6, 7]]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_interrupt_loses_no_batch(prefetch: int) -> None:
    data = BrokenAt(2, error=KeyboardInterrupt)
    loop = iter(DataLoader(data, batch_size=2, prefetch=prefetch))
    next(loop)
    with pytest.raises(KeyboardInterrupt):
        next(loop)
    data.broken = ()
    assert [batch.tolist() for (batch,) in loop] == [[2, 3], [4, 5], [6, 7]]


def test_an_interrupt_while_the_thread_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(iter(loader(100, batch_size=2)))
    monkeypatch.undo()
    for thread in loader_threads():
        thread.join(10)
    assert not loader_threads()


INTERRUPTED = """
import sys, threading, numpy as np
from minidl.data import ArrayDataset, DataLoader
data, interrupts = ArrayDataset(np.arange(6)), 0
def starts_a_thread(frame):
    # The standard library's own locks are not safe against an interrupt there.
    return frame is not None and (frame.f_code is threading.Thread.start.__code__ or starts_a_thread(frame.f_back))
for number in range(1, 150):
    calls = 0
    def interrupt(frame, event, _):
        # Where Python handles signals: when a function begins, and after a call of a function in C.
        global calls
        if event in ("call", "c_return") and not starts_a_thread(frame):
            calls += 1
            if calls == number:
                raise KeyboardInterrupt
    loop = iter(DataLoader(data, batch_size=1, prefetch=1))
    sys.setprofile(interrupt)
    try:
        for _ in loop:
            pass
    except KeyboardInterrupt:
        interrupts += 1
    sys.setprofile(None)
    del loop
for thread in threading.enumerate():
    if thread.name == "minidl-loader":
        thread.join(5)
print(interrupts > 50, [thread.name for thread in threading.enumerate() if thread.name == "minidl-loader"])
"""


def test_an_interrupt_between_any_two_calls_ends_the_loop_and_its_thread() -> None:
    assert printed(INTERRUPTED) == "True []\n"


def test_after_an_error_on_the_way_to_a_device_the_next_batch_is_the_next() -> None:
    batches = DataLoader(BrokenAt(3), batch_size=2, backend="strict")
    loop, made = iter(batches), []
    for _ in range(4):
        try:
            made.append(backends.to_host(next(loop)[0]).tolist())
        except OSError:
            made.append([])
    assert made == [[0, 1], [], [4, 5], [6, 7]]


def test_the_backend_of_a_loader_is_set_by_its_name() -> None:
    loader = DataLoader(ArrayDataset(np.arange(4)), batch_size=2)
    loop = iter(loader)
    loader.backend = "strict"  # type: ignore[assignment]
    assert [type(x) for (x,) in loader] == [backends.get("strict").array_type] * 2
    assert [x.tolist() for (x,) in loop] == [[0, 1], [2, 3]], "a loop that has begun keeps its backend"
    for wrong in ("stric", 3, None):
        with pytest.raises(MinidlError):
            loader.backend = wrong  # type: ignore[assignment]
    assert loader.backend is backends.get("strict")
