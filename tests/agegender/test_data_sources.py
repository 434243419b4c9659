import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from pictures import WRITERS, encode, files, isolate, name, picture, write_folder, write_tar

from agegender import data
from agegender.data import DataError, TooManySkipped, decode, sources
from agegender.options import Options
from agegender.parts import open_data
from agegender.report.speaker import Speaker
from minidl import backends, plugins
from minidl.data import ArrayDataset
from minidl.errors import CallError


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def test_every_kind_of_source_gives_the_same_faces(tmp_path: Path) -> None:
    content = files(40)
    shuffled = dict(sorted(content.items(), key=lambda item: item[1]))
    opened = [data.open(write(tmp_path / kind, shuffled)) for kind, write in WRITERS.items()]
    first = opened[0]
    assert len(first) == 40
    assert first.names == sorted(path.removeprefix("UTKFace/") for path in content)
    assert first.ages.tolist() == [int(each.split("_")[0]) for each in first.names]
    assert first.genders.tolist() == [int(each.split("_")[1]) for each in first.names]
    assert set(first.ethnicities.tolist()) == {2}
    for index, each in enumerate(first.names):
        assert np.array_equal(first.images[index], decode.grey(content[f"UTKFace/{each}"]))
    assert first.skipped == []
    assert first.kind == "utkface"
    for other in opened[1:]:
        assert other.fingerprint == first.fingerprint
        assert np.array_equal(other.images, first.images)
        assert other.names == first.names
    assert [other.source for other in opened] == [str(tmp_path / kind) for kind in WRITERS]


@pytest.mark.parametrize("folder", ["", "UTKFace/", "./UTKFace/", "archive/data/"])
@pytest.mark.parametrize("kind", ["folder", "faces.tar.gz", "faces.zip"])
def test_any_depth(tmp_path: Path, folder: str, kind: str) -> None:
    assert len(data.open(WRITERS[kind](tmp_path / kind, files(3, folder)))) == 3


def test_unusable_files_are_skipped_with_their_reason(tmp_path: Path) -> None:
    content = files(90, "")
    odd = {
        "README.txt": b"text",
        "labels/ages.csv": b"1",
        "holiday.jpg": encode(picture()),
        name(100): b"",
        name(101): b"no picture",
        name(102): encode(picture())[:400],
        name(103, age=131): encode(picture()),
        name(104, gender=2): encode(picture()),
        "30_0_0_a.txt": b"landmarks",
        "30_0_0_a.heic": b"",
        "30_0_0_a.PPM": b"",
        "30_0_0_a": b"",
        "beach.heic": b"",
        ".hidden.jpg": b"",
        ".git/" + name(105): b"",
        "__MACOSX/" + name(106): b"",
        "__MACOSX/._" + name(1): b"",
    }
    reasons = {
        "README.txt": "name has no picture suffix",
        "labels/ages.csv": "name has no picture suffix",
        "holiday.jpg": "name is not age_gender_ethnicity_anything",
        name(100): "empty file",
        name(101): "not a picture",
        name(102): "truncated or damaged picture",
        name(103, age=131): "age in the name is above 130",
        name(104, gender=2): "gender in the name is neither 0 nor 1",
        "30_0_0_a.txt": "name has no picture suffix",
        "30_0_0_a.heic": "HEIC is not supported: save it as JPEG",
        "30_0_0_a.PPM": "PPM is not supported: save it as JPEG",
        "30_0_0_a": "no suffix: add one, such as .jpg",
        "beach.heic": "name has no picture suffix",
    }
    for kind, write in WRITERS.items():
        opened = data.open(write(tmp_path / kind, content | odd))
        assert opened.names == sorted(content)
        assert opened.skipped == sorted(reasons.items())
        assert np.array_equal(opened.images[-1], decode.grey(content[opened.names[-1]]))
        data.write_skipped(opened, tmp_path / "skipped.csv")
        assert len((tmp_path / "skipped.csv").read_text().splitlines()) == 1 + len(reasons)


@pytest.mark.parametrize("kind", ["folder", "faces.tar.gz", "faces.zip"])
def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 3_000_000)
    content = files(20) | {name(500): encode(picture()) + bytes(3_000_000)}
    assert data.open(WRITERS[kind](tmp_path / kind, content)).skipped == [
        (name(500), "larger than 3 MB: save it as a smaller file")
    ]


@pytest.mark.parametrize("kind", list(WRITERS))
def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 10)
    assert len(data.open(WRITERS[kind](tmp_path / kind, files(10)))) == 10
    with pytest.raises(DataError, match="more than 10 files"):
        data.open(WRITERS[kind](tmp_path / f"more-{kind}", files(11)))


@pytest.mark.parametrize("kind", list(WRITERS))
def test_too_much_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 5000)
    with pytest.raises(DataError, match=r"contains more than 0 GB of (pictures|data): it is not UTKFace"):
        data.open(WRITERS[kind](tmp_path / kind, files(20)))


