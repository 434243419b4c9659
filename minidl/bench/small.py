"""A training step of a tiny network: the overhead of minidl per op.

Two dense layers on 8 features, trained by gradient descent.
"""

import argparse
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from .. import nn, optim, tensor
from ..errors import MinidlError, counted
from ..table import table
from . import machine

LR = 0.01
Arrays = dict[str, Any]
Step = Callable[[], float]
"""One training step; returns the loss."""


def start() -> tuple[Arrays, Any, Any]:
    """Weights, input and target."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (8, 8), "b1": (8,), "w2": (8, 1), "b2": (1,)}
    weights = {name: rng.standard_normal(shape, np.float32) / 4 for name, shape in shapes.items()}
    return weights, rng.standard_normal((1, 8), np.float32), np.ones((1, 1), np.float32)


def ours() -> Step:
    """The network and its optimizer, ready to train."""
    weights, x, target = start()
    model = nn.Sequential(nn.Dense(8, 8), nn.ReLU(), nn.Dense(8, 1))
    for parameter, value in zip(model.parameters(), weights.values(), strict=True):
        parameter.data = value
    optimizer = optim.SGD(model.parameters(), lr=LR)

    def step() -> float:
        loss = nn.functional.mse_loss(model(tensor(x)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--rounds", type=int, default=9, help="rounds, of which the median is shown (default: 9)")
    parser.add_argument("--steps", type=int, default=1000, help="steps in a round (default: 1000)")
    parser.add_argument("--json", action="store_true", help="print JSON, with every round")


def run(given: argparse.Namespace) -> int:
    """Measure and print the result."""
    require_counts(given)
    step = ours()
    taken = summary([timed(step, given.steps)[0] for _ in range(given.rounds)])
    about = machine.describe()
    if given.json:
        result = {"machine": about, "rounds": given.rounds, "steps": given.steps, "microseconds": {"minidl": taken}}
        print(json.dumps(result))
        return 0
    print(table([("", "one step, microseconds"), ("minidl", shown(taken))]))
    print(f"\nThe median of {counted(given.rounds, 'round')}, with the fastest and the slowest round.")
    print(f"Measured: {machine.line(about)}.")
    return 0


def require_counts(given: argparse.Namespace) -> None:
    """Raise :class:`MinidlError` for a number of rounds or steps below 1."""
    for option in ("rounds", "steps"):
        if getattr(given, option) < 1:
            raise MinidlError(f"--{option} must be >= 1, got {getattr(given, option)}")


def timed(step: Step, count: int) -> tuple[float, float]:
    """Microseconds per step in one round, and the loss of the last step."""
    started = time.perf_counter()
    for _ in range(count):
        loss = step()
    return 1e6 * (time.perf_counter() - started) / count, loss


def summary(rounds: list[float]) -> dict[str, Any]:
    """The microseconds of all rounds, and their median."""
    return {"median": median(rounds), "rounds": rounds}


def shown(taken: dict[str, Any]) -> str:
    """The median, with the fastest and the slowest round."""
    return f"{taken['median']:.0f} ({min(taken['rounds']):.0f} to {max(taken['rounds']):.0f})"
