"""A training step of a tiny network: ``python -m minidl bench small``, and the comparison. No figure is judged."""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import minidl
from minidl.__main__ import main
from minidl.bench import machine, small
from minidl.command import status
from minidl.errors import MinidlError
from tests.benchmarks.peers import small as comparison
from tests.benchmarks.peers.frameworks import PACKAGES

FEW = ["--rounds", "2", "--steps", "3"]


def bench(arguments: list[str]) -> int:
    return main(["bench", "small", *arguments])


def test_the_figure_of_minidl(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(FEW) == 0
    assert re.search(r"^minidl +\d+ \(\d+ to \d+\)$", capsys.readouterr().out, re.MULTILINE)
    assert bench([*FEW, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["rounds"], result["steps"], len(result["microseconds"]["minidl"]["rounds"])) == (2, 3, 2)


def test_the_table_of_the_comparison(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(comparison.FRAMEWORKS, "Another", ("no_such_framework", small.ours))
    assert comparison.main(FEW) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].startswith("minidl ")
    assert "Another: not installed: pip install no_such_framework" in printed


def test_json_of_the_comparison_with_every_round(capsys: pytest.CaptureFixture[str]) -> None:
    assert comparison.main([*FEW, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["microseconds"]["minidl"]["rounds"]) == 2
    installed = [name for name, (package, _) in comparison.FRAMEWORKS.items() if importlib.util.find_spec(package)]
    assert list(result["microseconds"]) == installed
    assert list(result["ratios"]) == installed[1:]


def test_the_network_learns() -> None:
    step = small.ours()
    first = step()
    assert [step() for _ in range(200)][-1] < first / 10


def test_another_loss_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"minidl": ("minidl", small.ours), "odd": ("json", lambda: lambda: 7.0)}
    monkeypatch.setattr(comparison, "FRAMEWORKS", both)
    with pytest.raises(MinidlError, match=r"compute different results.*'odd': 7\.0"):
        comparison.measure(rounds=1, steps=1)


@pytest.mark.parametrize("run", [bench, comparison.main])
def test_what_cannot_be_done(run: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(lambda: run(["--steps", "0"])) == 2
    assert "--steps must be >= 1, got 0" in capsys.readouterr().err


def test_the_library_imports_no_other_framework() -> None:
    """Those are in ``tests/benchmarks/peers``, which the wheel leaves out."""
    importing = re.compile(rf"^ *(?:import|from) (?:{'|'.join(PACKAGES)})\b", re.MULTILINE)
    sources = Path(minidl.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if importing.search(path.read_text())] == []
    assert not {*machine.PACKAGES} & {*PACKAGES}
