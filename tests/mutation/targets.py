"""The mutated code, all of minidl that runs in a backward pass, and the checks that run it."""

import functools
import importlib
import inspect
import itertools
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import minidl
from minidl import kernels, ops, threads
from minidl.kernels.numpy import elementwise, matmul, memory
from minidl.kernels.numpy.conv import im2col, per_chunk
from minidl.testing import NotApplicable, Subject, subjects
from tests import (
    test_by_hand,
    test_changes,
    test_conv_ops,
    test_leaves,
    test_ops,
    test_sums,
    test_tensor,
    test_tensor_values,
)

KINDS = ("op", "conv_algorithm")
UNIT_TESTS = (
    test_tensor,
    test_tensor_values,
    test_changes,
    test_leaves,
    test_by_hand,
    test_ops,
    test_conv_ops,
    test_sums,
)
"""Tests of what the kit cannot check in the graph and the ops, such as the definition of an average."""
SMALL = {
    (elementwise, "BLOCK"): 4,
    (threads, "SMALL"): 8,
    (matmul, "COLUMNS"): 2,
    (matmul, "LENGTH"): 4,
    (im2col, "COLUMNS_BYTES"): 512,
    (per_chunk, "CHUNK_BYTES"): 1024,
    (memory, "SMALL"): 64,
}
"""Chunk sizes of the kernels, so small that small examples need several."""


@dataclass(frozen=True)
class Use:
    """An example of a subject that runs a function in its backward pass."""

    subject: Subject
    example: Any

    def checks(self) -> list[str]:
        """The names of the checks to run."""
        return list(self.subject.descriptions())

    def run(self, check: str) -> None:
        """Run one check on this example only."""
        try:
            getattr(self.subject, f"check_{check}")(self.example)
        except NotApplicable:
            return


@dataclass(frozen=True)
class UnitTest:
    """A test function with the values of its parameters, in place of a check."""

    function: Any
    arguments: Mapping[str, Any]

    def checks(self) -> list[str]:
        """Only the test itself."""
        return ["unit test"]

    def run(self, check: str) -> None:
        """Run it."""
        self.function(**self.arguments)


def turn(check: str) -> int:
    """The order of the checks: first those that detect most, last the slowest."""
    if "gradient" in check or check == "pooled":
        return 0
    return {"unit test": 1, "backends": 3}.get(check, 2)


def unit_tests() -> Iterator[UnitTest]:
    """The tests without fixtures that need no other framework."""
    for module in UNIT_TESTS:
        for name, function in vars(module).items():
            marks = getattr(function, "pytestmark", [])
            needs_peer = any(mark.name == "parity" for mark in marks)
            if name.startswith("test_") and not hasattr(function, "hypothesis") and not needs_peer:
                marks = [mark for mark in marks if mark.name == "parametrize"]
                for values in itertools.product(*(_parameters(*mark.args) for mark in marks)):
                    arguments = {key: value for part in values for key, value in part.items()}
                    if set(arguments) == set(inspect.signature(function).parameters):
                        yield UnitTest(function, arguments)


def _parameters(names: str | Sequence[str], values: Iterable[Any]) -> list[dict[str, Any]]:
    """The arguments of a mark."""
    several = not isinstance(names, str)
    return [dict(zip(names, value, strict=True)) if several else {names: value} for value in values]


def make_pieces_small() -> None:
    """Set the sizes of :data:`SMALL`, and compute on one thread."""
    for (module, name), value in SMALL.items():
        setattr(module, name, value)
    minidl.set_num_threads(1)


def targets() -> dict[FunctionType, list[Use | UnitTest]]:
    """Every function that runs in a backward pass, with the examples that run it."""
    functions = {_name_of(function.__code__): function for function in _functions()}
    found: dict[FunctionType, list[Use | UnitTest]] = {}
    uses = [Use(one, example) for kind in KINDS for one in subjects(kind) if _on_numpy(one) for example in one.examples]
    for use in uses:
        for name in sorted(_calls(use, backward=True)):
            if name in functions:
                found.setdefault(functions[name], []).append(use)
    for test in unit_tests():
        for name in sorted(_calls(test, backward=False)):
            if functions.get(name) in found:
                found[functions[name]].append(test)
    return found


@functools.cache
def _modules() -> tuple[ModuleType, ...]:
    """The modules of the ops, the kernels and the graph."""
    modules = [minidl.op, sys.modules["minidl.tensor"]]
    for package in (ops, kernels):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            modules.append(importlib.import_module(info.name))
    modules.remove(memory)  # computes nothing; tests/test_memory.py covers it
    return tuple(modules)


def _functions() -> Iterator[FunctionType]:
    """All functions and methods of the ops, the kernels and the graph."""
    for module in _modules():
        for value in vars(module).values():
            if getattr(value, "__module__", None) == module.__name__:
                yield from _functions_in(value)


def _on_numpy(subject: Subject) -> bool:
    """Whether a subject runs on NumPy: compiling CUDA kernels again for every mutant would take hours."""
    backend = getattr(subject, "backend", None)
    return backend is None or backend.name == "numpy"


def forget_caches() -> None:
    """Clear the caches of functions in the kernels."""
    for module in _modules():
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _functions_in(value: Any) -> Iterator[FunctionType]:
    value = getattr(value, "__wrapped__", value)
    if inspect.isclass(value):
        for member in vars(value).values():
            member = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
            member = getattr(member, "__wrapped__", member)
            if inspect.isfunction(member) and "minidl" in member.__code__.co_filename:  # not generated by dataclass
                yield member
    elif inspect.isfunction(value):
        yield value


def _name_of(code: CodeType) -> tuple[str, str]:
    """File and qualified name of the function that a code object belongs to."""
    return code.co_filename, code.co_qualname.partition(".<locals>")[0]


def _calls(use: Use | UnitTest, backward: bool) -> set[tuple[str, str]]:
    """The names of all functions that run in the checks, or only in their backward passes."""
    called: set[tuple[str, str]] = set()
    depth = 0 if backward else 1

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal depth
        if event not in ("call", "return"):
            return
        root = _starts_backward(frame.f_code)
        depth += root and event == "call"
        if depth > 0 and event == "call":
            called.add(_name_of(frame.f_code))
        depth -= root and event == "return"

    forget_caches()
    sys.setprofile(watch)
    try:
        for check in use.checks():
            use.run(check)
    finally:
        sys.setprofile(None)
    return called


def _starts_backward(code: CodeType) -> bool:
    return "minidl" in code.co_filename and (
        code.co_qualname == "Tensor.backward"
        or (
            code.co_name.endswith(("_gradient", "_backward", "backward_fused", "_backward_composed"))
            and "testing" not in code.co_filename
        )
    )
