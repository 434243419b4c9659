"""``python -m tests.fuzz``: programs against PyTorch; ``machine``: training histories; ``faults``: detection of faults.

Each failing case is printed with its seed, shrunk to a few lines that run.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any


def main() -> int:
    """The exit status: 1 if a difference was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("programs", "machine", "faults"), default="programs")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--sequences", type=int, help="how many histories, instead of minutes")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--threads", type=int, default=1, help="programs that run at the same time (default 1)")
    given = parser.parse_args()
    if given.what == "faults":
        from tests.fuzz import faults

        return faults.main()
    end = time.monotonic() + 60 * given.minutes
    count = given.sequences
    seeds = iter(range(given.seed, given.seed + count)) if count else _until(end, given.seed)
    return machine(seeds) if given.what == "machine" else fuzz(seeds, given.threads)


def _until(end: float, seed: int) -> Iterator[int]:
    while time.monotonic() < end:
        yield seed
        seed += 1


def fuzz(seeds: Iterator[int], threads: int) -> int:
    """Compare the programs of these seeds with PyTorch."""
    import torch

    from tests.fuzz import against_torch as fuzzer

    torch.set_num_threads(1)

    seen: Counter[Any] = Counter()
    programs = 0
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(seeds, threads)):
            programs += len(batch)
            for seed, (program, found) in zip(batch, pool.map(fuzzer.write, batch), strict=True):
                if found is None:
                    continue
                seen[found.key] += 1
                if seen[found.key] == 1:
                    short = fuzzer.shortest(program, found)
                    again = fuzzer.run(short)
                    note = "" if again else "# only while other programs run\n"
                    print(note + fuzzer.report(short, again or found, seed), end="\n\n", flush=True)
    print(f"{programs} programs, {len(seen)} differences")
    for key, times in seen.most_common():
        print(f"{times:6} {' | '.join(key)}")
    return int(bool(seen))


def machine(seeds: Iterator[int]) -> int:
    """Compare the histories of these seeds with the plain loop."""
    from tests.fuzz import machine as machines

    seen: Counter[str] = Counter()
    histories = 0
    for seed in seeds:
        histories += 1
        history = machines.write(seed)
        if (found := machines.run(history)) is None:
            continue
        seen[found.key] += 1
        if seen[found.key] == 1:
            print(machines.report(machines.shortest(history, found), seed), end="\n\n", flush=True)
    print(f"{histories} histories, {len(seen)} differences")
    for key, times in seen.most_common():
        print(f"{times:6} {key}")
    return int(bool(seen))


if __name__ == "__main__":
    sys.exit(main())
