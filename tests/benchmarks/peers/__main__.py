"""``python -m tests.benchmarks.peers``: the documented network in minidl and every other installed framework."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from minidl import command
from minidl.bench import machine
from minidl.errors import MinidlError
from minidl.table import table
from minidl.threads import get_num_threads

from . import HEADER, MEMORY, race, rows
from .frameworks import FRAMEWORKS


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and optionally write the documents."""
    return run(argparse.Namespace(**parser().given(arguments)))


def parser() -> command.Parser:
    """The options of the command."""
    parser = command.Parser(prog="python -m tests.benchmarks.peers", description=__doc__.partition(": ")[2])
    parser.add_argument("--batch-size", type=int, default=32, help="images in a step (default: 32)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds, for the medians (default: 9)")
    parser.add_argument("--steps", type=int, default=8, help="steps in a round (default: 8)")
    parser.add_argument("--threads", type=int, help="threads and cores (default: all)")
    parser.add_argument(
        "--peers", nargs="+", default=list(FRAMEWORKS), choices=FRAMEWORKS, metavar="NAME",
        help=f"compare minidl only with these, of {', '.join(FRAMEWORKS)}",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, with every round")
    parser.add_argument(
        "--write", nargs="?", type=Path, const=Path("docs"), metavar="DOCS",
        help="write the documents of a checkout, in this folder (default: docs), with the new figures",
    )  # fmt: skip
    return parser


def run(given: argparse.Namespace) -> int:
    """Measure, print the table, and optionally write the documents."""
    threads = get_num_threads() if given.threads is None else given.threads
    for option in ("batch_size", "rounds", "steps", "threads"):
        value = getattr(given, option)
        if value is not None and value < 1:
            raise MinidlError(f"--{option.replace('_', '-')} must be >= 1, got {value}")
    if given.write and not (given.write / "results.py").exists():
        raise MinidlError(f"{given.write} is not the docs folder of a checkout: it has no results.py")
    installed = [name for name in given.peers if FRAMEWORKS[name].installed]
    result = race.measure(installed, given.batch_size, given.rounds, given.steps, threads)
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
        subprocess.run([sys.executable, "-m", "docs.results", "page"], cwd=given.write.resolve().parent, check=True)
    return 0


if __name__ == "__main__":
    command.run(main)
