"""Batches and outputs are arrays, or tuples, lists and dictionaries of them."""

from collections.abc import Callable, Iterator
from typing import Any


def map_leaves(function: Callable[[Any], Any], nested: Any) -> Any:
    """The same structure with ``function`` of every leaf.

    >>> map_leaves(len, ("ab", {"c": "d"}))
    (2, {'c': 1})
    """
    if isinstance(nested, dict):
        return {key: map_leaves(function, value) for key, value in nested.items()}
    if isinstance(nested, tuple | list):
        return type(nested)(map_leaves(function, value) for value in nested)
    return function(nested)


def leaves(nested: Any) -> Iterator[Any]:
    """The leaves from left to right, those of dictionaries in the order of their keys.

    >>> list(leaves(({"b": 1, "a": 2}, 3)))
    [2, 1, 3]
    """
    if isinstance(nested, dict):
        nested = tuple(nested[key] for key in sorted(nested, key=str))
    if isinstance(nested, tuple | list):
        for part in nested:
            yield from leaves(part)
    else:
        yield nested
