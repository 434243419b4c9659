"""Results, saved arrays and errors of the ops."""

import warnings
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.errors import DtypeError, ShapeError
from minidl.kernels.numpy.elementwise import keep_where
from minidl.op import Op
from minidl.testing.arrays import numbers
from minidl.testing.examples import OPS

F = nn.functional


def test_average_pooling_does_not_count_the_padding() -> None:
    y = F.avg_pool2d(md.tensor(np.ones((1, 3, 3, 1), np.float32)), 2, stride=2, padding=1)
    np.testing.assert_array_equal(y.numpy(), np.ones((1, 2, 2, 1)))


def test_max_pooling_pads_with_minus_infinity() -> None:
    y = F.max_pool2d(md.tensor(-np.ones((1, 2, 2, 1), np.float32)), 2, stride=1, padding=1)
    np.testing.assert_array_equal(y.numpy(), -np.ones((1, 3, 3, 1)))


def gradient(call: Any, *arrays: Any) -> list[Any]:
    inputs = [md.tensor(np.asarray(x, np.float64), requires_grad=True) for x in arrays]
    call(*inputs).sum().backward()
    return [x.grad.tolist() for x in inputs]


def test_of_equal_values_the_first_gets_the_gradient() -> None:
    tied = [[1, 3, 3], [3, 0, 0]]
    assert gradient(lambda x: x.max(), tied) == [[[0, 1, 0], [0, 0, 0]]]
    assert gradient(lambda x: x.max(axis=1), tied) == [[[0, 1, 0], [1, 0, 0]]]
    assert gradient(lambda x: x.min(axis=1), tied) == [[[1, 0, 0], [0, 1, 0]]]
    assert gradient(F.maximum, [2, 1], [2, 5]) == [[1, 0], [0, 1]]
    assert gradient(F.minimum, [2, 1], [2, 5]) == [[1, 1], [0, 0]]
    image = np.array([[7, 7], [7, 7]]).reshape(1, 2, 2, 1)
    assert np.ravel(gradient(lambda x: F.max_pool2d(x, 2), image)).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, np.int64(2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_the_position_of_the_extremum_is_numpys(axis: Any, keepdims: bool, backend: str) -> None:
    array = numbers(2, 3, 4)
    array[0, 1] = array[1, 1] = array[:, :, 2] = 9.0  # ties: the first one wins
    for x in (array, -array, array.round(), array > 0, array.transpose(2, 0, 1)):
        for name in ("argmax", "argmin"):
            y = getattr(md.tensor(x, backend=backend), name)(axis, keepdims)
            expected = getattr(np.asarray(x), name)(axis, keepdims=keepdims)
            assert (y.dtype, y.shape, y.backend.name) == (np.int64, np.shape(expected), backend)
            np.testing.assert_array_equal(y.numpy(), expected)


def test_a_position_has_no_gradient() -> None:
    x = md.tensor(numbers(2, 3), requires_grad=True)
    y = x.argmax(axis=1)
    assert (y.requires_grad, y.op) == (False, None)
    x[[0, 1], y].sum().backward()  # but its result has one
    np.testing.assert_array_equal(x.grad, x.data == x.data.max(axis=1, keepdims=True))
    assert (x.argmax(1) == x.data.argmax(1)).mean().item() == 1


def test_derivatives_at_the_kinks() -> None:
    assert gradient(F.relu, [0.0, -0.0, 1.0]) == [[0, 0, 1]]
    assert gradient(F.abs, [0.0, -2.0]) == [[0, -1]]
    assert gradient(lambda x: F.leaky_relu(x, 0.5), [0.0]) == [[0.5]]
    assert gradient(lambda x: F.clip(x, 0, 1), [0.0, 1.0, 1.5]) == [[1, 1, 0]]
    assert gradient(lambda x: x**0, [0.0, 2.0]) == [[0, 0]]


def test_not_a_number_is_not_swallowed() -> None:
    nan = md.tensor(np.array([np.nan, -1.0]))
    for y in (F.relu(nan), nan.max(), F.maximum(nan, 0), F.maximum(0, nan), F.minimum(nan, 0), F.clip(nan, 0, 1)):
        assert np.isnan(y.numpy()).any()
    image = np.full((1, 2, 2, 1), 1.0)
    for place in range(4):
        image.reshape(-1)[:] = 1.0
        image.reshape(-1)[place] = np.nan
        assert np.isnan(F.max_pool2d(md.tensor(image), 2).item())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_of_huge_logits(dtype: Any) -> None:
    x = md.tensor(np.array([1e4, -1e4, 1e4, -1e4], dtype), requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, np.array([1, 0, 0, 1]))
    loss.backward()
    assert loss.item() == 5e3
    np.testing.assert_allclose(x.grad, [0, 0, 0.25, -0.25])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_of_huge_logits(dtype: Any) -> None:
    x = md.tensor(np.array([[1e4, 0.0, -1e4]], dtype), requires_grad=True)
    loss = F.softmax_cross_entropy(x, np.array([2]))
    loss.backward()
    assert loss.item() == 2e4
    np.testing.assert_array_equal(x.grad, [[1, 0, -1]])
    np.testing.assert_array_equal(F.softmax(x).numpy(), [[1, 0, 0]])
    np.testing.assert_array_equal(F.sigmoid(md.tensor(np.array([-1e4, 1e4], dtype))).numpy(), [0, 1])


def test_losses_are_those_of_the_textbook() -> None:
    a, b = md.tensor([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 4.0], [2.0, 1.0]])
    assert F.l1_loss(a, b).item() == pytest.approx(7 / 4)
    assert F.mse_loss(a, b).item() == pytest.approx(21 / 4)
    assert F.huber_loss(a, b, delta=1.0).item() == pytest.approx((0 + 1.5 + 0.5 + 3.5) / 4)
    p = np.array([[0.3, 0.7], [0.9, 0.1]])
    assert F.softmax_cross_entropy(md.tensor(np.log(p)), [1, 0]).item() == pytest.approx(-np.log([0.7, 0.9]).mean())
    logits = np.log(p / (1 - p))
    expected = -(np.log([0.3, 0.3, 0.9, 0.9])).mean()
    assert F.binary_cross_entropy_with_logits(md.tensor(logits), [[1, 0], [1, 0]]).item() == pytest.approx(expected)


