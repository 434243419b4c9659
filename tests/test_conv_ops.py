"""Convolutions match their definition under every algorithm, and the fused block matches its three layers."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, ops
from minidl.errors import MinidlError
from minidl.ops.conv import conv_spec
from minidl.testing.arrays import numbers

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
    # 5 images of 4 x 6 outputs with 7 filters: 3 x 4 x 2 products, as many additions with the bias
    assert spec.flops == 5 * 4 * 6 * 7 * (3 * 4 * 2 + 3 * 4 * 2 + 1)


def test_same_padding_puts_the_odd_row_at_the_bottom_and_right() -> None:
    x = md.tensor(np.arange(1.0, 5.0).reshape(1, 2, 2, 1))
    y = F.conv2d(x, np.ones((2, 2, 1, 1)), padding="same")
    np.testing.assert_array_equal(y.numpy().reshape(2, 2), [[10, 6], [7, 4]])


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
        ({"foo": 1}, "using takes conv_algorithm= and fusion=, got foo. Write"),
        ({"algorithm": "fft"}, "got algorithm. Did you mean 'conv_algorithm'?"),
    ],
)
def test_using_takes_no_other_values(options: Any, message: str) -> None:
    with pytest.raises(MinidlError, match=message), md.using(**options):
        pass


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
