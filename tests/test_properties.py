"""Properties for all shapes, strides, paddings, dtypes and broadcasting; Hypothesis searches for a counterexample."""

from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as md
from minidl import nn, ops
from minidl.errors import ShapeError
from minidl.kernels.conv import ConvSpec
from minidl.kernels.numpy.conv import im2col, per_chunk
from minidl.kernels.window import sliding_window
from minidl.testing import gradcheck
from minidl.testing.arrays import numbers
from minidl.testing.check_conv import ConvAlgorithmSubject, ConvExample
from minidl.testing.kit import CheckError, NotApplicable

from .kernels import ON_A_GPU

F = nn.functional
SMALL = settings(max_examples=40, deadline=None, derandomize=True)
DTYPES = st.sampled_from([np.float32, np.float64])
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
SIDES = st.integers(1, 3)
PADDINGS = st.one_of(
    st.sampled_from(["valid", "same"]),
    st.integers(0, 2),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.tuples(st.integers(0, 2), st.integers(0, 2))),
)


def check_linear(function: Any, *shapes: tuple[int, ...]) -> None:
    """For a linear function, <c, f(x)> = <gradient, x> for every c."""
    leaves = [md.tensor(numbers(*shape, seed=i), requires_grad=True) for i, shape in enumerate(shapes)]
    y = function(*leaves)
    c = numbers(*y.shape, seed=7)
    y.backward(c)
    products = sum(float((x.grad * x.data).sum()) for x in leaves)
    assert products == pytest.approx(float((c * y.numpy()).sum()), rel=1e-9, abs=1e-9)
    assert all(x.grad.shape == x.shape for x in leaves)


@SMALL
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4), DTYPES, st.sampled_from("+-*/"))
def test_binary_ops_broadcast_as_numpy_does(shapes: Any, dtype: Any, symbol: str) -> None:
    arrays = [numbers(*shape, low=0.5, high=3.0, seed=i).astype(dtype) for i, shape in enumerate(shapes.input_shapes)]
    leaves = [md.tensor(array, requires_grad=True) for array in arrays]
    operate = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
    }[symbol]
    y, expected = operate(*leaves), operate(*arrays)
    assert (y.dtype, y.shape) == (dtype, shapes.result_shape)
    np.testing.assert_array_equal(y.numpy(), expected)
    y.backward(np.ones(y.shape, dtype))
    for leaf, array in zip(leaves, arrays, strict=True):
        assert (leaf.grad.dtype, leaf.grad.shape) == (dtype, array.shape)
    if dtype == np.float64 and max(array.size for array in arrays) <= 48:
        assert gradcheck(operate, *arrays).worst < 1e-8


@SMALL
@given(SHAPES, st.data(), st.booleans(), DTYPES)
def test_reductions(shape: tuple[int, ...], data: Any, keepdims: bool, dtype: Any) -> None:
    axes = data.draw(st.none() | hnp.valid_tuple_axes(len(shape), min_size=1))
    x = numbers(*shape).astype(dtype)
    for name in ("sum", "mean", "max", "min", "var"):
        y = getattr(md.tensor(x), name)(axis=axes, keepdims=keepdims)
        expected = getattr(x, name)(axis=axes, keepdims=keepdims)
        assert (y.dtype, y.shape) == (dtype, np.shape(expected))
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-6)
    if x.size <= 64:
        for name in ("sum", "mean", "max", "min", "var"):
            gradcheck(lambda x, name=name: getattr(x, name)(axis=axes, keepdims=keepdims), x)


@SMALL
@given(SHAPES, st.data())
def test_changes_of_shape_are_linear(shape: tuple[int, ...], data: Any) -> None:
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    check_linear(lambda x: x[index], shape)
    order = data.draw(st.permutations(range(len(shape))))
    check_linear(lambda x: x.transpose(*order), shape)
    check_linear(lambda x: x.reshape(-1), shape)
    widths = tuple(data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in shape)
    check_linear(lambda x: F.pad(x, widths), shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    check_linear(lambda x, y: F.concatenate([x, y, x], axis=axis), shape, shape)
    check_linear(lambda x, y: F.stack([x, y], axis=axis), shape, shape)


@SMALL
@given(SHAPES, st.data())
def test_elements_that_are_picked_several_times_get_the_sum(shape: tuple[int, ...], data: Any) -> None:
    rows = data.draw(hnp.arrays(np.int64, st.integers(1, 6), elements=st.integers(-shape[0], shape[0] - 1)))
    check_linear(lambda x: x[rows], shape)


@SMALL
@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=4), DTYPES)
def test_matrix_products(shapes: Any, dtype: Any) -> None:
    a, b = (numbers(*shape, seed=i).astype(dtype) for i, shape in enumerate(shapes.input_shapes))
    y = md.tensor(a) @ md.tensor(b)
    assert (y.dtype, y.shape) == (dtype, shapes.result_shape)
    np.testing.assert_allclose(y.numpy(), a @ b, rtol=1e-4, atol=1e-5)
    check_linear(lambda a: a @ md.tensor(b.astype(np.float64)), a.shape)
    check_linear(lambda b: md.tensor(a.astype(np.float64)) @ b, b.shape)


@settings(SMALL, max_examples=80)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), SIDES),
    st.tuples(SIDES, SIDES),
    SIDES,
    st.tuples(SIDES, SIDES),
    PADDINGS,
    st.sampled_from(sorted({*md.plugins.names("conv_algorithm")} - ON_A_GPU)),
)
def test_convolutions(x: Any, kernel: Any, filters: int, stride: Any, padding: Any, name: str) -> None:
    example = ConvExample(x, (*kernel, x[3], filters), {"stride": stride, "padding": padding})
    try:
        example.arrays()
    except ShapeError:
        assume(False)
    subject = ConvAlgorithmSubject(name, md.plugins.get("conv_algorithm", name), [example])
    for check in ("adjoint", "forward", "input_gradient", "weight_gradient", "pooled"):
        try:
            subject.run_check(check)
        except NotApplicable:
            continue


