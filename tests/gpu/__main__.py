"""``python -m tests.gpu``: everything that wants a real GPU, in one call; what each part prints goes to a file, too.

- tests: all tests marked ``gpu``, where the other ones run elsewhere;
- bench: ``tests.benchmarks.gpu --write``, against PyTorch, into ``docs``;
- train: the documented network on UTKFace for 30 epochs, in TF32 where the card has it;
- sanitizer: the tests of the kernels under ``compute-sanitizer``, which finds reads and writes beyond arrays.

Parts that cannot be run here are said to be missing, not passed over: the exit code is then 1.
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
    """Run the parts that were asked for, all of them by default; 1 if one failed or is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all, in this order)")
    parser.add_argument("--data", metavar="PATH", help="UTKFace, for epochs in 'bench' and for 'train'")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="the folder for what is printed and trained")
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
    """What went wrong in a part, "" if nothing did, and the seconds that it took."""
    started, problems = time.monotonic(), []
    try:
        precisions()  # without a card, everything would be skipped
        for command in commands(part, out, data):
            problems += tried(command, out / f"{part}.log")
    except LookupError as missing:
        problems = [f"missing: {missing}"]
    return "; ".join(problems), time.monotonic() - started


def commands(part: str, out: Path, data: str | None) -> Iterator[list[str]]:
    """The commands of a part; LookupError says what is not there."""
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
    """What the card computes in."""
    from minidl import backends
    from minidl.errors import BackendError

    try:
        return backends.get("cupy").precisions
    except BackendError as error:
        raise LookupError(str(error)) from error


def tried(command: list[str], log: Path) -> list[str]:
    """Run a command, whose output is shown and kept; what went wrong, if anything did."""
    print("$", *command, flush=True)
    with log.open("ab") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            file.write(line)
    return [f"exit code {process.returncode}, see {log}"] if process.returncode else []


if __name__ == "__main__":
    sys.exit(main())
