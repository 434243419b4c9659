"""The gradient check: what it compares, detects and reports. The checks of the ops are in test_conformance.py."""

import re
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.errors import DtypeError, MinidlError
from minidl.op import Op
from minidl.testing import GradientError, check_layer, gradcheck
from minidl.testing.arrays import numbers
from minidl.testing.examples import A


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("layer", [lambda: nn.Dense(4, 5), lambda: nn.BatchNorm(4)])
def test_a_float32_model_is_told_that_the_check_computes_in_float64(layer: Any, direct: bool) -> None:
    model, x = layer(), np.ones((2, 4), np.float32)
    with pytest.raises(DtypeError, match=r"gradcheck computes in float64.* is float32: use model.astype\(np.float64\)"):
        gradcheck(model if direct else lambda x: model(x), x)
    model.astype(np.float64)
    gradcheck(model if direct else lambda x: model(x), numbers(2, 4))


def test_another_dtype_error_of_a_checked_function_is_left_as_it_is() -> None:
    with pytest.raises(DtypeError, match=r"^(?!.*gradcheck).*expected integer class labels"):
        gradcheck(nn.functional.softmax_cross_entropy, numbers(2, 4), np.zeros(2, np.float32))


@pytest.mark.parametrize("inputs", [(numbers(2, 3), numbers(3, 2)), [md.tensor(1.0), md.tensor(2.0)]])
def test_inputs_in_a_tuple_are_refused(inputs: Any) -> None:
    with pytest.raises(MinidlError, match=r"expected an array for each input, .* of them: gradcheck\(fn, x, w\)"):
        gradcheck(lambda x, w: x @ w, inputs)


def test_large_inputs_are_checked_along_directions() -> None:
    assert gradcheck(lambda x: x * x * x, numbers(30, 40)).compared == 20
    with pytest.raises(GradientError, match="in direction"):
        gradcheck(lambda x: Scaled.apply(x), numbers(30, 40))


class Scaled(Op):
    def forward(self, x: Any) -> Any:
        self.save(x)
        return x * x

    def backward(self, dy: Any) -> Any:
        return (2.0001 * self.saved[0] * dy,)


class WrongSign(Scaled):
    def backward(self, dy: Any) -> Any:
        return (-2 * self.saved[0] * dy,)


class OneElement(Scaled):
    def backward(self, dy: Any) -> Any:
        dx = 2 * self.saved[0] * dy
        dx[1, 2] *= 1.001
        return (dx,)


class Transposed(Op):
    def forward(self, x: Any) -> Any:
        return x.T.copy()

    def backward(self, dy: Any) -> Any:
        return (dy.reshape(dy.shape[::-1]),)


class Forgets(Op):
    """Overlapping windows: their gradients must add up."""

    def forward(self, x: Any) -> Any:
        return x[:, :-1] + x[:, 1:]

    def backward(self, dy: Any) -> Any:
        dx = np.zeros((dy.shape[0], dy.shape[1] + 1))
        dx[:, :-1] = dy
        dx[:, 1:] = dy
        return (dx,)


class SumsToZero(Op):
    """A softmax whose gradient is 123 times too large, which a cotangent of ones cannot detect."""

    def forward(self, x: Any) -> Any:
        y = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
        self.save(y)
        return y

    def backward(self, dy: Any) -> Any:
        (y,) = self.saved
        return (123 * y * (dy - (dy * y).sum(-1, keepdims=True)),)


@pytest.mark.parametrize("op", [Scaled, WrongSign, OneElement, Transposed, Forgets, SumsToZero])
def test_a_wrong_gradient_is_caught(op: type[Op]) -> None:
    with pytest.raises(GradientError, match=r"expected .* got"):
        gradcheck(op.apply, A)


def test_the_error_names_op_input_and_index() -> None:
    message = r"OneElement: wrong gradient of input 0 (2, 3) at (1, 2): expected"
    with pytest.raises(GradientError, match=re.escape(message)):
        gradcheck(OneElement.apply, A)


def test_a_wrong_gradient_of_a_parameter_is_caught() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(numbers(3))

        def forward(self, x: md.Tensor) -> md.Tensor:
            return x * Scaled.apply(self.w)

    with pytest.raises(GradientError, match="gradient of w"):
        gradcheck(Layer(), A)


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.fixed = (nn.Parameter(numbers(3, seed=seed).astype(np.float32)) for seed in (0, 1))
        self.fixed.requires_grad = False

    def forward(self, x: md.Tensor) -> md.Tensor:
        return x * self.w + self.fixed


def test_frozen_parameters_are_not_checked() -> None:
    assert gradcheck(Frozen().astype(np.float64), A).compared == A.size + 3
    check_layer(Frozen, A, skip={"wrong_channels": "it broadcasts"})


@pytest.mark.parametrize("within", [True, False])
def test_a_check_leaves_every_grad_what_it_was(within: bool) -> None:
    model, other = Frozen().astype(np.float64), md.tensor(numbers(3), requires_grad=True)
    model.w.grad, other.grad = one, two = np.ones(3), np.ones(3)
    gradcheck(model if within else lambda x: model(x) * other, A)
    assert model.w.grad is one
    assert other.grad is two
    np.testing.assert_array_equal([one, two], 1)


@pytest.mark.parametrize(("given", "kinds"), [(None, "NoneType"), (A, "ndarray"), ((), "none"), ({"a": 1.0}, "float")])
def test_a_function_that_gives_no_tensors_is_named(given: Any, kinds: str) -> None:
    with pytest.raises(MinidlError, match=f"returns tensors, got {kinds}: end it with `return y`"):
        gradcheck(lambda x: given, A)
