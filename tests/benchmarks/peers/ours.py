"""The documented network in minidl, with the common interface; also the weights and data for all frameworks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidl import backends, nn, optim, plugins
from minidl.capture import CapturedStep
from minidl.random import Generator
from minidl.tensor import Tensor, no_grad

F = nn.functional
Weights = Mapping[str, NDArray[Any]]
Batch = tuple[NDArray[Any], dict[str, NDArray[Any]]]


def weights(seed: int, dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
    """The initial weights of all frameworks."""
    state = plugins.build("model", "documented", rng=Generator(seed)).state_dict()
    return {name: value.astype(dtype) for name, value in state.items()}


def random_batch(size: int) -> Batch:
    """Random images and labels."""
    rng = np.random.default_rng(0)
    images = rng.random((size, 128, 128, 1), np.float32)
    genders = rng.integers(0, 2, (size, 1)).astype(np.float32)
    return images, {"gender": genders, "age": rng.uniform(1, 90, (size, 1)).astype(np.float32)}


def gradients(images: Any, targets: dict[str, Any], model: nn.Module) -> Any:
    """The loss; sets the gradients of the model."""
    outputs = model(Tensor(images))
    loss = F.binary_cross_entropy_with_logits(outputs["gender"], targets["gender"])
    loss = loss + F.l1_loss(outputs["age"], targets["age"])
    loss.backward()
    return loss.data


class Training:
    """A training of the documented network; a call runs one step and returns the loss."""

    def __init__(self, weights: Weights, backend: str = "numpy") -> None:
        self.model = plugins.build("model", "documented")
        for name, parameter in self.model.named_parameters():
            parameter.data = weights[name].copy()
        self.model.to(backend)
        self.backend = backends.get(backend)
        self.optimizer = optim.Adam(self.model.parameters())
        self.captured = CapturedStep(gradients)

    def put(self, batch: Batch) -> Any:
        """The batch as arrays of the backend."""
        images, targets = batch
        return self.backend.asarray(images), {name: self.backend.asarray(values) for name, values in targets.items()}

    def __call__(self, images: Any, targets: dict[str, Any]) -> float:
        return float(self.backend.to_numpy(self.step(images, targets)))

    def step(self, images: Any, targets: dict[str, Any]) -> Any:
        """One step; the loss stays on its device."""
        self.optimizer.zero_grad()
        loss = self.captured(images, targets, self.model)
        self.optimizer.step()
        return loss

    def predict(self, images: Any) -> None:
        """Inference on a batch."""
        with no_grad():
            self.model(Tensor(images))

    def weights(self) -> NDArray[Any]:
        """All weights in one vector."""
        return np.concatenate([parameter.numpy().ravel() for parameter in self.model.parameters()])
