"""Check a command from a page or a message without running it."""

import argparse
import ast
import contextlib
import importlib
import importlib.util
import io
import re
import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from packaging.requirements import Requirement

from minidl import doctor
from tests.benchmarks.peers import small
from tests.benchmarks.peers.frameworks import FRAMEWORKS
from tests.pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PACKAGES = {
    *(Requirement(text).name for texts in [PROJECT["dependencies"], *EXTRAS.values()] for text in texts),
    *(name for framework in FRAMEWORKS.values() for name in framework.packages),
    *(package for package, _ in small.FRAMEWORKS.values()),
    *(name for _, name in doctor.PACKAGES),
} - {"minidl"}
"""Packages that a user may be told to install by name. minidl is not among them: the name may belong to others."""
WHEEL = f"{PROJECT['name']}-{PROJECT['version']}-py3-none-any.whl"

OF_PLUGINS = {"--benchmark-json": "pytest-benchmark, which the line above installs"}
"""Options of pytest from plugins that the tests do not require."""


def complaint(words: list[str], config: pytest.Config) -> str:
    """What is wrong with a command, or nothing."""
    if ">" in words:
        end = words.index(">")
        if not (ROOT / words[end + 1]).parent.is_dir():
            return f"there is no folder for {words[end + 1]}"
        words = words[:end]
    match words:
        case [".", ".venv/bin/activate"] | ["pip", "wheel", "--no-deps", "."] | ["mypy"]:
            return ""
        case ["ruff", "check", "."] | ["ruff", "format", "--check", "."]:
            return ""
        case ["pip" | "%pip", "install", *wanted]:
            return "".join(f"nothing to install by '{one}'; " for one in wanted if not installable(one))
        case ["jupyter", "lab", path] | ["git", "checkout", path] | ["sphinx-build", path, _]:
            return lost([path])
        case ["python", "-m", "pytest", *arguments]:
            return pytest_complaint(arguments, config)
        case ["python", "-m", module, *_]:
            return "" if module in sys.stdlib_module_names else program_complaint(module, words)
        case ["python", script, *_]:
            return lost([script]) or usage_complaint(ROOT / script, words)
    return f"no test knows the command '{words[0]}'"


def installable(wanted: str) -> bool:
    """Whether an operand of ``pip install`` is an option, the checkout, our wheel, or a declared package."""
    extras = re.fullmatch(r"\.\[([\w,]+)\]", wanted)
    return {*extras[1].split(",")} <= {*EXTRAS} if extras else wanted in {"-e", ".", WHEEL, *PACKAGES}


def lost(paths: list[str]) -> str:
    """A complaint about paths that are missing in the checkout."""
    return "".join(f"there is no {path}; " for path in paths if not (ROOT / path).exists())


def pytest_complaint(arguments: list[str], config: pytest.Config) -> str:
    """Whether pytest has these options, each with a value, and the paths exist."""
    paths = []
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("-"):
            paths.append(argument)
            continue
        next(waiting)
        if argument not in OF_PLUGINS and config.getoption(argument, None) is None:
            return f"pytest has no option {argument}"
    return lost(paths)


def program_complaint(module: str, words: list[str]) -> str:
    """What one of our programs reports for these arguments."""
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations:
        spec = importlib.util.find_spec(f"{module}.__main__")
    if spec is None or spec.origin is None:
        return f"there is no module {module} to run"
    source = Path(spec.origin)
    if not re.search(r"^(import|from) .*\b(argparse|cli|command)\b", source.read_text(), re.MULTILINE):
        return usage_complaint(source, words)
    try:
        main = importlib.import_module(spec.name).main
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        pytest.skip(f"{module} needs {error.name}, which is not installed: pip install {error.name}")
    return parser_complaint(main, words)


def usage_complaint(source: Path, words: list[str]) -> str:
    """For programs without a parser: their docstring shows their usage."""
    usage = ast.get_docstring(ast.parse(source.read_text())) or ""
    start = " ".join(words[: 4 if words[1] == "-m" else 3])
    shown = re.search(rf"{re.escape(start)}\b", usage)
    return "" if shown else f"the docstring of {source.name} does not show '{start}'"


class Taken(BaseException):
    """Raised when a command line is parsed completely; the rest of the program is skipped."""


def parser_complaint(main: Any, words: list[str]) -> str:
    """What the parser of a program reports for these arguments; the program stops after parsing."""
    read, depth = argparse.ArgumentParser.parse_known_args, 0

    def parse_known_args(*arguments: Any, **options: Any) -> Any:
        nonlocal depth
        depth += 1  # the parser of a subcommand is inside the main parser
        try:
            result = read(*arguments, **options)
        finally:
            depth -= 1
        if depth == 0 and not result[1]:
            raise Taken
        return result

    said = io.StringIO()
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_known_args", parse_known_args),
        mock.patch.object(sys, "argv", words[2:]),
        contextlib.redirect_stderr(said),
    ):
        try:
            status = main()
        except Taken:
            return ""
        except SystemExit as end:
            status = end.code
        except Exception as error:
            status = error
    return f"{said.getvalue()}{status}" if status else ""
