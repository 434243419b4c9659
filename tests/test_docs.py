"""The documents are correct: the page of results matches its figures, and every page is linked."""

import ast
import importlib
import importlib.util
import json
import operator
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import agegender
import minidl as md
from minidl import plugins
from tests.pages import FENCED, PAGES, ROOT


@pytest.fixture(scope="module")
def results() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", ROOT / "docs" / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_results_are_those_that_were_measured(results: ModuleType) -> None:
    assert (ROOT / "docs" / "results.md").read_text() == results.page()
    assert (ROOT / "docs" / "benchmarks.md").read_text() == results.benchmarks()
    assert (ROOT / "README.md").read_text() == results.readme()
    assert (ROOT / "docs" / "gradients.md").read_text() == results.gradients()


def test_the_tables_of_equivalents_are_those_of_the_answers(results: ModuleType) -> None:
    assert (ROOT / "docs" / "guide" / "faq.md").read_text() == results.faq(), "run: python -m docs.results page"


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


@pytest.mark.parametrize("name", [name for kind in ("op", "optimizer", "schedule") for name in plugins.names(kind)])
def test_every_op_optimizer_and_schedule_stands_beside_pytorch(name: str) -> None:
    page = (ROOT / "docs" / "parity.md").read_text()
    stands_there = re.search(rf"^(\| |- )`{name}` ", page, re.MULTILINE) is not None
    assert stands_there, "run: pip install torch && python -m tests.parity.ops"


def test_nothing_but_drawn_faces_is_recorded_as_a_picture(results: ModuleType, tmp_path: Path) -> None:
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} <= {"drawn-examples.png", "drawn-curves.png"}


def test_the_page_on_plugins_lists_every_kind() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted((kind, plugins.group(kind)) for kind in plugins.KINDS)


REFERENCE = {
    module
    for page in (ROOT / "docs" / "guide").glob("api*.md")
    for module in re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(), re.MULTILINE)
}
LEFT_OUT = {
    r"minidl": "its names are those of the modules below",
    r"minidl\.ops\..+": "minidl.ops has all of them",
    r"minidl\.(optimizer|schedules|clipping)": "minidl.optim has all of them",
    r"minidl\.nn": "its names are those of the modules below",
    r"minidl\.nn\.fusion": "what Sequential does inside",
    r"minidl\.backends\.(numpy|cupy)": "what the base class says, made fast",
    r"minidl\.backends\.cuda_graph": "how minidl.capture does its work",
    r"minidl\.kernels(\.(reference|cupy|numpy|conv)(\..+)?)?": "explained by the pages on kernels and convolution",
    r"minidl\.(batching|dataset)": "minidl.data has what is public of it",
    r"minidl\.sources": "how minidl.traits reads code",
    r"minidl\.bench(\.(small|machine))?": "commands, which say themselves what they do: --help",
    r"minidl\.testing\.(arrays|check_\w+|checks|kit|gradcheck|subjects)": "minidl.testing has what is public of them",
    r"minidl\.testing\.(strict|emulated|emulated_graph|examples|pytest_plugin)": "for minidl's own tests",
    r"minidl\.course\..+": "minidl.course has all of them",
    r"minidl\.ufuncs": "what NumPy is told of tensors, without names for others",
    r"minidl\.(nested|interrupt|options|contexts|shortcuts)": "for the own use of minidl",
    r"minidl\.nn\.inputs": "for the own use of layers",
    r"minidl\.(attributes|hooks|op_errors)": "what errors say of classes that users write",
    r"minidl\.(habits|answers|equivalents|equivalent_arguments|left_out)": "what errors say: docs/guide/faq.md has it",
    r"agegender": "has no names of its own",
    r"agegender\.(hangup|json_files)": "for the own use of its commands",
    r"agegender\.(report|runs)": "has no names of its own",
    r"agegender\.data\.(drawn|faces|split)": "agegender.data has what is public of them",
    r"agegender\.data\.(cache|decode|files|names|person|utkface)": "how open() and drawn() do their work",
    r"agegender\.data\.(archives|folder|kinds|places|sources)": "where open() and found() look",
}
"""Modules without an entry in the reference, and why."""


def test_the_reference_leaves_out_no_public_module() -> None:
    found = {
        module.name
        for package in (md, agegender)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith("__main__")
    } | {"minidl", "agegender"}
    assert sorted(found - REFERENCE - {name for name in found if any(re.fullmatch(p, name) for p in LEFT_OUT)}) == []
    assert sorted(REFERENCE - found) == []
    useless = [p for p in LEFT_OUT if not any(re.fullmatch(p, name) for name in found - REFERENCE)]
    assert useless == []


