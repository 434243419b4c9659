"""``python -m tests.benchmarks.peers``: its output and its errors. No figure is judged."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl.command import status
from minidl.errors import MinidlError
from tests.benchmarks import peers
from tests.benchmarks.peers import frameworks, ours, race
from tests.benchmarks.peers.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
QUICK = ["--batch-size", "1", "--rounds", "2", "--steps", "1", "--threads", "1"]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "PAUSE", 0.0)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the workers


def measured(capfd: pytest.CaptureFixture[str], names: Sequence[str]) -> dict[str, Any]:
    assert main([*QUICK, "--json", "--peers", *names]) == 0
    result: dict[str, Any] = json.loads(capfd.readouterr().out)
    return result


def test_rates_and_memory_of_minidl(capfd: pytest.CaptureFixture[str]) -> None:
    result = measured(capfd, ["minidl"])
    assert result["machine"]["packages"]["minidl"]
    (peer,) = result["peers"].values()
    for task in ("train", "predict"):
        assert len(peer[task]["rounds"]) == 2
        assert peer[task]["median"] == pytest.approx(np.mean(peer[task]["rounds"]))
        assert "ratio" not in peer[task]
    # The first step allocates the gradients, the means of Adam and the activations: at least 3 x 20 MB.
    assert peer["memory_mib"]["peak"] > peer["memory_mib"]["model"] + 50


@pytest.mark.parity
def test_pytorch_computes_the_same_and_gets_a_ratio(capfd: pytest.CaptureFixture[str]) -> None:
    result = measured(capfd, ["pytorch_channels_last"])
    assert list(result["peers"]) == ["minidl", "pytorch_channels_last"]
    mine, peer = (of["train"] for of in result["peers"].values())
    assert peer["ratio"] == mine["median"] / peer["median"]
    low, high = sorted(one / other for one, other in zip(mine["rounds"], peer["rounds"], strict=True))
    assert peer["ratio_quartiles"] == pytest.approx([low + (high - low) / 4, high - (high - low) / 4])
    assert peers.rows(result)[1][0] == "PyTorch, channels_last"


def test_the_table_and_what_is_not_installed(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = replace(frameworks.FRAMEWORKS["jax"], packages=("no_such_framework",))
    monkeypatch.setitem(frameworks.FRAMEWORKS, "jax", missing)
    assert main([*QUICK, "--peers", "jax"]) == 0
    printed = capfd.readouterr().out
    assert printed.splitlines()[1].startswith("minidl ")
    assert "JAX, jit: not installed: pip install no_such_framework" in printed


def test_another_loss_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = race._losses(1)
    monkeypatch.setattr(race, "_losses", lambda size: [expected[0], expected[1] * 1.01])
    with pytest.raises(MinidlError, match="minidl does not compute the same as minidl"):
        race.measure(["minidl"], batch_size=1, rounds=1, steps=1, threads=1)


def test_a_worker_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(race.FRAMEWORKS, "broken", frameworks.Framework("broken", "no_such_module"))
    with pytest.raises(MinidlError, match="broken stopped with status 1"):
        race.measure(["broken"], batch_size=1, rounds=1, steps=1, threads=1)
    assert "KeyError: 'broken'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--rounds", "0"], "--rounds must be >= 1, got 0"), (["--write", "elsewhere"], "it has no results.py")],
)
def test_what_cannot_be_done(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(lambda: main([*QUICK, *options])) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin processes to cores")
def test_workers_are_pinned_and_the_caller_is_not() -> None:
    before = os.sched_getaffinity(0)
    with race._pinned(1):
        inside = subprocess.check_output([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], text=True)
    assert inside.strip() == str({min(before)})
    assert os.sched_getaffinity(0) == before


def test_the_weights_leave_the_threads_of_blas_alone() -> None:
    """minidl limits BLAS to one thread while it computes; a peer that computes with NumPy must keep its own setting."""
    from minidl import threads

    threads._single_threaded_blas.cache_clear()
    ours.weights(seed=0)
    assert threads._single_threaded_blas.cache_info().currsize == 0


def test_import_minidl_leaves_out_the_benchmarks_and_the_table_of_equivalents() -> None:
    left_out = ("minidl.bench", "minidl.equivalents")
    code = f"import sys, minidl; print([name for name in sys.modules if name.startswith({left_out})])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
