"""Reads JSON files and compares them with a declaration, because they may have been edited or damaged."""

import json
import math
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

from minidl.command import UsageError

Shape = TypeVar("Shape")


def read_json(path: Path, declared: type[Shape]) -> Shape:
    """The content of a JSON file, as declared by ``dict`` or a ``TypedDict``; see :func:`conform`.

    Raises :class:`UsageError` if the file cannot be read or has another content.

    >>> read_json(Path("nowhere.json"), dict)
    Traceback (most recent call last):
    minidl.command.UsageError: nowhere.json cannot be read: No such file or directory
    """
    try:
        text = path.read_text(encoding="utf-8-sig").strip()  # editors on Windows may add a byte order mark
        content = json.loads(text or "null")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} {'must hold' if text else 'is empty, but must hold'} a JSON object")
    try:
        return conform(content, declared, "")  # type: ignore[no-any-return]
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def conform(value: Any, declared: Any, name: str) -> Any:
    """A JSON value as declared by a type: a class, ``X | None``, ``list[X]`` or a ``TypedDict``.

    Integers become floats where only these are declared; entries that a ``TypedDict`` lacks are kept. Raises
    ``ValueError`` for another value, and for numbers that are not finite; its message contains ``name``.

    >>> conform([1, 2.5], list[float], "weights")
    [1.0, 2.5]
    >>> conform("many", int | None, "epochs")
    Traceback (most recent call last):
    ValueError: 'epochs' must be int or null, got 'many'
    """
    if is_typeddict(declared):
        entries = conform(value, dict, name)
        inside = f"{name}." if name else ""
        if lost := sorted(declared.__required_keys__ - entries.keys()):
            raise ValueError(f"'{inside}{lost[0]}' is missing")
        kinds = get_type_hints(declared)
        return {key: conform(part, kinds[key], inside + key) if key in kinds else part for key, part in entries.items()}
    if get_origin(declared) is list:
        (kind,) = get_args(declared)
        return [conform(part, kind, f"{name}[{number}]") for number, part in enumerate(conform(value, list, name))]
    allowed = get_args(declared) or (declared,)
    if float in allowed and type(value) is int:
        with suppress(OverflowError):
            value = float(value)
    if type(value) not in allowed:
        wanted = " or ".join("null" if kind is NoneType else kind.__name__ for kind in allowed)
        raise ValueError(f"'{name}' must be {wanted}, got {value!r:.60}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"'{name}' must be a finite number, got {value}")
    return value
