"""Unusable pictures: how many are allowed, and the error if there are more."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pictures import files, isolate, name, write_folder

from agegender import data, train
from agegender.data import DataError, TooManySkipped, inspect
from minidl.command import run as carry_out

BAD = {name(600 + number): b"no picture" for number in range(7)} | {name(650): b""}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder with 20 pictures, eight of them unusable."""
    return write_folder(tmp_path / "faces", files(12, "") | BAD | {"README.md": b""})


def test_too_many_bad_pictures(tmp_path: Path) -> None:
    bad = {name(600): b"no picture"}
    assert len(data.open(write_folder(tmp_path / "nine", files(9) | bad))) == 9
    with pytest.raises(DataError, match=r"1 of 9 pictures .* more than 10% \(1 of them: not a picture\)") as error:
        data.open(write_folder(tmp_path / "eight", files(8) | bad))
    assert ". Replace them (if this is UTKFace, download it again), remove other files, or set --max-skipped" in str(
        error.value
    ), "they may be one's own"
    for most in (0.1, 1.0):
        with pytest.raises(TooManySkipped, match=r"1 of 1 picture .* used \(1 of them.* or remove other files$"):
            data.open(write_folder(tmp_path / "none", bad), max_skipped=most)


@pytest.mark.parametrize(
    ("suffix", "reason"), [(".heic", "HEIC is not supported: save it as JPEG"), ("", "no suffix: add")]
)
def test_labelled_pictures_in_a_format_that_is_not_read_count(tmp_path: Path, suffix: str, reason: str) -> None:
    photos = {f"sub/{number}_0_0_a{suffix}": b"..." for number in range(20, 24)}
    landmarks = {f"{path}.txt": b"" for path in files(12)}
    write_folder(tmp_path / "mixed", files(12) | photos | landmarks)
    with pytest.raises(
        TooManySkipped, match=rf"4 of 16 .*{reason}.* Fix them as advised, remove .* --max-skipped 0\.25"
    ):
        data.open("mixed")
    with pytest.raises(DataError, match=rf"photos contains no face: .*4 files such as .*{reason}"):
        data.open(write_folder(tmp_path / "photos", photos))


def test_a_list_is_not_written_over_another_file(faces: Path, tmp_path: Path) -> None:
    for names in (["skipped.csv"], ["skipped.csv"], ["skipped.csv", "skipped-2.csv"], ["skipped.csv", "skipped-2.csv"]):
        if len(names) == 2:
            Path("skipped.csv").write_text("date,hours\n")
        with (
            pytest.raises(TooManySkipped, match=rf"The full list is in {names[-1]}$"),
            data.skipped_written_to(Path("skipped.csv")),
        ):
            data.open(faces)
        assert sorted(path.name for path in tmp_path.glob("*.csv")) == sorted(names)
        assert Path(names[-1]).read_text().startswith("name,reason\n")
    assert Path("skipped.csv").read_text() == "date,hours\n"


def test_the_error_names_the_first_five_and_has_all(faces: Path) -> None:
    with pytest.raises(TooManySkipped) as error:
        data.open(faces)
    message = str(error.value)
    assert "8 of 20 pictures" in message
    assert [each in message for each in sorted(BAD)] == 5 * [True] + 3 * [False]
    assert f"{name(600)!r} (not a picture), " in message
    assert "and 3 more." in message
    assert "--max-skipped 0.4 (max_skipped=0.4 in Python)" in message
    assert "README.md" not in message, "not a picture"
    assert sorted(each for each, _ in error.value.skipped) == sorted([*BAD, "README.md"])


def test_the_share_can_be_set_and_counts_also_from_the_cache(faces: Path) -> None:
    assert len(data.open(faces, max_skipped=0.4)) == 12
    with pytest.raises(TooManySkipped, match="more than 39%"):
        data.open(faces, max_skipped=0.39)
    assert len(data.open(faces, max_skipped=1)) == 12
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(DataError, match="a fraction of the pictures, from 0 to 1"):
            data.open(faces, max_skipped=share)


def test_a_list_that_cannot_be_written_does_not_hide_the_error(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with (
        pytest.raises(TooManySkipped, match=r"8 of 20 .* cannot be written to runs.skipped\.csv \(.*\)$") as error,
        data.skipped_written_to(Path("runs/skipped.csv")),
    ):
        data.open(faces)
    assert len(error.value.skipped) == 9


def ended(command: Callable[[list[str]], int], arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as end:
        carry_out(partial(command, arguments))
    return end.value.code


@pytest.mark.parametrize(
    ("command", "arguments", "place"),
    [
        (train.main, ["--data"], "runs"),
        (train.main, ["--out", "mine", "--data"], "mine"),
        (train.main, ["--data", "drawn", "--val"], "runs"),
        (inspect.main, [], "."),
    ],
)
def test_a_command_leaves_the_whole_list_and_takes_the_share(
    monkeypatch: pytest.MonkeyPatch,
    faces: Path,
    capsys: pytest.CaptureFixture[str],
    command: Callable[[list[str]], int],
    arguments: list[str],
    place: str,
) -> None:
    monkeypatch.setattr(data, "drawn", lambda cache: data.open(faces, max_skipped=1))
    assert ended(command, [*arguments, str(faces)]) == 2
    path = Path(place, "skipped.csv")
    assert capsys.readouterr().err.endswith(f"The full list is in {path}\n")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name", "reason"]
    assert len(rows) == 1 + len(BAD) + 1
    dry = ["--dry-run"] if command is train.main else []
    assert ended(command, [*dry, *arguments, str(faces), "--max-skipped", "0.4"]) == 0
    assert ended(command, [*arguments, str(faces), "--max-skipped", "40"]) == 2
    assert "from 0 to 1, got 40" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--data", "--val"])
def test_a_dry_run_that_fails_writes_no_list(
    monkeypatch: pytest.MonkeyPatch, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setattr(data, "drawn", lambda cache: data.open(faces, max_skipped=1))
    others = [] if option == "--data" else ["--data", "drawn"]
    assert ended(train.main, ["--dry-run", *others, option, str(faces)]) == 2
    assert "8 of 20 pictures" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "cache"}


def test_training_says_what_it_took_and_what_not(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "data" / "UTKFace", files(6, ""))
    write_folder(tmp_path / "data" / "mine", files(7, ""))
    assert train.main(["--dry-run"]) == 0
    assert "6 faces from data/UTKFace; also found: data/mine (select it with --data" in capsys.readouterr().out
    assert train.main(["--dry-run", "--data", "data/mine"]) == 0
    assert "7 faces from data/mine\n" in capsys.readouterr().out
    for number, left_out in ((1, "1 file skipped"), (2, "2 files skipped")):
        (tmp_path / "data" / "mine" / f"{number}.txt").touch()
        assert train.main(["--dry-run", "--data", "data/mine"]) == 0
        assert f"7 faces from data/mine, {left_out}\n" in capsys.readouterr().out
