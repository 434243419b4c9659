"""A layer: squeeze and excitation."""

from typing import ClassVar

import numpy as np

from minidl import Generator, Tensor, nn
from minidl.testing import LayerExample


class SqueezeExcite(nn.Module):
    """Scales each channel of an image by a learned function of the image: y = x sigmoid(w2 relu(w1 mean(x))).

    Hu, Shen and Sun, "Squeeze-and-Excitation Networks" (2018), section 3.

    >>> import numpy as np, minidl as md
    >>> SqueezeExcite(8)(md.tensor(np.ones((2, 5, 7, 8), np.float32))).shape
    (2, 5, 7, 8)
    """

    examples: ClassVar = [
        LayerExample(lambda: SqueezeExcite(5, reduction=2), np.random.default_rng(0).normal(size=(2, 4, 3, 5)))
    ]
    """The example for the checks, which cannot guess the number of channels."""

    def __init__(self, channels: int, reduction: int = 4, rng: Generator | None = None) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.GlobalAveragePooling2D()
        self.excite = nn.Sequential(
            nn.Dense(channels, hidden, rng=rng), nn.ReLU(), nn.Dense(hidden, channels, rng=rng), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.excite(self.squeeze(x))
        return x * weights.reshape(len(x), 1, 1, x.shape[-1])
