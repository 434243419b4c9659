"""Fast kernels against their readable twins, and window sizes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as md
from minidl import backends
from minidl.backends.choice import choose
from minidl.errors import MinidlError, ShapeError
from minidl.kernels.conv import ConvSpec, Direct
from minidl.kernels.numpy.conv.measured import ranking
from minidl.kernels.numpy.elementwise import keep_where
from minidl.kernels.window import sliding_window
from minidl.testing import check_conv_algorithm

from .kernels import SLOW, SPECIAL, WINDOWS, images_to_pool, images_with_nan, values

FAST: Any = backends.default


@pytest.mark.parametrize(
    "x",
    [SPECIAL, values(3, 70_001), values(300, 500)[:, ::2], values(0, 3), values(90, 70, 80).T, np.ones((), np.float32)],
)
def test_relu(x: Any) -> None:
    y = FAST.relu(x)
    np.testing.assert_array_equal(y, SLOW.relu(x))
    dy = values(*x.shape, seed=1)
    np.testing.assert_array_equal(FAST.relu_backward(dy, y), SLOW.relu_backward(dy, y))
    odd = np.asfortranarray(dy)
    np.testing.assert_array_equal(FAST.relu_backward(odd, y), SLOW.relu_backward(odd, y))


def test_masked_infinities_become_zero() -> None:
    values = np.array([np.inf, -np.inf, np.nan, 2.0])
    np.testing.assert_array_equal(keep_where(np.array([False, False, False, True]), values), [0, 0, 0, 2])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((200, 300), (300, 700)),
        ((900, 200), (200, 40)),
        ((3, 4), (4, 5)),
        ((2, 3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((0, 4), (4, 2)),
    ],
)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = values(*a), values(*b, seed=1)
    np.testing.assert_allclose(FAST.matmul(x, y), SLOW.matmul(x, y), rtol=1e-4, atol=1e-4)
    transposed = np.ascontiguousarray(y.T).T
    np.testing.assert_allclose(FAST.matmul(x, transposed), SLOW.matmul(x, y), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", WINDOWS)
@pytest.mark.parametrize("kind", ["ordinary", "ties", "infinities"])
def test_max_pool(sizes: Any, kind: str) -> None:
    H, W, kernel, stride, padding = sizes
    window = sliding_window(H, W, kernel, stride, padding)
    x = images_to_pool(kind, 3, H, W, 17)
    y, argmax = FAST.max_pool(x, window)
    expected, taps = SLOW.max_pool(x, window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, taps)
    dy = values(*y.shape, seed=2)
    np.testing.assert_allclose(
        FAST.max_pool_backward(dy, argmax, window), SLOW.max_pool_backward(dy, argmax, window), rtol=1e-6
    )


def test_max_pool_passes_nan_on() -> None:
    window = sliding_window(2, 2, 2, 2, 0)
    for x in images_with_nan():
        assert np.isnan(FAST.max_pool(x, window)[0]).all()
        assert np.isnan(SLOW.max_pool(x, window)[0]).all()
        assert FAST.max_pool(x, window)[1].max() < 4


def test_pictures_of_a_batch() -> None:
    rng = np.random.default_rng(0)
    for shape in ((7, 6, 8, 1), (7, 3, 5, 3), (7, 1, 1, 1)):
        pixels, indices = rng.integers(0, 256, shape, np.uint8), np.array([6, 0, 3, 3, -2])
        before = pixels.copy()
        for mirror in (None, np.array([True, False, True, False, True]), np.zeros(5, bool)):
            batch = FAST.gather_images(pixels, indices, mirror)
            expected = SLOW.gather_images(pixels, indices, mirror)
            assert batch.tobytes() == expected.tobytes()
            assert batch.dtype == np.float32
        assert np.array_equal(pixels, before)


def test_sum_to_channels() -> None:
    dy = values(5, 9, 8, 3)
    np.testing.assert_allclose(FAST.sum_to_channels(dy), SLOW.sum_to_channels(dy), rtol=1e-5)
    assert FAST.sum_to_channels(dy[:0]).tolist() == [0, 0, 0]


CONVOLUTIONS = [
    (1, 9, 8, 1, 4, 3, 1, 0),
    (17, 6, 7, 3, 5, 3, 1, 0),
    (3, 12, 13, 8, 16, (2, 5), 1, "same"),
    (2, 11, 9, 4, 3, 3, (2, 3), ((0, 2), (1, 0))),
    (2, 70, 66, 40, 8, 3, 1, 0),  # makes the columns of one image in several strips
    (2, 130, 128, 1, 32, 3, 1, 0),
    (1, 5, 5, 2, 2, 5, 1, 2),
]


@pytest.mark.parametrize("sizes", CONVOLUTIONS)
@pytest.mark.parametrize("name", sorted({*md.plugins.names("conv_algorithm")} - {"direct"}))
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_conv_algorithms_against_direct(name: str, sizes: Any, dtype: Any, tolerance: float) -> None:
    N, H, W, C, K, kernel, stride, padding = sizes
    window = sliding_window(H, W, kernel, stride, padding)
    spec = ConvSpec(N, C, K, window, np.dtype(dtype))
    x, b = values(N, H, W, C).astype(dtype), values(K).astype(dtype)
    w, dy = values(window.KH, window.KW, C, K, seed=1).astype(dtype), values(*spec.output_shape, seed=2).astype(dtype)
    fast, slow = md.plugins.build("conv_algorithm", name, FAST), choose("direct", spec, FAST)
    if not fast.supports(spec):
        with pytest.raises(
            MinidlError, match=f"'{name}' does not support this convolution of .* on the backend 'numpy'"
        ):
            choose(name, spec, FAST)
        return
    y, saved = fast.forward(x, w, b, spec)
    pairs = [
        (y, slow.forward(x, w, b, spec)[0]),
        (fast.forward(x, w, None, spec)[0], slow.forward(x, w, None, spec)[0]),
        (fast.input_gradient(dy, w, spec, saved), slow.input_gradient(dy, w, spec, None)),
        (fast.weight_gradient(x, dy, spec, saved), slow.weight_gradient(x, dy, spec, None)),
    ]
    for ours, expected in pairs:
        assert ours.dtype == dtype
        assert ours.shape == expected.shape
        assert np.abs(ours - expected).max() <= tolerance * max(1, np.abs(expected).max())


def test_an_empty_batch_goes_through() -> None:
    x = md.tensor(np.zeros((0, 6, 6, 1), np.float32), requires_grad=True)
    layer = md.nn.Sequential(md.nn.Conv2D(1, 2, 3), md.nn.ReLU(), md.nn.MaxPooling2D(2))
    for fusion in (True, False):
        with md.using(fusion=fusion):
            y = layer(x)
        assert y.shape == (0, 2, 2, 2)
        y.sum().backward()
        assert not layer[0].w.grad.any()


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_window_sizes_by_counting(size: int, kernel: int, stride: int, before: int, after: int) -> None:
    padded = before + size + after
    starts = [start for start in range(0, padded, stride) if start + kernel <= padded]
    padding = ((before, after), (before, after))
    if not starts:
        with pytest.raises(ShapeError, match="does not fit"):
            sliding_window(size, size, kernel, stride, padding)
        return
    window = sliding_window(size, size, kernel, stride, padding)
    assert (len(starts), len(starts)) == (window.OH, window.OW)
    line = np.arange(padded)[None, :, None, None]
    for tap in range(kernel):
        _, rows, _ = window.under_tap(tap, 0)
        assert line[:, rows].ravel().tolist() == [start + tap for start in starts]


@given(size=st.integers(1, 30), kernel=st.integers(1, 7), stride=st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_same_padding_gives_the_size_divided_by_the_stride(size: int, kernel: int, stride: int) -> None:
    window = sliding_window(size, size, kernel, stride, "same")
    assert -(-size // stride) == window.OH
    assert 0 <= window.bottom - window.top <= 1


def test_an_algorithm_that_a_backend_lacks_is_an_error_with_those_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Direct):
        def supports(self, spec: ConvSpec) -> bool:
            raise OSError("no licence")

    monkeypatch.setitem(md.plugins._registered["conv_algorithm"], "unlicensed", Broken)
    x, w = md.tensor(np.ones((1, 9, 8, 4), np.float32)), np.ones((3, 3, 4, 4), np.float32)
    for device, lacking, there in [
        ("numpy", "implicit_gemm", "direct, fft, im2col, shifted, winograd, winograd2d"),
        ("strict", "winograd", "direct, fft, winograd2d"),
    ]:
        message = f"'{lacking}' does not support this convolution of .* on the backend '{device}': use one of {there}$"
        with pytest.raises(MinidlError, match=message):
            md.nn.functional.conv2d(x.to(device), md.tensor(w).to(device), algorithm=lacking)
        with md.using(conv_algorithm=lacking), pytest.raises(MinidlError, match=message):
            md.nn.functional.conv2d(x.to(device), md.tensor(w).to(device))


def test_images_of_ever_new_sizes_do_not_fill_the_memory() -> None:
    for H in range(3, 1103):
        for remembered in (sliding_window, ranking):
            assert remembered.cache_info().currsize <= 1024
        ranking(ConvSpec(1, 1, 1, sliding_window(H, 3, 3, 1, 0), np.dtype(np.float32)))


def test_an_algorithm_that_is_registered_again_takes_the_place_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ConvSpec(1, 1, 1, sliding_window(4, 4, 3, 1, 0), np.float32)
    for number in range(2):

        class Again(Direct):
            worth = number

        monkeypatch.setitem(md.plugins._registered["conv_algorithm"], "again", Again)
        for _ in range(2):
            chosen: Any = choose("again", spec, backends.default)
            assert (type(chosen), chosen.worth, chosen.name) == (Again, number, "again")


OUTSIDE = [("direct", 1e-5), ("im2col", 1e-5), ("shifted", 1e-5), ("winograd", 0.5), ("winograd2d", 1e-5), ("fft", 0.5)]
"""Errors of windows that exclude a pixel of 1e6 among others of about 1: see docs/convolution/accuracy.md."""


@pytest.mark.parametrize(("name", "most"), OUTSIDE)
def test_errors_beside_a_huge_pixel(name: str, most: float) -> None:
    x, w = values(1, 40, 40, 8), values(3, 3, 8, 8) / 8
    x[0, 20, 20, 0] = 1e6
    exact = md.nn.functional.conv2d(x.astype(np.float64), w.astype(np.float64), algorithm="direct").numpy()
    error = np.abs(md.nn.functional.conv2d(x, w, algorithm=name).numpy() - exact)
    assert error.max() < 0.5
    error[:, 18:21, 18:21] = 0
    error[:, 18:22, 18:22] = 0 if name == "winograd2d" else error[:, 18:22, 18:22]  # its tile of 2 x 2 outputs
    assert error.max() < most


def test_a_nan_stays_in_its_windows_whatever_auto_takes() -> None:
    F = md.nn.functional
    x, w = values(2, 126, 126, 3), values(11, 11, 3, 32)
    x[0, 60, 60, 1] = np.nan
    y = F.conv2d(md.tensor(x, requires_grad=True), w)
    assert y.op is not None
    assert ranking(y.op.spec)[0] == "fft"
    expected = np.zeros(y.shape, bool)
    expected[0, 50:61, 50:61] = True
    np.testing.assert_array_equal(np.isnan(y.numpy()), expected)


class Keeps(Direct):
    """Its gradients depend only on what its forward pass saved."""

    def forward(self, x: Any, w: Any, b: Any, spec: ConvSpec) -> Any:
        return super().forward(x, w, b, spec)[0], (x, w)

    def input_gradient(self, dy: Any, w: Any, spec: ConvSpec, saved: Any) -> Any:
        return super().input_gradient(dy, saved[1], spec, None)

    def weight_gradient(self, x: Any, dy: Any, spec: ConvSpec, saved: Any) -> Any:
        return super().weight_gradient(saved[0], dy, spec, None)


def test_what_an_algorithm_saved_comes_back_to_it_with_pooling_too() -> None:
    report = check_conv_algorithm(Keeps)
    assert report.count("passed") == len(report.outcomes)
