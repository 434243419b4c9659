"""Parse the pages of the documentation and the string literals of the packages."""

import ast
import doctest
import functools
import re
import shlex
import textwrap
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(page.relative_to(ROOT)): page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")]
    if "_build" not in page.parts
}
"""Each by its path from the root."""

FENCED = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A code block: its language, and the line before it on the page, counted from 1."""

    language: str
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [Block(m[2], textwrap.dedent(m[3]), text.count("\n", 0, m.start(3))) for m in FENCED.finditer(text)]
    assert 2 * len(found) == text.count("```"), f"{page}: a fence that does not begin or end a block"
    return found


def run(block: Block, names: dict[str, Any], page: Path) -> None:
    """Run a block of Python that continues with ``names``: a session as doctests, or a script as it is.

    Where a comment in a script gives an array, the line before it must give the same.
    """
    if ">>>" not in block.code:
        exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
        for expression, array in re.findall(r"^(\S.*?)  # (array\(.*\))$", block.code, re.MULTILINE):
            assert repr(eval(expression, names)) == array
        return
    examples = doctest.DocTestParser().get_examples(block.code)
    test = doctest.DocTest(examples, {}, page.name, str(page), block.line, None)
    test.globs = names
    report: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=report.append, clear_globs=False)
    assert not report, "".join(report)


def spans(page: Path) -> list[str]:
    """The text in backticks outside code blocks, without line breaks; in a table of equivalents only minidl's."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    if page.name == "faq.md":
        text = re.sub(r"^\|.*\|(.*\|)$", r"\1", text, flags=re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


@functools.cache
def strings(path: Path) -> list[tuple[int, str]]:
    """The string literals of a module with their lines, docstrings included; fields of f-strings become NAME."""
    found: list[tuple[int, str]] = []
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr):
            parts = (str(part.value) if isinstance(part, ast.Constant) else "NAME" for part in node.values)
            found.append((node.lineno, "".join(parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append((node.lineno, node.value))
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def commands(line: str) -> list[list[str]]:
    """The words of each command in a shell line.

    >>> commands("pip install -e '.[bench]' && python -m minidl bench small --json > small.json  # figures")
    [['pip', 'install', '-e', '.[bench]'], ['python', '-m', 'minidl', 'bench', 'small', '--json', '>', 'small.json']]
    """
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    return [list(command) for between, command in groupby(words, ("&&", ";", "|").__contains__) if not between]
