"""Modules: parameter names, states, copies, modes and hooks, and models that share parts."""

import copy
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim
from minidl.errors import DtypeError, MinidlError, ShapeError
from minidl.testing.arrays import numbers

from .training import assert_same


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2D(1, 2, 3), nn.ReLU(), nn.Conv2D(2, 3, 3))
        self.scale = nn.Parameter(np.ones(1, np.float32))
        self.heads = {"a": nn.Dense(3, 1), "b": nn.Dense(3, 2, bias=False)}
        self.rest = [nn.Dense(2, 2), (nn.BatchNorm(2),)]

    def forward(self, x: md.Tensor) -> md.Tensor:
        return self.features(x)


NAMES = [
    "features.0.w", "features.0.b", "features.2.w", "features.2.b", "scale", "heads.a.w", "heads.a.b", "heads.b.w",
    "rest.0.w", "rest.0.b", "rest.1.0.gamma", "rest.1.0.beta",
]  # fmt: skip


def test_names_are_dotted_and_in_the_order_of_assignment() -> None:
    model = Nested()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [p.name for p in model.parameters()] == NAMES
    assert list(model.state_dict()) == [*NAMES, "rest.1.0.mean", "rest.1.0.var"]
    assert dict(model.named_buffers()) == {"rest.1.0.mean": model.rest[1][0].mean, "rest.1.0.var": model.rest[1][0].var}
    assert dict(model.named_tensors()) == {**dict(model.named_parameters()), **dict(model.named_buffers())}
    outer = nn.Sequential(model)
    assert [p.name for p in outer.parameters()] == [f"0.{name}" for name in NAMES]


@pytest.mark.parametrize("value", [np.ones((2, 2), np.float32), [[1.0, 2.0]], 3, md.ones(2, 2), nn.Dense(2, 2)])
def test_only_a_parameter_takes_the_place_of_a_parameter_and_a_buffer_that_of_a_buffer(value: Any) -> None:
    layer, norm = nn.Dense(2, 2), nn.BatchNorm(2)
    weights, mean, names = layer.w, norm.mean, [list(layer.state_dict()), list(norm.state_dict())]
    given = type(value).__name__
    message = f"'w' of Dense is a Parameter .* got {given}: write .w.data.* nn.Parameter.* create the optimizer again"
    with pytest.raises(MinidlError, match=message):
        layer.w = value
    with pytest.raises(MinidlError, match=f"'mean' of BatchNorm is a Buffer .* got {given}: .*nn.Buffer"):
        norm.mean = value
    with pytest.raises(MinidlError, match=r"is a Parameter .* got Buffer"):
        layer.w = nn.Buffer(weights.data)  # type: ignore[assignment]
    with pytest.raises(MinidlError, match=r"is a Buffer .* got Parameter"):
        norm.mean = nn.Parameter(mean.data)  # type: ignore[assignment]
    assert layer.w is weights
    assert norm.mean is mean
    assert [list(layer.state_dict()), list(norm.state_dict())] == names


def test_a_parameter_can_be_replaced_by_another_one_and_taken_away() -> None:
    layer = nn.Dense(2, 2)
    layer.w = nn.Parameter(np.zeros((2, 2), np.float32))
    layer.w = layer.w
    layer.b = None
    assert list(layer.state_dict()) == ["w"]
    assert layer.w.name == "w"
    assert layer(md.ones(1, 2)).numpy().tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("layer", "name"),
    [(nn.Dense(2, 2), "w"), (nn.Conv2D(1, 1, 1), "w"), (nn.BatchNorm(2), "gamma"), (nn.BatchNorm(2), "beta")],
)
def test_a_parameter_that_a_layer_needs_is_not_taken_away(layer: Any, name: str) -> None:
    before = getattr(layer, name)
    with pytest.raises(MinidlError, match=f"'{name}' of .* can only be replaced by another one, got NoneType: [^;]*$"):
        setattr(layer, name, None)
    assert getattr(layer, name) is before


