"""``python -m tests.mutation [FUNCTION...]``: make every small change of the backward code; the checks must detect it.

Prints the score and every survivor. A mutant may survive only if the table in docs/gradients.md proves it equivalent.
Exit status 1 if another one survives, or if one in the table does not.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from .scores import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the results of the mutants."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="FUNCTION", help="a part of its name, such as Softmax or ops.reduce (default: all)"
    )
    outcome = run(parser.parse_args(arguments).names)
    for problem in outcome.problems:
        print(problem)
    print(json.dumps(outcome.figures))
    return int(bool(outcome.problems))


if __name__ == "__main__":
    sys.exit(main())
