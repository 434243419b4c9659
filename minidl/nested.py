"""Nested values: batches, outputs and samples are arrays, or structures of them.

A structure is a list, a tuple, a NamedTuple, a dictionary or an instance of a dataclass; everything else is a leaf.

Structures are made again of other parts: a batch of samples, tensors of arrays. Then they have their parts alone. An
attribute beside them, which ``__post_init__`` has set, is an error, as in a batch it would be that of one sample;
``mask: Any = field(init=False)`` makes it a part, and what a ``cached_property`` keeps is left to be computed again.
``__post_init__`` is not called, as it may change the fields and has done so already.

A class that is derived from a list, a tuple or a dictionary is kept (OrderedDict and defaultdict, too), unless it has a
constructor of its own, as torch.Size has: then it becomes the built-in class.
"""

import dataclasses
import functools
import inspect
from collections import OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable, Iterator
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np

from .errors import MinidlError

_BUILT_IN = frozenset({tuple, list, dict})


def parts(nested: Any) -> dict[Any, Any] | None:
    """What a structure is made of, by number, key or the name of a field; None for a leaf.

    Raises :class:`MinidlError` for one with attributes beside its parts.

    >>> parts(("a", "b")), parts({"x": 1}), parts("text")
    ({0: 'a', 1: 'b'}, {'x': 1}, None)
    """
    if isinstance(nested, dict):
        inside: dict[Any, Any] = nested
    elif isinstance(nested, tuple | list):
        inside = dict(enumerate(nested))
    elif dataclasses.is_dataclass(nested) and not isinstance(nested, type):
        names = [field.name for field in dataclasses.fields(nested)]
        inside = {name: getattr(nested, name) for name in names if hasattr(nested, name)}
    else:
        return None
    if type(nested) not in _BUILT_IN:
        _require_nothing_beside(nested, inside)
    return inside


def _require_nothing_beside(nested: Any, inside: dict[Any, Any]) -> None:
    names = getattr(nested, "_fields", ()) if isinstance(nested, tuple) else inside
    slots = (vars(cls).get("__slots__", ()) for cls in type(nested).__mro__)
    own = chain(getattr(nested, "__dict__", ()), *((one,) if isinstance(one, str) else one for one in slots))
    for name in own:
        if name in names or name.startswith("__"):
            continue
        derived = inspect.getattr_static(type(nested), name, None)
        if hasattr(nested, name) and not isinstance(derived, functools.cached_property):
            raise MinidlError(
                f"{type(nested).__name__} has '{name}' beside its parts, and a batch of several would have that of "
                f"one: make it a field of a dataclass, `{name}: Any = field(init=False)`, or leave it out"
            )


def rebuilt(nested: Any, parts: dict[Any, Any]) -> Any:
    """A structure of the same kind, of other parts: see above for what becomes of its class.

    >>> rebuilt(["a", "b"], {0: 1, 1: 2})
    [1, 2]
    """
    if isinstance(nested, dict):
        return _maker(nested)(parts)
    if isinstance(nested, tuple | list):
        return _maker(nested)(parts.values())
    other = object.__new__(type(nested))
    for name, value in parts.items():
        object.__setattr__(other, name, value)  # also of a frozen one
    return other


def _maker(nested: Any) -> Callable[[Any], Any]:
    """What makes a list, a tuple or a dictionary of this kind of all its parts."""
    cls: Any = type(nested)
    if cls in _BUILT_IN:
        return cls  # type: ignore[no-any-return]
    if hasattr(cls, "_make"):  # a NamedTuple, whose constructor takes its fields one by one
        return cls._make  # type: ignore[no-any-return]
    if cls.__init__ is defaultdict.__init__:
        return functools.partial(cls, nested.default_factory)
    base: Any = next(one for one in (OrderedDict, dict, list, tuple) if isinstance(nested, one))
    return cls if (cls.__new__, cls.__init__) == (base.__new__, base.__init__) else base  # type: ignore[no-any-return]


def outline(nested: Any, of_leaf: Callable[[Any], Any]) -> Any:
    """All that tells structures from each other, to be compared: their classes, names in their order, and of each leaf
    what ``of_leaf`` says.

    >>> outline({"a": 1, "b": 2}, type) == outline({"b": 2, "a": 1}, type)
    False
    """
    inside = parts(nested)
    if inside is None:
        return of_leaf(nested)
    return type(nested), tuple((type(key), key, outline(part, of_leaf)) for key, part in inside.items())


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
