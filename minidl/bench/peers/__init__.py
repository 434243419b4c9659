"""The documented network in minidl and in every other framework that is installed, asked in turn.

Each framework has a process of its own, pinned to the same cores with the same number of threads; one works while the
others wait. All start from the same weights, see the same batch, and use Adam with the same settings; the losses of
the first two steps must be equal. Machines are noisy: what counts is the ratio of the medians.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import MinidlError
from ...table import table
from ...threads import get_num_threads
from .. import machine
from .frameworks import FRAMEWORKS

RATIO = "minidl is ... times as fast"
HEADER = ("framework", "training, images/s", RATIO, "inference, images/s", RATIO)
MEMORY = ("peak memory, MiB", "of which before the first step")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--batch-size", type=int, default=32, help="images in a step (default: 32)")
    parser.add_argument("--rounds", type=int, default=9, help="medians count (default: 9)")
    parser.add_argument("--steps", type=int, default=8, help="steps in a round (default: 8)")
    parser.add_argument("--threads", type=int, help="and cores (default: all)")
    parser.add_argument(
        "--peers", nargs="+", default=list(FRAMEWORKS), choices=FRAMEWORKS, metavar="NAME",
        help=f"compare minidl with these alone, of {', '.join(FRAMEWORKS)}",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, with every round")
    parser.add_argument(
        "--write", nargs="?", type=Path, const=Path("docs"), metavar="DOCS",
        help="write the documents of a checkout, in this folder (default: docs), with the new figures",
    )  # fmt: skip


def run(given: argparse.Namespace) -> int:
    """Measure, print the table, and write the documents if asked to."""
    from .race import measure

    threads = get_num_threads() if given.threads is None else given.threads
    for option in ("batch_size", "rounds", "steps", "threads"):
        value = getattr(given, option)
        if value is not None and value < 1:
            raise MinidlError(f"--{option.replace('_', '-')} must be >= 1, got {value}")
    if given.write and not (given.write / "results.py").exists():
        raise MinidlError(f"{given.write} is not the docs folder of a checkout: it has no results.py")
    installed = [name for name in given.peers if FRAMEWORKS[name].installed]
    result = measure(installed, given.batch_size, given.rounds, given.steps, threads)
    if given.json:
        print(json.dumps(result))
    else:
        print(table([(*HEADER, *MEMORY), *rows(result)]))
        print(f"\nMedians of {given.rounds} rounds, with the slowest and the fastest; quartiles of the rounds' ratios.")
        print(f"Measured: {machine.line(result['machine'])}.")
        for name in given.peers:
            if name not in installed:
                print(f"{FRAMEWORKS[name].label}: not installed: {FRAMEWORKS[name].hint}")
    if given.write:
        (given.write / "measured" / "peers.json").write_text(json.dumps(result, indent=1) + "\n")
        subprocess.run([sys.executable, given.write / "results.py", "page"], check=True)
    return 0


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A row for each framework, with the columns of ``HEADER`` and ``MEMORY``."""
    table = []
    for name, peer in result["peers"].items():
        smaller = f" (batches of {peer['batch_size']})" if peer["batch_size"] != result["batch_size"] else ""
        row = [FRAMEWORKS[name].label + smaller]
        for task in ("train", "predict"):
            rates = peer[task]["rounds"]
            row.append(f"{peer[task]['median']:.0f} ({min(rates):.0f} to {max(rates):.0f})")
            row.append(_ratio(peer[task]))
        memory = peer["memory_mib"]
        table.append([*row, f"{memory['peak']:.0f}", f"{memory['model']:.0f}"])
    return table


def _ratio(task: Mapping[str, Any]) -> str:
    if "ratio" not in task:
        return ""
    low, high = task["ratio_quartiles"]
    return f"{task['ratio']:.2f} ({low:.2f} to {high:.2f})"
