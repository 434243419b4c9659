"""Models that map a grey face to a gender logit and an age."""

from typing import Any

from minidl import Generator, Tensor, nn, plugins
from minidl.errors import ShapeError

from .data.faces import IMAGE_SIZE


def build(name: str = "documented", **options: Any) -> nn.Module:
    """Build a model by its registered name. Input (N, 128, 128, 1) in [0, 1]; output {"gender": logits, "age": years}.

    >>> sum(parameter.size for parameter in build("documented").parameters())
    5107458
    """
    model: nn.Module = plugins.build("model", name, **options)
    return model


@plugins.register("model", "documented")
class Documented(nn.Module):
    """Four blocks of convolution, ReLU and max pooling, then two heads.

    The blocks have 32, 64, 128 and 256 filters of 3x3 and give 6x6x256 = 9,216 features per face. Each head is a dense
    layer of 256 units with ReLU and one output: a logit for gender (positive: label 1), years for age.

    >>> import numpy as np
    >>> outputs = Documented()(Tensor(np.zeros((2, 128, 128, 1), np.float32)))
    >>> {name: y.shape for name, y in outputs.items()}
    {'gender': (2, 1), 'age': (2, 1)}
    """

    static = True

    def __init__(self, rng: Generator | None = None) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2D(1, 32, 3, rng=rng),
            nn.ReLU(),
            nn.MaxPooling2D(2),
            nn.Conv2D(32, 64, 3, rng=rng),
            nn.ReLU(),
            nn.MaxPooling2D(2),
            nn.Conv2D(64, 128, 3, rng=rng),
            nn.ReLU(),
            nn.MaxPooling2D(2),
            nn.Conv2D(128, 256, 3, rng=rng),
            nn.ReLU(),
            nn.MaxPooling2D(2),
            nn.Flatten(),
        )
        self.gender = head(9216, rng)
        self.age = head(9216, rng)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        require_faces(x.shape)
        features = self.features(x)
        return {"gender": self.gender(features), "age": self.age(features)}


def require_faces(shape: tuple[int, ...]) -> None:
    """Raise :class:`minidl.errors.ShapeError` for a batch of images of another size, or in colour.

    >>> require_faces((2, 200, 200, 3))
    Traceback (most recent call last):
    minidl.errors.ShapeError: expected faces (N, 128, 128, 1), got (2, 200, 200, 3). Convert pictures to this size ...
    """
    size = (IMAGE_SIZE, IMAGE_SIZE, 1)
    if len(shape) == 4 and shape[1:] != size and shape[1] != 1:  # the layers report other axes
        convert = f'Image.open(path).convert("L").resize(({IMAGE_SIZE}, {IMAGE_SIZE}))'
        raise ShapeError(
            f"expected faces (N, {', '.join(map(str, size))}), got {shape}. Convert pictures to this size and to grey: "
            f"np.asarray({convert}, np.float32)[..., None] / 255 with Pillow"
        )


def head(features: int, rng: Generator | None) -> nn.Sequential:
    """A head that maps features (N, features) to one value per face, (N, 1).

    >>> import numpy as np
    >>> head(3, None)(Tensor(np.zeros((2, 3), np.float32))).shape
    (2, 1)
    """
    return nn.Sequential(nn.Dense(features, 256, rng=rng), nn.ReLU(), nn.Dense(256, 1, rng=rng))
