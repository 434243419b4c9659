"""A training step of a tiny network: the overhead per op of minidl and of other frameworks.

Two dense layers on 8 features, trained by gradient descent, in the usual style of each framework. All run alternately
in this process, and must reach the same loss.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from functools import partial
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
    """Weights, input and target, the same for all frameworks."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (8, 8), "b1": (8,), "w2": (8, 1), "b2": (1,)}
    weights = {name: rng.standard_normal(shape, np.float32) / 4 for name, shape in shapes.items()}
    return weights, rng.standard_normal((1, 8), np.float32), np.ones((1, 1), np.float32)


def ours() -> Step:
    """minidl."""
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


def pytorch() -> Step:
    """PyTorch."""
    import torch

    weights, x, target = start()
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    for parameter, value in zip(model.parameters(), weights.values(), strict=True):
        parameter.data = torch.from_numpy(value.T.copy())
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    wanted = torch.from_numpy(target)

    def step() -> float:
        loss = torch.nn.functional.mse_loss(model(torch.from_numpy(x)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def mygrad(guarded: bool = True) -> Step:
    """MyGrad; ``guarded=False`` turns its memory guard off, as its documentation advises for speed."""
    import mygrad as mg
    from mygrad.nnet.activations import relu

    weights, x, target = start()
    w = {name: mg.tensor(value) for name, value in weights.items()}

    def one() -> float:
        apart = mg.matmul(relu(mg.matmul(x, w["w1"]) + w["b1"]), w["w2"]) + w["b2"] - target
        loss = mg.mean(apart * apart)
        loss.backward()
        for parameter in w.values():
            parameter.data -= LR * parameter.grad
            parameter.null_grad()
        return float(loss.item())

    def step() -> float:
        with mg.mem_guard_on if guarded else mg.mem_guard_off:
            return one()

    return step


def autograd() -> Step:
    """HIPS autograd."""
    from autograd import numpy as anp
    from autograd import value_and_grad

    w, x, target = start()

    def error(w: Arrays) -> Any:
        hidden = anp.maximum(anp.dot(x, w["w1"]) + w["b1"], 0)
        apart = anp.dot(hidden, w["w2"]) + w["b2"] - target
        return anp.mean(apart * apart)

    with_gradients = value_and_grad(error)

    def step() -> float:
        loss, gradients = with_gradients(w)
        for name, gradient in gradients.items():
            w[name] -= LR * gradient
        return float(loss)

    return step


FRAMEWORKS: dict[str, tuple[str, Callable[[], Step]]] = {
    "minidl": ("minidl", ours),
    "PyTorch": ("torch", pytorch),
    "MyGrad": ("mygrad", mygrad),
    "MyGrad, unguarded": ("mygrad", partial(mygrad, guarded=False)),
    "autograd": ("autograd", autograd),
}
"""The package that each needs, and the function that creates its step."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--rounds", type=int, default=9, help="rounds, of which the median is shown (default: 9)")
    parser.add_argument("--steps", type=int, default=1000, help="steps in a round (default: 1000)")
    parser.add_argument("--json", action="store_true", help="print JSON, with every round")


def run(given: argparse.Namespace) -> int:
    """Measure and print the results."""
    for option in ("rounds", "steps"):
        if getattr(given, option) < 1:
            raise MinidlError(f"--{option} must be >= 1, got {getattr(given, option)}")
    result = measure(given.rounds, given.steps)
    if given.json:
        print(json.dumps(result))
        return 0
    print(table([HEADER, *rows(result)]))
    print(f"\nMedians of {counted(given.rounds, 'round')}, with the fastest and the slowest round.")
    print(f"Measured: {machine.line(result['machine'])}.")
    for name, (package, _) in FRAMEWORKS.items():
        if name not in result["microseconds"]:
            print(f"{name}: not installed: pip install {package}")
    return 0


def measure(rounds: int, steps: int) -> dict[str, Any]:
    """Microseconds per step of every installed framework, and how many times as fast minidl is."""
    made = {name: make() for name, (package, make) in FRAMEWORKS.items() if importlib.util.find_spec(package)}
    taken: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        losses = {}
        for name, step in made.items():
            started = time.perf_counter()
            for _ in range(steps):
                losses[name] = step()
            taken[name].append(1e6 * (time.perf_counter() - started) / steps)
        if not np.allclose(list(losses.values()), losses["minidl"], rtol=1e-3, atol=1e-8):
            raise MinidlError(f"the frameworks compute different results: their losses are {losses}")
    times = {name: {"median": median(values), "rounds": values} for name, values in taken.items()}
    ratios = {name: median(values) / median(taken["minidl"]) for name, values in taken.items() if name != "minidl"}
    return {"machine": machine.describe(), "rounds": rounds, "steps": steps, "microseconds": times, "ratios": ratios}


HEADER = ("framework", "one step, microseconds", "minidl is ... times as fast")


def rows(result: dict[str, Any]) -> list[list[str]]:
    """One row per framework."""
    return [
        [
            name,
            f"{times['median']:.0f} ({min(times['rounds']):.0f} to {max(times['rounds']):.0f})",
            f"{result['ratios'][name]:.2f}" if name in result["ratios"] else "",
        ]
        for name, times in result["microseconds"].items()
    ]
