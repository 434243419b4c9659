"""Planted faults: ``python -m tests.fuzz faults`` shows that the fuzzer, or the machine, finds each of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from minidl import nn, op, ops, optim, train
from minidl.data import DataLoader
from minidl.tensor import Tensor

Patch = pytest.MonkeyPatch
ENOUGH = 3000
TENSOR: Any = import_module("minidl.tensor")  # minidl.tensor is a function


@dataclass(frozen=True)
class Fault:
    """A fault, as a patch, and what finds it."""

    finder: str
    plant: Callable[[Patch], None]


def sums_the_wrong_axes(patch: Patch) -> None:
    """The gradient of a broadcast input is the mean over the copies, not the sum."""
    right = op.unbroadcast

    def unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
        return right(gradient, shape) * gradient.dtype.type(np.prod(shape) / max(1, gradient.size))

    patch.setattr(op, "unbroadcast", unbroadcast)


def loses_what_came_before(patch: Patch) -> None:
    """The gradient of a second backward pass replaces the first one."""
    patch.setattr(TENSOR, "_total", lambda x, dx: dx)


def shares_gradients(patch: Patch) -> None:
    """Two leaves share one array as their gradient."""
    patch.setattr(TENSOR, "_owned", lambda dx, *rest: dx)


def leaks_below_zero(patch: Patch) -> None:
    """ReLU passes a hundredth of the gradient at negative inputs."""
    patch.setattr(ops.ReLU, "backward", lambda self, dy: (np.where(self.saved[0] > 0, dy, dy * dy.dtype.type(0.01)),))


def becomes_float64(patch: Patch) -> None:
    """Running averages become float64."""
    right = nn.BatchNorm.forward

    def forward(self: Any, x: Tensor) -> Tensor:
        y = right(self, x)
        self.mean.data = self.mean.data.astype(np.float64)
        return y

    patch.setattr(nn.BatchNorm, "forward", forward)


def normalises_by_the_batch(patch: Patch) -> None:
    """BatchNorm uses the batch statistics in evaluation, too."""
    right = nn.BatchNorm.forward

    def forward(self: Any, x: Tensor) -> Tensor:
        return right(self, x) if self.training else nn.functional.batch_norm(x, self.gamma, self.beta, eps=self.eps)

    patch.setattr(nn.BatchNorm, "forward", forward)


def keeps_the_momentum(patch: Patch) -> None:
    """Loading a state does not change the optimizer's state."""
    right = optim.Optimizer.load_state_dict

    def load(self: Any, saved: Mapping[str, Any]) -> None:
        before = {name: dict(state) for name, state in self.state.items()}
        right(self, saved)
        for name, state in before.items():
            self.state[name].update(state)

    patch.setattr(optim.Optimizer, "load_state_dict", load)


def forgets_the_step(patch: Patch) -> None:
    """The step count of Adam is not saved."""
    right = optim.Optimizer.state_dict

    def state_dict(self: Any) -> Any:
        state = right(self)
        for remembered in state["state"].values():
            remembered.update({"t": 0} if "t" in remembered else {})
        return state

    patch.setattr(optim.Optimizer, "state_dict", state_dict)


def skips_a_batch(patch: Patch) -> None:
    """A resumed loader starts one batch too late."""
    right = DataLoader.load_state_dict

    def load(self: Any, state: Mapping[str, Any]) -> None:
        late = min(state["position"] + 1, len(self)) if state["position"] else 0
        right(self, {**state, "position": late})

    patch.setattr(DataLoader, "load_state_dict", load)


def drops_the_last_batch(patch: Patch) -> None:
    """The samples of an incomplete batch are missing."""
    patch.setattr(DataLoader, "__len__", lambda self: len(self.dataset) // self.batch_size)


def shares_the_history(patch: Patch) -> None:
    """A saved history grows with later training."""
    right = train.Trainer.state_dict
    patch.setattr(train.Trainer, "state_dict", lambda self: {**right(self), "history": self.history})


def stays_in_evaluation(patch: Patch) -> None:
    """Evaluation leaves the model in evaluation mode."""
    right = train.Trainer.evaluate

    def evaluate(self: Any, loader: Any) -> Any:
        row = right(self, loader)
        self.model.eval()
        return row

    patch.setattr(train.Trainer, "evaluate", evaluate)


FAULTS: dict[str, Fault] = {
    plant.__name__: Fault(finder, plant)
    for finder, plants in {
        "programs": (
            sums_the_wrong_axes,
            loses_what_came_before,
            shares_gradients,
            leaks_below_zero,
            becomes_float64,
            normalises_by_the_batch,
        ),
        "machine": (
            keeps_the_momentum,
            forgets_the_step,
            skips_a_batch,
            drops_the_last_batch,
            shares_the_history,
            stays_in_evaluation,
        ),
    }.items()
    for plant in plants
}


FINDERS = {"programs": "against_torch", "machine": "machine"}


def found(name: str) -> tuple[int, list[str], Any]:
    """The first seed that shows a fault, the case and the difference; differences without the fault do not count."""
    fault = FAULTS[name]
    finder: Any = import_module(f"tests.fuzz.{FINDERS[fault.finder]}")
    for seed in range(ENOUGH):
        with Patch.context() as patch:
            fault.plant(patch)
            written = finder.write(seed)
            case = written if fault.finder == "machine" else written[0]
            difference = finder.run(case)
        if difference is not None and finder.run(case) is None:
            return seed, case, difference
    raise AssertionError(f"{name} was not found in {ENOUGH} cases")


def main() -> int:
    """Find all faults."""
    for name, fault in FAULTS.items():
        seed, case, difference = found(name)
        finder: Any = import_module(f"tests.fuzz.{FINDERS[fault.finder]}")
        with Patch.context() as patch:
            fault.plant(patch)
            short = finder.shortest(case, difference)
        print(f"# {name}: {fault.plant.__doc__}", f"# {fault.finder}, seed {seed}", *short, sep="\n", end="\n\n")
    print(f"{len(FAULTS)} faults, all found")
    return 0
