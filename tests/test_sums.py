"""Long sums: rounding errors hardly grow with the length, along any axes, on any number of threads."""

from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends, nn, ops, threads
from minidl.kernels.numpy import sums

F = nn.functional
TENTH = np.float32(0.1)
T = float(TENTH)
GOAL = 2e-6


def tenths(*shape: int) -> Any:
    return np.full(shape, TENTH)


def leaf(*shape: int) -> md.Tensor:
    return md.tensor(tenths(*shape), requires_grad=True)


def zeros(*shape: int) -> md.Tensor:
    return md.tensor(np.zeros(shape, np.float32))


def reduced(function: Any) -> Any:
    """A sum or mean along leading axes, and the expected result."""
    x = np.full((24, 150, 160, 3), 200, np.float32)
    return function(md.tensor(x)).numpy(), function(x.astype(np.float64))


def gradient_of(x: md.Tensor, y: md.Tensor) -> Any:
    (y * TENTH).sum().backward()
    return x.grad


def dense_bias(rows: int) -> Any:
    layer = nn.Dense(1, 2)
    return gradient_of(layer.b, layer(md.tensor(np.zeros((rows, 1), np.float32))))


def batch_norm_beta(N: int, size: int, C: int) -> Any:
    beta = md.tensor(np.zeros(C, np.float32), requires_grad=True)
    x, gamma = zeros(N, size, size, C), np.ones(C, np.float32)
    return gradient_of(beta, F.batch_norm(x, gamma, beta))


def conv_bias(N: int, size: int, C: int, pooled: bool) -> Any:
    layer = nn.Conv2D(1, C, 1, initializer="zeros")
    layer.b.data[...] = 1  # so that ReLU passes it
    x = md.tensor(np.zeros((N, size, size, 1), np.float32))
    model = nn.Sequential(layer, nn.ReLU(), nn.MaxPooling2D(1)) if pooled else layer
    return gradient_of(layer.b, model(x))


LONG = {
    "mean over three axes": lambda: reduced(lambda x: x.mean(axis=(0, 1, 2))),
    "mean over the first axes, kept": lambda: reduced(lambda x: x.mean(axis=(0, 1), keepdims=True)),
    "mean over axes that are no neighbours": lambda: reduced(lambda x: x.mean(axis=(0, 2))),
    "sum over the first axis": lambda: (md.tensor(tenths(400_000, 2)).sum(axis=0).numpy(), 4e5 * T),
    "sum of a transposed array": lambda: (leaf(2, 400_000).T.sum(axis=0).numpy(), 4e5 * T),
    "sum of every other column": lambda: (leaf(400_000, 4)[:, ::2].sum(axis=0).numpy(), 4e5 * T),
    "gradient of what was broadcast": lambda: (gradient_of(b := leaf(2), b + zeros(200_000, 2)), 2e5 * T),
    "gradient of broadcast_to": lambda: (gradient_of(b := leaf(2), F.broadcast_to(b, (200_000, 2))), 2e5 * T),
    "bias of Dense": lambda: (dense_bias(200_000), 2e5 * T),
    "beta of BatchNorm": lambda: (batch_norm_beta(8, 128, 4), 8 * 128**2 * T),
    "bias of Conv2D": lambda: (conv_bias(2, 200, 2, False), 2 * 200**2 * T),
    "bias of Conv2D in one pass with its pooling": lambda: (conv_bias(2, 200, 2, True), 2 * 200**2 * T),
    "average pooling": lambda: (F.avg_pool2d(leaf(1, 160, 160, 2), 160).numpy(), T),
    "global average pooling": lambda: (nn.GlobalAveragePooling2D()(leaf(1, 400, 400, 2)).numpy(), T),
    "softmax along the first axis": lambda: (F.softmax(zeros(200_000, 2), 0).numpy()[0], 1 / 2e5),
    "product of vectors": lambda: ((leaf(300_001) @ np.ones(300_001, np.float32)).numpy(), 300_001 * T),
}  # fmt: skip


