"""The documented network in MyGrad, another framework in pure NumPy, with weights converted from minidl's."""

from typing import Any

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import relu
from mygrad.nnet.layers import conv_nd, max_pool

from .ours import Batch, Weights

mg.turn_memory_guarding_off()  # as its documentation advises for speed
LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


class Training:
    """A training of the documented network; a call runs one step and returns the loss."""

    def __init__(self, weights: Weights) -> None:
        # Images and kernels are channels first; a bias is added with broadcasting, so it has all four axes.
        axes = {4: (3, 2, 0, 1), 2: (0, 1), 1: (0,)}
        arrays = {name: np.ascontiguousarray(value.transpose(axes[value.ndim])) for name, value in weights.items()}
        shaped = {
            name: value.reshape(1, -1, 1, 1) if name.startswith("features") and name.endswith("b") else value
            for name, value in arrays.items()
        }
        self.parameters = {name: mg.tensor(value) for name, value in shaped.items()}
        self.means = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in shaped.items()}
        self.steps = 0

    def put(self, batch: Batch) -> Batch:
        """The batch with channels first."""
        images, targets = batch
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), targets

    def forward(self, x: Any) -> dict[str, Any]:
        """Four blocks of convolution, ReLU and max pooling, and two heads."""
        w = self.parameters
        for layer in ("features.0", "features.3", "features.6", "features.9"):
            x = relu(conv_nd(x, w[f"{layer}.w"], stride=1) + w[f"{layer}.b"])
            even = x.shape[2] // 2 * 2  # a window must not extend beyond the edge
            x = max_pool(x[:, :, :even, :even], (2, 2), 2)
        x = x.transpose(0, 2, 3, 1).reshape(len(x), -1)
        hidden = {name: relu(mg.matmul(x, w[f"{name}.0.w"]) + w[f"{name}.0.b"]) for name in ("gender", "age")}
        return {name: mg.matmul(h, w[f"{name}.2.w"]) + w[f"{name}.2.b"] for name, h in hidden.items()}

    def __call__(self, x: Any, targets: dict[str, Any]) -> float:
        outputs = self.forward(x)
        logits = outputs["gender"]
        gender = mg.mean(mg.logaddexp(logits, np.float32(0)) - logits * targets["gender"])
        loss = gender + mg.mean(mg.abs(outputs["age"] - targets["age"]))
        loss.backward()
        self.update()
        return float(loss.item())

    def update(self) -> None:
        """Adam, which MyGrad lacks."""
        self.steps += 1
        size, unbias = LR / (1 - BETA1**self.steps), 1 - BETA2**self.steps
        for name, parameter in self.parameters.items():
            g, (m, v) = parameter.grad, self.means[name]
            m += (1 - BETA1) * (g - m)
            v += (1 - BETA2) * (g * g - v)
            parameter.data -= size * m / (np.sqrt(v / unbias) + EPS)
            parameter.null_grad()

    def predict(self, x: Any) -> None:
        """Inference on a batch."""
        with mg.no_autodiff:
            self.forward(x)
