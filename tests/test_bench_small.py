"""``python -m minidl bench small``: all frameworks train the same tiny network. No figure is judged."""

import importlib.util
import json

import pytest

from minidl.__main__ import main
from minidl.bench import small
from minidl.command import status
from minidl.errors import MinidlError


def test_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(small.FRAMEWORKS, "Another", ("no_such_framework", small.ours))
    assert main(["bench", "small", "--rounds", "2", "--steps", "3"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].startswith("minidl ")
    assert "Another: not installed: pip install no_such_framework" in printed


def test_json_with_every_round(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "small", "--rounds", "2", "--steps", "3", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["microseconds"]["minidl"]["rounds"]) == 2
    installed = [name for name, (package, _) in small.FRAMEWORKS.items() if importlib.util.find_spec(package)]
    assert list(result["microseconds"]) == installed
    assert list(result["ratios"]) == installed[1:]


def test_the_network_learns() -> None:
    step = small.ours()
    first = step()
    assert [step() for _ in range(200)][-1] < first / 10


def test_another_loss_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "FRAMEWORKS", {"minidl": ("minidl", small.ours), "odd": ("json", lambda: lambda: 7.0)})
    with pytest.raises(MinidlError, match=r"compute different results.*'odd': 7\.0"):
        small.measure(rounds=1, steps=1)


def test_what_cannot_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(lambda: main(["bench", "small", "--steps", "0"])) == 2
    assert "--steps must be >= 1, got 0" in capsys.readouterr().err
