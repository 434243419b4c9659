"""What is shown of a training: one line on a terminal, a line for each epoch elsewhere."""

import io
import re
from typing import Any

import pytest

from minidl.callbacks import Progress

from .training import trained


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: Any, monkeypatch: pytest.MonkeyPatch, columns: int = 200, **until: int) -> str:
    """What a training writes, which shows every step."""
    monkeypatch.setenv("COLUMNS", str(columns))
    progress = Progress(stream)
    progress.shown = -1.0
    trained([progress], **until)
    return str(stream.getvalue())


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_progress_on_a_terminal_rewrites_one_line_and_elsewhere_writes_epochs_only(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(stream(), monkeypatch, epochs=2)
    assert text.count("\n") == 2
    assert "epoch 2/2" in text
    assert "val_accuracy" in text
    assert ("step 1/4" in text and "left" in text and "\x1b[2K" in text) == (stream is Terminal)


@pytest.mark.parametrize("width", [40, 80, 20])
def test_the_lines_of_a_training_fit_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = shown(Terminal(), monkeypatch, width, epochs=2)
    lines = re.split(r"[\r\n]|\x1b\[2K", text)
    assert max(map(len, lines)) < width
    assert "epoch 1/2" in lines[1 if lines[0] else 2]
    for fact in ("epoch 2/2", "val_accuracy", "val_loss"):
        assert fact in text, "of a whole epoch nothing is left out"


def test_progress_of_some_steps_counts_them_and_shows_how_far_the_last_epoch_got(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "epoch 1  step 1/6" in shown(Terminal(), monkeypatch, steps=6)
    lines = shown(io.StringIO(), monkeypatch, steps=6).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2 up to step 6"]
    assert "val_loss" not in lines[1]