def test_dropout_keeps_the_mean_and_repeats_from_its_seed() -> None:
    x = md.tensor(np.ones((200, 100), np.float32))
    y = F.dropout(x, 0.3, rng=md.Generator(1)).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs(y.mean() - 1) < 0.02
    np.testing.assert_array_equal(F.dropout(x, 0.3, rng=md.Generator(1)).numpy(), y)
    assert F.dropout(x, 0.3, training=False) is x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.conv2d(x, np.ones((3, 3, 4, 8))), r"Conv2D: expected input \(N, H, W, C=4\), got \(2, 5, 6, 3\)"),
        (lambda x: F.conv2d(x.transpose(0, 3, 1, 2), np.ones((3, 3, 3, 8))), r"NHWC.*transpose\(0, 2, 3, 1\)"),
        (lambda x: F.conv2d(x[0], np.ones((3, 3, 3, 8))), r"batch axis.*reshape\(1, 5, 6, 3\)"),
        (lambda x: F.conv2d(x, np.ones((7, 3, 3, 8))), "7x3 kernel does not fit into the 5x6 image"),
        (lambda x: F.conv2d(x, np.ones((3, 3, 3, 8)), stride=0), "stride must be an integer >= 1"),
        (lambda x: F.conv2d(x, np.ones((3, 3, 3, 8)), padding="full"), "'valid', 'same'"),
        (lambda x: F.conv2d(x, np.ones((3, 3, 3, 8)), np.ones(7)), r"bias of shape \(8,\).*, got \(7,\)"),
        (lambda x: F.max_pool2d(x, 6), "does not fit"),
        (lambda x: F.max_pool2d(x, 2, padding=-1), "padding must be an integer >= 0"),
        (lambda x: F.max_pool2d(x, (2, 3), padding=(2, 0)), r"smaller than the pooling window of 2x3, got \(2, 0\)"),
        (lambda x: F.avg_pool2d(x, (3, 2), padding=((0, 0), (0, 2))), "smaller than the pooling window of 3x2"),
        (lambda x: x @ np.ones((4, 2)), "last axis .* 3 elements .* 4 rows .*: reshape or transpose"),
        (lambda x: x.reshape(7, -1), r"cannot reshape \(2, 5, 6, 3\) to \(7, -1\)"),
        (lambda x: x.sum(axis=4), "axis 4 is out of bounds"),
        (lambda x: x.mean(axis=(1, -3)), "names one axis twice"),
        (lambda x: x[:0].max(), "nothing to reduce"),
        (lambda x: x[:0].argmax(), "ArgMax: there is nothing to reduce"),
        (lambda x: x.argmin(axis=4), "ArgMin: axis 4 is out of bounds"),
        (lambda x: x.argmax(axis=(0, 1)), r"ArgMax: expected one axis, or None .*, got axis \(0, 1\)"),
        (lambda x: x.transpose(0, 1, 1, 2), "not a permutation"),
        (lambda x: x.sum().mean(axis=0), "for a scalar: omit axis"),
        (lambda x: F.conv2d(x[0, 0, 0], np.ones((3, 3, 3, 8))), "four axes: put this before any Flatten"),
        (lambda x: F.max_pool2d(x[0], 2), r"batch axis.*reshape\(1, 5, 6, 3\)"),
        (lambda x: F.batch_norm(x.transpose(0, 3, 1, 2), np.ones(3), np.ones(3)), r"NHWC.*transpose\(0, 2, 3, 1\)"),
        (lambda x: F.batch_norm(x[0, 0, 0], np.ones(3), np.ones(3)), "first axis is the batch axis"),
        (lambda x: F.batch_norm(x, np.ones(4), np.ones(4)), r"C=4\) .* got \(2, 5, 6, 3\).*BatchNorm\(3\)"),
        (lambda x: F.softmax_cross_entropy(x[0, 0, 0], [1]), "pass a batch"),
        (lambda x: F.softmax_cross_entropy(x[:, 0, 0], [-1, 0]), "got -1 ... 0: correct them"),
        (lambda x: F.binary_cross_entropy_with_logits(x[:, 0, 0], np.full((2, 3), np.nan)), "0 ... 1, got nan ... nan"),
        (lambda x: F.concatenate([x, x[:, :2]]), "must agree in all axes except axis 0"),
        (lambda x: F.stack([x, x[:, :2]]), "only equal shapes"),
        (
            lambda x: F.l1_loss(x[:, 0, 0, :1], np.ones(2)),
            r"targets of the shape .* \(2, 1\), got \(2,\): use targets.resh",
        ),
        (lambda x: F.binary_cross_entropy_with_logits(x[:, 0, 0], np.ones(2)), "targets of the shape"),
        (lambda x: F.softmax_cross_entropy(x[:, 0, 0], np.eye(3)[:2].astype(int)), r"argmax\(axis=1\)"),
        (lambda x: F.softmax_cross_entropy(x[:, 0, 0], [0, 3]), r"0 \.\.\. 2 for 3 classes, got 0 \.\.\. 3"),
        (lambda x: F.broadcast_to(x, (3, 5, 6, 3)), "cannot be broadcast"),
    ],
)
def test_shapes_that_do_not_fit(call: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call(md.tensor(numbers(2, 5, 6, 3)))


def test_float_labels_are_refused() -> None:
    with pytest.raises(DtypeError, match="integer class labels, got float64"):
        F.softmax_cross_entropy(md.tensor(numbers(2, 3)), np.zeros(2))


def test_an_op_that_promotes_is_caught() -> None:
    class Promotes(Op):
        def forward(self, x: Any) -> Any:
            return x * np.float64(2)

    with pytest.raises(DtypeError, match="Promotes: forward returned float64 for float32 inputs"):
        Promotes.apply(md.tensor([1.0]))


def test_no_op_warns_about_ordinary_numbers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for examples in OPS.values():
            for example in examples:
                example.call(*(md.tensor(x) for x in example.inputs))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_powers_have_the_gradients_of_pytorch() -> None:
    x = md.tensor([0.0, 0.0, 0.0, 0.0, -2.0, -2.0, np.inf], requires_grad=True)
    p = md.tensor([0.0, 1.0, 2.0, 0.5, 2.0, 3.0, 0.0], requires_grad=True)
    (x**p).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 1, 0, np.inf, -4, 12, 0])
    np.testing.assert_array_equal(p.grad, [0, 0, 0, 0, np.nan, np.nan, np.inf])


