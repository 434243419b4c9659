"""``python -m agegender.predict`` on drawn faces, and on a photo of a person.

``astronaut.jpg`` is NASA's portrait of Eileen Collins (1992, public domain), cropped.
"""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import agegender
import minidl as md
from agegender import models, people, predict, saved
from agegender.calibration import Calibration
from agegender.errors import DataError
from agegender.people import Reader
from agegender.photos import Photo
from minidl.command import UsageError
from minidl.errors import MinidlError

PHOTO = Path(__file__).with_name("astronaut.jpg")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The initial weights of a model."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    md.save(path, models.build(rng=md.Generator(0)).state_dict())
    return path


@pytest.fixture
def printed(weights: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command prints to standard output; it must end with this status."""

    def call(*arguments: str | Path, status: int = 0) -> str:
        words = [*map(str, arguments), "--weights", str(weights), "--device", "numpy"]
        assert predict.main(words) == status
        return capsys.readouterr().out

    return call


def turned(degrees: float, folder: Path) -> Path:
    """The portrait, turned clockwise on a grey background."""
    path = folder / f"turned{degrees:g}.png"
    with Image.open(PHOTO) as picture:
        picture.convert("RGB").rotate(-degrees, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)).save(path)
    return path


@pytest.mark.parametrize("degrees", [0, 45, -30])
def test_a_face_is_found_and_seen_upright(degrees: float, tmp_path: Path, weights: Path) -> None:
    reader = Reader(saved.load(weights).model)
    (upright,) = crops(reader, PHOTO)
    (found,) = crops(reader, turned(degrees, tmp_path))
    assert np.corrcoef(found.pixels[20:108, 20:108].ravel(), upright.pixels[20:108, 20:108].ravel())[0, 1] > 0.9
    assert found.unsure == ""


def crops(reader: Reader, path: Path) -> list[people.Crop]:
    found = reader.crops(Photo(str(path), path.read_bytes()))
    assert isinstance(found, list)
    return found


def test_boxes_are_in_pixels_of_the_upright_photo(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(saved.load(weights).model)
    expected = crops(reader, PHOTO)[0].box
    with Image.open(PHOTO) as picture:
        exif = Image.Exif()
        exif[0x0112] = 6  # stored lying on its side
        picture.rotate(90).resize((1024, 1024)).save(tmp_path / "large.jpg", exif=exif)
    monkeypatch.setattr(people, "LONGEST", 256)
    np.testing.assert_allclose(crops(reader, tmp_path / "large.jpg")[0].box, np.multiply(expected, 4), rtol=0.05)


def test_faces_that_are_small_or_dark_or_cut_off_are_marked(tmp_path: Path, weights: Path) -> None:
    reader = Reader(saved.load(weights).model)
    with Image.open(PHOTO) as picture:
        picture.resize((80, 80)).save(tmp_path / "small.png")
        picture.point(lambda level: level // 6).save(tmp_path / "dark.png")
        picture.crop((0, 90, 256, 256)).save(tmp_path / "cut off.png")
    for reason in ("small", "dark", "cut off"):
        assert [crop.unsure for crop in crops(reader, tmp_path / f"{reason}.png")] == [reason]


def test_no_face_is_an_answer(printed: Any, tmp_path: Path) -> None:
    Image.radial_gradient("L").save(tmp_path / "a.png")
    assert printed(tmp_path / "a.png") == f"{tmp_path / 'a.png'}: no face\n"
    assert json.loads(printed(tmp_path / "a.png", "--json")) == {"photo": str(tmp_path / "a.png"), "people": []}


def test_cropped_faces_are_answered_as_in_training(weights: Path, tmp_path: Path, printed: Any) -> None:
    model = saved.load(weights).model
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "face.png")
    with md.no_grad():
        outputs = model(md.tensor(pixels[None, ..., None].astype(np.float32) / 255))
    (person,) = json.loads(printed(tmp_path, "--no-detect", "--json"))["people"]
    assert person["age"] == pytest.approx(max(0, outputs["age"].item()), rel=1e-4, abs=1e-4)
    assert person["female"] == pytest.approx(1 / (1 + np.exp(-outputs["gender"].item())), rel=1e-4)
    assert person["box"] == [0, 0, 128, 128]


def test_a_broken_photo_is_reported_and_the_others_are_answered(printed: Any, tmp_path: Path) -> None:
    shutil.copy(PHOTO, tmp_path / "b.jpg")
    (tmp_path / "a.jpg").write_bytes(PHOTO.read_bytes()[:3000])
    (tmp_path / "c.jpg").write_bytes(b"")
    rows = list(csv.DictReader(io.StringIO(printed(tmp_path, "--csv"))))
    assert [(Path(row["photo"]).name, row["note"]) for row in rows] == [
        ("a.jpg", "truncated or damaged picture"),
        ("b.jpg", ""),
        ("c.jpg", "empty file"),
    ]
    assert float(rows[1]["left"]) < float(rows[1]["right"])


def test_only_broken_photos_are_a_failure(printed: Any, tmp_path: Path) -> None:
    (tmp_path / "c.jpg").write_bytes(b"")
    assert printed(tmp_path / "c.jpg", status=2) == f"{tmp_path / 'c.jpg'}: cannot be used: empty file\n"


def test_answers_are_drawn_into_copies(printed: Any, tmp_path: Path) -> None:
    printed(PHOTO, "--annotate", tmp_path / "marked")
    with Image.open(tmp_path / "marked" / "astronaut.png") as marked:
        assert marked.size == (256, 256)
        assert (255, 212, 0) in {colour for _, colour in marked.getcolors(1 << 20) or []}


def test_photos_of_one_name_get_a_copy_each(printed: Any, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(PHOTO, tmp_path / folder / "photo.jpg")
    printed(tmp_path / "a", tmp_path / "b", "--annotate", tmp_path / "marked")
    assert sorted(path.name for path in (tmp_path / "marked").iterdir()) == ["photo-2.png", "photo.png"]


def test_a_photo_from_standard_input_cannot_be_annotated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--annotate needs files"):
        predict.main(["-", "--annotate", str(tmp_path / "marked")])
    assert not (tmp_path / "marked").exists()


def test_weights_keep_their_calibration_and_load_in_half_precision(tmp_path: Path) -> None:
    state = models.build(rng=md.Generator(0)).state_dict()
    half = {name: array.astype(np.float16) for name, array in state.items()}
    notes = {"calibration": json.dumps({"temperature": 2.0, "intercept": 3.0, "slope": 0.1, "width": 2})}
    md.checkpoint.save(tmp_path / "weights.safetensors", half, notes)
    trained = saved.load(tmp_path / "weights.safetensors")
    assert trained.calibration == Calibration(2.0, 3.0, 0.1, 2.0)
    np.testing.assert_allclose(trained.model.state_dict()["age.2.w"], state["age.2.w"], atol=1e-3)
    assert agegender.load(str(tmp_path / "weights.safetensors")).training is False


def test_a_damaged_calibration_is_named(tmp_path: Path) -> None:
    md.checkpoint.save(tmp_path / "weights.safetensors", models.build().state_dict(), {"calibration": "{}"})
    with pytest.raises(UsageError, match=r"its calibration cannot be read: 'calibration\.\w+' is missing"):
        saved.load(tmp_path / "weights.safetensors")


def test_a_model_that_diverged_is_no_guide(tmp_path: Path) -> None:
    state = {name: np.full_like(array, np.nan) for name, array in models.build().state_dict().items()}
    md.save(tmp_path / "weights.safetensors", state)
    with pytest.raises(MinidlError, match="the model predicts NaN or infinity: its training diverged"):
        predict.main([str(PHOTO), "--weights", str(tmp_path / "weights.safetensors"), "--device", "numpy"])


def test_a_pattern_and_a_photo_from_standard_input(
    printed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(PHOTO, tmp_path / "b.jpg")
    stream = io.TextIOWrapper(io.BytesIO(PHOTO.read_bytes()))
    monkeypatch.setattr("sys.stdin", stream)
    names = [json.loads(line)["photo"] for line in printed(f"{tmp_path}/*.jpg", "-", "--json").splitlines()]
    assert names == [str(tmp_path / "b.jpg"), "-"]


@pytest.mark.parametrize(("place", "said"), [("none.jpg", "does not exist"), ("*.gif", "no file matches")])
def test_a_place_without_photos_is_named_before_any_work(place: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        predict.main([str(tmp_path / place)])
    with pytest.raises(DataError, match="has no pictures in it"):
        predict.main([str(tmp_path)])


def test_two_forms_of_output_are_refused() -> None:
    with pytest.raises(UsageError, match="leave one of them out"):
        predict.main([str(PHOTO), "--json", "--csv"])


def test_a_calibrated_model_gives_intervals(weights: Path) -> None:
    calibration = Calibration(temperature=2.0, intercept=3.0, slope=0.0, width=2.0)
    photo, model = Photo("a", PHOTO.read_bytes()), saved.load(weights).model
    (_, plain), (_, fitted) = (next(Reader(model, each).read([photo])) for each in (None, calibration))
    assert isinstance(plain, list)
    assert isinstance(fitted, list)
    assert plain[0].ages is None
    age = plain[0].age
    assert fitted[0].ages == pytest.approx((max(0, age - 6), age + 6))
    assert np.log(fitted[0].female / (1 - fitted[0].female)) * 2 == pytest.approx(
        np.log(plain[0].female / (1 - plain[0].female)), abs=1e-4
    )
