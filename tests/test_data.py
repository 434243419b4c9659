"""Data sets and the loader: every sample once an epoch, an order that repeats, and states that can be saved."""

import re
import shutil
import threading
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as md
from minidl import backends, nn, optim
from minidl.data import ArrayDataset, DataLoader, Dataset, ImageDataset, Subset, collate
from minidl.dataset import mirrored as mirrored_batch
from minidl.errors import BoundsError, DtypeError, MinidlError, ShapeError
from minidl.nested import map_leaves
from minidl.testing.strict import StrictArray, StrictBackend, StrictModule

from .test_backends import GPU

EMULATED = pytest.param("emulated", marks=pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing"))
DEVICES = ["strict", EMULATED, GPU]


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
        ({"batch_size": 0}, "batch_size must be a whole number >= 1"),
        ({"prefetch": -1}, "prefetch must be a whole number >= 0"),
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


def pictures(count: int = 11, width: int = 8) -> ImageDataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 5, width, 1), np.uint8)
    images.reshape(-1)[:256] = np.arange(256)  # every byte there is
    return ImageDataset(images, {"age": rng.random((count, 1), np.float32), "number": np.arange(count)})


def on_host(batch: Any) -> Any:
    return map_leaves(backends.to_host, batch)


def assert_same_batches(one: Any, other: Any) -> None:
    for (images, targets), (expected, labels) in zip(map(on_host, one), map(on_host, other), strict=True):
        assert images.dtype == np.float32
        assert images.tobytes() == expected.tobytes()
        assert {name: (v.dtype, v.tolist()) for name, v in targets.items()} == {
            name: (v.dtype, v.tolist()) for name, v in labels.items()
        }


