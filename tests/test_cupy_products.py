"""CuPy's convolutions and matrix products against NumPy, on the emulated GPU and on a real one."""

import itertools
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends
from minidl.backends.choice import choose
from minidl.kernels.conv import ConvSpec
from minidl.kernels.cupy import conv, implicit_gemm, matmul, reduce, source
from minidl.kernels.window import sliding_window
from minidl.testing import ConvAlgorithmSubject, ConvExample, check_conv

from .devices import launches_of
from .kernels import SLOW

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


TILES = ConvExample((3, 11, 13, 20), (3, 3, 20, 68), {"padding": ((1, 0), (0, 2))}, "tiles")
"""More pixels, channels and filters than fit into a tile, and odd numbers of pixels for pooling."""
POINTS = ConvExample((2, 4, 5, 4), (1, 1, 4, 4), {}, "points")
BORDERS = ConvExample((2, 3, 4, 8), (2, 3, 8, 4), {"padding": (4, 3)}, "borders")
ONE_PIXEL = ConvExample((5, 2, 3, 4), (2, 3, 4, 8), {}, "one pixel")


@pytest.fixture
def pools_of_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pooling by the kernel only: the smaller examples of the kit cover the windows left to the composition."""
    monkeypatch.setattr(check_conv, "POOLS", ((2, 2, 0),))


@pytest.mark.slow
@pytest.mark.usefixtures("pools_of_one_pass")
@pytest.mark.parametrize("check", ["adjoint", "forward", "pooled", "empty", "stale_memory", "repeats"])
def test_implicit_gemm_on_all_edges_of_its_tiles(check: str, device: Any) -> None:
    examples = [TILES, POINTS, BORDERS, ONE_PIXEL]
    ConvAlgorithmSubject("implicit_gemm", implicit_gemm.ImplicitGemm, examples, device.name).run_check(check)


@pytest.mark.slow
@pytest.mark.usefixtures("pools_of_one_pass")
@pytest.mark.parametrize("parts", [1, 7])
def test_weight_gradients_in_parts(parts: int, device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit_gemm, "LEAST_PIXELS", 3 * 10 * 13 // parts)
    launched = []
    monkeypatch.setattr(
        implicit_gemm, "sum_rows", lambda xp, x, shape: launched.append(len(x)) or reduce.sum_rows(xp, x, shape)
    )
    subject = ConvAlgorithmSubject("implicit_gemm", implicit_gemm.ImplicitGemm, [TILES], device.name)
    subject.run_check("weight_gradient")
    if parts > 1:  # one part is what the test above has
        subject.run_check("pooled")
    assert set(launched) == {parts}


def test_numbers_that_are_read_at_once_are_aligned(device: Any) -> None:
    """A card rejects misaligned loads of four floats, as from a view of a larger buffer."""
    buffer = device.xp.zeros(64, np.float32)
    views = [buffer[first : first + 16] for first in range(8)]
    addresses = [view.data.ptr for view in views]
    used = [source.packed(device.xp, view).data.ptr for view in views]
    assert [one == other for one, other in zip(used, addresses, strict=True)] == [at % 32 == 0 for at in addresses]
    x, w, b, _, spec = POINTS.arrays(np.float32)
    buffer[1 : 1 + w.size] = device.asarray(w.reshape(-1))
    algorithm = implicit_gemm.ImplicitGemm(device)
    y, _ = algorithm.forward(device.asarray(x), buffer[1 : 1 + w.size].reshape(w.shape), device.asarray(b), spec)
    np.testing.assert_allclose(device.to_numpy(y), x @ w[0, 0] + b, rtol=1e-5)


def test_tf32_rounds_what_it_multiplies_and_nothing_else(in_tf32: Any) -> None:
    """Values with 11 bits are exact in TF32, and so is their convolution; others have TF32's error, but not more."""
    x, w, b, dy, spec = TILES.arrays(np.float32)
    algorithm, direct = implicit_gemm.ImplicitGemm(in_tf32), md.kernels.conv.Direct(backends.get("numpy"))
    pool = sliding_window(spec.window.OH, spec.window.OW, 2, 2, 0)
    few_bits = [np.round(256 * array) / 256 for array in (x, w, b, dy)]
    for inputs, least, most in ((few_bits, 0, 1e-6), ((x, w, b, dy), 1e-5, 2e-3)):
        x, w, b, dy = inputs
        there = [in_tf32.asarray(array) for array in inputs]
        got = [
            algorithm.forward(*there[:3], spec)[0],
            algorithm.input_gradient(there[3], there[1], spec, None),
            algorithm.weight_gradient(there[0], there[3], spec, None),
        ]
        expected = [
            direct.forward(x, w, b, spec)[0],
            direct.input_gradient(dy, w, spec, None),
            direct.weight_gradient(x, dy, spec, None),
        ]
        y, pooled = algorithm.forward_pooled(*there[:3], spec, pool, True)
        np.testing.assert_array_equal(
            in_tf32.to_numpy(y), np.maximum(SLOW.max_pool(in_tf32.to_numpy(got[0]), pool)[0], 0)
        )
        assert pooled is not None
        for one, other in zip(got, expected, strict=True):
            error = np.abs(in_tf32.to_numpy(one) - other).max() / np.abs(other).max()
            assert least <= error <= most


