"""Find faces in a picture: the cascade of MTCNN (Zhang et al. 2016, section II).

P-Net judges every square of 12 pixels on each level of an image pyramid, and so meets faces of all sizes. It is small
enough for that, and often wrong: R-Net judges what it proposes at 24 pixels, and O-Net the rest at 48 pixels. After
each stage the squares are corrected, and of those that overlap only the best is kept.

The networks were trained with few turned faces. So the first stages let more pass than in the paper, and O-Net looks
twice: at what may be a face, and at the same turned upright.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import minidl as md

from .boxes import Boxes, Points, corrected, placed, squares, suppressed
from .networks import Detector, Output, Proposals, Refinement, trained

CELL, STRIDE = 12, 2
"""Of the squares that P-Net judges, in pixels."""
LEAST_FACE = 20
"""Side of the smallest face that is found, in pixels."""
FACTOR = 0.709
"""Between two levels of the pyramid: half the area."""
PROPOSED, REFINED, POSSIBLE, CERTAIN = 0.6, 0.2, 0.3, 0.95
"""The probability of a face that a square needs: in P-Net, in R-Net, and in the two looks of O-Net."""
BATCH = 128


class Face(NamedTuple):
    """A face in a picture: its box (left, top, right, bottom), five points (5, 2), and the probability that it is one.

    The points are the eyes, the nose and the corners of the mouth, both from left to right in an upright face; all are
    in pixels from the upper left corner of the picture.
    """

    box: NDArray[np.float64]
    points: NDArray[np.float64]
    probability: float


class Seen(NamedTuple):
    """Squares in which a network sees a face: turned clockwise by radians, with the network's outputs for each."""

    boxes: Boxes
    turns: NDArray[np.float64]
    outputs: dict[str, NDArray[Any]]

    @property
    def corrected(self) -> Boxes:
        return corrected(self.boxes, self.turns, self.outputs["box"])

    @property
    def points(self) -> Points:
        return placed(self.boxes, self.turns, self.outputs["points"].reshape(-1, 2, 5).swapaxes(1, 2))


def detect(picture: Image.Image, detector: Detector | None = None) -> list[Face]:
    """The faces in an RGB picture, the largest first. Without ``detector``, the trained one is used.

    >>> detect(Image.new("RGB", (64, 48)))
    []
    """
    detector = detector or trained()
    with md.no_grad():
        boxes = refined(picture, proposed(picture, detector.proposals), detector.refinement)
        return finished(picture, boxes, detector.output)


def proposed(picture: Image.Image, network: Proposals) -> Boxes:
    """The squares in which P-Net sees a face, on all levels of the pyramid."""
    boxes, scores = [np.empty((0, 4))], [np.empty(0)]
    for scale, small in pyramid(picture):
        seen = cells(network, small)
        kept = suppressed(seen.corrected, seen.outputs["face"], 0.5)
        boxes.append(seen.corrected[kept] / scale)
        scores.append(seen.outputs["face"][kept])
    joined = np.concatenate(boxes)
    return squares(joined[suppressed(joined, np.concatenate(scores), 0.7)])


def pyramid(picture: Image.Image) -> Iterator[tuple[NDArray[np.float64], Image.Image]]:
    """The picture at falling sizes until it is smaller than a cell, each with its scale (x, y, x, y).

    >>> [small.size for _, small in pyramid(Image.new("RGB", (40, 30)))]
    [(24, 18), (17, 13)]
    """
    scale = CELL / LEAST_FACE
    while min(picture.size) * scale >= CELL:
        size = round(picture.width * scale), round(picture.height * scale)
        yield np.tile(np.divide(size, picture.size), 2), picture.resize(size, Image.Resampling.BOX)
        scale *= FACTOR


def cells(network: Proposals, picture: Image.Image) -> Seen:
    """The squares of one level of the pyramid that pass P-Net."""
    outputs = {name: y.numpy()[0] for name, y in network(pixels(np.asarray(picture)[np.newaxis])).items()}
    rows, columns = np.nonzero(outputs["face"] > PROPOSED)
    start = STRIDE * np.stack([columns, rows], axis=1).astype(float)
    found = {name: values[rows, columns] for name, values in outputs.items()}
    return Seen(np.hstack([start, start + CELL]), np.zeros(len(start)), found)


