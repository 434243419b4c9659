"""Data sets and the loader: every sample once an epoch, an order that repeats, and states that can be saved."""

import threading
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.data import ArrayDataset, DataLoader, Dataset, Subset, collate
from minidl.errors import MinidlError, ShapeError


class Broken(Dataset):
    """Sample 5 cannot be read."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        if index == 5:
            raise OSError("disk error")
        return index


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
        state = loader(batch_size=2).state_dict()
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


def test_an_error_in_the_data_reaches_the_loop_and_ends_the_thread() -> None:
    batches = DataLoader(Broken(), batch_size=2)
    made = iter(batches)
    assert [next(made).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="disk error"):
        next(made)
    assert not [thread for thread in threading.enumerate() if thread.name == "minidl-loader"]


def test_leaving_a_loop_ends_its_thread() -> None:
    for _ in loader(100, batch_size=1):
        break
    assert not [thread for thread in threading.enumerate() if thread.name == "minidl-loader"]


def test_batches_are_made_ahead_but_no_further_than_asked() -> None:
    class Counted(Dataset):
        made = 0
        enough = threading.Event()

        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Any:
            Counted.made += 1
            if Counted.made == 4:  # the one in use, two that wait, and one at the door
                Counted.enough.set()
            return index

    batches = iter(DataLoader(Counted(), batch_size=1, prefetch=2))
    next(batches)
    assert Counted.enough.wait(10)
    assert Counted.made == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size >= 1"),
        ({"prefetch": -1}, "prefetch >= 0"),
        ({"length": 0}, r"0 samples gives no batch of 32: take more samples$"),
        ({"length": 3, "batch_size": 4, "drop_last": True}, "3 samples gives no batch of 4"),
    ],
)
def test_impossible_loaders_say_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MinidlError, match=message):
        loader(**options)


def test_collate_keeps_the_structure() -> None:
    samples = [({"x": np.ones(2, np.uint8) * i, "y": 0.5 * i}, i) for i in range(3)]
    batch, numbers = collate(samples)
    assert batch["x"].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert (batch["x"].dtype, batch["y"].dtype, numbers.dtype) == (np.uint8, np.float32, np.int64)


def test_samples_of_different_shapes_are_an_error() -> None:
    with pytest.raises(ShapeError, match=r"different shapes cannot form a batch: \(2,\), \(3,\)"):
        collate([np.ones(2), np.ones(3)])


def test_array_data_sets_need_equal_lengths() -> None:
    with pytest.raises(ShapeError, match=r"arrays of one length.*got shapes \(3,\), \(4,\)"):
        ArrayDataset(np.ones(3), np.ones(4))
    with pytest.raises(ShapeError, match=r"got shapes \(\), \(\)"):
        ArrayDataset(1, 2)
    with pytest.raises(ShapeError, match="got shapes none"):
        ArrayDataset()


def test_a_subset_is_a_view_in_its_own_order() -> None:
    data = ArrayDataset(np.arange(10) * 10)
    part = Subset(data, [7, 2, 4])
    assert len(part) == 3
    assert part[1] == (20,)
    assert part.batch(np.array([2, 0]))[0].tolist() == [40, 70]
