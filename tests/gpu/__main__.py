"""``python -m tests.gpu``: all checks that need a real GPU, in one call; the output of each part is also saved.

- tests: all tests marked ``gpu`` (the others need no GPU);
- bench: ``tests.benchmarks.gpu --write``, against PyTorch, into ``docs``;
- train: the documented network on UTKFace for 30 epochs, in TF32 if the card supports it;
- sanitizer: the tests of the kernels under ``compute-sanitizer``, which detects out-of-bounds reads and writes.

A part that cannot run here is reported as missing, and the exit status is 1.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PARTS = ("tests", "bench", "train", "sanitizer")
KERNELS = ("tests/test_cupy_kernels.py", "tests/test_cupy_products.py")
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu"]


def main() -> int:
    """Run the selected parts, all by default; 1 if one failed or is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all, in this order)")
    parser.add_argument("--data", metavar="PATH", help="UTKFace, for epochs in 'bench' and for 'train'")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="the folder for output and trained models")
    given = parser.parse_args()
    unknown = set(given.parts) - {*PARTS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}. Parts are {', '.join(PARTS)}")
    given.out.mkdir(parents=True, exist_ok=True)
    results = [(name, *run(name, given.out, given.data)) for name in given.parts or PARTS]
    for name, problem, seconds in results:
        print(f"{name}: {problem or 'passed'} ({seconds:.0f} s)")
    return int(any(problem for _, problem, _ in results))


def run(part: str, out: Path, data: str | None) -> tuple[str, float]:
    """What went wrong in a part ("" if nothing did), and its seconds."""
    started, problems = time.monotonic(), []
    try:
        precisions()  # without a card, all tests would be skipped
        for command in commands(part, out, data):
            problems += tried(command, out / f"{part}.log")
    except LookupError as missing:
        problems = [f"missing: {missing}"]
    return "; ".join(problems), time.monotonic() - started


def commands(part: str, out: Path, data: str | None) -> Iterator[list[str]]:
    """The commands of a part; raises LookupError with what is missing."""
    if part == "tests":
        yield [*PYTEST, "tests"]
    elif part == "bench":
        yield [sys.executable, "-m", "tests.benchmarks.gpu", "--write", *(["--data", data] if data else [])]
    elif part == "train":
        if data is None:
            raise LookupError("--data, where UTKFace is")
        options = f"--data {data} --epochs 30 --batch-size 128 --device cupy --json --out {out}"
        for precision in precisions():
            name = f"documented-{precision}"
            yield [sys.executable, "-m", "agegender.train", *options.split(), "--precision", precision, "--name", name]
    elif shutil.which("compute-sanitizer") is None:
        raise LookupError("compute-sanitizer, of the CUDA toolkit")
    else:
        yield ["compute-sanitizer", "--error-exitcode", "1", *PYTEST, "tests/gpu", *KERNELS]


def precisions() -> tuple[str, ...]:
    """The compute precision of the card."""
    from minidl import backends
    from minidl.errors import BackendError

    try:
        return backends.get("cupy").precisions
    except BackendError as error:
        raise LookupError(str(error)) from error


def tried(command: list[str], log: Path) -> list[str]:
    """Run a command, show and keep its output; returns what went wrong."""
    print("$", *command, flush=True)
    with log.open("ab") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            file.write(line)
    return [f"exit code {process.returncode}, see {log}"] if process.returncode else []


if __name__ == "__main__":
    sys.exit(main())
