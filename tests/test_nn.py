"""Layers, initializers and the summary of a model."""

import re
from collections import UserDict, UserList, deque
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import minidl as md
from agegender import models
from minidl import nn
from minidl.errors import BoundsError, DtypeError, MinidlError, ShapeError
from minidl.nn.module import evaluating
from minidl.nn.parameter import Statistic
from minidl.testing import check_layer
from minidl.testing.arrays import numbers


@pytest.mark.parametrize("given", [[1.0, 2.0], md.tensor([1.0, 2.0])])
def test_parameters_are_made_of_lists_and_tensors_too(given: Any) -> None:
    parameter = nn.Parameter(given)
    assert type(parameter.data) is np.ndarray
    assert (parameter.dtype, parameter.numpy().tolist()) == (np.float32, [1.0, 2.0])


def test_a_parameter_of_integers_cannot_be_learned() -> None:
    with pytest.raises(DtypeError, match="only floating-point tensors have gradients"):
        nn.Parameter(np.ones(3, np.int64))


def test_errors_name_the_layer() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2D(1, 64, 3), nn.ReLU(), nn.Conv2D(32, 8, 3))

        def forward(self, x: md.Tensor) -> md.Tensor:
            return self.features(x)

    message = (
        "features.2 (Conv2D): expected input (N, H, W, C=32), got (8, 61, 61, 64). "
        "The previous layer outputs 64 channels: use Conv2D(64, 8, ...)."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        Model()(md.tensor(np.zeros((8, 63, 63, 1), np.float32)))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (2, 3, 4),
            r"Dense: expected input \(N, 5\), got \(2, 3, 4\). Put Flatten\(\) before this layer and use Dense\(12, ",
        ),
        ((2, 4), r"The previous layer outputs 4 features: use Dense\(4, 7\)"),
        ((5,), "batch axis"),
    ],
)
def test_dense_hints(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        nn.Dense(5, 7)(md.tensor(np.zeros(shape, np.float32)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Dense(0, 1),
        lambda: nn.Dense(2, True),
        lambda: nn.Conv2D(1, 1, 0),
        lambda: nn.MaxPooling2D(0),
        lambda: nn.Dropout(1.0),
        lambda: nn.Sequential(nn.ReLU),
        lambda: nn.Conv2D(1, 1, 3, algorithm="winogard"),
        lambda: nn.Dense(1, 1, initializer="he"),
    ],
)
def test_layers_refuse_nonsense_when_they_are_made(make: Any) -> None:
    with pytest.raises(MinidlError):
        make()


def test_sequential_is_a_sequence() -> None:
    layers = [nn.Dense(2, 2), nn.ReLU(), nn.Dense(2, 1)]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert list(model) == layers
    assert model[-1] is layers[2]
    assert list(model[:2]) == layers[:2]
    assert repr(model) == "Sequential(\n  (0): Dense(2, 2)\n  (1): ReLU()\n  (2): Dense(2, 1)\n)"


def test_dropout_layer_follows_the_mode_and_its_generator() -> None:
    x = md.tensor(np.ones((4, 50), np.float32))
    layer = nn.Dropout(0.5, rng=md.Generator(3))
    first = layer(x).numpy()
    assert (first == 0).any()
    assert not np.array_equal(layer(x).numpy(), first)
    np.testing.assert_array_equal(nn.Dropout(0.5, rng=md.Generator(3))(x).numpy(), first)
    assert layer.eval()(x) is x


def test_batch_norm_keeps_running_averages() -> None:
    layer = nn.BatchNorm(2, momentum=0.9)
    x = numbers(4, 3, 3, 2).astype(np.float32)
    y = layer(md.tensor(x)).numpy()
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, rtol=5e-3)
    np.testing.assert_allclose(layer.mean.numpy(), 0.1 * x.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.var.numpy(), 0.9 + 0.1 * x.var(axis=(0, 1, 2)), rtol=1e-5)
    before = layer.mean.numpy().copy()
    ours = layer.eval()(md.tensor(x)).numpy()
    np.testing.assert_allclose(ours, (x - layer.mean.numpy()) / np.sqrt(layer.var.numpy() + 1e-3), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.mean.numpy(), before)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("he_normal", 2 / 144),
        ("he_uniform", 2 / 144),
        ("glorot_normal", 2 / (144 + 576)),
        ("glorot_uniform", 2 / (144 + 576)),
        ("zeros", 0),
        ("ones", 0),
    ],
)
def test_initializers_have_their_variance(name: str, variance: float) -> None:
    values = nn.init.get(name)((3, 3, 16, 64), md.Generator(0))
    assert values.dtype == np.float32
    assert abs(values.mean() - (name == "ones")) < 4 * np.sqrt(variance / values.size) + 1e-9
    assert values.var() == pytest.approx(variance, rel=0.05, abs=1e-12)
    if "uniform" in name:
        assert np.abs(values).max() <= np.sqrt(3 * variance)


