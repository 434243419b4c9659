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


def full_names(cell: str) -> list[str]:
    """The modules in a cell of a table; those of minidl are written without its name."""
    return [name if name.startswith("agegender") else f"minidl.{name}" for name in re.findall(r"`([\w.]+)`", cell)]


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table whose first column has this heading."""
    for line in PAGE.read_text().partition(f"| {heading} | ")[2].splitlines()[2:]:
        if not line.startswith("| "):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def rooms() -> dict[str, tuple[list[str], set[str]]]:
    """For each part its modules, and the parts that it may import from: itself and those in its row."""
    table: dict[str, tuple[list[str], set[str]]] = {}
    for room, modules, others in rows("room"):
        allowed = {*table} if others == "all of the above" else {*filter(None, others.split(", "))}
        table[room] = (full_names(modules), allowed | {room})
    return table


ROOMS = rooms()
FOR_MESSAGES = {full_names(module)[0]: {*full_names(others)} for module, others in rows("module")}
"""What modules import inside functions to build a message, in spite of their rooms."""
ROOM_OF = {module: room for room, (modules, _) in ROOMS.items() for module in modules}


def room_of(module: str) -> str:
    return ROOM_OF.get(".".join(module.split(".")[:2]), "front")


def imports(module: str, part: ast.AST) -> Iterator[str]:
    """What this part of a module imports: when loaded, for types, and inside its functions."""
    package = module.split(".") if MODULES[module].name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(part):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in MODULES else origin
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@functools.cache
def tree(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(MODULES[module].read_text())


@functools.cache
def imported() -> dict[str, set[str]]:
    """For each module those that it imports."""
    return {module: {*imports(module, tree(module))} & {*MODULES} - {module} for module in MODULES}


@functools.cache
def graph() -> dict[str, set[str]]:
    """For each module those that it imports, not only for messages."""
    return {module: others - FOR_MESSAGES.get(module, set()) for module, others in imported().items()}


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


@pytest.mark.parametrize("module", FOR_MESSAGES)
def test_imports_for_messages_are_needed_and_inside_functions(module: str) -> None:
    functions = [node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef)]
    inside = {other for function in functions for other in imports(module, function)}
    assert FOR_MESSAGES[module] <= inside
    assert not {room_of(other) for other in FOR_MESSAGES[module]} & ROOMS[room_of(module)][1]
    top = [node for node in tree(module).body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert not {*imports(module, ast.Module(top, []))} & FOR_MESSAGES[module]


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
    ops = {module for module in MODULES if module.startswith("minidl.ops")}
    assert circle == {"minidl.tensor", "minidl.op", "minidl.operators", "minidl.checks"} | ops


def test_what_the_page_names_of_a_class_is_there() -> None:
    """``Class.method`` on the page exists; a test of words cannot detect that it was renamed."""
    classes = {
        node.name: {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ClassDef)
    }
    named = re.findall(r"`([A-Z]\w+)\.(\w+)`", PAGE.read_text())
    assert len(named) >= 4
    inherited = classes["Op"] | classes["ConvAlgorithm"]
    assert [(cls, method) for cls, method in named if method not in classes[cls] | inherited] == []
