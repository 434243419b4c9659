"""A test run deselects tests that need a GPU or are slow, unless selected, with one line for each reason."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from . import conftest, devices

ROOT = Path(__file__).parents[1]
ALL = ["fast", "gpu", "slow"]


def kept(arguments: list[str], markers: str = "") -> tuple[list[str], list[str]]:
    """Which of three tests run, and the lines about the others."""
    config: Any = SimpleNamespace(args=arguments, option=SimpleNamespace(markexpr=markers), stash=pytest.Stash())
    config.hook = SimpleNamespace(pytest_deselected=lambda items: None)
    names = {
        name: type(name, (), {"get_closest_marker": lambda self, marker, name=name: marker == name})() for name in ALL
    }
    items: Any = list(names.values())
    conftest.pytest_collection_modifyitems(config, items)
    return [name for name, item in names.items() if item in items], [
        *conftest.not_run(config.stash[conftest.LEFT_OUT], [])
    ]


@pytest.mark.parametrize("problem", [None, "no card"])
def test_what_is_left_out_is_told_and_can_be_asked_for(problem: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu_problem", lambda: problem)
    without = ["1 test for a GPU with CuPy: python -m tests.gpu runs them"] if problem else []
    with_card = ["gpu"] * (problem is None)
    slow = "1 test marked slow: python -m pytest -m slow runs them"
    names, lines = kept(["tests"])
    assert (names, sorted(lines)) == (["fast", *with_card], [*without, slow])
    assert kept(["tests"], "slow") == (["fast", *with_card, "slow"], without)
    assert kept(["tests/test_x.py::test_y"]) == (["fast", *with_card, "slow"], without)
    assert kept(["tests"], "gpu") == (ALL, [])


def test_skipped_tests_are_counted_by_their_reasons() -> None:
    def skipped(path: str, reason: str) -> Any:
        return SimpleNamespace(longrepr=(path, 1, f"Skipped: {reason}"))

    reports = [skipped("tests/test_fuzz.py", "no PyTorch"), skipped("/minidl/testing/kit.py", "no parameters")]
    reports += [
        skipped("tests/parity/test_ops.py", "no PyTorch"),
        skipped(r"C:\minidl\testing\kit.py", "for NumPy only"),
    ]
    assert list(conftest.not_run({"gpu": 446}, reports)) == [
        "446 tests for a GPU with CuPy: python -m tests.gpu runs them",
        "2 tests skipped: no PyTorch",
        "2 checks of the kit with nothing to check: -rs lists them",
    ]


@pytest.mark.parametrize(
    ("options", "processes"),
    [
        ({}, "auto"),
        ({"numprocesses": 0}, 0),
        ({"keyword": "conv"}, None),
        ({"markexpr": "gpu"}, None),
        ({"lf": True}, None),
        ({"collectonly": True}, None),
        ({"args_source": pytest.Config.ArgsSource.ARGS}, None),
        ({"workerinput": {}}, None),
    ],
)
def test_a_run_of_everything_takes_all_cores(options: dict[str, Any], processes: Any) -> None:
    given = dict.fromkeys(("keyword", "markexpr"), "") | dict.fromkeys(("numprocesses", "maxprocesses"))
    option = SimpleNamespace(**given | {"collectonly": False, "dist": "no"} | options)
    plugins = SimpleNamespace(hasplugin={"xdist"}.__contains__)
    config: Any = SimpleNamespace(option=option, args_source=pytest.Config.ArgsSource.TESTPATHS, pluginmanager=plugins)
    vars(config).update({name: options[name] for name in ("args_source", "workerinput") if name in options})
    conftest.pytest_cmdline_main(config)
    assert (option.numprocesses, option.dist) == (processes, "worksteal" if processes == "auto" else "no")


def test_the_marker_alone_decides_what_needs_pytorch() -> None:
    """``.ci/run`` runs what is marked: a test that skips itself without PyTorch would run nowhere."""
    skipping = re.compile(r"importorskip\(.torch|find_spec\(.torch")
    files = [path for path in ROOT.glob("tests/**/*.py") if path.name != "conftest.py"]
    assert [path.name for path in files if skipping.search(path.read_text())] == []
