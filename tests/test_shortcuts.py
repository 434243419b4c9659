"""A fast path is skipped where a subclass overrides a method it stands for: each test fails without that check."""

from typing import Any

import numpy as np
import pytest

import minidl as md
from agegender.data.faces import Faces, Record
from minidl import backends, dataset, nn, ops, optim
from minidl.data import ArrayDataset, DataLoader, Dataset, ImageDataset, Subset
from minidl.errors import GraphError, ShapeError
from minidl.kernels.conv import ConvSpec
from minidl.kernels.conv.algorithm import PASSES
from minidl.kernels.window import sliding_window
from minidl.shortcuts import definer
from minidl.testing import check_conv_algorithm, check_dataset

from .kernels import ON_A_GPU

F = nn.functional
NUMBERS = np.arange(6, dtype=np.float32)
PICTURES = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)


class More(ArrayDataset):
    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x + 100, y


class MorePictures(ImageDataset):
    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x + 100, y


class MoreOfSome(Subset):
    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x + 100, y


class MoreFaces(Faces):
    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x + 100, y


def faces(cls: type[Faces] = MoreFaces) -> Faces:
    pixels = np.arange(6 * 128 * 128).reshape(6, 128, 128).astype(np.uint8)
    return cls.from_records(pixels, [Record("a.jpg", i, 1, -1, str(i)) for i in range(6)], source="nowhere")


DATA = {
    "arrays": lambda: More(NUMBERS, NUMBERS),
    "pictures": lambda: MorePictures(PICTURES, NUMBERS),
    "subset of arrays": lambda: MoreOfSome(ArrayDataset(NUMBERS, NUMBERS), np.arange(6)),
    "subset of pictures": lambda: MoreOfSome(ImageDataset(PICTURES, NUMBERS), np.arange(6)),
    "subset of a device": lambda: MoreOfSome(ArrayDataset(NUMBERS, NUMBERS).to("strict"), np.arange(6)),
    "plain subset": lambda: Subset(More(NUMBERS, NUMBERS), np.arange(6)),
    "faces": faces,
}


@pytest.mark.parametrize("make", DATA.values(), ids=DATA.keys())
def test_batches_have_the_samples_of_a_subclass(make: Any) -> None:
    data: Dataset = make()
    indices = np.array([4, 1])
    wanted = np.stack([backends.to_host(data[4][0]), backends.to_host(data[1][0])])
    assert wanted.min() >= 100
    there = data.to("strict")
    for batch in (
        data.batch(indices),
        data.take(indices).batch(np.arange(2)),
        data.take(np.arange(6)).take(indices).batch(np.arange(2)),
        there.batch(indices),
        next(iter(DataLoader(Subset(data, indices), batch_size=2))),
        next(iter(DataLoader(Subset(data, indices), batch_size=2, backend="strict"))),
    ):
        np.testing.assert_array_equal(backends.to_host(batch[0]), wanted)
    assert {type(part) for part in (there.batch(indices)[0], data.to("strict").take(indices).batch([0])[0])} == {
        backends.get("strict").array_type
    }
    assert backends.of(data.batch(indices)[0]) is data.backend


@pytest.mark.parametrize("make", [*DATA.values(), lambda: faces(Faces)], ids=[*DATA, "plain faces"])
def test_a_data_set_is_where_it_is(make: Any) -> None:
    data: Dataset = make()
    assert data.to(data.backend.name) is data


def test_a_take_of_ones_own_may_return_the_same_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(More, "take", lambda self, rows: More(*(array[rows] for array in self.arrays)), raising=False)
    there = More(NUMBERS, NUMBERS).to("strict")
    assert backends.to_host(there.batch([4])[0]).tolist() == [104]


@pytest.mark.parametrize("name", ["pictures", "subset of pictures", "faces"])
@pytest.mark.parametrize("backend", ["numpy", "strict"])
def test_the_pictures_of_a_subclass_are_mirrored(name: str, backend: str) -> None:
    data = DATA[name]()
    loader = DataLoader(data, batch_size=6, mirror=True, backend=backend, seed=1)
    mirror = loader.mirrored()
    assert 0 < mirror.sum() < 6
    images = backends.to_host(next(iter(loader))[0])
    for image, turned, number in zip(images, mirror, range(6), strict=True):
        one = data[number][0]
        np.testing.assert_array_equal(image, one[:, ::-1] if turned else one)


