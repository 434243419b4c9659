"""Ops on integers, booleans and float16: correct values, or a named error."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, ops, plugins
from minidl.errors import DtypeError
from minidl.op import Op
from minidl.testing.arrays import numbers, tensors_in
from minidl.testing.check_ops import OpExample, evaluate
from minidl.testing.examples import OPS

F = nn.functional
WHOLE = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
EXAMPLES = [
    pytest.param(name, example, id=f"{name}-{example.label or number}")
    for name, examples in OPS.items()
    for number, example in enumerate(examples)
]


def integers(like: Any, dtype: str, most: int, seed: int) -> Any:
    """Random integers of a dtype in the shape of floats, at most ``most``; inputs that are not floats are unchanged."""
    if np.asarray(like).dtype.kind != "f":
        return like
    limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low, high = max(-most, limits[0]), min(most, limits[1])
    return np.random.default_rng(seed).integers(low, high, np.shape(like), np.int64, endpoint=True).astype(dtype)


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize(("name", "example"), EXAMPLES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # logarithms of 0, for example, are infinite in both
def test_an_op_of_integers_gives_what_it_gives_of_floats(name: str, example: OpExample, dtype: str) -> None:
    signed = dtype.startswith("int")
    most = 11 if "i" in plugins.get("op", name).exact and signed else 255  # signed integers wrap around, as in NumPy
    given = [integers(x, dtype, most, seed) for seed, x in enumerate(example.inputs)]
    if name == "binary_cross_entropy_with_logits":
        given[1:] = [x % 2 for x in given[1:]]
    (y,) = tensors_in(example.call(*[md.tensor(x) for x in given]))
    (expected,) = tensors_in(example.call(*[md.tensor(x, np.float64) for x in given]))
    assert y.dtype.kind in "iub" or y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), expected.numpy().astype(np.float32), rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_op_of_float16_is_right_to_its_rounding(name: str, example: OpExample) -> None:
    given = [np.asarray(x, np.float16) if np.asarray(x).dtype.kind == "f" else x for x in example.inputs]
    got, expected = evaluate(example, given, np.float16), evaluate(example, given)
    for half, exact in zip(got, expected, strict=True):
        assert half.dtype == np.float16
        np.testing.assert_allclose(half, exact, rtol=2e-3, atol=2e-3 * np.abs(exact).max(initial=0))


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_op_of_extended_floats_gives_what_it_gives_of_float64_gradients_included(
    name: str, example: OpExample
) -> None:
    given = [np.asarray(x, np.longdouble) if np.asarray(x).dtype.kind == "f" else x for x in example.inputs]
    got, expected = evaluate(example, given, np.longdouble), evaluate(example, given, np.float64)
    for extended, double in zip(got, expected, strict=True):
        assert extended.dtype == np.longdouble
        np.testing.assert_allclose(extended, double, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", WHOLE)
def test_a_python_float_beside_integers_gives_float32(dtype: str) -> None:
    x = md.tensor(np.array([0, 1], dtype))
    for y in (x + 0.5, x * 0.5, 0.5 - x, x / 2.0, 2.0**x, F.maximum(x, 0.5), F.where([True, False], x, 0.5)):
        assert y.dtype == np.float32
    np.testing.assert_array_equal((x + 0.5).numpy(), [0.5, 1.5])


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize("dtype", WHOLE[1:])
def test_a_python_integer_beside_integers_takes_their_dtype(dtype: str, backend: str) -> None:
    x = md.tensor(np.array([1, 5], dtype), backend=backend)
    results = [F.maximum(x, 3), F.minimum(3, x), F.where([True, False], x, 3), F.stack([x[0], 3]), x & 3, 3 | x, x ^ 1]
    values = [[3, 5], [1, 3], [1, 3], [1, 3], [1, 1], [3, 7], [0, 4]]
    if dtype.startswith("int"):  # arithmetic is exact for signed integers
        results += [x + 1, 1 - x, x * 3, x + True]
        values += [[2, 6], [0, -4], [3, 15], [2, 6]]
    assert [(y.dtype, y.numpy().tolist()) for y in results] == [(dtype, numbers) for numbers in values]
    assert (md.tensor([True]) + 1).dtype == np.int64


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize("dtype", WHOLE[1:])
def test_a_python_integer_beyond_the_integers_beside_it_is_an_error(dtype: str, backend: str) -> None:
    x = md.tensor(np.array([1, 5], dtype), backend=backend)
    for beyond in (int(np.iinfo(dtype).min) - 1, int(np.iinfo(dtype).max) + 1):
        for formula in (lambda n: F.maximum(x, n), lambda n: F.where([True, False], x, n), lambda n: x & n):
            with pytest.raises(DtypeError, match="bring the input to a wider dtype"):
                formula(beyond)
        if dtype.startswith("int"):
            with pytest.raises(DtypeError, match=r"Mul: .*bring the input to a wider dtype"):
                x * beyond


def test_the_float_dtype_of_an_array_counts_beside_integers() -> None:
    y = md.tensor([1, 2]) + np.array([0.25, 0.5])
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y.numpy(), [1.25, 2.5])


def test_arithmetic_of_pixels_does_not_wrap_around() -> None:
    a, b = md.tensor(np.array([3, 200], np.uint8)), md.tensor(np.array([5, 100], np.uint8))
    for y, expected in [(a - b, [-2, 100]), (a + b, [8, 300]), (a * b, [15, 20000]), (-a, [-3, -200])]:
        np.testing.assert_array_equal(y.numpy(), expected)


def test_signed_integers_stay_whole_in_arithmetic() -> None:
    a = md.tensor([3, 4])
    for y, expected in [(a - 5, [-2, -1]), (a + a, [6, 8]), (a * a, [9, 16]), (-a, [-3, -4]), (a.sum(), 7)]:
        assert y.dtype == np.int64
        np.testing.assert_array_equal(y.numpy(), expected)


def test_the_mean_of_bright_pixels_is_theirs() -> None:
    pixels = md.tensor(np.array([200, 201, 202, 203], np.uint8).reshape(1, 2, 2, 1))
    assert F.avg_pool2d(pixels, 2).item() == 201.5
    assert F.max_pool2d(pixels, 2, padding=1).numpy().ravel().tolist() == [200, 201, 202, 203]


def test_losses_of_integers_are_those_of_floats() -> None:
    a, b = np.array([0], np.uint8), np.array([20], np.uint8)
    assert F.l1_loss(md.tensor(a), b).item() == F.l1_loss(a, b).item() == 20
    assert F.mse_loss(md.tensor(a), b).item() == F.mse_loss(a, b).item() == 400
    assert F.l1_loss(md.tensor([0]), [0.5]).item() == 0.5
    assert F.softmax_cross_entropy(md.tensor(np.array([[-100, 100]], np.int8)), [0]).item() == 200


def test_integers_to_a_negative_power() -> None:
    np.testing.assert_array_equal((md.tensor([2, 4]) ** -1).numpy(), [0.5, 0.25])


def test_an_op_of_ones_own_gets_floats_unless_it_says_that_it_is_exact() -> None:
    class Double(Op):
        def forward(self, x: Any) -> Any:
            return x + x

    class Exact(Double):
        exact = "u"

    x = np.array([200], np.uint8)
    assert Double.apply(x).item() == 400
    assert Exact.apply(x).dtype == np.uint8


def test_comparisons_of_integers_and_floats_are_exact() -> None:
    x = md.tensor([16777217])
    assert not (x < 16777216.5).item()
    assert (x == np.array([16777217.0])).item()


def test_float16_statistics_keep_what_float16_squares_cannot() -> None:
    x = md.tensor(np.array([[-300.0], [300.0]], np.float16), requires_grad=True)
    one, zero = np.ones(1, np.float16), np.zeros(1, np.float16)
    np.testing.assert_array_equal(F.batch_norm(x, one, zero).numpy(), [[-1], [1]])
    assert F.mse_loss(x / 2, np.zeros((2, 1))).item() == 22496
    assert md.tensor(np.full(5000, 1.0, np.float16)).sum().item() == 5000


BESIDE_FLOAT16 = {
    "product": lambda x, of: x * of(65536),
    "from the left": lambda x, of: of(1e5) * (x * 0.5),
    "quotient": lambda x, of: x / of(1e5),
    "small": lambda x, of: x.detach() * 60000 * of(1e-8) + 0 * x,
    "close to one": lambda x, of: x * 1000 * of(1.0005),
    "difference": lambda x, of: of(65536) - x * 60000,
    "power": lambda x, of: x ** of(1 / 3),
    "clip": lambda x, of: (x * 1000).clip(of(100.03), of(1e6)),
    "maximum": lambda x, of: F.maximum(x * 0, of(1e-7)),
    "minimum": lambda x, of: F.minimum(x, of(1e6)),
    "where": lambda x, of: F.where([True, False], x, of(1e-7)),
    "leaky": lambda x, of: F.leaky_relu(-x, slope=of(1e-6)),
    "pad": lambda x, of: F.pad(x, [(1, 1)], value=of(0.1)),
    "huber": lambda x, of: F.huber_loss(x, x.detach().numpy() * 0, delta=of(1e6)),
}


@pytest.mark.parametrize("of", [lambda x: x, np.float64, np.float32, np.array], ids=["python", "f64", "f32", "0-d"])
@pytest.mark.parametrize("formula", BESIDE_FLOAT16.values(), ids=BESIDE_FLOAT16)
def test_a_number_beside_float16_is_not_rounded_to_it(formula: Any, of: Any) -> None:
    half = md.tensor(np.array([0.1, 0.7], np.float16), requires_grad=True)
    single = md.tensor(half.numpy().astype(np.float32), requires_grad=True)
    y, expected = formula(half, of), formula(single, of)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.numpy(), expected.numpy().astype(np.float16), rtol=2e-3, atol=1e-7)
    y.backward(np.full(y.shape, 0.25))
    expected.backward(np.full(y.shape, 0.25))
    np.testing.assert_allclose(half.grad, single.grad, rtol=4e-3, atol=1e-7)


def test_integers_beside_float16_are_not_rounded_to_it() -> None:
    x = md.tensor(np.array([0.5], np.float16))
    for whole in (np.array([70000]), [70000], md.tensor([70000])):
        assert (x * whole).item() == 35008  # the float16 nearest to 35000
        assert (x * whole).dtype == np.float16


def test_a_number_is_compared_with_float16_as_float16() -> None:
    assert (md.tensor(np.array([0.1], np.float16)) == 0.1).item()


def test_float16_arrays_from_a_pickle_are_float16_too() -> None:
    x = pickle.loads(pickle.dumps(np.full(5000, 1.0, np.float16)))
    assert ops.Sum.apply(x).item() == 5000


@pytest.mark.parametrize("name", plugins.names("optimizer"))
def test_an_optimizer_of_float16_does_what_it_does_in_float32(name: str) -> None:
    weights = [md.tensor(np.array([1.0, -2.0, 0.5], dtype), requires_grad=True) for dtype in (np.float16, np.float32)]
    for w in weights:
        optimizer = plugins.build("optimizer", name, [w], lr=0.01)
        for _ in range(3):
            w.grad = np.array([1e-4, 300.0, 0.0], w.dtype)  # their squares are 0 and inf in float16
            optimizer.step()
    half, single = weights
    assert half.dtype == np.float16
    np.testing.assert_allclose(half.numpy(), single.numpy(), rtol=3e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
def test_integers_are_clipped_exactly_also_by_limits_beyond_their_dtype(dtype: Any) -> None:
    x = np.array([0, 5, 100], dtype)
    for low, high in ((0, 300), (-5, 50), (3, None), (None, 7), (-1000, 1000), (None, None)):
        y = md.tensor(x).clip(low, high)
        floor, ceiling = -(10**9) if low is None else low, 10**9 if high is None else high
        assert (y.dtype, y.numpy().tolist()) == (dtype, [min(max(n, floor), ceiling) for n in x.tolist()])
    np.testing.assert_array_equal(md.tensor(x).clip(0.5, 300).numpy(), np.array([0.5, 5, 100], np.float32))


@pytest.mark.parametrize(("low", "high"), [(300, 400), (-9, -1), (300, None), (None, -1)])
def test_limits_between_which_a_dtype_has_no_number_are_refused(low: Any, high: Any) -> None:
    with pytest.raises(DtypeError, match=f"uint8 has no values from {low} to {high}: convert x"):
        md.tensor(np.array([1], np.uint8)).clip(low, high)


def batch_norms() -> list[nn.BatchNorm]:
    """One in float16, and the same in float32."""
    return [nn.BatchNorm(2, momentum=0.5).astype(np.float16), nn.BatchNorm(2, momentum=0.5)]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1000.0])
def test_running_statistics_of_a_float16_model_are_those_of_float32(scale: float) -> None:
    half, single = batch_norms()
    x = (numbers(64, 2) * scale).astype(np.float16)
    for _ in range(20):
        assert half(md.tensor(x)).dtype == np.float16
        single(md.tensor(x.astype(np.float32)))
    assert half.mean.dtype == half.var.dtype == np.float32
    np.testing.assert_allclose(half.mean.numpy(), single.mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(half.var.numpy(), single.var.numpy(), rtol=1e-6)
    assert np.isfinite(half.var.numpy()).all()
    assert (half.var.numpy() > 0).all()
    y, expected = half.eval()(md.tensor(x)), single.eval()(md.tensor(x.astype(np.float32)))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=2e-3, atol=1e-3)


def test_a_small_share_of_each_step_is_not_rounded_away_in_float16() -> None:
    layer = nn.BatchNorm(1, momentum=0.9999).astype(np.float16)
    x = md.tensor(np.array([[0.0], [4.0]], np.float16))
    for _ in range(100):
        layer(x)
    assert math.isclose(layer.mean.item(), 2 * (1 - 0.9999**100), rel_tol=1e-4)


def test_statistics_loaded_as_float16_go_on_in_float32() -> None:
    half, _ = batch_norms()
    half.load_state_dict({name: array.astype(np.float16) for name, array in half.state_dict().items()})
    assert (half.mean.dtype, half.gamma.dtype) == (np.float32, np.float16)
    assert half.astype(np.float64).var.dtype == half.gamma.dtype == np.float64
    assert copy.deepcopy(half.astype(np.float16)).var.dtype == np.float32


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("of", [np.float16, np.float32, np.float64])
def test_the_dtype_of_a_batch_norm_is_that_of_its_parameters_in_training_and_in_evaluation(
    of: Any, training: bool
) -> None:
    layer = nn.BatchNorm(2).astype(of).train(training)
    for given in (np.float16, np.float32, np.float64):
        x = md.tensor(numbers(4, 2).astype(given))
        if given is of:
            assert layer(x).dtype == of
        else:
            with pytest.raises(DtypeError, match="different dtypes"):
                layer(x)
    for whole in (np.uint8, np.int64, np.bool_):
        x = np.array([[0, 1], [1, 1], [1, 0]], whole)
        y = layer(md.tensor(x))
        assert y.dtype == of
        np.testing.assert_array_equal(y.numpy(), layer(md.tensor(x.astype(of))).numpy())


def test_gradients_go_through_a_float16_batch_norm_in_eval() -> None:
    gradients = []
    for layer, dtype in zip(batch_norms(), (np.float16, np.float32), strict=True):
        x = md.tensor(numbers(4, 2).astype(dtype), requires_grad=True)
        (layer.eval()(x) * 2).sum().backward()
        gradients.append([x.grad, layer.gamma.grad, layer.beta.grad])
        assert {gradient.dtype for gradient in gradients[-1] if gradient is not None} == {np.dtype(dtype)}
    for got, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(got, expected, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 300], np.uint8),
        ([-1, 1], np.uint8),
        (-129, np.int8),
        ([2**40], np.int32),
        ([2**63], np.int64),
        ([-1], np.uint64),
        (np.array([300]), np.uint8),
        ([256.0], np.uint8),
        ([1e20], np.int64),
        ([-1.0, math.nan], np.int32),
        ([math.inf], np.int32),
    ],
)
def test_a_number_that_a_named_dtype_lacks_is_an_error_and_does_not_wrap_around(
    values: Any, dtype: Any, backend: str
) -> None:
    with pytest.raises(DtypeError, match=rf"is out of range for {np.dtype(dtype)}, .*use a wider dtype"):
        md.tensor(values, dtype=dtype, backend=backend)
    with pytest.raises(DtypeError, match="is out of range for"):
        md.tensor(md.tensor(values, backend=backend), dtype=dtype)


@pytest.mark.parametrize("dtype", WHOLE[1:])
def test_the_ends_of_a_named_dtype_are_its_numbers(dtype: str) -> None:
    ends = [int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)]
    assert [md.tensor([end], dtype=dtype).item() for end in ends] == ends
    for beyond in (ends[0] - 1, ends[1] + 1):
        with pytest.raises(DtypeError):
            md.tensor([beyond], dtype=dtype)
    if np.iinfo(dtype).bits < 53:  # larger floats have no fractions
        assert [
            md.tensor([end + part], dtype=dtype).item() for end, part in zip(ends, (-0.5, 0.5), strict=True)
        ] == ends
    assert md.tensor([], dtype=dtype).shape == (0,)
    assert md.tensor([True, 1.75], dtype=dtype).numpy().tolist() == [1, 1]
    assert md.tensor([0.0, ends[1] // 2 + 1]).astype(dtype).dtype == dtype  # conversion follows NumPy


def test_a_range_of_a_named_dtype_does_not_wrap_around() -> None:
    assert md.arange(256, dtype=np.uint8).numpy()[-1] == 255
    with pytest.raises(DtypeError, match=r"256 is out of range for uint8, 0 \.\.\. 255"):
        md.arange(257, dtype=np.uint8)
    assert md.tensor([300]).astype(np.uint8).item() == 44


class Held(nn.Module):
    def __init__(self, data: Any) -> None:
        super().__init__()
        self.first, self.held = nn.Buffer(np.zeros(1)), nn.Buffer(data)


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (np.int8, 300, r"300 in held is out of range for int8, -128 \.\.\. 127"),
        (np.float16, 1e6, r"1000000\.0 in held is out of range for float16, -65504 \.\.\. 65504"),
        (np.float16, -65520, r"-65520 in held"),
        (np.float32, 1e39, r"1e\+39 in held"),
    ],
)
def test_loaded_values_that_a_dtype_lacks_change_nothing(dtype: Any, value: Any, message: str) -> None:
    module = Held(np.ones(1, dtype))
    with pytest.raises(DtypeError, match=message):
        module.load_state_dict({"first": [1.0], "held": [value]})
    assert (module.first.item(), module.held.item()) == (0, 1)


def test_loaded_values_may_be_rounded_and_infinite() -> None:
    module = Held(np.zeros(3, np.float16))
    module.load_state_dict({"first": [1.0], "held": np.array([0.1, np.inf, np.nan])})
    np.testing.assert_array_equal(module.held.numpy(), np.array([0.1, np.inf, np.nan], np.float16))


@pytest.mark.parametrize("dtype", [object, complex, str, "S4", "M8[s]", [("a", "f4")]])
@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: md.tensor([1.0], dtype=dtype),
        lambda dtype: md.tensor([1.0]).astype(dtype),
        lambda dtype: md.zeros(2, dtype=dtype),
        lambda dtype: md.ones(2, dtype=dtype),
        lambda dtype: md.arange(2, dtype=dtype),
        lambda dtype: md.randn(2, dtype=dtype),
        lambda dtype: nn.Dense(1, 1).astype(dtype),
    ],
)
def test_a_dtype_of_no_numbers_is_refused(make: Any, dtype: Any) -> None:
    with pytest.raises(DtypeError, match=r"expected a dtype of numbers or booleans, such as np\.float32, got"):
        make(dtype)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_a_model_of_integers_is_refused_and_nothing_converted(dtype: Any) -> None:
    model = nn.Sequential(nn.Dense(1, 1), nn.BatchNorm(1))
    with pytest.raises(DtypeError, match=r"a model computes with floats, got .*: use np\.float16, np\.float32 or"):
        model.astype(dtype)
    assert {values.dtype for values in model.state_dict().values()} == {np.dtype(np.float32)}


SWAPPED = np.array([1.0, 2.0], np.dtype(np.float32).newbyteorder("S"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: md.tensor(SWAPPED),
        lambda: md.tensor([1.0, 2.0], dtype=SWAPPED.dtype),
        lambda: md.tensor([1.0, 2.0]).astype(SWAPPED.dtype),
        lambda: md.arange(1, 3, dtype=SWAPPED.dtype),
        lambda: md.from_numpy(SWAPPED),
        lambda: md.tensor(SWAPPED, backend="strict"),
        lambda: nn.Parameter(SWAPPED),
        lambda: md.tensor([1.0, 1.0]) * SWAPPED,
        lambda: md.tensor([1, 1]) * SWAPPED,
        lambda: F.relu(SWAPPED),
        lambda: F.maximum(SWAPPED, SWAPPED.astype(np.float32)),
        lambda: md.Tensor(md.data.collate([SWAPPED])[0]),
        lambda: md.Tensor(md.data.ArrayDataset(SWAPPED).batch(np.arange(2))[0]),
        lambda: md.Tensor(md.data.ArrayDataset(SWAPPED).to("strict").batch(np.arange(2))[0]),
    ],
)
def test_numbers_in_the_other_byte_order_are_converted_on_the_way_in(make: Any) -> None:
    x = make()
    assert x.dtype == np.float32
    assert x.dtype.isnative
    assert x.mean().item() == 1.5


def test_a_tensor_of_an_array_in_the_other_byte_order_says_how_to_convert_it() -> None:
    with pytest.raises(DtypeError, match=r"Mean: the data are .f4, in another byte order: md\.tensor\(\.\.\.\)"):
        md.Tensor(SWAPPED).mean()


@pytest.mark.parametrize(
    "use",
    [
        lambda a, b: F.concatenate([a, b]),
        lambda a, b: F.stack([a, b]),
        F.maximum,
        F.minimum,
        lambda a, b: F.where([True], a, b),
        lambda a, b: a + b,
        lambda a, b: a * b.numpy(),
    ],
)
def test_int64_and_uint64_do_not_meet_in_float32(use: Any) -> None:
    """float32 has 24 bits: 2**53 + 1 would become 2**53."""
    signed, unsigned = md.tensor(np.array([2**53 + 1])), md.tensor(np.array([5], np.uint64))
    for a, b in ((signed, unsigned), (unsigned, signed)):
        with pytest.raises(DtypeError, match="int64 and uint64 have no common integer dtype"):
            use(a, b)
        assert use(a.astype(np.int64), b.astype(np.int64)).dtype == np.int64
