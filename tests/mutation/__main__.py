"""``python -m tests.mutation [FUNCTION...]``: change the backward code in every small way; the checks must notice.

Prints the score and every survivor. A survivor is right only if it is shown to be equivalent in docs/gradients.md,
whose table is read for that. Exit status 1 if another one survives, or if the table names one that does not.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from .scores import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what becomes of the mutants."""
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
