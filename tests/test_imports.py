"""The imports allowed between the parts of the packages, as docs/architecture.md lists them."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for package in ("minidl", "agegender") for path in (ROOT / package).rglob("*.py")}


def rooms() -> dict[str, tuple[list[str], set[str]]]:
    """For each part its modules, and the parts that it may import from: itself and those in its row."""
    table: dict[str, tuple[list[str], set[str]]] = {}
    for line in PAGE.read_text().partition("| --- | --- | --- |\n")[2].splitlines():
        if not line.startswith("| "):
            break
        room, modules, others = (cell.strip() for cell in line.strip("|").split("|"))
        allowed = {*table} if others == "all of the above" else {*filter(None, others.split(", "))}
        names = (name if "." in name else f"minidl.{name}" for name in re.findall(r"`([\w.]+)`", modules))
        table[room] = (list(names), allowed | {room})
    return table


ROOMS = rooms()
ROOM_OF = {module: room for room, (modules, _) in ROOMS.items() for module in modules}


def room_of(module: str) -> str:
    return ROOM_OF.get(".".join(module.split(".")[:2]), "front")


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements in a module that run when it is loaded."""
    for inside in ast.iter_child_nodes(node):
        if not isinstance(inside, ast.FunctionDef | ast.expr):
            yield inside
            yield from statements(inside)


def imports(module: str) -> Iterator[str]:
    """Our modules that a module imports when loaded, and for types, but not inside its functions."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in MODULES else origin
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@functools.cache
def graph() -> dict[str, set[str]]:
    """For each module those that it imports."""
    return {module: {other for other in imports(module) if other in MODULES} - {module} for module in MODULES}


def test_every_module_has_a_room() -> None:
    assert {module for module in MODULES if room_of(module) == "front"} == {"minidl", "agegender"}
    assert sorted(ROOM_OF) == sorted({".".join(name.split(".")[:2]) for name in MODULES if "." in name})


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_those_that_the_page_names(room: str) -> None:
    allowed = ROOMS[room][1]
    wrong = [
        f"{module} imports {other}, of the room {room_of(other)}"
        for module, others in graph().items()
        for other in others
        if room_of(module) == room and other != "minidl" and room_of(other) not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "tools"])  # its row names them all
def test_the_page_names_no_room_that_is_not_needed(room: str) -> None:
    needed = {room_of(other) for module, others in graph().items() if room_of(module) == room for other in others}
    assert ROOMS[room][1] - needed <= {room}


def circles() -> list[set[str]]:
    """Modules in an import cycle, with all modules on the way."""
    reached: dict[str, set[str]] = {}
    for module in graph():
        found, waiting = set(), [module]
        while waiting:
            for other in graph()[waiting.pop()] - found:
                found.add(other)
                waiting.append(other)
        reached[module] = found
    found_circles: list[set[str]] = []
    for module, found in reached.items():
        circle = {other for other in found if module in reached[other]}
        if circle and circle not in found_circles:
            found_circles.append(circle)
    return found_circles


def test_no_circle_but_that_of_tensors_and_ops() -> None:
    (circle,) = circles()
    assert {"minidl.op", "minidl.tensor"} <= circle
    assert {room_of(module) for module in circle} == {"autograd"}


def test_the_checks_are_made_without_their_examples() -> None:
    """An import inside a function can close a cycle, too: the conformance kit must not need its own examples."""
    for path in (ROOT / "minidl" / "testing").glob("check_*.py"):
        if path.name != "check_backends.py":  # computes all examples of ops
            assert "examples import" not in path.read_text(), path.name


def test_what_the_page_names_of_a_class_is_there() -> None:
    """``Class.method`` on the page exists; a test of words cannot detect that it was renamed."""
    classes = {
        node.name: {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    named = re.findall(r"`([A-Z]\w+)\.(\w+)`", PAGE.read_text())
    assert len(named) >= 4
    inherited = classes["Op"] | classes["ConvAlgorithm"]
    assert [(cls, method) for cls, method in named if method not in classes[cls] | inherited] == []
