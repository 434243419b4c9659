"""``python -m tests.benchmarks.peers.small``: the overhead per op of minidl and of other frameworks.

The tiny network of ``python -m minidl bench small``, in the usual style of each framework. All run alternately in this
process, and must reach the same loss.
"""

import argparse
import importlib.util
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minidl import command
from minidl.bench import machine
from minidl.bench.small import LR, Arrays, Step, add_arguments, ours, require_counts, shown, start, summary, timed
from minidl.errors import MinidlError
from minidl.table import table

from .frameworks import PACKAGES


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the results."""
    parser = command.Parser(prog="python -m tests.benchmarks.peers.small", description=__doc__.partition(": ")[2])
    add_arguments(parser)
    given = argparse.Namespace(**parser.given(arguments))
    require_counts(given)
    result = measure(given.rounds, given.steps)
    if given.json:
        print(json.dumps(result))
        return 0
    print(table([HEADER, *rows(result)]))
    print(f"\nMedians of {given.rounds} rounds, with the fastest and the slowest round.")
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
            microseconds, losses[name] = timed(step, steps)
            taken[name].append(microseconds)
        if not np.allclose(list(losses.values()), losses["minidl"], rtol=1e-3, atol=1e-8):
            raise MinidlError(f"the frameworks compute different results: their losses are {losses}")
    times = {name: summary(values) for name, values in taken.items()}
    mine = times["minidl"]["median"]
    return {
        "machine": machine.describe(*PACKAGES),
        "rounds": rounds,
        "steps": steps,
        "microseconds": times,
        "ratios": {name: each["median"] / mine for name, each in times.items() if name != "minidl"},
    }


HEADER = ("framework", "one step, microseconds", "minidl is ... times as fast")


def rows(result: dict[str, Any]) -> list[list[str]]:
    """One row per framework."""
    ratios = result["ratios"]
    return [
        [name, shown(taken), f"{ratios[name]:.2f}" if name in ratios else ""]
        for name, taken in result["microseconds"].items()
    ]


if __name__ == "__main__":
    command.run(main)
