"""Inputs without a derivative, elements or valid labels: PyTorch's result, or a named error."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, ops
from minidl.errors import DtypeError, GraphError, MinidlError, ShapeError

F = nn.functional
LOGITS = np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0], [1.0, 2.0, 0.0]], np.float32)


def empty(*shape: int) -> md.Tensor:
    return md.tensor(np.zeros(shape, np.float32), requires_grad=True)


# Gradients that are invented or lost


def test_a_conversion_to_integers_has_no_gradient() -> None:
    x = md.tensor([1.5, 2.5], requires_grad=True)
    for dtype in (np.int64, np.uint8, bool):
        y = x.astype(dtype)
        assert not y.requires_grad
        with pytest.raises(GraphError, match="nothing to differentiate"):
            (y.astype(np.float32) * 2).sum().backward()
    (x.astype(np.float64) * 2).sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 2])


SLOPES = {
    F.binary_cross_entropy_with_logits: [-2.0, 1.0],
    F.l1_loss: [-1.0, 1.0],
    F.mse_loss: [-3.0, 2.5],
    F.huber_loss: [-1.0, 1.0],
}
"""n times the derivative of the loss by the targets 0.5 and 0.25, for the predictions 2 and -1."""


@pytest.mark.parametrize("loss", SLOPES)
def test_targets_that_want_a_gradient_get_it(loss: Callable[..., md.Tensor]) -> None:
    targets = md.tensor([0.5, 0.25], requires_grad=True)
    loss(md.tensor([2.0, -1.0]), targets).backward()
    np.testing.assert_allclose(targets.grad, np.array(SLOPES[loss]) / 2)


@pytest.mark.parametrize("kernel", ["numpy", "strict"])
def test_max_pooling_sends_no_gradient_into_the_padding(kernel: str) -> None:
    for value in (-np.inf, np.nan):
        x = md.tensor(np.full((1, 2, 2, 1), value, np.float32), requires_grad=True, backend=kernel)
        F.max_pool2d(x, 2, padding=1).sum().backward()
        np.testing.assert_array_equal(x.backend.to_numpy(x.grad), np.ones((1, 2, 2, 1)))


def test_max_pooling_of_minus_infinity_goes_to_the_first_pixel_as_in_pytorch() -> None:
    x = md.tensor(np.full((1, 3, 3, 1), -np.inf, np.float32), requires_grad=True)
    F.max_pool2d(x, 3, stride=2, padding=1).sum().backward()
    np.testing.assert_array_equal(x.grad.reshape(3, 3), [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


# Empty arrays

FUSED = nn.Conv2D(1, 2, 3), nn.ReLU(), nn.MaxPooling2D(2)

EMPTY: dict[str, tuple[Callable[[], md.Tensor], tuple[int, ...]]] = {
    "Flatten": (lambda: nn.Flatten()(empty(0, 3, 4)), (0, 12)),
    "Flatten of no features": (lambda: nn.Flatten()(empty(0, 0, 4)), (0, 0)),
    "Dense": (lambda: nn.Dense(4, 2)(empty(0, 4)), (0, 2)),
    "Conv2D": (lambda: nn.Conv2D(2, 3, 3)(empty(0, 6, 6, 2)), (0, 4, 4, 3)),
    "MaxPooling2D": (lambda: nn.MaxPooling2D(3, 2, 1)(empty(0, 6, 6, 2)), (0, 3, 3, 2)),
    "AveragePooling2D": (lambda: nn.AveragePooling2D(2)(empty(0, 6, 6, 2)), (0, 3, 3, 2)),
    "GlobalAveragePooling2D": (lambda: nn.GlobalAveragePooling2D()(empty(0, 6, 6, 2)), (0, 2)),
    "fused": (
        lambda: nn.Sequential(nn.Conv2D(1, 2, 3), nn.ReLU(), nn.MaxPooling2D(2))(empty(0, 6, 6, 1)),
        (0, 2, 2, 2),
    ),
    "LeakyReLU": (lambda: nn.LeakyReLU()(empty(0, 3)), (0, 3)),
    "Dropout": (lambda: nn.Dropout()(empty(0, 3)), (0, 3)),
    "Softmax": (lambda: nn.Softmax()(empty(0, 3)), (0, 3)),
    "Softmax along the empty axis": (lambda: nn.Softmax(axis=0)(empty(0, 3)), (0, 3)),
    "log_softmax of no classes": (lambda: F.log_softmax(empty(2, 0)), (2, 0)),
    "BatchNorm in eval": (lambda: nn.BatchNorm(3).eval()(empty(0, 4, 4, 3)), (0, 4, 4, 3)),
    "sum": (lambda: empty(0, 3).sum(axis=0), (3,)),
    "mean along another axis": (lambda: empty(0, 3).mean(axis=1), (0,)),
    "matmul": (lambda: empty(2, 0) @ empty(0, 4), (2, 4)),
    "an empty list as an index": (lambda: empty(3, 2)[[]], (0, 2)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_no_elements_come_out_of_none(name: str) -> None:
    call, shape = EMPTY[name]
    y = call()
    assert y.shape == shape
    assert not y.numpy().any()
    y.sum().backward()


UNDEFINED: dict[str, tuple[Callable[[], Any], str]] = {
    "BatchNorm": (lambda: nn.BatchNorm(3)(empty(0, 3)), "with N >= 1, got"),
    "SoftmaxCrossEntropy": (lambda: nn.SoftmaxCrossEntropy()(empty(0, 3), np.zeros(0, int)), "with N >= 1"),
    "BinaryCrossEntropy": (
        lambda: nn.BinaryCrossEntropyWithLogits()(empty(0, 3), np.zeros((0, 3))),
        "expected at least one element",
    ),
    "L1Loss": (lambda: nn.L1Loss()(empty(0, 3), np.zeros((0, 3))), "expected at least one element"),
    "MSELoss": (lambda: nn.MSELoss()(empty(0, 3), np.zeros((0, 3))), "expected at least one element"),
    "HuberLoss": (lambda: nn.HuberLoss()(empty(0, 3), np.zeros((0, 3))), "expected at least one element"),
    "mean": (lambda: empty(0, 3).mean(), "nothing to reduce"),
    "max": (lambda: empty(0, 3).max(), "nothing to reduce"),
    "var": (lambda: empty(0, 3).var(axis=0), "nothing to reduce"),
    "argmax": (lambda: empty(0, 3).argmax(), "nothing to reduce"),
    "concatenate": (lambda: F.concatenate([]), "need at least one array"),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_is_undefined_without_elements_is_a_named_error(name: str) -> None:
    call, message = UNDEFINED[name]
    with pytest.raises(MinidlError, match=message):
        call()


# Ignored labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("ignored", [0, 2, 255, -100])
def test_rows_with_an_ignored_label_count_for_nothing(ignored: int, dtype: Any) -> None:
    labels = np.array([1, ignored, 1]).astype(dtype)
    x, rest = (md.tensor(logits, requires_grad=True) for logits in (LOGITS, LOGITS[[0, 2]]))
    loss = nn.SoftmaxCrossEntropy(ignore_index=int(labels[1]))(x, labels)
    expected = F.softmax_cross_entropy(rest, labels[[0, 2]])
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_array_equal(x.grad[1], [0, 0, 0])
    np.testing.assert_allclose(x.grad[[0, 2]], rest.grad, rtol=1e-6)


def test_what_an_ignored_row_says_does_not_matter() -> None:
    wild = LOGITS.copy()
    wild[1] = np.nan
    x = md.tensor(wild, requires_grad=True)
    loss = F.softmax_cross_entropy(x, [1, -100, 1], ignore_index=-100)
    loss.backward()
    assert loss.item() == pytest.approx(F.softmax_cross_entropy(md.tensor(LOGITS[[0, 2]]), [1, 1]).item(), rel=1e-6)
    np.testing.assert_array_equal(x.grad[1], [0, 0, 0])


def test_labels_that_are_no_classes_are_refused_unless_they_are_ignored() -> None:
    x = md.tensor(LOGITS)
    with pytest.raises(ShapeError, match=r"got -100 \.\.\. 1: pass ignore_index=-100"):
        F.softmax_cross_entropy(x, [0, -100, 1])
    with pytest.raises(ShapeError, match=r"labels must lie in 0 \.\.\. 2 for 3 classes, got 0 \.\.\. 7"):
        F.softmax_cross_entropy(x, [0, -100, 7], ignore_index=-100)
    with pytest.raises(ShapeError, match="at least one label that is not ignored"):
        F.softmax_cross_entropy(x, [-100, -100, -100], ignore_index=-100)
    with pytest.raises(MinidlError, match=r"ignore_index must be an integer, got 0\.5"):
        nn.SoftmaxCrossEntropy(ignore_index=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("axes", [(1, 2), (2, 3), (0, 2), (-3, 0)])
def test_an_axis_that_does_not_exist_is_no_other_one(axes: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="are not a permutation of the 2 axes"):
        md.tensor(np.zeros((2, 3))).transpose(*axes)


@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 300), (np.int8, -300), (np.int8, 200)])
def test_padding_does_not_wrap_around(dtype: Any, value: int) -> None:
    with pytest.raises(DtypeError, match=f"cannot hold the padding of {value}"):
        F.pad(md.tensor(np.array([100, 1], dtype)), [(1, 1)], value)


def test_an_op_instance_forgets_that_it_was_float16() -> None:
    f = ops.Exp()
    f(md.tensor(np.ones(2, np.float16)))
    y = f(md.tensor([1.0, 20.0]))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), np.exp([1.0, 20.0]), rtol=1e-6)


def test_running_means_that_changed_are_not_used_for_the_gradient() -> None:
    norm, w = nn.BatchNorm(2), md.tensor(np.ones((3, 2), np.float32), requires_grad=True)
    y = (w * norm.mean).sum()
    norm(md.tensor(np.arange(8, dtype=np.float32).reshape(4, 2)))
    with pytest.raises(GraphError, match="mean was changed"):
        y.backward()


@pytest.mark.parametrize("indices", [np.where([False, True, True]), [[1], [2]], np.nonzero([True])])
def test_numbers_of_samples_lie_along_one_axis(indices: Any) -> None:
    with pytest.raises(ShapeError, match=r"use np\.flatnonzero\(mask\)"):
        md.data.Subset(md.data.ArrayDataset([1.0, 2.0, 3.0]), indices)


@pytest.mark.parametrize("number", [3, 99, -4])
def test_a_sample_that_does_not_exist_is_told_at_once(number: int) -> None:
    with pytest.raises(IndexError, match=f"there is no sample {number}: the data set has 3 samples, counted from 0"):
        md.data.Subset(md.data.ArrayDataset([1.0, 2.0, 3.0]), [0, number])
