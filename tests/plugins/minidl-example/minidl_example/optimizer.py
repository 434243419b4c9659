"""An optimizer: Lion."""

from collections.abc import Iterable
from typing import Any

from minidl import Tensor, backends, optim


class Lion(optim.Optimizer):
    """Steps of constant size, lr, along the sign of a running mean: p = p - lr (sign(u) + weight_decay p).

    u = beta1 m + (1 - beta1) g, then m = beta2 m + (1 - beta2) g. A learning rate that is three to ten times smaller
    than Adam's does well. Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023), algorithm 2.

    >>> import numpy as np, minidl as md
    >>> p = md.tensor([1.0, -1.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> Lion([p], lr=0.25).step()
    >>> p.data
    array([ 0.75, -0.75], dtype=float32)
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | optim.Schedule = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        self.betas, self.weight_decay = betas, weight_decay

    def update(self, param: Any, grad: Any, state: dict[str, Any]) -> None:
        xp = backends.of(param).xp
        beta1, beta2 = self.betas
        m = state.setdefault("m", xp.zeros_like(param))
        direction = xp.sign(beta1 * m + (1 - beta1) * grad)
        param -= self.lr * (direction + self.weight_decay * param)
        m *= beta2
        m += (1 - beta2) * grad
