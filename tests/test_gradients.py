"""Every op, layer and loss against numerical differentiation, and proof that the check can fail."""

import re
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.op import Op
from minidl.testing import GradientError, gradcheck

from .cases import ALL, LABELS, MASK, A, B, Case, numbers

IMAGE = numbers(2, 6, 5, 3)
LAYERS: dict[str, list[tuple[Any, Any]]] = {
    "dense": [(lambda: nn.Dense(3, 2), A), (lambda: nn.Dense(3, 1, bias=False), A)],
    "conv2d": [
        (lambda: nn.Conv2D(3, 2, 3), IMAGE),
        (lambda: nn.Conv2D(3, 2, (2, 3), stride=2, padding="same", algorithm="direct"), IMAGE),
        (lambda: nn.Conv2D(3, 1, (1, 5), bias=False, padding=1), IMAGE),
    ],
    "max_pooling2d": [(lambda: nn.MaxPooling2D(2), IMAGE), (lambda: nn.MaxPooling2D(3, 2, 1), IMAGE)],
    "average_pooling2d": [(lambda: nn.AveragePooling2D((2, 3), 1, "same"), IMAGE)],
    "global_average_pooling2d": [(nn.GlobalAveragePooling2D, IMAGE)],
    "relu": [(nn.ReLU, A)],
    "leaky_relu": [(nn.LeakyReLU, A)],
    "sigmoid": [(nn.Sigmoid, A)],
    "tanh": [(nn.Tanh, A)],
    "flatten": [(nn.Flatten, IMAGE)],
    "dropout": [(lambda: nn.Dropout(0.5).eval(), A)],
    "batch_norm": [(lambda: nn.BatchNorm(3), IMAGE), (lambda: nn.BatchNorm(3).eval(), A)],
    "sequential": [
        (lambda: nn.Sequential(nn.Conv2D(3, 4, 3), nn.ReLU(), nn.MaxPooling2D(2), nn.Flatten(), nn.Dense(8, 2)), IMAGE),
        (lambda: nn.Sequential(nn.Sequential(nn.Flatten(), nn.Dense(90, 3)), nn.Tanh(), nn.Dense(3, 1)), IMAGE),
    ],
}
LOSSES: dict[str, tuple[Any, Any]] = {
    "softmax_cross_entropy": (nn.SoftmaxCrossEntropy(), LABELS),
    "binary_cross_entropy_with_logits": (nn.BinaryCrossEntropyWithLogits(), MASK.astype(np.float64)),
    "l1": (nn.L1Loss(), B),
    "mse": (nn.MSELoss(), B),
    "huber": (nn.HuberLoss(0.5), B),
}


@pytest.mark.parametrize("case", ALL, ids=str)
def test_op(case: Case) -> None:
    result = gradcheck(case.call, *case.inputs)
    assert result.worst <= 1e-8
    assert result.compared >= min(1, sum(np.size(x) for x in case.inputs))


@pytest.mark.parametrize(
    ("kind", "checked"), [("op", {case.op for case in ALL}), ("layer", {*LAYERS}), ("loss", {*LOSSES})]
)
def test_everything_registered_is_checked(kind: str, checked: set[str]) -> None:
    assert set(md.plugins.names(kind)) == checked


@pytest.mark.parametrize(("name", "number"), [(name, i) for name, made in LAYERS.items() for i in range(len(made))])
def test_layer(name: str, number: int) -> None:
    make, x = LAYERS[name][number]
    md.seed(1)
    layer = make().astype(np.float64)
    for parameter in layer.parameters():  # biases start at 0, where a wrong gradient may not show
        parameter.data += numbers(*parameter.shape, low=-0.3, high=0.3)
    assert isinstance(layer, md.plugins.get("layer", name))
    assert gradcheck(layer, x).worst <= 1e-8


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    loss, targets = LOSSES[name]
    assert isinstance(loss, md.plugins.get("loss", name))
    assert gradcheck(lambda x: loss(x, targets), A).worst <= 1e-8


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
    """Overlapping windows: the gradients must add up."""

    def forward(self, x: Any) -> Any:
        return x[:, :-1] + x[:, 1:]

    def backward(self, dy: Any) -> Any:
        dx = np.zeros((dy.shape[0], dy.shape[1] + 1))
        dx[:, :-1] = dy
        dx[:, 1:] = dy
        return (dx,)


class SumsToZero(Op):
    """A softmax whose gradient is 123 times too large: a cotangent of ones would not see it."""

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
