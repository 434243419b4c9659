"""A model: a small network with the layer of this package."""

from minidl import Generator, Tensor, nn

from .layer import SqueezeExcite


class Squeezed(nn.Module):
    """Three convolutions with stride 2, each with squeeze and excitation, then the mean of each channel and two heads.

    >>> sum(parameter.size for parameter in Squeezed().parameters())
    6696
    """

    def __init__(self, rng: Generator | None = None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, filters in ((1, 8), (8, 16), (16, 32)):
            layers += [nn.Conv2D(channels, filters, 3, stride=2, rng=rng), nn.ReLU(), SqueezeExcite(filters, rng=rng)]
        self.features = nn.Sequential(*layers, nn.GlobalAveragePooling2D())
        self.gender = nn.Dense(32, 1, rng=rng)
        self.age = nn.Dense(32, 1, rng=rng)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Faces (N, 128, 128, 1) in [0, 1]; logits of the gender and ages in years, (N, 1) each."""
        features = self.features(x)
        return {"gender": self.gender(features), "age": self.age(features)}
