"""``python -m tests.mutation [FUNCTION...]``: change the backward code in every small way; the checks must notice.

Prints the score and every survivor. A survivor is right only if it is shown to be equivalent in docs/gradients.md,
whose table is read for that. Exit status 1 if another one survives, or if the table names one that does not.
"""

import json
import sys

from .scores import run

outcome = run(sys.argv[1:])
for problem in outcome.problems:
    print(problem)
print(json.dumps(outcome.figures))
sys.exit(bool(outcome.problems))
