"""Data sets, and a loader that makes batches of them in an order determined by its seed."""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from . import backends, random
from .batching import collate
from .dataset import ArrayDataset, Dataset, ImageDataset, Subset, new_batch, require_dataset
from .errors import CallError, MinidlError, ShapeError, counted
from .habits import Guarded
from .nested import leaves, map_leaves
from .options import flag, integer, option
from .prefetch import prefetched
from .states import require_entries
from .tensor import Tensor

__all__ = ["ArrayDataset", "Batches", "DataLoader", "Dataset", "ImageDataset", "Subset", "collate"]

Array = Any


def _batch_size(name: str, value: Any) -> int:
    if getattr(value, "ndim", 0):
        raise MinidlError("expected a batch_size, got an array: wrap both arrays, DataLoader(ArrayDataset(x, y))")
    return integer(name, value, least=1)


def _dataset(_name: str, dataset: Any) -> Dataset:
    require_dataset(dataset)
    return dataset  # type: ignore[no-any-return]


def _require_batches(options: dict[str, Any]) -> None:
    """Raise an error for options that leave no batch, or no images to mirror."""
    if "batch_size" in options:  # the data set is set before it
        _require_a_batch(len(options["dataset"]), options["batch_size"], options.get("drop_last", False))
        _require_pictures(options["dataset"], options.get("mirror", False))


def _require_a_batch(samples: int, batch_size: int, drop_last: bool) -> None:
    if samples < (batch_size if drop_last else 1):
        raise MinidlError(
            f"a data set of {counted(samples, 'sample')} gives no batch of {batch_size}: take more samples"
            + (", a smaller batch_size or drop_last=False" if samples else "")
        )


def _require_pictures(dataset: Dataset, mirror: bool) -> None:
    if mirror and not dataset.mirrors:
        raise MinidlError(
            f"mirror=True is for images, and {dataset._kind()} does not declare that it has any: use "
            "ImageDataset(images, targets), or give it mirrors = True and a batch(indices, mirror)"
        )


def _backend(_name: str, backend: Any) -> backends.Backend:
    return backend if isinstance(backend, backends.Backend) else backends.get(backend)