def test_samples_without_a_picture_cannot_be_mirrored() -> None:
    class Flat(ImageDataset):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)[0].ravel(), 1

    with pytest.raises(ShapeError, match="are tuples of an image"):
        next(iter(DataLoader(Flat(PICTURES, NUMBERS), mirror=True)))


class Halves:
    """A mixin for data sets."""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)  # type: ignore[misc]
        return x / 2, y


class Again(ArrayDataset):
    """Inherits the batches of its base, explicitly."""

    def batch(self, indices: Any) -> Any:
        return super().batch(indices)


def test_samples_of_a_mixin_are_those_of_its_batches() -> None:
    """Also behind a class that overrides only ``batch`` and does not know the mixin."""

    class Before(Halves, ArrayDataset): ...

    class Behind(Again, Before): ...

    for cls in (Before, Behind):
        assert cls(NUMBERS, NUMBERS)[4][0] == 2
        assert cls(NUMBERS, NUMBERS).batch([4])[0].tolist() == [2]


def test_samples_of_the_class_that_were_replaced_count_for_who_replaces_both(monkeypatch: pytest.MonkeyPatch) -> None:
    class Both(ArrayDataset):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)

        def batch(self, indices: Any) -> Any:
            return super().batch(indices)

    class Behind(Both): ...

    plain = ArrayDataset.__getitem__
    assert Behind(NUMBERS).batch([4])[0].tolist() == [4]
    monkeypatch.setattr(dataset._Stored, "__getitem__", lambda self, index: tuple(x + 100 for x in plain(self, index)))
    assert Behind(NUMBERS).batch([4])[0].tolist() == [104]


def test_the_data_sets_of_subclasses_pass_the_kit() -> None:
    for data in (More(NUMBERS, NUMBERS), MorePictures(PICTURES, NUMBERS)):
        assert check_dataset(data).count("failed") == 0


@pytest.mark.parametrize("base", [ArrayDataset, ImageDataset])
def test_who_replaces_batches_too_may_ask_for_those_of_the_base(base: Any) -> None:
    class Both(base):  # type: ignore[misc]
        def __getitem__(self, index: int) -> Any:
            x, y = base.__getitem__(self, index)
            return x + 100, y

        def batch(self, indices: Any) -> Any:
            x, y = super().batch(indices)
            return x + 100, y

    first = PICTURES if base is ImageDataset else NUMBERS
    wanted = base(first, NUMBERS).batch(np.array([4, 1]))[0] + 100
    np.testing.assert_array_equal(Both(first, NUMBERS).batch(np.array([4, 1]))[0], wanted)


def test_a_batch_of_ones_own_is_asked_where_a_subclass_replaces_samples() -> None:
    class Halves(ArrayDataset):
        def batch(self, indices: Any) -> Any:
            x, y = super().batch(indices)
            return x / 2, y

    class MoreHalves(Halves):
        def __getitem__(self, index: int) -> Any:
            x, y = super().__getitem__(index)
            return x + 100, y

    assert MoreHalves(NUMBERS, NUMBERS).batch(np.array([4]))[0].item() == 52


def test_what_a_subset_takes_are_its_batches() -> None:
    class Halves(Subset):
        def batch(self, indices: Any) -> Any:  # type: ignore[override]
            x, y = super().batch(indices)
            return x / 2, y

    data = Halves(ArrayDataset(NUMBERS, NUMBERS), [5, 4])
    for batch in (data.take([1]).batch([0]), data.to("strict").batch([1])):
        assert backends.to_host(batch[0]).item() == 2