def test_x_to_the_0_is_flat_everywhere() -> None:
    for exponent in (0, 0.0, np.float64(0)):
        x = md.tensor([0.0, -1.0, 2.0], requires_grad=True)
        y = x**exponent
        y.sum().backward()
        np.testing.assert_array_equal(y.numpy(), [1, 1, 1])
        np.testing.assert_array_equal(x.grad, [0, 0, 0])


def test_functions_of_arrays_give_tensors_as_those_of_tensors_do() -> None:
    x, w = np.ones((2, 3), np.float32), np.ones((3, 3), np.float32)
    b = np.ones(3, np.float32)
    for y in (F.linear(x, w), F.linear(x, w, b), F.flatten(x), F.dropout(x, training=False), F.dropout(x, 0.0)):
        assert isinstance(y, md.Tensor)
        assert y.shape == x.shape


@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        (None, DtypeError, "expected numbers or booleans, got NoneType"),
        ("a", DtypeError, "expected numbers or booleans, got <U1"),
        ([None, True], DtypeError, "expected numbers or booleans, got list"),
        ([[True], [True, False]], ShapeError, "expected nested lists of equal lengths"),
    ],
)
def test_a_condition_is_booleans_or_numbers(condition: Any, error: Any, message: str) -> None:
    x = md.tensor([1.0, 2.0])
    with pytest.raises(error, match=f"Where: {message}"):
        F.where(condition, x, -x)
    for given in ([True, False], [1, 0], np.array([0.5, 0.0]), md.tensor([True, False])):
        assert F.where(given, x, -x).numpy().tolist() == [1, -2]
    assert F.where(True, x, -x).numpy().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("w", "b", "message"),
    [
        ((3,), None, r"expected weights \(in, out\), got \(3,\)"),
        ((2, 3, 4), None, r"expected weights \(in, out\), got \(2, 3, 4\)"),
        ((3, 4), (3,), r"expected a bias of shape \(4,\), one value per output, got \(3,\)"),
        ((3, 4), (2, 4), r"expected a bias of shape \(4,\), one value per output, got \(2, 4\)"),
    ],
)
def test_a_dense_layer_needs_weights_and_a_bias_of_its_shapes(w: Any, b: Any, message: str) -> None:
    arguments = [np.ones(shape, np.float32) for shape in ((2, 3), w, b) if shape is not None]
    with pytest.raises(ShapeError, match=message):
        F.linear(*map(md.tensor, arguments))


