"""Assignments by users, to ``requires_grad``, ``grad``, ``data`` and attributes of modules, always have an effect."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends, nn, ops, optim, plugins, viz
from minidl.errors import BackendError, DtypeError, GraphError, MinidlError, ShapeError
from minidl.kernels.window import sliding_window
from minidl.ops.conv import conv_spec

from .tensors import leaf, matrix

F = nn.functional
OPTIMIZERS = [name for name in plugins.names("optimizer") if name in ("sgd", "adam", "adamw", "rmsprop", "adagrad")]


# requires_grad

WHOLE = [np.array([1, 2, 3]), np.array([1, 2], np.uint8), np.array([True]), np.array(3), np.array([1j])]


@pytest.mark.parametrize("data", WHOLE, ids=str)
def test_only_floats_want_a_gradient(data: Any) -> None:
    with pytest.raises(DtypeError, match="only floating-point tensors have gradients, got"):
        md.Tensor(data, requires_grad=True)
    x = md.Tensor(data)
    with pytest.raises(DtypeError, match="only floating-point tensors have gradients, got"):
        x.requires_grad = True
    assert x.requires_grad is False
    x.requires_grad = False


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_kind_may_want_one(dtype: Any) -> None:
    x = md.Tensor(np.ones(2, dtype))
    x.requires_grad = True
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2]
    x.requires_grad = False
    assert not (x * x).requires_grad


def test_a_result_does_not_stop_wanting_a_gradient() -> None:
    x = leaf(1, 2)
    y = x * x
    with pytest.raises(GraphError, match=r"the result of Mul must keep requires_grad=True, .* use y\.detach\(\)"):
        y.requires_grad = False
    y.requires_grad = True
    y.sum().backward()
    assert x.grad.tolist() == [2, 4]


def pieces() -> dict[str, nn.Module]:
    rng = md.Generator(0)
    fused = nn.Sequential(nn.Conv2D(1, 2, 3, rng=rng), nn.ReLU(), nn.MaxPooling2D(2))
    dense, conv = nn.Dense(1, 2, rng=rng), nn.Conv2D(1, 2, 3, rng=rng)
    return {"dense": dense, "conv": conv, "norm": nn.BatchNorm(1), "fused": fused}


@pytest.mark.parametrize("piece", pieces())
@pytest.mark.parametrize("through_data", [True, False])
def test_what_was_frozen_in_the_forward_pass_has_no_gradient(piece: str, through_data: bool) -> None:
    """As in PyTorch: it is not part of the graph, so unfreezing it before backward() is too late for this pass."""
    layer = pieces()[piece]
    x = md.tensor(np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype(np.float32), requires_grad=through_data)
    for parameter in layer.parameters():
        parameter.requires_grad = False
    scale = leaf(2)
    loss = ((layer(x) * scale) ** 2).sum()
    for parameter in (*layer.parameters(), x):
        parameter.requires_grad = True
    loss.backward()
    assert [parameter.grad for parameter in layer.parameters()] == [None] * len(layer.parameters())
    assert (x.grad is not None) is through_data
    assert scale.grad is not None
    ((layer(x) * scale) ** 2).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_a_factor_that_was_frozen_has_no_gradient_in_a_picture_either() -> None:
    w, v = md.tensor([3.0]), leaf(2)
    y = (w * v + w).sum()
    w.requires_grad = True
    found = viz.Graph(y, {"w": w, "v": v}).steps[-1].gradients
    assert (w in found, v in found) == (False, True)
    y.backward()
    assert (w.grad, v.grad.tolist()) == (None, [3])


def test_what_is_frozen_after_the_forward_pass_has_none_either() -> None:
    w, v = leaf(3), leaf(2)
    y = (w * v + w).sum()
    w.requires_grad = False
    y.backward()
    assert (w.grad, v.grad.tolist()) == (None, [3])


def test_a_generator_learns_beside_a_critic_that_is_thawed_before_its_backward() -> None:
    def trained(early: bool) -> list[float]:
        rng = md.Generator(0)
        generator, critic = nn.Dense(2, 2, rng=rng), nn.Dense(2, 1, rng=rng)
        optimizer = optim.SGD(critic.parameters(), lr=1.0)

        def freeze(frozen: bool) -> None:
            for parameter in critic.parameters():
                parameter.requires_grad = not frozen

        freeze(True)
        loss = critic(generator(md.tensor([[1.0, 2.0]]))).mean()
        if early:
            freeze(False)
        loss.backward()
        freeze(False)
        assert generator.w.grad is not None
        critic(md.tensor([[1.0, 1.0]])).mean().backward()
        optimizer.step()
        return [*critic.w.numpy().ravel().tolist(), critic.b.item()]

    assert trained(early=True) == trained(early=False)


def test_copies_want_what_the_original_wants() -> None:
    for x in (leaf(1, 2), md.tensor([1.0])):
        for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert other.requires_grad is x.requires_grad


# Attributes of modules

HELD: dict[str, Callable[[md.Tensor], Any]] = {
    "alone": lambda w: w,
    "list": lambda w: [w],
    "tuple": lambda w: (nn.Dense(1, 1), w),
    "dictionary": lambda w: {"w": w},
    "nested": lambda w: [{"a": (1, [w])}],
}


@pytest.mark.parametrize("held", HELD)
def test_a_plain_tensor_is_no_parameter_wherever_it_is(held: str) -> None:
    model = nn.Module()
    with pytest.raises(MinidlError, match=r"'ws.*' of Module requires a gradient, but a plain tensor is not"):
        model.ws = HELD[held](leaf(1, 2))
    assert not hasattr(model, "ws")
    model.ws = HELD[held](md.tensor([1.0, 2.0]))  # a constant
    model.ws = HELD[held](leaf(1, 2) * 2)  # a result
    assert all(p.shape != (2,) for p in model.parameters())
    model.ws = HELD[held](nn.Parameter([1.0, 2.0]))
    assert any(p.shape == (2,) for p in model.parameters())


def test_one_that_comes_later_is_found_when_parameters_are_asked_for() -> None:
    model, constant = nn.Module(), md.tensor([1.0])
    model.ws, model.constant = [nn.Parameter([1.0])], constant
    assert len(model.parameters()) == 1
    model.ws.append(leaf(1, 2))
    with pytest.raises(MinidlError, match=r"'ws\.1' of Module requires a gradient"):
        model.parameters()
    model.ws[1] = nn.Parameter(model.ws[1])
    assert list(model.state_dict()) == ["ws.0", "ws.1"]
    constant.requires_grad = True
    with pytest.raises(MinidlError, match=r"'constant' of Module requires a gradient"):
        model.state_dict()


@pytest.mark.parametrize("dtype", [int, np.uint8, bool, complex])
def test_a_model_stays_one_of_floats(dtype: Any) -> None:
    model = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3))
    before = model.state_dict()
    with pytest.raises(DtypeError, match=r"a model computes with floats, got|expected a dtype of numbers"):
        model.astype(dtype)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
        assert array.dtype == before[name].dtype
    assert model.astype("float64").parameters()[0].dtype == np.float64


# Gradients and data

ONES = np.ones(2, np.float32)


def test_integers_have_no_gradient_that_is_whole_too() -> None:
    x = leaf(1, 2)
    x.data, x.grad = np.array([1, 2]), np.array([3, 4])
    with pytest.raises(DtypeError, match="is int64, the data are int64: both must be the same floats"):
        optim.SGD([x]).step()
    assert x.data.tolist() == [1, 2]


WRONG = {
    "a tensor": (lambda: md.tensor([1.0, 2.0]), MinidlError, r"the gradient of .* is a Tensor, expected an array"),
    "a list": (lambda: [1.0, 2.0], MinidlError, r"is a list, expected an array"),
    "a number": (lambda: 1.0, MinidlError, r"is a float, expected an array"),
    "float64": (lambda: np.ones(2), DtypeError, r"is float64, the data are float32"),
    "integers": (lambda: np.ones(2, int), DtypeError, r"is int64, the data are float32"),
    "too long": (lambda: np.ones(3, np.float32), ShapeError, r"has shape \(3,\)"),
    "one for all": (lambda: np.ones(1, np.float32), ShapeError, r"of a tensor of shape \(2,\) has shape \(1,\)"),
    "no axis": (lambda: np.float32(1), ShapeError, r"has shape \(\)"),
    "a matrix": (lambda: matrix(np.ones(2, np.float32)), MinidlError, r"is a Matrix, expected an array"),
    "one more axis": (lambda: np.ones((1, 2), np.float32), ShapeError, r"has shape \(1, 2\)"),
    "elsewhere": (lambda: backends.get("strict").asarray(ONES), BackendError, r"is on strict, the data"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_that_does_not_fit_changes_nothing(name: str, what: str) -> None:
    make, kind, message = WRONG[what]
    a, b = leaf(1, 2), leaf(3, 4)
    optimizer = plugins.build("optimizer", name, [a, b], lr=lambda step: 0.1 / (1 + step))
    a.grad = b.grad = np.ones(2, np.float32)
    optimizer.step()
    before = copy.deepcopy((a.data, b.data, optimizer.state_dict()))
    b.grad = make()
    with pytest.raises(kind, match=message):
        optimizer.step()
    with pytest.raises(kind, match=message):
        optim.clip_grad_norm([a, b], 0.1)
    with pytest.raises(kind, match=message):
        (b * b).sum().backward()
    np.testing.assert_equal((a.data, b.data, optimizer.state_dict()), before)
    assert a.grad.tolist() == [1, 1]


@pytest.mark.parametrize("what", ["a list", "a tensor", "integers", "a matrix"])
def test_data_that_do_not_fit_are_named(what: str) -> None:
    w = leaf(1, 2)
    w.grad, w.data = np.ones(2, np.float32), WRONG[what][0]()
    with pytest.raises(MinidlError, match=r"the data of|the data are int64"):
        optim.SGD([w], lr=0.1).step()


@pytest.mark.parametrize(
    "data", [md.ones(2, 2), [[1.0, 2.0], [3.0, 4.0]], 3.0, None, matrix(np.ones((2, 2), np.float32))], ids=type
)
def test_data_that_are_no_array_are_named_wherever_they_are_found(data: Any) -> None:
    layer, x = nn.Dense(2, 2), md.ones(1, 2)
    w = layer.w
    w.data = data
    uses: list[Callable[[], Any]] = [
        lambda: layer(x), lambda: x @ w, lambda: w + 1, lambda: w[0], lambda: w.sum(), lambda: repr(w),
        lambda: w.numpy(), lambda: w.backend, lambda: w.mark_changed(), lambda: w.clone(),
        lambda: layer.state_dict(), lambda: layer.astype(np.float64), lambda: md.summary(layer, (2,)),
    ]  # fmt: skip
    if not isinstance(data, md.Tensor | np.ndarray):
        uses += [lambda: w.shape, lambda: w.dtype, lambda: w.size, lambda: w.ndim, lambda: len(w)]
    for use in uses:
        with pytest.raises(MinidlError, match=rf"data of w is a {type(data).__name__}, .*: set x\.data = y\.data"):
            use()
        assert w.data is data
    with pytest.raises(BackendError, match=r"Tensor is not an array .*: x\.data is the array of a tensor"):
        backends.of(x)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_single_number_stays_an_array(name: str) -> None:
    w, same = md.tensor(2.0, requires_grad=True), leaf(2.0)
    optimizers = [plugins.build("optimizer", name, [x], lr=0.1) for x in (w, same)]
    for _ in range(3):
        for x, optimizer in zip((w, same), optimizers, strict=True):
            x.data = x.data * np.float32(2)  # which turns a 0-d array into a scalar
            x.mark_changed()
            optimizer.zero_grad()
            (x * x).sum().backward()
            x.grad = x.grad * np.float32(0.5)
            optim.clip_grad_norm([x], 1.0)
            optimizer.step()
    assert isinstance(w.data, np.ndarray)
    assert w.item() == pytest.approx(same.item(), rel=1e-6)


def test_a_gradient_of_ones_own_is_used() -> None:
    w = leaf(1, 2)
    (w * w).sum().backward()
    w.grad = md.tensor(w.grad).clip(-3, 3).data
    optim.SGD([w], lr=1.0).step()
    assert w.numpy().tolist() == [-1, -1]
    view = np.ones((2, 2), np.float32)[:, 1]
    w.grad = view
    optim.SGD([w], lr=1.0).step()
    assert w.numpy().tolist() == [-2, -2]


def test_the_gradient_of_a_derived_algorithm_is_asked_where_it_is_pooled() -> None:
    class Ones(plugins.get("conv_algorithm", "im2col")):  # type: ignore[misc]
        def weight_gradient(self, x: Any, dy: Any, spec: Any, saved: Any) -> Any:
            return np.ones_like(super().weight_gradient(x, dy, spec, saved))

    x, w, b = (
        md.tensor(np.ones((1, 4, 4, 1))),
        leaf(*np.ones((3, 3, 1, 2)).tolist(), dtype=np.float64),
        md.tensor(np.zeros(2)),
    )
    spec, pool = conv_spec(x.data, w.data, b.data, 1, 0), sliding_window(2, 2, 2, 2, 0)
    for make, expected in ((Ones, 1), (Ones.__base__, 2)):
        w.grad, algorithm = None, make(md.backends.default)
        y = ops.Conv2DReLUMaxPool2D.apply(x, w, b, algorithm=algorithm, spec=spec, pool=pool)
        y.backward(np.full(y.shape, 2.0))
        assert np.unique(w.grad).tolist() == [expected]
