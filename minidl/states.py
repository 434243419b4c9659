"""Checks of states that are loaded: a state is checked first, then loaded completely or not at all.

>>> from minidl import nn, optim
>>> model = nn.Dense(2, 1)
>>> optimizer = optim.SGD(model.parameters())
>>> optimizer.load_state_dict(model.state_dict())
Traceback (most recent call last):
minidl.errors.MinidlError: expected the state of an optimizer, got one without class, steps, lr, state: ...
"""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .errors import DtypeError, MinidlError, ShapeError, brief


def require_entries(state: Any, names: Iterable[str], of: str) -> None:
    """Raise :class:`MinidlError` unless a state is a dictionary with these names; ``of`` names its owner in errors.

    >>> require_entries({"epoch": 1}, ["epoch"], "a loader")
    >>> require_entries(None, ["epoch"], "a loader")
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected the state of a loader, got NoneType: use its state_dict()
    """
    if not isinstance(state, Mapping):
        raise MinidlError(f"expected the state of {of}, got {type(state).__name__}: use its state_dict()")
    missing = [name for name in names if name not in state]
    if missing:
        known = [str(name) for name in state]
        shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        raise MinidlError(
            f"expected the state of {of}, got one without {', '.join(missing)}: it has {shown or 'nothing'}"
        )


def require_names(given: Collection[Any], own: Collection[str], of: str) -> None:
    """Raise :class:`MinidlError` unless the names in a state equal ``own``; ``of`` describes them in errors.

    >>> require_names(["0.w", "0.b"], ["0.w"], "parameters")
    Traceback (most recent call last):
    minidl.errors.MinidlError: this state belongs to other parameters, 0.b on one side only: build the model that it ...
    """
    odd = sorted(map(str, set(given) ^ set(own)))
    if odd:
        shown = ", ".join(odd[:5])
        raise MinidlError(
            f"this state belongs to other {of}, {shown} on one side only: build the model that it was saved with"
        )


def require_real(name: str, value: Any, shapes: Collection[tuple[int, ...]]) -> None:
    """Raise unless a value is a real number or an array of real numbers, with one of these shapes.

    Raises :class:`DtypeError` and :class:`ShapeError`.

    >>> require_real("m", np.zeros(2), [(3,)])
    Traceback (most recent call last):
    minidl.errors.ShapeError: m has shape (2,), expected (3,)
    """
    if np.dtype(getattr(value, "dtype", type(value))).kind not in "fiub":
        given = f"an array of {value.dtype}" if hasattr(value, "dtype") else f"{brief(value)}"
        raise DtypeError(f"{name} is {given}, expected a real number or an array of them")
    shape = getattr(value, "shape", ())
    if shape not in shapes:
        raise ShapeError(f"{name} has shape {shape}, expected {' or '.join(map(str, shapes))}")


def require_float_array(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Raise unless a value is an array of floats of this shape: :class:`DtypeError` or :class:`ShapeError`.

    >>> require_float_array("m", 0.5, (2,))
    Traceback (most recent call last):
    minidl.errors.DtypeError: m is 0.5, expected an array of floats
    """
    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.kind != "f":
        given = f"{brief(value)}" if dtype is None else f"an array of {dtype}"
        raise DtypeError(f"{name} is {given}, expected an array of floats")
    if value.shape != shape:
        raise ShapeError(f"{name} has shape {value.shape}, expected {shape}")


@contextlib.contextmanager
def all_or_nothing(*parts: Any) -> Iterator[None]:
    """Load the states of several parts inside this context: an error restores those that were already loaded.

    >>> from minidl import nn
    >>> a, b = nn.Dense(1, 1), nn.Dense(2, 1)
    >>> with all_or_nothing(a, b):
    ...     a.load_state_dict({"w": [[7.0]], "b": [0.0]})
    ...     b.load_state_dict({})
    Traceback (most recent call last):
    minidl.errors.ShapeError: these weights belong to another model: missing w; missing b...
    >>> a.w.item() == 7
    False
    """
    before = [(part, part.state_dict()) for part in parts]
    try:
        yield
    except BaseException:
        for part, state in before:
            part.load_state_dict(state)
        raise
