"""Answers to the exercises as students type them into the blank: right ones, and wrong ones with part of their hint.

Each module is named after one of :mod:`minidl.course` and has two dictionaries. ``RIGHT`` lists answers by the name of
the exercise, ``WRONG`` pairs of an answer and a part of the text that its checker prints. An answer stands for the
blank, at any indentation; ``np``, ``md``, ``F`` and the other exercises are known, as in the notebooks.
"""

import importlib
import pkgutil
import re
from textwrap import dedent
from typing import Any

import numpy as np

import minidl as md
from minidl import course
from notebooks import build

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
RIGHT: dict[str, list[str]] = {name: answers for module in _MODULES for name, answers in module.RIGHT.items()}
WRONG: dict[str, list[tuple[str, str]]] = {
    name: answers for module in _MODULES for name, answers in module.WRONG.items()
}

SOLVED = {name: (build.SOLUTIONS / f"{name}.py").read_text(encoding="utf-8") for name in build.names()}
FUNCTIONS = {
    checker: (notebook, function)
    for notebook, solved in SOLVED.items()
    for function, checker in re.findall(r"^(\w+) = course\.check_(\w+)\(", solved, re.MULTILINE)
}
"""The notebook of each exercise, and the name of the function there."""
CHECKERS = sorted(FUNCTIONS)


def solution(checker: str) -> Any:
    """minidl's own version of an exercise."""
    return getattr(course, f"check_{checker}").solution


def typed(checker: str, answer: str) -> Any:
    """The function of the notebook with a student's answer in place of its blank."""
    notebook, function = FUNCTIONS[checker]
    script = build.student_version(SOLVED[notebook])
    (blank,) = re.findall(rf"^def {function}\(.*?^    \.\.\.  # your code here\n", script, re.MULTILINE | re.DOTALL)
    others = {name: solution(other) for other, (_, name) in FUNCTIONS.items() if other != checker}
    names: dict[str, Any] = {"np": np, "md": md, "F": md.nn.functional} | others
    exec(blank.replace("...  # your code here", dedent(answer).strip().replace("\n", "\n    ")), names)
    return names[function]