def test_faces_on_a_device_are_those_of_a_batch_of_ones_own() -> None:
    class Dark(Faces):
        def batch(self, indices: Any, mirror: Any = None) -> Any:
            x, y = super().batch(indices, mirror)
            return x * 0, y

    assert not backends.to_host(faces(Dark).to("strict").batch([1])[0]).any()


# Convolution


def replaced(base: Any, method: str) -> Any:
    """An algorithm pass that returns twice the result."""
    original = getattr(base, method)

    def twice(self: Any, *arguments: Any) -> Any:
        given = original(self, *arguments)
        return (2 * given[0], given[1]) if method == "forward" else 2 * given

    return twice


def both_ways(algorithm: Any, backend: Any) -> tuple[list[Any], list[Any]]:
    """y, dx, dw and db from the fused pooling of the algorithm, and from the composition."""
    rng = np.random.default_rng(0)
    sizes = ((2, 6, 6, 4), (3, 3, 4, 4), 4, (2, 2, 2, 4))
    x, w, b, dy = (backend.asarray(rng.normal(size=size).astype(np.float32)) for size in sizes)
    spec = ConvSpec(2, 4, 4, sliding_window(6, 6, 3, 1, 0), np.dtype(np.float32))
    pool = sliding_window(4, 4, 2, 2, 0)
    results = []
    passes = (algorithm.forward_pooled, algorithm.backward_pooled)
    for forward, backward in (passes, (algorithm._forward_composed, algorithm._backward_composed)):
        y, pooled = forward(x, w, b, spec, pool, True)
        gradients = backward(dy, pooled, (True, True, True))
        results.append([backend.to_numpy(array) for array in (y, *gradients)])
    return results[0], results[1]


