"""What the ops compute, keep and refuse."""

import itertools
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, ops
from minidl.errors import DtypeError, MinidlError, ShapeError
from minidl.op import Op
from minidl.ops.conv import conv_spec
from minidl.testing.arrays import numbers
from minidl.testing.examples import OPS

F = nn.functional


def naive_convolution(x: Any, w: Any, b: Any, stride: int, pad: int) -> Any:
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    N, H, W, C = x.shape
    KH, KW, _, K = w.shape
    y = np.zeros((N, (H - KH) // stride + 1, (W - KW) // stride + 1, K))
    for n, i, j, k in np.ndindex(*y.shape):
        y[n, i, j, k] = b[k]
        for kh, kw, c in np.ndindex(KH, KW, C):
            y[n, i, j, k] += x[n, i * stride + kh, j * stride + kw, c] * w[kh, kw, c, k]
    return y


CONVOLUTIONS = [
    *(
        (name, 1, pad)
        for name in ("auto", "direct", "fft", "im2col", "shifted", "winograd", "winograd2d")
        for pad in (0, 1)
    ),
    *((name, stride, stride - 1) for name in ("auto", "direct", "fft", "im2col") for stride in (2, 3)),
]


@pytest.mark.parametrize(("algorithm", "stride", "pad"), CONVOLUTIONS)
def test_conv2d_is_the_sum_of_its_definition(algorithm: str, stride: int, pad: int) -> None:
    x, w, b = numbers(2, 7, 6, 2), numbers(3, 3, 2, 3), numbers(3)
    y = F.conv2d(md.tensor(x), w, b, stride=stride, padding=pad, algorithm=algorithm)
    np.testing.assert_allclose(y.numpy(), naive_convolution(x, w, b, stride, pad), rtol=1e-12)


def test_the_operations_of_a_convolution_are_counted() -> None:
    spec = conv_spec(np.empty((5, 6, 9, 2)), np.empty((3, 4, 2, 7)), None, 1, 0)
    # 5 images of 4 x 6 outputs with 7 filters: 3 x 4 x 2 products, as many sums with the bias
    assert spec.flops == 5 * 4 * 6 * 7 * (3 * 4 * 2 + 3 * 4 * 2 + 1)


def test_same_padding_puts_the_odd_row_at_the_bottom_and_right() -> None:
    x = md.tensor(np.arange(1.0, 5.0).reshape(1, 2, 2, 1))
    y = F.conv2d(x, np.ones((2, 2, 1, 1)), padding="same")
    np.testing.assert_array_equal(y.numpy().reshape(2, 2), [[10, 6], [7, 4]])


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
    array[0, 1] = array[1, 1] = array[:, :, 2] = 9.0  # ties: the first counts
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
    x[[0, 1], y].sum().backward()  # but what it finds has one
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
        (lambda x: F.conv2d(x, np.ones((7, 3, 3, 8))), "kernel of 7x3 does not fit into an image of 5x6"),
        (lambda x: F.conv2d(x, np.ones((3, 3, 3, 8)), stride=0), "stride must be a whole number >= 1"),
        (lambda x: F.conv2d(x, np.ones((3, 3, 3, 8)), padding="full"), "'valid', 'same'"),
        (lambda x: F.conv2d(x, np.ones((3, 3, 3, 8)), np.ones(7)), r"bias of shape \(8,\).*, got \(7,\)"),
        (lambda x: F.max_pool2d(x, 6), "does not fit"),
        (lambda x: F.max_pool2d(x, 2, padding=-1), "padding must be a whole number >= 0"),
        (lambda x: F.max_pool2d(x, (2, 3), padding=(2, 0)), r"smaller than its window of 2x3, got \(2, 0\)"),
        (lambda x: F.avg_pool2d(x, (3, 2), padding=((0, 0), (0, 2))), "smaller than its window of 3x2"),
        (lambda x: x @ np.ones((4, 2)), "last axis .* 3 elements .* 4 rows .*: reshape or transpose"),
        (lambda x: x.reshape(7, -1), r"cannot reshape \(2, 5, 6, 3\) to \(7, -1\)"),
        (lambda x: x.sum(axis=4), "axis 4 does not exist"),
        (lambda x: x.mean(axis=(1, -3)), "names one axis twice"),
        (lambda x: x[:0].max(), "nothing to reduce"),
        (lambda x: x[:0].argmax(), "ArgMax: there is nothing to reduce"),
        (lambda x: x.argmin(axis=4), "ArgMin: axis 4 does not exist"),
        (lambda x: x.argmax(axis=(0, 1)), r"ArgMax: expected one axis, or None .*, got axis \(0, 1\)"),
        (lambda x: x.transpose(0, 1, 1, 2), "not an order"),
        (lambda x: x.sum().mean(axis=0), "in a single number: leave axis out"),
        (lambda x: F.conv2d(x[0, 0, 0], np.ones((3, 3, 3, 8))), "four axes: put this before any Flatten"),
        (lambda x: F.max_pool2d(x[0], 2), r"batch axis.*reshape\(1, 5, 6, 3\)"),
        (lambda x: F.batch_norm(x.transpose(0, 3, 1, 2), np.ones(3), np.ones(3)), r"NHWC.*transpose\(0, 2, 3, 1\)"),
        (lambda x: F.batch_norm(x[0, 0, 0], np.ones(3), np.ones(3)), "first axis is that of the samples"),
        (lambda x: F.batch_norm(x, np.ones(4), np.ones(4)), r"C=4\) .* got \(2, 5, 6, 3\).*BatchNorm\(3\)"),
        (lambda x: F.softmax_cross_entropy(x[0, 0, 0], [1]), "the model wants a batch"),
        (lambda x: F.softmax_cross_entropy(x[:, 0, 0], [-1, 0]), "got -1 ... 0: correct them"),
        (lambda x: F.binary_cross_entropy_with_logits(x[:, 0, 0], np.full((2, 3), np.nan)), "0 ... 1, got nan ... nan"),
        (lambda x: F.concatenate([x, x[:, :2]]), "must agree in all axes but axis 0"),
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
    with pytest.raises(DtypeError, match="whole-number class labels, got float64"):
        F.softmax_cross_entropy(md.tensor(numbers(2, 3)), np.zeros(2))


def test_an_op_that_promotes_is_caught() -> None:
    class Promotes(Op):
        def forward(self, x: Any) -> Any:
            return x * np.float64(2)

    with pytest.raises(DtypeError, match="Promotes: forward gave float64 for inputs of float32"):
        Promotes.apply(md.tensor([1.0]))


def test_fused_block_equals_its_three_layers() -> None:
    for dtype, x, conv, pool in [
        (np.float64, (5, 13, 12, 3), nn.Conv2D(3, 5, 3), nn.MaxPooling2D(2)),
        (np.float32, (20, 14, 14, 8), nn.Conv2D(8, 16, 3, padding="same"), nn.MaxPooling2D(2)),
        (np.float64, (3, 13, 12, 1), nn.Conv2D(1, 4, 3, stride=2, padding=1), nn.MaxPooling2D(3, 2)),
    ]:
        model = nn.Sequential(conv, nn.ReLU(), pool).astype(dtype)
        conv.b.data[...] = numbers(*conv.b.shape)
        found = []
        for fusion in (True, False):
            inputs = md.tensor(numbers(*x), dtype=dtype, requires_grad=True)
            model.zero_grad()
            with md.using(fusion=fusion):
                y = model(inputs)
            assert isinstance(y.op, ops.Conv2DReLUMaxPool2D if fusion else ops.MaxPool2D)
            y.backward(numbers(*y.shape, seed=4))
            found.append([y.data, inputs.grad, conv.w.grad, conv.b.grad])
        tolerance = 1e-12 if dtype == np.float64 else 1e-4
        for fused, plain in zip(*found, strict=True):
            np.testing.assert_allclose(fused, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("algorithm", ["im2col", "shifted", "winograd"])
def test_fused_block_computes_no_gradient_that_nobody_needs(monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    model = nn.Sequential(nn.Conv2D(2, 3, 3, algorithm=algorithm), nn.ReLU(), nn.MaxPooling2D(2))
    w, b = model.parameters()
    cls, calls = md.plugins.get("conv_algorithm", algorithm), Counter[str]()

    def count(name: str) -> None:
        run = getattr(cls, name)
        monkeypatch.setattr(cls, name, lambda *args: calls.update([name]) or run(*args))

    for name in ("input_gradient_chunk", "weight_gradient_chunk", "transformed_dy", "transformed_weights"):
        count(name)

    def gradients(*needed: bool) -> Any:
        x = md.tensor(numbers(2, 8, 8, 2).astype(np.float32))
        x.requires_grad, w.requires_grad, b.requires_grad = needed
        model.zero_grad()
        y = model(x)
        assert isinstance(y.op, ops.Conv2DReLUMaxPool2D)
        calls.clear()
        y.backward(numbers(*y.shape, seed=1).astype(np.float32))
        return x.grad, w.grad, b.grad

    everything = gradients(True, True, True)
    for needed in list(itertools.product((True, False), repeat=3))[:-1]:
        for grad, expected, wanted in zip(gradients(*needed), everything, needed, strict=True):
            if wanted:
                np.testing.assert_array_equal(grad, expected)
            else:
                assert grad is None
        needs_dx, needs_dw, _ = needed
        either = needs_dx or needs_dw
        made = {
            "input_gradient_chunk": needs_dx,
            "transformed_weights": needs_dx,
            "weight_gradient_chunk": needs_dw,
            "transformed_dy": either,
        }
        assert {name: bool(calls[name]) for name in made} == made


def test_fusion_steps_aside() -> None:
    class Noisy(nn.ReLU):
        def forward(self, x: md.Tensor) -> md.Tensor:
            return super().forward(x) * 1.0

    x = md.tensor(numbers(1, 6, 6, 1), requires_grad=True)

    def last_op(*layers: nn.Module) -> type:
        model = nn.Sequential(*layers).astype(np.float64)
        return type(model(x).op)

    conv = nn.Conv2D(1, 2, 3)
    assert last_op(conv, nn.ReLU(), nn.MaxPooling2D(2)) is ops.Conv2DReLUMaxPool2D
    assert last_op(conv, Noisy(), nn.MaxPooling2D(2)) is ops.MaxPool2D
    assert last_op(conv, nn.ReLU(), nn.MaxPooling2D(2, padding=1)) is ops.Conv2DReLUMaxPool2D
    assert last_op(nn.Conv2D(1, 2, 3, bias=False), nn.ReLU(), nn.MaxPooling2D(2)) is ops.MaxPool2D
    assert last_op(nn.Conv2D(1, 2, 3, algorithm="direct"), nn.ReLU(), nn.MaxPooling2D(2)) is ops.Conv2DReLUMaxPool2D
    relu = nn.ReLU()
    seen: list[Any] = []
    remove = relu.add_hook(lambda module, inputs, output: seen.append(output.shape))
    assert last_op(conv, relu, nn.MaxPooling2D(2)) is ops.MaxPool2D
    remove()
    assert last_op(conv, relu, nn.MaxPooling2D(2)) is ops.Conv2DReLUMaxPool2D
    assert seen == [(1, 4, 4, 2)]


def test_the_backward_pass_keeps_the_algorithm_of_its_forward_pass() -> None:
    x = md.tensor(numbers(1, 4, 4, 1), requires_grad=True)
    with md.using(conv_algorithm="direct"):
        y = F.conv2d(x, np.ones((2, 2, 1, 1)))
    assert isinstance(y.op, ops.Conv2D)
    assert type(y.op.algorithm) is md.plugins.get("conv_algorithm", "direct")
    with pytest.raises(md.plugins.PluginError, match="Did you mean 'direct'"), md.using(conv_algorithm="dirct"):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "no"}, "fusion must be True or False, got 'no'"),
        ({"fusion": 0}, "fusion must be True or False, got 0"),
        ({"conv_algorithm": ["fft"]}, r"conv_algorithm must be the name of an algorithm, got \['fft'\]"),
        ({"conv_algorithm": True}, "conv_algorithm must be the name of an algorithm, got True"),
    ],
)
def test_using_takes_no_other_values(options: Any, message: str) -> None:
    with pytest.raises(MinidlError, match=message), md.using(**options):
        pass


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


SHAPES = [(3, 20, 21, 2), (11, 11, 2, 3), (3,)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32(1e38)])
@pytest.mark.parametrize("stride", [1, 2])
def test_fft_loses_no_more_than_the_definition(value: float, stride: int) -> None:
    results: list[Any] = []
    for name in ("direct", "fft"):
        rng = np.random.default_rng(0)
        x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in SHAPES)
        x[1, 9, 10, 0] = value
        leaves = [md.tensor(array, requires_grad=True) for array in (x, w, b)]
        with np.errstate(all="raise" if value == 1e38 and name == "fft" else "ignore"):
            y = F.conv2d(*leaves, stride=stride, padding=1, algorithm=name)
            dy = np.ones(y.shape, np.float32)
            dy[2, 3, 4, 0] = value
        with np.errstate(all="ignore"):
            y.backward(dy)
        results.append([y.numpy(), *[leaf.grad for leaf in leaves]])
    for fast, slow in zip(*reversed(results), strict=True):
        scale = np.abs(slow[np.isfinite(slow)]).max(initial=1)
        np.testing.assert_allclose(fast / scale, slow / scale, atol=1e-5)
