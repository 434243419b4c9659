"""Arrays of other libraries are converted to NumPy arrays and checked like them, or raise a named error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends, nn, ops, optim
from minidl.data import ArrayDataset, DataLoader, ImageDataset, Subset
from minidl.errors import BackendError, DtypeError, MinidlError, ShapeError
from minidl.nn import Buffer

from .tensors import leaf, matrix

F = nn.functional
LOGITS = np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]], np.float32)


class Column:
    """An array like those of pandas and PyTorch: ``__array__``, a shape and a dtype that is not NumPy's."""

    class Type:
        pass

    def __init__(self, *values: Any, dtype: Any = None) -> None:
        self.values = np.array(values, dtype)
        self.shape, self.ndim, self.dtype = self.values.shape, self.values.ndim, Column.Type()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values.astype(dtype) if dtype is not None else self.values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]


class Bare:
    """An array with only ``__array__``."""

    def __init__(self, *values: Any, dtype: Any = None) -> None:
        self.values = np.array(values, dtype)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values.astype(dtype) if dtype is not None else self.values


class Elsewhere(Column):
    """An array on a device, or one that requires a gradient."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("first bring it to the host")


KINDS = (Column, Bare)
each_kind = pytest.mark.parametrize("kind", KINDS)


def _array(*values: Any, dtype: Any = None) -> Any:
    return np.array(values, dtype)


USES: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "added": lambda of: leaf(1, 2) + of(3.0, 4.0, dtype=np.float32),
    "added to": lambda of: of(3.0, 4.0, dtype=np.float32) + leaf(1, 2),
    "multiplied, integers": lambda of: leaf(1, 2) * of(3, 4),
    "multiplied with integers": lambda of: md.tensor([1, 2]) * of(3.0, 4.5, dtype=np.float32),
    "matrix product": lambda of: leaf(1, 2) @ of(3.0, 4.0, dtype=np.float32),
    "compared": lambda of: leaf(1, 4) == of(1.0, 2.0, dtype=np.float32),
    "an op of it alone": lambda of: F.exp(of(1.0, 2.0)),
    "tensor": lambda of: md.tensor(of(1.0, 2.0)),
    "tensor of another dtype": lambda of: md.tensor(of(1.0, 2.0), np.float32),
    "nested": lambda of: md.tensor([of(1, 2), of(3, 4)]),
    "parameter": lambda of: nn.Parameter(of(1.0, 2.0, dtype=np.float32)),
    "condition": lambda of: F.where(of(True, False), leaf(1, 2), of(3.0, 4.0, dtype=np.float32)),
    "condition of the op": lambda of: ops.Where.apply(leaf(1, 2), 0, condition=of(True, False)),
    "index": lambda of: leaf(1, 2, 3)[of(2, 0)],
    "mask": lambda of: leaf(1, 2, 3)[of(True, False, True)],
    "index of two axes": lambda of: md.tensor(LOGITS)[of(0, 1), of(2, 2)],
    "labels": lambda of: F.softmax_cross_entropy(md.tensor(LOGITS), of(0, 2)),
    "labels of the op": lambda of: ops.SoftmaxCrossEntropy.apply(md.tensor(LOGITS), labels=of(0, 2)),
    "labels to ignore": lambda of: F.softmax_cross_entropy(md.tensor(LOGITS), of(-100, 2), ignore_index=-100),
    "targets": lambda of: F.mse_loss(leaf(1, 2), of(3.0, 4.0)),
    "targets of arrays": lambda of: F.l1_loss(np.ones(2), of(3.0, 4.0)),
    "probabilities": lambda of: F.binary_cross_entropy_with_logits(leaf(1, 2), of(1, 0)),
}


@each_kind
@pytest.mark.parametrize("use", USES)
def test_it_counts_as_the_array_that_it_gives(use: str, kind: Any) -> None:
    if (use, kind) == ("added to", Bare):
        kind = Column
    got, expected = USES[use](kind), USES[use](_array)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got.numpy(), expected.numpy())


@each_kind
def test_labels_and_targets_are_checked(kind: Any) -> None:
    with pytest.raises(ShapeError, match=r"labels must lie in 0 \.\.\. 2 for 3 classes, got 0 \.\.\. 7"):
        F.softmax_cross_entropy(md.tensor(LOGITS), kind(0, 7))
    with pytest.raises(DtypeError, match=r"integer class labels, got float64"):
        F.softmax_cross_entropy(md.tensor(LOGITS), kind(0.0, 1.0))
    with pytest.raises(ShapeError, match=r"expected labels of shape \(2,\), got \(3,\)"):
        F.softmax_cross_entropy(md.tensor(LOGITS), kind(0, 1, 1))
    with pytest.raises(ShapeError, match=r"targets must lie in 0 \.\.\. 1, got 0 \.\.\. 2"):
        F.binary_cross_entropy_with_logits(leaf(1, 2), kind(0, 2))
    with pytest.raises(DtypeError, match="an array of float64 meets tensors of float32"):
        leaf(1, 2) + kind(1.0, 2.0)
    with pytest.raises(DtypeError, match="expected numbers or booleans"):
        md.tensor(kind("a", "b"))


@each_kind
def test_what_goes_to_a_device_is_checked_on_the_host(kind: Any) -> None:
    logits = md.tensor(LOGITS, backend="strict")
    with pytest.raises(ShapeError, match="labels must lie in"):
        F.softmax_cross_entropy(logits, kind(0, 7))
    for of in (kind, _array, lambda *values: md.tensor(list(values)), lambda *values: list(values)):
        with pytest.raises(ShapeError, match="targets must lie in"):
            F.binary_cross_entropy_with_logits(logits[0], of(0, 2, 0))
        F.binary_cross_entropy_with_logits(logits[0], of(0, 1, 0))
    assert F.softmax_cross_entropy(logits, kind(0, 2)).backend.name == "strict"
    assert (logits[0] + kind(1, 2, 3)).numpy().tolist() == [1, 3, 5]
    assert md.tensor(kind(1.0, 2.0), backend="strict").numpy().tolist() == [1, 2]


@each_kind
def test_its_memory_is_its_own(kind: Any) -> None:
    """A change before the backward pass has no effect, because a tensor is a copy."""
    factor, condition, x = kind(3.0, 4.0, dtype=np.float32), kind(True, False), leaf(1, 2)
    y = F.where(condition, x * factor, x)
    copied = md.tensor(factor)
    factor.values[...], condition.values[...] = 0, True
    y.sum().backward()
    assert x.grad.tolist() == [3, 1]
    assert copied.numpy().tolist() == [3, 4]


@each_kind
def test_data_sets_of_it(kind: Any) -> None:
    data = ArrayDataset(kind(1.0, 2.0, 3.0), {"y": kind(4, 5, 6)})
    (x, y), = list(DataLoader(data, batch_size=3, shuffle=False))  # fmt: skip
    assert (x.tolist(), y["y"].tolist()) == ([1, 2, 3], [4, 5, 6])
    assert Subset(data, kind(2, 0))[0][0] == Subset(data, kind(False, False, True))[0][0] == 3
    pictures = ImageDataset(kind(*np.zeros((2, 2, 2, 1)), dtype=np.uint8), kind(0, 1))
    assert pictures.batch(kind(1), mirror=kind(True))[1].tolist() == [1]
    assert pictures.batch(kind(1))[0].dtype == np.float32


@each_kind
def test_a_state_and_a_seed_of_it(kind: Any) -> None:
    layer, x = nn.Dense(1, 2), leaf(1, 2)
    layer.load_state_dict({"w": kind([1.0, 2.0]), "b": kind(3.0, 4.0)})
    assert layer.w.numpy().tolist() == [[1, 2]]
    (x * 2).backward(kind(1.0, 2.0))
    assert x.grad.tolist() == [2, 4]


CONVERSIONS = {
    "tensor": md.tensor,
    "operand": lambda x: leaf(1, 2) + x,
    "alone": F.exp,
    "labels": lambda x: F.softmax_cross_entropy(md.tensor(LOGITS), x),
    "targets": lambda x: F.mse_loss(leaf(1, 2), x),
    "index": lambda x: leaf(1, 2)[x],
    "condition": lambda x: F.where(x, leaf(1, 2), 0),
    "seed": lambda x: (leaf(1, 2) * 2).backward(x),
    "data": ArrayDataset,
    "state": lambda x: nn.Dense(1, 2).load_state_dict({"w": x, "b": x}),
}


@pytest.mark.parametrize("use", CONVERSIONS)
def test_one_that_gives_no_array_is_named(use: str) -> None:
    with pytest.raises(
        BackendError, match=r"tests\.Elsewhere cannot be converted to a NumPy array \(first bring it to the host\)"
    ):
        CONVERSIONS[use](Elsewhere(1, 2))


def test_layers_with_weights_want_a_tensor() -> None:
    for layer in (nn.Dense(2, 1), nn.Conv2D(1, 1, 1), nn.Flatten()):
        with pytest.raises(MinidlError, match=r"expected a tensor, got tests\.Column: use md\.tensor"):
            layer(Column([1.0, 2.0]))


class Returns(ops.Add):
    """The identity, whose forward or backward pass returns another array."""

    def __init__(self, forward: Any = None, backward: Any = None) -> None:
        self.output_array, self.gradient = forward, backward

    def forward(self, x: Any) -> Any:  # type: ignore[override]
        return x if self.output_array is None else self.output_array

    def backward(self, dy: Any) -> Any:
        return (dy if self.gradient is None else self.gradient,)


def restored(m: Any) -> md.Tensor:
    """A parameter after a step of Adam that continues from the running mean ``m``."""
    w = md.tensor(np.zeros(m.shape, np.float32), requires_grad=True)
    w.grad = np.ones(m.shape, np.float32)
    optimizer = optim.Adam([w])
    state = {"m": m, "v": np.ones(m.shape, np.float32), "t": 1}
    optimizer.load_state_dict({"class": "Adam", "steps": 1, "lr": 0.1, "state": {"0": state}})
    optimizer.step()
    return w


def loaded(w: Any) -> md.Tensor:
    layer = nn.Dense(2, 2)
    layer.load_state_dict({"w": w, "b": np.zeros(2)})
    return layer.w


A = np.array([[1, 2], [3, 4]], np.float32)
HELD: dict[str, Callable[[Any], md.Tensor]] = {
    "Tensor": md.Tensor,
    "tensor": md.tensor,
    "Parameter": nn.Parameter,
    "Buffer": Buffer,
    "the output of an op": lambda a: Returns.apply(md.ones(2, 2), forward=a),
    "loaded weights": loaded,
    "initial weights": lambda a: nn.Dense(2, 2, initializer=lambda shape, rng: a).w,
    "a restored state": restored,
    "a factor": lambda a: md.ones(2, 2) * a,
    "targets": lambda a: F.mse_loss(md.zeros(2, 2), a),
}


@pytest.mark.parametrize("kind", [matrix, lambda a: a.view(np.recarray)], ids=["matrix", "recarray"])
@pytest.mark.parametrize("held", HELD)
def test_a_tensor_holds_a_plain_array(held: str, kind: Any) -> None:
    """A product with a matrix would be a matrix product."""
    x, expected = HELD[held](kind(A)), HELD[held](A).numpy()
    assert type(x.data) is np.ndarray
    np.testing.assert_array_equal((x * x).numpy(), expected * expected)


def test_a_gradient_is_a_plain_array() -> None:
    x = md.tensor(A, requires_grad=True)
    (Returns.apply(x * A, backward=matrix(A))).sum().backward()
    assert type(x.grad) is np.ndarray
    np.testing.assert_array_equal(x.grad, A * A)


def test_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "numbers", np.float32, "w+", shape=(2, 2))
    x = md.Tensor(mapped)
    assert type(x.data) is np.ndarray
    assert np.shares_memory(x.data, mapped)


def test_arrays_stay_themselves() -> None:
    for value in (np.ones(2), np.float32(1), [1.0], 2, None, backends.get("strict").asarray([1.0])):
        assert backends.native(value) is value


@pytest.mark.parametrize(
    "use",
    [
        md.tensor,
        lambda x: md.ones(2) * x,
        lambda x: (md.ones(2, requires_grad=True) * 2).backward(x),
        lambda x: F.mse_loss(md.ones(2), x),
        md.data.ArrayDataset,
        lambda x: md.data.collate([x, x]),
        md.Tensor,
        nn.Parameter,
        Buffer,
        lambda x: Returns.apply(md.ones(2), forward=x),
        lambda x: Returns.apply(leaf(1, 2), backward=x).sum().backward(),
        lambda x: nn.Dense(2, 1).load_state_dict({"w": x.reshape(2, 1), "b": np.zeros(1)}),
        lambda x: nn.Dense(1, 2, initializer=lambda shape, rng: x.reshape(shape)),
        lambda x: restored(x),
    ],
)
def test_the_mask_of_an_array_is_not_lost_unasked(use: Any) -> None:
    masked = np.ma.array(np.float32([1, 999]), mask=[False, True])
    with pytest.raises(DtypeError, match=r"a masked array has missing values: np.ma.filled\(x, 0\)"):
        use(masked)