@pytest.mark.parametrize("method", PASSES)
@pytest.mark.parametrize("name", ["im2col", "shifted", "winograd", "gemm", "first_layer", "implicit_gemm"])
@pytest.mark.parametrize("where", ["subclass", "object", "class", "definer"])
def test_a_pass_that_was_replaced_counts_where_it_is_pooled(
    name: str, method: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backends.get("emulated" if name in ON_A_GPU else "numpy")
    base = md.plugins.get("conv_algorithm", name)
    twice = replaced(base, method)
    algorithm = base(backend)
    plain, composed = both_ways(algorithm, backend)
    if where == "subclass":
        algorithm = type("Twice", (base,), {method: twice})(backend)
    elif where == "object":
        monkeypatch.setattr(algorithm, method, twice.__get__(algorithm))
    else:
        monkeypatch.setattr(base if where == "class" else definer(base, method), method, twice)
    got, wanted = both_ways(algorithm, backend)
    changes = [not np.allclose(one, other) for one, other in zip(got, plain, strict=True)]
    assert changes[PASSES.index(method)], "or else this shows nothing"
    for one, other in zip([*got, *plain], [*wanted, *composed], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_an_algorithm_that_is_derived_from_a_fast_one_passes_the_kit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rounded(md.plugins.get("conv_algorithm", "im2col")):  # type: ignore[misc]
        def forward(self, *arguments: Any) -> Any:
            calls.append(arguments)
            return super().forward(*arguments)

    calls: list[Any] = []
    assert check_conv_algorithm(Rounded).count("failed") == 0
    monkeypatch.setitem(md.plugins._registered["conv_algorithm"], "rounded", Rounded)
    calls.clear()
    nn.Sequential(nn.Conv2D(1, 2, 3, algorithm="rounded"), nn.ReLU(), nn.MaxPooling2D(2))(IMAGES)
    assert len(calls) == 1


# Layers


IMAGES = md.tensor(np.random.default_rng(0).normal(size=(1, 6, 6, 1)).astype(np.float32))


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2D(1, 2, 3, rng=md.Generator(0)), nn.ReLU(), nn.MaxPooling2D(2))


@pytest.mark.parametrize("number", range(3))
def test_layers_with_a_forward_of_their_own_are_not_fused(number: int) -> None:
    model = layers()
    assert model(IMAGES).op.name == "Conv2DReLUMaxPool2D"
    forward, seen = model[number].forward, []

    def spy(x: Any) -> Any:
        seen.append(x.shape)
        return forward(x)

    model[number].forward = spy  # type: ignore[method-assign]
    model(IMAGES)
    assert len(seen) == 1
    del model[number].forward  # type: ignore[attr-defined]
    assert model(IMAGES).op.name == "Conv2DReLUMaxPool2D"


@pytest.mark.parametrize("cls", [nn.Conv2D, nn.ReLU, nn.MaxPooling2D])
def test_classes_with_another_forward_are_not_fused(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, forward, seen = layers(), cls.forward, []

    def spy(self: Any, x: Any) -> Any:
        seen.append(x.shape)
        return forward(self, x)

    with monkeypatch.context() as patched:
        patched.setattr(cls, "forward", spy)
        model(IMAGES)
    assert len(seen) == 1
    assert model(IMAGES).op.name == "Conv2DReLUMaxPool2D"


REPLACED = {
    "the backward pass of an op": (ops.ReLU, "backward", lambda self, dy: (np.maximum(dy, 0) * (self.saved[0] > 0),)),
    "the forward pass of an op": (ops.MaxPool2D, "forward", ops.AvgPool2D.forward),
    "an op": (ops, "ReLU", ops.Tanh),
    "what a layer applies": (nn.ReLU, "function", staticmethod(F.tanh)),
    "a function": (F, "max_pool2d", F.avg_pool2d),
}


@pytest.mark.parametrize(("owner", "name", "other"), REPLACED.values(), ids=REPLACED)
def test_layers_are_not_fused_where_what_they_ask_for_was_replaced(
    owner: Any, name: str, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, found = layers(), []
    with monkeypatch.context() as patched:
        if name == "forward":
            patched.setattr(owner, "backward", ops.AvgPool2D.backward)
        patched.setattr(owner, name, other)
        for fusion in (True, False):
            x = md.tensor(IMAGES, requires_grad=True)
            with md.using(fusion=fusion):
                y = model(x)
            (y * y - 9 * y).sum().backward()  # of either sign
            found.append((y.numpy(), x.grad))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert model(IMAGES).op.name == "Conv2DReLUMaxPool2D"


# Optimizers and losses


@pytest.mark.parametrize("cls", [optim.Adam, optim.AdamW])
@pytest.mark.parametrize("where", ["subclass", "object", "class"])
def test_an_update_that_was_replaced_counts(cls: Any, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def update(self: Any, param: Any, grad: Any, state: Any) -> None:
        param -= self.lr * grad

    if where == "class":
        monkeypatch.setattr(optim.Adam, "update", update)
    elif where == "subclass":
        cls = type("Plain", (cls,), {"update": update})
    w = md.tensor([1.0], requires_grad=True)
    optimizer = cls([w], lr=0.25)
    if where == "object":
        optimizer.update = update.__get__(optimizer)  # type: ignore[attr-defined]
    (w * w).sum().backward()
    optimizer.step()
    assert w.item() == 0.5


class Doubled(ops.BinaryCrossEntropyWithLogits):
    def value(self, x: Any, t: Any) -> Any:
        return 2 * super().value(x, t)

    def slope(self, x: Any, t: Any) -> Any:
        return 2 * super().slope(x, t)


def test_targets_of_another_cross_entropy_have_no_gradient_unless_it_says_so() -> None:
    class Complete(Doubled):
        def backward(self, dy: Any) -> Any:
            x, t = self.saved
            return self.slope(x, t) * (dy / x.size), -2 * x * (dy / x.size)

    class Renamed(ops.BinaryCrossEntropyWithLogits):
        pass

    x, t = md.tensor([0.5], requires_grad=True), md.tensor([0.3], requires_grad=True)
    with pytest.raises(GraphError, match=r"Doubled: value or slope .* targets\.detach\(\)"):
        Doubled.apply(x, t).backward()
    Doubled.apply(x, t.detach()).backward()
    for cls, wanted in ((Complete, -1.0), (Renamed, -0.5)):
        t.zero_grad()
        cls.apply(x, t).backward()
        assert t.grad is not None
        assert t.grad.item() == wanted