def test_tf32_passes_on_what_is_no_number(in_tf32: Any) -> None:
    x = np.zeros((3, 1, 1, 4), np.float32)
    x[:, 0, 0, 0] = np.nan, np.inf, 1 + 2.0**-11  # half way between two values with 11 bits: away from zero
    w = in_tf32.asarray(np.eye(4, dtype=np.float32)[None, None])
    spec = ConvSpec(3, 4, 4, sliding_window(1, 1, 1, 1, 0), np.dtype(np.float32))
    y, _ = implicit_gemm.ImplicitGemm(in_tf32).forward(in_tf32.asarray(x), w, None, spec)
    np.testing.assert_array_equal(in_tf32.to_numpy(y)[:, 0, 0, 0], [np.nan, np.inf, 1 + 2.0**-10])


def test_float64_stays_exact_in_tf32(in_tf32: Any) -> None:
    subject = ConvAlgorithmSubject("implicit_gemm", implicit_gemm.ImplicitGemm, [POINTS], in_tf32.name)
    subject.run_check("adjoint")


SIZES = [(1, 1, 1), (3, 5, 1), (2, 700, 3), (130, 33, 65), (129, 36, 68), (4, 1024, 128)]
"""Rows, depth and columns: single elements, lines that are not a multiple of a pack, more than a tile, split depths."""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("transposed", [False, True])
def test_matrix_products_of_any_size(sizes: Any, transposed: bool, dtype: Any, device: Any) -> None:
    rows, depth, columns = sizes
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, depth), (columns, depth)))
    left = device.asarray(a.T.copy()).T if transposed else device.asarray(a)
    got = [device.to_numpy(matmul.matmul(device.xp, left, device.asarray(b).T, False)) for _ in range(2)]
    np.testing.assert_array_equal(*got)
    expected = a.astype(np.float64) @ b.T
    np.testing.assert_allclose(
        got[0], expected, rtol=0, atol=np.finfo(dtype).eps * 4 * depth**0.5 * abs(expected).max()
    )
    assert got[0].dtype == dtype


def test_matrix_products_in_tf32_round_their_factors(in_tf32: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((33, 300)).astype(np.float32), rng.standard_normal((300, 20)).astype(np.float32)
    few_bits = [np.round(256 * factor) / 256 for factor in (a, b)]
    for factors, least, most in ((few_bits, 0, 1e-6), ((a, b), 1e-5, 2e-3)):
        got = in_tf32.to_numpy(matmul.matmul(in_tf32.xp, *map(in_tf32.asarray, factors), True))
        expected = factors[0].astype(np.float64) @ factors[1]
        assert least <= np.abs(got - expected).max() / np.abs(expected).max() <= most


def test_an_empty_sum_is_zero(device: Any) -> None:
    product = matmul.matmul(device.xp, device.xp.zeros((2, 0), np.float32), device.xp.zeros((0, 3), np.float32), False)
    np.testing.assert_array_equal(device.to_numpy(product), np.zeros((2, 3), np.float32))


def test_which_algorithm_auto_takes(device: Any) -> None:
    def spec(C: int, stride: int = 1, dtype: Any = np.float32, K: int = 32) -> ConvSpec:
        return ConvSpec(2, C, K, sliding_window(20, 20, 3, stride, 0), np.dtype(dtype))

    sizes = [
        spec(1),
        spec(3),
        spec(32),
        spec(32, K=30),
        spec(30),
        spec(32, stride=2),
        spec(1, stride=2),
        spec(1, dtype=np.float16),
    ]
    names = [choose("auto", one, device).name for one in sizes]
    assert names == ["first_layer"] * 2 + ["implicit_gemm"] + ["gemm"] * 4 + ["direct"]


@pytest.mark.parametrize(
    ("name", "for_dx", "for_dw"),
    [
        ("gemm", "col2im", "im2col"),
        ("first_layer", "col2im", "weight_gradients"),
        ("implicit_gemm", "convolve", "correlate"),
    ],
)
def test_fused_passes_launch_nothing_for_gradients_that_nobody_needs(
    device: Any, monkeypatch: pytest.MonkeyPatch, name: str, for_dx: str, for_dw: str
) -> None:
    launched = launches_of(monkeypatch, conv, implicit_gemm)
    *arrays, spec = ConvExample((2, 6, 6, 4), (3, 3, 4, 8)).arrays(np.float32)
    x, w, b, _ = map(device.asarray, arrays)
    pool = sliding_window(4, 4, 2, 2, 0)
    algorithm = md.plugins.build("conv_algorithm", name, device)
    y, pooled = algorithm.forward_pooled(x, w, b, spec, pool, True)

    def gradients(*needed: bool) -> Any:
        launched.clear()
        return algorithm.backward_pooled(y, pooled, needed)

    everything = gradients(True, True, True)
    for needed in list(itertools.product((True, False), repeat=3))[:-1]:
        for grad, expected, wanted in zip(gradients(*needed), everything, needed, strict=True):
            assert (grad is not None) == wanted
            if wanted:
                np.testing.assert_array_equal(device.to_numpy(grad), device.to_numpy(expected))
        needs_dx, needs_dw, needs_db = needed
        names = {full.partition("<")[0] for full in launched}
        assert (for_dx in names) == needs_dx
        assert (for_dw in names) == (needs_dw or (name == "first_layer" and needs_db))  # there one kernel computes both