def test_a_missing_path_names_what_is_similar(tmp_path: Path) -> None:
    write_tar(tmp_path / "UTKFace.tar.gz", files(2))
    with pytest.raises(DataError, match=r"utkface\.tgz does not exist\. .*'UTKFace\.tar\.gz'"):
        data.open(tmp_path / "utkface.tgz")
    with pytest.raises(DataError, match=r"does not exist\. Expected a folder"):
        data.open(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(DataError, match="does not exist"):
        data.open(tmp_path / "UTKFace.tar.gz" / "UTKFace")


def test_a_broken_link_says_where_it_leads(tmp_path: Path) -> None:
    Path("dangling").symlink_to("../nofaces")
    for path in ("dangling", "dangling/UTKFace"):
        with pytest.raises(DataError, match=r"^dangling is a link to \.\./nofaces, which does not exist$"):
            data.open(path)
    (tmp_path / "data").mkdir()
    Path("data/UTKFace.tar.gz").symlink_to("../nofaces")
    with pytest.raises(DataError, match=r"^data/UTKFace\.tar\.gz is a link to \.\./nofaces, which"):
        data.open()


@pytest.mark.parametrize("path", ["UTKFace ", " UTKFace", "UTKFace\n"])
def test_white_space_around_a_path_is_seen(path: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(repr(path))} does not exist"):
        data.open(path)
    Path(path).mkdir()
    with pytest.raises(DataError, match=f"^{re.escape(repr(path))} is empty"):
        data.open(path)


@pytest.mark.parametrize("path", ["./drawn", "drawn/", "$UTKFACE"])
def test_a_name_with_a_slash_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Even if its folder has the name of the drawn faces."""
    write_folder(tmp_path / "drawn", files(3, ""))
    monkeypatch.setitem(plugins._registered["dataset"], "mine", lambda: data.drawn(4))
    if path == "$UTKFACE":
        monkeypatch.setenv("UTKFACE", "./drawn")
    opened = data.open(None if path == "$UTKFACE" else path)
    assert (len(opened), opened.source) == (3, str(tmp_path / "drawn"))
    with pytest.raises(DataError, match="mine does not exist"):
        data.open("./mine")


def test_an_error_says_that_the_environment_named_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UTKFACE", "nowhere")
    options = Options(device="numpy")
    for act in (data.open, lambda: open_data(options, backends.default, Speaker(io.StringIO(), quiet=False))):
        with pytest.raises(DataError, match=r"^\$UTKFACE: nowhere does not exist"):
            act()
    with pytest.raises(DataError, match=r"^nowhere does not exist"):
        data.open("nowhere")
    bad = write_folder(tmp_path / "bad", {name(1): b"no picture"})
    monkeypatch.setenv("UTKFACE", str(bad))
    with pytest.raises(TooManySkipped, match=r"^\$UTKFACE: 1 of 1 picture ") as error:
        data.open()
    assert len(error.value.skipped) == 1


def test_a_web_address_is_to_be_downloaded_first() -> None:
    address = "https://susanqq.github.io/UTKFace"
    for given in (address, Path(address)):
        with pytest.raises(DataError, match=f"^{address} is a web address: download the file and pass its path$"):
            data.open(given)


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, files(3))
    for empty in ("", " ", "\t\n"):
        with pytest.raises(DataError, match="the name of the data set is empty"):
            data.open(empty)
    assert len(data.open(".")) == 3


def test_a_list_of_files_is_refused_with_what_is_expected() -> None:
    with pytest.raises(CallError, match=r"expected the path of a file, got \['a.jpg'\]"):
        data.open(["a.jpg"])  # type: ignore[arg-type]


def test_a_quoted_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_folder(tmp_path / "home" / "UTKFace", files(3, ""))
    assert data.open("~/UTKFace").source == str(tmp_path / "home" / "UTKFace")
    monkeypatch.setenv("UTKFACE", "~/UTKFace")
    assert len(data.open()) == 3
    with pytest.raises(DataError, match="~nobody-of-this-name/UTKFace does not exist"):
        data.open("~nobody-of-this-name/UTKFace")


def test_a_data_set_of_another_package_is_opened_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins._registered["dataset"], "mine", lambda: data.drawn(3))
    opened = data.open("mine")
    assert (len(opened), opened.source) == (3, "mine")
    with pytest.raises(DataError, match=r"myne does not exist\..* data set: .*mine.*Did you mean 'mine'\?"):
        data.open("myne")
    write_folder(tmp_path / "mine", files(2))
    assert len(data.open("mine")) == 2


def test_a_data_set_of_anything_but_faces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins._registered["dataset"], "digits", lambda: ArrayDataset(np.ones(3)))
    with pytest.raises(DataError, match=r"'digits' returns ArrayDataset, expected agegender\.data\.Faces"):
        data.open("digits")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this platform")
def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "faces.tar.gz")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        data.open(tmp_path / "faces.tar.gz")


@pytest.mark.parametrize("kind", list(WRITERS))
def test_no_face_at_all(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "links").mkdir()
    with pytest.raises(DataError, match="is empty"):
        data.open(WRITERS[kind](tmp_path / kind, {}))
    with pytest.raises(
        DataError, match=r"contains no face: .* 2 files such as 'a\.txt' \(name has no picture suffix\)"
    ):
        data.open(WRITERS[kind](tmp_path / kind, {"a.txt": b"1", "b.jpg": b"2"}))
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    data.open(write_folder(tmp_path / "folder", files(150)), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(100, 150), (150, 150)]
