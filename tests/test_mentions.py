"""Names in pages and messages exist: commands, options, functions, files, packages, environment variables."""

import contextlib
import importlib
import importlib.util
import io
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import agegender
import minidl as md
from agegender import evaluate, predict
from agegender import options as training
from minidl import nn, optim, plugins
from minidl.__main__ import BENCHES, parsers
from tests.command_lines import EXTRAS, PACKAGES, complaint
from tests.pages import PAGES, ROOT, commands, spans, strings

EXAMPLE = re.compile(r"^ *>>> .*?(?=\n *\n|\Z)", re.DOTALL | re.MULTILINE)
Texts = list[tuple[str, str]]
"""Texts, and their places."""


@cache
def messages() -> Texts:
    """Every string of the packages: with docstrings, but without their examples, which run elsewhere."""
    return [
        (f"{path.relative_to(ROOT)}:{line}", EXAMPLE.sub("", text))
        for package in (md, agegender)
        for path in sorted(Path(package.__path__[0]).rglob("*.py"))
        for line, text in strings(path)
    ]


@cache
def on_pages() -> Texts:
    """The text in backticks on the pages."""
    return [(name, span) for name, page in PAGES.items() for span in spans(page)]


WRITTEN = {
    "docs/_build/html": "the site",
    "docs/benchmarks-gpu.md": "what `python -m tests.benchmarks.gpu --write` writes on a GPU",
    "runs/": "the folder for what is trained",
    "plots/": "a part of a run",
    "mine/": "the answers of the reader of the notebooks",
}
"""Files that the checkout lacks, as a command writes them."""
PLACEHOLDER = re.compile(r"/(?:NAME|FILE|TOPIC)\b")
"""A part of a path that the reader replaces."""
OF_OTHERS = {"--minidl-checks": "pytest has it from minidl.testing.pytest_plugin", "--param": "g++", "--zstd": "tar"}
"""Options of programs that are not ours."""
NO_NAMES = {"minidl.sha256": "an entry in the metadata of a safetensors file", "optim.py": "a file"}
"""Texts that look like a name in a module, but are not."""


def said(pattern: str, where: Texts | None = None) -> Iterator[tuple[str, str]]:
    """Every occurrence of this pattern on the pages and in messages, or in other texts."""
    where = [*on_pages(), *messages()] if where is None else where
    return ((place, found) for place, text in where for found in re.findall(pattern, text))


def test_options_exist() -> None:
    there = options() | {*training.ELSEWHERE, *evaluate.ELSEWHERE, *predict.ELSEWHERE, *OF_OTHERS}
    without_pip = [(place, re.sub(r"pip \w+[^\n]*", "", text)) for place, text in [*on_pages(), *messages()]]
    options_said = said(r"(?<![\w-])--[a-z][\w-]*", without_pip)
    assert [(place, option) for place, option in options_said if option not in there] == []


def options() -> set[str]:
    """The options of all programs, from their --help."""
    calls = [("minidl.__main__", *words) for words in [*zip(parsers()[1]), *(("bench", what) for what in BENCHES)]]
    calls += [(f"tests.benchmarks.{name}",) for name in ("gpu.__main__", "peers.__main__", "peers.small")]
    calls += [("notebooks.build",)]
    calls += [(name,) for _, name, _ in pkgutil.walk_packages(agegender.__path__, "agegender.") if "__" not in name]
    shown = io.StringIO()
    for module, *words in calls:
        if main := getattr(importlib.import_module(module), "main", None):
            with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
                main([*words, "--help"])
    return {*re.findall(r"--[a-z][\w-]*", shown.getvalue())}


def test_what_is_to_be_run_exists(pytestconfig: pytest.Config) -> None:
    modules = [(place, name) for place, name in said(r"python -m (\w[\w.]*\w)") if "NAME" not in name]
    assert [(place, name) for place, name in modules if importlib.util.find_spec(name) is None] == []
    lines = [*said(r"``(python -m \w[^`]+)``"), *said(r"^python -m \w.+$", messages())]
    told = [(place, words) for place, line in lines if "NAME" not in line for words in commands(line)]
    wrong = [(place, complaint(words, pytestconfig)) for place, words in told]
    assert [(place, what) for place, what in wrong if what and "arguments are required" not in what] == []


SPACES = {"md": "minidl", "nn": "minidl.nn", "F": "minidl.nn.functional", "optim": "minidl.optim"}
IN_A_MODULE = r"(?<![\w.'/$])((?:md|nn|F|optim|minidl|agegender)(?:\.[A-Za-z_]\w*)+)"
GROUPS = {plugins.group(kind) for kind in plugins.KINDS}


def test_names_in_modules_exist() -> None:
    assert [(place, name) for place, name in said(IN_A_MODULE) if not exists(name)] == []


def exists(name: str) -> bool:
    first, _, rest = name.partition(".")
    if "NAME" in name or name in NO_NAMES or name in GROUPS:
        return True
    return known(lambda: pkgutil.resolve_name(f"{SPACES.get(first, first)}.{rest}"))