def loaders(dataset: Dataset, device: str, **options: Any) -> list[DataLoader]:
    """Of data that are on a device, of data that go there batch by batch, and of data on the host."""
    there = DataLoader(dataset.to(device), **options)
    return [there, DataLoader(dataset, backend=device, **options), DataLoader(dataset, **options)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("width", [8, 7])
def test_batches_are_the_same_bits_wherever_they_are_made(width: int, mirror: bool, device: str) -> None:
    whole = pictures(width=width)
    for dataset in (whole, Subset(whole, [8, 3, 9, 1, 0])):
        there, sent, here = loaders(dataset, device, batch_size=4, shuffle=True, mirror=mirror, seed=3)
        assert there.backend is sent.backend is backends.get(device)
        for _ in range(2):
            expected = list(here)
            for loader in (there, sent):
                batches = list(loader)
                assert all(type(images) is loader.backend.array_type for images, _ in batches)
                assert_same_batches(batches, expected)


def test_pictures_are_their_bytes_by_255() -> None:
    order = np.arange(7)[::-1]
    images, targets = pictures().batch(order)
    assert np.array_equal(images, pictures().arrays[0][order].astype(np.float32) / np.float32(255))
    assert len(np.unique(images)) == 256
    assert targets["number"].tolist() == order.tolist()
    image, target = pictures()[2]
    assert np.array_equal(image, images[4])
    assert target["number"] == 2


def test_a_mirrored_picture_is_the_same_from_right_to_left() -> None:
    dataset, both = pictures(), np.array([1, 1])
    for data in (dataset, Subset(dataset, np.arange(len(dataset)))):
        (plain, mirrored), _ = data.batch(both, mirror=np.array([False, True]))
        assert np.array_equal(mirrored, plain[:, ::-1])
        assert not np.array_equal(mirrored, plain)


def mirrored(loader: DataLoader) -> list[int]:
    """The numbers of the pictures that an epoch has mirrored."""
    plain, _ = pictures(40).batch(np.arange(40))
    return [
        number
        for images, targets in loader
        for image, number in zip(images, targets["number"].tolist(), strict=True)
        if not np.array_equal(image, plain[number])
    ]


@pytest.mark.parametrize("shuffle", [False, True])
def test_what_is_mirrored_follows_from_seed_and_epoch(shuffle: bool) -> None:
    def loader(seed: int = 1, size: int = 7, mirror: bool = True) -> DataLoader:
        return DataLoader(pictures(40), size, shuffle=shuffle, mirror=mirror, seed=seed)

    one, other = loader(), loader(size=16)
    epochs = [mirrored(one), mirrored(one)]
    assert epochs == [mirrored(other), mirrored(other)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != mirrored(loader(seed=2))
    assert all(8 < len(epoch) < 32 for epoch in epochs)
    assert mirrored(loader(mirror=False)) == []
    assert loader().order().tolist() == loader(mirror=False).order().tolist()


@pytest.mark.parametrize("device", DEVICES)
def test_a_saved_state_goes_on_with_the_same_mirrored_pictures(device: str) -> None:
    for number, whole in enumerate(loaders(pictures(), device, batch_size=2, shuffle=True, mirror=True, seed=4)):
        expected = [*whole, *whole]
        first = loaders(pictures(), device, batch_size=2, shuffle=True, mirror=True, seed=4)[number]
        made = [batch for batch, _ in zip(first, range(3), strict=False)]
        state = first.state_dict() | {"position": 3}
        assert state.keys() == {"seed", "epoch", "position", "samples", "batch_size", "shuffle", "drop_last", "mirror"}
        second = loaders(pictures(), device, batch_size=2, shuffle=True, mirror=True)[number]
        second.load_state_dict(state)
        assert_same_batches([*made, *second, *second], expected)


class SizesArray(StrictArray):
    """Its type says of which backend it is."""


class Sizes(StrictBackend):
    """Knows how many bytes went across."""

    name = "sizes"
    xp = StrictModule(SizesArray)
    array_type = SizesArray
    bytes = 0

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        self.bytes += getattr(value, "nbytes", 0) if isinstance(value, np.ndarray) else 0
        return super().asarray(value, dtype)


@pytest.fixture
def sizes() -> Any:
    md.plugins.register("backend", "sizes")(Sizes)
    return backends.get("sizes")


def test_of_data_on_the_device_only_the_order_of_an_epoch_goes_there(sizes: Sizes) -> None:
    loader = DataLoader(pictures().to("sizes"), 2, shuffle=True)
    before = sizes.to_device, sizes.bytes, sizes.to_host
    for _ in loader:
        assert (sizes.to_device, sizes.bytes, sizes.to_host) == (before[0] + 1, before[1] + 8 * 11, before[2])
        assert not [thread for thread in threading.enumerate() if thread.name == "minidl-loader"]
    assert len(list(DataLoader(loader.dataset, 2, shuffle=True, mirror=True))) == 6
    assert (sizes.to_device, sizes.bytes, sizes.to_host) == (before[0] + 3, before[1] + 2 * 8 * 11 + 11, before[2])


def test_pictures_on_the_host_go_to_the_device_as_bytes(sizes: Sizes) -> None:
    before = sizes.bytes
    threads = set()
    for images, _ in DataLoader(pictures(), 3, backend="sizes"):
        threads |= {thread.name for thread in threading.enumerate()}
        assert images.nbytes == 4 * images.size
    assert sizes.bytes - before == 11 * (5 * 8 + 4 + 8)  # a byte for each pixel, and the targets
    assert "minidl-loader" in threads


def test_a_training_on_the_device_copies_nothing_in_its_steps(sizes: Sizes) -> None:
    counts: list[tuple[int, int]] = []

    class Count(md.Callback):
        def on_step_end(self, trainer: md.Trainer) -> None:
            counts.append((sizes.to_device, sizes.to_host))

    def train(backend: str) -> Any:
        model = nn.Sequential(nn.Flatten(), nn.Dense(40, 1, rng=md.Generator(0))).to(backend)
        data = pictures()
        targets = ArrayDataset(data.arrays[0] / np.float32(255), data.arrays[1]["age"]).to(backend)
        callbacks = [Count()] if backend == "sizes" else []
        trainer = md.Trainer(model, nn.functional.mse_loss, optim.SGD(model.parameters(), 0.01), {}, callbacks)
        return trainer.fit(DataLoader(targets, 2, shuffle=True), DataLoader(targets, 4), epochs=2)

    history, expected = train("sizes"), train("numpy")
    assert len(counts) == 12
    assert len(set(counts[:6])) == len(set(counts[6:])) == 1
    assert counts[6][0] - counts[5][0] == 2  # the orders of a validation and of the next epoch
    for row, other in zip(history, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-5)


def test_any_data_set_can_move(strict: Any) -> None:
    class Squares(Dataset):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Any:
            return {"x": np.float32(index), "y": [float(index**2)]}

    for dataset in (Squares(), Subset(Squares(), np.arange(6)), Squares().take(np.arange(6))):
        for there in (dataset.to("strict"), Subset(dataset.to("strict"), np.arange(6))):
            batch = there.batch(np.array([5, -4]))
            assert batch["x"].dtype == np.float32
            assert on_host(batch) == {"x": pytest.approx([5, 2]), "y": [pytest.approx([25, 4])]}
            assert on_host(there[3])["x"] == 3
            assert on_host(there.to("numpy").batch(np.array([1])))["x"].tolist() == [1]
            assert there.to("strict") is there
        assert dataset.to("numpy") is dataset


@pytest.fixture
def strict() -> Any:
    return backends.get("strict")


@pytest.mark.parametrize("device", ["numpy", *DEVICES])
@pytest.mark.parametrize("outside", [11, -12])
def test_numbers_outside_are_errors_on_a_device_too(outside: int, device: str) -> None:
    there = pictures().to(device)
    alone = ImageDataset(pictures().arrays[0], {}).to(device)  # without targets that would notice
    for use in (there.batch, there.take, alone.batch, Subset(alone, np.arange(11)).batch):
        with pytest.raises(IndexError):
            use(np.array([0, outside]))
    if device != "numpy":
        with pytest.raises(IndexError):
            Subset(alone, [outside])
    with pytest.raises(IndexError):
        there[outside]


def test_pictures_are_bytes_with_channels() -> None:
    with pytest.raises(ShapeError, match=r"expected uint8 images \(N, H, W, C\), got float32 \(3, 8, 8, 1\)"):
        ImageDataset(np.zeros((3, 8, 8, 1), np.float32), np.zeros(3))
    with pytest.raises(ShapeError, match=r"expected uint8 images \(N, H, W, C\), got uint8 \(3, 8, 8\)"):
        ImageDataset(np.zeros((3, 8, 8), np.uint8), np.zeros(3))
    with pytest.raises(ShapeError, match=r"got shapes \(3, 8, 8, 1\), \(4,\)"):
        ImageDataset(np.zeros((3, 8, 8, 1), np.uint8), {"age": np.zeros(4)})


def test_only_pictures_can_be_mirrored() -> None:
    """The error names the class that somebody wrote, wherever its samples are."""

    class Squares(Dataset):
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> int:
            return index**2

    for data, name in ((ArrayDataset(np.zeros(5)), "ArrayDataset"), (Squares(), "Squares")):
        for dataset in (
            data,
            Subset(data, [1]),
            data.take(np.arange(3)),
            data.to("strict"),
            data.to("strict").take([1]),
        ):
            with pytest.raises(MinidlError, match=f"pictures, and {name} does not say that it has some: use ImageD"):
                DataLoader(dataset, mirror=True)


def of_every_kind() -> dict[str, Dataset]:
    """Data sets of five samples, of which the target or the whole is the number."""

    class Numbers(Dataset):
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> Any:
            return np.zeros(2), index

    arrays = ArrayDataset(np.zeros((5, 2)), np.arange(5))
    images = ImageDataset(np.zeros((5, 2, 2, 1), np.uint8), np.arange(5))
    every = np.arange(5)
    made = {"arrays": arrays, "images": images, "subset": Subset(Numbers(), every), "taken": Numbers().take(every)}
    return made | {f"{name} there": one.to("strict") for name, one in made.items()}


KINDS = tuple(of_every_kind())


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_has_a_whole_number_however_it_is_given(kind: str) -> None:
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
def test_what_is_no_whole_number_is_no_sample(kind: str, odd: Any) -> None:
    with pytest.raises(MinidlError, match=re.escape(f"the number of a sample must be a whole number, got {odd!r}")):
        of_every_kind()[kind][odd]


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_outside_names_those_that_there_are(kind: str) -> None:
    dataset = of_every_kind()[kind]
    for odd in (5, -6):
        with pytest.raises(BoundsError, match=f"there is no sample {odd}: the 5 samples have the numbers 0 ... 4"):
            dataset[odd]
    assert len(list(dataset)) == 5  # type: ignore[call-overload]


class OnePicture(ImageDataset):
    """Asks for one picture after the other."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)


class Drawn(Dataset):
    """Pictures that are made when they are asked for."""

    mirrors = True

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> Any:
        image, targets = pictures()[index]
        return image, targets

    def batch(self, indices: Any, mirror: Any = None) -> Any:
        return mirrored_batch(self.backend, super().batch(indices), mirror)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("make", [pictures, lambda: OnePicture(*pictures().arrays), Drawn])
def test_pictures_of_any_class_are_mirrored_wherever_they_are(make: Any, device: str) -> None:
    expected = list(DataLoader(pictures(), batch_size=4, shuffle=True, mirror=True))
    every = np.arange(11)
    for dataset in (
        make(),
        make().take(every),
        Subset(make(), every),
        make().to(device),
        make().to(device).take(every),
    ):
        for there in (dataset.backend.name, device):
            assert_same_batches(
                list(DataLoader(dataset, batch_size=4, shuffle=True, mirror=True, backend=there)), expected
            )


def test_a_mirrored_batch_is_of_the_class_of_the_plain_one() -> None:
    class Pair(NamedTuple):
        image: Any
        number: Any

    batch = mirrored_batch(backends.default, Pair(np.arange(4.0).reshape(2, 1, 2, 1), [0, 1]), [False, True])
    assert type(batch) is Pair
    assert (batch.image.ravel().tolist(), batch.number) == ([0, 1, 3, 2], [0, 1])


@pytest.mark.parametrize("make", [pictures, lambda: OnePicture(*pictures().arrays), Drawn])
@pytest.mark.parametrize("mirror", [[True], [True, False, True], [1, 0], [[True, False]], True, "no"])
def test_mirror_is_a_boolean_for_each_picture_of_any_class(make: Any, mirror: Any) -> None:
    for dataset in (make(), make().take(np.arange(11)), Subset(make(), np.arange(11))):
        with pytest.raises(ShapeError, match=r"mirror has a boolean for each of 2 images, got .* of shape"):
            dataset.batch(np.array([3, 1]), mirror=mirror)


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


@pytest.mark.parametrize("change", [{"batch_size": 3}, {"shuffle": False}, {"drop_last": True}])
def test_a_state_of_other_batches_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    options: dict[str, Any] = {"batch_size": 2, "shuffle": True}
    saved = loader(seed=5, **options)
    next(iter(saved))
    other = loader(**(options | change))
    before = other.state_dict()
    (name, value), *_ = change.items()
    with pytest.raises(MinidlError, match=f"of batches with {name}=.*, and the loader has {name}={value}"):
        other.load_state_dict(saved.state_dict())
    assert other.state_dict() == before


@pytest.mark.parametrize("state", [None, {}, {"seed": 0, "epoch": 0, "position": 0}])
def test_what_is_no_state_of_a_loader_is_refused(state: Any) -> None:
    with pytest.raises(MinidlError, match="expected the state of a loader, got"):
        loader().load_state_dict(state)


def test_a_state_saved_without_the_options_of_the_loader_still_goes_on() -> None:
    batches = loader(6, batch_size=2)
    batches.load_state_dict({"seed": 0, "epoch": 3, "position": 2, "samples": 6})
    assert epoch(batches) == [[4, 5]]


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
    class Squares(Dataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return index**2

    mask = np.array([False, True, False, True])
    assert Squares().batch(mask).tolist() == [1, 9]
    assert [sample.item() for sample in Squares().take(mask)] == [1, 9]
    data = pictures()
    assert_same_batches([data.batch(np.arange(11) > 8)], [data.batch(np.array([9, 10]))])


@pytest.mark.parametrize("device", ["numpy", "strict"])
def test_a_mask_of_another_length_and_numbers_with_a_fraction_choose_nothing(device: str) -> None:
    data = ArrayDataset(np.arange(5)).to(device)
    for use in (lambda indices: Subset(data, indices), data.batch, data.take, Subset(data, np.arange(5)).batch):
        with pytest.raises(ShapeError, match=r"a mask has a boolean for each of the 5 samples, got shape \(3,\)"):
            use(np.array([True, False, True]))
        with pytest.raises(DtypeError, match="expected the numbers of samples, or a mask of booleans, got float64"):
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
    with pytest.raises(MinidlError, match=r"expected the numbers of samples in an order, .* of a set, sorted\(...\)"):
        Subset(ArrayDataset(np.arange(5)), odd)


class BrokenAt(Dataset):
    """Some of eight samples cannot be read."""

    def __init__(self, *broken: int, error: type[BaseException] = OSError) -> None:
        self.broken, self.error = broken, error

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        if index in self.broken:
            raise self.error("disk error")
        return (np.int64(index),)


def with_errors(batches: DataLoader) -> list[Any]:
    """The batches of an epoch, and where the loader says it is after each error."""
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
    assert not [thread for thread in threading.enumerate() if thread.name == "minidl-loader"]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_after_an_error_a_loop_keeps_its_order_and_its_batches(prefetch: int) -> None:
    whole = DataLoader(BrokenAt(), batch_size=2, shuffle=True, seed=3, prefetch=0)
    orders = [[batch.tolist() for (batch,) in whole] for _ in range(2)]
    batches = DataLoader(BrokenAt(5), batch_size=2, shuffle=True, seed=3, prefetch=prefetch)
    loop = iter(batches)
    batches.load_state_dict(batches.state_dict() | {"epoch": 1})  # another loop may be elsewhere
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


def test_after_an_error_on_the_way_to_a_device_the_next_batch_is_the_next(strict: Any) -> None:
    batches = DataLoader(BrokenAt(3), batch_size=2, backend="strict")
    loop, made = iter(batches), []
    for _ in range(4):
        try:
            made.append(backends.to_host(next(loop)[0]).tolist())
        except OSError:
            made.append([])
    assert made == [[0, 1], [], [4, 5], [6, 7]]


@pytest.mark.parametrize("place", ["numpy", "strict"])
def test_a_subset_has_indices_of_its_own(strict: Any, place: str) -> None:
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


class Drawn(Dataset):
    """Samples that are random numbers; as a whole batch if asked for one."""

    mirrors = True

    def __init__(self, length: int = 7) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return md.random.default_rng.random(), index

    def batch(self, indices: Any, mirror: Any = None) -> Any:
        return super().batch(indices)


def numbers(batches: Any) -> list[list[float]]:
    return [backends.to_host(drawn).tolist() for drawn, _ in batches]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_data_set_draws_from_a_generator_of_its_batch(prefetch: int, mirror: bool) -> None:
    def made(seed: int = 3, **options: Any) -> DataLoader:
        return DataLoader(Drawn(), 2, seed=seed, prefetch=prefetch, **options)

    before = md.random.default_rng.state
    one = made(mirror=mirror)
    epochs = [numbers(one), numbers(one)]
    assert md.random.default_rng.state == before
    assert epochs == [numbers(other) for other in [made()] for _ in range(2)]
    assert len({number for part in chain(*epochs, numbers(made(seed=4))) for number in part}) == 3 * 7
    last = made()
    last.load_state_dict(made().state_dict() | {"epoch": 1, "position": 2})
    assert numbers(last) == epochs[1][2:]


def test_a_data_set_draws_the_same_where_batches_go_to_a_device(strict: Any) -> None:
    assert numbers(DataLoader(Drawn(), 2, backend="strict")) == numbers(DataLoader(Drawn(), 2))


def test_loops_side_by_side_and_inside_a_data_set_draw_each_from_their_own() -> None:
    class Outer(Drawn):
        def __getitem__(self, index: int) -> Any:
            first = md.random.default_rng.random()
            inner = numbers(DataLoader(Drawn(3), 2))
            return first + md.random.default_rng.random(), inner[1][0]

    assert numbers(DataLoader(Outer(), 2)) == numbers(DataLoader(Outer(), 2, prefetch=0))
    one, expected = DataLoader(Drawn(), 2), numbers(DataLoader(Drawn(), 2))
    pairs = list(zip(one, one, strict=True))
    assert numbers(first for first, _ in pairs) == numbers(second for _, second in pairs) == expected


def test_a_seed_that_a_data_set_sets_and_its_errors_stay_in_its_batch() -> None:
    class Seeds(Drawn):
        def __getitem__(self, index: int) -> Any:
            md.seed(index)
            if index == 3:
                raise OSError("disk error")
            return md.random.default_rng.random(), md.random.default_rng.state["state"]["inc"] % 7

    before = md.random.default_rng.state
    for prefetch in (0, 2):
        with pytest.raises(OSError, match="disk error"):
            numbers(DataLoader(Seeds(), 2, prefetch=prefetch))
        assert md.random.default_rng.state == before


class Squares(Dataset):
    """Its samples are computed, also those of numbers that there are not."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return index, float(index**2)


@pytest.mark.parametrize("made", [list, np.array, np.uint8, md.tensor])
def test_sample_numbers_are_checked_and_counted_from_the_end_whatever_holds_them(made: Any) -> None:
    with pytest.raises(BoundsError, match="there is no sample 7: the 5 samples have the numbers 0"):
        Squares().batch(made([7]))
    with pytest.raises(BoundsError, match="there is no sample 7"):
        Subset(Squares(), made([1, 7]))
    with pytest.raises(ShapeError, match="along one axis"):
        Squares().batch(made([[0, 1], [2, 3]]))
    if made is not np.uint8:
        assert Squares().batch(made([-1, 1]))[0].tolist() == [4, 1]
        assert Subset(ArrayDataset(np.arange(5)), made([-2])).batch(np.array([0]))[0].tolist() == [3]
