"""Implicit dependencies of a training step, such as globals and closures, and a change of each."""

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
from minidl import nn
from minidl.op import Op

from .captures import F

settings = ModuleType("settings_of_a_user")
settings.rate = 1.0  # type: ignore[attr-defined]
settings.deeper = ModuleType("settings_of_a_user.deeper")  # type: ignore[attr-defined]
settings.deeper.rate = 1.0
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
    """Multiplies by the Python number that ``read(self)`` returns."""

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
    """A loss that is not a module."""

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


def set_item(key: Any, read: Callable[[Any], Any] = lambda layer: layer.options) -> Callable[[Any], None]:
    return lambda layer: read(layer).__setitem__(key, 3.0)


def set_rate(layer: Any) -> None:
    layer.options.rate = 3.0


ATTRIBUTES: dict[str, tuple[Callable[[Any], float], Callable[[], Any], Callable[[Any], None]]] = {
    "tensor on the host": (lambda s: s.options.item(), lambda: md.tensor(1.0), lambda s: s.options.data.fill(3.0)),
    "scalar as data of a tensor": (
        lambda s: s.options.item(), lambda: md.tensor(1.0), lambda s: setattr(s.options, "data", s.options.data * 3)),
    "read-only data of a tensor": (
        lambda s: s.options.item(), lambda: md.tensor(1.0),
        lambda s: setattr(s.options, "data", np.broadcast_to(np.float32(3.0), ()))),
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
    "view of bytes": (
        lambda s: s.options[0], lambda: memoryview(bytearray(b"\x01")), lambda s: s.options.__setitem__(0, 3)),
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


CODE = helper.__code__


def reset() -> None:
    """Restore everything that changes."""
    Derived.__bases__, OfMeta.__class__ = (Plain,), Meta
    Meta.rate = Table.rate = LazyModule.rate = settings.rate = settings.deeper.rate = 1.0  # type: ignore[attr-defined]
    Scale.rate = Plain.rate = Squares.weight = ScaleOp.rate = TABLE["rate"] = 1.0
    Scale.table = {"rate": 1.0}
    Scale.seen, Scale.given = property(lambda self: 1.0), lambda self: 1.0  # type: ignore[attr-defined]
    answering.__getattr__ = lambda name: 1.0  # type: ignore[method-assign]
    vars(settings).pop("later", None)
    globals().update(RATE=1.0)
    scaled.__defaults__, weighted.__defaults__, helper.__code__ = (1.0,), (1.0, None), CODE


@pytest.fixture
def as_before() -> Iterator[None]:
    """Restore what a test changes in this module and its classes."""
    reset()
    yield
    reset()
