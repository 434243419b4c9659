"""``python -m tests.benchmarks.gpu``: all kernels against float64, the limits of the card, steps against PyTorch's."""

import argparse
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from minidl import backends, command
from minidl.errors import MinidlError

from . import measure, page


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, measure, print, and optionally write; exit status 1 if a kernel is wrong."""
    return run(argparse.Namespace(**parser().given(arguments)))


def parser() -> command.Parser:
    """The options of the command."""
    parser = command.Parser(prog="python -m tests.benchmarks.gpu", description=__doc__.partition(": ")[2])
    parser.add_argument("--data", metavar="PATH", help="UTKFace: time epochs of the documented network on it, too")
    parser.add_argument(
        "--seed", type=int, help="seed of the arrays that kernels are checked on (default: a new one each time)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with every round")
    parser.add_argument(
        "--write", nargs="?", type=Path, const=Path("docs"), metavar="DOCS",
        help="write benchmarks-gpu.md and measured/gpu.json into this folder (default: docs)",
    )  # fmt: skip
    return parser


def run(given: argparse.Namespace) -> int:
    """Check, measure, print, and optionally write; exit status 1 if a kernel is wrong."""
    if given.write and not (given.write / "measured").is_dir():
        raise MinidlError(f"{given.write} is not the docs folder of a checkout: it has no folder 'measured'")
    backend = backends.get("cupy")
    seed = secrets.randbits(32) if given.seed is None else given.seed
    result = measure(backend, seed, given.data)
    text = page.page(result)
    print(json.dumps(result) if given.json else text)
    if given.write:
        (given.write / "measured" / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
        (given.write / "benchmarks-gpu.md").write_text(text)
    return 0 if all(check["passed"] for check in result["kernels"]) else 1


if __name__ == "__main__":
    command.run(main)
