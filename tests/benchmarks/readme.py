"""``python -m tests.benchmarks.readme``: the commands of README.md, timed from a bare clone in new environments."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minidl.bench import machine

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"train": "python -m agegender.train", "test": "python -m pytest"}


def command(part: str) -> str:
    """The code block of README.md that contains a text."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if part in block and "pip install" in block]
    return found


def run(block: str) -> float:
    """Clone, create an environment, and run a block in it; returns the seconds without the cloning."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, f"{folder}/clone"], check=True)
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/environment"], check=True)
        environment = os.environ | {
            "PATH": f"{folder}/environment/bin:{os.environ['PATH']}",
            "MINIDL_CACHE": f"{folder}/cache",
            "MPLCONFIGDIR": f"{folder}/matplotlib",
        }
        started = time.perf_counter()
        subprocess.run(
            ["bash", "-ec", block], cwd=f"{folder}/clone", env=environment, check=True, stdout=sys.stderr.fileno()
        )
        return time.perf_counter() - started


def main() -> None:
    """Print both times as JSON."""
    times = {name: run(command(part)) for name, part in COMMANDS.items()}
    print(json.dumps({"machine": machine.describe(), **times}))


if __name__ == "__main__":
    main()
