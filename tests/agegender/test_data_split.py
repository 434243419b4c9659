import csv
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, faces, isolate, picture, write_folder

from agegender import data
from agegender.data import DataError, Split, sample, split
from agegender.data.faces import Faces
from agegender.data.utkface import read


def utkface_sized() -> Faces:
    """Faces without pixels: as many as in UTKFace, with as many groups of identical ones."""
    pairs = [f"pair{i // 2}" for i in range(2 * 360)] + [f"triple{i // 3}" for i in range(3 * 15)]
    digests = pairs + [str(i) for i in range(23_708 - len(pairs))]
    _, content = np.unique(digests, return_inverse=True)
    rows = content.astype(np.uint32)[:, None].view(np.uint8).repeat(32, axis=1)
    images = np.broadcast_to(rows[:, None], (len(digests), 128, 128))
    labels = np.zeros(len(digests), np.int16)
    names = [str(i) for i in range(len(digests))]
    return Faces(images, labels, labels.astype(np.uint8), labels.astype(np.int8), names, digests, "test")


def test_sizes_on_the_full_set() -> None:
    parts = split(utkface_sized())
    assert len(parts.train) == 18_966
    assert len(parts.validation) == 4_742


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_saved_in_two_formats_stays_on_one_side(tmp_path: Path, seed: int) -> None:
    """Lossless formats: equal pixels, different bytes."""
    content = {
        f"30_0_0_{i:02d}.{format}": encode(picture(i), format) for i in range(6) for format in ("png", "bmp", "tiff")
    }
    data = read(write_folder(tmp_path / "faces", content), cache=tmp_path)
    assert len(set(data.digests)) == 18
    parts = split(data, fraction=0.5, seed=seed)
    assert parts.validation.reshape(-1, 3).tolist() == [
        [3 * i, 3 * i + 1, 3 * i + 2] for i in parts.validation[::3] // 3
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.5]))
def test_parts_are_complete_and_share_no_picture(contents: list[int], seed: int, fraction: float) -> None:
    data = faces([str(content) for content in contents])
    wanted = max(1, round(fraction * len(contents)))
    try:
        parts = split(data, fraction, seed)
    except DataError:
        smallest = min(contents.count(content) for content in contents)
        assert smallest > wanted or len(set(contents)) == 1
        return
    both = np.concatenate([parts.train, parts.validation])
    assert sorted(both.tolist()) == list(range(len(contents)))
    assert not {contents[i] for i in parts.train} & {contents[i] for i in parts.validation}
    assert 1 <= len(parts.validation) <= wanted
    left = [contents.count(contents[i]) for i in parts.train]
    assert len(parts.validation) == wanted or min(left) > wanted - len(parts.validation)  # no other group would fit
    assert np.all(np.diff(parts.train) > 0)
    assert np.all(np.diff(parts.validation) > 0)


def test_the_seed_decides() -> None:
    data = faces([str(i) for i in range(50)])
    assert np.array_equal(split(data, seed=1).validation, split(data, seed=1).validation)
    assert not np.array_equal(split(data, seed=1).validation, split(data, seed=2).validation)


def test_the_split_is_the_same_on_every_machine() -> None:
    data = faces([f"{i:02d}" for i in range(20)])
    assert split(data, seed=0).validation.tolist() == [2, 4, 6, 19]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, float("nan")])
def test_impossible_fractions(fraction: float) -> None:
    with pytest.raises(DataError, match="above 0 and below 1"):
        split(faces(["a", "b"]), fraction)


@pytest.mark.parametrize("digests", [["a"], ["a", "a", "a"]])
def test_too_few_different_faces(digests: list[str]) -> None:
    with pytest.raises(DataError, match="cannot be split"):
        split(faces(digests))


def test_saved_and_loaded(tmp_path: Path) -> None:
    data = faces([str(i) for i in range(30)])
    parts = split(data)
    parts.save(tmp_path / "split.csv")
    loaded = Split.load(tmp_path / "split.csv", data)
    assert np.array_equal(loaded.train, parts.train)
    assert np.array_equal(loaded.validation, parts.validation)
    assert loaded.names == data.names
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "name,part"
    assert lines[1 + parts.validation[0]] == f"{data.names[parts.validation[0]]},validation"
    assert [child.name for child in tmp_path.iterdir()] == ["split.csv"]


