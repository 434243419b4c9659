"""Mutants of a function: the same function with one operator, constant, axis or index changed.

The idea: DeMillo, Lipton and Sayward, "Hints on Test Data Selection: Help for the Practicing Programmer" (1978).
"""

import ast
import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
"""The replacement of each operator."""

Change = Callable[[Any], None]


@dataclass(frozen=True)
class Mutant:
    """A function with one change: the line before and after, and the code to run instead."""

    function: str
    before: str
    after: str
    code: CodeType

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of the mutant, valid until its line is rewritten."""
        return self.function, self.before, self.after


def mutants(function: FunctionType) -> Iterator[Mutant]:
    """All mutants of a function or method of a module, in the order of its syntax tree."""
    module = inspect.getmodule(function)
    assert module is not None
    assert module.__file__ is not None
    tree = ast.parse(inspect.getsource(module))
    path = function.__qualname__.split(".")
    for place, change in _changes(_find(tree, path)):
        mutated = copy.deepcopy(tree)
        definition = _find(mutated, path)
        target = list(ast.walk(definition))[place]
        before = ast.unparse(definition)
        change(target)
        after = ast.unparse(definition)
        if after == before:  # equal values, swapped
            continue
        compiled = compile(ast.fix_missing_locations(mutated), module.__file__, "exec")
        name = f"{module.__name__}.{function.__qualname__}"
        yield Mutant(name, *_difference(before, after), _code_of(compiled, function.__code__))


def _changes(function: ast.AST) -> Iterator[tuple[int, Change]]:
    """The nodes of a function that can be changed (by their index in ``ast.walk``), and how."""
    ignored = _ignored(function)
    for place, node in enumerate(ast.walk(function)):
        if node not in ignored:
            for change in _changes_of(node):
                yield place, change


def _ignored(function: Any) -> set[ast.AST]:
    """Nodes without computation: docstring, signatures, annotations, decorators, and the text of errors."""
    parts = [*function.decorator_list]
    if ast.get_docstring(function) is not None:
        parts.append(function.body[0])
    for node in ast.walk(function):
        if isinstance(node, ast.Raise | ast.JoinedStr):
            parts.append(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
            parts.append(node.operand)  # the number and its sign are one constant
        parts += [getattr(node, name) for name in ("args", "annotation", "returns") if _is_node(node, name)]
    return {node for part in parts for node in ast.walk(part)}


def _is_node(node: ast.AST, name: str) -> bool:
    return isinstance(getattr(node, name, None), ast.AST)


def _changes_of(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.BinOp(op=ast.MatMult()):
            yield _swap_operands
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in OPERATORS:
            yield _replace_operator
        case ast.Compare(ops=[op]) if type(op) in OPERATORS:
            yield lambda node: setattr(node, "ops", [OPERATORS[type(node.ops[0])]()])
        case ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield _replace_operator
            yield _assign_instead
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            yield _drop_operator
            yield lambda node: setattr(node.operand, "value", node.operand.value - 1)  # -1 becomes 0
        case ast.UnaryOp():
            yield _drop_operator
        case ast.Constant(value=bool()):
            yield lambda node: setattr(node, "value", not node.value)
        case ast.Constant(value=int() | float()):
            yield lambda node: setattr(node, "value", node.value + 1)
        case ast.Slice():
            for part in ("lower", "upper", "step"):
                if getattr(node, part) is not None:
                    yield lambda node, part=part: setattr(node, part, None)
        case ast.Attribute(attr="T"):
            yield lambda node: setattr(node, "attr", "real")  # the same values, not transposed
        case ast.IfExp() | ast.If():
            yield lambda node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.Call(func=ast.Attribute(attr="where"), args=[_, _, _]):
            yield lambda node: setattr(node, "args", [node.args[0], node.args[2], node.args[1]])
        case ast.Return(value=ast.Tuple(elts=[_, _, *_])):
            yield _swap_first_two


def _replace_operator(node: Any) -> None:
    node.op = OPERATORS[type(node.op)]()


def _swap_operands(node: Any) -> None:
    node.left, node.right = node.right, node.left


def _swap_first_two(node: Any) -> None:
    one, two, *others = node.value.elts
    node.value.elts = [two, one, *others]


def _drop_operator(node: Any) -> None:
    """x for -x, not x and ~x."""
    operand = node.operand
    node.__class__, node.__dict__ = operand.__class__, operand.__dict__


def _assign_instead(node: Any) -> None:
    """= for +=."""
    node.__class__, node.targets, node.type_comment = ast.Assign, [node.target], None


def _find(tree: ast.AST, path: list[str]) -> Any:
    """The definition with this qualified name."""
    for name in path:
        tree = next(node for node in getattr(tree, "body", []) if getattr(node, "name", None) == name)
    return tree


def _difference(before: str, after: str) -> tuple[str, str]:
    """The first line that differs, before and after."""
    lines = zip(before.splitlines(), after.splitlines(), strict=False)
    one, other = next((one, other) for one, other in lines if one != other)
    return one.strip(), other.strip()


def _code_of(module: CodeType, original: CodeType) -> CodeType:
    """The code of the function in its compiled module."""
    inside = [module]
    while inside:
        for constant in inside.pop().co_consts:
            if isinstance(constant, CodeType):
                if constant.co_qualname == original.co_qualname:
                    return constant
                inside.append(constant)
    raise LookupError(original.co_qualname)
