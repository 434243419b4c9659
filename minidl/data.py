"""Data sets, and a loader that makes batches of them in an order which repeats from its seed."""

import copy
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backends
from .errors import MinidlError, ShapeError
from .habits import Answering
from .nested import leaves, map_leaves, parts, rebuilt

Array = Any
Indices = NDArray[np.integer[Any]]


class Dataset(Answering, ABC):
    """Samples by number. A sample is an array, a number, or tuples, lists and dictionaries of them.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index, float(index**2)
    >>> Squares().batch(np.array([1, 3]))
    (array([1, 3]), array([1., 9.], dtype=float32))
    """

    backend = backends.default
    """Where batches are: on NumPy, unless :meth:`to` moved the data."""
    mirrors = False
    """Whether ``batch`` takes ``mirror``, as that of :class:`ImageDataset` does."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Any: ...

    def batch(self, indices: Indices) -> Any:
        """The samples with these numbers as one batch; override it where that is faster than one by one."""
        return collate([self[int(index)] for index in indices])

    def take(self, indices: Indices) -> "Dataset":
        """The samples with these numbers as a data set of its own, made now and kept in memory."""
        return _Stored(self.batch(indices))

    def to(self, backend: str) -> "Dataset":
        """The samples as a data set in the memory of a backend, where its batches are made: none crosses the bus.

        >>> ArrayDataset(np.arange(3.0)).to("numpy").batch(np.array([2, 0]))
        (array([2., 0.]),)
        """
        if backends.get(backend) is self.backend:
            return self
        return self.take(np.arange(len(self))).to(backend)

    def _there(self, indices: Indices) -> Array:
        """Indices for arrays of the backend. Those of the host are checked, as a device would read beyond its arrays
        without a word; those that are there already must be right, as a loader's are."""
        if self.backend is backends.default or not isinstance(indices, np.ndarray):
            return indices
        return self.backend.asarray(np.arange(len(self))[indices])


def collate(samples: list[Any]) -> Any:
    """Samples of one structure as a batch of that structure: arrays are stacked, Python floats become float32.

    Raises ShapeError for samples that differ in shape or structure.

    >>> collate([{"x": 1.5}, {"x": 2.5}])
    {'x': array([1.5, 2.5], dtype=float32)}
    """
    first = samples[0]
    inside = [parts(sample) for sample in samples]
    structures = sorted({"no structure" if some is None else str(sorted(some, key=str)) for some in inside})
    if len(structures) > 1:
        raise ShapeError(
            f"samples of different structures cannot form a batch: {', '.join(structures)}. "
            "Bring them to one structure in the data set."
        )
    if inside[0] is not None:
        return rebuilt(first, {key: collate([some[key] for some in inside if some is not None]) for key in inside[0]})
    if isinstance(first, float):
        return np.array(samples, np.float32)
    arrays = [np.asarray(sample) for sample in samples]
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(sorted({str(array.shape) for array in arrays}))
        raise ShapeError(
            f"samples of different shapes cannot form a batch: {shapes}. Bring them to one shape in the data set."
        )
    return np.stack(arrays)


class _Stored(Dataset):
    """Samples that are kept as one batch of all of them. Raises ShapeError if its arrays differ in length."""

    def __init__(self, arrays: Any) -> None:
        self.arrays = arrays
        shapes = [array.shape for array in leaves(arrays)]
        if len({shape[:1] for shape in shapes} | {()}) != 2:
            given = ", ".join(map(str, shapes)) or "none"
            raise ShapeError(f"expected arrays of one length, that of their first axis, got shapes {given}")

    def __len__(self) -> int:
        return len(next(leaves(self.arrays)))

    def __getitem__(self, index: int) -> Any:
        return map_leaves(lambda array: array[index], self.arrays)

    def batch(self, indices: Indices) -> Any:
        there = self._there(indices)
        return map_leaves(lambda array: array[there], self.arrays)

    def take(self, indices: Indices) -> Dataset:
        there = self._there(indices)
        return self._each(lambda array: array[there])

    def to(self, backend: str) -> Dataset:
        there = backends.get(backend)
        if there is self.backend:
            return self
        moved = self._each(lambda array: there.asarray(self.backend.to_numpy(array)))
        moved.backend = there
        return moved

    def _each(self, function: Callable[[Array], Array]) -> "_Stored":
        """The same data set of other arrays."""
        other = copy.copy(self)
        other.arrays = map_leaves(function, self.arrays)
        return other


