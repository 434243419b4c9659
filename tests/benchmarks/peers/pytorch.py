"""The documented network in PyTorch, with weights converted from minidl's."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .ours import Batch, Weights


class Documented(nn.Module):
    """Four blocks of convolution, ReLU and max pooling, and two heads; names and order as in minidl's."""

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 32, 64, 128, 256)
        blocks = [
            layer
            for c_in, c_out in pairwise(channels)
            for layer in (nn.Conv2d(c_in, c_out, 3), nn.ReLU(), nn.MaxPool2d(2))
        ]
        self.features = nn.Sequential(*blocks)
        self.gender, self.age = (
            nn.Sequential(nn.Linear(9216, 256), nn.ReLU(), nn.Linear(256, 1)) for _ in ("gender", "age")
        )

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        # The order of minidl's (and Keras's) Flatten, height first and channels last; free in channels_last.
        features = self.features(x).permute(0, 2, 3, 1).flatten(1)
        return {"gender": self.gender(features), "age": self.age(features)}


def from_minidl(weights: Weights) -> dict[str, torch.Tensor]:
    """A state dict of minidl as a state dict of PyTorch: other axes, other names."""
    state = {}
    for name, value in weights.items():
        layer, _, leaf = name.rpartition(".")
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[value.ndim]
        state[f"{layer}.{'weight' if leaf == 'w' else 'bias'}"] = torch.from_numpy(value.transpose(axes).copy())
    return state


class Training:
    """A training of the documented network; a call runs one step and returns the loss."""

    def __init__(
        self,
        weights: Weights,
        layout: str = "contiguous_format",
        dtype: str = "float32",
        device: str = "cpu",
        compiled: bool = False,
    ) -> None:
        self.layout, self.device = getattr(torch, layout), device
        self.model = Documented().to(getattr(torch, dtype))
        self.model.load_state_dict(from_minidl(weights))
        self.model = self.model.to(device).to(memory_format=self.layout)
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True if device == "cuda" else None)
        self.forward: Any = torch.compile(self.model) if compiled else self.model

    def put(self, batch: Batch) -> Any:
        """A batch of minidl (NHWC) as tensors in the layout of the training."""
        images, targets = batch
        # A clone: with one channel, only the strides distinguish the layouts.
        x = torch.from_numpy(images.transpose(0, 3, 1, 2)).clone(memory_format=self.layout)
        return x.to(self.device), {name: torch.from_numpy(values).to(self.device) for name, values in targets.items()}

    def __call__(self, x: torch.Tensor, targets: dict[str, torch.Tensor]) -> float:
        return float(self.step(x, targets).item())

    def step(self, x: torch.Tensor, targets: dict[str, torch.Tensor]) -> Any:
        """One step; the loss stays on its device."""
        outputs = self.forward(x)
        loss = nn.functional.binary_cross_entropy_with_logits(outputs["gender"], targets["gender"])
        loss = loss + nn.functional.l1_loss(outputs["age"], targets["age"])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def predict(self, x: torch.Tensor) -> None:
        """Inference on a batch."""
        with torch.inference_mode():
            self.forward(x)

    def weights(self) -> NDArray[Any]:
        """All weights in one vector, in minidl's order of names and axes."""
        axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
        values = [
            value.detach().cpu().permute(axes[value.ndim]).reshape(-1).numpy() for value in self.model.parameters()
        ]
        return np.concatenate(values)
