"""The summary of the proof fails if a part fails; ``python -m tests.proof`` runs the parts in full."""

import json

import pytest

from minidl import ops
from tests import broken, proof
from tests.mutation import __main__ as mutation
from tests.mutation import scores
from tests.mutation.scores import Outcome
from tests.onnx_vectors.vectors import Result


def test_the_status_is_1_if_any_part_has_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def right() -> proof.Part:
        return proof.Part({"passed": 1}, "1 of 1", [])

    def wrong() -> proof.Part:
        return proof.Part({"passed": 0}, "0 of 1", ["something is not so"])

    monkeypatch.setattr(proof, "PARTS", (right,))
    assert proof.main([]) == 0
    monkeypatch.setattr(proof, "PARTS", (wrong, right))
    assert proof.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "something is not so" in lines
    figures = json.loads(lines[-1])
    assert (figures["wrong"], figures["right"]) == ({"passed": 0}, {"passed": 1})


def test_help_starts_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(proof, "PARTS", ())
    monkeypatch.setattr(mutation, "run", lambda names: pytest.fail("it ran"))
    for main in (proof.main, mutation.main):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["--help"])
        assert capsys.readouterr().out.startswith("usage: python -m tests.")


def test_a_function_that_no_backward_pass_runs_has_no_mutants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "make_pieces_small", lambda: None)
    monkeypatch.setattr(scores, "targets", lambda: {ops.ReLU.backward: []})
    with pytest.raises(SystemExit, match="no backward pass runs a function with 'Rleu' in its name"):
        scores.run(["ReLU", "Rleu"])


def test_a_broken_plugin_that_passes_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broken, "BROKEN", [*broken.ops.BROKEN[:1], (broken.RIGHT[0], "gradient")])
    part = proof.broken_plugins()
    assert part.figures == {"caught": 1, "total": 2}
    assert part.problems == ["'gradient' does not see what is wrong with op 'Square'"]


def test_a_wrong_gradient_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "check_gradients", lambda: [("op", "square", [], "op Square: wrong gradient")])
    assert proof.gradients().problems == ["op Square: wrong gradient"]


def test_a_vector_that_fails_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Result("one", "Abs", "passed"), Result("two", "Abs", "failed", "why"), Result("three", "Abs", "excluded")]
    monkeypatch.setattr(proof.vectors, "results", lambda: found)
    part = proof.onnx_vectors()
    assert (part.figures, part.problems) == ({"passed": 1, "total": 2}, ["two: why"])


def test_a_mutant_that_is_missed_or_wrongly_listed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome(3, 10, 2, missed=(("f", "a", "b"),), wrong=(("g", "c", "d"),))
    monkeypatch.setattr(proof.scores, "run", lambda: outcome)
    part = proof.mutants()
    assert part.figures == {"functions": 3, "total": 10, "caught": 7, "equivalent": 2, "missed": 1}
    assert [problem.split("\n")[0] for problem in part.problems] == [
        "MISSED f",
        "CAUGHT, though listed as equivalent: g",
    ]
