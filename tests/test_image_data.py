"""Images as bytes, mirrored images, and data sets on a device: the same bits wherever a batch is made."""

import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

import minidl as md
from minidl import backends, nn, optim
from minidl.data import ArrayDataset, DataLoader, Dataset, ImageDataset, Subset
from minidl.dataset import mirrored as mirrored_batch
from minidl.errors import MinidlError, ShapeError
from minidl.testing.strict import StrictArray, StrictBackend, StrictModule

from .datasets import Computed, assert_same_batches, loader_threads, pictures
from .devices import EMULATED, GPU

DEVICES = ["strict", EMULATED, GPU]


def loaders(dataset: Dataset, device: str, **options: Any) -> list[DataLoader]:
    """From data on a device, from data copied batch by batch, and from data on the host."""
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
    """The indices of the images that were mirrored in an epoch."""
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
    """An array whose type determines its backend."""


class Sizes(StrictBackend):
    """Counts the bytes copied to the device."""

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
        assert not loader_threads()
    assert len(list(DataLoader(loader.dataset, 2, shuffle=True, mirror=True))) == 6
    assert (sizes.to_device, sizes.bytes, sizes.to_host) == (before[0] + 3, before[1] + 2 * 8 * 11 + 11, before[2])


def test_pictures_on_the_host_go_to_the_device_as_bytes(sizes: Sizes) -> None:
    before = sizes.bytes
    threads = set()
    for images, _ in DataLoader(pictures(), 3, backend="sizes"):
        threads |= {thread.name for thread in threading.enumerate()}
        assert images.nbytes == 4 * images.size
    assert sizes.bytes - before == 11 * (5 * 8 + 4 + 8)  # a byte per pixel, and the targets
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


@pytest.mark.parametrize("device", ["numpy", *DEVICES])
@pytest.mark.parametrize("outside", [11, -12])
def test_numbers_outside_are_errors_on_a_device_too(outside: int, device: str) -> None:
    there = pictures().to(device)
    alone = ImageDataset(pictures().arrays[0], {}).to(device)  # without targets that would reveal it
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
    """The error names the user's class, wherever its samples are."""
    for data, name in ((ArrayDataset(np.zeros(5)), "ArrayDataset"), (Computed(5, float), "Computed")):
        there = data.to("strict")
        for dataset in (data, Subset(data, [1]), data.take(np.arange(3)), there, there.take(np.arange(3))):
            with pytest.raises(MinidlError, match=f"images, and {name} does not declare that it has any: use ImageD"):
                DataLoader(dataset, mirror=True)


class OnePicture(ImageDataset):
    """Reads one image after another."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)


class Drawn(Dataset):
    """Images that are made on access."""

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
        with pytest.raises(ShapeError, match=r"mirror has a boolean for each image, 2 in all, got .* of shape"):
            dataset.batch(np.array([3, 1]), mirror=mirror)
