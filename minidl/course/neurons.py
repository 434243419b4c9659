"""The exercises of ``01_neurons`` and ``02_slopes_and_training``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercise import Exercise

Array = NDArray[Any]


def neuron(x: Array, w: Array, b: float) -> Any:
    """One neuron's output max(w x + b, 0), for inputs x and weights w (inputs,) and a bias b."""
    return np.maximum(x @ w + b, 0)


check_neuron = Exercise(
    neuron,
    examples=[
        (np.array([2.0]), np.array([3.0]), 0.0),
        (np.array([2.0, -1.0, 0.5]), np.array([1.0, -0.5, 2.0]), 0.0),
        (np.array([2.0, -1.0, 0.5]), np.array([1.0, -0.5, 2.0]), -1.25),
        (np.array([2.0, -1.0]), np.array([-1.0, 0.5]), 0.5),
    ],
    draw=lambda rng: (*rng.normal(size=(2, rng.integers(1, 6))), float(rng.normal())),
    mistakes={
        "the products are not added up yet: a neuron has one output, the sum over all its inputs.": lambda x, w, b: (
            np.maximum(x * w + b, 0)
        ),
        "the bias is missing: add b to the sum.": lambda x, w, b: np.maximum(x @ w, 0),
        "the bias is added once per input: add it to the sum, not to the products.": lambda x, w, b: np.maximum(
            (x * w + b).sum(), 0
        ),
        "the activation is missing: a negative sum gives 0, max(sum, 0).": lambda x, w, b: x @ w + b,
        "ReLU comes before the bias: max(sum + b, 0), not max(sum, 0) + b.": lambda x, w, b: np.maximum(x @ w, 0) + b,
        "ReLU keeps positive values, max(sum, 0): this keeps negative ones.": lambda x, w, b: np.minimum(x @ w + b, 0),
    },
)


def hat(x: Array, centre: float, width: float) -> Array:
    """A triangle of height 1 made of three ReLUs, 0 outside of centre - width ... centre + width."""

    def relu(z: Array) -> Array:
        return np.maximum(z, 0)

    y: Array = (relu(x - centre + width) - 2 * relu(x - centre) + relu(x - centre - width)) / width
    return y


_X = np.linspace(-3, 3, 13)

check_hat = Exercise(
    hat,
    examples=[(_X, 0.0, 1.0), (_X, 0.5, 1.0), (_X, 0.5, 2.0)],
    draw=lambda rng: (_X, float(rng.normal()), float(rng.uniform(0.5, 3))),
    mistakes={
        "it climbs and then stays at the top: the second ReLU must subtract twice the slope.": (
            lambda x, centre, width: (np.maximum(x - centre + width, 0) - np.maximum(x - centre, 0)) / width
        ),
        "it falls and never stops: a third ReLU, starting at centre + width, must end the slope.": (
            lambda x, centre, width: (np.maximum(x - centre + width, 0) - 2 * np.maximum(x - centre, 0)) / width
        ),
        "the third ReLU bends it the wrong way: add it, to bring the falling slope back to 0.": (
            lambda x, centre, width: hat(x, centre, width) - 2 * np.maximum(x - centre - width, 0) / width
        ),
        "its top is at the height width: divide by width, so that the slopes are 1 / width and -1 / width.": (
            lambda x, centre, width: hat(x, centre, width) * width
        ),
        "it sits on the wrong side of 0: a ReLU that bends at c is max(x - c, 0).": (
            lambda x, centre, width: hat(x, -centre, width)
        ),
    },
)


def layer(x: Array, w: Array, b: Array) -> Array:
    """A layer of neurons, max(x w + b, 0), for inputs x (N, inputs), weights w (inputs, outputs) and b (outputs,)."""
    y: Array = np.maximum(x @ w + b, 0)
    return y


_RNG = np.random.default_rng(1)
_W, _SQUARE = _RNG.normal(size=(3, 2)), _RNG.normal(size=(3, 3))
_SAMPLES = _RNG.normal(size=(4, 3))


def _random_layer(rng: np.random.Generator, N: int, inputs: int, outputs: int) -> tuple[Array, Array, Array]:
    return rng.normal(size=(N, inputs)), rng.normal(size=(inputs, outputs)), rng.normal(size=outputs)


