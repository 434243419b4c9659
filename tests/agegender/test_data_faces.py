import csv
import errno
from pathlib import Path

import numpy as np
import pytest
from pictures import faces, name

import minidl as md
from agegender import data
from agegender.data.faces import Faces, Record


@pytest.fixture
def three() -> Faces:
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128), dtype=np.uint8)
    images[0, 0, :2] = 0, 255
    records = [Record(name(i), age, gender, -1, str(i)) for i, (age, gender) in enumerate([(1, 0), (35, 1), (116, 1)])]
    return Faces.from_records(images, records, source="test", skipped=[("a,b.jpg", "empty file")])


def test_what_is_shown_of_faces_and_of_a_split_is_short(three: Faces) -> None:
    assert repr(three) == "Faces(3 from 'test')"
    assert "jpg" not in repr(data.split(three))


def test_item(three: Faces) -> None:
    image, target = three[2]
    assert image.shape == (128, 128, 1)
    assert image.dtype == target["age"].dtype == target["gender"].dtype == np.float32
    assert target["age"].tolist() == [116.0]
    assert target["gender"].tolist() == [1.0]
    assert np.array_equal(image[..., 0], three.images[2] / np.float32(255))
    assert three[0][0][0, :2, 0].tolist() == [0.0, 1.0]


def test_batch_equals_its_items(three: Faces) -> None:
    images, targets = three.batch(np.array([2, 0, 2]))
    assert images.shape == (3, 128, 128, 1)
    assert images.dtype == np.float32
    for position, index in enumerate([2, 0, 2]):
        image, target = three[index]
        assert np.array_equal(images[position], image)
        for key in ("age", "gender"):
            assert np.array_equal(targets[key][position], target[key])
            assert targets[key].shape == (3, 1)
            assert targets[key].dtype == np.float32


def test_subset_is_a_view_with_the_same_batches(three: Faces) -> None:
    part = three.subset(np.array([2, 1]))
    assert len(part) == 2
    assert part[0][1]["age"].tolist() == [116.0]
    images, targets = part.batch(np.array([1, 0]))
    assert targets["age"].ravel().tolist() == [35.0, 116.0]
    assert np.array_equal(images, three.batch(np.array([1, 2]))[0])


def test_faces_on_a_device_give_the_same_batches(three: Faces) -> None:
    order, mirror = np.array([2, 1]), np.array([True, False])
    for part in (three, three.subset(np.array([1, 2, 0]))):
        there = part.to("strict")
        for options in ({}, {"mirror": mirror}):
            images, targets = there.batch(order, **options)
            expected, labels = part.batch(order, **options)
            assert md.backends.to_host(images).tobytes() == expected.tobytes()
            assert {name: md.backends.to_host(values).tolist() for name, values in targets.items()} == {
                name: values.tolist() for name, values in labels.items()
            }


def test_faces_keep_their_labels_and_names_wherever_they_are(three: Faces) -> None:
    for there in (three.to("numpy"), three.to("strict"), three.take(np.arange(3)).to("strict")):
        assert isinstance(there, Faces)
        assert (there.ages.tolist(), there.names) == (three.ages.tolist(), three.names)
        assert there.fingerprint == three.fingerprint


def test_faces_taken_on_a_device_stay_there(three: Faces) -> None:
    backend, expected = md.backends.get("strict"), three.take(np.array([2, 0]))
    there = three.to("strict")
    for indices in (np.array([2, 0]), backend.asarray(np.array([2, 0])), [-1, 0]):
        taken = there.take(indices)
        assert isinstance(taken, Faces)
        assert (taken.backend, taken.names) == (backend, expected.names)
        images = md.backends.to_host(taken.batch(np.arange(2))[0])
        np.testing.assert_array_equal(images, expected.batch(np.arange(2))[0])


def test_on_a_device_faces_are_bytes(three: Faces) -> None:
    backend = md.backends.get("strict")
    before = backend.to_device
    there = three.subset(np.array([0, 2])).to("strict")
    assert backend.to_device == before + 3
    assert there.arrays[0].nbytes == 2 * 128 * 128


def test_an_index_beyond_the_end_is_an_error(three: Faces) -> None:
    with pytest.raises(IndexError):
        three[3]
    with pytest.raises(IndexError):
        three.subset(np.array([0]))[1]


def test_take_keeps_everything_together(three: Faces) -> None:
    taken = three.take(np.array([2, 0]))
    assert taken.names == [three.names[2], three.names[0]]
    assert taken.digests == ["2", "0"]
    assert taken.ages.tolist() == [116, 1]
    assert taken.genders.tolist() == [1, 0]
    assert np.array_equal(taken.images[0], three.images[2])
    assert taken.fingerprint != three.fingerprint


def test_take_of_a_mask_is_what_the_mask_holds_for(three: Faces) -> None:
    taken, expected = three.take(np.array([True, False, True])), three.take(np.array([0, 2]))
    assert taken.names == expected.names
    assert taken.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(taken.images, expected.images)


def test_fingerprint_depends_on_names_labels_and_contents() -> None:
    base = faces(["a", "b"], [30, 40])
    assert len(base.fingerprint) == 32
    assert base.fingerprint == faces(["a", "b"], [30, 40]).fingerprint
    assert base.fingerprint != faces(["a", "c"], [30, 40]).fingerprint
    assert base.fingerprint != faces(["a", "b"], [30, 41]).fingerprint


def test_images_must_fit_the_records() -> None:
    with pytest.raises(ValueError, match=r"\(1, 128, 128\).*\(2, 128, 128\)"):
        Faces.from_records(np.zeros((2, 128, 128), np.uint8), [Record("a", 1, 1, 1, "")], source="test")


def test_skipped_files_are_written_as_a_table(three: Faces, tmp_path: Path) -> None:
    path = tmp_path / "skipped.csv"
    data.write_skipped(three, path)
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["name", "reason"], ["a,b.jpg", "empty file"]]
    three.skipped.append(("undecodable \udcff name.jpg", "empty file"))
    data.write_skipped(three, path)
    assert "undecodable \\udcff name.jpg,empty file" in path.read_text()
    assert [child.name for child in tmp_path.iterdir()] == ["skipped.csv"]


def test_a_failed_write_leaves_the_earlier_file(three: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "skipped.csv"
    data.write_skipped(three, path)
    before = path.read_bytes()
    three.skipped.clear()

    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        data.write_skipped(three, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
