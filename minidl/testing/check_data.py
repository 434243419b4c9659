"""The requirements for a data set: a length, reproducible samples, and batches that are copies."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np

from .. import backends
from ..data import DataLoader, Dataset, collate
from ..errors import counted
from ..nested import leaves, map_leaves, outline
from .arrays import same_bits
from .kit import NotApplicable, Subject, require

SAMPLES = 16
"""The number of samples, spread over the data set, that are checked."""


class DatasetSubject(Subject):
    """A data set; its one example is the data set itself.

    >>> from minidl.data import ArrayDataset
    >>> DatasetSubject("numbers", ArrayDataset(np.arange(5))).run().count("failed")
    0
    """

    kind: ClassVar[str] = "dataset"

    def __init__(self, name: str, dataset: Dataset) -> None:
        super().__init__(name, [dataset])

    def check_length(self, dataset: Dataset) -> None:
        """It has a length, and at least one sample."""
        require(len(dataset) > 0, "it is empty")

    def check_repeats(self, dataset: Dataset) -> None:
        """A sample is the same every time, regardless of what is read in between."""
        for index in _some(dataset):
            one = _arrays(dataset[index])
            kept = [array.copy() for array in one]
            _ = dataset[len(dataset) - 1 - index]
            require(
                same_bits(one, kept),
                f"sample {index} changes when another one is read: give every sample its own array",
            )
            require(same_bits(_arrays(dataset[index]), one), f"sample {index} is different the second time")

    def check_batch(self, dataset: Dataset) -> None:
        """A batch equals its samples, stacked in the requested order."""
        indices = np.array(_some(dataset)[::-1])
        expected = collate([dataset[int(index)] for index in indices])
        got = dataset.batch(indices)
        alike = outline(got, _dash) == outline(expected, _dash)
        require(alike, f"a batch is {map_leaves(_dash, got)}, expected {map_leaves(_dash, expected)}")
        require(same_bits(_arrays(got), _arrays(expected)), "a batch differs from its samples")

    def check_batches_are_copies(self, dataset: Dataset) -> None:
        """Writing to a batch does not change the data set."""
        indices = np.array(_some(dataset))
        expected = [array.copy() for array in _arrays(dataset.batch(indices))]
        for array in _arrays(dataset.batch(indices)):
            array[...] = 0
        require(same_bits(_arrays(dataset.batch(indices)), expected), "writing to a batch changes the data set")

    def check_moves(self, dataset: Dataset) -> None:
        """A subset of the samples, moved to a device, forms the same batch there."""
        indices = np.array(_some(dataset)[::-1])
        backend = backends.get("strict")
        there = dataset.take(indices).to(backend.name).batch(np.arange(len(indices)))
        got = map_leaves(backend.to_numpy, there)
        alike = outline(got, _dash) == outline(dataset.batch(indices), _dash)
        require(alike, f"on a device a batch is {map_leaves(_dash, got)}")
        require(same_bits(_arrays(got), _arrays(dataset.batch(indices))), "on a device a batch is different")

    def check_dtype(self, dataset: Dataset) -> None:
        """Floats are float32: no model takes float64 by default."""
        for array in _arrays(dataset.batch(np.array(_some(dataset)))):
            require(array.dtype.kind != "f" or array.dtype == np.float32, f"a batch holds {array.dtype}: use float32")
            require(array.dtype.kind in "fiub", f"a batch holds {array.dtype}: use numbers")

    def check_shapes(self, dataset: Dataset) -> None:
        """All samples have the same structure and shapes, so they can form a batch."""
        samples = [_arrays(dataset[index]) for index in _some(dataset)]
        shapes = {", ".join(f"{array.dtype} {array.shape}" for array in sample) for sample in samples}
        require(len(shapes) == 1, f"samples differ in shape or dtype: {'; '.join(sorted(shapes))}")

    def check_end(self, dataset: Dataset) -> None:
        """An index past the end raises IndexError, which ends a for loop."""
        try:
            dataset[len(dataset)]
        except IndexError:
            return
        except Exception as error:
            require(False, f"dataset[{len(dataset)}] raises {type(error).__name__}, expected IndexError")
        require(False, f"dataset[{len(dataset)}] returns a sample, expected IndexError: the length is {len(dataset)}")

    def check_threads(self, dataset: Dataset) -> None:
        """Samples can be read from several threads at once."""
        indices = _some(dataset) * 4
        expected = [_arrays(dataset[index]) for index in indices]
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda index: _arrays(dataset[index]), indices))
        for index, one, other in zip(indices, got, expected, strict=True):
            require(same_bits(one, other), f"sample {index} differs when several threads read")

    def check_loader(self, dataset: Dataset) -> None:
        """A DataLoader yields every sample once per epoch."""
        if len(dataset) > 10_000:
            raise NotApplicable("too many samples to read them all")
        loader = DataLoader(dataset, batch_size=max(1, len(dataset) // 3), shuffle=True)
        count = sum(len(_arrays(batch)[0]) for batch in loader)
        require(count == len(dataset), f"an epoch has {counted(count, 'sample')}, the data set {len(dataset)}")


def _some(dataset: Dataset) -> list[int]:
    """The indices of up to ``SAMPLES`` samples, including the first and the last."""
    return sorted({round(index) for index in np.linspace(0, len(dataset) - 1, SAMPLES)})


def _arrays(sample: Any) -> list[Any]:
    """The arrays in a sample or batch."""
    return [np.asarray(leaf) for leaf in leaves(sample)]


def _dash(_leaf: Any) -> str:
    return "-"
