"""Data sets, and a loader that makes batches of them in an order which repeats from its seed."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import backends, random
from .batching import collate
from .dataset import ArrayDataset, Dataset, ImageDataset, Subset, require_dataset
from .errors import CallError, MinidlError, ShapeError
from .habits import Answering
from .nested import leaves, map_leaves
from .options import flag, option, whole
from .prefetch import prefetched
from .states import require_entries
from .tensor import Tensor

__all__ = ["ArrayDataset", "Batches", "DataLoader", "Dataset", "ImageDataset", "Subset", "collate"]

Array = Any


def _batch_size(name: str, value: Any) -> int:
    if getattr(value, "ndim", 0):
        raise MinidlError("expected a batch_size, got an array: DataLoader(ArrayDataset(x, y)) takes both as one")
    return whole(name, value, least=1)


def _dataset(_name: str, dataset: Any) -> Dataset:
    require_dataset(dataset)
    return dataset  # type: ignore[no-any-return]


def _giving_batches(name: str) -> Callable[[Any, Any], None]:
    """What refuses a value of an option that would leave no batch, or nothing to mirror, beside the other options."""

    def require(loader: Any, value: Any) -> None:
        options = {"drop_last": False, "mirror": False} | vars(loader) | {name: value}
        if "batch_size" in options:  # the data set is there before it
            _require_a_batch(len(options["dataset"]), options["batch_size"], options["drop_last"])
            _require_pictures(options["dataset"], options["mirror"])

    return require


def _require_a_batch(samples: int, batch_size: int, drop_last: bool) -> None:
    if samples < (batch_size if drop_last else 1):
        raise MinidlError(
            f"a data set of {samples} samples gives no batch of {batch_size}: take more samples"
            + (", a smaller batch_size or drop_last=False" if samples else "")
        )


def _require_pictures(dataset: Dataset, mirror: bool) -> None:
    if mirror and not dataset.mirrors:
        raise MinidlError(
            f"mirror=True is for pictures, and {dataset._kind()} does not say that it has some: use "
            "ImageDataset(images, targets), or give it mirrors = True and a batch(indices, mirror)"
        )


class DataLoader(Answering):
    """Batches of a data set. Each loop over it is one epoch; when it ends, the next epoch begins.

    The order of an epoch, and with ``mirror`` which half of its pictures are mirrored, follow from ``seed`` and the
    number of the epoch alone, so the state of a loader is a few numbers. A loop that is left early starts its epoch
    again in the next loop; after :meth:`load_state_dict` the next loop goes on where the saved one was.

    Random numbers of a data set do so too: while it makes a batch, ``md.random.default_rng`` stands for a generator of
    that batch, also where an ``rng`` is left out. Numbers from elsewhere, such as a generator that the data set keeps,
    are in no state, and drawn ahead.

    Several loops at a time do not disturb each other: each is a :class:`Batches` with a place of its own, and begins
    with the epoch at which the loader is. Where the loader is, in its state too, was said by the loop that moved last.

    An error in the data set comes out of the loop where its batch would have. Who catches it there, around ``next``,
    gets the batch after it next; a state that is saved before that goes on with the batch that failed.

    Batches are on ``backend``, by default where the data set is. While a batch is used, a thread brings the samples of
    the next ``prefetch`` together; they go to a device as they are stored, pictures as bytes, and become numbers there.
    Of a data set that is on the device (:meth:`Dataset.to`), the order of an epoch is all that goes there.

    >>> loader = DataLoader(ArrayDataset(np.arange(5)), batch_size=2)
    >>> [batch.tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    dataset: Dataset = option(_dataset, beside=_giving_batches("dataset"))
    batch_size: int = option(_batch_size, beside=_giving_batches("batch_size"))
    drop_last: bool = option(flag, beside=_giving_batches("drop_last"))
    shuffle: bool = option(flag)
    mirror: bool = option(flag, beside=_giving_batches("mirror"))
    seed: int = option(whole, 0)
    prefetch: int = option(whole, 0)
    epoch: int = option(whole, 0)
    position: int = option(whole, 0)
    start: int = option(whole, 0)

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
        """Batches of this epoch that were handed out, by the loop that moved last."""
        self.start = 0
        """The batch with which the next loop begins: the first, unless :meth:`load_state_dict` said another."""

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __getitem__(self, index: Any) -> NoReturn:
        raise CallError(
            f"a loader has no [{index!r}]: loader.dataset[{index!r}] is a sample, next(iter(loader)) the first batch"
        )

    def __next__(self) -> NoReturn:
        raise CallError("a loader is no iterator: next(iter(loader)) is the first batch, and `for batch in loader` all")

    def __iter__(self) -> "Batches":
        self.position, self.start = self.start, 0
        return Batches(self)

    def _maker(self) -> Callable[[int], Iterator[Any]]:
        """What makes the batches of this epoch from a certain one on; it remains that of this epoch."""
        size = self.batch_size
        whole = [slice(number * size, (number + 1) * size) for number in range(len(self))]
        order = self.dataset.backend.asarray(self.order())
        mirrored = self.backend.asarray(self.mirrored()) if self.mirror else None
        place = self.seed, self.epoch

        def drawing(part: slice) -> AbstractContextManager[None]:
            """Where random numbers are those of this batch, of a generator that is made for who asks for some."""
            return random.instead(functools.cache(lambda: random.of_words(*place, _OF_BATCHES, part.start // size)))

        def batch(dataset: Dataset, indices: Array, part: slice) -> Any:
            options = {} if mirrored is None else {"mirror": mirrored[part]}
            with drawing(part):
                return dataset.batch(indices, **options)

        def taken(part: slice) -> Dataset:
            with drawing(part):
                return self.dataset.take(order[part])

        def made(start: int) -> Iterator[Any]:
            parts = whole[start:]
            if self.backend is self.dataset.backend:
                return self._ahead(batch(self.dataset, order[part], part) for part in parts)
            stored = self._ahead(taken(part) for part in parts)
            moved = (some.to(self.backend.name) for some in stored)
            pairs = zip(moved, parts, strict=True)
            return (batch(some, self.backend.xp.arange(len(some)), part) for some, part in pairs)

        return made

    def _ahead(self, made: Iterator[Any]) -> Iterator[Any]:
        """The same by a thread that runs ahead, on the host alone: each thread has a stream of a GPU of its own, and in
        another stream than that of the steps nothing would wait for anything."""
        on_host = self.dataset.backend is backends.default
        return prefetched(made, self.prefetch) if on_host and self.prefetch > 0 and len(self) > 1 else made

    def order(self) -> NDArray[np.int64]:
        """The sample numbers of this epoch in their order."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._random().permutation(len(self.dataset))

    def mirrored(self) -> NDArray[np.bool_]:
        """Whether the first, second, ... picture of this epoch is mirrored: half of them are, by chance."""
        return self._random(_OF_MIRRORS).random(len(self.dataset)) < 0.5

    def _random(self, *purpose: int) -> np.random.Generator:
        """Random numbers for this epoch, others for each purpose."""
        return random.of_words(self.seed, self.epoch, *purpose)

    def state_dict(self) -> dict[str, int]:
        """Where the loader is, and what the place means: ``position`` counts the batches of this epoch that were handed
        out, by the loop that moved last; :meth:`Batches.state_dict` is that of a certain one."""
        place = {"seed": self.seed, "epoch": self.epoch, "position": self.position, "samples": len(self.dataset)}
        return place | {name: getattr(self, name) for name in _MEANING}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where :meth:`state_dict` was taken, on the same data in the same batches; all or nothing.

        Raises :class:`MinidlError` if it is a state for another number of samples, or of a loader with another
        ``batch_size``, ``shuffle``, ``drop_last`` or ``mirror``.
        """
        require_entries(state, ("seed", "epoch", "position", "samples"), "a loader")
        seed, epoch, position = (whole(name, state[name], least=0) for name in ("seed", "epoch", "position"))
        if state["samples"] != len(self.dataset) or not 0 <= position <= len(self):
            raise MinidlError(
                f"this loader state is for {state['samples']} samples and batch {position}, "
                f"the data set has {len(self.dataset)} samples in {len(self)} batches"
            )
        for name in _MEANING:  # those of before had none of these
            if state.get(name, getattr(self, name)) != getattr(self, name):
                raise MinidlError(
                    f"this loader state is of batches with {name}={state[name]}, and the loader has "
                    f"{name}={getattr(self, name)}: make it with the options of the one that was saved"
                )
        self.seed, self.epoch, self.position, self.start = seed, epoch, position, position


_OF_MIRRORS, _OF_BATCHES = 1, 2
"""What random numbers of an epoch are for, beside its order."""
_MEANING = ("batch_size", "shuffle", "drop_last", "mirror")
"""The options without which a place in an epoch means nothing."""


class Batches(Iterator[Any]):
    """One loop over a :class:`DataLoader`: the batches from where the loader is to the end of the epoch.

    >>> loop = iter(DataLoader(ArrayDataset(np.arange(5)), batch_size=2))
    >>> next(loop), loop.position
    ((array([0, 1]),), 1)
    """

    def __init__(self, loader: DataLoader) -> None:
        self._loader, self._state = loader, loader.state_dict()
        self.epoch, self.position = loader.epoch, loader.position
        self._from, self._next = loader._maker(), self.position
        self._batches = self._from(self._next)

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except StopIteration:
            if self.position > 0:  # the first time that it is asked for more
                self._move(self.epoch + 1, 0)
            raise
        except BaseException as error:  # the generators have ended with it
            self._next += isinstance(error, Exception)  # of an interrupt the batch knows nothing
            self._batches = self._from(self._next)
            raise
        self._next += 1
        self._move(self.epoch, self._next)
        return batch

    def _move(self, epoch: int, position: int) -> None:
        self.epoch, self.position = self._loader.epoch, self._loader.position = epoch, position

    def state_dict(self) -> dict[str, int]:
        """As :meth:`DataLoader.state_dict`, of this loop, whatever others do."""
        return {**self._state, "epoch": self.epoch, "position": self.position}


# What a training loop does with them


def require_loader(loader: Any) -> None:
    """Raise :class:`MinidlError` for what is no :class:`DataLoader`.

    >>> require_loader(3)
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected a loader, got int: use epochs=3
    """
    if not isinstance(loader, DataLoader):
        remedy = f"epochs={loader}" if isinstance(loader, int) else "DataLoader(dataset, batch_size=32)"
        raise MinidlError(f"expected a loader, got {type(loader).__name__}: use {remedy}")


def inputs_and_targets(batch: Any) -> tuple[Any, Any]:
    """The two parts of a batch; :class:`MinidlError` if it has not two.

    >>> inputs_and_targets([np.zeros(2), np.ones(2)])
    (array([0., 0.]), array([1., 1.]))
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        given = f"{len(batch)} parts" if isinstance(batch, tuple | list) else type(batch).__name__
        raise MinidlError(f"expected batches of two parts, inputs and targets, got {given}: use ArrayDataset(x, y)")
    return batch[0], batch[1]


def on_backend(backend: backends.Backend, batch: Any) -> Any:
    """The same structure of arrays of a backend, made of tensors and of arrays of any kind.

    >>> on_backend(backends.default, {"x": np.zeros(2)})
    {'x': array([0., 0.])}
    """
    return map_leaves(lambda x: backend.asarray(x.data if isinstance(x, Tensor) else backends.native(x)), batch)


def size_of(inputs: Any) -> int:
    """How many samples a batch has: the length of its first array that has axes.

    Raises :class:`ShapeError` if none has.

    >>> size_of({"scale": np.float32(2), "x": np.zeros((3, 5))})
    3
    """
    for array in leaves(inputs):
        if array.ndim > 0:
            return len(array)
    raise ShapeError("expected inputs (N, ...), with a first axis for the samples, got none: use ArrayDataset(x, y)")
