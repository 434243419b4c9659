"""The three networks of MTCNN, a cascade of face detectors from small to large.

Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks" (2016),
figure 2. Each network judges whether a square shows a face, and corrects the square; the last one also finds five
points. Pixels are (value - 127.5) / 128 in RGB.

``mtcnn.safetensors`` holds the trained weights of the package mtcnn 1.0.0 by Iván de Paz Centeno (MIT licence, see
``LICENSE.mtcnn``), which come from the authors' release; ``python -m tests.mtcnn`` converts them.
"""

from functools import cache
from importlib.resources import as_file, files

import numpy as np

import minidl as md
from minidl import Tensor, nn

F = nn.functional


class PReLU(nn.Module):
    """y = x where x > 0, and slope x elsewhere, with a learned slope for each channel (the last axis).

    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015), equation 1.

    >>> PReLU(2)(md.tensor(np.array([[-4.0, 4.0]], np.float32))).detach()
    tensor([[-1.,  4.]])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(np.full(channels, 0.25, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) - self.slope * F.relu(-x)


class Proposals(nn.Module):
    """P-Net: judges every square of 12 pixels of a picture, in steps of 2 pixels.

    Input (N, H, W, 3); output the probability of a face and the correction of the square's corners.

    >>> {name: y.shape for name, y in Proposals()(md.zeros((1, 12, 14, 3))).items()}
    {'face': (1, 1, 2), 'box': (1, 1, 2, 4)}
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2D(3, 10, 3),
            PReLU(10),
            nn.MaxPooling2D(2, padding="same"),
            nn.Conv2D(10, 16, 3),
            PReLU(16),
            nn.Conv2D(16, 32, 3),
            PReLU(32),
        )
        self.face = nn.Conv2D(32, 2, 1)
        self.box = nn.Conv2D(32, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.features(x)
        return {"face": probability(self.face(features)), "box": self.box(features)}


class Refinement(nn.Module):
    """R-Net: judges squares that are scaled to 24 pixels, (N, 24, 24, 3).

    >>> {name: y.shape for name, y in Refinement()(md.zeros((2, 24, 24, 3))).items()}
    {'face': (2,), 'box': (2, 4)}
    """

    size = 24

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2D(3, 28, 3),
            PReLU(28),
            nn.MaxPooling2D(3, 2, padding="same"),
            nn.Conv2D(28, 48, 3),
            PReLU(48),
            nn.MaxPooling2D(3, 2),
            nn.Conv2D(48, 64, 2),
            PReLU(64),
            nn.Flatten(),
            nn.Dense(576, 128),
            PReLU(128),
        )
        self.face = nn.Dense(128, 2)
        self.box = nn.Dense(128, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.features(x)
        return {"face": probability(self.face(features)), "box": self.box(features)}


class Output(nn.Module):
    """O-Net: judges squares that are scaled to 48 pixels, (N, 48, 48, 3), and finds five points in each.

    ``points`` (N, 10) are shares of the square: the x of both eyes, the nose and both corners of the mouth, from left
    to right in the picture, then their y.

    >>> {name: y.shape for name, y in Output()(md.zeros((2, 48, 48, 3))).items()}
    {'face': (2,), 'box': (2, 4), 'points': (2, 10)}
    """

    size = 48

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2D(3, 32, 3),
            PReLU(32),
            nn.MaxPooling2D(3, 2, padding="same"),
            nn.Conv2D(32, 64, 3),
            PReLU(64),
            nn.MaxPooling2D(3, 2),
            nn.Conv2D(64, 64, 3),
            PReLU(64),
            nn.MaxPooling2D(2, padding="same"),
            nn.Conv2D(64, 128, 2),
            PReLU(128),
            nn.Flatten(),
            nn.Dense(1152, 256),
            PReLU(256),
        )
        self.face = nn.Dense(256, 2)
        self.box = nn.Dense(256, 4)
        self.points = nn.Dense(256, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.features(x)
        outputs = {"face": probability(self.face(features)), "box": self.box(features)}
        return {**outputs, "points": self.points(features)}


def probability(logits: Tensor) -> Tensor:
    """The probability of a face from the logits of "no face" and "face" on the last axis.

    >>> probability(md.tensor([[0.0, 0.0], [2.0, -100.0]])).numpy().round(3).tolist()
    [0.5, 0.0]
    """
    return F.sigmoid(logits[..., 1] - logits[..., 0])


class Detector(nn.Module):
    """The three networks of the cascade; :func:`trained` has their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.proposals, self.refinement, self.output = Proposals(), Refinement(), Output()


@cache
def trained() -> Detector:
    """The detector with its trained weights, in evaluation mode, loaded once.

    >>> sum(parameter.size for parameter in trained().parameters())
    495850
    """
    detector = Detector()
    with as_file(files(__package__) / "mtcnn.safetensors") as path:
        detector.load_state_dict(md.load(path))
    detector.eval()
    return detector
