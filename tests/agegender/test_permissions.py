"""Folders and files that the user may not read: they are named, rather than taken for missing ones."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from commands import Done
from pictures import files, isolate, write_folder

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
