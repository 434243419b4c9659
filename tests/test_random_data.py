"""Data sets with random samples are reproducible from the seed of the loader, in any loop, and after a stop."""

from itertools import chain
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import backends, nn
from minidl.data import DataLoader, Dataset
from minidl.train import Trainer

from .datasets import Computed
from .training import assert_same, final, make, two_classes


class Drawn(Dataset):
    """Samples of random numbers; as a complete batch on request."""

    mirrors = True

    def __init__(self, length: int = 7) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return md.random.default_rng.random(), index

    def batch(self, indices: Any, mirror: Any = None) -> Any:
        return super().batch(indices)


def numbers(batches: Any) -> list[list[float]]:
    return [backends.to_host(drawn).tolist() for drawn, _ in batches]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_data_set_draws_from_a_generator_of_its_batch(prefetch: int, mirror: bool) -> None:
    def made(seed: int = 3, **options: Any) -> DataLoader:
        return DataLoader(Drawn(), 2, seed=seed, prefetch=prefetch, **options)

    before = md.random.default_rng.state
    one = made(mirror=mirror)
    epochs = [numbers(one), numbers(one)]
    assert md.random.default_rng.state == before
    assert epochs == [numbers(other) for other in [made()] for _ in range(2)]
    assert len({number for part in chain(*epochs, numbers(made(seed=4))) for number in part}) == 3 * 7
    last = made()
    last.load_state_dict(made().state_dict() | {"epoch": 1, "position": 2})
    assert numbers(last) == epochs[1][2:]


def test_a_data_set_draws_the_same_where_batches_go_to_a_device() -> None:
    assert numbers(DataLoader(Drawn(), 2, backend="strict")) == numbers(DataLoader(Drawn(), 2))


def test_loops_side_by_side_and_inside_a_data_set_draw_each_from_their_own() -> None:
    class Outer(Drawn):
        def __getitem__(self, index: int) -> Any:
            first = md.random.default_rng.random()
            inner = numbers(DataLoader(Drawn(3), 2))
            return first + md.random.default_rng.random(), inner[1][0]

    assert numbers(DataLoader(Outer(), 2)) == numbers(DataLoader(Outer(), 2, prefetch=0))
    one, expected = DataLoader(Drawn(), 2), numbers(DataLoader(Drawn(), 2))
    pairs = list(zip(one, one, strict=True))
    assert numbers(first for first, _ in pairs) == numbers(second for _, second in pairs) == expected


def test_a_seed_that_a_data_set_sets_and_its_errors_stay_in_its_batch() -> None:
    class Seeds(Drawn):
        def __getitem__(self, index: int) -> Any:
            md.seed(index)
            if index == 3:
                raise OSError("disk error")
            return md.random.default_rng.random(), md.random.default_rng.state["state"]["inc"] % 7

    before = md.random.default_rng.state
    for prefetch in (0, 2):
        with pytest.raises(OSError, match="disk error"):
            numbers(DataLoader(Seeds(), 2, prefetch=prefetch))
        assert md.random.default_rng.state == before


HELD = md.random.default_rng
DRAWS = {
    "default_rng": lambda: md.random.default_rng.normal(size=4),
    "held": lambda: HELD.normal(size=4),
    "randn": lambda: md.randn(4).numpy(),
    "dropout": lambda: nn.functional.dropout(md.tensor(np.ones(4)), 0.5, training=True).numpy(),
}


def noisy(kind: str, prefetch: int) -> tuple[Trainer, DataLoader, DataLoader]:
    """A trainer and two classes whose samples are never the same again."""
    trainer, _, _ = make()
    data, draw = two_classes(), DRAWS[kind]

    def sample(index: int) -> Any:
        x, label = data[index]
        return x + draw().astype(np.float32), label

    drawing = Computed(len(data), sample)
    train, validation = (DataLoader(drawing, size, shuffle=True, prefetch=prefetch) for size in (16, 20))
    return trainer, train, validation


@pytest.mark.parametrize("kind", DRAWS)
def test_a_data_set_that_draws_repeats_beside_a_model_that_draws_whatever_is_made_ahead(kind: str) -> None:
    ends = []
    for prefetch in (2, 2, 2, 0, 1, 9):
        trainer, train, validation = noisy(kind, prefetch)
        trainer.fit(train, validation, epochs=2)
        ends.append((final(trainer), md.random.default_rng.state))
    for end, state in ends[1:]:
        assert_same(end, ends[0][0])
        assert state == ends[0][1]


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("steps", [1, 3, 4, 5, 8])
def test_a_data_set_that_draws_resumes_bit_for_bit(steps: int, prefetch: int) -> None:
    """The validation, too, whose loader position is not in the state."""
    whole, train, validation = noisy("default_rng", prefetch)
    whole.fit(train, validation, epochs=3)
    first, train, validation = noisy("default_rng", prefetch)
    first.fit(train, validation, steps=steps)
    state = first.state_dict()
    resumed, train, validation = noisy("default_rng", 2 - prefetch)
    md.seed(99)
    resumed.load_state_dict(state, train)
    resumed.evaluate(validation)
    resumed.fit(train, validation, epochs=3)
    assert_same(final(resumed), final(whole))
