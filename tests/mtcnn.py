"""``python -m tests.mtcnn``: convert the weights of the package mtcnn to ``agegender/faces/mtcnn.safetensors``.

Also writes what its networks give for :func:`examples` to ``mtcnn.json``. Needs ``pip install tensorflow-cpu joblib lz4
mtcnn==1.0.0``. The package's files are pickles, so they are opened here, once, and never by agegender.
"""

import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

import minidl as md
from agegender.faces.networks import Detector

TARGET = Path(__file__).parents[1] / "agegender" / "faces" / "mtcnn.safetensors"
EXPECTED = Path(__file__).with_name("mtcnn.json")
HEADS = {"proposals": ("box", "face"), "refinement": ("box", "face"), "output": ("box", "points", "face")}
"""The outputs of each network in the order of the package."""
FLATTENED = {"refinement": (3, 3, 64), "output": (3, 3, 128)}
"""The shape that the first dense layer flattens, by network."""


def weights(network: str) -> list[Any]:
    """The arrays of a network in the order of its layers, for rows before columns where the package has them after."""
    import joblib

    package = distribution("mtcnn").locate_file("mtcnn/assets/weights")
    arrays = joblib.load(Path(str(package)) / f"{network[0]}net.lz4")
    shape = FLATTENED.get(network)
    if shape is None:
        return list(arrays)
    size = shape[0] * shape[1] * shape[2]
    return [a.reshape(*shape, -1).swapaxes(0, 1).reshape(a.shape) if a.shape[0] == size else a for a in arrays]


def converted() -> dict[str, Any]:
    """The state of a :class:`Detector`."""
    empty, state = Detector().state_dict(), {}
    for network, heads in HEADS.items():
        names = [name for name in empty if name.startswith(f"{network}.features")]
        names += [f"{network}.{head}.{part}" for head in heads for part in "wb"]
        for name, array in zip(names, weights(network), strict=True):
            state[name] = array.reshape(empty[name].shape)
    return state


def examples(network: str) -> Any:
    """Smooth colour patterns, float32 (3, H, W, 3) in [-1, 1]."""
    height, width = {"proposals": (17, 23), "refinement": (24, 24), "output": (48, 48)}[network]
    number, row, column, colour = np.ogrid[:3, :height, :width, :3]
    return np.sin((number + 1) * (row / 5 + colour) + column / (3 + colour)).astype(np.float32)


def expected(network: str) -> dict[str, Any]:
    """The outputs of the package's network for its examples."""
    from mtcnn import MTCNN

    stage = MTCNN().stages[list(HEADS).index(network)]
    outputs = [y.numpy() for y in stage.model(examples(network))]
    named = dict(zip(HEADS[network], outputs, strict=True))
    return {name: (y[..., 1] if name == "face" else y).tolist() for name, y in named.items()}


if __name__ == "__main__":
    md.save(TARGET, converted())
    EXPECTED.write_text(json.dumps({network: expected(network) for network in HEADS}))
    print(f"wrote {TARGET} and {EXPECTED}")
