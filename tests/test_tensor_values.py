"""The data of a tensor, and tensors combined with scalars, arrays and NumPy functions."""

import operator
import re
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl.errors import DtypeError, GraphError, ShapeError

from .tensors import leaf


@pytest.mark.parametrize("data", [10**30, [1.5, 10**30], [[-(10**400)]]], ids=["one", "in a list", "no float either"])
def test_an_integer_that_no_dtype_holds_is_told_from_what_is_no_number(data: Any) -> None:
    with pytest.raises(
        DtypeError, match="expected numbers of at most 64 bits, got a larger integer: write it as a float"
    ):
        md.tensor(data)


def test_an_integer_is_an_index_and_nothing_else_is() -> None:
    most = md.tensor([0.1, 0.7, 0.2]).argmax()
    assert (["a", "b", "c"][most], list(range(most)), np.arange(3)[most]) == ("b", [0], 1)
    for other in (md.tensor(1.0), md.tensor([1]), md.tensor(True)):
        with pytest.raises(DtypeError, match=r"only an integer is an index, got a tensor of .* use int\(x\)"):
            range(other)  # type: ignore[call-overload]


def test_a_tensor_shows_itself_where_a_comparison_of_numpy_says_whether_it_wants_a_gradient() -> None:
    assert repr(md.tensor([1.0], requires_grad=np.True_)) == "tensor([1.], requires_grad=True)"  # type: ignore[arg-type]


def test_tensor_copies_and_keeps_the_dtype() -> None:
    array = np.ones(2)
    x = md.tensor(array)
    array[0] = 7
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x.numpy(), [1, 1])
    assert md.tensor([1.0]).dtype == np.float32
    assert md.tensor(2.0).dtype == np.float32
    assert md.tensor([1, 2]).dtype == np.int64
    assert md.tensor(np.ones(2), dtype=np.float32).dtype == np.float32
    y = md.tensor(x)
    y.data[0] = 9
    assert x.data[0] == 1


@pytest.mark.parametrize("bad", ["text", ["a"], [1j], [None]])
def test_only_numbers_make_tensors(bad: Any) -> None:
    with pytest.raises(DtypeError, match="numbers or booleans"):
        md.tensor(bad)
    with pytest.raises(DtypeError, match=r"^Add: expected numbers or booleans"):
        leaf(1.0) + bad
    with pytest.raises(DtypeError, match=r"^ReLU: expected numbers or booleans"):
        md.nn.functional.relu(bad)


def test_integers_have_no_gradient() -> None:
    with pytest.raises(DtypeError, match="only floating-point tensors have gradients, got int64"):
        md.tensor([1, 2], requires_grad=True)


@pytest.mark.parametrize("operate", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
@pytest.mark.parametrize("other", [2, 2.5, np.float64(2.5), np.float32(2.5), np.int64(2), True])
def test_numbers_take_the_dtype_of_the_tensor(operate: Any, other: Any) -> None:
    x = leaf(1.5, 2.0)
    for y, expected in ((operate(x, other), operate(x.data, other)), (operate(other, x), operate(other, x.data))):
        assert isinstance(y, md.Tensor)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.numpy(), np.asarray(expected, np.float32), rtol=1e-6)


def test_arrays_beside_tensors() -> None:
    x = leaf(1.0, 2.0)
    y = np.ones(2, np.float32) + x
    assert isinstance(y, md.Tensor)
    assert (x * np.array([1, 2])).dtype == np.float32
    assert (x * np.array([True, False])).dtype == np.float32
    assert (x * md.tensor([3, 4])).dtype == np.float32
    with pytest.raises(DtypeError, match=re.escape("float64 meets tensors of float32: convert it with .astype")):
        x * np.ones(2)
    with pytest.raises(DtypeError, match=r"different dtypes, float32 \(2,\) and float64 \(2,\): .*astype"):
        x * md.tensor(np.ones(2))


def test_astype_takes_the_gradient_back() -> None:
    x = leaf(1.0, 2.0)
    y = x.astype(np.float64)
    assert y.dtype == np.float64
    (y * y).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [2, 4])


def test_conversions_and_looks() -> None:
    x = md.tensor([[1.0, 2.0]])
    assert (x.shape, x.ndim, x.size, len(x), x.backend.name) == ((1, 2), 2, 2, 1, "numpy")
    assert repr(leaf(1.0)) == "tensor([1.], requires_grad=True)"
    assert repr(md.tensor(np.ones(1))) == "tensor([1.], dtype=float64)"
    assert float(md.tensor(3.0)) == md.tensor([[3.0]]).item() == 3.0
    assert bool(md.tensor(1.0) > 0)
    assert (f"{md.tensor([2.0]):.2f}", f"{x}", int(md.tensor(3))) == ("2.00", "tensor([[1., 2.]])", 3)
    assert md.tensor([0.1], dtype=np.float64).item() == 0.1
    with pytest.raises(ShapeError, match=r"of shape \(1, 2\) is neither true nor false"):
        bool(x)
    assert [row.shape for row in x] == [(2,)]
    np.testing.assert_array_equal((x == md.tensor([[1.0, 5.0]])).numpy(), [[True, False]])
    np.testing.assert_array_equal((x != 1).numpy(), [[False, True]])
    np.testing.assert_array_equal((x > 1).numpy(), [[False, True]])
    assert len({x, x}) == 1
    np.testing.assert_array_equal(x.T.numpy(), [[1], [2]])


@pytest.mark.parametrize("data", [[1.0, 2.0], (1.0,), 3.0, None, "a", md.tensor([1.0])])
def test_a_tensor_holds_an_array(data: Any) -> None:
    for kind in (md.Tensor, md.nn.Buffer):
        with pytest.raises(DtypeError, match=rf"expected an array, got {type(data).__name__}: md\.tensor\("):
            kind(data)


@pytest.mark.parametrize(
    "compute",
    [
        np.exp,
        np.isnan,
        np.divmod,
        np.add.reduce,
        lambda x: np.add(x, 1),
        lambda x: np.multiply(np.ones(2), x, dtype=np.float64),
    ],
)
def test_ufuncs_of_numpy_say_what_to_write(compute: Any) -> None:
    x = md.tensor([1.0, 2.0])
    with pytest.raises(GraphError, match=r"np\.\w+ does not support tensors.* or x\.numpy\(\)"):
        compute(x, x) if compute is np.divmod else compute(x)
    array = np.ones(2, np.float32)
    with pytest.raises(GraphError, match=r"np\.add does not support tensors"):
        array += x
    assert array.tolist() == [1, 1]


@pytest.mark.parametrize(
    "operate",
    [
        lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a**b,
        lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a > b, lambda a, b: a >= b, lambda a, b: a == b,
        lambda a, b: a != b, lambda a, b: (a > 2) & (b > 2), lambda a, b: (a > 2) | (b > 2),
        lambda a, b: (a > 2) ^ (b > 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("a", [np.float32([1, 2, 3]), np.float32(2), np.array(2, np.float32), np.float64(2)])
def test_operators_with_an_array_or_a_scalar_of_numpy_first_are_the_tensors(operate: Any, a: Any) -> None:
    b = np.float32([3, 2, 1])
    x = md.tensor(b, requires_grad=True)
    y = operate(a, x)
    assert isinstance(y, md.Tensor)
    np.testing.assert_array_equal(y.numpy(), operate(a, b).astype(y.dtype))
    assert y.requires_grad == (y.dtype == np.float32)
