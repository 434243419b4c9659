"""CuPy's kernels and their launchers against NumPy's: on the emulated GPU, and on a real one where there is one."""

import shutil
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends
from minidl.kernels.conv import ConvSpec, choose, choose_pooled
from minidl.kernels.cupy import conv, reduce
from minidl.kernels.reference import AdamStep
from minidl.kernels.window import sliding_window
from minidl.testing import ConvAlgorithmSubject, ConvExample

from .test_backends import GPU
from .test_kernels import SLOW, SPECIAL, WINDOWS, values

GPP = pytest.mark.skipif(shutil.which("g++") is None, reason="g++, which compiles the kernels for the CPU, is missing")
EMULATED = pytest.param("emulated", marks=GPP)


@pytest.fixture(params=[EMULATED, GPU])
def device(request: pytest.FixtureRequest) -> Any:
    return backends.get(request.param)


@pytest.mark.parametrize("sizes", WINDOWS)
@pytest.mark.parametrize("kind", ["ordinary", "ties", "infinities"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_pool_equals_numpys_bit_for_bit(sizes: Any, kind: str, dtype: Any, device: Any) -> None:
    H, W, kernel, stride, padding = sizes
    window = sliding_window(H, W, kernel, stride, padding)
    x = values(3, H, W, 5).astype(dtype)
    if kind == "ties":
        x = np.round(x)
    if kind == "infinities":
        x[np.random.default_rng(1).random(x.shape) < 0.6] = -np.inf
    y, argmax = device.max_pool(device.asarray(x), window)
    expected, taps = SLOW.max_pool(x, window)
    np.testing.assert_array_equal(device.to_numpy(y), expected)
    np.testing.assert_array_equal(device.to_numpy(argmax), taps)
    assert argmax.dtype == np.uint8
    dy = values(*expected.shape, seed=2).astype(dtype)
    dx = device.max_pool_backward(device.asarray(dy), argmax, window)
    np.testing.assert_array_equal(device.to_numpy(dx), SLOW.max_pool_backward(dy, taps, window))


def test_max_pool_passes_nan_on(device: Any) -> None:
    window = sliding_window(2, 2, 2, 2, 0)
    for place in range(4):
        x = np.zeros((1, 2, 2, 1), np.float32)
        x.reshape(-1)[place] = np.nan
        y, argmax = device.max_pool(device.asarray(x), window)
        assert np.isnan(device.to_numpy(y)).all()
        assert device.to_numpy(argmax).item() == place


def test_large_pooling_windows_need_more_than_a_byte(device: Any) -> None:
    window = sliding_window(17, 17, 17, 17, 0)
    x = values(1, 17, 17, 2)
    y, argmax = device.max_pool(device.asarray(x), window)
    assert argmax.dtype == np.int32
    dx = device.max_pool_backward(y, argmax, window)
    np.testing.assert_array_equal(device.to_numpy(dx), SLOW.max_pool_backward(*SLOW.max_pool(x, window), window))


def test_relu_backward(device: Any) -> None:
    for y in (SPECIAL, values(3, 701), values(0, 3), np.asfortranarray(values(9, 70))):
        dy = values(*y.shape, seed=1)
        dx = device.relu_backward(device.asarray(dy), device.asarray(y))
        np.testing.assert_array_equal(device.to_numpy(dx), SLOW.relu_backward(dy, y))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3, 4, 5), (1, 1, 1, 40), (5, 41, 39, 33)])
def test_sums_over_rows(shape: Any, device: Any) -> None:
    dy = values(*shape)
    sums = device.to_numpy(device.sum_to_channels(device.asarray(dy)))
    np.testing.assert_allclose(sums, dy.astype(np.float64).sum(axis=(0, 1, 2)), rtol=1e-4, atol=1e-4)
    assert sums.dtype == np.float32


def test_large_sums_have_parts() -> None:
    assert reduce.parts_of(5 * 41 * 39) > 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_adam(dtype: Any, tolerance: float, device: Any) -> None:
    step = AdamStep(lr=0.01, unbias=1.7, beta1=0.8, beta2=0.999, eps=1e-3, keep=0.99)
    param, grad, m, v = arrays = [values(30, 20, seed=seed).astype(dtype) for seed in range(4)]
    v *= 1e-4 * v  # so that 1 - beta2, which float32 rounds badly, matters
    there = [device.asarray(array) for array in (param, np.asfortranarray(grad), m, v)]
    for _ in range(2):
        SLOW.adam(*arrays, step)
        device.adam(*there, step)
    for got, expected in zip(there, (param, grad, m, v), strict=True):
        np.testing.assert_allclose(device.to_numpy(got), expected, rtol=tolerance, atol=tolerance)


def test_adam_does_what_it_can_for_parameters_that_are_no_contiguous_arrays(device: Any) -> None:
    step = AdamStep(lr=0.01, unbias=1.0, beta1=0.9, beta2=0.9, eps=1e-8, keep=1.0)
    whole = [device.asarray(values(6, 8, seed=seed) ** 2) for seed in range(4)]
    expected = [values(6, 8, seed=seed)[:, ::2] ** 2 for seed in range(4)]
    device.adam(*(array[:, ::2] for array in whole), step)
    SLOW.adam(*expected, step)
    np.testing.assert_allclose(device.to_numpy(whole[0])[:, ::2], expected[0], rtol=1e-6)


GREY = ConvExample((2, 24, 26, 1), (3, 3, 1, 4), {"padding": ((1, 0), (0, 2))}, "grey")
COLOUR = ConvExample((3, 8, 9, 3), (3, 2, 3, 36), {}, "colour")
DEEP = ConvExample((3, 7, 6, 9), (3, 3, 9, 5), {"padding": 1}, "deep")


@pytest.mark.parametrize("check", ["adjoint", "forward", "pooled", "empty", "stale_memory"])
@pytest.mark.parametrize("name", ["first_layer", "gemm"])
def test_convolutions_of_more_filters_than_the_examples_of_the_kit(name: str, check: str, device: Any) -> None:
    algorithm = md.plugins.get("conv_algorithm", name)
    ConvAlgorithmSubject(name, algorithm, [GREY, COLOUR, DEEP], device.name).run_check(check)


def test_a_batch_in_parts_gives_what_it_gives_as_a_whole(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = ConvAlgorithmSubject("gemm", conv.Gemm, [DEEP], device.name)
    monkeypatch.setattr(conv, "COLUMNS_BYTES", 1)
    *_, spec = DEEP.arrays()
    assert [part.N for _, part in conv._chunks(spec)] == [1, 1, 1]
    for check in ("forward", "input_gradient", "weight_gradient", "pooled"):
        subject.run_check(check)


def test_which_algorithm_auto_takes(device: Any) -> None:
    def spec(C: int, stride: int = 1, dtype: Any = np.float32) -> ConvSpec:
        return ConvSpec(2, C, 32, sliding_window(20, 20, 3, stride, 0), np.dtype(dtype))

    pool, overlapping = sliding_window(18, 18, 2, 2, 0), sliding_window(18, 18, 3, 2, 0)
    names = [
        getattr(choose_pooled("auto", sizes, window, device), "name", None)
        for sizes, window in [
            (spec(1), pool),
            (spec(3), pool),
            (spec(32), pool),
            (spec(1), overlapping),
            (spec(1, stride=2), sliding_window(9, 9, 2, 2, 0)),
            (spec(1, dtype=np.float16), pool),
        ]
    ]
    assert names == ["first_layer", "first_layer", "gemm", "gemm", "gemm", None]
    assert choose("auto", spec(1, dtype=np.float16), device).name == "direct"
