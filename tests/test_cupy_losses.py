"""CuPy's loss kernels against NumPy, on the emulated GPU and on a real one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, ops
from minidl.kernels.cupy import loss as losses

from .captures import Network, trainer
from .devices import launches_of
from .kernels import SLOW, values

F = nn.functional

LOSSES: dict[str, Callable[..., md.Tensor]] = {
    "BinaryCrossEntropyWithLogits": F.binary_cross_entropy_with_logits,
    "L1Loss": F.l1_loss,
    "MSELoss": F.mse_loss,
    "HuberLoss": lambda a, b: F.huber_loss(a, b, 0.7),
}
TOLERANCES = {np.float32: 2e-6, np.float64: 1e-14}
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0]


def results(call: Callable[..., md.Tensor], arrays: Any, backend: str) -> list[Any]:
    """A loss and its gradients with respect to all predictions."""
    tensors = [md.tensor(array, requires_grad=True, backend=backend) for array in arrays]
    with np.errstate(all="ignore"):
        loss = call(*tensors)
        (3 * loss).backward()
    assert loss.shape == ()
    assert [x.grad.shape for x in tensors] == [x.shape for x in tensors]
    assert all(x.grad.dtype == x.dtype == loss.dtype for x in tensors)
    return [loss.numpy(), *(x.backend.to_numpy(x.grad) for x in tensors)]


def require_equal(call: Callable[..., md.Tensor], arrays: Any, device: Any) -> None:
    """Compare a loss on the device and its gradients with NumPy; NaN must be in the same places."""
    tolerance = TOLERANCES[arrays[0].dtype.type]
    for got, expected in zip(results(call, arrays, device.name), results(call, arrays, "numpy"), strict=True):
        least = tolerance * np.abs(expected, where=np.isfinite(expected), out=np.zeros_like(expected)).max()
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=least)


def predictions(kind: str, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    """Predictions: some equal to the targets, some far from them, some NaN."""
    x = values(*shape, seed=seed).astype(dtype)
    if kind == "ties":
        x = np.round(x)
    if kind == "far":
        x = np.copysign(dtype(1e4), x)
    if kind == "special":
        some = np.random.default_rng(seed).choice([*SPECIAL, 1.0], size=shape).astype(dtype)
        x = np.where(np.random.default_rng(seed + 7).random(shape) < 0.5, some, x)
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["ordinary", "ties", "far"])
@pytest.mark.parametrize("shape", [(), (1,), (33, 1), (5, 4, 3), (701, 33)])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_elements(name: str, shape: Any, kind: str, dtype: Any, device: Any) -> None:
    a, b = predictions(kind, shape, dtype), predictions(kind, shape, dtype, seed=1)
    if name == "BinaryCrossEntropyWithLogits":
        targets = np.clip(b, 0, 1)
        require_equal(lambda x: LOSSES[name](x, targets), [a], device)
    else:
        require_equal(LOSSES[name], [a, b], device)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_no_number_passes_through_losses_one_by_one(name: str, device: Any) -> None:
    for special in SPECIAL:
        a, b = np.array([special, 0.5], np.float32), np.array([1, 0], np.float32)
        require_equal(lambda x: LOSSES[name](x, b), [a], device)  # noqa: B023


@pytest.mark.parametrize(
    ("shape", "forward"), [((64, 10), 1), ((701, 33), 2)], ids=["in one block", "in parts that are added up"]
)
def test_how_many_launches_a_loss_takes(shape: Any, forward: int, device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = values(*shape), np.zeros(shape[0], np.int64)
    for call in (lambda x: F.mse_loss(x, np.zeros_like(x.numpy())), lambda x: F.softmax_cross_entropy(x, labels)):
        launched = launches_of(monkeypatch, losses)
        results(call, [x], device.name)
        assert len(launched) == forward + 1
        assert launched[1:-1] == ["add_up<float>"] * (forward - 1)


def test_columns_first(device: Any) -> None:
    a, b = np.asfortranarray(values(9, 70)), values(9, 70, seed=1)
    for call in (F.l1_loss, lambda a, b: F.softmax_cross_entropy(a, np.arange(9)) + F.mse_loss(a, b)):
        require_equal(call, [a, b], device)


class Halved(ops.L1Loss):
    def value(self, a: Any, b: Any) -> Any:
        return super().value(a, b) / 2

    def slope(self, a: Any, b: Any) -> Any:
        return super().slope(a, b) / 2


def test_a_subclass_computes_what_it_says(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = launches_of(monkeypatch, losses)
    require_equal(Halved.apply, [values(5, 2), values(5, 2, seed=1)], device)
    assert launched == []
    require_equal(ops.L1Loss.apply, [values(5, 2), values(5, 2, seed=1)], device)
    assert launched == ["mean_loss<float, L1Loss>", "mean_loss_backward<float, L1Loss>"]


def test_every_elementwise_loss_has_a_kernel() -> None:
    found = [
        cls for cls in vars(ops.loss).values() if isinstance(cls, type) and issubclass(cls, ops.loss.ElementwiseLoss)
    ]
    assert {cls.__name__ for cls in found if not cls.cuda_name} == {"ElementwiseLoss", "Distance"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["ordinary", "ties", "far", "special"])
@pytest.mark.parametrize("shape", [(1, 2), (7, 3), (9, 33), (65, 2), (701, 41)])
def test_softmax_cross_entropy(shape: Any, kind: str, dtype: Any, device: Any) -> None:
    N, classes = shape
    labels = np.random.default_rng(2).integers(classes, size=N)
    require_equal(lambda x: F.softmax_cross_entropy(x, labels), [predictions(kind, shape, dtype)], device)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_labels_of_any_integers(dtype: Any, device: Any) -> None:
    labels = device.asarray(np.array([2, 0, 1, 2], dtype))
    loss, _ = device.softmax_cross_entropy(device.asarray(values(4, 3)), labels)
    expected, _ = SLOW.softmax_cross_entropy(values(4, 3), np.array([2, 0, 1, 2]))
    np.testing.assert_allclose(device.to_numpy(loss), expected, rtol=1e-6)


def test_labels_that_are_no_classes(device: Any) -> None:
    logits, labels, dy = values(6, 3), np.array([-1, 0, 3, 2**40, -(2**40), 2]), np.ones((), np.float32)
    loss, saved = device.softmax_cross_entropy(device.asarray(logits), device.asarray(labels))
    dx = device.softmax_cross_entropy_backward(saved, device.asarray(dy))
    expected, saved = SLOW.softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(device.to_numpy(loss), expected, rtol=1e-6)
    expected = SLOW.softmax_cross_entropy_backward(saved, dy)
    np.testing.assert_allclose(device.to_numpy(dx), expected, rtol=1e-5, atol=1e-7)


def test_losses_repeat_bit_for_bit(device: Any) -> None:
    a, labels = values(700, 41), np.arange(700) % 41
    for call in (lambda x: F.softmax_cross_entropy(x, labels), lambda x: F.mse_loss(x, np.zeros_like(a))):
        first, second = (results(call, [a], device.name) for _ in range(2))
        assert [array.tobytes() for array in first] == [array.tobytes() for array in second]


def test_half_precision_takes_the_reference(device: Any) -> None:
    a, labels = values(5, 3).astype(np.float16), np.array([0, 2, 1, 1, 0])
    for call in (lambda x: F.softmax_cross_entropy(x, labels), lambda x: F.mse_loss(x, np.zeros_like(a))):
        for got, expected in zip(results(call, [a], device.name), results(call, [a], "numpy"), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.int8, np.int64])
@pytest.mark.parametrize("ignored", [-100, 2])
def test_ignored_labels(ignored: int, dtype: Any, device: Any) -> None:
    for shape in ((7, 3), (701, 41)):
        labels = np.random.default_rng(2).integers(3, size=shape[0]).astype(dtype)
        labels[::3] = ignored

        def loss(x: md.Tensor, labels: Any = labels) -> md.Tensor:
            return F.softmax_cross_entropy(x, labels, ignore_index=ignored)

        require_equal(loss, [predictions("ordinary", shape, np.float32)], device)


def test_the_loss_of_ignored_labels_alone_is_no_number_on_a_device(device: Any) -> None:
    x = md.tensor(values(4, 3), backend=device.name)
    labels = md.tensor(np.full(4, -100), backend=device.name)
    with np.errstate(all="ignore"):
        assert np.isnan(F.softmax_cross_entropy(x, labels, ignore_index=-100).item())


def test_a_captured_loss_knows_which_labels_do_not_count(device: Any) -> None:
    batches = [
        (device.asarray(values(4, 3, seed=seed)), device.asarray(np.array(labels)))
        for seed, labels in enumerate([[0, -1, 1, 0], [1, 1, -1, -1], [-1, 0, 0, 0]])
    ]
    trained = []
    for capturing in (True, False):
        model = Network(nn.Dense(3, 2, rng=md.Generator(0)))
        one = trainer(device, model, nn.SoftmaxCrossEntropy(ignore_index=-1), capturing)
        one.metrics = {}
        for batch in batches:
            one.train_step(*batch)
        assert one.captured.replays == capturing, one.captured.reason
        trained.append(one.model.state_dict())
    for name, value in trained[0].items():
        np.testing.assert_array_equal(value, trained[1][name])
