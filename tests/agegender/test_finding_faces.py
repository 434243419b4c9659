"""Faces are found and aligned by networks that compute what the original ones do."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minidl as md
from agegender.faces import align, boxes, detect, networks
from tests import mtcnn

NETWORKS = list(mtcnn.HEADS)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_what_the_package_s_gives(name: str) -> None:
    with md.no_grad():
        outputs = getattr(networks.trained(), name)(md.tensor(mtcnn.examples(name)))
    for head, values in json.loads(mtcnn.EXPECTED.read_text())[name].items():
        np.testing.assert_allclose(outputs[head].numpy(), values, atol=1e-5, rtol=0)


def seeing(sees: Callable[[Any], Any], **outputs: Any) -> Any:
    """A network of 48 pixels that is certain of a face where ``sees`` is true of its input."""

    def network(x: md.Tensor) -> dict[str, md.Tensor]:
        face = sees(x.numpy()).astype(np.float32)
        return {"face": md.tensor(face), **{name: md.tensor(np.tile(y, (len(face), 1))) for name, y in outputs.items()}}

    network.size = 48  # type: ignore[attr-defined]
    return network


def bright_above(x: Any) -> Any:
    """Whether the upper half of each square is brighter than its lower half."""
    return x[:, :24].mean((1, 2, 3)) > x[:, 24:].mean((1, 2, 3)) + 0.9


@pytest.mark.parametrize("degrees", [0, 30, 45, -45])
def test_a_turned_square_is_looked_at_upright(degrees: int) -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[100:200, 100:300] = 255
    picture = Image.fromarray(pixels).rotate(-degrees)
    box, turn = np.array([[150.0, 150, 250, 250]]), np.radians([degrees])
    upright = detect.cut(picture, box, turn, 48)[0].astype(float)
    assert upright[:20].min() > 200
    assert upright[28:].max() < 50


def test_the_points_of_a_turned_square_lie_in_the_picture() -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[100:200, 100:300] = 255
    picture = Image.fromarray(pixels).rotate(-90)  # bright on the right
    box, turn = np.array([[150.0, 150, 250, 250]]), np.radians([90])
    network = seeing(bright_above, box=[0.0, 0, 0, -0.5], points=[0.5] * 5 + [0.0] * 5)
    seen = detect.look(picture, box, turn, network, 0.5)
    np.testing.assert_allclose(seen.points, [[[250, 200]] * 5], atol=1e-9)
    np.testing.assert_allclose(seen.corrected, [[175, 175, 275, 225]], atol=1e-9)  # around the centre of the upper half
    assert len(detect.look(picture, box, np.zeros(1), network, 0.5).boxes) == 0


def test_a_picture_smaller_than_a_face_has_none() -> None:
    assert detect.detect(Image.new("RGB", (5, 300))) == []


def test_of_boxes_that_lie_in_each_other_the_better_one_stays() -> None:
    outer_and_inner = np.array([[0.0, 0, 10, 10], [3, 3, 6, 6]])
    scores = np.array([0.5, 0.6])
    assert boxes.suppressed(outer_and_inner, scores, 0.7).tolist() == [1, 0]
    assert boxes.suppressed(outer_and_inner, scores, 0.7, of_smaller=True).tolist() == [1]


@pytest.mark.parametrize("side", [50, 200, 900])
@pytest.mark.parametrize("degrees", [0, 25, -140])
def test_an_aligned_face_is_the_crop_itself(side: int, degrees: int) -> None:
    y, x = np.mgrid[:side, :side] / side
    crop = Image.fromarray((127 + 120 * np.sin(9 * x + 5 * y)).astype(np.uint8)).convert("RGB")
    picture = Image.new("RGB", (3 * side, 3 * side))
    picture.paste(crop, (side, side))
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = 1.5 * side + side * (align.PLACES - 0.5) @ rotation.T
    found = align.aligned(picture.rotate(-degrees, Image.Resampling.BICUBIC), points)
    expected = np.asarray(crop.resize((align.SIDE, align.SIDE), Image.Resampling.LANCZOS), float)
    inner = slice(10, -10)
    assert np.abs(np.asarray(found, float) - expected)[inner, inner].mean() < 2


def test_a_mirrored_face_is_turned_and_never_mirrored() -> None:
    mirrored = align.PLACES * (-1, 1)
    assert np.linalg.det(align.similarity(mirrored, align.PLACES)[:, :2]) > 0
