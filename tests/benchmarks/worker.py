"""One framework in a process of its own, which works when asked: ``python -m tests.benchmarks.worker NAME BATCH``.

Every line on stdin, "train STEPS" or "predict STEPS", is answered by the seconds that they took.
"""

import sys
import time
from typing import Any

import numpy as np

NAMES = ("minidl", "pytorch_channels_last", "pytorch_default")


def training(name: str) -> Any:
    """The documented network in the framework of that name, ready to train on two threads."""
    from tests.peers import ours

    weights = ours.weights(seed=0)
    if name == "minidl":
        return ours.Training(weights)
    import torch

    from tests.peers import pytorch

    layout = torch.channels_last if name == "pytorch_channels_last" else torch.contiguous_format
    return pytorch.Training(weights, layout)


def random_batch(size: int) -> Any:
    """Random pictures and labels."""
    rng = np.random.default_rng(0)
    images = rng.random((size, 128, 128, 1), np.float32)
    genders = rng.integers(0, 2, (size, 1)).astype(np.float32)
    return images, {"gender": genders, "age": rng.uniform(1, 90, (size, 1)).astype(np.float32)}


def main() -> None:
    """Answer requests until stdin ends."""
    name, size = sys.argv[1], int(sys.argv[2])
    work = training(name)
    batch = work.put(random_batch(size))
    for line in sys.stdin:
        task, steps = line.split()
        started = time.perf_counter()
        for _ in range(int(steps)):
            work(*batch) if task == "train" else work.predict(batch[0])
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
