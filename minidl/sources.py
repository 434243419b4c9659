"""The library that code belongs to, and the names in code."""

import dis
import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import Any

OURS = "minidl"
_OTHERS = frozenset({"numpy", "cupy", "cupyx", OURS})
_STANDARD = Path(os.__file__).resolve().parent


def library_of(namespace: Mapping[str, Any]) -> str:
    """The library to which a module belongs, given its namespace; "" for a user's module.

    A module is in the standard library only if it is in its folder, because users may also name a package ``code``.

    >>> import statistics
    >>> library_of(vars(statistics)), library_of({"__name__": "statistics", "__file__": "/home/ada/statistics.py"})
    ('statistics', '')
    """
    name = namespace.get("__name__")
    top = name.partition(".")[0] if isinstance(name, str) else ""
    return top if top in _OTHERS or (top in sys.stdlib_module_names and _is_standard(namespace)) else ""


def library_of_class(cls: type) -> str:
    """The library to which a class belongs; "" for a user's class.

    >>> library_of_class(type(os.environ)), library_of_class(int)
    ('os', 'builtins')
    """
    module = sys.modules.get(getattr(cls, "__module__", None) or "")
    return library_of({"__name__": cls.__module__} if module is None else vars(module))


def _is_standard(namespace: Mapping[str, Any]) -> bool:
    if getattr(namespace.get("__spec__"), "origin", None) in ("built-in", "frozen"):
        return True
    file = namespace.get("__file__")
    return isinstance(file, str) and _lies_in_standard_folder(file)


@functools.lru_cache(maxsize=4096)
def _lies_in_standard_folder(file: str) -> bool:
    path = Path(file).resolve()
    return path.is_relative_to(_STANDARD) and not {"site-packages", "dist-packages"} & set(path.parts)


@functools.lru_cache(maxsize=4096)
def names_in(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The global names that code and the functions inside it use, and all their names, including attributes.

    >>> found, names = names_in((lambda text: len(text.strip())).__code__)
    >>> sorted(found), sorted(names)
    (['len'], ['len', 'strip'])
    """
    used, names = set(), set(code.co_names)
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            used.add(instruction.argval)
    for inside in code.co_consts:
        if isinstance(inside, CodeType):
            more_used, more_names = names_in(inside)
            used.update(more_used)
            names |= more_names
    return frozenset(used), frozenset(names)