@pytest.mark.parametrize("declared", [nn.Parameter | None, "Parameter | None", Optional[nn.Parameter]])  # noqa: UP045
def test_a_parameter_of_ones_own_that_is_declared_as_optional_may_be_taken_away(declared: Any) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter([1.0])

    layer: Any = Shifted()
    with pytest.raises(MinidlError, match="'shift' of Shifted is a Parameter"):
        layer.shift = None
    Shifted.__annotations__ = {"shift": declared}
    layer.shift = None
    assert layer.state_dict() == {}


def test_a_part_whose_parts_cannot_be_named_can_be_replaced() -> None:
    broken = Nested()
    broken.rest.append({nn.Dense(1, 1)})
    model = nn.Sequential(nn.Dense(1, 1))
    vars(model)["0"] = broken
    with pytest.raises(MinidlError, match="use a list"):
        model.parameters()
    model[0] = nn.Dense(1, 1)
    assert len(model.parameters()) == 2


def test_what_is_put_into_a_list_later_is_found() -> None:
    model = Nested()
    model.rest.append(nn.Dense(1, 1))
    assert [p.name for p in model.parameters()][-2:] == ["rest.2.w", "rest.2.b"]


@pytest.mark.parametrize("given", [list, lambda parameters: "weights", iter, tuple])
def test_what_is_no_state_of_a_model_is_told_from_one(given: Any) -> None:
    model = nn.Dense(1, 1)
    with pytest.raises(
        MinidlError, match=r"expected a dictionary of arrays, .*: use model\.state_dict\(\), or md\.load"
    ):
        model.load_state_dict(given(model.parameters()))


@pytest.mark.parametrize("index", [0, -1, slice(1)])
def test_layers_are_not_taken_out_of_a_model_that_is_there(index: Any) -> None:
    model = nn.Sequential(nn.Dense(1, 1), nn.ReLU())
    with pytest.raises(MinidlError, match=r"^Sequential: layers cannot be deleted: write nn\.Sequential\("):
        del model[index]
    assert len(model) == 2


@dataclass
class Parts:
    first: nn.Module
    rest: list[Any]
    noise: Any = field(init=False)


def test_the_parts_of_a_dataclass_are_learned_and_saved() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = Parts(nn.Dense(2, 3), [nn.Parameter([1.0]), nn.Buffer(np.ones(1))])
            self.heads = {"a": Parts(nn.Dense(3, 1, bias=False), [])}

    model = Net()
    assert list(model.state_dict()) == [
        "parts.first.w",
        "parts.first.b",
        "parts.rest.0",
        "parts.rest.1",
        "heads.a.first.w",
    ]
    assert [p.name for p in model.parameters()] == ["parts.first.w", "parts.first.b", "parts.rest.0", "heads.a.first.w"]
    assert [type(child).__name__ for child in model.eval().children()] == ["Dense", "Dense"]
    assert not model.parts.first.training
    model.parts.noise = md.Generator(0)
    assert dict(model.named_generators()) == {"parts.noise": model.parts.noise}
    with pytest.raises(MinidlError, match=r"'parts.rest.0' of Net requires a gradient"):
        model.parts = Parts(nn.Dense(1, 1), [md.ones(1, requires_grad=True)])


def test_a_structure_that_leads_back_to_itself_is_walked_through_once() -> None:
    model = nn.Sequential(nn.Dense(1, 1))
    around: Any = Parts(nn.Dense(1, 1, bias=False), [])
    around.rest.append(around)
    model.around = around
    assert [name for name, _ in model.named_parameters()] == ["0.w", "0.b", "around.first.w"]


def test_a_shared_layer_counts_once() -> None:
    shared = nn.Dense(2, 2)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert [name for name, _ in model.named_parameters()] == ["0.w", "0.b"]
    x = md.tensor(numbers(1, 2), dtype=np.float32)
    model(x).sum().backward()
    assert shared.w.grad is not None


