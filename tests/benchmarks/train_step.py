"""``python -m tests.benchmarks.train_step``: images/s of the documented network, beside PyTorch's.

Every framework has a process of its own with the same number of threads, and is asked in turn, A B C A B C ..., while
the others wait. Machines are noisy: what counts is the ratio of the medians.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

from tests.benchmarks import machine, worker


class Peer:
    """A worker process and the rates that it reached."""

    def __init__(self, name: str, batch_size: int, threads: int) -> None:
        self.batch_size = batch_size
        self.rates: dict[str, list[float]] = {"train": [], "predict": []}
        environment = {"MINIDL_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", name, str(batch_size)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment,
        )  # fmt: skip

    def ask(self, task: str, steps: int) -> float:
        """Images/s over some steps."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{task} {steps}\n")
        self.process.stdin.flush()
        return steps * self.batch_size / float(self.process.stdout.readline())


def measure(names: tuple[str, ...], batch_size: int, rounds: int, steps: int, threads: int) -> dict[str, Any]:
    """Rates by framework and task: the median, the spread, and every round."""
    peers = {name: Peer(name, batch_size, threads) for name in names}
    for peer in peers.values():
        for task in peer.rates:
            peer.ask(task, 2)  # warm
    for _ in range(rounds):
        for task in ("train", "predict"):
            for peer in peers.values():
                time.sleep(0.3)  # the threads of the one before may spin a while
                peer.rates[task].append(peer.ask(task, steps))
    for peer in peers.values():
        peer.process.communicate()
    return {
        task: {name: {"median": median(peer.rates[task]), "rounds": peer.rates[task]} for name, peer in peers.items()}
        for task in ("train", "predict")
    }


def main() -> None:
    """Print all rates and minidl's ratios to the peers as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.train_step", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=8, help="steps in a round")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", nargs="+", default=worker.NAMES, choices=worker.NAMES)
    given = parser.parse_args()
    rates = measure(tuple(given.peers), given.batch_size, given.rounds, given.steps, given.threads)
    ratios = {
        task: {name: of["minidl"]["median"] / rate["median"] for name, rate in of.items() if name != "minidl"}
        for task, of in rates.items()
    }
    print(json.dumps({"machine": machine.describe(), **vars(given), "images_per_second": rates, "ratios": ratios}))


if __name__ == "__main__":
    main()
