"""``python -m agegender.evaluate`` on a run of drawn faces."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minidl as md
from agegender import data, evaluate, models, saved, train
from agegender.predictions import predictions
from minidl.command import UsageError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch on 300 drawn faces."""
    out = tmp_path_factory.mktemp("runs")
    options = ["--data", "drawn", "--limit", "300", "--epochs", "1", "--quiet", "--out", str(out), "--name", "one"]
    assert train.main([*options, "--device", "numpy"]) == 0
    return out / "one"


def judged(*arguments: str | Path) -> dict[str, Any]:
    assert evaluate.main(["--device", "numpy", *map(str, arguments)]) == 0
    found: dict[str, Any] = json.loads((Path(arguments[-1]) / evaluate.NUMBERS).read_text())
    return found


def test_its_numbers_are_those_of_the_training(run: Path, tmp_path: Path) -> None:
    found, summary = judged(run, "--out", tmp_path), json.loads((run / "summary.json").read_text())
    assert found["faces"] == summary["val_images"] == 60
    assert found["gender"]["accuracy"] == pytest.approx(summary["gender_accuracy"], abs=1e-9)
    assert found["age"]["mae"] == pytest.approx(summary["age_mae"], rel=1e-6)
    assert sum(group["faces"] for group in found["groups"]["age"]) == 60
    page = (tmp_path / evaluate.PAGE).read_text()
    assert "<h1>Evaluation of one</h1>" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded from a network


def test_faces_that_were_trained_on_are_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = data.drawn()
    sampled = data.sample(faces, 300)
    split = data.Split.load(run / "split.csv", sampled)
    for row in [*split.train[:7], *split.validation[:5]]:
        Image.fromarray(sampled.images[row]).save(tmp_path / f"{sampled.ages[row]}_{sampled.genders[row]}_0_{row}.png")
    found = judged(run, "--data", tmp_path, "--out", tmp_path / "report")
    assert found["faces"] == 12
    assert found["calibration"] is None
    assert "warning: the model was trained on 7 pictures of 12" in capsys.readouterr().out


def test_standard_output_is_one_json_document(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(run, "--json", "--out", tmp_path)
    output = capsys.readouterr()
    assert json.loads(output.out)["faces"] == 60
    assert "60 faces" in output.err


def test_mirrored_faces_count_half(run: Path) -> None:
    model = saved.load(run).model
    faces = data.drawn().subset(np.arange(5))
    images, _ = faces.batch(np.arange(5))
    mirrored = predictions(model, md.data.ArrayDataset(images[:, :, ::-1].copy()))
    both, plain = predictions(model, faces, flip=True), predictions(model, faces)
    np.testing.assert_allclose(both.ages, (plain.ages + mirrored.ages) / 2, rtol=1e-5)
    np.testing.assert_allclose(both.logits, (plain.logits + mirrored.logits) / 2, rtol=1e-4, atol=1e-6)


def test_two_models_are_compared_on_the_same_faces(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = shutil.copytree(run, tmp_path / "older")
    weights = md.load(older / "best.safetensors")
    weights["age.2.b"] += 100
    md.save(older / "best.safetensors", weights)
    found = judged(run, older, "--out", tmp_path / "compared")
    plain, shifted = (model["age"]["mae"] for model in found["models"])
    (difference,) = found["differences"]
    assert difference["age_error"]["difference"] == pytest.approx(shifted - plain)
    assert difference["accuracy"] == {"difference": 0, "interval": [0, 0]}
    assert "older against one: gender accuracy +0.000 (+0.000 to +0.000)" in capsys.readouterr().out
    assert "<h1>Comparison of one, older</h1>" in (tmp_path / "compared" / evaluate.PAGE).read_text()


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(UsageError) as refused:
        evaluate.main([*map(str, arguments)])
    return str(refused.value)


def test_weights_alone_need_faces(run: Path) -> None:
    assert refusal(run / "best.safetensors").endswith("without a validation part: name faces with --data")


def test_weights_of_other_shapes_are_named(tmp_path: Path) -> None:
    md.save(tmp_path / "weights.safetensors", md.nn.Dense(2, 3).state_dict())
    said = refusal(tmp_path / "weights.safetensors", "--data", "drawn")
    assert said.startswith(f"{tmp_path / 'weights.safetensors'} cannot be used as weights of the model 'documented': ")


def test_a_damaged_file_of_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    assert "weights.safetensors" in refusal(tmp_path / "weights.safetensors", "--data", "drawn")


def test_without_a_run_it_says_how_to_make_one(tmp_path: Path) -> None:
    assert refusal("--runs", tmp_path).endswith("train one with python -m agegender.train, or name a run")


def test_a_run_that_ended_in_its_first_epoch_says_how_to_go_on(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "early"
    copy.mkdir()
    (copy / "config.json").write_bytes((run / "config.json").read_bytes())
    assert "it ended in its first epoch. Go on with python -m agegender.train --resume" in refusal(copy)


def test_answers_leave_the_mode_of_the_model() -> None:
    model = models.build()
    predictions(model, md.data.ArrayDataset(np.zeros((2, 128, 128, 1), np.float32)))
    assert model.training
