"""Training without checkpoints: a NumPy loop over a tape of all events since the first step.

The result of a history (weights, rows, counts) is always recomputed from the tape, so nothing can be forgotten, shared
or counted twice: saving copies the tape.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Array = Any
DECAY, MOMENTUM, BETAS, EPS = 0.01, 0.9, (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Setting:
    """The constants of a history."""

    samples: int = 7
    batch: int = 3
    shuffle: bool = True
    drop_last: bool = False
    optimizer: str = "SGD"
    schedule: bool = False
    dropout: str = ""
    """The source of the dropout masks: "default", the global generator, or "own"; none without dropout."""
    prefetch: int = 0

    def data(self, seed: int = 0) -> tuple[Array, Array]:
        """Inputs (samples, 2) and targets (samples, 1), all different."""
        numbers = np.arange(2.0 * self.samples) + 100 * seed
        return np.sin(numbers).reshape(-1, 2), (np.cos(numbers[::2]) + numbers[::2] / 50).reshape(-1, 1)

    def weights(self) -> tuple[Array, Array]:
        """The initial w (2, 1) and b (1,)."""
        return np.array([[0.5], [-0.25]]), np.array([0.125])

    def lr(self, step: int) -> float:
        """The learning rate of a step, unless it was set."""
        return 0.1 * 0.5 ** (step // 3) if self.schedule else 0.05

    def batches(self, size: int, loader_seed: int, epoch: int) -> list[list[int]]:
        """The sample indices of all batches of an epoch."""
        source = np.random.Generator(np.random.PCG64(np.random.SeedSequence([loader_seed, epoch])))
        order = source.permutation(self.samples) if self.shuffle else np.arange(self.samples)
        parts = [order[start : start + size].tolist() for start in range(0, self.samples, size)]
        return parts[:-1] if self.drop_last and len(parts[-1]) < size else parts


class Result(NamedTuple):
    """The result of a tape."""

    w: Array
    b: Array
    history: list[dict[str, float]]
    steps: int
    lr: float
    samples: int
    count: int
    """Samples of the current epoch."""


def replay(setting: Setting, tape: list[Any]) -> Result:
    """Run all events from the start: ("step", samples), ("draw", n), ("row", validated), ("anew",), ("lr", value),
    ("weights", the tape that they are loaded from)."""
    w, b = setting.weights()
    x, t = setting.data()
    state: dict[str, Array] = {}
    history: list[dict[str, float]] = []
    steps = trained = count = 0
    total = 0.0
    lr = setting.lr(0)
    source = np.random.Generator(np.random.PCG64(5))
    for event, *rest in tape:
        if event == "draw":
            source.random((rest[0], 2), dtype="float32")
        elif event == "step":
            (samples,) = rest
            inputs, n = x[samples], len(samples)
            if setting.dropout:
                inputs = inputs * (source.random((n, 2), dtype="float32") >= 0.25) / 0.75
            error = inputs @ w + b - t[samples]
            total, count, trained = total + float((error * error).sum()), count + n, trained + n
            lr = setting.lr(steps) if setting.schedule else lr
            steps += 1
            for name, value, gradient in (("w", w, inputs.T @ error * 2 / n), ("b", b, error.sum(axis=0) * 2 / n)):
                value -= _change(setting.optimizer, lr, steps, value, gradient, state, name)
        elif event == "row":
            row = {"epoch": len(history) + 1, "lr": lr, "loss": total / count}
            history.append({**row, "val_loss": validation(setting, w, b)} if rest[0] else row)
            total, count = 0.0, 0
        elif event == "anew":
            total, count = 0.0, 0
        elif event == "lr":
            (lr,) = rest
        else:
            other = replay(setting, rest[0])
            w, b = other.w, other.b
    return Result(w, b, history, steps, lr, trained, count)


def validation(setting: Setting, w: Array, b: Array) -> float:
    """The loss on other data."""
    x, t = setting.data(seed=1)
    return float(((x @ w + b - t) ** 2).mean())


def _change(kind: str, lr: float, t: int, value: Array, g: Array, state: dict[str, Array], name: str) -> Array:
    """The update that a step subtracts from a parameter."""
    if kind == "SGD":
        g = g + DECAY * value
        state[name] = MOMENTUM * state.get(name, 0) + g
        return lr * state[name]
    m, v = state.get(name, (0.0, 0.0))
    m, v = BETAS[0] * m + (1 - BETAS[0]) * g, BETAS[1] * v + (1 - BETAS[1]) * g * g
    state[name] = m, v
    step = lr * (m / (1 - BETAS[0] ** t)) / (np.sqrt(v / (1 - BETAS[1] ** t)) + EPS)
    return step + lr * DECAY * value if kind == "AdamW" else step


@dataclass
class Plain:
    """The position of a training: the tape, and the place in the data."""

    setting: Setting
    tape: list[Any] = field(default_factory=list)
    loader: str = ""
    """The name of the training loader."""
    epoch: int = 0
    position: int = 0
    """The next batch of this epoch of the loader."""

    @property
    def rows(self) -> int:
        return sum(event[0] == "row" for event in self.tape)

    @property
    def steps(self) -> int:
        return sum(event[0] == "step" for event in self.tape)

    def anew(self) -> None:
        """Discard the current epoch: its first batch comes next."""
        self.tape.append(("anew",))
        self.position = 0

    def fit(self, loader: Any, plan: Any) -> str:
        """Train like Trainer.fit; returns what ended it: "", or the place of the planned failure."""
        if loader.name != self.loader:
            self.anew()
            self.loader, self.epoch, self.position = loader.name, loader.epoch, loader.resume
        epochs = plan.epochs if plan.epochs is not None else 1 if plan.steps is None else math.inf
        limit = math.inf if plan.steps is None else plan.steps
        while self.rows < epochs:
            batches = self.setting.batches(loader.batch, loader.seed, self.epoch)
            if self.position < len(batches):
                if self.steps >= limit:
                    return ""
                ended = self._step(batches[self.position], plan)
                loader.epoch, loader.resume = self.epoch + (self.position == len(batches)), 0
                if ended == "failed":
                    loader.epoch = self.epoch
                    self.anew()
                    return plan.fail
                if ended:
                    return ""
            if self.position == len(batches):
                if plan.fail == "validation" and plan.validation:
                    return "validation"
                self.tape.append(("row", plan.validation))
                self.epoch, self.position = self.epoch + 1, 0
                if plan.fail == "epoch" and plan.at == self.rows:
                    return "epoch"
                if plan.stop_epoch == self.rows:
                    return ""
        return ""

    def _step(self, samples: list[int], plan: Any) -> str:
        if plan.fail == "loss" and plan.at == self.steps + 1:
            self.tape.append(("draw", len(samples)))
            return "failed"
        self.tape.append(("step", samples))
        self.position += 1
        if plan.fail == "step" and plan.at == self.steps:
            return "failed"
        return "stopped" if plan.stop == self.steps else ""