class ArrayDataset(_Stored):
    """Arrays of one length, or dictionaries of them; sample i is a tuple of their i-th elements.

    Raises ShapeError if the lengths differ.

    >>> ArrayDataset([[1.0], [2.0]], [0, 1])[1]
    (array([2.]), np.int64(1))
    """

    def __init__(self, *arrays: Any) -> None:
        super().__init__(tuple(map(_as_arrays, arrays)))


class ImageDataset(_Stored):
    """Pictures as they are stored, uint8 ``(N, H, W, C)``, and their targets: an array, or a dictionary of arrays.

    A batch has the pictures as float32 in [0, 1], those where ``mirror`` holds from right to left. On a device they
    stay bytes until they are part of a batch. Raises ShapeError for other images.

    >>> faces = ImageDataset(np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), {"age": np.array([20, 30, 40])})
    >>> images, targets = faces.batch(np.array([1, 1]), mirror=np.array([False, True]))
    >>> np.round(255 * images[:, 0, :, 0]).tolist(), targets["age"].tolist()
    ([[4.0, 5.0], [5.0, 4.0]], [30, 30])
    """

    mirrors = True

    def __init__(self, images: Any, targets: Any) -> None:
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ShapeError(
                f"expected uint8 images (N, H, W, C), got {images.dtype} {images.shape}: pictures are kept as bytes; "
                "ArrayDataset(images, targets) takes any arrays"
            )
        super().__init__((images, _as_arrays(targets)))

    def __getitem__(self, index: int) -> Any:
        return map_leaves(lambda array: array[0], self.batch(np.array([index])))

    def batch(self, indices: Indices, mirror: Array | None = None) -> Any:
        """Images float32 ``(B, H, W, C)`` and their targets; ``mirror`` has a bool for each of them."""
        images, targets = self.arrays
        there = self._there(indices)
        mirror = None if mirror is None else self.backend.asarray(mirror)
        chosen = map_leaves(lambda values: values[there], targets)
        return self.backend.gather_images(images, there, mirror), chosen


def _as_arrays(nested: Any) -> Any:
    """Arrays of what may be lists of numbers; in structures that say by name what is what, too."""
    inside = None if type(nested) in (list, tuple) else parts(nested)
    if inside is None:
        return np.asarray(nested)
    return rebuilt(nested, {key: _as_arrays(part) for key, part in inside.items()})


class Subset(Dataset):
    """Some samples of a data set, in a given order; nothing is copied.

    >>> Subset(ArrayDataset([10, 20, 30]), [2, 0])[0]
    (np.int64(30),)
    """

    def __init__(self, dataset: Dataset, indices: Any) -> None:
        self.dataset, self.backend, self.mirrors = dataset, dataset.backend, dataset.mirrors
        self.indices = dataset._there(np.asarray(indices))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.backend.to_numpy(self.indices[index]))]

    def batch(self, indices: Indices, **options: Any) -> Any:
        """The samples with these numbers as one batch; the options are those of the data set's own batch."""
        return self.dataset.batch(self.indices[self._there(indices)], **options)

    def take(self, indices: Indices) -> Dataset:
        return self.dataset.take(self.indices[self._there(indices)])