class DataLoader(Guarded):
    """Batches of a data set. Each loop over the loader is one epoch; the next loop is the next epoch.

    ``seed`` and the index of the epoch determine its order and, with ``mirror``, which half of the images is mirrored,
    so the state of a loader is a few numbers. After a loop that was left early, the next loop starts the same epoch
    again; after :meth:`load_state_dict`, it continues where the saved one was.

    They also determine the random numbers of a data set: while it makes a batch, ``md.random.default_rng`` is a
    generator for this batch, also where ``rng`` is left out. Other generators, such as one stored in the data set, are
    not part of the state, and the loader draws from them ahead of time.

    Several loops at a time are independent: each is a :class:`Batches` with its own position, and begins at the current
    epoch of the loader. The position of the loader, also in its state, is the position of the loop that advanced last.

    An error in the data set is raised when its batch is requested. If it is caught around ``next``, the next batch
    follows; a state saved before that continues with the batch that failed.

    Batches are on ``backend``, by default the data set's. While a batch is used, a thread collects the samples of
    the next ``prefetch`` batches. They are transferred to a device as they are stored, such as images as uint8, and
    converted there. For a data set on the device (:meth:`Dataset.to`), only the order of an epoch is transferred.

    >>> loader = DataLoader(ArrayDataset(np.arange(5)), batch_size=2)
    >>> [batch.tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    dataset: Dataset = option(_dataset, beside=_require_batches)
    batch_size: int = option(_batch_size, beside=_require_batches)
    drop_last: bool = option(flag, beside=_require_batches)
    shuffle: bool = option(flag)
    mirror: bool = option(flag, beside=_require_batches)
    seed: int = option(integer, 0)
    prefetch: int = option(integer, 0)
    backend: backends.Backend = option(_backend)
    epoch: int = option(integer, 0)
    position: int = option(integer, 0)
    start: int = option(integer, 0)

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
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.shuffle, self.mirror, self.seed, self.prefetch = shuffle, mirror, seed, prefetch
        self.backend = dataset.backend if backend is None else backends.get(backend)
        self.epoch = 0
        self.position = 0
        """The number of batches of this epoch returned so far, by the loop that advanced last."""
        self.start = 0
        """The first batch of the next loop: 0, unless :meth:`load_state_dict` set another."""
        self._of_position: dict[str, int] = {}
        """The options of the loop that advanced last."""
        self._of_start: dict[str, int] = {}
        """The options in :meth:`load_state_dict`."""

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __getitem__(self, index: Any) -> NoReturn:
        raise CallError(
            f"a loader has no [{index!r}]: loader.dataset[{index!r}] is a sample, next(iter(loader)) the first batch"
        )

    def __next__(self) -> NoReturn:
        raise CallError(
            "a loader is not an iterator: next(iter(loader)) is the first batch, `for batch in loader` loops over all"
        )

    def __iter__(self) -> "Batches":
        if self.start > 0:
            self._require_options_of_start()
        self.position, self.start, self._of_start = self.start, 0, {}
        return Batches(self)

    def _require_options_of_start(self) -> None:
        """Raise if options were set after :meth:`load_state_dict` on which the meaning of the position depends."""
        now = self.options()
        for name, value in self._of_start.items():
            if now[name] != value:
                raise MinidlError(
                    f"the loader continues at batch {self.start} of an epoch with {name}={value}, and has "
                    f"{name}={now[name]} now: set it before load_state_dict, or set start = 0"
                )

    def _maker(self) -> Callable[[int], Iterator[Any]]:
        """A function that makes the batches of the current epoch from a given one on, even if the loader advances."""
        size, source = self.batch_size, self.dataset
        whole = [slice(number * size, (number + 1) * size) for number in range(len(self))]
        order = source.backend.asarray(self.order())
        mirrored = self.backend.asarray(self.mirrored()) if self.mirror else None
        place, there = (self.seed, self.epoch), self.backend

        def drawing(part: slice) -> AbstractContextManager[None]:
            """A context in which random numbers are drawn from a generator for this batch, made on first use."""
            return random.instead(functools.cache(lambda: random.of_words(*place, _OF_BATCHES, part.start // size)))

        def batch(dataset: Dataset, indices: Array, part: slice) -> Any:
            options = {} if mirrored is None else {"mirror": mirrored[part]}
            with drawing(part):
                return new_batch(dataset, indices, **options)

        def taken(part: slice) -> Dataset:
            with drawing(part):
                return source.take(order[part])

        def made(start: int) -> Iterator[Any]:
            parts = whole[start:]
            if there is source.backend:
                return self._ahead(batch(source, order[part], part) for part in parts)
            stored = self._ahead(taken(part) for part in parts)
            moved = (some.to(there.name) for some in stored)
            pairs = zip(moved, parts, strict=True)
            return (batch(some, there.xp.arange(len(some)), part) for some, part in pairs)

        return made

    def _ahead(self, made: Iterator[Any]) -> Iterator[Any]:
        """The same items, made ahead by a thread if the data set is on the host.

        On a GPU each thread has its own stream, which would not be synchronized with the stream of the steps.
        """
        on_host = self.dataset.backend is backends.default
        return prefetched(made, self.prefetch) if on_host and self.prefetch > 0 and len(self) > 1 else made

    def order(self) -> NDArray[np.int64]:
        """The sample indices of this epoch in their order."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._random().permutation(len(self.dataset))

    def mirrored(self) -> NDArray[np.bool_]:
        """Whether the first, second, ... image of this epoch is mirrored: each is with probability 1/2."""
        return self._random(_OF_MIRRORS).random(len(self.dataset)) < 0.5

    def _random(self, *purpose: int) -> np.random.Generator:
        """A generator for this epoch and purpose."""
        return random.of_words(self.seed, self.epoch, *purpose)

    def state_dict(self) -> dict[str, int]:
        """The position of the loader and the options that it depends on.

        ``position`` is the number of batches of this epoch returned by the loop that advanced last, and the options are
        those of this loop, even if others were set since;
        :meth:`Batches.state_dict` is the state of one loop.
        """
        options = (self._of_position if self.position > 0 else None) or self.options()
        return {"epoch": self.epoch, "position": self.position, **options}

    def options(self) -> dict[str, int]:
        """The options on which the meaning of a position in an epoch depends."""
        return {"seed": self.seed, "samples": len(self.dataset), **{name: getattr(self, name) for name in _MEANING}}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where :meth:`state_dict` was taken, with the same data in the same batches.

        Raises :class:`MinidlError`, changing nothing, if the state is for another number of samples, or for a loader
        with another ``batch_size``, ``shuffle``, ``drop_last`` or ``mirror``.
        """
        names = ("seed", "epoch", "position", "samples")
        require_entries(state, [*names, *_MEANING], "a loader")
        seed, epoch, position, samples = (integer(name, state[name], least=0) for name in names)
        if samples != len(self.dataset) or not 0 <= position <= len(self):
            raise MinidlError(
                f"this loader state is for {counted(samples, 'sample')} and batch {position}, the data set has "
                f"{counted(len(self.dataset), 'sample')} in {counted(len(self), 'batch', 'batches')}"
            )
        for name in _MEANING:
            if state[name] != getattr(self, name):
                raise MinidlError(
                    f"this loader state is for batches with {name}={state[name]}, and the loader has "
                    f"{name}={getattr(self, name)}: make it with the options of the one that was saved"
                )
        self.seed, self.epoch, self.position, self.start = seed, epoch, position, position
        self._of_position = self._of_start = self.options()


_OF_MIRRORS, _OF_BATCHES = 1, 2
"""The purposes of random numbers in an epoch, other than its order."""
_MEANING = ("batch_size", "shuffle", "drop_last", "mirror")
"""The options on which the meaning of a position in an epoch depends."""


class Batches(Iterator[Any]):
    """One loop over a :class:`DataLoader`: the batches from its position to the end of the epoch.

    >>> loop = iter(DataLoader(ArrayDataset(np.arange(5)), batch_size=2))
    >>> next(loop), loop.position
    ((array([0, 1]),), 1)
    """

    def __init__(self, loader: DataLoader) -> None:
        self._loader, self._options = loader, loader.options()
        self.epoch, self.position = loader.epoch, loader.position
        self._from, self._next = loader._maker(), self.position
        self._batches = self._from(self._next)
        self._lock = threading.RLock()

    def __next__(self) -> Any:
        with self._lock:  # each of several threads gets the next batch
            return self._advanced()

    def _advanced(self) -> Any:
        try:
            batch = next(self._batches)
        except StopIteration:
            if self.position > 0:  # only once, even if next() is called again
                self._move(self.epoch + 1, 0)
            raise
        except BaseException as error:  # it has ended the generators
            self._next += isinstance(error, Exception)  # an interrupt is not an error of the batch
            self._batches = self._from(self._next)
            raise
        self._next += 1
        self._move(self.epoch, self._next)
        return batch

    def _move(self, epoch: int, position: int) -> None:
        self.epoch, self.position = self._loader.epoch, self._loader.position = epoch, position
        self._loader._of_position = self._options

    def state_dict(self) -> dict[str, int]:
        """As :meth:`DataLoader.state_dict`, but the position of this loop, independent of others."""
        return {"epoch": self.epoch, "position": self.position, **self._options}

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise MinidlError(
            "a loop over a loader cannot be copied or pickled, because a thread makes its batches: save its "
            "state_dict(), and load it into another loader"
        )


# Helpers of training loops


def require_loader(loader: Any) -> None:
    """Raise :class:`MinidlError` for anything but a :class:`DataLoader`.

    >>> require_loader(3)
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected a loader, got int: use epochs=3
    """
    if not isinstance(loader, DataLoader):
        remedy = f"epochs={loader}" if isinstance(loader, int) else "DataLoader(dataset, batch_size=32)"
        raise MinidlError(f"expected a loader, got {type(loader).__name__}: use {remedy}")


def inputs_and_targets(batch: Any) -> tuple[Any, Any]:
    """The two parts of a batch. Raises :class:`MinidlError` if it does not have two.

    >>> inputs_and_targets([np.zeros(2), np.ones(2)])
    (array([0., 0.]), array([1., 1.]))
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        given = counted(len(batch), "part") if isinstance(batch, tuple | list) else type(batch).__name__
        raise MinidlError(f"expected batches of two parts, inputs and targets, got {given}: use ArrayDataset(x, y)")
    return batch[0], batch[1]


def on_backend(backend: backends.Backend, batch: Any) -> Any:
    """A structure of tensors and arrays of any kind, converted to arrays of a backend.

    >>> on_backend(backends.default, {"x": np.zeros(2)})
    {'x': array([0., 0.])}
    """
    return map_leaves(lambda x: backend.asarray(x.data if isinstance(x, Tensor) else backends.native(x)), batch)


def size_of(inputs: Any) -> int:
    """The number of samples in a batch: the length of its first array that is not 0-d.

    Raises :class:`ShapeError` if there is none.

    >>> size_of({"scale": np.float32(2), "x": np.zeros((3, 5))})
    3
    """
    for array in leaves(inputs):
        if array.ndim > 0:
            return len(array)
    raise ShapeError("expected inputs (N, ...), with a first axis for the samples, got none: use ArrayDataset(x, y)")
