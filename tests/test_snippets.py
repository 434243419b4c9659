"""Every code block of the documentation works: Python runs page by page, and commands are parsed."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

import minidl as md
from agegender import models
from minidl import plugins
from tests.command_lines import PROJECT, complaint
from tests.pages import PAGES, ROOT, Block, blocks, commands, run, spans

ELSEWHERE = {name for name in PAGES if name.startswith("docs/errors/")}
"""Pages whose Python runs in another test: tests/test_errors.py, mistake by mistake."""
TEMPLATE = ROOT / "tests" / "plugins" / "minidl-example" / "pyproject.toml"


def of(language: str, page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == language]


def start(name: str) -> list[Path]:
    """The page whose Python runs before the pages of a folder: docs/convolution.md for docs/convolution/."""
    return [page for page in PAGES.values() if page.with_suffix("") == PAGES[name].parent]


@pytest.fixture
def like_a_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new folder and a new cache; plugins that a page registers are removed at its end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(plugins, "_registered", {kind: dict(known) for kind, known in plugins._registered.items()})


def leave_a_run(folder: Path) -> None:
    """The part of the output of ``python -m agegender.train --name NAME`` that a page needs."""
    folder.mkdir(parents=True)
    md.save(folder / "best.safetensors", models.build("documented").state_dict())


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if of("python", page) and name not in ELSEWHERE])
@pytest.mark.usefixtures("like_a_reader")
def test_the_python_of_a_page_runs_in_order(name: str) -> None:
    if name == "docs/plugins.md" and shutil.which("g++") is None:
        pytest.skip("one of its examples is a CUDA kernel, which g++ compiles for the processor, and g++ is missing")
    if "runs/NAME/" in PAGES[name].read_text():
        leave_a_run(Path("runs/NAME"))
    names: dict[str, Any] = {"__name__": "__main__"}
    for page in [*start(name), PAGES[name]]:
        for block in of("python", page):
            run(block, names, page)


PROGRAMS = re.compile(r"(python|%?pip|jupyter|git|sphinx-build) ")
COMMANDS = {
    tuple(command): name
    for name, page in PAGES.items()
    for line in [
        *(line for block in of("sh", page) for line in block.code.splitlines()),
        *filter(PROGRAMS.match, spans(page)),
    ]
    for command in commands(line)
}
"""The words of every command, once, and a page that contains it."""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_a_page_can_be_given(command: tuple[str, ...], pytestconfig: pytest.Config) -> None:
    wrong = complaint([*command], pytestconfig)
    assert not wrong, f"{COMMANDS[command]}: {wrong}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("python -m agegender.train --epoch 3", "--epoch.* Did you mean '--epochs'"),
        ("python -m agegender.trian", "no module agegender.trian"),
        ("python -m minidl docter", "Did you mean 'doctor'"),
        ("python -m minidl bench con", "con"),
        ("python -m minidl bench conv --filtres 3", "--filtres"),
        ("python -m notebooks.build --chek", "--chek"),
        ("python -m tests.mutations", "no module tests.mutations"),
        ("python -m pytest tests/benchmark", "no tests/benchmark"),
        ("python -m pytest --minidl-check minidl-example", "no option --minidl-check"),
        ("python docs/result.py page", "no docs/result.py"),
        ("python -m docs.results pages", "does not show 'python -m docs.results pages'"),
        ("python -m minidl bench small --json > docs/measure/small.json", "no folder for docs/measure"),
        ("pip install -e '.[gpus]'", "nothing to install"),
        (f"pip install {PROJECT['name']}", "nothing to install"),
        ("conda install cupy", "no test knows"),
    ],
)
def test_a_command_that_cannot_be_given_is_noticed(line: str, says: str, pytestconfig: pytest.Config) -> None:
    (command,) = commands(line)
    assert re.search(says, complaint(command, pytestconfig))


def test_what_a_page_shows_of_a_pyproject_stands_in_the_template() -> None:
    shown = [block for page in PAGES.values() for block in of("toml", page)]
    assert shown
    for block in shown:
        assert tomllib.loads(block.code)
        assert {*block.code.splitlines()} <= {*TEMPLATE.read_text().splitlines()}


def test_every_block_says_what_it_is() -> None:
    """Sphinx interprets a language in braces; text is for formulas and drawings."""
    languages = {block.language for page in PAGES.values() for block in blocks(page)}
    assert {language for language in languages if not re.fullmatch(r"\{[\w-]+\}", language)} <= {
        "python",
        "sh",
        "toml",
        "text",
    }
