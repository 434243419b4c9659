"""Data sets: batches and their structure, subsets by indices or masks, and transfer to a device."""

import math
import re
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends
from minidl.data import ArrayDataset, Dataset, ImageDataset, Subset, collate
from minidl.errors import BoundsError, DtypeError, MinidlError, ShapeError

from .datasets import Computed, assert_same_batches, on_host, pictures

SQUARES = Computed(5, lambda index: (index, float(index**2)))


def test_collate_keeps_the_structure() -> None:
    samples = [({"x": np.ones(2, np.uint8) * i, "y": 0.5 * i}, i) for i in range(3)]
    batch, numbers = collate(samples)
    assert batch["x"].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert (batch["x"].dtype, batch["y"].dtype, numbers.dtype) == (np.uint8, np.float32, np.int64)


def test_samples_of_different_shapes_are_an_error() -> None:
    with pytest.raises(ShapeError, match=r"different shapes cannot form a batch: \(2,\), \(3,\)"):
        collate([np.ones(2), np.ones(3)])


@pytest.mark.parametrize(
    ("samples", "dtype"),
    [
        ([2.5, 1], np.float32),
        ([1, 2], np.int64),
        ([True, False], np.bool_),
        ([0.5, np.float32(1)], np.float32),
        ([np.float64(0.1), np.float64(0.2)], np.float64),
        ([np.float16(0.1), np.array(0.2, np.float16)], np.float16),
        ([np.uint8(1), np.uint8(2)], np.uint8),
        ([np.array([1.0]), np.array([2.0])], np.float64),
        ([np.array([1.0], ">f4"), np.array([2.0], "<f4")], np.float32),
        (["a", "text"], np.dtype("<U4")),
        ([math.inf, math.nan], np.float32),
    ],
)
def test_a_batch_has_one_dtype_whichever_sample_comes_first(samples: list[Any], dtype: Any) -> None:
    for order in (samples, samples[::-1]):
        batch = collate(order)
        assert batch.dtype == dtype
        np.testing.assert_array_equal(batch, np.array(order, dtype))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([0.5, None], "expected samples of numbers or strings, got NoneType: .* such as None to np.nan"),
        ([{1}, {2}], "got set: "),
        ([0.5, 1 + 2j], "got complex: "),
        ([np.ones(2, complex), np.ones(2, complex)], "got an array of complex128: "),
        ([0.5, "1.5"], "samples of different dtypes cannot form a batch: <U3, float32. Bring them to one dtype"),
        ([b"a", "a"], "different dtypes cannot form a batch: <U1, |S1"),
        ([0.5, np.float64(0.5)], "different dtypes cannot form a batch: float32, float64"),
        ([1, np.float32(0.5)], "different dtypes cannot form a batch: float32, int64"),
        ([True, 0.25], "different dtypes cannot form a batch: bool, float32"),
        ([np.uint64(1), np.int64(1)], "different dtypes cannot form a batch: int64, uint64"),
        ([np.float32([1]), np.array([1.0])], "different dtypes cannot form a batch: float32, float64"),
        ([1e300, 1.0], r"1e\+300 is out of range for float32"),
        ([2**70, 1], "one of the numbers .* is too large for int64"),
        ([10**400, 1.0], "one of the numbers .* is too large for float64"),
    ],
)
def test_samples_that_have_no_dtype_in_common_are_an_error_whichever_comes_first(
    samples: list[Any], message: str
) -> None:
    for order in (samples, samples[::-1]):
        with pytest.raises(DtypeError, match=message):
            collate(order)


@pytest.mark.parametrize("samples", [[0.5, np.ones(2)], [np.ones(2), 1]])
def test_a_number_and_an_array_are_samples_of_different_shapes(samples: list[Any]) -> None:
    with pytest.raises(ShapeError, match=r"different shapes cannot form a batch: \(\), \(2,\)"):
        collate(samples)


def test_arrays_of_objects_are_no_data_set() -> None:
    with pytest.raises(DtypeError, match="expected samples of numbers or strings, got list: "):
        ArrayDataset([0.5, None])


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([[1.0, 2.0]], np.float32),
        ([(1, 2.5)], np.float32),
        ([0.5, True], np.float32),
        ([1, 2], np.int64),
        (np.array([1.0]), np.float64),
        ([np.array([1.0])], np.float64),
        ([np.float64(1.0), 2.0], np.float64),
    ],
)
def test_floats_of_python_become_float32_wherever_samples_are_made_of_them(given: Any, dtype: Any) -> None:
    nested = ArrayDataset({"x": given})
    for batch in (ArrayDataset(given).batch(np.array([0]))[0], nested.batch(np.array([0]))[0]["x"]):
        assert batch.dtype == dtype
    images = np.zeros((len(given), 2, 2, 1), np.uint8)
    assert ImageDataset(images, given).batch(np.array([0]))[1].dtype == dtype


def test_a_float_of_python_that_float32_has_not_is_refused() -> None:
    with pytest.raises(DtypeError, match="1e\\+60 is out of range for float32"):
        ArrayDataset([1.0, 1e60])


