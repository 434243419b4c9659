"""Folders and files that the user may not read: they are named, rather than taken for missing ones."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from commands import Command, Done
from pictures import encode, files, isolate, name, picture, write_folder

WITHOUT_RIGHTS = "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"
"""Permissions do not bind root with these capabilities."""
ROOT = os.name == "posix" and os.geteuid() == 0
pytestmark = pytest.mark.skipif(
    os.name != "posix" or (ROOT and shutil.which("setpriv") is None), reason="needs permissions that bind this user"
)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@contextmanager
def mode(path: str | Path, bits: int) -> Iterator[None]:
    before = Path(path).stat().st_mode
    Path(path).chmod(bits)
    try:
        yield
    finally:
        Path(path).chmod(before)


def python(*words: str) -> Done:
    """Run Python as a user whom permissions bind."""
    bound = ("setpriv", *WITHOUT_RIGHTS) if ROOT else ()
    done = subprocess.run([*bound, sys.executable, *words], capture_output=True, text=True, check=False, timeout=120)
    return Done(done.returncode, done.stdout, done.stderr)


SEARCH = """
import os, pathlib, sys
from agegender import data
data.places.KAGGLE_INPUT = pathlib.Path("none")
for case in sys.argv[1:]:
    os.chdir(case)
    print(*(data.found() or [data.passed_over()]))
    os.chdir("..")
"""


def test_a_folder_that_the_search_cannot_read_is_told_with_the_reason(tmp_path: Path) -> None:
    """Otherwise drawn faces would replace it silently."""
    cases = {
        "listed": ("data", 0o444, "data"),
        "locked": ("data", 0o000, "data"),
        "only-searched": ("data", 0o111, "data"),
        "within": ("data/a/faces", 0o000, "data/a/faces"),
        "linked": ("elsewhere", 0o000, "data/UTKFace"),
        "archive": ("data/faces.zip", 0o000, "data/faces.zip"),
    }
    write_folder(tmp_path, {f"{case}/data/a/faces/{path}": b"" for case in cases for path in files(2)})
    shutil.rmtree("linked/data/a")
    write_folder(tmp_path / "linked/elsewhere", files(2))
    Path("linked/data/UTKFace").symlink_to("../elsewhere/UTKFace")
    shutil.rmtree("archive/data/a")
    Path("archive/data/faces.zip").touch()
    with ExitStack() as stack:
        for case, (place, bits, _) in cases.items():
            stack.enter_context(mode(f"{case}/{place}", bits))
        done = python("-c", SEARCH, *cases)
    assert done.err == ""
    assert done.out.splitlines() == [
        f"; not used: {told} cannot be read: Permission denied" for _, _, told in cases.values()
    ]


def test_a_link_that_cannot_be_followed_does_not_hide_what_lies_next_to_it(tmp_path: Path) -> None:
    Path("data").mkdir()
    for number in range(20):  # so that one of them is listed before the faces
        Path("data", str(number)).symlink_to(f"../locked/{number}" if number % 2 else str(number))
    write_folder(tmp_path / "data", files(2))
    Path("locked").mkdir()
    with mode("locked", 0o000):
        done = python("-c", SEARCH, ".")
    assert (done.out, done.err) == ("data/UTKFace\n", "")


TRAIN = """
import contextlib, io, json, pathlib, shlex, sys
from agegender import data, train
from minidl.command import status
data.places.KAGGLE_INPUT = pathlib.Path("none")
for line in sys.argv[1:]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = status(lambda: train.main(shlex.split(line)))
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def train(*lines: str) -> list[Done]:
    """Run the training command with the options in each line."""
    done = python("-c", TRAIN, *lines)
    assert done.err == ""
    return [Done(*json.loads(line)) for line in done.out.splitlines()]


