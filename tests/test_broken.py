"""The conformance kit detects plugins with one mistake each, with the check that is responsible."""

from typing import Any

import numpy as np
import pytest

from minidl import nn, optim
from minidl.errors import MinidlError
from minidl.kernels.reference import ReferenceKernels
from minidl.testing import CheckError, Subject, check_backend, check_layer, check_op, check_optimizer
from minidl.testing.strict import StrictBackend

from .broken import BROKEN, RIGHT, caught, ops


@pytest.mark.parametrize(("subject", "check"), BROKEN, ids=[f"{subject.name}-{check}" for subject, check in BROKEN])
def test_caught(subject: Subject, check: str) -> None:
    assert f"'{subject.name}'" in caught(subject, check)


@pytest.mark.parametrize("subject", RIGHT, ids=lambda subject: subject.name)
def test_their_twins_without_a_mistake_pass(subject: Subject) -> None:
    assert subject.run().count("failed") == 0


def test_a_backend_with_other_ties_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def last_tie(self: Any, x: Any, window: Any) -> Any:
        y, argmax = ReferenceKernels.max_pool(self, x, window)
        return y, argmax * 0 + (window.KH * window.KW - 1)

    monkeypatch.setattr(StrictBackend, "max_pool", last_tie)
    with pytest.raises(CheckError, match="ties do not go to the first"):
        check_backend("strict")


def test_a_backend_that_rounds_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StrictBackend, "to_numpy", lambda self, array: array._host.astype(np.float32))
    with pytest.raises(CheckError, match="comes back different"):
        check_backend("strict")


def test_a_failed_check_names_itself_and_can_be_skipped_with_a_reason() -> None:
    with pytest.raises(CheckError, match=r"dtype +failed +op 'Float64Gradient': a gradient of float64 came"):
        check_op(ops.Float64Gradient)
    known = dict.fromkeys(["backends", "dtype", "single_precision"], "known")
    report = check_op(ops.Float64Gradient, skip=known)
    assert [outcome.check for outcome in report.outcomes if outcome.reason == "known"] == list(known)
    with pytest.raises(MinidlError, match=r"'dtyp' does not exist\. Did you mean 'dtype'\?"):
        check_op(ops.Square, skip={"dtyp": "why"})
    with pytest.raises(MinidlError, match="without a reason"):
        check_op(ops.Square, skip={"dtype": ""})


def test_what_a_layer_gives_instead_of_tensors_is_named() -> None:
    class LeavesTheGraph(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.numpy() * 2

    with pytest.raises(CheckError, match="an output is of type ndarray, expected tensors"):
        check_layer(LeavesTheGraph, np.ones((2, 3)))


def test_a_layer_that_cannot_be_made_is_explained() -> None:
    with pytest.raises(MinidlError, match=r"expects a function that creates a layer, such as lambda: nn.Dense"):
        check_layer(nn.Dense, np.ones((2, 3)))


def test_one_state_for_parameters_of_several_shapes_is_explained() -> None:
    class OneVelocity(optim.Optimizer):
        velocity: Any = 0.0

        def update(self, param: Any, grad: Any, state: Any) -> None:
            self.velocity = 0.9 * self.velocity + grad
            param -= self.lr * self.velocity

    with pytest.raises(
        CheckError, match=r"for one parameter, but fails for several.*keep everything that you remember in `state`"
    ):
        check_optimizer(OneVelocity)


def test_there_are_many_of_them() -> None:
    assert len(BROKEN) >= 60
