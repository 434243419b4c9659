"""What things are made of, so that any change is noticed: all that can be reached from them, derived, not listed.

Numbers, texts, booleans and None count by value, and so do NumPy's numbers and arrays of the host; tensors by what
they are, their array and whether they want a gradient; lists, tuples, sets and dictionaries by what is in them. Every
other object counts by identity and by its attributes, those of its class and its metaclass included; a function also
by its closure, its defaults and the global names that its code uses, a bound method by what it is bound to. A Python
module counts by identity and by what it has under the names, of attributes too, that the code of all of these
functions has.

Not seen is what nothing names: what a function imports inside or looks up by ``getattr`` or ``globals()``, the
environment, context variables, what weak references lead to, and what objects of C hold; nor attributes of classes
that are named ``__so__`` and no functions. Classes, functions and modules of libraries (what lies in the folder of the
standard one, its ``builtins``, NumPy, CuPy), and classes and functions of minidl, count by identity, and of what they
use nothing is looked into; of minidl's classes that objects belong to, attributes count by identity. So do backends,
and objects of CuPy, of :class:`Unseen` and of what logs or runs beside (``CLOSED``).

>>> from minidl import nn
>>> model = nn.Sequential(nn.BatchNorm(2), nn.ReLU())
>>> before = Traits(model)
>>> before == Traits(model)
True
>>> model[0].momentum = 0.5
>>> before == Traits(model), before.hold()
(False, False)
"""

import array
import functools
import operator
from collections import deque
from collections.abc import Callable
from itertools import chain
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any

import numpy as np

from .backends import Backend, is_array
from .nn import Module
from .sources import OURS, library_of, library_of_class, names_in
from .tensor import Tensor

PLAIN = frozenset({int, bool, str, bytes, type(None), type(...)})
SIGNED = frozenset({float, complex})
"""What has a zero of either sign, which are equal."""
CLOSED = frozenset({"cupy", "cupyx", "logging", "threading", "multiprocessing", "concurrent", "asyncio"})
"""Packages whose objects lead to half of the process, or change by themselves."""
MOST_BYTES = 1 << 16
MOST_PARTS = 50_000
"""What may be looked at in every step."""


class Unseen:
    """Base of what has no part in what a step computes: it is not looked into.

    >>> class Log(Unseen):
    ...     lines = 0
    >>> log = Log()
    >>> before, log.lines = Traits(log), 1
    >>> before == Traits(log)
    True
    """