@pytest.mark.parametrize(
    ("initializer", "error", "message"),
    [
        (
            lambda shape, rng: np.ones((4, 1), np.float32),
            ShapeError,
            r"returned shape \(4, 1\), expected \(4, 3\)",
        ),
        (
            lambda shape, rng: np.ones(shape[::-1], np.float32),
            ShapeError,
            r"returned shape \(3, 4\), expected \(",
        ),
        (lambda shape, rng: 0.1, ShapeError, r"returned 0\.1, expected \(4, 3\)"),
        (lambda shape, rng: None, ShapeError, r"returned None, expected \(4, 3\): return an array of the shape"),
        (lambda shape, rng: rng.normal(size=shape), DtypeError, "returned float64, expected float32: add .astype"),
        (lambda shape, rng: np.ones(shape, int), DtypeError, "returned int64, expected float32"),
    ],
)
def test_an_initializer_gives_float32_numbers_of_the_shape_that_it_is_asked_for(
    initializer: Any, error: type[MinidlError], message: str
) -> None:
    with pytest.raises(error, match=f"^the initializer '<lambda>' {message}"):
        nn.Dense(4, 3, initializer=initializer)


@pytest.mark.parametrize("made", [list, md.tensor])
def test_an_initializer_may_give_whatever_holds_such_numbers(made: Any) -> None:
    layer = nn.Dense(4, 3, initializer=lambda shape, rng: made(np.full(shape, 7, np.float32)))
    assert (layer.w.dtype, layer.w.numpy().tolist()) == (np.float32, [[7.0] * 3] * 4)


def test_every_initializer_is_tested() -> None:
    assert len(md.plugins.names("initializer")) == 6


def test_parameters_repeat_from_the_seed() -> None:
    md.seed(5)
    first = nn.Dense(3, 3).state_dict()
    md.seed(5)
    second = nn.Dense(3, 3).state_dict()
    np.testing.assert_array_equal(first["w"], second["w"])
    np.testing.assert_array_equal(nn.Dense(3, 3, rng=md.Generator(5)).state_dict()["w"], first["w"])


def test_summary_agrees_with_the_real_arrays() -> None:
    model = models.build("documented")
    model.train()
    outputs: dict[str, Any] = {}
    removers = [
        module.add_hook(lambda m, x, y: outputs.update({m.path: y.data}))
        for _, module in model.named_modules()
        if not module.children()
    ]
    model(md.tensor(np.zeros((1, 128, 128, 1), np.float32)))
    for remove in removers:
        remove()
    summary = md.summary(model, (128, 128, 1))
    assert {row.path: row.output for row in summary.rows} == {path: y.shape for path, y in outputs.items()}
    assert {row.path: row.activation_bytes for row in summary.rows} == {path: y.nbytes for path, y in outputs.items()}
    assert summary.parameters == 5_107_458 == sum(p.size for p in model.parameters())
    assert summary.parameter_bytes == 4 * 5_107_458
    flops = {row.path: row.flops for row in summary.rows}
    assert flops["features.0"] == 126 * 126 * 32 * (2 * 9 + 1)
    assert flops["features.3"] == 61 * 61 * 64 * (2 * 9 * 32 + 1)
    assert flops["gender.0"] == 2 * 9216 * 256 + 256
    assert flops["features.1"] == 126 * 126 * 32
    assert flops["features.2"] == 63 * 63 * 32 * 4
    assert flops["features.12"] == 0
    assert model.training
    assert not any(module.has_hooks for _, module in model.named_modules())
    assert "5,107,458 parameters" in str(summary)


