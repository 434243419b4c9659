"""The people in photos: each face with its age and gender, and how sure they are."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import minidl as md
from minidl.threads import get_num_threads

from . import tasks
from .calibration import Calibration
from .data.decode import colour, formats
from .data.faces import IMAGE_SIZE
from .errors import Unusable
from .faces.align import SIDE, aligned, corners_of
from .faces.detect import Face, detect
from .photos import Photo
from .predictions import predictions

LONGEST = 1280
"""Larger photos are reduced to this side, in pixels: the smallest face that is found has 20."""
SMALL = 40
"""Faces with a shorter side, in pixels of the photo, are marked: little is left of them."""
DARK = 40
"""The mean grey level below which a face is marked."""
OUTSIDE = 0.1
"""The share of a crop that may lie outside the photo before it is marked."""


class Person(NamedTuple):
    """A face: its box in the photo (left, top, right, bottom), the probability that it is female, and its age.

    ``ages`` are the ends of the interval that contains the age with a probability of 90 %, or None without a
    calibration. ``unsure`` is the reason why the answer may be worse than usual, or "".
    """

    box: tuple[float, float, float, float]
    female: float
    age: float
    ages: tuple[float, float] | None
    unsure: str


class Crop(NamedTuple):
    """A face as the network sees it, uint8 (128, 128), its box in the photo, and :attr:`Person.unsure`."""

    pixels: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    unsure: str


@dataclass(frozen=True)
class Reader:
    """Finds the people in photos. Without ``find``, each photo is a face, cropped as those of UTKFace are."""

    model: md.nn.Module
    calibration: Calibration | None = None
    find: bool = True
    flip: bool = False

    def read(self, photos: Iterable[Photo]) -> Iterator[tuple[str, list[Person] | Unusable]]:
        """The name of each photo with its people, in order; the reason instead if the photo cannot be used.

        Photos are decoded and searched on all cores, with only a few in memory.
        """
        formats()  # loads Pillow's plugins before any untrusted file is read
        workers = get_num_threads()
        with ThreadPoolExecutor(workers) as pool:
            pending: deque[tuple[str, Future[list[Crop] | Unusable]]] = deque()
            for photo in photos:
                pending.append((photo.name, pool.submit(self.crops, photo)))
                if len(pending) > 2 * workers:
                    yield self._finished(*pending.popleft())
            while pending:
                yield self._finished(*pending.popleft())

    def crops(self, photo: Photo) -> list[Crop] | Unusable:
        """The faces in a photo, or the reason why it cannot be used."""
        if isinstance(photo.content, Unusable):
            return photo.content
        try:
            picture, factor = colour(photo.content, LONGEST)
        except Unusable as reason:
            return reason
        if not self.find:
            return [Crop(_grey(picture), (0.0, 0.0, picture.width * factor, picture.height * factor), "")]
        return [_crop(picture, face, factor) for face in detect(picture)]

    def _finished(self, name: str, found: Future[list[Crop] | Unusable]) -> tuple[str, list[Person] | Unusable]:
        crops = found.result()
        if isinstance(crops, Unusable) or not crops:
            return name, crops if isinstance(crops, Unusable) else []
        return name, self.people(crops)

    def people(self, crops: list[Crop]) -> list[Person]:
        """The answers of the model for some faces."""
        images = np.stack([crop.pixels for crop in crops])[..., np.newaxis].astype(np.float32) / 255
        logits, ages = predictions(self.model, md.data.ArrayDataset(images), flip=self.flip)
        fitted = self.calibration
        chances = (fitted or Calibration(1.0, 0.0, 0.0, 0.0)).probabilities(logits)
        bounds: Any = fitted.intervals(ages).tolist() if fitted else [None] * len(crops)
        return [
            Person(crop.box, float(chance), float(tasks.years(age)), tuple(ends) if ends else None, crop.unsure)
            for crop, chance, age, ends in zip(crops, chances, ages, bounds, strict=True)
        ]


def _grey(crop: Image.Image) -> NDArray[np.uint8]:
    """The face as in training: grey and 128 x 128."""
    return np.asarray(crop.convert("L").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS))


def _crop(picture: Image.Image, face: Face, factor: float) -> Crop:
    pixels = _grey(aligned(picture, face.points))
    left, top, right, bottom = (face.box * factor).tolist()
    return Crop(pixels, (left, top, right, bottom), _doubt(picture, face, pixels))


def _doubt(picture: Image.Image, face: Face, pixels: NDArray[np.uint8]) -> str:
    """Why the answer for a face may be worse than usual, or ""."""
    if max(face.box[2:] - face.box[:2]) < SMALL:
        return "small"
    if pixels.mean() < DARK:
        return "dark"
    return "cut off" if _outside(picture, face) > OUTSIDE else ""


def _outside(picture: Image.Image, face: Face) -> float:
    """The share of the aligned crop that lies outside the photo.

    >>> from agegender.faces.align import PLACES
    >>> face = Face(np.zeros(4), 100 * PLACES - (50, 0), 1.0)
    >>> round(_outside(Image.new("RGB", (300, 300)), face), 1)
    0.5
    """
    corners = corners_of(face.points)
    steps = np.linspace(0, 1, SIDE // 10)
    across, down = corners[1] - corners[0], corners[3] - corners[0]
    points = corners[0] + steps[:, None, None] * across + steps[None, :, None] * down
    return float(np.mean(((points < 0) | (points > picture.size)).any(axis=-1)))