def test_samples_that_a_subclass_passes_on_keep_their_dtype() -> None:
    class Same(ArrayDataset):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)

    for array in (np.array([0.1, 0.2]), np.float32([0.1, 0.2]), np.array([1, 2], np.uint8)):
        expected, got = ArrayDataset(array).batch([0, 1])[0], Same(array).batch([0, 1])[0]
        assert got.dtype == expected.dtype == array.dtype


X = np.ones((4, 2))


@pytest.mark.parametrize("arrays", [(X, np.ones(4)), [X, np.ones(4)], (X, X)], ids=["tuple", "list", "equal shapes"])
def test_arrays_in_one_argument_are_no_samples(arrays: Any) -> None:
    message = rf"got a {type(arrays).__name__} of arrays .*: write ArrayDataset\(\*arrays\)"
    with pytest.raises(ShapeError, match=message):
        ArrayDataset(arrays)
    with pytest.raises(ShapeError, match=message):
        ArrayDataset({"a": arrays}, np.ones(4))
    assert len(ArrayDataset(*arrays)) == 4


def test_rows_in_lists_and_pictures_in_a_list_are_samples() -> None:
    for rows in ([[1, 2], [3, 4]], ((1, 2), (3, 4)), (np.float32(1), np.float32(2)), [X, X]):
        assert len(ArrayDataset(rows, [0, 1])) == 2


def test_array_data_sets_need_equal_lengths() -> None:
    with pytest.raises(ShapeError, match=r"first axes of the same length, got shapes \(3,\), \(4,\)"):
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


def test_any_data_set_can_move() -> None:
    squares = Computed(6, lambda index: {"x": np.float32(index), "y": [float(index**2)]})
    for dataset in (squares, Subset(squares, np.arange(6)), squares.take(np.arange(6))):
        for there in (dataset.to("strict"), Subset(dataset.to("strict"), np.arange(6))):
            batch = there.batch(np.array([5, -4]))
            assert batch["x"].dtype == np.float32
            assert on_host(batch) == {"x": pytest.approx([5, 2]), "y": [pytest.approx([25, 4])]}
            assert on_host(there[3])["x"] == 3
            assert on_host(there.to("numpy").batch(np.array([1])))["x"].tolist() == [1]
            assert there.to("strict") is there
        assert dataset.to("numpy") is dataset


@pytest.mark.parametrize("device", ["numpy", "strict"])
def test_a_mask_chooses_the_samples_where_it_holds(device: str) -> None:
    labels = np.array([0, 3, 5, 1, 4])
    data = ArrayDataset(labels * 10).to(device)
    part = Subset(data, labels > 2)
    assert len(part) == 3
    assert on_host(part.batch(np.arange(3)))[0].tolist() == [30, 50, 40]
    assert on_host(part.batch([True, False, True]))[0].tolist() == [30, 40]
    assert on_host(part.take(np.array([False, False, True]))[0])[0] == 40
    assert on_host(data.batch(labels > 2))[0].tolist() == [30, 50, 40]
    assert on_host(Subset(data, data.backend.asarray(labels > 3)).batch([0, 1]))[0].tolist() == [50, 40]
    assert len(Subset(data, [])) == len(Subset(data, labels > 9)) == 0


def test_a_mask_chooses_samples_that_are_made_one_by_one_and_pictures_too() -> None:
    mask = np.array([False, True, False, True, False])
    assert SQUARES.batch(mask)[1].tolist() == [1, 9]
    assert [y.item() for _, y in SQUARES.take(mask)] == [1, 9]
    data = pictures()
    assert_same_batches([data.batch(np.arange(11) > 8)], [data.batch(np.array([9, 10]))])


@pytest.mark.parametrize("device", ["numpy", "strict"])
def test_a_mask_of_another_length_and_numbers_with_a_fraction_choose_nothing(device: str) -> None:
    data = ArrayDataset(np.arange(5)).to(device)
    for use in (lambda indices: Subset(data, indices), data.batch, data.take, Subset(data, np.arange(5)).batch):
        with pytest.raises(ShapeError, match=r"a mask has a boolean for each sample, 5 in all, got shape \(3,\)"):
            use(np.array([True, False, True]))
        with pytest.raises(DtypeError, match="expected sample indices or a mask of booleans, got float64"):
            use(np.array([0.0, 1.0]))


def test_a_subset_may_be_a_slice_or_a_tensor_as_numbers_or_as_a_mask() -> None:
    dataset, there = ArrayDataset(np.arange(5) * 10), md.tensor(np.arange(5))
    chosen: dict[str, Any] = {
        "slice": slice(1, None, 2),
        "tensor": md.tensor([1, 3]),
        "mask": md.tensor([False, True, False, True, False]),
        "comparison": (there == 1) | (there == 3),
    }
    for name, indices in chosen.items():
        subset = Subset(dataset, indices)
        assert [int(subset[i][0]) for i in range(len(subset))] == [10, 30], name
        assert dataset.batch(indices)[0].tolist() == [10, 30], name


