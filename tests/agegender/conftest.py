"""Fixtures for the tests of the training command."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import Command, Done, Small
from pictures import files, write_folder

import minidl as md
from agegender import data, tasks, train
from agegender.data import places
from agegender.report import figures
from agegender.report.pictures import Pictures
from minidl.command import run as carry_out


@pytest.fixture(scope="session")
def utkface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), files(30))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("UTKFACE", raising=False)
    monkeypatch.setattr(places, "KAGGLE_INPUT", tmp_path / "no-kaggle")
    monkeypatch.setattr(data, "drawn", partial(data.drawn, 40))  # drawing 2000 faces takes seconds
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process, like ``__main__``."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as ended:
            carry_out(lambda: train.main([str(argument) for argument in arguments]))
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def small(utkface: Path) -> tuple[object, ...]:
    """Options of a run that takes a second, with four steps per epoch."""
    md.plugins.register("model", "small")(Small)
    return ("--data", utkface, "--model", "small", "--batch-size", 7, "--epochs", 2)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable plots: runs take a tenth of the time."""
    blank = SimpleNamespace(savefig=lambda path, **options: path.touch())
    monkeypatch.setattr(figures, "learning_curves", lambda *given: blank)

    def examples(pictures: Pictures, *_: object) -> None:
        with pictures.drawing("examples.png") as path:
            path.touch()

    monkeypatch.setattr(Pictures, "examples", examples)


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Send this process a signal, or raise an error, in the n-th call of the loss, counted from 1."""

    def stop(call: int, how: signal.Signals | BaseException = signal.SIGINT, original: Any = tasks.loss) -> None:
        calls = []

        def loss(outputs: Any, targets: Any) -> Any:
            calls.append(1)
            if len(calls) == call:
                if isinstance(how, BaseException):
                    raise how
                os.kill(os.getpid(), how)
            return original(outputs, targets)

        monkeypatch.setattr(tasks, "loss", loss)

    return stop
