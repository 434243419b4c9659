"""``python -m tests.proof``: repeat every proof of docs/gradients.md; exit status 1 if one of them fails.

The last line printed is JSON. ``python -m tests.proof | tail -1 > docs/measured/proof.json`` and then
``python -m docs.results page`` write it into the document.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minidl.bench import machine
from minidl.testing import check_gradients
from tests import broken
from tests.mutation import scores
from tests.onnx_vectors import vectors


@dataclass(frozen=True)
class Part:
    """One part of the proof: its figures, the line that reports them, and a paragraph for each failure."""

    figures: dict[str, Any]
    line: str
    problems: list[str]


def gradients() -> Part:
    """Every op, layer and loss against numerical differentiation, with a tolerance of 1e-8."""
    kinds, worst, compared, problems = Counter[str](), 0.0, 0, []
    for kind, _, results, wrong in check_gradients():
        kinds[kind] += 1
        worst = max([worst, *(result.worst for result in results)])
        compared += sum(result.compared for result in results)
        problems += [wrong] * bool(wrong)
    figures = {"op": kinds["op"], "layer": kinds["layer"], "loss": kinds["loss"], "compared": compared, "worst": worst}
    line = (
        f"{kinds['op']} ops, {kinds['layer']} layers, {kinds['loss']} losses: worst relative gradient error {worst:.1e}"
    )
    return Part(figures, line, problems)


def onnx_vectors() -> Part:
    """The test vectors of the ONNX standard."""
    found = vectors.results()
    failed = [f"{result.name}: {result.reason}" for result in found if result.status == "failed"]
    passed = sum(result.status == "passed" for result in found)
    total = passed + len(failed)
    return Part({"passed": passed, "total": total}, f"{passed} of {total} ONNX vectors passed", failed)


def broken_plugins() -> Part:
    """Plugins with one mistake each, which a check must detect."""
    missed = [
        f"'{check}' does not see what is wrong with {subject.kind} '{subject.name}'"
        for subject, check in broken.BROKEN
        if not broken.caught(subject, check)
    ]
    total = len(broken.BROKEN)
    caught = total - len(missed)
    return Part({"caught": caught, "total": total}, f"{caught} of {total} broken plugins caught", missed)


def mutants() -> Part:
    """The backward code with every small change, which a check must detect."""
    outcome = scores.run()
    figures = outcome.figures
    line = "{caught} of {total} mutants caught, {equivalent} equivalent, {missed} missed".format(**figures)
    return Part(figures, line, outcome.problems)


PARTS = (gradients, onnx_vectors, broken_plugins, mutants)  # the mutants last: they leave the kernels modified


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all parts and print each when it is done."""
    argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__).parse_args(arguments)
    about = machine.describe()
    figures: dict[str, Any] = {}
    problems: list[str] = []
    for part in PARTS:
        start = time.perf_counter()
        done = part()
        figures[part.__name__] = done.figures
        problems += done.problems
        print("\n".join([*done.problems, f"{done.line} ({time.perf_counter() - start:.0f} s)"]), flush=True)
    print(json.dumps({"machine": about, **figures}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
