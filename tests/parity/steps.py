"""``python -m tests.parity.steps``: 100 Adam steps of the documented network against PyTorch.

Both start from the same weights and use the same batches of drawn faces. In float64 the two trajectories must agree to
1e-8. In float32 any two implementations differ by rounding, so PyTorch itself is the yardstick: its two memory layouts
compute the same mathematics in different orders, and minidl may differ from PyTorch by at most three times as much as
they differ from each other. The ratio varies between seeds, so the differences are averaged over several.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agegender import data
from tests.benchmarks.peers import ours, pytorch

Losses = NDArray[np.float64]


def batches(faces: data.Faces, steps: int, size: int, seed: int, dtype: Any) -> Iterator[ours.Batch]:
    """Random batches of faces, the same for every framework."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        images, targets = faces.batch(rng.choice(len(faces), size, replace=False))
        yield images.astype(dtype), {name: values.astype(dtype) for name, values in targets.items()}


@dataclass
class Trajectory:
    """The loss of every step, and the weights after the last."""

    losses: Losses
    weights: NDArray[Any]


def trajectory(training: Any, steps: Iterator[ours.Batch]) -> Trajectory:
    """Run a training over all batches."""
    losses = [training(*training.put(batch)) for batch in steps]
    return Trajectory(np.array(losses), training.weights())


def distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The relative difference in the Euclidean norm."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def double(faces: data.Faces, steps: int, size: int, seed: int) -> dict[str, float]:
    """minidl against PyTorch in float64: the largest relative difference of a loss, and that of the weights."""
    start = ours.weights(seed, np.float64)
    both = [
        trajectory(training, batches(faces, steps, size, seed, np.float64))
        for training in (ours.Training(start), pytorch.Training(start, dtype="float64"))
    ]
    losses = np.abs(both[0].losses / both[1].losses - 1)
    return {"losses": float(losses.max()), "weights": distance(both[0].weights, both[1].weights)}


def single(faces: data.Faces, steps: int, size: int, seed: int) -> dict[str, float]:
    """The differences of the losses in float32: minidl against PyTorch, and PyTorch's layouts against each other."""
    start = ours.weights(seed)
    trainings = (
        ours.Training(start),
        pytorch.Training(start),
        pytorch.Training(start, "channels_last"),
    )
    mine, default, channels_last = (
        trajectory(training, batches(faces, steps, size, seed, np.float32)).losses for training in trainings
    )
    return {"minidl": distance(mine, default), "channels_last": distance(channels_last, default)}


def ratio(rows: list[dict[str, float]]) -> float:
    """The ratio of minidl's difference from PyTorch to that between PyTorch's layouts, averaged over seeds."""
    return float(np.mean([row["minidl"] for row in rows]) / np.mean([row["channels_last"] for row in rows]))


def main() -> None:
    """Print both comparisons as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.steps", description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds to average over in float32")
    given = parser.parse_args()
    faces = data.open("drawn")
    rows = [single(faces, given.steps, given.batch_size, seed) for seed in range(given.seeds)]
    result = {
        "steps": given.steps,
        "batch_size": given.batch_size,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "float64": double(faces, given.steps, given.batch_size, seed=0),
        "float32": rows,
        "float32_ratio": ratio(rows),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
