"""Detecting changes of objects: a walk over everything that can be reached from them, without a list of what to check.

Numbers, strings, booleans, None, NumPy scalars and arrays on the host are compared by value. Tensors are compared by
identity, array and ``requires_grad``, on the host also by value; lists, tuples, sets and dictionaries by their
contents. Every other object is compared by identity and by its attributes, including those of its class and metaclass;
a function also by its closure, its defaults and the global names in its code; a bound method by its object. A Python
module is compared by identity and by the names in it that appear in the code of these functions, also as attributes.

Changes that cannot be reached by name are not detected: imports inside a function, lookups by ``getattr`` or
``globals()``, the environment, context variables, targets of weak references, the inside of objects implemented in C,
and attributes of classes with names like ``__this__`` that are not functions. Classes, functions and modules of
libraries (the standard library, NumPy, CuPy), and classes and functions of minidl, are compared by identity only; for
minidl's classes with instances, the identities of their attributes are compared, too. Backends, CuPy's objects,
:class:`Unseen` objects and objects of the packages in ``CLOSED`` are also compared by identity.

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
"""Types with two zeros, 0.0 and -0.0, which compare equal."""
CLOSED = frozenset({"cupy", "cupyx", "logging", "threading", "multiprocessing", "concurrent", "asyncio"})
"""Packages whose objects refer to large parts of the process, or change by themselves."""
MOST_BYTES = 1 << 16
MOST_PARTS = 50_000
"""Limits for what is compared in every step."""


class Unseen:
    """Base class of objects that do not affect the result of a step; their attributes are not compared.

    >>> class Log(Unseen):
    ...     lines = 0
    >>> log = Log()
    >>> before, log.lines = Traits(log), 1
    >>> before == Traits(log)
    True
    """


class Traits(Unseen):
    """Everything that was reachable from ``roots`` at construction, kept alive so that ids are not reused.

    The walk runs once. :meth:`hold`, called before every step that may be captured, only compares what can change,
    which is many times faster.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *roots: Any) -> None:
        self.roots = roots
        self.modules: list[Module] = []
        self.tensors: list[Tensor] = []
        self.arrays: list[Any] = []
        """The arrays on a device that are no tensor's."""
        self.values: list[Any] = []
        """Values compared by value, in the order of the walk, with the names that lead to them."""
        self.things: list[Any] = []
        """Objects compared by identity."""
        self.obstacle: str | None = None
        """Why not everything can be compared in every step."""
        self._unexplored = list(reversed(roots))
        self._classes: set[type] = set()
        self._namespaces: list[ModuleType] = []
        self._names = {"__getattr__"}
        """The names in the code of functions, and the one that Python looks up in modules."""
        self._slots: dict[type, list[MemberDescriptorType]] = {}
        self._mappings: list[Any] = []
        self._groups: list[Any] = []
        self._reads: list[tuple[Callable[[Any], Any], Any]] = []
        self._on_host: list[Any] = []
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
        """Whether nothing was replaced since the walk. If something was, a new walk may still compare equal."""
        try:
            lengths, contents, numbers = self._look_again()
        except (KeyError, ValueError):  # a variable was deleted, or a view of bytes released
            return False
        return (
            len(roots or self.roots) == len(self.roots)
            and all(map(operator.is_, roots, self.roots))
            and lengths == self._lengths
            and all(map(operator.is_, contents, self._contents))
            and numbers == self._numbers
        )

    def _look_again(self) -> tuple[list[int], list[Any], list[Any]]:
        """The lengths and contents of the mutable objects that were found, and the bytes of arrays."""
        lengths = [*map(len, self._mappings), *map(len, self._groups)]
        contents = list(chain.from_iterable(self._mappings))
        for mapping in self._mappings:
            contents += mapping.values()
        for group in self._groups:
            contents += group
        contents += [read(part) for read, part in self._reads]
        return lengths, contents, [_described(one) for one in self._on_host]

    def _walk(self) -> None:
        unexplored, values = self._unexplored, self.values
        seen: dict[int, int] = {}
        looked_up: dict[int, set[str]] = {}
        while self.obstacle is None and (unexplored or self._look_into_modules(looked_up)):
            part = unexplored.pop()
            kind = type(part)
            values.append(kind)  # because True == 1
            if kind in PLAIN:
                values.append(part)
            elif kind in SIGNED or issubclass(kind, np.generic):
                values.append(repr(part))
            elif id(part) in seen:
                values.append(seen[id(part)])
            elif len(seen) == MOST_PARTS:
                self.obstacle = f"the step depends on more than {MOST_PARTS} objects, too many to compare in every step"
                return
            else:
                seen[id(part)] = len(seen)
                if not kind.__flags__ & _IMMUTABLE or isinstance(part, ModuleType):
                    self._reads.append((type, part))  # as ``part.__class__ = other`` changes it
                self._look_into(part, kind)

    def _look_into_modules(self, looked_up: dict[int, set[str]]) -> bool:
        """Queue what the code names in the modules found so far; returns whether the queue is not empty."""
        for module in self._namespaces:
            namespace, known = vars(module), looked_up.setdefault(id(module), set())
            names = self._names - known
            known |= names
            self._look_up(namespace, names)
        return bool(self._unexplored)

    def _look_into(self, part: Any, kind: type) -> None:
        """Record an object that was not found before, and queue its contents."""
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
            if is_array(part):
                self.arrays.append(part)
                return
            if isinstance(part, Backend | Unseen) or library_of_class(kind) in CLOSED:
                return
            if isinstance(part, type):
                if not library_of_class(part):
                    self._look_at_class(part)
                return
            if isinstance(part, FunctionType):
                self._look_at_function(part)
            elif isinstance(part, BuiltinMethodType):  # also a built-in function, whose __self__ is its module
                self._unexplored.append(part.__self__)
            elif isinstance(part, Module):
                self.modules.append(part)
            elif isinstance(part, Tensor):
                self.tensors.append(part)
                self.things.append(part.data)
                if isinstance(part.data, np.ndarray):  # on the host, where code may read its values
                    self._look_at_numbers(part.data)
                self.values.append(part.requires_grad)
                self._reads += (_DATA, part), (_REQUIRES_GRAD, part)
        self._look_at_attributes(part, kind)

    def _look_at_numbers(self, part: Any) -> None:
        numbers = np.asarray(part)
        if numbers.nbytes > MOST_BYTES or numbers.dtype.hasobject:
            what = f"of {numbers.nbytes} bytes" if numbers.nbytes > MOST_BYTES else "of objects"
            self.obstacle = f"the step depends on an array on the host {what}, too many to compare in every step"
        else:
            self._on_host.append(part)
            self.values.append(_described(part))

    def _look_at_attributes(self, part: Any, kind: type) -> None:
        """Record the attributes of an object, in its ``__dict__`` or in slots, and those of its class."""
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
        """Queue a value read from an object, and compare it later."""
        read = functools.partial(_content, read)
        self._reads.append((read, part))
        self._unexplored.append(read(part))

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
        """Record the values of names in a module, and that it lacks the other names."""
        there = sorted(namespace.keys() & names)
        self.values += there
        self._unexplored += map(namespace.__getitem__, there)
        self._reads += [(namespace.__getitem__, name) for name in there]
        self._reads.append((namespace.keys().isdisjoint, names.difference(there)))


_CODE, _DEFAULTS, _KEYWORD_DEFAULTS = map(operator.attrgetter, ("__code__", "__defaults__", "__kwdefaults__"))
_DATA, _REQUIRES_GRAD, _BASES = map(operator.attrgetter, ("data", "requires_grad", "__bases__"))
_CELL = vars(CellType)["cell_contents"].__get__
_IMMUTABLE = 1 << 8
"""``Py_TPFLAGS_IMMUTABLETYPE``, the flag of C classes to whose objects no other class can be assigned."""


def _own(part: Any) -> dict[str, Any] | None:
    """The ``__dict__`` of an object, even if its class overrides that name."""
    try:
        own: dict[str, Any] = object.__getattribute__(part, "__dict__")
    except AttributeError:
        return None
    return own


def _content(read: Callable[[Any], Any], part: Any) -> Any:
    """The content of a slot or of a closure's cell; ``...`` if it is empty."""
    try:
        return read(part)
    except (AttributeError, ValueError):
        return ...


def _described(part: Any) -> tuple[Any, ...]:
    """The shape, dtype and bytes of an array on the host."""
    numbers = np.asarray(part)
    return numbers.shape, numbers.dtype, numbers.tobytes()
