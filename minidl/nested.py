"""Nested values: batches, outputs and samples are arrays, or structures of them.

A structure is a list, a tuple, a NamedTuple, a dictionary or an instance of a dataclass; everything else is a leaf.

Structures are rebuilt from new parts: a batch from samples, tensors from arrays. Only the parts are carried over. An
attribute that is not a part, such as one set by ``__post_init__``, raises an error, because a batch would have the
value of one sample; ``mask: Any = field(init=False)`` makes it a part. The cached value of a ``cached_property`` is
dropped. ``__post_init__`` is not called, because it may change the fields and has already done so.

A subclass of list, tuple or dict is kept (also OrderedDict and defaultdict), unless it has its own constructor, like
torch.Size: then it becomes the built-in class.
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
    """The parts of a structure by index, key or field name; None for a leaf.

    >>> parts(("a", "b")), parts({"x": 1}), parts("text")
    ({0: 'a', 1: 'b'}, {'x': 1}, None)
    """
    if isinstance(nested, dict):
        return nested
    if isinstance(nested, tuple | list):
        return dict(enumerate(nested))
    if dataclasses.is_dataclass(nested) and not isinstance(nested, type):
        names = [field.name for field in dataclasses.fields(nested)]
        return {name: getattr(nested, name) for name in names if hasattr(nested, name)}
    return None


def parts_alone(nested: Any) -> dict[Any, Any] | None:
    """The :func:`parts` of a structure to be rebuilt. Raises :class:`MinidlError` for attributes that are not parts."""
    inside = parts(nested)
    if inside is not None and type(nested) not in _BUILT_IN:
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
                f"{type(nested).__name__} has '{name}', which is not a part, and a batch would have the value of one "
                f"sample: make it a field of a dataclass, `{name}: Any = field(init=False)`, or leave it out"
            )


def rebuilt(nested: Any, parts: dict[Any, Any]) -> Any:
    """A structure of the same kind with other parts; the module's docstring describes which class it has.

    >>> rebuilt(["a", "b"], {0: 1, 1: 2})
    [1, 2]
    """
    if isinstance(nested, dict):
        return _maker(nested)(parts)
    if isinstance(nested, tuple | list):
        return _maker(nested)(parts.values())
    other = object.__new__(type(nested))
    for name, value in parts.items():
        object.__setattr__(other, name, value)  # works for frozen dataclasses, too
    return other


def _maker(nested: Any) -> Callable[[Any], Any]:
    """The function that makes a list, tuple or dictionary of this kind from its parts."""
    cls: Any = type(nested)
    if cls in _BUILT_IN:
        return cls  # type: ignore[no-any-return]
    if hasattr(cls, "_make"):  # a NamedTuple: its constructor takes the fields as separate arguments
        return cls._make  # type: ignore[no-any-return]
    if cls.__init__ is defaultdict.__init__:
        return functools.partial(cls, nested.default_factory)
    base: Any = next(one for one in (OrderedDict, dict, list, tuple) if isinstance(nested, one))
    return cls if (cls.__new__, cls.__init__) == (base.__new__, base.__init__) else base  # type: ignore[no-any-return]


def outline(nested: Any, of_leaf: Callable[[Any], Any]) -> Any:
    """A value that is equal for equal structures: classes, names in order, and ``of_leaf(leaf)`` for each leaf.

    >>> outline({"a": 1, "b": 2}, type) == outline({"b": 2, "a": 1}, type)
    False
    """
    inside = parts(nested)
    if inside is None:
        return of_leaf(nested)
    return type(nested), tuple((type(key), key, outline(part, of_leaf)) for key, part in inside.items())


def map_leaves(function: Callable[[Any], Any], nested: Any) -> Any:
    """The same structure with ``function`` applied to every leaf.

    >>> map_leaves(len, ("ab", {"c": "d"}))
    (2, {'c': 1})
    """
    inside = parts_alone(nested)
    if inside is None:
        return function(nested)
    return rebuilt(nested, {key: map_leaves(function, part) for key, part in inside.items()})


def leaves(nested: Any) -> Iterator[Any]:
    """The leaves from left to right; for dictionaries in the sorted order of their keys.

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
"""Containers that are not structures, so that objects inside them are not found."""


def hidden_in(nameless: Any) -> list[Any]:
    """The objects in such a container; none for a numeric array.

    >>> hidden_in({3}), hidden_in(deque("ab")), hidden_in(np.ones(2)), hidden_in(np.array(["a", None]))
    ([3], ['a', 'b'], [], ['a', None])
    """
    if isinstance(nameless, np.ndarray):
        return list(nameless.flat) if nameless.dtype.hasobject else []
    return list(nameless.values() if isinstance(nameless, UserDict | MappingProxyType) else nameless)
