"""Small data sets for several test files, and the comparison of batches on any device."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import backends
from minidl.data import Dataset, ImageDataset
from minidl.nested import map_leaves


class Computed(Dataset):
    """Samples computed from their indices, even from indices that do not exist."""

    def __init__(self, length: int, sample: Callable[[int], Any]) -> None:
        self.length, self.sample = length, sample

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.sample(index)


def pictures(count: int = 11, width: int = 8) -> ImageDataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 5, width, 1), np.uint8)
    images.reshape(-1)[:256] = np.arange(256)  # all byte values
    return ImageDataset(images, {"age": rng.random((count, 1), np.float32), "number": np.arange(count)})


def on_host(batch: Any) -> Any:
    return map_leaves(backends.to_host, batch)


def assert_same_batches(one: Any, other: Any) -> None:
    for (images, targets), (expected, labels) in zip(map(on_host, one), map(on_host, other), strict=True):
        assert images.dtype == np.float32
        assert images.tobytes() == expected.tobytes()
        assert {name: (v.dtype, v.tolist()) for name, v in targets.items()} == {
            name: (v.dtype, v.tolist()) for name, v in labels.items()
        }


def loader_threads() -> list[threading.Thread]:
    """The threads that prefetch batches."""
    return [thread for thread in threading.enumerate() if thread.name == "minidl-loader"]