@pytest.mark.parametrize(("x", "w"), [((2, 3, 0), (0, 4)), ((2, 3, 4), (4, 0)), ((0, 4), (4, 2)), ((0,), (0, 2))])
def test_a_dense_layer_without_features_or_samples_has_gradients(x: Any, w: Any) -> None:
    given = [md.tensor(np.ones(shape), requires_grad=True) for shape in (x, w, w[1:])]
    F.linear(*given).sum().backward()
    assert [one.grad.shape for one in given] == [x, w, w[1:]]
    np.testing.assert_array_equal(given[2].grad, np.full(w[1:], np.prod(x[:-1])))


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_dense_layer_may_have_one_bias_for_all_outputs(shape: Any) -> None:
    b = md.tensor(np.full(shape, 0.5), requires_grad=True)
    y = F.linear(md.tensor(np.ones((2, 3))), md.tensor(np.ones((3, 4))), b)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, np.full((2, 4), 3.5))
    np.testing.assert_array_equal(b.grad, np.full(shape, 8.0))


def test_extended_floats_are_kept_where_a_mask_is_true() -> None:
    values, mask = np.array([1.5, np.inf, -2.0], np.longdouble), np.array([True, False, True])
    np.testing.assert_array_equal(keep_where(mask, values), [1.5, 0.0, -2.0])
    out = np.full(3, 7, np.longdouble)
    assert keep_where(mask, values, out) is out
    np.testing.assert_array_equal(out, [1.5, 0.0, -2.0])
