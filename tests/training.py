"""Small trainings for several test files, and their comparison."""

from pathlib import Path
from typing import Any

import numpy as np

import minidl as md
from minidl import checkpoint, nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.nn import functional as F
from minidl.testing.arrays import numbers
from minidl.train import Callback, Trainer


def accuracy(outputs: Any, labels: Any) -> Any:
    return (outputs.argmax(1) == labels).mean()


def two_classes(count: int = 50) -> ArrayDataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    return ArrayDataset((rng.normal(size=(count, 4)) + labels[:, None]).astype(np.float32), labels)


def make(callbacks: Any = ()) -> tuple[Trainer, DataLoader, DataLoader]:
    """A trainer with every kind of state: dropout, batch norm, shuffling, Adam and a schedule."""
    md.seed(5)
    rng = md.Generator(1)
    model = nn.Sequential(nn.Dense(4, 8, rng=rng), nn.BatchNorm(8), nn.ReLU(), nn.Dropout(0.3), nn.Dense(8, 2, rng=rng))
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(0.01, 15))
    trainer = Trainer(model, F.softmax_cross_entropy, optimizer, {"accuracy": accuracy}, callbacks)
    data = two_classes()
    return trainer, DataLoader(data, 16, shuffle=True, seed=2), DataLoader(data, 20)


def trained(callbacks: Any = (), **until: int) -> Trainer:
    """This trainer after some ``epochs`` or ``steps``; an epoch has four steps."""
    trainer, train, validation = make(callbacks)
    trainer.fit(train, validation, **until)
    return trainer


def continued_from(state: Any, **until: int) -> Trainer:
    """A trainer with other weights and another seed that continued from a state."""
    trainer, train, validation = make()
    trainer.model[0].w.data[...] = 99  # type: ignore[index]
    md.seed(99)
    trainer.load_state_dict(state, train)
    trainer.fit(train, validation, **until)
    return trainer


def saved_in(folder: Path) -> Any:
    """The state saved by ``Checkpoint``."""
    return checkpoint.load_state(folder / "last.state.safetensors")


def regression(loss: Any = F.mse_loss, metrics: Any = None, callbacks: Any = ()) -> tuple[Trainer, DataLoader]:
    """A trainer that fits a line, and its data in one batch."""
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(-1, 1)
    model = nn.Dense(1, 1, rng=md.Generator(0))
    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), metrics, callbacks)
    return trainer, DataLoader(ArrayDataset(x, 3 * x), batch_size=16)


def small_model() -> nn.Sequential:
    """The same weights every time, without state."""
    return nn.Sequential(nn.Dense(3, 4, rng=md.Generator(0)), nn.Tanh(), nn.Dense(4, 1, rng=md.Generator(1)))


def regress(model: nn.Module, optimizer: optim.Optimizer, steps: range) -> None:
    """Steps with a different batch each."""
    for step in steps:
        x = md.tensor(numbers(5, 3, seed=step), dtype=np.float32)
        optimizer.zero_grad()
        F.mse_loss(model(x), np.ones((5, 1))).backward()
        optimizer.step()


class StopAfter(Callback):
    """Requests a stop after some steps, like Ctrl-C."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, trainer: Trainer) -> None:
        trainer.stopping |= trainer.optimizer.steps == self.steps


class StopInValidation(ArrayDataset):
    """Two classes; reading a batch stops the trainer."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(*two_classes().arrays)
        self.trainer = trainer

    def batch(self, indices: Any) -> Any:
        self.trainer.stopping = True
        return super().batch(indices)


def final(trainer: Trainer) -> dict[str, Any]:
    """All results of a training except the clock."""
    return {**trainer.model.state_dict(), **{f"row{i}": list(row.items()) for i, row in enumerate(trainer.history)}}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Assert that weights, or all results of a training, are equal bit for bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name