def refined(picture: Image.Image, boxes: Boxes, network: Refinement) -> Boxes:
    """The squares in which R-Net sees a face."""
    seen = look(picture, boxes, np.zeros(len(boxes)), network, REFINED)
    return squares(seen.corrected[suppressed(seen.boxes, seen.outputs["face"], 0.7)])


def finished(picture: Image.Image, boxes: Boxes, network: Output) -> list[Face]:
    """The faces that O-Net sees in the squares, the largest first."""
    first = look(picture, boxes, np.zeros(len(boxes)), network, POSSIBLE)
    seen = look(picture, squares(first.corrected), rolls(first.points), network, CERTAIN)
    kept = suppressed(seen.corrected, seen.outputs["face"], 0.7, of_smaller=True)
    faces = [Face(seen.corrected[i], seen.points[i], float(seen.outputs["face"][i])) for i in kept]
    return sorted(faces, key=lambda face: -float(np.prod(face.box[2:] - face.box[:2])))


def rolls(points: Points) -> NDArray[np.float64]:
    """How far each face is turned, clockwise in radians: the direction from its eyes to its mouth.

    >>> rolls(np.array([[[1.0, 0.0], [1, 2], [0, 1], [-1, 0], [-1, 2]]])) / np.pi
    array([0.5])
    """
    x, y = (points[:, 3:].mean(axis=1) - points[:, :2].mean(axis=1)).T
    turns: NDArray[np.float64] = np.arctan2(-x, y)
    return turns


def look(
    picture: Image.Image, boxes: Boxes, turns: NDArray[np.float64], network: Refinement | Output, threshold: float
) -> Seen:
    """The squares in which R-Net or O-Net sees a face with a probability above the threshold."""
    outputs = []
    for start in range(0, max(len(boxes), 1), BATCH):
        part = slice(start, start + BATCH)
        outputs.append(network(pixels(cut(picture, boxes[part], turns[part], network.size))))
    joined = {name: np.concatenate([part[name].numpy() for part in outputs]) for name in outputs[0]}
    passes = joined["face"] > threshold
    return Seen(boxes[passes], turns[passes], {name: values[passes] for name, values in joined.items()})


def cut(picture: Image.Image, boxes: Boxes, turns: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The squares of a picture, turned upright and scaled to ``size``; what lies outside the picture is black.

    >>> cut(Image.new("RGB", (9, 9)), np.array([[2.0, 2, 12, 12]]), np.array([0.5]), 24).shape
    (1, 24, 24, 3)
    """
    parts = [np.asarray(_cut(picture, box, turn, size)) for box, turn in zip(boxes, turns.tolist(), strict=True)]
    return np.array(parts, np.uint8).reshape(-1, size, size, 3)


def _cut(picture: Image.Image, box: NDArray[np.float64], turn: float, size: int) -> Image.Image:
    margin = size // 4 if turn else 0  # half the side: more than the corners of a turned square need
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * (1 + 2 * margin / size)
    left, top, right, bottom = np.rint(np.concatenate([centre - half, centre + half])).astype(int).tolist()
    around = size + 2 * margin
    wide = picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    wide = wide.resize((around, around), Image.Resampling.BILINEAR)
    if not turn:
        return wide
    upright = wide.rotate(np.degrees(turn), Image.Resampling.BILINEAR)
    return upright.crop((margin, margin, margin + size, margin + size))


def pixels(pictures: NDArray[np.uint8]) -> md.Tensor:
    """The input of the networks, (N, H, W, 3).

    >>> pixels(np.full((1, 1, 1, 3), 255, np.uint8))
    tensor([[[[0.99609375, 0.99609375, 0.99609375]]]])
    """
    return md.tensor((pictures.astype(np.float32) - 127.5) / 128)
