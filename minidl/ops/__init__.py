"""The ops: each a short class whose ``forward`` and ``backward`` are the mathematics, next to each other."""

from .conv import Conv2D
from .dropout import Dropout
from .elementwise import (
    Abs,
    Add,
    Clip,
    Div,
    Exp,
    LeakyReLU,
    Log,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    ReLU,
    Sigmoid,
    Sqrt,
    Sub,
    Tanh,
    Where,
)
from .fused import Conv2DReLUMaxPool2D
from .loss import (
    BinaryCrossEntropyWithLogits,
    HuberLoss,
    L1Loss,
    LogSoftmax,
    MSELoss,
    Softmax,
    SoftmaxCrossEntropy,
)
from .matmul import MatMul
from .norm import BatchNorm
from .pool import AvgPool2D, MaxPool2D
from .reduce import Max, Mean, Min, Sum, Var
from .shape import BroadcastTo, Cast, Concatenate, GetItem, Pad, Reshape, Stack, Transfer, Transpose

__all__ = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Pow",
    "Exp",
    "Log",
    "Sqrt",
    "Abs",
    "ReLU",
    "LeakyReLU",
    "Sigmoid",
    "Tanh",
    "Maximum",
    "Minimum",
    "Clip",
    "Where",
    "Sum",
    "Mean",
    "Max",
    "Min",
    "Var",
    "Reshape",
    "Transpose",
    "GetItem",
    "Concatenate",
    "Stack",
    "Pad",
    "BroadcastTo",
    "Cast",
    "Transfer",
    "MatMul",
    "Conv2D",
    "Conv2DReLUMaxPool2D",
    "MaxPool2D",
    "AvgPool2D",
    "Softmax",
    "LogSoftmax",
    "SoftmaxCrossEntropy",
    "BinaryCrossEntropyWithLogits",
    "L1Loss",
    "MSELoss",
    "HuberLoss",
    "Dropout",
    "BatchNorm",
]