@settings(SMALL, max_examples=60)
@given(
    st.tuples(st.integers(1, 20), st.integers(3, 12), st.integers(3, 12), SIDES),
    st.tuples(st.sampled_from([1, 2, 3, 3, 3]), SIDES),
    SIDES,
    st.sampled_from([(1, 1), (1, 1), (1, 2), (2, 1), (3, 2)]),
    PADDINGS,
    st.tuples(SIDES, SIDES),
    st.tuples(SIDES, SIDES),
    st.sampled_from([1, 1000, 1 << 20]),
)
def test_all_algorithms_in_one_pass_or_three(
    x: Any, kernel: Any, filters: int, stride: Any, padding: Any, size: Any, step: Any, piece: int
) -> None:
    """Fused convolution, ReLU and max pooling agree with the direct convolution and the reference kernels.

    Pooling windows overlap or leave pixels out as they come; ``piece`` cuts the work into small pieces and large ones.
    """
    try:
        window = sliding_window(*x[1:3], kernel, stride, padding)
        pool = sliding_window(window.OH, window.OW, size, step, 0)
    except ShapeError:
        assume(False)
    spec = ConvSpec(x[0], x[3], filters, window, np.dtype(np.float64))
    rng = np.random.default_rng(0)  # no integers: sums that are 0 except for rounding would be kinks
    arrays = [rng.normal(size=shape) for shape in (x, (*kernel, x[3], filters), filters)]
    dy = rng.normal(size=(spec.N, pool.OH, pool.OW, filters))

    def results(pooled: Any) -> list[Any]:
        leaves = [md.tensor(array, requires_grad=True) for array in arrays]
        y = pooled(*leaves)
        y.backward(dy)
        return [y.numpy(), *(leaf.grad for leaf in leaves)]

    def in_three(name: str) -> Any:
        return lambda x, w, b: F.max_pool2d(F.relu(F.conv2d(x, w, b, stride, padding, algorithm=name)), size, step)

    expected = results(in_three("direct"))
    with mock.patch.object(per_chunk, "CHUNK_BYTES", piece), mock.patch.object(im2col, "COLUMNS_BYTES", piece):
        for name in md.plugins.names("conv_algorithm"):
            algorithm = md.plugins.build("conv_algorithm", name, md.backends.default)
            if not algorithm.supports(spec):
                continue
            in_one = partial(ops.Conv2DReLUMaxPool2D.apply, algorithm=algorithm, spec=spec, pool=pool)
            for way in (in_three(name), in_one):
                for got, wanted in zip(results(way), expected, strict=True):
                    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10, err_msg=name)


@SMALL
@given(st.integers(1, 8), st.integers(1, 8), st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), PADDINGS, DTYPES)
def test_pooling_by_its_definition(H: int, W: int, size: Any, stride: Any, padding: Any, dtype: Any) -> None:
    x = numbers(2, H, W, 2).astype(dtype)
    try:
        window = sliding_window(H, W, size, stride, padding)
    except ShapeError:
        assume(False)
    assume(max(window.top, window.bottom) < size[0] and max(window.left, window.right) < size[1])
    ys = {name: getattr(F, name)(md.tensor(x), size, stride, padding) for name in ("max_pool2d", "avg_pool2d")}
    for i in range(window.OH):
        for j in range(window.OW):
            top, left = i * window.SH - window.top, j * window.SW - window.left
            rows = slice(max(top, 0), max(top + window.KH, 0))
            columns = slice(max(left, 0), max(left + window.KW, 0))
            under = x[:, rows, columns]
            if under.shape[1] and under.shape[2]:
                np.testing.assert_array_equal(ys["max_pool2d"].numpy()[:, i, j], under.max(axis=(1, 2)))
                np.testing.assert_allclose(ys["avg_pool2d"].numpy()[:, i, j], under.mean(axis=(1, 2)), rtol=1e-5)
    assert {y.dtype for y in ys.values()} == {np.dtype(dtype)}
    check_linear(lambda x: F.avg_pool2d(x, size, stride, padding), x.shape)


@SMALL
@given(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5), st.floats(-50, 50), DTYPES)
def test_softmax_does_not_depend_on_a_constant(shape: tuple[int, ...], shift: float, dtype: Any) -> None:
    x = numbers(*shape).astype(dtype)
    one, other = (F.softmax(md.tensor(array)).numpy() for array in (x, x + dtype(shift)))
    np.testing.assert_allclose(one, other, rtol=1e-4 if dtype == np.float32 else 1e-10)
    np.testing.assert_allclose(one.sum(axis=-1), 1, rtol=1e-6)


def test_the_search_can_fail() -> None:
    """A convolution algorithm that is wrong only for strides is detected."""
    direct = md.plugins.get("conv_algorithm", "direct")

    class WrongForStrides(direct):  # type: ignore[misc, valid-type]
        def input_gradient(self, dy: Any, w: Any, spec: Any, saved: Any) -> Any:
            factor = 1.5 if spec.window.SH > 1 else 1
            return factor * super().input_gradient(dy, w, spec, saved)

    @settings(SMALL, max_examples=60)
    @given(st.integers(3, 6), SIDES)
    def search(size: int, stride: int) -> None:
        example = ConvExample((1, size, size, 1), (2, 2, 1, 1), {"stride": stride})
        ConvAlgorithmSubject("wrong", WrongForStrides, [example]).run_check("adjoint")

    with pytest.raises(CheckError, match="<dy, y>"):
        search()
