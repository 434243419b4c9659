"""Creation of tensors from zeros, ones, random numbers, ranges and arrays: dtype, shape, backend and memory."""

from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl.errors import DtypeError, MinidlError, ShapeError

MAKERS: list[Any] = [md.zeros, md.ones, md.randn]


@pytest.mark.parametrize("make", MAKERS)
def test_a_shape_is_sizes_or_one_tuple_and_gives_float32(make: Any) -> None:
    for shape in ((2, 3), ((2, 3),), ([2, 3],)):
        x = make(*shape)
        assert (x.shape, x.dtype, x.requires_grad) == ((2, 3), np.float32, False)
    assert make(2).shape == make((2,)).shape == make(np.int64(2)).shape == (2,)
    assert make(()).shape == ()
    assert make(0, 3).shape == (0, 3)
    assert make(2, dtype=np.float64).dtype == np.float64
    assert make(2, dtype=None).dtype == np.float32


@pytest.mark.parametrize("make", [*MAKERS, md.arange, lambda n, **options: md.from_numpy(np.ones(n), **options)])
def test_what_is_made_is_a_leaf_on_the_backend_that_was_named(make: Any) -> None:
    x = make(2.0 if make is md.arange else 2, requires_grad=True, backend="strict")
    assert (x.backend.name, x.op) == ("strict", None)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.backend.to_numpy(x.grad), 2 * x.numpy())


def test_zeros_and_ones_are_what_they_say() -> None:
    np.testing.assert_array_equal(md.zeros(3).numpy(), [0, 0, 0])
    np.testing.assert_array_equal(md.ones(3, dtype=np.int64).numpy(), [1, 1, 1])


def test_random_numbers_repeat_from_the_seed_on_every_backend() -> None:
    md.seed(3)
    first, second = md.randn(50, 40), md.randn(50, 40)
    assert abs(first.numpy().mean()) < 0.1
    assert abs(first.numpy().std() - 1) < 0.1
    assert not np.array_equal(first.numpy(), second.numpy())
    md.seed(3)
    np.testing.assert_array_equal(md.randn(50, 40, backend="strict").numpy(), first.numpy())
    np.testing.assert_array_equal(md.randn(50, 40, rng=md.Generator(3)).numpy(), first.numpy())
    np.testing.assert_array_equal(md.randn(50, 40).numpy(), second.numpy())  # rng= is the only source


@pytest.mark.parametrize(
    ("given", "dtype", "values"),
    [
        ((4,), np.int64, [0, 1, 2, 3]),
        ((1, 4), np.int64, [1, 2, 3]),
        ((4, 0, -2), np.int64, [4, 2]),
        ((3.0,), np.float32, [0, 1, 2]),
        ((0, 1, 0.25), np.float32, [0, 0.25, 0.5, 0.75]),
        ((np.float64(0), 1, 0.5), np.float32, [0, 0.5]),
        ((2, 2), np.int64, []),
    ],
)
def test_a_range_of_integers_is_int64_and_any_other_float32(given: Any, dtype: Any, values: Any) -> None:
    x = md.arange(*given)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.numpy(), values)
    assert md.arange(*given, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_from_numpy_keeps_the_dtype_and_shares_no_memory(dtype: Any) -> None:
    array = np.ones(3, dtype)
    x = md.from_numpy(array)
    array[0] = 0
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.numpy(), [1, 1, 1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: md.zeros(2, 2.5), ShapeError, r"integers >= 0, .* got \(2, 2\.5\)"),
        (lambda: md.ones(-1), ShapeError, r"got \(-1,\)"),
        (lambda: md.zeros(True), ShapeError, r"got \(True,\)"),
        (lambda: md.zeros(2, np.float64), ShapeError, "a dtype is passed as dtype=np.float64"),
        (lambda: md.zeros(2, dtype=int, requires_grad=True), DtypeError, "have gradients, got int64"),
        (lambda: md.arange(2, requires_grad=True), DtypeError, "have gradients, got int64: use dtype=np.float32"),
        (lambda: md.randn(2, dtype=int), DtypeError, "draws float32 or float64, got int64"),
        (lambda: md.arange(0, 1, 0), MinidlError, "a step other than 0, got 0, 1, 0"),
        (lambda: md.arange(np.inf), MinidlError, "finite numbers .* got inf, None, 1"),
        (lambda: md.arange("3"), MinidlError, "got '3', None, 1"),
        (lambda: md.from_numpy([1.0]), MinidlError, r"a NumPy array, got list: md\.tensor"),  # type: ignore[arg-type]
    ],
)
def test_mistakes(call: Any, error: type[MinidlError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
