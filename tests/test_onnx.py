"""minidl agrees with the ONNX standard on every operator that both have."""

import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install onnx")

from tests.onnx_vectors.operators import OPERATORS
from tests.onnx_vectors.vectors import Result, results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found() -> list[Result]:
    return results()


@pytest.mark.filterwarnings("ignore")
def test_all_vectors_pass(found: list[Result]) -> None:
    assert [result for result in found if result.status == "failed"] == []
    assert sum(result.status == "passed" for result in found) >= 300


def test_every_operator_has_a_vector_that_passes(found: list[Result]) -> None:
    assert {result.operator for result in found if result.status == "passed"} == set(OPERATORS)


def test_a_wrong_operator_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = OPERATORS["LeakyRelu"]
    monkeypatch.setitem(OPERATORS, "LeakyRelu", lambda attributes, x: right({**attributes, "alpha": 0.2}, x))
    assert {result.status for result in results("LeakyRelu")} == {"failed"}
