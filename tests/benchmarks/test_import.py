"""The time of importing minidl in a new Python process, against NumPy alone."""

import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("code", ["import numpy", "import minidl", "import agegender.models"])
def test_import(benchmark: Any, code: str) -> None:
    benchmark.pedantic(subprocess.run, ([sys.executable, "-c", code],), {"check": True}, rounds=9, warmup_rounds=1)
