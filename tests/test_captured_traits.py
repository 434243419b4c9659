"""What a captured training step depends on, without being told: every change gives the bits of steps that are computed.

On the emulated GPU, and on a real one where there is one. Each change is made between the steps of two trainers, of
which one may capture.
"""

import array
import functools
from collections import OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn, optim, plugins
from minidl.errors import DtypeError, GraphError
from minidl.op import Op
from minidl.traits import Traits

from . import test_capture
from .test_capture import BATCH, F, Network, data, steps

device, replays = test_capture.device, test_capture.replays

settings = ModuleType("settings_of_a_user")
settings.rate = 1.0  # type: ignore[attr-defined]
settings.deeper = ModuleType("settings_of_a_user.deeper")  # type: ignore[attr-defined]
settings.deeper.rate = 1.0  # type: ignore[attr-defined]
answering = ModuleType("answering")
RATE = 1.0
TABLE = {"rate": 1.0}


@dataclass
class Options:
    rate: float = 1.0
    more: dict[str, Any] = field(default_factory=lambda: {"deep": [1.0]})


class Plain:
    rate = 1.0


class Slotted:
    __slots__ = ("later", "rate")

    def __init__(self) -> None:
        self.rate = 1.0


class Faster(Plain):
    rate = 3.0


class Derived(Plain):
    pass


class FasterModule(ModuleType):
    rate = 3.0


class Meta(type):
    rate = 1.0


class FasterMeta(Meta):
    rate = 3.0


class OfMeta(metaclass=Meta):
    pass


class Table(dict[str, float]):
    rate = 1.0


class FasterTable(Table):
    rate = 3.0


class Numbers(np.ndarray):
    rate = 1.0


class LazyModule(ModuleType):
    rate = 1.0


class Kind(Enum):
    HALF = 0.5
    FULL = 1.0


class Scale(nn.Module):
    """Times whatever ``read(self)`` gives, a Python number."""

    rate = faster = 1.0
    table: dict[str, float]

    def __init__(self, read: Callable[[Any], float], start: Any = None) -> None:
        super().__init__()
        self.read, self.options = read, start

    def forward(self, x: md.Tensor) -> md.Tensor:
        return x * float(self.read(self))


class FasterScale(Scale):
    faster = 3.0


def given() -> Any:
    return settings


def rate_of(module: Any) -> float:
    return float(module.rate)


def later_of(module: Any) -> float:
    try:
        return float(module.later)
    except AttributeError:
        return 1.0


def helper() -> float:
    return RATE


def scaled(x: Any, rate: float = 1.0) -> Any:
    return x * rate


class ScaleOp(Op):
    rate = 1.0

    def forward(self, x: Any) -> Any:
        return x * self.rate

    def backward(self, dy: Any) -> Any:
        return (dy * self.rate,)


class OpInside(nn.Module):
    def forward(self, x: md.Tensor) -> md.Tensor:
        return ScaleOp.apply(x)


class Squares:
    """A loss that is no module."""

    weight = 1.0

    def __init__(self, weight: float | None = None) -> None:
        if weight is not None:
            self.weight = weight

    def __call__(self, outputs: Any, targets: Any) -> Any:
        return F.mse_loss(outputs, targets) * self.weight

    def method(self, outputs: Any, targets: Any) -> Any:
        return self(outputs, targets)

    @staticmethod
    def static(outputs: Any, targets: Any) -> Any:
        return F.mse_loss(outputs, targets) * Squares.weight


def weighted(outputs: Any, targets: Any, weight: float = 1.0, table: Any = None) -> Any:
    return F.mse_loss(outputs, targets) * (weight if table is None else table["weight"])


def closing_over(box: Any) -> Any:
    weight = box

    def loss(outputs: Any, targets: Any) -> Any:
        return F.mse_loss(outputs, targets) * (weight if isinstance(weight, float) else weight[0])

    def change(value: float) -> None:
        nonlocal weight
        weight = value

    loss.change = change  # type: ignore[attr-defined]
    return loss


