"""A data set of discs in place of faces."""

import hashlib

import numpy as np

from agegender.data import Faces, Record
from agegender.data.faces import IMAGE_SIZE


def discs(count: int = 200, seed: int = 0) -> Faces:
    """Bright discs on dark noise: the radius in pixels is half the age, and stripes mean gender 1.

    >>> images, targets = discs(count=4).batch(np.array([0, 3]))
    >>> images.shape, targets["age"].shape
    ((2, 128, 128, 1), (2, 1))
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    images = rng.integers(0, 80, (count, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    records = []
    for number, image in enumerate(images):
        age, gender = int(rng.integers(20, 81)), int(rng.integers(2))
        row, column = rng.integers(age // 2, IMAGE_SIZE - age // 2, 2)
        image[(np.hypot(y - row, x - column) < age / 2) & (y % 4 >= 2 * gender)] += 150
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
        records.append(Record(f"disc-{number:05d}", age, gender, -1, digest))
    return Faces.from_records(images, records, source="discs", kind="discs")
