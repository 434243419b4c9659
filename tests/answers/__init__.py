"""Answers to the exercises as students type them into the blank: right ones, and wrong ones with part of their hint.

Each module is named after one of :mod:`minidl.course` and has two dictionaries. ``RIGHT`` lists answers by the name of
the exercise, ``WRONG`` pairs of an answer and a part of the text that its checker prints. An answer stands for the
blank, at any indentation; ``np``, ``md`` and ``F`` are known, as in the notebooks.
"""

import importlib
import pkgutil

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
RIGHT: dict[str, list[str]] = {name: answers for module in _MODULES for name, answers in module.RIGHT.items()}
WRONG: dict[str, list[tuple[str, str]]] = {
    name: answers for module in _MODULES for name, answers in module.WRONG.items()
}
