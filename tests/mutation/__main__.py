"""``python -m tests.mutation [FUNCTION...]``: change the backward code in every small way; the checks must notice.

Prints the score and every survivor. A survivor is right only if it is shown to be equivalent in docs/gradients.md,
whose table is read here. Exit status 1 if another one survives, or if the table names one that does not.
"""

import json
import multiprocessing
import re
import signal
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, FunctionType

import numpy as np

from minidl import plugins

from .mutants import Mutant, mutants
from .targets import UnitTest, Use, make_pieces_small, targets

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "gradients.md"
SECONDS = 20
"""A check that takes longer has noticed: the mutant does not come to an end."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Score:
    """The mutants of a function: how many, and the keys of those that no check noticed."""

    total: int
    survivors: tuple[Key, ...]


_work: list[tuple[FunctionType, list[Use | UnitTest]]] = []
"""All functions with their uses, put here before the processes are forked: functions cannot be sent to them."""


def judge(number: int) -> Score:
    """Try all mutants of a function."""
    function, uses = _work[number]
    made = list(mutants(function))
    return Score(len(made), tuple(mutant.key for mutant in made if not caught(mutant, function, uses)))


def caught(mutant: Mutant, function: FunctionType, uses: list[Use | UnitTest]) -> bool:
    """Whether any check of the examples that use the function fails with the mutant in its place."""
    original = function.__code__
    checks = {name: None for use in uses for name in use.checks()}
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        function.__code__ = mutant.code
        for check in checks:
            for use in uses:
                if check in use.checks():
                    use.run(check)
    except Exception:  # whatever it is, somebody would notice
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        function.__code__ = original
    return False


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


def equivalents() -> set[Key]:
    """The mutants that docs/gradients.md shows to be equivalent: the rows of its table."""
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| .+ \|$", DOCUMENT.read_text(), re.MULTILINE)
    return {_plain((f"minidl.{function}", before, after)) for function, before, after in rows}


def _plain(key: Key) -> Key:
    """A key without what Python's versions write differently, and without what Markdown needs."""
    function, before, after = (re.sub(r"[\s()\\]", "", part) for part in key)
    return function, before, after


def _require_every_op() -> None:
    mutated = {function for function, _ in _work}
    for name in plugins.names("op"):
        if plugins.get("op", name).backward not in mutated:
            raise SystemExit(f"the backward pass of the op '{name}' is not run by any example")


def main(names: list[str]) -> int:
    """Judge all functions, or those whose names contain one of ``names``."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    start = time.perf_counter()
    make_pieces_small()
    for function, uses in targets().items():
        if not names or any(name in f"{function.__module__}.{function.__qualname__}" for name in names):
            _work.append((function, uses))
    if not names:
        _require_every_op()
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        scores = list(pool.map(judge, range(len(_work))))
    survivors = [_plain(key) for score in scores for key in score.survivors]
    known = equivalents()
    total = sum(score.total for score in scores)
    result = {
        "functions": len(_work),
        "mutants": total,
        "caught": total - len(survivors),
        "equivalent": sum(key in known for key in survivors),
        "missed": sum(key not in known for key in survivors),
        "seconds": round(time.perf_counter() - start),
    }
    for function, before, after in survivors:
        if (function, before, after) not in known:
            print(f"MISSED {function}\n    {before}\n    {after}")
    wrong = known - set(survivors) if not names else set()
    for function, before, after in sorted(wrong):
        print(f"CAUGHT, though listed as equivalent: {function}\n    {before}\n    {after}")
    print(json.dumps(result))
    return 1 if result["missed"] or wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
