"""Neural networks: modules, layers, losses, initial values."""

from . import functional, init
from .layers import (
    AveragePooling2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from .losses import BinaryCrossEntropyWithLogits, HuberLoss, L1Loss, MSELoss, SoftmaxCrossEntropy
from .module import Module
from .parameter import Buffer, Parameter
from .sequential import Sequential
from .summary import Summary, summary

__all__ = [
    "Module",
    "Parameter",
    "Buffer",
    "Sequential",
    "Dense",
    "Conv2D",
    "MaxPooling2D",
    "AveragePooling2D",
    "GlobalAveragePooling2D",
    "ReLU",
    "LeakyReLU",
    "Sigmoid",
    "Tanh",
    "Softmax",
    "Flatten",
    "Dropout",
    "BatchNorm",
    "SoftmaxCrossEntropy",
    "BinaryCrossEntropyWithLogits",
    "L1Loss",
    "MSELoss",
    "HuberLoss",
    "functional",
    "init",
    "Summary",
    "summary",
]
