"""``env.json``: the environment of a run."""

import pytest
import threadpoolctl

from agegender.runs.environment import environment

OPENBLAS = {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "architecture": "Haswell"}
OPENMP = {"user_api": "openmp", "internal_api": "openmp", "version": None}


def test_the_blas_is_told_without_what_else_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [OPENMP, OPENBLAS])
    (blas,) = environment("numpy")["blas"]
    assert blas == {name: value for name, value in OPENBLAS.items() if name != "user_api"}
