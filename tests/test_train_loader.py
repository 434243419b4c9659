"""The position of a training in its loader, whose options may change during it."""

from typing import Any

import pytest

from minidl.data import ArrayDataset, DataLoader
from minidl.train import Callback, Trainer

from .training import make, two_classes


class Indices(ArrayDataset):
    """Two classes; records which samples were requested."""

    def __init__(self) -> None:
        super().__init__(*two_classes().arrays)
        self.asked: list[list[int]] = []

    def batch(self, indices: Any) -> Any:
        self.asked.append(indices.tolist())
        return super().batch(indices)


@pytest.mark.parametrize("steps", [4, 2])
@pytest.mark.parametrize(
    ("option", "value"), [("seed", 5), ("shuffle", False), ("batch_size", 20), ("drop_last", True)]
)
def test_an_option_of_the_loader_that_was_changed_between_two_fits_counts(option: str, value: Any, steps: int) -> None:
    """An epoch has four steps; after two of them it restarts, because its batches have changed."""
    trainer, _, validation = make()
    train = DataLoader(Indices(), 16, shuffle=True, seed=2, prefetch=0)
    trainer.fit(train, validation, steps=steps)
    setattr(train, option, value)
    asked: list[Any] = train.dataset.asked  # type: ignore[attr-defined]
    asked.clear()
    trainer.fit(train, validation, epochs=1 + steps // 4)
    expected = DataLoader(Indices(), 16, shuffle=True, seed=2, prefetch=0)
    setattr(expected, option, value)
    expected.epoch = steps // 4
    assert len(list(expected)) == len(asked)
    assert asked == expected.dataset.asked  # type: ignore[attr-defined]
    assert getattr(train, option) == value
    assert trainer.optimizer.steps == steps + len(asked)
    assert trainer.totals.count == 0


def test_an_option_of_the_loader_that_a_callback_changes_counts_in_the_next_epoch() -> None:
    class OtherSeed(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            train.seed = trainer.epoch

    trainer, _, _ = make([OtherSeed()])
    train = DataLoader(Indices(), 16, shuffle=True, seed=2, prefetch=0)
    trainer.fit(train, epochs=2)
    expected = DataLoader(Indices(), 16, shuffle=True, seed=2, prefetch=0)
    for _ in range(2):
        list(expected)
        expected.seed = 1
    assert train.dataset.asked == expected.dataset.asked  # type: ignore[attr-defined]
