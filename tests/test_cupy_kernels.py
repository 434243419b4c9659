"""CuPy's kernels and their launchers against NumPy, on the emulated GPU and on a real one."""

from typing import Any

import numpy as np
import pytest

from minidl.kernels.cupy import adam, images, reduce, source
from minidl.kernels.reference import AdamStep
from minidl.kernels.window import sliding_window

from .devices import launches_of
from .kernels import SLOW, SPECIAL, WINDOWS, images_to_pool, images_with_nan, values


@pytest.mark.parametrize("sizes", WINDOWS)
@pytest.mark.parametrize("kind", ["ordinary", "ties", "infinities"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_pool_equals_numpys_bit_for_bit(sizes: Any, kind: str, dtype: Any, device: Any) -> None:
    H, W, kernel, stride, padding = sizes
    window = sliding_window(H, W, kernel, stride, padding)
    x = images_to_pool(kind, 3, H, W, 5).astype(dtype)
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
    for place, x in enumerate(images_with_nan()):
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
    v *= 1e-4 * v  # makes 1 - beta2 matter, which float32 rounds badly
    there = [device.asarray(array) for array in (param, np.asfortranarray(grad), m, v)]
    for _ in range(2):
        SLOW.adam([arrays], step)
        device.adam([there], step)
    for got, expected in zip(there, (param, grad, m, v), strict=True):
        np.testing.assert_allclose(device.to_numpy(got), expected, rtol=tolerance, atol=tolerance)


def gaps(array: Any) -> Any:
    """The same values, not contiguous."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def quadruple(shape: Any, dtype: Any = np.float32, arrange: Any = np.ascontiguousarray) -> list[Any]:
    """A parameter, its gradient and its running means."""
    return [arrange(np.square(values(*shape, seed=seed)).astype(dtype)) for seed in range(4)]


MANY = [quadruple((1 + 37 * i % 1000,)) for i in range(adam.TENSORS + 3)]
"""More than one launch takes; some have several blocks."""


@pytest.mark.parametrize(
    ("tensors", "launches"),
    [
        pytest.param(MANY, 2, id="many"),
        pytest.param(MANY[: adam.TENSORS], 1, id="as many as there is room for"),
        pytest.param([quadruple((0, 3)), MANY[0], quadruple((0,)), MANY[1]], 1, id="some are empty"),
        pytest.param([quadruple((0,))], 0, id="empty"),
        pytest.param([quadruple((3, 5)), quadruple((7,), np.float64), quadruple((2, 300))], 2, id="float64 between"),
        pytest.param([quadruple((6, 8), arrange=gaps), quadruple((5,)), quadruple((6,), np.float16)], 1, id="others"),
    ],
)
def test_adam_of_many_parameters(tensors: Any, launches: int, device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step = AdamStep(lr=0.01, unbias=1.0, beta1=0.9, beta2=0.9, eps=1e-8, keep=0.9)
    there = [[on(device, array) for array in tensor] for tensor in tensors]
    expected = [[array.copy() for array in tensor] for tensor in tensors]
    launched = launches_of(monkeypatch, adam)
    device.adam(there, step)
    SLOW.adam(expected, step)
    assert len(launched) == launches
    for arrays, others in zip(there, expected, strict=True):
        for got, other in zip(arrays, others, strict=True):
            np.testing.assert_allclose(device.to_numpy(got), other, rtol=2e-3 if other.dtype == np.float16 else 1e-6)


def on(device: Any, array: Any) -> Any:
    """An array on the device; not contiguous there either if it is not here."""
    if array.flags.c_contiguous:
        return device.asarray(array)
    return device.xp.repeat(device.asarray(np.ascontiguousarray(array)), 2, axis=-1)[..., ::2]


def test_the_struct_of_adam_lies_in_memory_as_numpy_says(device: Any) -> None:
    fields = list(adam.LAYOUT.names or ())
    offsets = "".join(f"y[{i}] = __builtin_offsetof(Tensors<double>, {field}); " for i, field in enumerate(fields))
    kernel = f"__global__ void layout(int* y) {{ {offsets} y[{len(fields)}] = sizeof(Tensors<double>); }}"
    y = device.asarray(np.zeros(len(fields) + 1, np.int32))
    module = device.xp.RawModule(
        code=source.source("adam.cu") + kernel, options=source.OPTIONS, name_expressions=("layout",)
    )
    module.get_function("layout")((1,), (1,), (y,))
    offsets_here = [adam.LAYOUT.fields[field][1] for field in fields]  # type: ignore[index]
    assert device.to_numpy(y).tolist() == [*offsets_here, adam.LAYOUT.itemsize]


def test_the_arguments_of_adam_have_room() -> None:
    constants = 8 * np.dtype(np.float64).itemsize
    assert adam.LAYOUT.itemsize + constants <= 4096


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    "shape", [(7, 6, 8, 1), (7, 5, 7, 1), (7, 3, 4, 3), (7, 5, 7, 3), (7, 1, 1, 1), (7, 1, 4, 1), (7, 40, 36, 1)]
)
def test_pictures_of_a_batch_are_numpys_bit_for_bit(shape: Any, mirror: bool, device: Any) -> None:
    rng = np.random.default_rng(0)
    pixels, indices = rng.integers(0, 256, shape, np.uint8), np.array([6, 0, 3, 3, 5])
    flags = np.array([True, False, True, False, True]) if mirror else None
    expected = SLOW.gather_images(pixels, indices, flags)
    there = device.asarray(pixels)
    for dtype in (np.int64, np.int32):
        batch = device.gather_images(
            there, device.asarray(indices.astype(dtype)), None if flags is None else device.asarray(flags)
        )
        assert batch.dtype == np.float32
        np.testing.assert_array_equal(device.to_numpy(batch), expected)
    none = device.gather_images(there, device.asarray(indices[:0]), None)
    assert none.shape == (0, *shape[1:])


def test_pictures_in_the_middle_of_memory_and_with_gaps(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views of a data set, whose rows begin at any byte, and images that are too large for the kernel."""
    memory = np.random.default_rng(0).integers(0, 256, 4 * 3 * 8 + 1, np.uint8)
    flags, indices = np.array([True, False]), np.array([3, 1])

    def views(memory: Any) -> Any:
        odd, whole = memory[1:].reshape(4, 3, 8, 1), memory[:-1].reshape(4, 3, 8, 1)
        return odd, whole[:, :, 1::2], whole[:, ::-1], whole

    def batches() -> list[str]:
        """The kernels that were launched."""
        launched = launches_of(monkeypatch, images)
        for view, there in zip(views(memory), views(device.asarray(memory)), strict=True):
            batch = device.gather_images(there, device.asarray(indices), device.asarray(flags))
            np.testing.assert_array_equal(device.to_numpy(batch), SLOW.gather_images(view, indices, flags))
        return launched

    assert batches() == ["gather_images<1>", *["gather_images<4>"] * 3]
    monkeypatch.setattr(images, "MOST", 11)
    assert batches() == []