def known(look: Callable[[], object]) -> bool:
    """Whether a name exists, or belongs to another framework and has an equivalent."""
    try:
        look()
    except (AttributeError, ImportError) as error:
        return bool(re.search("PyTorch|Keras", str(error)))
    return True


def test_methods_exist() -> None:
    model = nn.Dense(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = md.Trainer(model, nn.functional.mse_loss, optimizer)
    things: dict[str, Any] = {"x": md.tensor([1.0]), "model": model, "optimizer": optimizer, "trainer": trainer}
    calls = said(rf"(?<![\w.])({'|'.join(things)})\.(\w+)\(")
    assert [(place, *call) for place, call in calls if not known(partial(getattr, things[call[0]], call[1]))] == []


def test_files_exist() -> None:
    paths = said(r"(?<![\w./-])(?:docs|tests|notebooks|minidl|agegender)/[\w./-]*\w")
    there = [(place, path) for place, path in paths if path not in WRITTEN and not PLACEHOLDER.search(path)]
    assert [(place, path) for place, path in there if not (ROOT / path).exists()] == []
    names = said(r"^\w[\w/-]*(?:/|\.(?:py|cuh?|hpp|toml|ipynb|md))$", on_pages())
    named = [(place, name) for place, name in names if name not in WRITTEN and not PLACEHOLDER.search(name)]
    assert [(place, name) for place, name in named if not any(ROOT.rglob(name))] == []


def test_environment_variables_are_read() -> None:
    literals = {text for _, text in messages()}
    assert [(place, name) for place, name in said(r"\bMINIDL_[A-Z_]+") if name not in literals] == []


def everything() -> Texts:
    """All texts for readers."""
    return [
        *((name, page.read_text()) for name, page in PAGES.items()),
        *((path.name, path.read_text()) for path in (ROOT / "notebooks").glob("*.ipynb")),
        *(
            (f"{path.relative_to(ROOT)}:{line}", text)
            for folder in ("minidl", "agegender", "tests", "notebooks", "docs")
            for path in sorted((ROOT / folder).rglob("*.py"))
            for line, text in strings(path)
        ),
    ]


def test_nobody_is_told_to_install_minidl_by_its_name_alone() -> None:
    """The package is on no index, where the name may belong to anyone; it is installed from a clone or a wheel."""
    assert list(said(r"pip install [^\n`&;#,]*?(?<![\w./-])(?:minidl|agegender)(?![\w-])", everything())) == []


def test_messages_name_the_package_that_is_missing() -> None:
    """It works in a clone and with a wheel, where ``pip install '.[extra]'`` finds nothing to install."""
    named = list(said(r"pip install (?:--[\w-]+ )*'?([\w.\[\]-]*)", messages()))
    assert named
    assert [(place, name) for place, name in named if name.replace("NAME", "") and name not in PACKAGES] == []


def test_cupy_is_named_as_the_extras_do() -> None:
    (message,) = (text for _, text in messages() if "needs CuPy" in text)
    wanted = {Requirement(text).name for extra in ("gpu", "gpu13") for text in EXTRAS[extra]}
    assert {*re.findall(r"cupy-\w+", message)} == wanted
    for name in ("README.md", "docs/guide/howto.md"):
        assert {*re.findall(r"cupy-\w+", PAGES[name].read_text())} == wanted


GLOSSARY = "docs/architecture.md"
SOURCES = {
    str(path.relative_to(ROOT)): path
    for package in ("minidl", "agegender")
    for path in sorted((ROOT / package).rglob("*"))
    if path.suffix in (".py", ".cu", ".cuh", ".hpp")
}


def words_that_are_out() -> list[str]:
    """The words in backticks in the last column of the glossary, "not called"."""
    glossary = PAGES[GLOSSARY].read_text().partition("\n## Words\n")[2]
    rows = re.findall(r"^\|.*\| ([^|]*) \|$", glossary, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def uses(word: str, text: str) -> list[str]:
    """The occurrences of a word in a text, on its own or as part of a name."""
    apart = " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).split())
    return re.findall(rf"(?<![a-z]){word}s?(?![a-z])", apart, re.IGNORECASE)


@pytest.mark.parametrize("word", words_that_are_out())
def test_a_word_that_is_out_is_not_used(word: str) -> None:
    texts = {name: path.read_text() for name, path in {**SOURCES, **PAGES}.items() if name != GLOSSARY}
    assert [name for name, text in texts.items() if uses(word, name) or uses(word, text)] == []


def test_words_that_are_out_are_found() -> None:
    assert {"recorder", "only_recordable", "upstream", "incoming gradient"} <= set(words_that_are_out())
    for text in ("class _CudaRecorder:", "the recorders", "x_recorder_", "Recorder"):
        assert uses("recorder", text)
    assert uses("incoming gradient", "the incoming\n    gradients")
    assert not uses("recorder", "prerecorder")
