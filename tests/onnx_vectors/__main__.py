"""``python -m tests.onnx_vectors``: run all vectors; exit status 1 if one fails."""

import sys

from .vectors import results, summary

found = results()
print(summary(found))
sys.exit(any(result.status == "failed" for result in found))