def by_global(outputs: Any, targets: Any) -> Any:
    return F.mse_loss(outputs, targets) * RATE


def by_helper(outputs: Any, targets: Any) -> Any:
    return sum(F.mse_loss(outputs, targets) * helper() for _ in range(1))


def by_module(outputs: Any, targets: Any) -> Any:
    return F.mse_loss(outputs, targets) * settings.rate * settings.deeper.rate


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


def trainer(device: Any, layer: Any = None, loss: Any = None, capturing: bool = True) -> md.Trainer:
    rng = md.Generator(0)
    layers = [nn.Flatten(), nn.Dense(144, 6, rng=rng), nn.BatchNorm(6), layer or nn.ReLU(), nn.Dense(6, 1, rng=rng)]
    model = Network(*layers).to(device.name)
    loss = loss if callable(loss) else F.mse_loss
    one = md.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    if not capturing:
        one.captured._capture = one.captured.computed  # type: ignore[method-assign]
    return one


def set_item(key: Any, read: Callable[[Any], Any] = lambda layer: layer.options) -> Callable[[Any], None]:
    return lambda layer: read(layer).__setitem__(key, 3.0)


def set_rate(layer: Any) -> None:
    layer.options.rate = 3.0


ATTRIBUTES: dict[str, tuple[Callable[[Any], float], Callable[[], Any], Callable[[Any], None]]] = {
    "class attribute": (lambda s: s.rate, lambda: None, lambda s: setattr(Scale, "rate", 3.0)),
    "table of the class": (lambda s: s.table["rate"], lambda: None, lambda s: Scale.table.update(rate=3.0)),
    "dataclass": (lambda s: s.options.rate, Options, set_rate),
    "deep in a dataclass": (lambda s: s.options.more["deep"][0], Options, lambda s: set_item(0)(
        SimpleNamespace(options=s.options.more["deep"]))),
    "plain object": (lambda s: s.options.rate, Plain, set_rate),
    "class of a plain object": (lambda s: s.options.rate, Plain, lambda s: setattr(Plain, "rate", 3.0)),
    "other class": (lambda s: s.options.rate, Plain, lambda s: setattr(s.options, "__class__", Faster)),
    "other base classes": (lambda s: s.options.rate, Derived, lambda s: setattr(Derived, "__bases__", (Faster,))),
    "other metaclass": (lambda s: s.options.rate, lambda: OfMeta, lambda s: setattr(OfMeta, "__class__", FasterMeta)),
    "other metaclass of the class": (
        lambda s: type(s.options).rate, OfMeta, lambda s: setattr(OfMeta, "__class__", FasterMeta)),
    "other class of a layer": (lambda s: s.faster, lambda: None, lambda s: setattr(s, "__class__", FasterScale)),
    "other class of a dictionary": (
        lambda s: s.options.rate, Table, lambda s: setattr(s.options, "__class__", FasterTable)),
    "other class of a module": (
        lambda s: s.options.rate, lambda: LazyModule("lazy"),
        lambda s: setattr(s.options, "__class__", FasterModule)),
    "other dictionary of attributes": (
        lambda s: s.options.rate, Plain, lambda s: setattr(s.options, "__dict__", {"rate": 3.0})),
    "class in an attribute": (lambda s: s.options.rate, lambda: Plain, lambda s: setattr(Plain, "rate", 3.0)),
    "namespace": (lambda s: s.options.rate, lambda: SimpleNamespace(rate=1.0), set_rate),
    "slots": (lambda s: s.options.rate, Slotted, set_rate),
    "an empty slot": (
        lambda s: getattr(s.options, "later", 1.0), Slotted, lambda s: setattr(s.options, "later", 3.0)),
    "module": (lambda s: s.options.rate, lambda: settings, set_rate),
    "module in a module": (
        lambda s: s.options.deeper.rate, lambda: settings, lambda s: setattr(settings.deeper, "rate", 3.0)),
    "module in a list": (lambda s: s.options[0].rate, lambda: [settings], lambda s: setattr(settings, "rate", 3.0)),
    "module that a function gives": (lambda s: given().rate, lambda: None, lambda s: setattr(settings, "rate", 3.0)),
    "module that a function gets": (
        lambda s: rate_of(settings), lambda: None, lambda s: setattr(settings, "rate", 3.0)),
    "what a module does not have yet": (
        lambda s: later_of(s.options), lambda: settings,
        lambda s: setattr(settings, "later", 3.0)),
    "class of a module": (
        lambda s: s.options.rate, lambda: LazyModule("lazy"), lambda s: setattr(LazyModule, "rate", 3.0)),
    "function that answers for a module": (
        lambda s: s.options.missing, lambda: answering, lambda s: setattr(answering, "__getattr__", lambda name: 3.0)),
    "metaclass": (lambda s: s.options.rate, lambda: OfMeta, lambda s: setattr(Meta, "rate", 3.0)),
    "attribute of a dictionary": (lambda s: s.options.rate, Table, set_rate),
    "class of a dictionary": (lambda s: s.options.rate, Table, lambda s: setattr(Table, "rate", 3.0)),
    "attribute of an ordered dictionary": (lambda s: getattr(s.options, "rate", 1.0), OrderedDict, set_rate),
    "attribute of an array": (lambda s: s.options.rate, lambda: np.zeros(1).view(Numbers), set_rate),
    "polynomial": (
        lambda s: s.options(1.0), lambda: np.polynomial.Polynomial([1.0]),
        lambda s: s.options.coef.__setitem__(0, 3.0)),
    "coefficients of a polynomial": (
        lambda s: s.options(1.0), lambda: np.polynomial.Polynomial([1.0]),
        lambda s: setattr(s.options, "coef", np.array([3.0]))),
    "deque": (lambda s: s.options[0], lambda: deque([1.0]), set_item(0)),
    "user's dictionary": (lambda s: s.options["rate"], lambda: UserDict(rate=1.0), set_item("rate")),
    "user's list": (lambda s: s.options[0], lambda: UserList([1.0]), set_item(0)),
    "ordered dictionary": (
        lambda s: next(iter(s.options.values())), lambda: OrderedDict(a=1.0, b=3.0),
        lambda s: s.options.move_to_end("a")),
    "array of the host": (lambda s: s.options[0], lambda: np.ones(3), set_item(0)),
    "array of the standard library": (lambda s: s.options[0], lambda: array.array("d", [1.0]), set_item(0)),
    "bytes": (lambda s: s.options[0], lambda: bytearray(b"\x01"), lambda s: s.options.__setitem__(0, 3)),
    "number of NumPy's": (
        lambda s: s.options, lambda: np.float32(1), lambda s: setattr(s, "options", np.float32(3))),
    "sign of zero": (lambda s: 1.5 + np.copysign(0.5, s.options), lambda: 0.0, lambda s: setattr(s, "options", -0.0)),
    "enumeration": (
        lambda s: s.options.value, lambda: Kind.FULL, lambda s: setattr(s, "options", Kind.HALF)),
    "partial": (
        lambda s: s.options(1.0), lambda: functools.partial(scaled, rate=1.0),
        lambda s: s.options.keywords.update(rate=3.0)),
    "set": (lambda s: len(s.options), lambda: {1}, lambda s: s.options.add(2)),
    "bound method": (
        lambda s: s.options("rate"), lambda: {"rate": 1.0}.get, lambda s: s.options.__self__.update(rate=3.0)),
    "property": (
        lambda s: s.seen, lambda: None, lambda s: setattr(Scale, "seen", property(lambda self: 3.0))),
    "method of the class": (
        lambda s: s.given(), lambda: None, lambda s: setattr(Scale, "given", lambda self: 3.0)),
    "method of an instance": (
        lambda s: s.given(), lambda: None, lambda s: setattr(s, "given", MethodType(lambda self: 3.0, s))),
    "attribute of a parameter": (
        lambda s: s.weight.rate, lambda: None, lambda s: setattr(s.weight, "rate", 3.0)),
    "keys": (
        lambda s: next(iter(s.options)), lambda: {1.0: "a"},
        lambda s: s.options.update({3.0: s.options.pop(1.0)})),
    "global of a function": (lambda s: RATE, lambda: None, lambda s: globals().update(RATE=3.0)),
    "global table": (lambda s: TABLE["rate"], lambda: None, lambda s: TABLE.update(rate=3.0)),
    "default": (
        lambda s: scaled(1.0), lambda: None, lambda s: setattr(scaled, "__defaults__", (3.0,))),
    "code": (
        lambda s: helper(), lambda: None,
        lambda s: setattr(helper, "__code__", (lambda: 3.0).__code__)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What tests change in this module and its classes is what it was."""
    Scale.table = {"rate": 1.0}
    Scale.seen = property(lambda self: 1.0)  # type: ignore[attr-defined]
    Scale.given = lambda self: 1.0  # type: ignore[attr-defined]
    Derived.__bases__, OfMeta.__class__ = (Plain,), Meta
    answering.__getattr__ = lambda name: 1.0  # type: ignore[method-assign]
    vars(settings).pop("later", None)
    Meta.rate = Table.rate = LazyModule.rate = settings.rate = settings.deeper.rate = 1.0  # type: ignore[attr-defined]
    code = helper.__code__
    yield
    Scale.rate = Plain.rate = Squares.weight = ScaleOp.rate = 1.0
    globals().update(RATE=1.0)
    TABLE["rate"] = settings.rate = settings.deeper.rate = 1.0  # type: ignore[attr-defined]
    scaled.__defaults__, helper.__code__ = (1.0,), code
    weighted.__defaults__ = (1.0, None)


def both(device: Any, make: Callable[[bool], tuple[md.Trainer, Callable[[], object]]]) -> list[list[bytes]]:
    """The weights after three steps, a change and three more, of a trainer that captures and one that does not."""
    found = []
    for capturing in (True, False):
        one, change = make(capturing)
        before = steps(one, 3)
        assert one.captured.replays == capturing, one.captured.reason
        change()
        found.append(before + steps(one, 3))
        assert one.captured.replays == capturing, one.captured.reason
    return found


@pytest.mark.parametrize("what", ATTRIBUTES)
def test_whatever_a_layer_reads_leads_to_a_new_capture(
    what: str,
    device: Any,
    replays: list[int],
    request: pytest.FixtureRequest,
) -> None:
    read, start, change = ATTRIBUTES[what]
    found = []
    for capturing in (True, False):
        request.getfixturevalue("as_before")
        layer = Scale(read, start())
        layer.weight = nn.Parameter([1.0])
        layer.weight.rate = 1.0
        one = trainer(device, layer, capturing=capturing)
        one.optimizer = optim.SGD([p for p in one.model.parameters() if p is not layer.weight], lr=0.05)
        before = steps(one, 3)
        unchanged = steps(one, 1)
        change(layer)
        found.append([*before, *unchanged, *steps(one, 3)])
        assert one.captured.replays == capturing, one.captured.reason
        Derived.__bases__, OfMeta.__class__ = (Plain,), Meta
        Scale.rate = Plain.rate = Meta.rate = Table.rate = LazyModule.rate = 1.0
        settings.rate = settings.deeper.rate = 1.0  # type: ignore[attr-defined]
        vars(settings).pop("later", None)
        answering.__getattr__ = lambda name: 1.0  # type: ignore[method-assign]
        Scale.table = {"rate": 1.0}
        Scale.seen, Scale.given = property(lambda self: 1.0), lambda self: 1.0  # type: ignore[attr-defined]
        globals().update(RATE=1.0)
        TABLE["rate"], scaled.__defaults__ = 1.0, (1.0,)
        helper.__code__ = (lambda: RATE).__code__
    assert found[0] == found[1]
    assert len(replays) == 3 + 2


LOSSES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "attribute": (lambda: Squares(1.0), lambda loss: setattr(loss, "weight", 3.0)),
    "class attribute": (Squares, lambda loss: setattr(Squares, "weight", 3.0)),
    "bound method": (lambda: Squares(1.0).method, lambda loss: setattr(loss.__self__, "weight", 3.0)),
    "static method": (lambda: Squares.static, lambda loss: setattr(Squares, "weight", 3.0)),
    "partial": (lambda: functools.partial(weighted, weight=1.0), lambda loss: loss.keywords.update(weight=3.0)),
    "table in a partial": (
        lambda: functools.partial(weighted, table={"weight": 1.0}),
        lambda loss: loss.keywords["table"].update(weight=3.0),
    ),
    "closure": (lambda: closing_over(1.0), lambda loss: loss.change(3.0)),
    "list in a closure": (
        lambda: closing_over([1.0]),
        lambda loss: loss.__closure__[0].cell_contents.__setitem__(0, 3.0),
    ),
    "wrapped closure": (lambda: wrapped(closing_over(1.0)), lambda loss: loss.__wrapped__.change(3.0)),
    "default": (lambda: weighted, lambda loss: setattr(weighted, "__defaults__", (3.0, None))),
    "global": (lambda: by_global, lambda loss: globals().update(RATE=3.0)),
    "global of a helper": (lambda: by_helper, lambda loss: globals().update(RATE=3.0)),
    "module": (lambda: by_module, lambda loss: setattr(settings, "rate", 3.0)),
    "module in a module": (lambda: by_module, lambda loss: setattr(settings.deeper, "rate", 3.0)),
    "lambda": (lambda: lambda y, t: by_global(y, t), lambda loss: globals().update(RATE=3.0)),
}


@pytest.mark.parametrize("what", LOSSES)
def test_whatever_a_loss_reads_leads_to_a_new_capture(what: str, device: Any, replays: list[int]) -> None:
    make, change = LOSSES[what]

    def start(capturing: bool) -> Any:
        Squares.weight, weighted.__defaults__ = 1.0, (1.0, None)
        globals().update(RATE=1.0)
        settings.rate = settings.deeper.rate = 1.0  # type: ignore[attr-defined]
        loss = make()
        return trainer(device, loss=loss, capturing=capturing), lambda: change(loss)

    found = both(device, start)
    assert found[0] == found[1]
    assert len(replays) == 2 + 2


def buffered() -> Any:
    layer: Any = Scale(lambda s: 1.0)
    layer.shift = nn.Buffer(np.ones((), np.float32))
    layer.forward = lambda x: x * layer.shift
    return layer


def tie(one: md.Trainer) -> None:
    one.model[4].b = one.model[3].other  # type: ignore[index]


def untie(one: md.Trainer) -> None:
    one.model[3].other = nn.Parameter(np.full(1, 0.5, np.float32))  # type: ignore[index]
    one.model[3].to(one.model[4].w.backend.name)  # type: ignore[index]


class WithOther(nn.Module):
    """Adds a parameter of one element, which may be one of another layer."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other

    def forward(self, x: md.Tensor) -> md.Tensor:
        return x + self.other


def new_buffer(one: md.Trainer) -> None:
    one.model[3].shift = nn.Buffer(np.full((), 2, np.float32))  # type: ignore[index]
    one.model.to(one.model[1].w.backend.name)  # type: ignore[index]


OTHERS: dict[str, tuple[Callable[[], Any], Callable[[md.Trainer], object]]] = {
    "frozen": (nn.ReLU, lambda one: setattr(one.model[1].w, "requires_grad", False)),  # type: ignore[index]
    "evaluated": (nn.ReLU, lambda one: one.model[2].eval()),  # type: ignore[index]
    "buffer replaced": (buffered, new_buffer),
    "buffer changed in place": (buffered, lambda one: one.model[3].shift.data.fill(2)),  # type: ignore[index]
    "weights changed in place": (nn.ReLU, lambda one: one.model[1].w.data.fill(0.01)),  # type: ignore[index]
    "weights tied": (lambda: WithOther(nn.Parameter(np.zeros(1, np.float32))), tie),
    "learning rate": (nn.ReLU, lambda one: setattr(one.optimizer, "lr", 0.5)),
    "momentum": (nn.ReLU, lambda one: setattr(one.optimizer, "momentum", 0.0)),
    "attribute of an op": (OpInside, lambda one: setattr(ScaleOp, "rate", 3.0)),
    "number of threads": (nn.ReLU, lambda one: md.threads.set_num_threads(1)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_changes_give_the_bits_of_computed_steps(what: str, device: Any) -> None:
    layer, change = OTHERS[what]
    threads = md.threads.get_num_threads()

    def start(capturing: bool) -> Any:
        ScaleOp.rate = 1.0
        one = trainer(device, layer(), capturing=capturing)
        return one, lambda: change(one)

    try:
        found = both(device, start)
    finally:
        md.threads.set_num_threads(threads)
    assert found[0] == found[1]


def test_weights_that_are_tied_no_more(device: Any) -> None:
    def start(capturing: bool) -> Any:
        one = trainer(device, WithOther(None), capturing=capturing)
        one.model[3].other = one.model[4].b  # type: ignore[index]
        return one, lambda: untie(one)

    found = both(device, start)
    assert found[0] == found[1]


def test_weights_of_another_dtype_are_the_error_that_they_were(device: Any) -> None:
    one = trainer(device)
    steps(one, 3)
    one.model.astype(np.float64)
    with pytest.raises(DtypeError, match="different dtypes"):
        steps(one, 1)


def test_a_step_inside_no_grad_is_the_error_that_it_was(device: Any) -> None:
    one = trainer(device)
    steps(one, 3)
    with md.no_grad(), pytest.raises(GraphError, match="nothing to differentiate"):
        steps(one, 1)
    assert len(steps(one, 2)) == 2


@pytest.mark.parametrize("kind", ["layer", "loss", "op"])
def test_a_plugin_that_is_replaced_under_its_name(
    kind: str,
    device: Any,
    replays: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = trainer(device)
    steps(one, 3)
    monkeypatch.setitem(plugins._registered[kind], "again", object())
    steps(one, 3)
    assert len(replays) == 2 + 2


def test_a_method_of_a_layer_of_minidl_that_is_replaced(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(capturing: bool) -> Any:
        monkeypatch.undo()
        one = trainer(device, nn.Tanh(), capturing=capturing)
        return one, lambda: monkeypatch.setattr(nn.Tanh, "forward", lambda self, x: x * 2)

    found = both(device, start)
    assert found[0] == found[1]


def test_what_changes_in_every_step_is_computed(device: Any, replays: list[int]) -> None:
    kept: list[Any] = []
    losses: list[Any] = [Squares(1.0), lambda y, t: (kept.append(y), F.mse_loss(y, t))[1]]
    losses[0].method = losses[0]
    for loss in losses:
        one = trainer(device, loss=loss)
        for number in range(4):
            losses[0].weight = 1.0 + number
            steps(one, 1)
        assert one.captured.reason is None
    assert replays == []


def test_a_loss_that_looks_at_its_trainer_is_computed(device: Any, replays: list[int]) -> None:
    found, sizes = [], []
    for capturing in (True, False):
        known: list[md.Trainer] = []
        one = trainer(device, loss=lambda y, t: F.mse_loss(y, t) * (1 + known[0].epoch), capturing=capturing)  # noqa: B023
        known.append(one)
        weights = []
        for epoch in range(4):
            one.epoch = epoch // 2
            weights += steps(one, 2)
            sizes.append(len(one.captured._traits().things))
        found.append(weights)
        assert one.captured.reason is None
    assert found[0] == found[1]
    assert max(sizes) < 2 * min(sizes)
    assert replays == []


def test_too_much_to_look_at_is_not_captured(device: Any, replays: list[int], monkeypatch: Any) -> None:
    loss = Squares(1.0)
    loss.table = np.zeros(1 << 14)  # type: ignore[attr-defined]
    one = trainer(device, loss=loss)
    steps(one, 3)
    assert (
        one.captured.reason
        == "the step depends on an array of the host of 131072 bytes, too many to look at in every step"
    )
    monkeypatch.setattr("minidl.traits.MOST_PARTS", 10)
    one = trainer(device)
    steps(one, 3)
    assert "depends on more than 10 things" in str(one.captured.reason)
    assert replays == []


VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda grad: grad,
    "row": lambda grad: grad[0],
    "slice": lambda grad: grad[1:],
    "all": lambda grad: grad[...],
    "of a view": lambda grad: grad[1:].reshape(-1)[1:],
    "reshaped": lambda grad: grad.reshape(-1),
    "transposed": lambda grad: grad.T,
    "ravelled": lambda grad: grad.ravel(),
    "bytes": lambda grad: grad.view(np.uint8),
    "in a tensor": lambda grad: md.Tensor(grad),
    "detached": lambda grad: md.Tensor(grad).detach().reshape(-1),
    "a tensor's row": lambda grad: md.Tensor(grad)[0],
    "scaled in place": lambda grad: grad.__imul__(2.0),
    "memory": lambda grad: (grad.data.mem, grad[...])[1],
}


@pytest.mark.parametrize("how", VIEWS)
def test_views_of_kept_gradients_stay_as_they_were(how: str, device: Any, replays: list[int]) -> None:
    one, expected, kept = trainer(device), [], []
    for number in range(6):
        one.train_step(*data().batch(np.arange(BATCH) + number))
        view = VIEWS[how](one.model[1].w.grad)  # type: ignore[index]
        kept.append(view)
        expected.append(device.to_numpy(getattr(view, "data", view) if isinstance(view, md.Tensor) else view))
        del view
    for number, (then, view) in enumerate(zip(expected, kept, strict=True)):
        now = device.to_numpy(view.data if isinstance(view, md.Tensor) else view)
        np.testing.assert_array_equal(then, now, err_msg=f"step {number}")
    assert one.captured.replays
    assert one.captured._gives_copies


@pytest.mark.parametrize("how", ["whole", "row"])
def test_kept_gradients_outlive_batches_of_another_shape(how: str, device: Any) -> None:
    one = trainer(device)
    steps(one, 3)
    kept = VIEWS[how](one.model[1].w.grad)  # type: ignore[index]
    expected = device.to_numpy(kept)
    for size in (BATCH - 1, BATCH, BATCH - 1, BATCH, BATCH, BATCH):
        one.train_step(*data().batch(np.arange(size)))
        np.testing.assert_array_equal(device.to_numpy(kept), expected)
    assert one.captured.replays


def test_views_that_are_gone_cost_nothing(device: Any, replays: list[int]) -> None:
    one = trainer(device)
    for number in range(6):
        one.train_step(*data().batch(np.arange(BATCH) + number))
        for parameter in one.model.parameters():
            assert parameter.grad is not None
            parameter.grad[...] *= 0.5
            parameter.grad.reshape(-1)[:1].sum()
    assert not one.captured._gives_copies
    assert len(replays) == 5


def test_looking_again_is_enough() -> None:
    """While nothing changed, there is no new walk, whatever it is made of."""
    model = nn.Sequential(nn.Dense(2, 2), *(Scale(read, start()) for read, start, _ in ATTRIBUTES.values()))
    traits = Traits(model, by_helper, by_module, functools.partial(weighted, table={}))
    assert traits.hold()
    assert traits.hold(*traits.roots)
    assert not traits.hold(model)
    assert traits == Traits(*traits.roots)


def test_equal_values_that_are_other_objects_are_no_change() -> None:
    model = Scale(lambda s: 1.0, {"a": [1024.5, "text"], "b": np.zeros(3)})
    before = Traits(model)
    model.options = {"a": [float("1024.5"), "".join("text")], "b": np.zeros(3)}
    assert not before.hold()
    assert before == Traits(model)


def test_elements_that_move_from_one_list_to_the_next_are_noticed() -> None:
    one, other = [1.0, 2.0], [3.0]
    before = Traits(one, other)
    other.insert(0, one.pop())
    assert not before.hold()
    assert before != Traits(one, other)


def test_generators_are_known_and_their_position_is_no_change() -> None:
    model: Any = Scale(lambda s: 1.0, {"rng": md.Generator(0), "theirs": np.random.default_rng(0)})
    before = Traits(model)
    model.options["rng"].normal()
    model.options["theirs"].normal()
    assert before.hold()
    assert {model.options["rng"], model.options["theirs"]} <= {
        thing for thing in before.things if isinstance(thing, np.random.Generator)
    }


def test_a_name_that_a_module_loses_is_noticed() -> None:
    settings.later = None  # type: ignore[attr-defined]
    before = Traits(later_of, settings)
    assert before.hold()
    del settings.later  # type: ignore[attr-defined]
    assert not before.hold()
    after = Traits(later_of, settings)
    assert before != after
    settings.later = None  # type: ignore[attr-defined]
    assert not after.hold()


def test_what_no_code_names_in_a_module_is_no_change() -> None:
    before = Traits(rate_of, settings)
    settings.unrelated = 7  # type: ignore[attr-defined]
    assert before.hold()
    del settings.unrelated  # type: ignore[attr-defined]


def test_plugins_that_stay_the_same_are_not_copied_in_every_step(
    device: Any, replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asked = trainer(device), []
    registered = plugins.registered
    monkeypatch.setattr(plugins, "registered", lambda kind: (asked.append(kind), registered(kind))[1])
    plugins.register("layer", "relu")(nn.ReLU)  # it is that already
    steps(one, 3)
    plugins.register("layer", "relu")(nn.ReLU)
    steps(one, 3)
    assert len(replays) == 2 + 3
    assert {*asked} == {"conv_algorithm"}


def test_a_name_that_begins_to_hide_a_builtin_is_noticed() -> None:
    before = Traits(by_helper)
    try:
        globals()["range"] = lambda n: [0, 0]
        assert not before.hold()
        assert before != Traits(by_helper)
    finally:
        del globals()["range"]


def test_the_memory_of_a_view_is_that_of_its_base(device: Any) -> None:
    """As changes of tensors and kept gradients are known by it."""
    x = device.xp.zeros((2, 3))
    for view in (x[0], x.reshape(-1), x.T, x[1:][0], x.ravel()[1:]):
        assert view.base is x
        assert view.data.mem is x.data.mem
    assert x.base is None
    y = x
    y += 1
    assert y is x
    assert (x + 1).data.mem is not x.data.mem


def test_a_step_between_loss_and_backward_is_noticed_through_views_on_a_device(device: Any) -> None:
    w = md.tensor([1.0, 2.0], requires_grad=True, backend=device.name)
    x = md.tensor([1.0, 1.0], requires_grad=True, backend=device.name)
    y = (x * w.detach().reshape(2, 1).reshape(2)).sum()
    optimizer = optim.SGD([w], lr=1.0)
    (w * w).sum().backward()
    optimizer.step()
    with pytest.raises(GraphError, match="was changed"):
        y.backward()