@pytest.mark.parametrize("what", LONG)
def test_long_sums_are_exact(what: str) -> None:
    got, expected = LONG[what]()
    np.testing.assert_allclose(got, np.broadcast_to(expected, np.shape(got)), rtol=GOAL)


def test_a_variance_of_nothing_but_one_number_is_zero() -> None:
    x = md.tensor(np.full((24, 150, 160, 3), 200, np.float32))
    np.testing.assert_allclose(x.var(axis=(0, 1, 2)).numpy(), 0, atol=1e-6)
    layer = nn.BatchNorm(3, momentum=0.0)
    layer(x)
    np.testing.assert_allclose(layer.mean.numpy(), 200, rtol=GOAL)
    np.testing.assert_allclose(layer.var.numpy(), 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(33, 5, 40, 3), (700, 1, 3), (3, 700), (1, 2000, 1), (0, 600, 2), (9000,)])
@pytest.mark.parametrize("order", ["C", "F", "mixed", "sliced", "backwards", "broadcast"])
def test_sums_along_any_axes_are_those_of_numpy(shape: tuple[int, ...], order: str) -> None:
    x = np.random.default_rng(0).random(shape)
    if order == "broadcast":
        x = np.broadcast_to(x[..., :1], (40, *shape))
    elif order == "mixed":
        x = np.ascontiguousarray(np.moveaxis(x, 0, -1)).swapaxes(0, -1)
    else:
        x = {"C": x, "F": np.asfortranarray(x), "sliced": x[..., ::2], "backwards": x[::-1]}[order]
    for axes in chain.from_iterable(combinations(range(x.ndim), n) for n in range(x.ndim + 1)):
        for keepdims in (False, True):
            got, expected = sums.sum_over(x, axes, keepdims), x.sum(axis=axes, keepdims=keepdims)
            assert got.shape == expected.shape
            np.testing.assert_allclose(got, expected, rtol=1e-12)
            if x.size:
                mean = backends.default.mean(x, axes, keepdims)
                np.testing.assert_allclose(mean, x.mean(axis=axes, keepdims=keepdims))


@pytest.mark.parametrize("rows", [0, 1, 511, 513, 5000, 70_001])
@pytest.mark.parametrize("C", [1, 3, 64, 5000])
def test_sums_over_rows(rows: int, C: int) -> None:
    x = np.random.default_rng(0).random((min(rows, 2_000_000 // C), C)).astype(np.float32)
    got = sums.sum_rows(x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, x.sum(axis=0, dtype=np.float64), rtol=GOAL)


def test_integers_are_added_exactly() -> None:
    x = np.full((2000, 2), (1 << 50) + 1)
    assert md.tensor(x).sum(axis=0).numpy().tolist() == x.sum(axis=0).tolist()


def test_infinities_and_nan_stay_in_their_column() -> None:
    x = tenths(5000, 3)
    x[1234, 0], x[4999, 1] = np.inf, np.nan
    for total in (sums.sum_over(x, (0,)), sums.sum_rows(x)):
        assert np.isposinf(total[0])
        assert np.isnan(total[1])
        assert total[2] == pytest.approx(500, rel=GOAL)


def test_sums_are_the_same_bit_for_bit_on_any_number_of_threads() -> None:
    x = np.random.default_rng(0).random((6, 90, 90, 3)).astype(np.float32)
    before = threads.get_num_threads()
    found = set()
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            op = ops.BatchNorm()
            op(md.tensor(x), np.ones(3, np.float32), np.zeros(3, np.float32))
            results = md.tensor(x).sum(axis=(0, 1, 2)).numpy(), op.var, sums.sum_to_channels(x)
            found.add(tuple(result.tobytes() for result in results))
    finally:
        threads.set_num_threads(before)
    assert len(found) == 1


def test_average_pooling_of_few_pixels_adds_them_in_order() -> None:
    x = np.random.default_rng(0).random((2, 4, 4, 3)).astype(np.float32)
    total = np.zeros((2, 3), np.float32)
    for row, column in np.ndindex(4, 4):
        total += x[:, row, column]
    np.testing.assert_array_equal(F.avg_pool2d(md.tensor(x), 4).numpy().reshape(2, 3), total / 16)