def test_a_module_without_init_says_what_is_missing() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Dense(1, 1)

    with pytest.raises(MinidlError, match=r"call super\(\).__init__\(\) in Forgetful before setting 'layer'"):
        Forgetful()


def test_a_plain_tensor_that_wants_a_gradient_is_no_parameter() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = md.tensor([1.0], requires_grad=True)

    with pytest.raises(MinidlError, match=r"'factor' of Scale requires a gradient.*use nn.Parameter"):
        Scale()
    layer = nn.ReLU()
    layer.seen = layer(md.tensor([1.0], requires_grad=True))
    layer.constant = md.tensor([1.0])


def test_state_dict_is_a_copy_and_comes_back() -> None:
    model, other = Nested(), Nested()
    state = model.state_dict()
    other.load_state_dict(state)
    assert_same(other.state_dict(), state)
    state["scale"][...] = 5
    assert model.scale.item() == 1
    other.scale.data[...] = 3
    assert state["scale"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("scale"), "missing scale"),
        (lambda s: s.update(extra=np.ones(1)), "unknown extra"),
        (lambda s: s.update(scale=np.ones(2)), r"scale has shape \(2,\), expected \(1,\)"),
    ],
)
def test_loading_is_all_or_nothing(change: Any, message: str) -> None:
    model = Nested()
    before = model.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    change(state)
    with pytest.raises(ShapeError, match=message):
        model.load_state_dict(state)
    assert_same(model.state_dict(), before)


def test_parameters_keep_their_identity() -> None:
    model = Nested()
    before = model.parameters()
    model.astype(np.float64).to("strict").to("numpy")
    model.load_state_dict(model.state_dict())
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert {p.dtype for p in before} == {np.dtype(np.float64)}


def test_deepcopy_is_independent() -> None:
    model = Nested()
    twin = copy.deepcopy(model)
    twin.scale.data[...] = 9
    assert model.scale.item() == 1
    assert [p.name for p in twin.parameters()] == NAMES


def test_a_copied_parameter_is_trained_and_a_copied_buffer_saved() -> None:
    class Twin(nn.Module):
        def __init__(self, other: nn.BatchNorm) -> None:
            super().__init__()
            self.gain, self.mean = copy.copy(other.gamma), copy.copy(other.mean)

    layer = nn.BatchNorm(2)
    twin = Twin(layer)
    assert list(twin.state_dict()) == ["gain", "mean"]
    assert [p.name for p in twin.parameters()] == ["gain"]
    twin.gain.data[...] = 9
    assert layer.gamma.numpy().tolist() == [1, 1]
    assert layer.gamma.name == "gamma"


def test_train_and_eval_reach_every_module() -> None:
    model = Nested()
    assert not any(module.training for _, module in model.eval().named_modules())
    assert all(module.training for _, module in model.train().named_modules())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "b holds None, expected an array of numbers"),
        ("text", "b holds 'text', expected an array of numbers"),
        ([[1.0], [2.0, 3.0]], r"b holds \[\[1.0\], \[2.0, 3.0\]\], expected an array of numbers"),
        (np.ones(2, np.complex64), "b has the dtype complex64, expected float32"),
        (np.array(["1", "2"]), r"b holds ndarray of <U1 and shape \(2,\), expected an array of numbers"),
    ],
)
def test_weights_that_are_no_numbers_are_refused_and_change_nothing(value: Any, message: str) -> None:
    layer = nn.Dense(3, 2)
    before = layer.state_dict()
    with pytest.raises(DtypeError, match=message):
        layer.load_state_dict({"w": before["w"] + 1, "b": value})
    np.testing.assert_array_equal(layer.w.numpy(), before["w"])


def test_a_buffer_of_integers_takes_no_fractions() -> None:
    module = nn.Module()
    module.count = nn.Buffer(np.zeros(2, np.int64))  # type: ignore[attr-defined]
    with pytest.raises(DtypeError, match="count has the dtype float64, expected int64"):
        module.load_state_dict({"count": [0.5, 1.0]})
    module.load_state_dict({"count": np.array([1, 2], np.int8)})
    assert module.state_dict()["count"].tolist() == [1, 2]