class Traits(Unseen):
    """All that was found below ``roots`` when it was made; keeps it alive, so that nothing else takes its identity.

    One walk in a plain loop; after that :meth:`hold` only looks again at what can have changed, which is many times
    faster, as it is asked before every step that may be captured.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *roots: Any) -> None:
        self.roots = roots
        self.modules: list[Module] = []
        self.tensors: list[Tensor] = []
        self.values: list[Any] = []
        """What counts by value, in the order of the walk, with the names that lead to it."""
        self.things: list[Any] = []
        """What counts by identity."""
        self.obstacle: str | None = None
        """Why not all can be looked at in every step."""
        self._unexplored = list(reversed(roots))
        self._classes: set[type] = set()
        self._namespaces: list[ModuleType] = []
        self._names = {"__getattr__"}
        """All that the code of functions names, and Python itself in a module."""
        self._slots: dict[type, list[MemberDescriptorType]] = {}
        self._mappings: list[Any] = []
        self._groups: list[Any] = []
        self._reads: list[tuple[Callable[[Any], Any], Any]] = []
        self._arrays: list[Any] = []
        self._walk()
        self._lengths, self._contents, self._numbers = self._look_again()

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Traits)
            and self.values == other.values
            and len(self.things) == len(other.things)
            and all(map(operator.is_, self.things, other.things))
        )

    def hold(self, *roots: Any) -> bool:
        """Whether everything is the same object as when this was made. If not, it may still be equal to a new one."""
        try:
            lengths, contents, numbers = self._look_again()
        except (AttributeError, ValueError, KeyError):  # an attribute with a slot, or a variable, was deleted
            return False
        return (
            len(roots or self.roots) == len(self.roots)
            and all(map(operator.is_, roots, self.roots))
            and lengths == self._lengths
            and all(map(operator.is_, contents, self._contents))
            and numbers == self._numbers
        )

    def _look_again(self) -> tuple[list[int], list[Any], list[Any]]:
        """The lengths of all that was met and can change, what is in it, and the bytes of arrays."""
        lengths = [*map(len, self._mappings), *map(len, self._groups)]
        contents = list(chain.from_iterable(self._mappings))
        for mapping in self._mappings:
            contents += mapping.values()
        for group in self._groups:
            contents += group
        contents += [read(part) for read, part in self._reads]
        return lengths, contents, [_described(one) for one in self._arrays]

    def _walk(self) -> None:
        unexplored, values = self._unexplored, self.values
        seen: dict[int, int] = {}
        looked_up: dict[int, set[str]] = {}
        while self.obstacle is None and (unexplored or self._look_into_modules(looked_up)):
            part = unexplored.pop()
            kind = type(part)
            values.append(kind)  # True is no 1
            if kind in PLAIN:
                values.append(part)
            elif kind in SIGNED or issubclass(kind, np.generic):
                values.append(repr(part))
            elif id(part) in seen:
                values.append(seen[id(part)])
            elif len(seen) == MOST_PARTS:
                self.obstacle = f"the step depends on more than {MOST_PARTS} things, too many to look at in every step"
                return
            else:
                seen[id(part)] = len(seen)
                if not kind.__flags__ & _IMMUTABLE or isinstance(part, ModuleType):
                    self._reads.append((type, part))  # as ``part.__class__ = other`` changes it
                self._look_into(part, kind)

    def _look_into_modules(self, looked_up: dict[int, set[str]]) -> bool:
        """Note that what code names in the modules that were met is to be explored; whether there is more of it."""
        for module in self._namespaces:
            namespace, known = vars(module), looked_up.setdefault(id(module), set())
            names = self._names - known
            known |= names
            self._look_up(namespace, names)
        return bool(self._unexplored)

    def _look_into(self, part: Any, kind: type) -> None:
        """Note a part that was not met before, and that what is in it is to be explored."""
        if isinstance(part, dict | MappingProxyType):
            self._mappings.append(part)
            self.values.append(len(part))
            self._unexplored += part
            self._unexplored += part.values()
        elif isinstance(part, list | tuple | set | frozenset | deque):
            if not isinstance(part, tuple | frozenset):
                self._groups.append(part)
            self.values.append(len(part))
            self._unexplored += part
        elif isinstance(part, np.ndarray | memoryview | bytearray | array.array):
            self._look_at_numbers(part)
        else:
            self.things.append(part)
            if isinstance(part, ModuleType):
                self._look_at_class(kind)
                if library_of(vars(part)) in ("", OURS):
                    self._namespaces.append(part)
                return
            if isinstance(part, Backend | Unseen) or is_array(part) or library_of_class(kind) in CLOSED:
                return
            if isinstance(part, type):
                if not library_of_class(part):
                    self._look_at_class(part)
                return
            if isinstance(part, FunctionType):
                self._look_at_function(part)
            elif isinstance(part, BuiltinMethodType):  # also a function of a module
                self._unexplored.append(part.__self__)
            elif isinstance(part, Module):
                self.modules.append(part)
            elif isinstance(part, Tensor):
                self.tensors.append(part)
                self.things.append(part.data)
                self.values.append(part.requires_grad)
                self._reads += (_DATA, part), (_REQUIRES_GRAD, part)
        self._look_at_attributes(part, kind)

    def _look_at_numbers(self, part: Any) -> None:
        nbytes = getattr(part, "nbytes", None)
        nbytes = len(part) * getattr(part, "itemsize", 1) if nbytes is None else nbytes
        if nbytes > MOST_BYTES or getattr(part, "dtype", np.dtype(int)).hasobject:
            what = f"of {nbytes} bytes" if nbytes > MOST_BYTES else "of objects"
            self.obstacle = f"the step depends on an array of the host {what}, too many to look at in every step"
        else:
            self._arrays.append(part)
            self.values.append(_described(part))

    def _look_at_attributes(self, part: Any, kind: type) -> None:
        """Those of the object itself, in its ``__dict__`` or in slots, and those of its class."""
        self._look_at_class(kind)
        own = _own(part)
        if own is not None:
            self.values += own
            self._unexplored += own.values()
            self._mappings.append(own)
            self._reads.append((_own, part))  # as ``part.__dict__ = other`` changes it
        if isinstance(part, FunctionType):
            return
        slots = self._slots.get(kind)
        if slots is None:
            slots = self._slots[kind] = [
                one
                for base in kind.__mro__
                if base is not Tensor
                for name, one in vars(base).items()
                if isinstance(one, MemberDescriptorType) and not name.endswith("offset__")  # an address, in C
            ]
        for slot in slots:
            self._read(slot.__get__, part)

    def _read(self, read: Callable[[Any], Any], part: Any) -> None:
        """What can be read of a part: now to be explored, and later compared."""
        try:
            value = read(part)
        except (AttributeError, ValueError):  # it is empty
            read = functools.partial(_content, read)
            value = None
        self._reads.append((read, part))
        self._unexplored.append(value)

    def _look_at_class(self, cls: type) -> None:
        if cls in self._classes:
            return
        if type(cls) is not type:
            self._look_at_class(type(cls))
        for base in cls.__mro__:
            library = library_of_class(base)
            if base in self._classes or library not in ("", OURS):
                continue
            attributes = vars(base)
            self.values += attributes
            self._mappings.append(attributes)
            if library == OURS:
                self.things += attributes.values()
            else:
                self._unexplored += [
                    value
                    for name, value in attributes.items()
                    if isinstance(value, FunctionType) or not (name.startswith("__") and name.endswith("__"))
                ]
            self.values += type(base), base.__bases__
            self._reads += (type, base), (_BASES, base)
        self._classes.update(cls.__mro__)

    def _look_at_function(self, function: FunctionType) -> None:
        code = function.__code__
        self.things.append(code)
        self._reads.append((_CODE, function))
        self._read(_DEFAULTS, function)
        self._read(_KEYWORD_DEFAULTS, function)
        for cell in function.__closure__ or ():
            self._read(_CELL, cell)
        namespace = function.__globals__
        if not library_of(namespace):
            global_names, names = names_in(code)
            self._names |= names
            self._look_up(namespace, global_names)

    def _look_up(self, namespace: dict[str, Any], names: set[str] | frozenset[str]) -> None:
        """What a module has under names, and that it has nothing under the others."""
        there = sorted(namespace.keys() & names)
        self.values += there
        self._unexplored += map(namespace.__getitem__, there)
        self._reads += [(namespace.__getitem__, name) for name in there]
        self._reads.append((namespace.keys().isdisjoint, names.difference(there)))


_CODE, _DEFAULTS, _KEYWORD_DEFAULTS = map(operator.attrgetter, ("__code__", "__defaults__", "__kwdefaults__"))
_DATA, _REQUIRES_GRAD, _BASES = map(operator.attrgetter, ("data", "requires_grad", "__bases__"))
_CELL = vars(CellType)["cell_contents"].__get__
_IMMUTABLE = 1 << 8
"""The flag of classes in C whose objects are given no other class, ``Py_TPFLAGS_IMMUTABLETYPE``."""


def _own(part: Any) -> dict[str, Any] | None:
    """The ``__dict__`` of an object, whatever its class calls so."""
    try:
        own: dict[str, Any] = object.__getattribute__(part, "__dict__")
    except AttributeError:
        return None
    return own


def _content(read: Callable[[Any], Any], part: Any) -> Any:
    try:
        return read(part)
    except (AttributeError, ValueError):
        return None


def _described(numbers: Any) -> tuple[Any, ...]:
    """What an array of the host is, by value."""
    content = bytes(numbers) if isinstance(numbers, bytearray) else numbers.tobytes()
    return getattr(numbers, "shape", None), str(getattr(numbers, "dtype", "")), content