def refused(*lines: str) -> list[str]:
    """The errors of the training command with the options in each line."""
    done = train(*lines)
    assert [(each.code, each.out, each.err.count("\n")) for each in done] == [(2, "", 1)] * len(done)
    return [each.err.removeprefix("error: ").strip() for each in done]


@pytest.fixture
def run(command: Command, small: tuple[object, ...]) -> Path:
    """A run of one epoch called "mem", the latest of two."""
    command(*small, "--epochs", 1, "--name", "mem")
    shutil.copytree("runs/mem", "runs/other")
    os.utime("runs/mem", (4e9, 4e9))
    return Path("runs/mem")


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("bits", [0o000, 0o444])
def test_a_run_that_cannot_be_read_is_listed_and_not_taken_for_a_missing_one(run: Path, bits: int) -> None:
    denied = f"{run} cannot be read: Permission denied"
    with mode(run, bits):
        (listed,) = train("--list")
        errors = refused("--resume mem", f"--resume {run}", "--resume", "--data drawn --name mem")
    assert re.search(r"^mem +\S+ \S+ +unreadable$", listed.out, re.MULTILINE)
    assert re.search(r"^other .* finished ", listed.out, re.MULTILINE)
    assert f"\nmem is unreadable: {denied}\n" in listed.out
    assert errors == [
        denied,
        denied,
        f"{denied}. To resume an earlier run, name it: --resume RUN",
        f"{denied}: choose another --name",
    ]


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("bits", [0o000, 0o444])
def test_a_folder_of_runs_that_cannot_be_read_is_not_taken_for_an_empty_one(run: Path, bits: int) -> None:
    with mode(run.parent, bits):
        errors = refused("--list", "--resume", "--resume mem", "--data drawn --name mem", "--data drawn --out runs/new")
        errors += refused("--config runs/mem/config.json", f"--resume {run}/log.txt", "--list --out runs/deep")
    read, write = "cannot be read: Permission denied", "runs cannot be written to (Permission denied): choose another"
    folder = f"{write} folder for the runs with --out"
    assert errors == [
        f"runs {read}",
        f"runs {read}",
        f"{run} {read}",
        folder,
        folder,
        *(f"{place} {read}" for place in (f"{run}/config.json", f"{run}/log.txt", "runs/deep")),
    ]


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("file", "advice"), [("config.json", ". Make it readable"), ("last.state.safetensors", ""), ("plots", "")]
)
def test_a_file_of_a_run_that_cannot_be_read_is_told_to_who_starts_another_one(
    run: Path, file: str, advice: str
) -> None:
    with mode(run / file, 0o000):
        (error,) = refused("--data drawn --name mem")
    assert error.startswith(f"the run {run} already exists: choose another --name. {run}/{file}")
    assert error.endswith(f"Permission denied{advice}")


@pytest.mark.parametrize("bits", [0o000, 0o444])
def test_half_of_the_pictures_in_a_folder_that_cannot_be_read_are_too_many(tmp_path: Path, bits: int) -> None:
    write_folder(tmp_path / "faces", files(6, "") | {f"b/{name(number)}": encode(picture(number)) for number in (7, 8)})
    with mode("faces/b", bits):
        done = python("-m", "agegender.data.inspect", "faces")
        without = python("-m", "agegender.data.inspect", "faces", "--max-skipped", "1")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "--max-skipped" in done.err
    if not bits:
        told = (
            "pictures may be missing in faces: 'b' (unreadable folder: Permission denied). Make it readable, remove it"
        )
        assert done.err.startswith(f"error: {told}, or set --max-skipped 1 ")
    assert "faces   6\n" in without.out


def test_the_folder_for_repairs_at_the_top_of_a_disk_is_no_part_of_the_data(tmp_path: Path) -> None:
    (write_folder(tmp_path / "disk", files(6, "")) / "lost+found").mkdir(0o000)
    assert "faces   6\n" in python("-m", "agegender.data.inspect", "disk").out
    Path("disk/lost+found").chmod(0o700)