def test_loaded_by_name_not_by_position(tmp_path: Path) -> None:
    data = faces([str(i) for i in range(30)])
    parts = split(data)
    parts.save(tmp_path / "split.csv")
    backwards = data.take(np.arange(30)[::-1])
    loaded = Split.load(tmp_path / "split.csv", backwards)
    assert {backwards.names[i] for i in loaded.validation} == {data.names[i] for i in parts.validation}


def test_a_split_of_other_faces_is_refused(tmp_path: Path) -> None:
    split(faces([str(i) for i in range(30)])).save(tmp_path / "split.csv")
    with pytest.raises(DataError, match="30 faces, but not those of test"):
        Split.load(tmp_path / "split.csv", faces([str(i) for i in range(29)]))


@pytest.mark.parametrize(
    "text",
    ["", "name,part\nNAME,b,c\n", "name,part\nNAME,test\n", "part,name\n", 'name,part\n"a', "\0", "name,part\n\udcff"],
)
def test_a_damaged_split_is_refused(tmp_path: Path, text: str) -> None:
    data = faces(["a"])
    (tmp_path / "split.csv").write_text(text.replace("NAME", data.names[0]), errors="surrogateescape")
    with pytest.raises(DataError, match=r"split\.csv"):
        Split.load(tmp_path / "split.csv", data)


def test_a_missing_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Split.load(tmp_path / "split.csv", faces(["a"]))


def test_sample() -> None:
    data = faces([str(i) for i in range(40)])
    few = sample(data, 10, seed=3)
    assert len(few) == 10
    assert few.names == sorted(set(few.names))
    assert few.names != data.names[:10]
    assert few.names == sample(data, 10, seed=3).names
    assert few.names != sample(data, 10, seed=4).names
    assert sample(data, 40) is data
    assert sample(data, 1000) is data
    with pytest.raises(DataError, match="at least 2"):
        sample(data, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="file names elsewhere are Unicode")
def test_a_split_of_faces_whose_names_are_not_utf_8_is_loaded_as_it_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(tmp_path, monkeypatch)
    write_folder(Path("enc"), {f"{20 + i}_0_0_{i}.jpg": encode(picture(i)) for i in range(7)})
    for name in (b"30_0_0_\xff\xfe.jpg", b"31_1_0_\xfc.jpg", "32_1_0_ü.jpg".encode()):
        Path("enc", os.fsdecode(name)).write_bytes(encode(picture(name[0] * name[1])))
    found = data.open("enc")
    saved = split(found, 0.5)
    saved.save("split.csv")
    for opened in (found, data.open("enc")):  # decoded, and from the cache
        loaded = Split.load("split.csv", opened)
        assert loaded.validation.tolist() == saved.validation.tolist()
        assert list(loaded.names) == list(found.names)


def test_a_split_that_is_shown_in_a_terminal_leaves_its_colours_alone(tmp_path: Path) -> None:
    """Names with control characters are written as escapes; a file that has them as they are can be read, too."""
    names = [f"{age}_0_0_\x1b[31mred\n.jpg" for age in range(20, 25)]
    opened = data.open(write_folder(tmp_path / "faces", {name: encode(picture(i)) for i, name in enumerate(names)}))
    parts, path = split(opened), tmp_path / "split.csv"
    parts.save(path)
    header, *rows = path.read_text().split("\n")
    assert (header, len(rows)) == ("name,part", 6)
    assert all(map(str.isprintable, rows))
    assert rows[0].startswith("20_0_0_\\x1b[31mred\\n.jpg,")
    assert np.array_equal(Split.load(path, opened).validation, parts.validation)
    with path.open("w", newline="") as file:
        kinds = (row.rpartition(",")[2] for row in rows[:-1])
        csv.writer(file).writerows([("name", "part"), *zip(names, kinds, strict=True)])
    assert np.array_equal(Split.load(path, opened).validation, parts.validation)
