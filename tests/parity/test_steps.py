"""100 Adam steps against PyTorch, with small batches; ``python -m tests.parity.steps`` runs the full version."""

from pathlib import Path
from types import ModuleType

import pytest

from agegender import data

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def steps() -> ModuleType:
    from tests.parity import steps

    return steps


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> data.Faces:
    cache: Path = tmp_path_factory.mktemp("cache")
    return data.drawn(100, cache=cache)


def test_float64_follows_pytorch(steps: ModuleType, faces: data.Faces) -> None:
    apart = steps.double(faces, steps=100, size=2, seed=0)
    assert apart["losses"] < 1e-8
    assert apart["weights"] < 1e-8


def test_float32_is_no_further_from_pytorch_than_thrice_its_own_layouts(steps: ModuleType, faces: data.Faces) -> None:
    rows = [steps.single(faces, steps=100, size=2, seed=seed) for seed in range(2)]
    assert steps.ratio(rows) < 3
