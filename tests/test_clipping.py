"""Clipping: one norm of all gradients, whatever their size, dtype and device."""

import math
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim


def test_clipping_scales_all_gradients_together() -> None:
    a, b = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(1))
    a.grad, b.grad = np.array([3.0, 0.0]), np.array([4.0])
    assert optim.clip_grad_norm([a, b], 10.0) == 5
    np.testing.assert_array_equal(a.grad, [3, 0])
    assert optim.clip_grad_norm([a, b], 1.0) == 5
    np.testing.assert_allclose([*a.grad, *b.grad], [0.6, 0, 0.8])
    assert math.isclose(optim.clip_grad_norm([a, b], 1.0), 1)


def test_clipping_counts_a_parameter_that_is_there_twice_once() -> None:
    w = nn.Parameter(np.zeros(2))
    w.grad = np.array([3.0, 4.0])
    assert optim.clip_grad_norm([w, w], 1.0) == 5
    np.testing.assert_allclose(w.grad, [0.6, 0.8])


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, size) for size in (1e-36, 1e-30, 1e-19, 1e-12, 1.0, 1e12, 2e19, 1e30, 1e37)]
    + [(np.float64, size) for size in (1e-300, 1e-150, 1.0, 1e150, 1e300)]
    + [(np.float16, size) for size in (1e-3, 1.0, 1e4)],
)
def test_clipping_knows_the_norm_of_numbers_of_any_size(dtype: Any, size: float, backend: str) -> None:
    values = [np.array([3 * size, 0], dtype), np.array([[4 * size]], dtype), np.zeros((0, 2), dtype)]
    params = [md.Tensor(md.tensor(np.zeros_like(value), backend=backend).data, True) for value in values]
    for param, value in zip(params, values, strict=True):
        param.grad = md.tensor(value, backend=backend).data
    tolerance = 2e-3 if dtype == np.float16 else 1e-6
    norm = md.Tensor(optim.clip_grad_norm(params, size / 2)).numpy()
    assert float(norm) == pytest.approx(5 * size, rel=tolerance)
    for param, value in zip(params, values, strict=True):
        np.testing.assert_allclose(md.Tensor(param.grad).numpy(), value / dtype(10), rtol=tolerance)


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize(
    ("values", "norm"), [([0, 0], 0), ([math.inf, 1], math.inf), ([math.nan, 1], math.nan), ([], 0)]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_norm_of_what_is_0_or_no_number_is_it(values: Any, norm: float, backend: str) -> None:
    x = md.Tensor(md.tensor(values, np.float32, backend=backend).data, True)
    x.grad = x.data
    np.testing.assert_equal(float(md.Tensor(optim.clip_grad_norm([x], 1.0)).numpy()), norm)
