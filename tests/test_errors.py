"""docs/errors is correct: every mistake in it raises the complete message shown, and every fix works."""

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidl import backends, plugins
from minidl.testing.strict import StrictArray, StrictBackend

DOCS = Path(__file__).resolve().parents[1] / "docs"
START = (DOCS / "errors.md").read_text().partition("\n| ")[0]
PAGES = sorted((DOCS / "errors").glob("*.md"))
PARSER = doctest.DocTestParser()
MISTAKES = {
    section.partition("\n")[0].removeprefix("## "): PARSER.get_examples(section)
    for page in PAGES
    for section in re.split(r"^(?=## )", page.read_text(), flags=re.MULTILINE)[1:]
}


class OtherBackend(StrictBackend):
    """A stand-in for CuPy, so that the examples run, with the same messages, on every machine."""

    name = "cupy"


@pytest.fixture(autouse=True)
def somewhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty folder to write to, and no plugins except minidl's own and those of one example."""
    monkeypatch.chdir(tmp_path)
    for kind, known in plugins._registered.items():
        own = {name: plugin for name, plugin in known.items() if plugin.__module__.startswith("minidl.")}
        monkeypatch.setitem(plugins._registered, kind, own)
    plugins._registered["backend"] = {"numpy": type(backends.default), "cupy": OtherBackend}
    monkeypatch.setitem(backends._by_array_type, StrictArray, backends.default)
    backends._made.cache_clear()
    yield
    backends._made.cache_clear()


def run(title: str, examples: list[doctest.Example]) -> None:
    start = PARSER.get_examples(START)
    test = doctest.DocTest([*start, *examples], {}, title, title, 0, None)
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)  # without ELLIPSIS: compares the complete message
    assert not report, "".join(report)


@pytest.mark.parametrize("title", MISTAKES)
def test_the_message_is_the_one_that_is_shown(title: str) -> None:
    run(title, MISTAKES[title])


@pytest.mark.parametrize("title", MISTAKES)
def test_one_mistake_is_made_and_then_mended(title: str) -> None:
    mistake, mend = split(MISTAKES[title])
    assert mistake[-1].exc_msg is not None
    assert mend
    assert all(example.exc_msg is None for example in mend)


def test_there_are_enough_of_them() -> None:
    found = dict(
        re.findall(r"^\| \[.*\]\(errors/(\w+)\.md\) \| (\d+) \|$", (DOCS / "errors.md").read_text(), re.MULTILINE)
    )
    assert found == {page.stem: str(page.read_text().count("\n## ")) for page in PAGES}
    assert len(MISTAKES) == sum(map(int, found.values())) >= 36


def test_another_message_is_noticed() -> None:
    title = "Backward twice"
    mistake, _ = split(MISTAKES[title])
    mistake[-1] = doctest.Example(mistake[-1].source, "", "minidl.errors.GraphError: Sum: backward() ...\n")
    with pytest.raises(AssertionError, match="it was freed then"):
        run(title, mistake)


def split(examples: list[doctest.Example]) -> tuple[list[doctest.Example], list[doctest.Example]]:
    """The examples up to the first that raises an error, and those after it."""
    end = next((number for number, example in enumerate(examples, 1) if example.exc_msg is not None), len(examples))
    return examples[:end], examples[end:]
