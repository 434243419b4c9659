"""Small examples of everything that is registered by name: what the checks and the tests are made on.

Shapes are non-square, sizes do not divide each other, strides overlap and leave gaps, and some axes have size 1.
A plugin of one's own brings its examples along: an attribute ``examples`` of the class, a list as the ones here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import nn, ops, optim
from ..backends.choice import choose
from ..kernels.conv import ConvAlgorithm
from ..kernels.window import sliding_window
from ..ops.conv import conv_spec
from ..random import Generator
from ..tensor import Tensor
from .arrays import numbers
from .check_conv import ConvExample
from .check_layers import LayerExample
from .check_losses import LossExample
from .check_ops import OpExample
from .check_optimizers import OptimizerExample

F = nn.functional

MASK = np.array([[True, False, True], [False, True, True]])
LABELS = np.array([2, 0])
A, B = numbers(2, 3), numbers(2, 3, seed=1)
ROW, COLUMN, CUBE = numbers(3, seed=2), numbers(2, 1, seed=3), numbers(2, 3, 4)
POSITIVE = numbers(2, 3, low=0.5, high=3.0)
IMAGE = numbers(2, 6, 5, 3)

OPS: dict[str, list[OpExample]] = {}
"""Examples of every op, by its registered name."""


def _example(op: str, call: Callable[..., Tensor], *inputs: Any, label: str = "", portable: bool = True) -> None:
    OPS.setdefault(op, []).append(OpExample(call, inputs, label, portable))


# Element by element

BINARY: dict[str, Callable[..., Tensor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (b + 4.0),
    "maximum": F.maximum,
    "minimum": F.minimum,
    "where": lambda a, b: F.where(MASK, a, b),
}
for name, call in BINARY.items():
    _example(name, call, A, B)
    _example(name, call, A, ROW, label="row")
    _example(name, call, ROW, A, label="row-first")
    _example(name, call, A, COLUMN, label="column")
_example("add", BINARY["add"], numbers(1, 2, 4), COLUMN, label="column-under-cube")
_example("div", lambda a, b: a / b, A, POSITIVE)
_example("neg", lambda x: -x, A)
_example("pow", lambda x, p: x**p, POSITIVE, B)
_example("pow", lambda x, p: x**p, POSITIVE, ROW, label="row")
_example("pow", lambda x: x**3, A, label="number")
_example("pow", lambda x: x**0, A, label="zero")
_example("pow", lambda x, p: x**p, np.array([0.0, 0.7, 2.0]), np.array([2.0, 1.5, 3.0]), label="base-0")
_example("exp", F.exp, A)
_example("log", F.log, POSITIVE)
_example("sqrt", F.sqrt, POSITIVE)
_example("abs", F.abs, A)
_example("abs", F.abs, np.array([-1.5, 0.0, 2.0]), label="kink")
_example("relu", F.relu, A)
_example("leaky_relu", lambda x: F.leaky_relu(x, 0.1), A)
_example("sigmoid", F.sigmoid, A)
_example("tanh", F.tanh, A)
_example("clip", lambda x: F.clip(x, -1, 1.2), A)
_example("clip", lambda x: F.clip(x, low=0.1), A, label="low")
_example("clip", lambda x: F.clip(x, high=0.1), A, label="high")

# Reductions and shapes

for name in ("sum", "mean", "max", "min", "var"):
    for options in (
        {},
        {"axis": 1},
        {"axis": -1, "keepdims": True},
        {"axis": (0, 2)},
        {"axis": (2, 0), "keepdims": True},
    ):
        _example(name, lambda x, name=name, o=options: getattr(x, name)(**o), CUBE, label=str(options))
_example("sum", lambda x: x.sum(axis=0), numbers(1, 3), label="size-1")

_example("reshape", lambda x: x.reshape(4, -1), CUBE)
_example("transpose", lambda x: x.transpose(), CUBE)
_example("transpose", lambda x: x.transpose(1, -1, 0), CUBE, label="axes")
_example("getitem", lambda x: x[1, ::2, -3:], CUBE)
_example("getitem", lambda x: x[..., None, 1], CUBE, label="new-axis")
_example("getitem", lambda x: x[[0, 1, 0], [2, 2, 2]], CUBE, label="same-element-twice")
_example("getitem", lambda x: x[:, MASK[0]], CUBE, label="mask")
_example("concatenate", lambda a, b: F.concatenate([a, b, a], axis=-1), A, numbers(2, 1))
_example("concatenate", lambda a, b: F.concatenate([a, b]), A, B, label="rows")
_example("stack", lambda a, b: F.stack([a, b], axis=1), A, B)
_example("stack", lambda a, b: F.stack([a, b], axis=-1), A, B, label="last")
_example("pad", lambda x: F.pad(x, ((0, 2), (1, 0)), value=3.0), A)
_example("broadcast_to", lambda x: F.broadcast_to(x, (4, 2, 3)), COLUMN)
_example("clone", lambda x: x.clone(), A)
_example("clone", lambda x: x.transpose(2, 0, 1).clone(), CUBE, label="view")
_example("cast", lambda x: x.astype(x.dtype), A)
_example("transfer", lambda x: ops.Transfer.apply(x, backend=x.backend), A)  # x.to(...) of its own backend is x

# Matrix products

for label, a, b in [
    ("", numbers(2, 3), numbers(3, 4)),
    ("vector-first", numbers(3), numbers(3, 4)),
    ("vector-last", numbers(2, 3), numbers(3)),
    ("vectors", numbers(3), numbers(3, seed=1)),
    ("tall", numbers(5, 3), numbers(3, 2)),
    ("stacks", numbers(5, 1, 2, 3), numbers(4, 3, 2)),
    ("stack-first", numbers(4, 2, 3), numbers(3, 5)),
    ("stack-last", numbers(2, 3), numbers(4, 3, 5)),
    ("vector-stack", numbers(3), numbers(4, 3, 2)),
    ("size-1", numbers(1, 1), numbers(1, 1)),
]:
    _example("matmul", lambda a, b: a @ b, a, b, label=label)

_example("linear", F.linear, numbers(2, 3), numbers(3, 4), numbers(4))
_example("linear", F.linear, numbers(2, 3), numbers(3, 4), label="no-bias")
_example("linear", F.linear, numbers(3), numbers(3, 4), numbers(4), label="one-sample")
_example("linear", F.linear, numbers(2, 5, 3), numbers(3, 4), numbers(4), label="stack")
_example("linear", F.linear, numbers(1, 1), numbers(1, 1), numbers(1), label="size-1")

# Images

CONVOLUTIONS = [
    ConvExample((2, 5, 7, 2), (3, 3, 2, 3), {}, "plain"),
    ConvExample((1, 8, 7, 2), (3, 2, 2, 2), {"stride": (2, 3)}, "stride"),
    ConvExample((1, 5, 6, 1), (3, 4, 1, 2), {"padding": "same"}, "same"),
    ConvExample((2, 6, 5, 1), (3, 3, 1, 2), {"padding": "same", "stride": 2}, "same-stride"),
    ConvExample((1, 4, 5, 2), (3, 3, 2, 2), {"padding": (2, 1)}, "pad"),
    ConvExample((1, 4, 5, 2), (2, 3, 2, 2), {"padding": ((0, 2), (1, 0)), "stride": 2}, "pad-sides"),
    ConvExample((2, 3, 4, 3), (1, 1, 3, 2), {}, "1x1"),
    ConvExample((1, 1, 1, 1), (1, 1, 1, 1), {}, "size-1"),
    ConvExample((2, 3, 4, 1), (3, 4, 1, 2), {}, "whole-image"),
    ConvExample((1, 3, 6, 2), (1, 3, 2, 2), {"stride": (1, 2)}, "row"),
    ConvExample((1, 8, 8, 1), (3, 3, 1, 1), {"stride": 3}, "left-over"),
    ConvExample((9, 6, 5, 1), (3, 3, 1, 2), {}, "batch"),
    ConvExample((2, 4, 5, 4), (2, 3, 4, 4), {"padding": ((1, 0), (0, 2))}, "packs"),
]
for conv in CONVOLUTIONS:
    for algorithm in ("auto", "direct"):
        _example(
            "conv2d",
            lambda x, w, b, conv=conv, algorithm=algorithm: F.conv2d(x, w, b, algorithm=algorithm, **conv.options),
            *conv.arrays()[:3],
            label=f"{algorithm}-{conv.label}",
        )
_example("conv2d", lambda x, w: F.conv2d(x, w), numbers(1, 4, 3, 1), numbers(2, 2, 1, 2), label="no-bias")

POOLINGS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("plain", (2, 4, 6, 2), {"size": 2}),
    ("left-over", (1, 5, 7, 2), {"size": 2}),
    ("overlap", (1, 6, 5, 2), {"size": 3, "stride": 2}),
    ("gaps", (1, 7, 7, 1), {"size": 2, "stride": 3}),
    ("pad", (1, 4, 5, 1), {"size": 3, "stride": 2, "padding": 1}),
    ("same", (1, 5, 5, 2), {"size": (2, 3), "stride": 2, "padding": "same"}),
    ("size-1", (1, 1, 1, 1), {"size": 1}),
    ("one-window", (2, 3, 4, 2), {"size": (3, 4)}),
]
for label, shape, options in POOLINGS:
    _example("max_pool2d", lambda x, o=options: F.max_pool2d(x, **o), numbers(*shape), label=label)
    _example("avg_pool2d", lambda x, o=options: F.avg_pool2d(x, **o), numbers(*shape), label=label)


def fused(x: Tensor, w: Tensor, b: Tensor, pool: Any = 2, stride: Any = None, padding: Any = 0) -> Tensor:
    """The fused op with the algorithm that the backend would choose."""
    spec = conv_spec(x.data, w.data, b.data, 1, padding)
    window = sliding_window(spec.window.OH, spec.window.OW, pool, pool if stride is None else stride, 0)
    algorithm: ConvAlgorithm = choose("im2col", spec, x.backend)
    return ops.Conv2DReLUMaxPool2D.apply(x, w, b, algorithm=algorithm, spec=spec, pool=window)


_example("conv2d_relu_max_pool2d", fused, numbers(3, 6, 7, 2), numbers(3, 3, 2, 3), numbers(3), portable=False)
_example(
    "conv2d_relu_max_pool2d",
    lambda x, w, b: fused(x, w, b, pool=3, stride=2, padding=1),
    numbers(1, 6, 7, 1),
    numbers(3, 3, 1, 2),
    numbers(2),
    label="overlap-pad",
    portable=False,
)

# Probabilities, losses, regularisation

_example("softmax", lambda x: F.softmax(x), A)
_example("softmax", lambda x: F.softmax(x, axis=0), CUBE, label="axis")
_example("log_softmax", lambda x: F.log_softmax(x), A)
_example("log_softmax", lambda x: F.log_softmax(x, axis=1), CUBE, label="axis")
_example("softmax_cross_entropy", lambda x: F.softmax_cross_entropy(x, LABELS), A)
_example("softmax_cross_entropy", lambda x: F.softmax_cross_entropy(x, LABELS, ignore_index=2), A, label="ignored")
_example("binary_cross_entropy_with_logits", lambda x: F.binary_cross_entropy_with_logits(x, MASK), A)
_example(
    "binary_cross_entropy_with_logits",
    F.binary_cross_entropy_with_logits,
    A,
    numbers(2, 3, low=0.1, high=0.9),
    label="targets",
)
_example("l1_loss", F.l1_loss, A, B)
_example("mse_loss", F.mse_loss, A, B)
_example("huber_loss", lambda a, b: F.huber_loss(a, b, delta=0.7), A, B)
_example("dropout", lambda x: F.dropout(x, 0.4, rng=Generator(3)), CUBE)
_example("batch_norm", lambda x, g, b: F.batch_norm(x, g, b), numbers(3, 4, 2, 2), numbers(2), numbers(2, seed=1))
_example("batch_norm", lambda x, g, b: F.batch_norm(x, g, b), numbers(5, 3), numbers(3), numbers(3, seed=1), label="2d")

LAYERS: dict[str, list[LayerExample]] = {
    "dense": [LayerExample(lambda: nn.Dense(3, 2), A), LayerExample(lambda: nn.Dense(3, 1, bias=False), A, "no-bias")],
    "conv2d": [
        LayerExample(lambda: nn.Conv2D(3, 2, 3), IMAGE),
        LayerExample(
            lambda: nn.Conv2D(3, 2, (2, 3), stride=2, padding="same", algorithm="direct"), IMAGE, "same-stride"
        ),
        LayerExample(lambda: nn.Conv2D(3, 1, (1, 5), bias=False, padding=1), IMAGE, "row-no-bias"),
    ],
    "max_pooling2d": [
        LayerExample(lambda: nn.MaxPooling2D(2), IMAGE),
        LayerExample(lambda: nn.MaxPooling2D(3, 2, 1), IMAGE, "overlap-pad"),
    ],
    "average_pooling2d": [LayerExample(lambda: nn.AveragePooling2D((2, 3), 1, "same"), IMAGE)],
    "global_average_pooling2d": [LayerExample(nn.GlobalAveragePooling2D, IMAGE)],
    "relu": [LayerExample(nn.ReLU, A)],
    "leaky_relu": [LayerExample(nn.LeakyReLU, A)],
    "sigmoid": [LayerExample(nn.Sigmoid, A)],
    "tanh": [LayerExample(nn.Tanh, A)],
    "softmax": [LayerExample(nn.Softmax, A), LayerExample(lambda: nn.Softmax(axis=1), IMAGE, "axis")],
    "flatten": [LayerExample(nn.Flatten, IMAGE)],
    "dropout": [
        LayerExample(nn.Dropout, A),
        LayerExample(lambda: nn.Dropout(0.3, rng=Generator(1)), IMAGE, "own-generator"),
    ],
    "batch_norm": [LayerExample(lambda: nn.BatchNorm(3), IMAGE), LayerExample(lambda: nn.BatchNorm(3), A, "2d")],
    "sequential": [
        LayerExample(
            lambda: nn.Sequential(
                nn.Conv2D(3, 4, 3), nn.ReLU(), nn.MaxPooling2D(2), nn.Flatten(), nn.Dropout(0.2), nn.Dense(8, 2)
            ),
            IMAGE,
        ),
        LayerExample(
            lambda: nn.Sequential(nn.Sequential(nn.Flatten(), nn.Dense(90, 3)), nn.Tanh(), nn.Dense(3, 1)),
            IMAGE,
            "nested",
        ),
    ],
}
LOSSES: dict[str, list[LossExample]] = {
    "softmax_cross_entropy": [LossExample.of(nn.SoftmaxCrossEntropy(), A, LABELS)],
    "binary_cross_entropy_with_logits": [LossExample.of(nn.BinaryCrossEntropyWithLogits(), A, MASK.astype(np.float64))],
    "l1": [LossExample.of(nn.L1Loss(), A, B)],
    "mse": [LossExample.of(nn.MSELoss(), A, B)],
    "huber": [LossExample.of(nn.HuberLoss(0.5), A, B)],
}
OPTIMIZERS: dict[str, list[OptimizerExample]] = {
    "sgd": [
        OptimizerExample(optim.SGD),
        OptimizerExample(
            lambda parameters, lr: optim.SGD(parameters, lr, momentum=0.9, nesterov=True, weight_decay=0.1),
            "nesterov",
        ),
        OptimizerExample(lambda parameters, lr: optim.SGD(parameters, lr, momentum=0.5), "momentum"),
    ],
    "adam": [OptimizerExample(optim.Adam)],
    "adamw": [OptimizerExample(optim.AdamW)],
    "rmsprop": [
        OptimizerExample(optim.RMSprop),
        OptimizerExample(lambda parameters, lr: optim.RMSprop(parameters, lr, momentum=0.5, centered=True), "centered"),
    ],
    "adagrad": [
        OptimizerExample(optim.Adagrad),
        OptimizerExample(
            lambda parameters, lr: optim.Adagrad(parameters, lr, lr_decay=0.01, initial_accumulator_value=0.1), "decay"
        ),
    ],
}