def test_weights_may_be_lists_tensors_and_arrays_of_another_precision() -> None:
    layer = nn.Dense(1, 2)
    layer.load_state_dict({"w": md.tensor([[1.0, 2.0]]).to("strict"), "b": [3, 4]})
    assert (layer.w.numpy().tolist(), layer.b.numpy().tolist()) == ([[1, 2]], [3, 4])  # type: ignore[union-attr]
    layer.load_state_dict({"w": np.ones((1, 2)), "b": layer.b.data})  # type: ignore[union-attr]
    assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float32)}


def test_a_layer_that_two_models_share_has_a_name_in_each() -> None:
    shared = nn.Dense(2, 2)
    one = nn.Sequential(nn.Dense(2, 2), shared)
    other = nn.Sequential(shared, nn.ReLU())
    for model, names in ((one, ["0.w", "0.b", "1.w", "1.b"]), (other, ["0.w", "0.b"])):
        assert list(model.state_dict()) == names
        assert list(optim.SGD(model.parameters()).state) == names


def test_two_parts_that_were_named_alike_by_other_models_have_names_of_their_own() -> None:
    shared = nn.Dense(2, 2)
    model = nn.Sequential(shared, nn.Sequential(nn.Dense(2, 2)))
    nn.Sequential(nn.ReLU(), nn.Sequential(shared))  # there it is 1.0, as in the other one here
    assert list(optim.SGD(model.parameters()).state) == ["0.w", "0.b", "1.0.w", "1.0.b"]


def test_parameters_of_a_part_keep_their_names_in_the_whole() -> None:
    model = nn.Sequential(nn.Sequential(nn.Dense(2, 2)), nn.Sequential(nn.Dense(2, 2)))
    both = model[0].parameters() + model[1].parameters()
    assert list(optim.SGD(both).state) == ["0.0.w", "0.0.b", "1.0.w", "1.0.b"]


@pytest.mark.parametrize(
    "parts",
    [
        {1: nn.Dense(1, 1), "1": nn.Dense(1, 1)},
        {1: nn.ReLU(), "1": nn.Dense(1, 1)},
        {"a.b": nn.Parameter([1.0]), "a": {"b": nn.Parameter([2.0])}},
    ],
)
def test_two_parts_of_one_name_are_an_error(parts: dict[Any, Any]) -> None:
    model = nn.Module()
    with pytest.raises(MinidlError, match=r"two parts of Module have the name 'heads\.(1|a\.b)': use other keys"):
        model.heads = parts  # type: ignore[attr-defined]


def test_a_key_that_is_added_later_is_noticed_when_names_are_asked_for() -> None:
    model = nn.Module()
    model.heads = {1: nn.Dense(1, 1)}  # type: ignore[attr-defined]
    model.heads["1"] = nn.Dense(1, 1)  # type: ignore[attr-defined, index]
    for use in (model.state_dict, model.parameters, lambda: model.load_state_dict({})):
        with pytest.raises(MinidlError, match=r"have the name 'heads\.1'"):
            use()


def test_a_hook_that_removes_itself_skips_no_other() -> None:
    layer, called = nn.ReLU(), []

    def once(module: Any, inputs: Any, outputs: Any) -> None:
        called.append("once")
        remove()

    remove = layer.add_hook(once)
    layer.add_hook(lambda module, inputs, outputs: called.append("always"))
    for _ in range(2):
        layer(md.tensor([1.0]))
    assert called == ["once", "always", "always"]


def test_a_layer_with_a_train_of_its_own_stays_in_evaluation() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Any:
            return super().train(False)

    model = nn.Sequential(nn.Dense(2, 3), Frozen(nn.Dense(3, 3), nn.BatchNorm(3)), nn.BatchNorm(3))
    for _ in range(2):
        modes = [module.training for _, module in model.train().named_modules()]
        assert modes == [True, True, False, False, False, True]
        assert not any(module.training for _, module in model.eval().named_modules())
