"""Data sets, and a loader that makes batches of them in an order which repeats from its seed."""

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import MinidlError, ShapeError

Indices = NDArray[np.integer[Any]]


class Dataset(ABC):
    """Samples by number. A sample is an array, a number, or tuples, lists and dictionaries of them.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index, float(index**2)
    >>> Squares().batch(np.array([1, 3]))
    (array([1, 3]), array([1., 9.], dtype=float32))
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Any: ...

    def batch(self, indices: Indices) -> Any:
        """The samples with these numbers as one batch; override it where that is faster than one by one."""
        return collate([self[int(index)] for index in indices])


def collate(samples: list[Any]) -> Any:
    """Samples of one structure as a batch of that structure: arrays are stacked, Python floats become float32.

    >>> collate([{"x": 1.5}, {"x": 2.5}])
    {'x': array([1.5, 2.5], dtype=float32)}
    """
    first = samples[0]
    if isinstance(first, dict):
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        return type(first)(collate(list(values)) for values in zip(*samples, strict=True))
    if isinstance(first, float):
        return np.array(samples, np.float32)
    arrays = [np.asarray(sample) for sample in samples]
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(sorted({str(array.shape) for array in arrays}))
        raise ShapeError(
            f"samples of different shapes cannot form a batch: {shapes}. Bring them to one shape in the data set."
        )
    return np.stack(arrays)


class ArrayDataset(Dataset):
    """Arrays of one length; sample i is a tuple of their i-th elements. Raises ShapeError if the lengths differ.

    >>> ArrayDataset([[1.0], [2.0]], [0, 1])[1]
    (array([2.]), np.int64(1))
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = [np.asarray(array) for array in arrays]
        if len({array.shape[:1] for array in self.arrays} | {()}) != 2:
            shapes = ", ".join(str(array.shape) for array in self.arrays) or "none"
            raise ShapeError(f"expected arrays of one length, that of their first axis, got shapes {shapes}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> Any:
        return tuple(array[index] for array in self.arrays)

    def batch(self, indices: Indices) -> Any:
        return tuple(array[indices] for array in self.arrays)


class Subset(Dataset):
    """Some samples of a data set, in a given order; nothing is copied.

    >>> Subset(ArrayDataset([10, 20, 30]), [2, 0])[0]
    (np.int64(30),)
    """

    def __init__(self, dataset: Dataset, indices: Any) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: Indices) -> Any:
        return self.dataset.batch(self.indices[indices])


class DataLoader:
    """Batches of a data set. Each loop over it is one epoch; when it ends, the next epoch begins.

    The order of an epoch follows from ``seed`` and the number of the epoch alone, so the state of a loader is three
    numbers. A loop that is left early starts its epoch again in the next loop; after :meth:`load_state_dict` the next
    loop goes on where the saved one was. While a batch is used, a thread makes the next ``prefetch``.

    >>> loader = DataLoader(ArrayDataset(np.arange(5)), batch_size=2)
    >>> [batch.tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        prefetch: int = 2,
    ) -> None:
        if batch_size < 1 or prefetch < 0:
            raise MinidlError(f"expected batch_size >= 1 and prefetch >= 0, got {batch_size} and {prefetch}")
        if not hasattr(dataset, "batch"):
            raise MinidlError(
                f"expected a data set, got {type(dataset).__name__}: wrap arrays as ArrayDataset(x, y), derive a class "
                "of your own from minidl.data.Dataset"
            )
        if len(dataset) < (batch_size if drop_last else 1):
            raise MinidlError(
                f"a data set of {len(dataset)} samples gives no batch of {batch_size}: take more samples"
                + (", a smaller batch_size or drop_last=False" if len(dataset) else "")
            )
        self.dataset, self.batch_size, self.shuffle, self.seed = dataset, batch_size, shuffle, seed
        self.drop_last, self.prefetch = drop_last, prefetch
        self.epoch = 0
        self.position = 0
        """Batches of this epoch that were handed out."""
        self._resume = False

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        if not self._resume:
            self.position = 0
        self._resume = False
        return self._epoch()

    def _epoch(self) -> Iterator[Any]:
        batches = self._batches(self.position)
        with_thread = self.prefetch > 0 and len(self) > 1
        for batch in _prefetched(batches, self.prefetch) if with_thread else batches:
            self.position += 1
            yield batch
        self.epoch, self.position = self.epoch + 1, 0

    def _batches(self, start: int) -> Generator[Any, None, None]:
        order = self.order()
        for number in range(start, len(self)):
            yield self.dataset.batch(order[number * self.batch_size : (number + 1) * self.batch_size])

    def order(self) -> NDArray[np.int64]:
        """The sample numbers of this epoch in their order."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, self.epoch]))
        return np.random.Generator(bits).permutation(len(self.dataset))

    def state_dict(self) -> dict[str, int]:
        """Where the loader is: ``position`` counts the batches of this epoch that were handed out."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position, "samples": len(self.dataset)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where :meth:`state_dict` was taken, on the same data.

        Raises :class:`MinidlError` if it is a state for another number of samples.
        """
        if state["samples"] != len(self.dataset) or not 0 <= state["position"] <= len(self):
            raise MinidlError(
                f"this loader state is for {state['samples']} samples and batch {state['position']}, "
                f"the data set has {len(self.dataset)} samples in {len(self)} batches"
            )
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]
        self._resume = True


class _Failure:
    """An exception on its way from the thread to the loop."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _prefetched(batches: Generator[Any, None, None], ahead: int) -> Iterator[Any]:
    """The same batches, made by a thread that is up to ``ahead`` of them in front."""
    ready: queue.Queue[Any] = queue.Queue(ahead)
    end = object()
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                put(batch)
                if stop.is_set():
                    return
            put(end)
        except BaseException as error:  # raised again in the loop, whatever it is
            put(_Failure(error))

    thread = threading.Thread(target=work, name="minidl-loader", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no threads here, in a browser for example
        yield from batches
        return
    try:
        while (item := ready.get()) is not end:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        stop.set()
        thread.join()
