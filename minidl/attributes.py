"""The attributes that minidl's classes set, read from the code of their constructors, to build error messages."""

import dis
import functools
import inspect
from types import FunctionType
from typing import Any


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


def _constructors(cls: type) -> dict[type, FunctionType]:
    """The classes in the order of inheritance that define ``__init__``, with it."""
    inits = {base: vars(base).get("__init__") for base in cls.__mro__}
    return {base: init for base, init in inits.items() if isinstance(init, FunctionType)}
