"""Scores of mutants: which ones a check detects, and whether the undetected ones are equivalent."""

import multiprocessing
import os
import re
import signal
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import numpy as np

from minidl import plugins

from .mutants import Mutant, mutants
from .targets import UnitTest, Use, forget_caches, make_pieces_small, targets, turn

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "gradients.md"
SECONDS = 20
"""A slower check of one example has detected the mutant: it does not terminate."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Score:
    """The mutants of a function: their number, and the keys of those that no check detected."""

    total: int
    survivors: tuple[Key, ...]


@dataclass(frozen=True)
class Outcome:
    """The results of all mutants.

    ``missed`` survive without being equivalent; ``wrong`` are listed as equivalent, but a check catches them.
    """

    functions: int
    total: int
    equivalent: int
    missed: tuple[Key, ...]
    wrong: tuple[Key, ...]

    @property
    def figures(self) -> dict[str, int]:
        """The counts."""
        return {
            "functions": self.functions,
            "total": self.total,
            "caught": self.total - self.equivalent - len(self.missed),
            "equivalent": self.equivalent,
            "missed": len(self.missed),
        }

    @property
    def problems(self) -> list[str]:
        """One paragraph for each unexpected result."""
        found = {"MISSED": self.missed, "CAUGHT, though listed as equivalent:": self.wrong}
        return [
            f"{what} {function}\n    {before}\n    {after}"
            for what, keys in found.items()
            for function, before, after in keys
        ]


_work: list[tuple[FunctionType, list[Use | UnitTest]]] = []
"""All functions with their uses, global so that forked processes inherit them: functions cannot be pickled."""


def judge(number: int) -> Score:
    """Try all mutants of a function."""
    function, uses = _work[number]
    made = list(mutants(function))
    return Score(len(made), tuple(mutant.key for mutant in made if not caught(mutant, function, uses)))


def caught(mutant: Mutant, function: FunctionType, uses: list[Use | UnitTest]) -> bool:
    """Whether a check of an example that uses the function fails with the mutant in its place.

    The checks run in their own process, because a wrong stride may write out of bounds.
    """
    child = os.fork()
    if child == 0:
        os._exit(_try(mutant, function, uses))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) != 0


def _try(mutant: Mutant, function: FunctionType, uses: list[Use | UnitTest]) -> int:
    """The exit status for a mutant: 0 if it was not detected. A check that takes too long ends the process."""
    checks = sorted({name for use in uses for name in use.checks()}, key=lambda name: (turn(name), name))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    function.__code__ = mutant.code
    forget_caches()
    try:
        for check in checks:
            for use in uses:
                if check in use.checks():
                    signal.setitimer(signal.ITIMER_REAL, SECONDS)
                    use.run(check)
    except BaseException:  # any error detects it; pytest's failures are not Exceptions
        return 1
    return 0


def equivalents() -> set[Key]:
    """The mutants that docs/gradients.md proves equivalent: the rows of its table."""
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| .+ \|$", DOCUMENT.read_text(), re.MULTILINE)
    return {_plain((f"minidl.{function}", before, after)) for function, before, after in rows}


def _plain(key: Key) -> Key:
    """A key without differences between Python versions, and without Markdown escapes."""
    function, before, after = (re.sub(r"[\s()\\]", "", part) for part in key)
    return function, before, after


def _require_every_op() -> None:
    mutated = {function for function, _ in _work}
    for name in plugins.names("op"):
        if plugins.get("op", name).backward not in mutated:
            raise SystemExit(f"the backward pass of the op '{name}' is not run by any example")


def run(names: Sequence[str] = ()) -> Outcome:
    """Score all functions, or those whose names contain one of ``names``. Leaves the process with small chunks."""
    make_pieces_small()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = targets()
        titles = {function: f"{function.__module__}.{function.__qualname__}" for function in found}
        for name in names:
            if not any(name in title for title in titles.values()):
                raise SystemExit(f"no backward pass runs a function with '{name}' in its name")
        for function, uses in found.items():
            if not names or any(name in titles[function] for name in names):
                _work.append((function, uses))
        if not names:
            _require_every_op()
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            scores = list(pool.map(judge, range(len(_work))))
    survivors = [_plain(key) for score in scores for key in score.survivors]
    known = equivalents()
    return Outcome(
        functions=len(_work),
        total=sum(score.total for score in scores),
        equivalent=sum(key in known for key in survivors),
        missed=tuple(key for key in survivors if key not in known),
        wrong=() if names else tuple(sorted(known - set(survivors))),
    )