check_layer = Exercise(
    layer,
    examples=[
        (_SAMPLES[:3], _SQUARE, np.zeros(3)),
        (_SAMPLES[:3], _SQUARE, np.array([0.5, 0.0, -0.5])),
        (_SAMPLES, _W, np.array([0.5, -0.5])),
    ],
    draw=lambda rng: _random_layer(rng, *rng.integers(1, 6, 3)),
    mistakes={
        "ReLU is missing: max(x w + b, 0), element by element.": lambda x, w, b: x @ w + b,
        "the bias is missing.": lambda x, w, b: np.maximum(x @ w, 0),
        "w is transposed: its rows belong to the inputs, its columns to the neurons, so it is x @ w.": (
            lambda x, w, b: np.maximum(x @ w.T + b, 0)
        ),
        "the factors are swapped: x @ w multiplies rows of x by columns of w.": lambda x, w, b: np.maximum(
            w @ x + b, 0
        ),
        "each neuron has one bias, for all samples: b belongs to the columns of x @ w.": (
            lambda x, w, b: np.maximum(x @ w + b[:, None], 0)
        ),
        "the result is transposed: it needs one row per sample and one column per neuron.": (
            lambda x, w, b: layer(x, w, b).T
        ),
        "ReLU comes last: max(x w + b, 0), not max(x w, 0) + b.": lambda x, w, b: np.maximum(x @ w, 0) + b,
    },
)


def product_slopes(a: float, b: float) -> tuple[float, float]:
    """The derivatives of the product a b, with respect to a and with respect to b."""
    return b, a


check_product_slopes = Exercise(
    product_slopes,
    examples=[(2.0, 5.0), (-3.0, 0.5), (4.0, 0.0)],
    draw=lambda rng: tuple(float(number) for number in rng.normal(size=2).round(2)),
    mistakes={
        "the two are swapped: if a grows by 1, then a b grows by b.": lambda a, b: (a, b),
        "these are the slopes of a sum: if a grows by 1, how much does a b grow?": lambda a, b: (1.0, 1.0),
        "this is the product itself, not its slopes.": lambda a, b: a * b,
        "one slope is missing: return two, with respect to a and with respect to b.": lambda a, b: b,
        "this is the sum of both: return two, with respect to a and with respect to b.": lambda a, b: a + b,
    },
)


def relu_slope(x: float) -> float:
    """The derivative of max(x, 0), taken as 0 at 0."""
    return 1.0 if x > 0 else 0.0


check_relu_slope = Exercise(
    relu_slope,
    examples=[(3.0,), (-2.0,), (0.0,), (0.5,)],
    draw=lambda rng: (round(float(rng.normal()), 2),),
    mistakes={
        "this is ReLU itself: its slope says how much the output grows if x grows by 1.": lambda x: max(x, 0.0),
        "at 0 there is no derivative: as in minidl, let it be 0 there.": lambda x: 1.0 * (x >= 0),
        "below 0 the output does not depend on x: the slope there is 0.": lambda x: 1.0,
        "below 0 ReLU is flat, not falling: the slope there is 0.": np.sign,
        "it is the other way round: above 0, ReLU grows with x.": lambda x: 1.0 * (x <= 0),
    },
)


def step(w: Array, dw: Array, lr: float) -> Array:
    """The weights after one step of gradient descent."""
    return w - lr * dw


check_step = Exercise(
    step,
    examples=[
        (np.array([1.0, -2.0, 0.5]), np.array([4.0, 2.0, -1.0]), 0.1),
        (np.array([[1.0, 0.0, 3.0], [-2.0, 0.5, 1.0]]), np.array([[0.0, 2.0, 1.0], [-1.0, 3.0, 0.5]]), 0.25),
    ],
    draw=lambda rng: (*rng.normal(size=(2, *rng.integers(1, 4, rng.integers(1, 3)))), float(rng.uniform(0.01, 1))),
    mistakes={
        "it climbs: the gradient points uphill, so subtract it.": lambda w, dw, lr: w + lr * dw,
        "the step is as long as the gradient: scale it with the learning rate lr.": lambda w, dw, lr: w - dw,
        "this is the step alone: start from w.": lambda w, dw, lr: -lr * dw,
        "the step does not depend on the gradient: it is -lr times dw.": lambda w, dw, lr: w - lr,
        "the learning rate shrinks the weights as well: only the gradient is scaled by it.": (
            lambda w, dw, lr: lr * (w - dw)
        ),
    },
)
