"""Nested values: batches, outputs and samples are arrays, or structures of them.

A structure is a list, a tuple, a NamedTuple, a dictionary or an instance of a dataclass; everything else is a leaf.
"""

import copy
import dataclasses
from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np


def parts(nested: Any) -> dict[Any, Any] | None:
    """What a structure is made of, by number, key or the name of a field; None for a leaf.

    >>> parts(("a", "b")), parts({"x": 1}), parts("text")
    ({0: 'a', 1: 'b'}, {'x': 1}, None)
    """
    if isinstance(nested, dict):
        return nested
    if isinstance(nested, tuple | list):
        return dict(enumerate(nested))
    if dataclasses.is_dataclass(nested) and not isinstance(nested, type):
        return {field.name: getattr(nested, field.name) for field in dataclasses.fields(nested)}
    return None


def rebuilt(nested: Any, parts: dict[Any, Any]) -> Any:
    """A structure of the same kind, of other parts.

    >>> rebuilt(["a", "b"], {0: 1, 1: 2})
    [1, 2]
    """
    if isinstance(nested, dict):
        return parts
    if isinstance(nested, tuple | list):
        make = getattr(nested, "_make", type(nested))  # a NamedTuple takes its fields one by one
        return make(parts.values())
    other = copy.copy(nested)
    for name, value in parts.items():
        object.__setattr__(other, name, value)  # also of a frozen one
    return other


def map_leaves(function: Callable[[Any], Any], nested: Any) -> Any:
    """The same structure with ``function`` of every leaf.

    >>> map_leaves(len, ("ab", {"c": "d"}))
    (2, {'c': 1})
    """
    inside = parts(nested)
    if inside is None:
        return function(nested)
    return rebuilt(nested, {key: map_leaves(function, part) for key, part in inside.items()})


def leaves(nested: Any) -> Iterator[Any]:
    """The leaves from left to right, those of dictionaries in the order of their keys.

    >>> list(leaves(({"b": 1, "a": 2}, 3)))
    [2, 1, 3]
    """
    inside = parts(nested)
    if inside is None:
        yield nested
        return
    for key in sorted(inside, key=str) if isinstance(nested, dict) else inside:
        yield from leaves(inside[key])


NAMELESS = (set, frozenset, deque, UserList, UserDict, MappingProxyType, np.ndarray)
"""What may hold anything but is neither structure nor leaf, so that what is in it would not be found."""


def hidden_in(nameless: Any) -> list[Any]:
    """What is in one of them; nothing in an array of numbers.

    >>> hidden_in({3}), hidden_in(deque("ab")), hidden_in(np.ones(2)), hidden_in(np.array(["a", None]))
    ([3], ['a', 'b'], [], ['a', None])
    """
    if isinstance(nameless, np.ndarray):
        return list(nameless.flat) if nameless.dtype.hasobject else []
    return list(nameless.values() if isinstance(nameless, UserDict | MappingProxyType) else nameless)