class Halves(nn.Module):
    """A layer without sublayers, with noise, that returns several tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = md.Generator(1)
        self.w = nn.Parameter(np.ones((2, 3), np.float32))

    def forward(self, x: md.Tensor) -> dict[str, md.Tensor]:
        y = x @ self.w + md.randn(3) + md.randn(3, rng=self.rng)
        return {"b": y, "a": y[:, :1]}


def test_summary_counts_the_same_without_gradients_and_leaves_random_numbers_alone() -> None:
    model, before = Halves(), (md.random.default_rng.state, Halves().rng.state)
    expected = md.summary(model, (2,))
    with md.no_grad():
        assert md.summary(model, (2,)) == expected
    assert expected.flops == 12 + 3 + 3
    assert (md.random.default_rng.state, model.rng.state) == before


def test_summary_has_a_row_for_each_tensor_that_a_layer_gives() -> None:
    rows = md.summary(nn.Sequential(Halves()), (2,)).rows
    assert [(row.path, row.output, row.parameters, row.activation_bytes) for row in rows] == [
        ("0", (1, 1), 6, 4),
        ("0", (1, 3), 0, 12),
    ]
    assert md.summary(Halves(), (2,)).parameters == 6


def test_summary_passes_errors_on_and_cleans_up() -> None:
    model = nn.Sequential(nn.Dense(3, 2))
    with pytest.raises(ShapeError, match=r"0 \(Dense\)"):
        md.summary(model, (4,))
    assert model.training
    assert not model[0].has_hooks


class Picked(nn.Module):
    """A weighted sum of columns, selected by a buffer of integers unless a buffer of booleans masks them."""

    def __init__(self) -> None:
        super().__init__()
        self.columns = nn.Buffer(np.array([1, 0]))
        self.shown = nn.Buffer(np.array([True, False]))
        self.seen = Statistic(np.array(2**24 + 1))
        self.w = nn.Parameter([1.0, 2.0])

    def forward(self, x: md.Tensor) -> md.Tensor:
        return nn.functional.where(self.shown, x[:, self.columns] * self.w, 0.5 * x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_buffers_of_integers_and_booleans_stay_what_they_are_in_a_model_of_any_floats(dtype: Any) -> None:
    model = Picked().astype(dtype)
    held = [model.columns, model.shown, model.seen]
    assert [(b.dtype, b.numpy().tolist()) for b in held] == [
        ("int64", [1, 0]),
        ("bool", [True, False]),
        ("int64", 2**24 + 1),
    ]
    assert model(md.tensor(np.array([[3.0, 4.0]], dtype))).numpy().tolist() == [[4, 2]]
    fresh = Picked()
    fresh.load_state_dict(model.state_dict())
    fresh.astype(np.float64).load_state_dict(Picked().state_dict())
    assert md.summary(model, (2,)).parameter_bytes == 8 * 3 + 2 + 2 * np.dtype(dtype).itemsize


def test_gradients_of_a_layer_that_holds_an_index_can_be_checked() -> None:
    check_layer(Picked, numbers(4, 2), skip={"wrong_channels": "it takes what its columns pick"})


def test_summary_leaves_each_layer_in_its_mode() -> None:
    model = nn.Sequential(nn.Dense(3, 2), nn.BatchNorm(2).eval())
    md.summary(model, (3,))
    assert [module.training for _, module in model.named_modules()] == [True, True, False]


def test_a_slice_of_a_sequential_is_a_model_whose_layers_keep_their_names() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 1))

    net = Net()
    x = md.tensor(np.ones((4, 2), np.float32))
    first, last = net.features[:2], net.features.eval()[-1:]
    np.testing.assert_array_equal(last(first(x)).numpy(), net.features(x).numpy())
    assert (type(first), first.training, last.training) == (nn.Sequential, True, False)
    assert list(last.state_dict()) == ["2.w", "2.b"]
    assert [p.name for p in last.parameters()] == ["features.2.w", "features.2.b"]
    assert last.parameters()[0] is net.features[2].w
    with pytest.raises(ShapeError, match=r"^features\.2 \(Dense\)"):
        last(x)
    assert len(net.features[::-1]) == 3
    assert len(net.features[3:]) == 0


def test_a_layer_of_a_sequential_can_be_replaced() -> None:
    model = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 1))
    model[0], model[-1] = nn.Dense(5, 3), nn.Dense(3, 7)
    assert model(md.tensor(np.ones((4, 5), np.float32))).shape == (4, 7)
    assert [p.name for p in model.parameters()] == ["0.w", "0.b", "2.w", "2.b"]
    assert [type(layer) for layer in model] == [nn.Dense, nn.ReLU, nn.Dense]
    odd: Any = np.tanh
    with pytest.raises(MinidlError, match="expected modules, got ufunc at position 1"):
        model[1] = odd
    every: Any = slice(None)
    with pytest.raises(MinidlError, match="replace one layer at a time"):
        model[every] = nn.ReLU()
    with pytest.raises(IndexError):
        model[3] = nn.ReLU()


@pytest.mark.parametrize("kind", [nn.Parameter, nn.Buffer, Statistic])
def test_what_a_module_keeps_is_in_memory_of_its_own(kind: Any) -> None:
    array = np.zeros(2)
    kept = [kind(array), kind(array[::-1])]
    for one in kept:
        one.data += 1
    assert array.tolist() == [0, 0]
    assert [(one.dtype, one.numpy().tolist()) for one in kept] == [(np.float64, [1, 1])] * 2


@pytest.mark.parametrize("kind", [nn.Buffer, Statistic])
@pytest.mark.parametrize("data", [[1.0, 2.0], 3.0, None])
def test_a_buffer_is_made_of_an_array(kind: Any, data: Any) -> None:
    with pytest.raises(DtypeError, match=rf"expected an array, got {type(data).__name__}: md\.tensor\("):
        kind(data)


NAMELESS = {
    "set": lambda x: {x},
    "frozenset": lambda x: frozenset([x]),
    "deque": lambda x: deque([x]),
    "array": lambda x: np.frompyfunc(lambda _: x, 1, 1)(np.zeros(2)),
    "user list": lambda x: UserList([x]),
    "user dictionary": lambda x: UserDict(a=x),
    "proxy": lambda x: MappingProxyType({"a": x}),
    "in a list": lambda x: [deque([x])],
    "holding a list": lambda x: deque([[x]]),
}


@pytest.mark.parametrize("make", NAMELESS.values(), ids=NAMELESS)
@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize(
    "held",
    [
        lambda: nn.Dense(1, 1),
        lambda: nn.Parameter([1.0]),
        lambda: nn.Buffer(np.ones(1)),
        lambda: md.Generator(0),
        lambda: md.tensor([1.0], requires_grad=True),
    ],
)
def test_what_a_module_would_lose_is_an_error(make: Any, later: bool, held: Any) -> None:
    model, holding = nn.Dense(1, 1), make(held())
    if later:  # as when a deque is assigned first and filled later
        vars(model)["held"] = holding
    with pytest.raises(
        MinidlError, match=r"'held.*' of Dense is a .*, so the .* in it would not be found: use a list, a tuple"
    ):
        model.parameters() if later else setattr(model, "held", holding)


def test_a_module_may_hold_sets_of_other_things() -> None:
    model = nn.Dense(1, 1)
    for holding in ({1, "a"}, deque([md.tensor([1.0])]), np.ones(3), np.array(["a", None]), UserDict(a=[1])):
        model.held = holding  # type: ignore[assignment]
    assert [name for name, _ in model.named_parameters()] == ["w", "b"]


def test_a_hook_is_removed_once_and_no_other_with_it() -> None:
    layer, seen = nn.ReLU(), []

    def hook(*what: Any) -> None:
        seen.append(what)

    first, second = layer.add_hook(hook), layer.add_hook(hook)
    for remove, left in ((first, 1), (first, 1), (second, 0), (second, 0)):
        remove()
        seen.clear()
        layer(md.tensor([1.0]))
        assert len(seen) == left
        assert layer.has_hooks == bool(left)


def test_a_hook_that_cannot_be_called_is_refused() -> None:
    layer = nn.ReLU()
    with pytest.raises(MinidlError, match=r"ReLU: a hook is a function hook\(module, inputs, outputs\), got 3"):
        layer.add_hook(3)  # type: ignore[arg-type]
    assert not layer.has_hooks


def test_a_hook_that_returns_other_outputs_is_refused_because_they_would_be_ignored() -> None:
    model = nn.Sequential(nn.Dense(2, 2), nn.ReLU())
    model[0].add_hook(lambda module, inputs, outputs: 0 * outputs)  # type: ignore[arg-type, return-value]
    with pytest.raises(MinidlError, match=r"0 \(Dense\): a hook returned Tensor, which is ignored: .*a module after"):
        model(md.tensor([[1.0, 2.0]]))


class Stubborn(nn.Module):
    def train(self, mode: bool = True) -> "Stubborn":
        raise RuntimeError("no")

    def forward(self, x: md.Tensor) -> md.Tensor:
        return x


def test_a_module_that_cannot_be_evaluated_leaves_all_others_in_their_mode() -> None:
    model = nn.Sequential(nn.Dense(1, 1), nn.Dropout(0.5), Stubborn())
    for use in (lambda: evaluating(model).__enter__(), lambda: md.summary(model, (1,))):
        with pytest.raises(RuntimeError, match="no"):
            use()
        assert all(module.training and not module.has_hooks for _, module in model.named_modules())


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (5, BoundsError, r"there is no layer 5: its indices are 0 \.\.\. 1"),
        (-3, BoundsError, "there is no layer -3"),
        ("a", MinidlError, r"expected an index, got 'a': write model\[0\]"),
        (1.0, MinidlError, "expected an index, got 1.0"),
        (None, MinidlError, "expected an index, got None"),
    ],
)
def test_a_layer_that_is_not_there_is_named(index: Any, error: Any, message: str) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    with pytest.raises(error, match=f"Sequential: {message}"):
        model[index]
    with pytest.raises(error, match=f"Sequential: {message}"):
        model[index] = nn.ReLU()
    assert (model[np.int64(1)], model[-2]) == (model[1], model[0])
    with pytest.raises(BoundsError, match="there is no layer 0: it is empty"):
        nn.Sequential()[0]
    with pytest.raises(MinidlError, match="expected an index"):
        model["a":]  # type: ignore[misc]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2), ()])
@pytest.mark.parametrize("name", ["mean", "var"])
def test_batch_norm_refuses_statistics_of_another_shape(name: str, shape: tuple[int, ...], training: bool) -> None:
    layer = nn.BatchNorm(2).train(training)
    getattr(layer, name).data = np.ones(shape, np.float32)
    before = layer.state_dict()
    with pytest.raises(ShapeError, match=rf"^BatchNorm: {name} has the shape .*, expected that of gamma, \(2,\)"):
        layer(md.randn(4, 2))
    np.testing.assert_equal(layer.state_dict(), before)


@pytest.mark.parametrize("name", ["mean", "var"])
def test_batch_norm_changes_no_statistics_if_some_are_read_only(name: str) -> None:
    layer = nn.BatchNorm(2)
    getattr(layer, name).data = np.broadcast_to(np.float32(0.5), (2,))
    before = layer.state_dict()
    with pytest.raises(MinidlError, match=f"^BatchNorm: the data of {name} are read-only, .* x.data = x.data.copy"):
        layer(md.randn(4, 2))
    np.testing.assert_equal(layer.state_dict(), before)
    layer.eval()(md.randn(4, 2))
