"""The attributes of minidl's classes, read from the code of their constructors: which are forgotten, which misspelt."""

import dis
import functools
import inspect
import sys
from types import FunctionType
from typing import Any

from .errors import brief


def is_own(cls: type) -> bool:
    """Whether a class is minidl's.

    >>> is_own(Exception)
    False
    """
    return cls.__module__.partition(".")[0] == __package__


@functools.cache
def set_by(init: FunctionType) -> frozenset[str]:
    """The names of the attributes that a constructor sets.

    >>> from minidl.nn import Module
    >>> sorted(set_by(Module.__init__))
    ['_hooks', 'path', 'training']
    """
    code = dis.get_instructions(inspect.unwrap(init))
    return frozenset([step.argval for step in code if step.opname == "STORE_ATTR"])


def without_init(thing: Any, name: str) -> str:
    """What to write if a base's constructor sets an attribute, and the constructor of a user's class did not call it.

    >>> from minidl.optim import Optimizer
    >>> class Sign(Optimizer):
    ...     def __init__(self, parameters): ...
    ...     def update(self, param, grad, state): ...
    >>> without_init(Sign([]), "steps")
    'call super().__init__(parameters, lr) in Sign.__init__'
    """
    constructors = _constructors(type(thing))
    if not any(is_own(cls) and name in set_by(init) for cls, init in list(constructors.items())[1:]):
        return ""
    own, base, *_ = constructors
    _, *parameters = inspect.signature(constructors[base]).parameters.values()
    needed = [str(p).partition(":")[0] for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    return f"call super().__init__({', '.join(needed)}) in {own.__name__}.__init__"


def changed_options(thing: Any) -> list[str]:
    """The options of an object that differ from the defaults of its constructor, as in a call.

    >>> from minidl.nn import BatchNorm
    >>> changed_options(BatchNorm(3, eps=0.1)), changed_options(BatchNorm(3))
    (['eps=0.1'], [])
    """
    options = inspect.signature(type(thing).__init__).parameters.values()
    now = {p.name: brief(vars(thing)[p.name]) for p in options if p.default is not p.empty and p.name in vars(thing)}
    return [f"{p.name}={now[p.name]}" for p in options if now.get(p.name, "") not in ("", brief(p.default))]


def _constructors(cls: type) -> dict[type, FunctionType]:
    """The classes in the order of inheritance that define ``__init__``, with it."""
    inits = {base: vars(base).get("__init__") for base in cls.__mro__}
    return {base: init for base, init in inits.items() if isinstance(init, FunctionType)}


def misspelt(thing: Any, name: str) -> str:
    """The attribute of an object that a new one differs from by one letter, a case or a _; "" if there is none.

    Attributes that are set by minidl's own code, or by a class of a user, have their names on purpose.

    >>> from minidl.nn import ReLU
    >>> user = {"misspelt": misspelt, "model": ReLU()}
    >>> eval("misspelt(model, 'traning')", user), eval("misspelt(model, 'trained')", user)
    ('training', '')
    """
    frame = sys._getframe(1)
    while frame.f_code.co_name == "__setattr__" and frame.f_back is not None:
        frame = frame.f_back
    if not is_own(type(thing)) or str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
        return ""
    cls: type = type(thing)
    return next((known for known in _settable(cls) if _is_slip(name, known)), "")


@functools.cache
def _settable(cls: type) -> list[str]:
    """The public attributes of the objects of a class, sorted, without methods."""
    names = {name for init in _constructors(cls).values() for name in set_by(init)}
    names |= {name for base in cls.__mro__ if is_own(base) for name, value in vars(base).items() if not callable(value)}
    return sorted(name for name in names if not name.startswith("_") and len(name) > 1)


def _is_slip(name: str, known: str) -> bool:
    """Whether two names differ by one letter, added, left out, changed or swapped with the next; case and _ are free.

    >>> [_is_slip(name, "momentum") for name in ("momentun", "Momentum", "momntum", "momemtum", "moment", "mean")]
    [True, True, True, True, False, False]
    """
    one, other = (text.replace("_", "").lower() for text in (name, known))
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return (
        len(one + other) <= 1
        or (len(one) == len(other) == 1 and len(known) > 2)
        or (len(one) == 2 and one == other[::-1])
    )
