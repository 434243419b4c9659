"""The documents say what is so: README's code runs, and the page of results is the one that its figures give."""

import importlib.util
import json
import operator
import re
from pathlib import Path
from types import ModuleType

import pytest

import minidl as md
from minidl import plugins

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def results() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", ROOT / "docs" / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_code_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 2
    assert "Conv2D" in capsys.readouterr().out
    assert names["x"].grad.tolist() == [2.0, 4.0, 6.0]  # type: ignore[attr-defined]


def test_the_results_are_those_that_were_measured(results: ModuleType) -> None:
    assert (ROOT / "docs" / "results.md").read_text() == results.page()
    assert (ROOT / "docs" / "benchmarks.md").read_text() == results.benchmarks()
    assert (ROOT / "README.md").read_text() == results.readme()
    assert (ROOT / "docs" / "gradients.md").read_text() == results.gradients()


def test_benchmarks_are_condensed_to_medians_and_notes(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "group": "data",
        "name": "test_open_it",
        "param": None,
        "stats": {"median": 0.5},
        "extra_info": {"images": 4},
    }
    (tmp_path / "given.json").write_text(json.dumps({"benchmarks": [given, given | {"param": "8", "extra_info": {}}]}))
    (tmp_path / "measured").mkdir()
    monkeypatch.setattr(results, "DOCS", tmp_path)
    results.condense(tmp_path / "given.json")
    assert results.timed().splitlines()[-2:] == ["| open it | 500 | 8 |", "| 8 | 500 |  |"]


def test_every_op_optimizer_and_schedule_stands_beside_pytorch() -> None:
    page = (ROOT / "docs" / "parity.md").read_text()
    for kind in ("op", "optimizer", "schedule"):
        for name in plugins.names(kind):
            assert re.search(rf"^(\| |- )`{name}` ", page, re.MULTILINE), f"run: python -m tests.parity.ops ({name})"


def test_nothing_but_drawn_faces_is_recorded_as_a_picture(results: ModuleType, tmp_path: Path) -> None:
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} <= {"drawn-examples.png", "drawn-curves.png"}


def test_the_page_on_plugins_lists_every_kind() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted((kind, plugins.group(kind)) for kind in plugins.KINDS)


LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_what_newcomers_are_told_to_use_exists() -> None:
    """Every name in the last column of the table of equivalents."""
    rows = [line for line in (ROOT / "docs" / "guide" / "faq.md").read_text().splitlines() if line.startswith("| ")]
    names = [name for row in rows for name in re.findall(r"`((?:md|nn|optim|F)\.[\w.]+)", row.split(" | ")[-1])]
    assert len(names) > 15
    spaces = {"md": md, "nn": md.nn, "optim": md.optim, "F": md.nn.functional}
    for name in names:
        space, _, path = name.partition(".")
        operator.attrgetter(path)(spaces[space])
