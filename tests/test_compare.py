"""Comparisons and logic of tensors against NumPy."""

import math
import operator
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl.errors import DtypeError, ShapeError

RELATIONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
LOGIC = [operator.and_, operator.or_, operator.xor]
NUMBERS = [0.1, 0.7, 1 / 3, 16777217, -1, 0, True, np.float64(0.1), np.float32(0.7), np.int8(3), np.array(0.1)]


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_takes_the_dtype_of_the_tensor(relation: Any, number: Any) -> None:
    values = np.array([number, -2.0, 3.5], np.float32)
    expected = relation(values, np.float32(number))
    for got in (relation(md.tensor(values), number), relation(values.tolist(), md.tensor(values))):
        assert got.dtype == np.bool_
        assert not got.requires_grad
    np.testing.assert_array_equal(relation(md.tensor(values), number).numpy(), expected)


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "float16", "float64"])
def test_tensors_compare_as_arrays_do(relation: Any, dtype: str) -> None:
    a, b = np.array([[0, 1, 2]], dtype), np.array([[1], [0]], dtype)
    np.testing.assert_array_equal(relation(md.tensor(a), md.tensor(b)).numpy(), relation(a, b))


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("number", [0.5, 200, 300, -1, 2**24 + 1, float(2**24 + 1)])
def test_integers_compare_exactly(relation: Any, number: Any) -> None:
    for dtype in ("int64", "int32", "uint8"):
        x = np.array([0, 1, 200, 2**24 % 251, 2**24 + 1 if dtype != "uint8" else 7], dtype)
        np.testing.assert_array_equal(
            relation(md.tensor(x), number).numpy(), relation(x.astype(object), number).astype(bool)
        )


FAR = [10**30, 2**64, 2**63, 10**400, 70000, 1e300, np.float64(1e300), np.float32(3e38), 3.4028235e38, math.inf]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("number", [*FAR, *(-number for number in FAR), math.nan], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint64", "bool"])
def test_a_number_beyond_those_of_the_dtype_compares_as_what_it_is(relation: Any, number: Any, dtype: str) -> None:
    if np.dtype(dtype).kind == "f":
        ends = [math.inf, np.finfo(dtype).max, 1.0, 0.0, -1.0, np.finfo(dtype).min, -math.inf, math.nan]
    else:
        ends = [0, 1] if dtype == "bool" else [np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max]
    x, plain = np.array(ends, dtype), number if isinstance(number, int) else float(number)
    if dtype == "float32" and abs(plain) == 3.4028235e38:  # the decimals of the largest one
        plain = math.copysign(float(np.finfo(dtype).max), plain)
    found = relation(md.tensor(x), number), relation(number, md.tensor(x))
    expected = [relation(one, plain) for one in x.tolist()], [relation(plain, one) for one in x.tolist()]
    assert tuple(y.numpy().tolist() for y in found) == expected


def test_dtypes_that_differ_are_an_error_as_in_arithmetic() -> None:
    with pytest.raises(DtypeError, match="different dtypes"):
        md.tensor([1.0]) == md.tensor(np.ones(1))  # noqa: B015


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ShapeError, match=r"Less: failed for input shapes \(2,\) and \(3,\)"):
        md.tensor([1.0, 2.0]) < md.tensor([1.0, 2.0, 3.0])  # noqa: B015
    t, other = md.tensor([1.0, 2.0]), md.tensor([1.0, 2.0, 3.0])
    assert t in [t, other]
    with pytest.raises(ShapeError, match=r"any\(x is y for y in ...\)"):
        assert t in [md.tensor([0.0, 2.0]), t]


def test_what_has_no_numbers_is_not_equal() -> None:
    x = md.tensor([1.0])
    assert (x == None) is False  # noqa: E711
    assert (x != "one") is True
    with pytest.raises(TypeError, match="'<' not supported"):
        x < None  # noqa: B015


@pytest.mark.parametrize("logic", LOGIC)
def test_logic_of_booleans(logic: Any) -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    x = md.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    np.testing.assert_array_equal(logic(md.tensor(a), md.tensor(b)).numpy(), logic(a, b))
    np.testing.assert_array_equal(logic(x > 2, b).numpy(), logic(x.numpy() > 2, b))
    np.testing.assert_array_equal(logic(b, x > 2).numpy(), logic(b, x.numpy() > 2))
    np.testing.assert_array_equal(logic(md.tensor(a), True).numpy(), logic(a, True))
    bits = np.array([5, 12], np.uint8)
    assert logic(md.tensor(bits), md.tensor(bits[::-1])).numpy().tolist() == logic(bits, bits[::-1]).tolist()


def test_not() -> None:
    x = md.tensor([1.0, 2.0], requires_grad=True)
    assert (~(x > 1)).numpy().tolist() == [True, False]
    assert (~md.tensor([5], dtype=np.int8)).item() == -6


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: (x > 0) & x,
        lambda x: x | True,
        lambda x: ~x,
        lambda x: x > 0 & x,
    ],
)
def test_logic_of_floats_says_to_compare_first(wrong: Any) -> None:
    with pytest.raises(DtypeError, match=r"compare first, with parentheses as in \(x > 0\) & \(x < 1\)"):
        wrong(md.tensor([1.0, 2.0]))
