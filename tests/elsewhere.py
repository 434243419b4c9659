"""Run code in another process, in another thread, or in several threads at once."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process with these additional environment variables."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, env=os.environ | environment, check=False,
    )  # fmt: skip


def printed(code: str, **environment: str) -> str:
    """What the process printed; asserts that it succeeded."""
    done = python(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_a_thread(work: Callable[[], Any]) -> Any:
    """The result of a function, or its exception, from another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def side_by_side(count: int, work: Callable[[int], Any]) -> list[Any]:
    """``work`` of 0, 1, 2, ... in as many threads, with frequent switches between them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(work, range(count)))
    finally:
        sys.setswitchinterval(before)
