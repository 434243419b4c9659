"""What a reader has written and the checker called right: kept in ``mine/`` beside the notebooks, and used again."""

import ast
import importlib
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from ..errors import MinidlError, suggestion
from ..files import atomic_write
from ..sources import names_in
from . import answer

Function = Callable[..., Any]

FOLDER = Path("mine")
"""The folder of the answers, in the current one; :func:`mine` says which file it uses."""
START = "import numpy as np\n\nimport minidl as md\n"
"""The first lines of every file."""


class Checker(Protocol):
    """What is needed of an :class:`~minidl.course.Exercise`."""

    @property
    def solution(self) -> Function:
        """minidl's own version."""

    @property
    def name(self) -> str:
        """The name of the exercise."""

    def problem(self, attempt: Function) -> str:
        """What is wrong with an attempt, in words; "" if it is right."""


class NotKept(Exception):  # noqa: N818 - a reason, not an error
    """Why an answer cannot be kept, in words."""


def mine(name: str) -> Function:
    """The reader's own answer to an exercise, if it was kept and is still right, else minidl's version.

    ``name`` is the part of the checker's name after ``check_``. One line says which of the two it is, and why. Raises
    :class:`~minidl.errors.MinidlError` if there is no such exercise.

    >>> output_size = mine("output_size")
    output_size: minidl's own version, as there is no mine/output_size.py.
    >>> output_size(5, 3, 1, 0)
    3
    """
    exercise = _exercise(name)
    path = FOLDER / f"{name}.py"
    try:
        function = _loaded(exercise, path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        print(f"{name}: minidl's own version, as there is no {path.as_posix()}.")
    except (OSError, UnicodeError, NotKept) as problem:
        print(f"{name}: minidl's own version, as {path.as_posix()} cannot be used: {problem}")
    else:
        print(f"{name}: yours, from {path.as_posix()}.")
        return function
    return exercise.solution


def keep(exercise: Checker, attempt: Function) -> str:
    """Write a right answer of a notebook to ``mine/``; return a sentence that says so, or why not.

    What is kept is the function and, of its cell, all that it uses; modules, names imported from them, plain constants
    and answers to other exercises may come from other cells. Functions of a module that was imported, not written in a
    notebook, are not kept, and nothing is said.
    """
    if getattr(attempt, "__module__", "") != "__main__":
        return ""
    path = FOLDER / f"{exercise.name}.py"
    try:
        text = source(exercise.name, attempt)
        _loaded(exercise, text, path.name)
        FOLDER.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            file.write(text.encode())
    except (OSError, NotKept) as problem:
        return f" It is not kept for later notebooks: {problem}"
    return f" It is kept in {path.as_posix()} for later notebooks."


def _exercise(name: str) -> Checker:
    course = importlib.import_module(__package__)
    known = [each.removeprefix("check_") for each in course.__all__ if each.startswith("check_")]
    if name not in known:
        raise MinidlError(f"there is no exercise {name!r}.{suggestion(str(name), known)}")
    found: Checker = getattr(course, f"check_{name}")
    return found


def _loaded(exercise: Checker, text: str, path: str) -> Function:
    """The function of a file, in a namespace of its own; raises :class:`NotKept` unless it is right."""
    names: dict[str, Any] = {"__name__": "mine"}
    run = answer.call(lambda: exec(compile(text, path, "exec"), names), ())
    if run.problem or run.harm:
        raise NotKept(run.problem or run.harm)
    function = names.get(exercise.name)
    if not callable(function):
        raise NotKept(f"it does not define {exercise.name}.")
    if problem := exercise.problem(function):
        raise NotKept(" ".join(f"it is not right {problem}".split()))
    return function  # type: ignore[no-any-return]


def source(name: str, attempt: Function) -> str:
    """A file that defines an answer under the name of its exercise, with all that it needs.

    Raises :class:`NotKept` if something that it needs cannot be written down.
    """
    code = getattr(attempt, "__code__", None)
    if code is None or not attempt.__name__.isidentifier():
        raise NotKept("write it with def.")
    try:
        cell = "".join(linecache.getlines(code.co_filename))
        statements = ast.parse(cell).body
    except SyntaxError:
        statements = []
    defined = [s for s in statements if isinstance(s, ast.FunctionDef) and s.name == attempt.__name__]
    if not defined:
        raise NotKept(f"define {attempt.__name__} with def, at the left margin of a cell.")
    needed, outside = _needed(statements, defined)
    imports = [
        _from_outside(each, attempt.__globals__[each], attempt) for each in outside if each in attempt.__globals__
    ]
    lines = cell.splitlines()
    parts = ["\n".join(lines[_first_line(s) - 1 : s.end_lineno]) for s in statements if s in needed]
    if attempt.__name__ != name:
        parts.append(f"{name} = {attempt.__name__}")
    title = f'"""Your answer to the exercise {name}: course.mine("{name}") uses it in later notebooks."""'
    return "\n\n".join([title, "\n".join([START.strip(), *filter(None, imports)]), *parts]) + "\n"


def _needed(statements: list[ast.stmt], first: list[Any]) -> tuple[list[ast.stmt], list[str]]:
    """The statements of a cell on which the first ones depend, and the names that come from elsewhere."""
    needed: list[ast.stmt] = list(first)
    outside: dict[str, None] = {}
    for statement in needed:  # which grows
        for name in sorted(names_in(compile(ast.Module([statement], []), "cell", "exec"))[0]):
            binding = [s for s in statements if name in _bound(s)]
            needed += [s for s in binding if s not in needed]
            outside |= {} if binding else {name: None}
    return needed, list(outside)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement defines; none for the call of a checker, which passes on what there is."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Assign | ast.AnnAssign) and "check_" not in ast.unparse(statement):
        return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return set()


def _first_line(statement: Any) -> int:
    return int(min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))]))


def _from_outside(name: str, value: Any, attempt: Function) -> str:
    """A line that defines a name of another cell; "" if every file has it."""
    if isinstance(value, ModuleType):
        line = f"import {value.__name__} as {name}"
        return "" if line in START.replace("\n\n", "\n").splitlines() else line
    if isinstance(value, int | float | str | bool):
        return f"{name} = {value!r}"
    course = importlib.import_module(__package__)
    if f"check_{name}" in course.__all__ and callable(value):
        return f"from minidl import course\n\n{name} = course.mine({name!r})"
    module, original = getattr(value, "__module__", None), getattr(value, "__name__", "")
    if module in sys.modules and module != "__main__" and getattr(sys.modules[module], original, None) is value:
        return f"from {module} import {original} as {name}"
    raise NotKept(f"it uses {name}, which another cell defines. Define it in the cell of {attempt.__name__}.")
