"""One framework in its own process: ``python -m tests.benchmarks.peers.worker NAME BATCH``.

The first line on stdout reports that it is ready. Each line on stdin, "train STEPS" or "predict STEPS", is answered by
a line with the seconds of the steps, their losses, and the peak memory so far.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from . import ours
from .frameworks import FRAMEWORKS


def main() -> None:
    """Answer requests until stdin ends."""
    name, size = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # messages of a framework must not mix with the answers
    work = FRAMEWORKS[name].training(ours.weights(seed=0))
    batch = work.put(ours.random_batch(size))
    _answer(answers)
    for line in sys.stdin:
        task, steps = line.split()
        started = time.perf_counter()
        losses = [work(*batch) if task == "train" else work.predict(batch[0]) for _ in range(int(steps))]
        _answer(answers, seconds=time.perf_counter() - started, losses=losses)


def _answer(answers: TextIO, **content: Any) -> None:
    answers.write(json.dumps({"peak_mib": _peak(), **content}) + "\n")
    answers.flush()


def _peak() -> float:
    """The peak memory of this process, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # not getrusage: on Linux it includes the parent's memory at the fork
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in bytes on macOS


if __name__ == "__main__":
    main()
