"""The loss functions as modules; their definitions are in :mod:`minidl.nn.functional`."""

from typing import Any

from .. import plugins
from ..options import integer, number, option, optional
from ..tensor import Tensor
from . import functional as F
from .module import Module


@plugins.register("loss", "softmax_cross_entropy")
class SoftmaxCrossEntropy(Module):
    """For logits (N, classes) and integer labels (N,); see :func:`minidl.nn.functional.softmax_cross_entropy`.

    >>> from minidl import tensor
    >>> SoftmaxCrossEntropy()(tensor([[0.0, 0.0]]), [1]).item()   # log 2
    0.6931471824645996
    """

    ignore_index: int | None = option(optional(integer))

    def __init__(self, ignore_index: int | None = None) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        return F.softmax_cross_entropy(logits, labels, self.ignore_index)


@plugins.register("loss", "binary_cross_entropy_with_logits")
class BinaryCrossEntropyWithLogits(Module):
    """The mean of log(1 + e^x) - t x, for logits x and targets t of equal shape, 0 <= t <= 1.

    >>> from minidl import tensor
    >>> BinaryCrossEntropyWithLogits()(tensor([0.0, 1e4]), [1.0, 1.0]).item()   # log 2 / 2
    0.3465735912322998
    """

    def forward(self, logits: Tensor, targets: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets)


@plugins.register("loss", "l1")
class L1Loss(Module):
    """The mean absolute error.

    >>> from minidl import tensor
    >>> L1Loss()(tensor([20.0, 31.0]), [24.0, 30.0]).item()
    2.5
    """

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.l1_loss(predictions, targets)


@plugins.register("loss", "mse")
class MSELoss(Module):
    """The mean squared error.

    >>> from minidl import tensor
    >>> MSELoss()(tensor([20.0, 31.0]), [24.0, 30.0]).item()
    8.5
    """

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.mse_loss(predictions, targets)


@plugins.register("loss", "huber")
class HuberLoss(Module):
    """Half the squared error up to ``delta``, linear beyond (Huber, "Robust Estimation of a Location Parameter",
    1964).

    >>> from minidl import tensor
    >>> HuberLoss()(tensor([20.0, 31.0]), [24.0, 30.0]).item()   # (3.5 + 0.5) / 2
    2.0
    """

    delta: float = option(number, "> 0")

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, predictions: Tensor, targets: Any) -> Tensor:
        return F.huber_loss(predictions, targets, self.delta)