def is_public(module: str, name: str) -> bool:
    """Whether the reference has a name of a module of minidl, or the module that the name is."""
    if f"{module}.{name}" in REFERENCE:
        return True
    there = importlib.import_module(module)
    names = getattr(there, "__all__", [own for own, thing in vars(there).items() if _is_defined_in(there, own, thing)])
    return name in names and (module in REFERENCE or module in ("minidl", "minidl.nn"))


def _is_defined_in(module: ModuleType, name: str, thing: object) -> bool:
    return not name.startswith("_") and getattr(thing, "__module__", module.__name__) == module.__name__


def uses(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The modules of minidl and the names in them that a module imports, or uses as in ``md.nn.Module``."""
    called = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            called |= {one.asname or one.name: one.name for one in node.names if one.name.split(".")[0] == "minidl"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minidl" and not node.level:
            yield from ((str(node.module), one.name) for one in node.names)
            modules = ((one.asname or one.name, f"{node.module}.{one.name}") for one in node.names)
            called |= {name: full for name, full in modules if full in sys.modules}
    yield from ((full.rpartition(".")[0] or full, full.rpartition(".")[2]) for full in called.values() if "." in full)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            module, _, name = ast.unparse(node).rpartition(".")
            first, _, rest = module.partition(".")
            full = ".".join(filter(None, (called.get(first, ""), rest)))
            if first in called and full in sys.modules:
                yield full, name


@pytest.mark.parametrize("path", sorted((ROOT / "agegender").rglob("*.py")), ids=lambda path: path.stem)
def test_agegender_uses_the_public_names_of_minidl_alone(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert [f"{module}.{name}" for module, name in uses(tree) if not is_public(module, name)] == []


def test_agegender_uses_no_private_attribute_of_others() -> None:
    trees = [ast.parse(path.read_text()) for path in (ROOT / "agegender").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    defined |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr)]
    defined |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    assert {node.attr for node in attributes} - defined <= {"_asdict", "_fields", "_replace"}, "those are of NamedTuple"


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    trees = re.findall(r"```\{toctree\}.*?```", (docs / "index.md").read_text(), re.DOTALL)
    listed = [line for tree in trees for line in tree.splitlines() if re.fullmatch(r"[\w/-]+", line)]
    pages = [page.relative_to(docs) for page in PAGES.values() if page.is_relative_to(docs)]
    assert sorted(listed) == sorted(str(page.with_suffix("")) for page in pages if page.name != "index.md")


def test_the_drawing_names_what_exists() -> None:
    drawing = (ROOT / "docs" / "architecture.svg").read_text()
    titles = re.findall(r'font-weight="bold">([^<]+)<', drawing)
    assert len(titles) >= 8
    for title in titles:
        for name in title.split(", "):
            importlib.import_module(name if name.startswith(("minidl", "agegender")) else f"minidl.{name}")


LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.parametrize("page", PAGES)
def test_links_between_files_lead_somewhere(page: str) -> None:
    here = PAGES[page]
    missing = []
    for path, anchor in LINK.findall(here.read_text()):
        target = here.parent / path if path else here
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{path}#{anchor}")
    assert missing == []


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.+)", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_table_says_what_its_first_column_is(page: str) -> None:
    assert re.findall(r"^\|\s*\|.*\n\| ?---", PAGES[page].read_text(), re.MULTILINE) == []


def test_what_newcomers_are_told_to_use_exists() -> None:
    """Every name in the last column of the tables of equivalents."""
    rows = [line for line in (ROOT / "docs" / "guide" / "faq.md").read_text().splitlines() if line.startswith("| ")]
    last = [row.split(" | ")[-1] for row in rows]
    names = [
        name
        for cell in last
        for name in re.findall(r"\b(?:md|nn|optim|init|F|x|model|optimizer)\.[a-zA-Z_]\w*(?:\.\w+)*", cell)
    ]
    assert len(names) > 100
    x, model = md.tensor([[1.0]], requires_grad=True), md.nn.Dense(1, 1)
    optimizer = md.optim.SGD(model.parameters())
    spaces = {"md": md, "nn": md.nn, "optim": md.optim, "init": md.nn.init, "F": md.nn.functional}
    spaces |= {"x": x, "model": model, "optimizer": optimizer}
    for name in names:
        space, _, path = name.partition(".")
        operator.attrgetter(path)(spaces[space])