@pytest.mark.parametrize("odd", [{1, 2}, (n for n in (1, 2)), "12", None])
def test_a_subset_without_an_order_says_what_it_takes(odd: Any) -> None:
    with pytest.raises(MinidlError, match=r"expected sample indices in an order, .* sorted\(...\) for a set"):
        Subset(ArrayDataset(np.arange(5)), odd)


@pytest.mark.parametrize("place", ["numpy", "strict"])
def test_a_subset_has_indices_of_its_own(place: str) -> None:
    data = ArrayDataset(np.arange(10)).to(place)
    chosen = np.arange(10)
    indices = data.backend.asarray(chosen)
    training, validation = Subset(data, indices[:8]), Subset(data, indices[8:])
    indices[:] = data.backend.asarray(chosen[::-1].copy())
    assert backends.to_host(training.batch(np.arange(8))[0]).tolist() == list(range(8))
    assert backends.to_host(validation.batch(np.arange(2))[0]).tolist() == [8, 9]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ArrayDataset([[1, 2], [3]], [0, 1]),
        lambda: ArrayDataset({"text": [[1, 2], [3]]}, [0, 1]),
        lambda: ImageDataset([np.zeros((2, 2, 1), np.uint8), np.zeros((3, 2, 1), np.uint8)], [0, 1]),
        lambda: ImageDataset(np.zeros((2, 2, 2, 1), np.uint8), [[0], [1, 2]]),
    ],
)
def test_lists_of_different_lengths_are_no_data_set(make: Any) -> None:
    with pytest.raises(ShapeError, match="pad the short ones"):
        make()


@pytest.mark.parametrize("made", [list, np.array, np.uint8, md.tensor])
def test_sample_numbers_are_checked_and_counted_from_the_end_whatever_holds_them(made: Any) -> None:
    with pytest.raises(BoundsError, match="there is no sample 7: the data set has 5 samples, counted from 0"):
        SQUARES.batch(made([7]))
    with pytest.raises(BoundsError, match="there is no sample 7"):
        Subset(SQUARES, made([1, 7]))
    with pytest.raises(ShapeError, match="along one axis"):
        SQUARES.batch(made([[0, 1], [2, 3]]))
    if made is not np.uint8:
        assert SQUARES.batch(made([-1, 1]))[0].tolist() == [4, 1]
        assert Subset(ArrayDataset(np.arange(5)), made([-2])).batch(np.array([0]))[0].tolist() == [3]


def of_every_kind() -> dict[str, Dataset]:
    """Data sets of five samples; the target, or the whole sample, is the index."""

    numbers = Computed(5, lambda index: (np.zeros(2), index))
    arrays = ArrayDataset(np.zeros((5, 2)), np.arange(5))
    images = ImageDataset(np.zeros((5, 2, 2, 1), np.uint8), np.arange(5))
    every = np.arange(5)
    made = {"arrays": arrays, "images": images, "subset": Subset(numbers, every), "taken": numbers.take(every)}
    return made | {f"{name} there": one.to("strict") for name, one in made.items()}


KINDS = tuple(of_every_kind())


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_has_an_integer_however_it_is_given(kind: str) -> None:
    dataset = of_every_kind()[kind]
    ones = (3, -2, np.int8(3), np.array(3), md.tensor(3), md.tensor(3, backend="strict"))
    assert [on_host(dataset[one])[1] for one in ones] == [3] * 6  # type: ignore[index]


@pytest.mark.parametrize("kind", KINDS)
def test_several_samples_are_a_batch_however_their_numbers_are_given(kind: str) -> None:
    dataset = of_every_kind()[kind]
    several = ([3, -1], np.array([3, 4]), md.tensor([3, 4]), md.tensor([3, 4], backend="strict"), slice(3, 5))
    mask = np.arange(5) > 2
    for some in (*several, range(3, 5), mask, mask.tolist(), md.tensor(mask)):
        inputs, numbers = on_host(dataset[some])  # type: ignore[index]
        assert (len(inputs), list(numbers)) == (2, [3, 4])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("odd", [True, None, ..., 1.0, "1", (0, 1), {1}])
def test_what_is_no_integer_is_no_sample(kind: str, odd: Any) -> None:
    with pytest.raises(MinidlError, match=re.escape(f"the index of a sample must be an integer, got {odd!r}")):
        of_every_kind()[kind][odd]


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_outside_names_those_that_there_are(kind: str) -> None:
    dataset = of_every_kind()[kind]
    for odd in (5, -6):
        with pytest.raises(BoundsError, match=f"there is no sample {odd}: the data set has 5 samples, counted from 0"):
            dataset[odd]
    assert len(list(dataset)) == 5  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "taken", [lambda mine: type(mine)(mine.length, mine.sample), lambda mine: Subset(mine, np.arange(5))]
)
def test_a_data_set_moves_whatever_its_own_take_gives(taken: Any) -> None:
    class Mine(Computed):
        def take(self, indices: Any) -> Dataset:
            return taken(self)  # type: ignore[no-any-return]

    there = Mine(5, SQUARES.sample).to("strict")
    assert there.backend is backends.get("strict")
    assert on_host(there.batch([4, 2]))[1].tolist() == [16, 4]
