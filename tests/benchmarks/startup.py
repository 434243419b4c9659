"""``python -m tests.benchmarks.startup --data UTKFace.tar.gz``: seconds from nothing to the first training step.

The first start decodes and caches all pictures, the second opens the cache. Both run in fresh processes on an empty
cache folder and measure the time from their first line to the end of the first step. The decoding time is the time of
``agegender.data.open``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from minidl.bench import machine

FIRST_STEP = """
import sys, time
started = time.perf_counter()
from agegender import train

class FirstStep(train.md.Callback):
    def on_step_end(self, trainer):
        print(opened, time.perf_counter() - started)
        raise SystemExit

say = train.Speaker(sys.stdout, quiet=True)
before = time.perf_counter()
options, backend = train.Options(data=sys.argv[1]), train.md.backends.default
data = train.parts.open_data(options, backend, say)
opened = time.perf_counter() - before
trainer = train.parts.build(options, backend)
trainer.callbacks.append(FirstStep())
trainer.fit(*data.loaders, 1)
"""


def start(source: str, cache: str) -> dict[str, float]:
    """Start a training in a fresh process: seconds to open the data, and to the end of the first step."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEP, source],
        stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"MINIDL_CACHE": cache},
    )  # fmt: skip
    opened, first_step = map(float, done.stdout.split())
    return {"open": opened, "first_step": first_step}


def main() -> None:
    """Print both starts as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.startup", description=__doc__)
    parser.add_argument("--data", required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        result: dict[str, Any] = {name: start(given.data, cache) for name in ("first", "second", "third")}
    print(json.dumps({"machine": machine.describe(), **result}))


if __name__ == "__main__":
    main()
