"""Drawn faces depend only on the seed, and no single pixel solves the task."""

import numpy as np
import pytest

from agegender.data import drawn as drawn_faces
from agegender.data.drawn import draw
from agegender.errors import DataError

Faces = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Pixels, ages and genders."""


@pytest.fixture(scope="module")
def faces() -> Faces:
    images, ages, genders = draw(1000, seed=0)
    return images.reshape(1000, -1), ages, genders


def test_a_face_depends_on_the_seed_and_its_number_alone() -> None:
    few, more = draw(3, seed=1), draw(6, seed=1)
    for one, other in zip(few, more, strict=True):
        assert np.array_equal(one, other[:3])
    assert not np.array_equal(few[0], draw(3, seed=2)[0])


def test_the_global_random_state_is_left_alone() -> None:
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    draw(1, seed=0)
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.slow
def test_labels_are_balanced_and_ages_cover_a_life(faces: Faces) -> None:
    images, ages, genders = faces
    assert images.dtype == np.uint8
    assert 0.45 < genders.mean() < 0.55
    assert ages.min() <= 3
    assert ages.max() >= 75
    assert abs(np.corrcoef(ages, genders)[0, 1]) < 0.1
    assert len(np.unique(images, axis=0)) == len(images)


def test_no_single_pixel_tells_the_gender(faces: Faces) -> None:
    images, _, genders = faces

    def darker(gender: int) -> np.ndarray:
        """The number of faces of a gender whose pixel is darker than a threshold, for all pixels and thresholds."""
        values = images[genders == gender] + 256 * np.arange(images.shape[1])
        return np.bincount(values.reshape(-1), minlength=256 * images.shape[1]).reshape(-1, 256).cumsum(axis=1)

    women, men = darker(1), darker(0)
    right = (men + women[:, -1:] - women) / len(images)  # men darker than the threshold, women lighter
    assert np.maximum(right, 1 - right).max() < 0.75


def test_no_single_pixel_tells_the_age(faces: Faces) -> None:
    images, ages, _ = faces
    pixels = images - images.mean(0)
    years = ages - ages.mean()
    correlation = years @ pixels / np.sqrt((years @ years) * (pixels**2).sum(0))
    assert abs(correlation).max() < 0.62


def test_the_data_set_is_drawn_once_and_says_what_it_is(tmp_path) -> None:
    faces = drawn_faces(20, cache=tmp_path)
    assert (len(faces), faces.kind, faces.source) == (20, "drawn", "drawn")
    assert faces.fingerprint == drawn_faces(20, cache=tmp_path).fingerprint
    assert faces.fingerprint != drawn_faces(20, seed=1, cache=tmp_path).fingerprint
    assert np.array_equal(faces.images, draw(20, seed=0)[0])


def test_too_few_faces_are_an_error(tmp_path) -> None:
    with pytest.raises(DataError, match="count must be at least 2 faces, got 1"):
        drawn_faces(1, cache=tmp_path)
    with pytest.raises(ValueError, match="at least 0, got count=-1"):
        draw(-1, seed=0)
