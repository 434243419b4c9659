"""Every public name has a docstring with an example, or points to one."""

import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import agegender
import minidl

WITHOUT = {
    "minidl.bench": "commands that measure: docs/benchmarks.md shows them",
    "minidl.doctor": "a command: tests/test_main.py runs it",
    "minidl.backends.cupy": "needs a GPU",
    "minidl.kernels.cupy": "needs a GPU: minidl.kernels.reference says what its functions give",
    "minidl.kernels.numpy": "faster ways to what minidl.kernels.reference says and shows",
    "minidl.testing.emulated": "a stand-in for CuPy: its module shows it",
    "minidl.testing.emulated_graph": "a stand-in for a part of CuPy: its module shows it",
    "minidl.testing.strict": "a stand-in for CuPy: its module shows it",
    "minidl.testing.examples": "the inputs of the checks",
    "minidl.course": "speaks to the readers of the notebooks, who run it",
    "minidl.testing.pytest_plugin": "hooks that pytest calls: tests/test_plugin_packages.py uses them",
    "minidl.train:TrainingError": "docs/errors/training.md shows it",
    "agegender.cli": "a command: tests/agegender/test_train_command.py runs it",
    "agegender.train": "a command: tests/agegender/test_train_command.py runs it",
    "agegender.evaluate": "a command: tests/agegender/test_evaluate_command.py runs it",
    "agegender.predict": "a command: tests/agegender/test_predict_command.py runs it",
    "agegender.people": "a part of agegender.predict",
    "agegender.report.evaluation": "a part of agegender.evaluate",
    "agegender.report.comparison:lines": "a part of agegender.evaluate",
    "agegender.report.comparison:page": "a part of agegender.evaluate",
    "agegender.faces.detect": "needs photos: tests/agegender/test_predict_command.py has one",
    "agegender.options": "a part of agegender.train",
    "agegender.resolve": "a part of agegender.train",
    "agegender.parts": "a part of agegender.train",
    "agegender.runs": "a part of agegender.train",
    "agegender.report.results:summarize": "a part of agegender.train",
    "agegender.report.speaker": "a part of agegender.train",
    "agegender.report.watching": "a part of agegender.train",
    "agegender.report.pictures": "a part of agegender.train",
    "agegender.report.results:next_steps": "a part of agegender.train",
    "agegender.data.inspect": "a command: README.md shows it",
    "agegender.data:open": "fills the user's cache: README.md shows it",
    "agegender.data:drawn": "fills the user's cache: agegender.data.drawn.draw is shown",
    "agegender.data.places:find": "looks into the user's folders",
    "agegender.data.places:found": "looks into the user's folders",
}
"""Modules, and names in modules, that need no example, and why."""


def modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__") and not excused(found.name):
            yield importlib.import_module(found.name)


def excused(name: str) -> bool:
    return any(name == listed or name.startswith((f"{listed}.", f"{listed}:")) for listed in WITHOUT)


PUBLIC = {
    f"{module.__name__}:{name}": thing
    for module in [*modules(minidl), *modules(agegender)]
    for name, thing in vars(module).items()
    if not name.startswith("_")
    and (inspect.isclass(thing) or inspect.isfunction(thing))
    and thing.__module__ == module.__name__
}


def test_public_names_have_docstrings() -> None:
    assert [name for name, thing in PUBLIC.items() if not docstring(thing)] == []
    parts = [
        f"{name}.{part}"
        for name, thing in PUBLIC.items()
        for part in members(thing)
        if not inspect.getdoc(getattr(thing, part))  # or the docstring of the method that it overrides
    ]
    assert parts == []


def test_public_names_are_shown() -> None:
    hidden = [name for name, thing in PUBLIC.items() if not excused(name) and not is_shown(thing)]
    assert hidden == [], "give each an example, or point to one: see :func:`that_one`"


def test_an_example_shows_a_result() -> None:
    """One without output only fails by an error, which is what ``outliving_terminal`` prevents."""
    texts = {name: docstring(thing) for name, thing in PUBLIC.items()}
    texts |= {module.__name__: module.__doc__ or "" for module in sys.modules.values() if _is_ours(module)}
    examples = {name: doctest.DocTestParser().get_examples(text) for name, text in texts.items()}
    silent = [name for name, shown in examples.items() if shown and not any(example.want for example in shown)]
    assert silent == ["minidl.command:outliving_terminal"]


def _is_ours(module: ModuleType) -> bool:
    return module.__name__.partition(".")[0] in ("minidl", "agegender")


def test_references_lead_somewhere() -> None:
    lost = []
    for name, thing in PUBLIC.items():
        for target in references(text(thing)):
            try:
                resolve(target, thing)
            except (AttributeError, ImportError):
                lost.append(f"{name}: {target}")
    assert lost == []


def test_what_needs_no_example_exists_and_has_none() -> None:
    for name in WITHOUT:
        thing = pkgutil.resolve_name(name)
        assert isinstance(thing, ModuleType) or not is_shown(thing), f"{name} is shown: take it off the list"


def test_a_hidden_name_is_noticed() -> None:
    def alone() -> None:
        """Has a docstring without an example; neither has :func:`excused`, which it points to."""

    assert not is_shown(alone)
    alone.__doc__ = "See :func:`minidl.nn.functional.relu`."
    assert is_shown(alone)


def is_shown(thing: Any, seen: frozenset[str] = frozenset()) -> bool:
    """Whether an example is in a docstring, in one that it points to, or under the name in the module's docstring."""
    lines = re.findall(r"^ *(?:>>>|\.\.\.) (.*)", importlib.import_module(thing.__module__).__doc__ or "", re.MULTILINE)
    if ">>>" in text(thing) or any(re.search(rf"\b{thing.__name__}\b", line) for line in lines):
        return True
    targets = references(text(thing)) - seen
    return any(leads_to_an_example(resolve(target, thing), seen | targets) for target in targets)


def leads_to_an_example(found: Any, seen: frozenset[str]) -> bool:
    if inspect.isclass(found) and issubclass(found, BaseException):
        return False  # an error class does not show what raises it
    return is_shown(found, seen) if hasattr(found, "__module__") else ">>>" in (found.__doc__ or "")


def text(thing: Any) -> str:
    """The docstrings of a function, or of a class with its own methods and properties, not those of a base class."""
    parts = [vars(thing)[part] for part in members(thing)] if inspect.isclass(thing) else []
    return "\n".join([docstring(thing), *(part.__doc__ or "" for part in parts)])


def docstring(thing: Any) -> str:
    return (vars(thing)["__doc__"] if inspect.isclass(thing) else thing.__doc__) or ""


def members(thing: Any) -> list[str]:
    """The public methods and properties that a class itself defines."""
    kinds = (property, classmethod, staticmethod, FunctionType)
    defined = vars(thing).items() if inspect.isclass(thing) else ()
    return [name for name, part in defined if not name.startswith("_") and isinstance(part, kinds)]


def references(text: str) -> frozenset[str]:
    return frozenset(re.findall(r":(?:func|class|meth|mod):`([\w.]+)`", text))


def resolve(target: str, thing: Any) -> Any:
    """What a reference in a docstring means: a name in its module, a member of the class, or a full path."""
    first = target.partition(".")[0]
    if hasattr(importlib.import_module(thing.__module__), first):
        return pkgutil.resolve_name(f"{thing.__module__}:{target}")
    if hasattr(thing, first):
        return pkgutil.resolve_name(f"{thing.__module__}:{thing.__qualname__}.{target}")
    return pkgutil.resolve_name(target)
