"""Drawn faces as a data set: cached, and the fallback if no data set is found."""

from pathlib import Path

import numpy as np
import pytest
from pictures import isolate

from agegender import data
from agegender.data import DataError


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def test_drawn_faces_are_cached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        calls.append((count, seed))
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (count, 128, 128), dtype=np.uint8)
        return images, np.arange(count, dtype=np.int16), np.arange(count, dtype=np.uint8) % 2

    monkeypatch.setattr("agegender.data._artist.draw", draw)
    faces = data.drawn(12, seed=5)
    assert faces.kind == faces.source == "drawn"
    assert faces.names[11] == "drawn-00011"
    assert faces.ages.tolist() == list(range(12))
    assert faces.genders.tolist() == [0, 1] * 6
    assert set(faces.ethnicities.tolist()) == {-1}
    assert np.array_equal(faces.images, draw(12, 5)[0])
    assert len(set(faces.digests)) == 12
    calls.clear()
    assert data.drawn(12, seed=5).fingerprint == faces.fingerprint
    assert calls == []
    assert data.drawn(12, seed=6).fingerprint != faces.fingerprint
    monkeypatch.setattr("agegender.data._artist.VERSION", "other")
    data.drawn(12, seed=5)
    assert calls == [(12, 6), (12, 5)]
    with pytest.raises(DataError, match="at least 2"):
        data.drawn(1)


def test_drawn_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.zeros((count, 128, 128), np.uint8), np.full(count, 20, np.int16), np.zeros(count, np.uint8)

    monkeypatch.setattr("agegender.data._artist.draw", draw)
    assert data.open().kind == "drawn"
    assert data.open("drawn").kind == "drawn"
    assert len(data.open(cache=tmp_path / "own")) == 2000
