"""The frameworks in the comparison, by the names that ``--peers`` takes."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Framework:
    """A framework: its name, the module here that trains with it, and its requirements."""

    label: str
    module: str
    packages: tuple[str, ...] = ()
    """The modules that it imports; the packages have the same names."""
    options: Mapping[str, Any] = field(default_factory=dict)
    largest_batch: int | None = None
    """For frameworks so slow that a round would take minutes."""

    @property
    def installed(self) -> bool:
        """Whether its requirements are installed."""
        return all(importlib.util.find_spec(name) for name in self.packages)

    @property
    def hint(self) -> str:
        """The command that installs it."""
        return f"pip install {' '.join(self.packages)}"

    def training(self, weights: Mapping[str, Any]) -> Any:
        """The documented network with these weights, ready to train."""
        return importlib.import_module(f"{__package__}.{self.module}").Training(weights, **self.options)


PACKAGES = ("torch", "tensorflow", "tensorflow-cpu", "keras", "jax", "mygrad", "autograd")
"""The packages whose versions are stored with the figures; TensorFlow is in one of two."""
FRAMEWORKS = {
    "minidl": Framework("minidl", "ours"),
    "pytorch_channels_last": Framework("PyTorch, channels_last", "pytorch", ("torch",), {"layout": "channels_last"}),
    "pytorch_default": Framework("PyTorch, default layout", "pytorch", ("torch",)),
    "keras": Framework("Keras on TensorFlow", "keras", ("keras", "tensorflow")),
    "jax": Framework("JAX, jit", "jax", ("jax",)),
    "mygrad": Framework("MyGrad", "mygrad", ("mygrad",), largest_batch=4),
}
