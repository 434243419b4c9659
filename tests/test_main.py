"""``python -m minidl``: the doctor, and errors for bad input."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidl import doctor, plugins
from minidl.__main__ import main
from minidl.command import status
from minidl.errors import BackendError
from minidl.testing.gradcheck import GradientError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["docter"], "there is no command 'docter'. Did you mean 'doctor'?"),
        (["bench"], "the following arguments are required: WHAT"),
        (["plugins", "--jsn"], "unknown option --jsn. Did you mean '--json'? See --help."),
        (["doctor", "--json"], "unknown option --json here: it belongs to python -m minidl plugins, python -m minidl"),
        (["doctor", "--jsn"], "unknown option --jsn. See --help."),
        (["bench", "conv", "--jsn"], "unknown option --jsn. Did you mean '--json'? See --help."),
        (["doctor", "now"], "unexpected argument 'now'. See --help."),
        (["gradcheck", "nope"], "there is no op, layer or loss 'nope'. `python -m minidl plugins` lists all."),
        (["gradcheck", "relo"], "there is no op, layer or loss 'relo'. Did you mean 'relu'?"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(lambda: main(arguments)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {message}")
    assert said.err.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "minidl", "plugins"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    "words", ["minidl", "minidl plugins --json", "agegender", "agegender.train --list --json", "agegender.train --help"]
)
def test_output_that_cannot_be_written_is_told_as_that(tmp_path: Path, words: str, buffered: str) -> None:
    """Also with line buffering."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *words.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": buffered},
        )
    assert (done.returncode, done.stderr) == (2, "error: standard output: No space left on device\n")


def test_the_doctor_is_content_where_only_optional_parts_are_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_card() -> None:
        raise BackendError("no card: put one in")

    monkeypatch.setitem(plugins._registered["backend"], "cupy", no_card)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "missing CuPy          no card\n                      -> put one in" in said
    assert "several machines" not in said  # no code is compiled for them


def test_the_doctor_fails_where_something_needed_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(doctor, "LOOKS", (doctor.packages,))
    assert main(["doctor"]) == 1
    assert "-> pip install matplotlib" in capsys.readouterr().out


def test_the_doctor_says_of_another_package_what_its_plugin_s_reason_says(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "the layer 'fast' of the package minidl_fast 1.2 cannot be imported (TypeError: no): repair that package"
    rows = [
        plugins.PluginInfo("layer", "fast", "minidl_fast", "1.2", "failed", reason),
        plugins.PluginInfo("layer", "dense", "minidl", "0.1.0", "loaded"),
    ]
    monkeypatch.setattr(plugins, "describe", lambda: rows)
    (finding,) = doctor.others()
    assert finding.detail == "the layer 'fast' of the package minidl_fast 1.2 cannot be imported (TypeError: no)"
    assert finding.remedy == "repair that package"


def test_the_doctor_sends_nobody_with_wrong_gradients_to_a_package_index_for_minidl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(*arguments: object) -> None:
        raise GradientError("it is twice what it should be")

    monkeypatch.setattr(doctor, "gradcheck", wrong)
    (finding,) = doctor.gradients()
    assert finding.status == "failed"
    assert finding.remedy.startswith("pip install --force-reinstall 'numpy>=2', then install minidl again, from your")
