"""What things are made of, so that any change is noticed: every attribute of modules, derived, not listed by hand.

Numbers, texts, booleans and None count by value; tensors by what they are, their array and whether they want a
gradient; lists, tuples, sets and dictionaries by what is in them; modules by their class and all attributes. Everything
else counts by identity: what it holds is not looked into.

>>> from minidl import nn
>>> model = nn.Sequential(nn.BatchNorm(2), nn.ReLU())
>>> before = Traits(model)
>>> before == Traits(model)
True
>>> model[0].momentum = 0.5
>>> before == Traits(model)
False
"""

import operator
from typing import Any

from .nn import Module
from .tensor import Tensor

PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})


class Traits:
    """All that was found below ``root`` when it was made; keeps it alive, so that nothing else takes its identity.

    One walk in a plain loop, as it is made in every step that may be recorded.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, root: Any) -> None:
        self.modules: list[Module] = []
        self.tensors: list[Tensor] = []
        self.values: list[Any] = []
        """What counts by value, in the order of the walk, with the names that lead to it."""
        self.things: list[Any] = []
        """What counts by identity."""
        values, things = self.values, self.things
        seen: set[int] = set()
        unexplored = [root]
        while unexplored:
            part = unexplored.pop()
            kind = type(part)
            values.append(kind)  # True is no 1
            if kind in PLAIN:
                values.append(part)
                continue
            things.append(part)
            if id(part) in seen:
                continue
            seen.add(id(part))
            if isinstance(part, Module):
                self.modules.append(part)
                attributes = vars(part)
                values += attributes
                unexplored += attributes.values()
            elif isinstance(part, Tensor):
                self.tensors.append(part)
                things.append(part.data)
                values.append(part.requires_grad)
            elif isinstance(part, dict):
                things.pop()  # another dictionary of the same
                values.append(tuple(part))
                unexplored += part.values()
            elif isinstance(part, list | tuple | set | frozenset):
                things.pop()
                values.append(len(part))
                unexplored += part

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Traits)
            and self.values == other.values
            and len(self.things) == len(other.things)
            and all(map(operator.is_, self.things, other.things))
        )
