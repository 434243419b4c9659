"""Runs the workers of several frameworks alternately, A B A B ..., and summarises their results."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np

from minidl.bench import machine
from minidl.errors import MinidlError

from . import ours
from .frameworks import FRAMEWORKS, PACKAGES

TASKS = ("train", "predict")
PAUSE = 0.3
"""Seconds between two frameworks, because the threads of the previous one may spin for a while."""
TOLERANCE = 1e-3
"""The relative tolerance of the losses of the first two steps against minidl's."""


class Worker:
    """A process that trains with one framework, and its results so far."""

    def __init__(self, name: str, batch_size: int, threads: int) -> None:
        self.name = name
        self.batch_size = min(batch_size, FRAMEWORKS[name].largest_batch or batch_size)
        self.rates: dict[str, list[float]] = {task: [] for task in TASKS}
        with _pinned(threads):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.peers.worker", name, str(self.batch_size)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | _settings(threads),
            )  # fmt: skip
        self.ready = self._answer()

    def ask(self, task: str, steps: int) -> dict[str, Any]:
        """Run it and wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{task} {steps}\n")
        self.process.stdin.flush()
        self.last = self._answer()
        return self.last

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise MinidlError(f"{self.name} stopped with status {self.process.returncode}: see its message above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def warm_up(self, expected: Sequence[float]) -> None:
        """The first steps, in which much is compiled; raises :class:`MinidlError` unless it trains like minidl."""
        losses = self.ask("train", len(expected))["losses"]
        if not np.allclose(losses, expected, rtol=TOLERANCE, atol=0):
            raise MinidlError(
                f"{self.name} does not compute the same as minidl: its first losses are {losses}, expected {expected}"
            )
        self.ask("predict", 2)

    def run(self, task: str, steps: int) -> None:
        """One round."""
        self.rates[task].append(steps * self.batch_size / self.ask(task, steps)["seconds"])

    def stop(self) -> None:
        """End the process."""
        self.process.communicate()


def measure(names: Sequence[str], batch_size: int, rounds: int, steps: int, threads: int) -> dict[str, Any]:
    """Images/s of minidl and these frameworks in training and inference, their memory, and the ratios to minidl."""
    with contextlib.ExitStack() as stack:
        workers: list[Worker] = []
        for name in dict.fromkeys(("minidl", *names)):
            workers.append(Worker(name, batch_size, threads))
            stack.callback(workers[-1].stop)
            workers[-1].warm_up(_losses(workers[-1].batch_size))
        for _ in range(rounds):
            for task in TASKS:
                for worker in workers:
                    time.sleep(PAUSE)
                    worker.run(task, steps)
    return {
        "machine": machine.describe(*PACKAGES),
        "batch_size": batch_size,
        "rounds": rounds,
        "steps": steps,
        "threads": threads,
        "peers": {worker.name: _summary(worker, workers[0]) for worker in workers},
    }


def _losses(batch_size: int) -> list[float]:
    """minidl's losses in the first two steps: equal ones show that forward, backward and the update are the same."""
    training = ours.Training(ours.weights(seed=0))
    return [training(*ours.random_batch(batch_size)) for _ in range(2)]


def _summary(worker: Worker, mine: Worker) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "batch_size": worker.batch_size,
        "memory_mib": {"model": worker.ready["peak_mib"], "peak": worker.last["peak_mib"]},
    }
    for task in TASKS:
        rates = worker.rates[task]
        summary[task] = {"median": median(rates), "rounds": rates}
        if worker is not mine:
            ratios = np.divide(mine.rates[task], rates)
            summary[task]["ratio"] = median(mine.rates[task]) / median(rates)
            summary[task]["ratio_quartiles"] = np.quantile(ratios, (0.25, 0.75)).tolist()
    return summary


@contextlib.contextmanager
def _pinned(threads: int) -> Iterator[None]:
    """Child processes started inside run on the first ``threads`` of the available cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _settings(threads: int) -> dict[str, str]:
    """Environment variables: ``threads`` threads in every framework, CPU only, and no messages."""
    counts = ("MINIDL", "OMP", "OPENBLAS", "MKL")
    return {
        **{f"{name}_NUM_THREADS": str(threads) for name in counts},
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "NPROC": str(threads),  # JAX's name for it
        "KERAS_BACKEND": "tensorflow",
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