class DataLoader(Answering):
    """Batches of a data set. Each loop over it is one epoch; when it ends, the next epoch begins.

    The order of an epoch, and with ``mirror`` which half of its pictures are mirrored, follow from ``seed`` and the
    number of the epoch alone, so the state of a loader is three numbers. A loop that is left early starts its epoch
    again in the next loop; after :meth:`load_state_dict` the next loop goes on where the saved one was.

    Batches are on ``backend``, by default where the data set is. While a batch is used, a thread brings the samples of
    the next ``prefetch`` together; they go to a device as they are stored, pictures as bytes, and become numbers there.
    Of a data set that is on the device (:meth:`Dataset.to`), the order of an epoch is all that goes there.

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
        mirror: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        prefetch: int = 2,
        backend: str | None = None,
    ) -> None:
        if batch_size < 1 or prefetch < 0:
            raise MinidlError(f"expected batch_size >= 1 and prefetch >= 0, got {batch_size} and {prefetch}")
        if not isinstance(dataset, Dataset):
            raise MinidlError(
                f"expected a data set, got {type(dataset).__name__}: wrap arrays as ArrayDataset(x, y), derive a class "
                "of your own from minidl.data.Dataset"
            )
        if len(dataset) < (batch_size if drop_last else 1):
            raise MinidlError(
                f"a data set of {len(dataset)} samples gives no batch of {batch_size}: take more samples"
                + (", a smaller batch_size or drop_last=False" if len(dataset) else "")
            )
        if mirror and not dataset.mirrors:
            raise MinidlError(
                f"mirror=True is for pictures, and {type(dataset).__name__} does not say that it has some: use "
                "ImageDataset(images, targets), or give it mirrors = True and a batch(indices, mirror)"
            )
        self.dataset, self.batch_size, self.shuffle, self.mirror = dataset, batch_size, shuffle, mirror
        self.seed, self.drop_last, self.prefetch = seed, drop_last, prefetch
        self.backend = dataset.backend if backend is None else backends.get(backend)
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
        for batch in self._batches(self.position):
            self.position += 1
            yield batch
        self.epoch, self.position = self.epoch + 1, 0

    def _batches(self, start: int) -> Iterator[Any]:
        parts = [slice(number * self.batch_size, (number + 1) * self.batch_size) for number in range(start, len(self))]
        order = self.dataset.backend.asarray(self.order())
        mirrored = self.backend.asarray(self.mirrored()) if self.mirror else None

        def batch(dataset: Dataset, indices: Array, part: slice) -> Any:
            options = {} if mirrored is None else {"mirror": mirrored[part]}
            return dataset.batch(indices, **options)

        if self.backend is self.dataset.backend:
            return self._ahead(batch(self.dataset, order[part], part) for part in parts)
        stored = self._ahead(self.dataset.take(order[part]) for part in parts)
        moved = (samples.to(self.backend.name) for samples in stored)
        return (batch(some, self.backend.xp.arange(len(some)), part) for some, part in zip(moved, parts, strict=True))

    def _ahead(self, made: Iterator[Any]) -> Iterator[Any]:
        """The same by a thread that runs ahead, on the host alone: each thread has a stream of a GPU of its own, and in
        another stream than that of the steps nothing would wait for anything."""
        on_host = self.dataset.backend is backends.default
        return _prefetched(made, self.prefetch) if on_host and self.prefetch > 0 and len(self) > 1 else made

    def order(self) -> NDArray[np.int64]:
        """The sample numbers of this epoch in their order."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._random().permutation(len(self.dataset))

    def mirrored(self) -> NDArray[np.bool_]:
        """Whether the first, second, ... picture of this epoch is mirrored: half of them are, by chance."""
        return self._random(1).random(len(self.dataset)) < 0.5

    def _random(self, *purpose: int) -> np.random.Generator:
        """Random numbers for this epoch, others for each purpose."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, self.epoch, *purpose])))

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


def _prefetched(batches: Iterable[Any], ahead: int) -> Iterator[Any]:
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
