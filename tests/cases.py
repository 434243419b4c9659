"""A small example of every op: how it is called, on which inputs. Several test files run all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minidl as md
from minidl import nn, ops
from minidl.kernels.conv import ConvAlgorithm
from minidl.kernels.window import sliding_window
from minidl.nn import fusion
from minidl.ops.conv import conv_spec

F = nn.functional


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Any:
    """Random float64 numbers, no two of them closer than the steps of a gradient check."""
    rng = np.random.default_rng([seed, *shape])
    count = int(np.prod(shape))
    return (low + (high - low) * (rng.permutation(count) + 0.25) / max(count, 1)).reshape(shape)


@dataclass(frozen=True)
class Case:
    """An op by its registered name, a function of tensors that applies it, and its inputs."""

    op: str
    call: Callable[..., md.Tensor]
    inputs: tuple[Any, ...]
    label: str = ""

    def __str__(self) -> str:
        return f"{self.op}{'-' + self.label if self.label else ''}"


def fused(x: md.Tensor, w: md.Tensor, b: md.Tensor, pool: Any = 2, stride: Any = None, **options: Any) -> md.Tensor:
    spec = conv_spec(x.data, w.data, b.data, options.get("stride", 1), options.get("padding", 0))
    window = sliding_window(spec.window.OH, spec.window.OW, pool, pool if stride is None else stride, 0)
    algorithm: ConvAlgorithm = fusion.choose("im2col", spec, x.backend)
    return ops.Conv2DReLUMaxPool2D.apply(x, w, b, algorithm=algorithm, spec=spec, pool=window)


MASK = np.array([[True, False, True], [False, True, True]])
A, B = numbers(2, 3), numbers(2, 3, seed=1)
ROW, COLUMN = numbers(3, seed=2), numbers(2, 1, seed=3)
POSITIVE = numbers(2, 3, low=0.5, high=3.0)

ELEMENTWISE = [
    Case(name, call, inputs, label)
    for name, call in [
        ("add", lambda a, b: a + b),
        ("sub", lambda a, b: a - b),
        ("mul", lambda a, b: a * b),
        ("maximum", F.maximum),
        ("minimum", F.minimum),
        ("where", lambda a, b: F.where(MASK, a, b)),
    ]
    for label, inputs in [("", (A, B)), ("row", (A, ROW)), ("row-first", (ROW, A)), ("column", (A, COLUMN))]
] + [
    Case("div", lambda a, b: a / b, (A, POSITIVE)),
    Case("div", lambda a, b: a / b, (A, POSITIVE[0]), "row"),
    Case("div", lambda a, b: a / b, (COLUMN, POSITIVE), "column-first"),
    Case("neg", lambda x: -x, (A,)),
    Case("pow", lambda x, p: x**p, (POSITIVE, B)),
    Case("pow", lambda x, p: x**p, (POSITIVE, ROW), "row"),
    Case("pow", lambda x: x**3, (A,), "number"),
    Case("exp", F.exp, (A,)),
    Case("log", F.log, (POSITIVE,)),
    Case("sqrt", F.sqrt, (POSITIVE,)),
    Case("abs", F.abs, (A,)),
    Case("relu", F.relu, (A,)),
    Case("leaky_relu", lambda x: F.leaky_relu(x, 0.1), (A,)),
    Case("sigmoid", F.sigmoid, (A,)),
    Case("tanh", F.tanh, (A,)),
    Case("clip", lambda x: F.clip(x, -1, 1.2), (A,)),
    Case("clip", lambda x: F.clip(x, low=0.1), (A,), "low"),
]

CUBE = numbers(2, 3, 4)
REDUCTIONS = [
    Case(name, lambda x, name=name, o=options: getattr(x, name)(**o), (CUBE,), str(options))
    for name in ("sum", "mean", "max", "min", "var")
    for options in (
        {},
        {"axis": 1},
        {"axis": -1, "keepdims": True},
        {"axis": (0, 2)},
        {"axis": (2, 0), "keepdims": True},
    )
] + [Case("sum", lambda x: x.sum(axis=0), (numbers(1, 3),), "size-1")]

SHAPES = [
    Case("reshape", lambda x: x.reshape(4, -1), (CUBE,)),
    Case("transpose", lambda x: x.transpose(), (CUBE,)),
    Case("transpose", lambda x: x.transpose(1, -1, 0), (CUBE,), "axes"),
    Case("getitem", lambda x: x[1, ::2, -3:], (CUBE,)),
    Case("getitem", lambda x: x[..., None, 1], (CUBE,), "new-axis"),
    Case("getitem", lambda x: x[[0, 1, 0], [2, 2, 2]], (CUBE,), "same-element-twice"),
    Case("getitem", lambda x: x[:, MASK[0]], (CUBE,), "mask"),
    Case("concatenate", lambda a, b: F.concatenate([a, b, a], axis=-1), (A, numbers(2, 1))),
    Case("concatenate", lambda a, b: F.concatenate([a, b]), (A, B), "rows"),
    Case("stack", lambda a, b: F.stack([a, b], axis=1), (A, B)),
    Case("stack", lambda a, b: F.stack([a, b], axis=-1), (A, B), "last"),
    Case("pad", lambda x: F.pad(x, ((0, 2), (1, 0)), value=3.0), (A,)),
    Case("broadcast_to", lambda x: F.broadcast_to(x, (4, 2, 3)), (COLUMN,)),
    Case("cast", lambda x: x.astype(x.dtype), (A,)),
    Case("transfer", lambda x: x.to(x.backend.name), (A,)),
    Case("matmul", lambda a, b: a @ b, (numbers(2, 3), numbers(3, 4))),
    Case("matmul", lambda a, b: a @ b, (numbers(3), numbers(3, 4)), "vector-first"),
    Case("matmul", lambda a, b: a @ b, (numbers(2, 3), numbers(3)), "vector-last"),
    Case("matmul", lambda a, b: a @ b, (numbers(3), numbers(3, seed=1)), "vectors"),
    Case("matmul", lambda a, b: a @ b, (numbers(5, 1, 2, 3), numbers(4, 3, 2)), "stacks"),
    Case("matmul", lambda a, b: a @ b, (numbers(3), numbers(4, 3, 2)), "vector-stack"),
    Case("matmul", lambda a, b: a @ b, (numbers(1, 1), numbers(1, 1)), "size-1"),
]

CONVOLUTIONS = [
    ("plain", (2, 5, 7, 2), (3, 3, 2, 3), {}),
    ("stride", (1, 8, 7, 2), (3, 2, 2, 2), {"stride": (2, 3)}),
    ("same", (1, 5, 6, 1), (3, 4, 1, 2), {"padding": "same"}),
    ("same-stride", (2, 6, 5, 1), (3, 3, 1, 2), {"padding": "same", "stride": 2}),
    ("pad", (1, 4, 5, 2), (3, 3, 2, 2), {"padding": (2, 1)}),
    ("pad-sides", (1, 4, 5, 2), (2, 3, 2, 2), {"padding": ((0, 2), (1, 0)), "stride": 2}),
    ("1x1", (2, 3, 4, 3), (1, 1, 3, 2), {}),
    ("size-1", (1, 1, 1, 1), (1, 1, 1, 1), {}),
    ("whole-image", (2, 3, 4, 1), (3, 4, 1, 2), {}),
    ("row", (1, 3, 6, 2), (1, 3, 2, 2), {"stride": (1, 2)}),
    ("left-over", (1, 8, 8, 1), (3, 3, 1, 1), {"stride": 3}),
]
POOLINGS = [
    ("plain", (2, 4, 6, 2), {"size": 2}),
    ("left-over", (1, 5, 7, 2), {"size": 2}),
    ("overlap", (1, 6, 5, 2), {"size": 3, "stride": 2}),
    ("gaps", (1, 7, 7, 1), {"size": 2, "stride": 3}),
    ("pad", (1, 4, 5, 1), {"size": 3, "stride": 2, "padding": 1}),
    ("same", (1, 5, 5, 2), {"size": (2, 3), "stride": 2, "padding": "same"}),
    ("size-1", (1, 1, 1, 1), {"size": 1}),
    ("one-window", (2, 3, 4, 2), {"size": (3, 4)}),
]
IMAGES = (
    [
        Case(
            "conv2d",
            lambda x, w, b, o=options, a=algorithm: F.conv2d(x, w, b, algorithm=a, **o),
            (numbers(*x), numbers(*w), numbers(w[-1])),
            f"{algorithm}-{label}",
        )
        for algorithm in md.plugins.names("conv_algorithm")
        for label, x, w, options in CONVOLUTIONS
    ]
    + [Case("conv2d", lambda x, w: F.conv2d(x, w), (numbers(1, 4, 3, 1), numbers(2, 2, 1, 2)), "no-bias")]
    + [
        Case(f"{kind}_pool2d", lambda x, o=options, k=kind: getattr(F, f"{k}_pool2d")(x, **o), (numbers(*x),), label)
        for kind in ("max", "avg")
        for label, x, options in POOLINGS
    ]
    + [
        Case("conv2d_relu_max_pool2d", fused, (numbers(3, 6, 7, 2), numbers(3, 3, 2, 3), numbers(3))),
        Case(
            "conv2d_relu_max_pool2d",
            lambda x, w, b: fused(x, w, b, pool=3, stride=2, padding=1),
            (numbers(1, 6, 7, 1), numbers(3, 3, 1, 2), numbers(2)),
            "overlap-pad",
        ),
    ]
)

LABELS = np.array([2, 0])
LOSSES = [
    Case("softmax", lambda x: F.softmax(x), (A,)),
    Case("softmax", lambda x: F.softmax(x, axis=0), (CUBE,), "axis"),
    Case("log_softmax", lambda x: F.log_softmax(x), (A,)),
    Case("log_softmax", lambda x: F.log_softmax(x, axis=1), (CUBE,), "axis"),
    Case("softmax_cross_entropy", lambda x: F.softmax_cross_entropy(x, LABELS), (A,)),
    Case(
        "binary_cross_entropy_with_logits",
        lambda x: F.binary_cross_entropy_with_logits(x, MASK.astype(np.float64)),
        (A,),
    ),
    Case("l1_loss", lambda a, b: F.l1_loss(a, b), (A, B)),
    Case("mse_loss", lambda a, b: F.mse_loss(a, b), (A, B)),
    Case("huber_loss", lambda a, b: F.huber_loss(a, b, delta=0.7), (A, B)),
    Case("dropout", lambda x: F.dropout(x, 0.4, rng=md.Generator(3)), (CUBE,)),
    Case("batch_norm", lambda x, g, b: F.batch_norm(x, g, b), (numbers(3, 2, 2, 2), numbers(2), numbers(2, seed=1))),
    Case("batch_norm", lambda x, g, b: F.batch_norm(x, g, b), (numbers(5, 3), numbers(3), numbers(3, seed=1)), "2d"),
]

ALL = ELEMENTWISE + REDUCTIONS + SHAPES + IMAGES + LOSSES
