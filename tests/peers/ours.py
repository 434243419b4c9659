"""The documented network in minidl, with the interface of the peers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minidl as md
from agegender import models, tasks
from minidl import optim

Batch = tuple[NDArray[Any], dict[str, NDArray[Any]]]


def weights(seed: int, dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
    """The initial weights that all frameworks start from."""
    state = models.build("documented", rng=md.Generator(seed)).state_dict()
    return {name: value.astype(dtype) for name, value in state.items()}


class Training:
    """One training of the documented network; a call is one step and gives the loss."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.model = models.build("documented")
        for name, parameter in self.model.named_parameters():
            parameter.data = weights[name].copy()
        self.optimizer = optim.Adam(self.model.parameters())

    def put(self, batch: Batch) -> Batch:
        """The batch as it is."""
        return batch

    def __call__(self, images: NDArray[Any], targets: dict[str, NDArray[Any]]) -> float:
        loss = tasks.loss(self.model(md.Tensor(images)), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def predict(self, images: NDArray[Any]) -> None:
        """Inference on a batch."""
        with md.no_grad():
            self.model(md.Tensor(images))

    def weights(self) -> NDArray[Any]:
        """All weights in one vector."""
        return np.concatenate([parameter.numpy().ravel() for parameter in self.model.parameters()])
