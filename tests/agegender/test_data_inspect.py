import json
from functools import partial
from pathlib import Path

import pytest
from pictures import encode, faces, files, picture, write_folder, write_tar

from agegender.data.inspect import inspect, main
from minidl import command


def test_numbers() -> None:
    data = faces(["a", "a", "b", "b", "b", "c"], [10, 10, 20, 20, 20, 60])  # genders 0 1 0 1 0 1
    data.skipped.extend([("x.jpg", "empty file"), ("y.jpg", "empty file"), ("z.txt", "name has no picture suffix")])
    numbers = inspect(data)
    assert numbers["faces"] == 6
    assert numbers["age"]["minimum"] == 10
    assert numbers["age"]["median"] == 20
    assert numbers["age"]["maximum"] == 60
    assert numbers["gender"] == {"0 (male)": 3, "1 (female)": 3}
    assert numbers["ethnicity"] == {"unknown": 2, "0": 2, "1": 2}
    assert numbers["duplicates"] == {"groups": 2, "files": 5, "groups with conflicting labels": 2}
    assert numbers["skipped"] == {"empty file": 2, "name has no picture suffix": 1}


def test_identical_pictures_with_one_label_do_not_conflict() -> None:
    data = faces(["a", "b", "a"])  # genders 0 1 0
    assert inspect(data)["duplicates"] == {"groups": 1, "files": 2, "groups with conflicting labels": 0}


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    path = write_tar(tmp_path / "faces.tar.gz", files(12) | {"notes.txt": b""})
    assert main([str(path)]) == 0
    table = capsys.readouterr().out
    assert "faces   12\n" in table
    assert "0 (male)     6\n" in table
    assert "name has no picture suffix   1" in table
    assert "name has no picture suffix   'notes.txt'" in table
    assert main([str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["age"]["maximum"] == 31


def test_the_first_of_what_was_skipped_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    content = (
        files(12) | {f"UTKFace/{letter}.jpg": b"" for letter in "abcd"} | {f"again/{path}": b"" for path in files(1)}
    )
    content |= {f"again/{path}": encode(picture(50)) for path in list(files(2))[1:]}
    path = write_folder(tmp_path / "faces", content | {"bell\a\udcff\n.txt": b""})
    assert main([str(path), "--json", "--max-skipped", "0.5"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    reason = "name is not age_gender_ethnicity_anything"
    assert numbers["skipped"] == {"empty file": 1, reason: 4, "name has no picture suffix": 1}
    assert numbers["first skipped"][reason] == ["UTKFace/a.jpg", "UTKFace/b.jpg", "UTKFace/c.jpg"]
    assert numbers["duplicate names"] == 1
    assert main([str(path), "--max-skipped", "0.5"]) == 0
    assert f"{reason}   'UTKFace/a.jpg', 'UTKFace/b.jpg', 'UTKFace/c.jpg'\n" in (table := capsys.readouterr().out)
    assert r"name has no picture suffix                  'bell\x07\udcff\n.txt'" in table


def test_an_empty_name_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write_folder(tmp_path / "faces", files(12)))
    with pytest.raises(SystemExit):
        command.run(partial(main, [""]))
    assert "the name of the data set is empty" in capsys.readouterr().err


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ([str(tmp_path / "missing")], "does not exist"),
        (["drawn", "--jsn"], "unknown option --jsn. Did you mean '--json'?"),
        ([], "the following arguments are required: data"),
        (["--data", "drawn"], "unknown option --data: it is the argument without an option here. See --help."),
    ):
        with pytest.raises(SystemExit) as ended:
            command.run(partial(main, arguments))
        output = capsys.readouterr()
        assert (ended.value.code, output.out, output.err.count("\n")) == (2, "", 1)
        assert output.err.startswith("error: ")
        assert message in output.err
