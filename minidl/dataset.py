"""Data sets: samples by index, which are collated into batches."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backends
from .batching import collate, require_values
from .errors import BoundsError, DtypeError, MinidlError, ShapeError, brief, counted
from .habits import Guarded, Missing
from .nested import leaves, map_leaves, parts_alone, rebuilt
from .options import in_host_order, integer, require_room
from .shortcuts import Methods
from .tensor import Tensor

Array = Any
Indices = NDArray[np.integer[Any]]


class Dataset(Guarded, ABC):
    """Samples by index. A sample is an array, a number, or a tuple, list or dictionary of them.

    minidl's data sets return several samples as a batch: ``dataset[2:4]``, ``dataset[[0, 7]]``, ``dataset[mask]``.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index, float(index**2)
    >>> Squares().batch(np.array([1, 3]))
    (array([1, 3]), array([1., 9.], dtype=float32))
    """

    backend = backends.default
    """The backend of batches: NumPy, unless :meth:`to` moved the data."""
    from_tensor_slices, from_generator = Missing(), Missing()
    mirrors = False
    """Whether ``batch`` has an argument ``mirror``, as in :class:`ImageDataset`."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Any: ...

    def batch(self, indices: Indices) -> Any:
        """The samples with these indices, or selected by a mask, as one batch; override it if one by one is slow."""
        if self.backend is backends.default:
            return collate([self[int(index)] for index in self._there(indices)])
        samples = (self[int(index)] for index in backends.to_host(self._there(indices)))
        return map_leaves(self.backend.asarray, collate([map_leaves(backends.to_host, sample) for sample in samples]))

    def take(self, indices: Indices) -> "Dataset":
        """The samples with these indices as a new data set, which is loaded now and kept in memory."""
        return _Taken(self, indices)

    def to(self, backend: str) -> "Dataset":
        """The samples as a data set in the memory of a backend, where batches are made without a transfer.

        >>> ArrayDataset(np.arange(3.0)).to("numpy").batch(np.array([2, 0]))
        (array([2., 0.]),)
        """
        if backends.get(backend) is self.backend:
            return self
        taken = self.take(np.arange(len(self)))
        if type(taken).to is Dataset.to:  # which would call take again, endlessly
            taken = Dataset.take(self, np.arange(len(self)))
        return taken.to(backend)

    def _kind(self) -> str:
        """The name of the data set in errors: the user's class."""
        return type(self).__name__

    def _place(self, index: Any) -> Any:
        """The non-negative index of one sample; :meth:`_there` of a list, an array, a slice or a mask."""
        if isinstance(index, list | slice | range) or getattr(index, "ndim", 0) > 0:
            return self._there(index)
        number, count = integer("the index of a sample", index), len(self)
        if not -count <= number < count:
            raise _beyond(number, count)
        return number if number >= 0 else number + count

    def _there(self, indices: Any) -> Array:
        """Non-negative indices as an array of the backend; for a mask the indices where it is True.

        Indices on the host are checked. Integers on a device are not: an index out of bounds reads beyond the arrays.
        """
        if isinstance(indices, slice):
            indices = np.arange(len(self))[indices]
        indices = indices.data if isinstance(indices, Tensor) else indices
        is_array = backends.is_array(indices)
        on_device = is_array and not isinstance(indices, np.ndarray)
        if on_device and backends.of(indices) is self.backend and indices.dtype.kind in "iu":
            return indices
        return self.backend.asarray(_numbers(backends.to_host(indices) if is_array else _array(indices), len(self)))


def _numbers(indices: NDArray[Any], count: int) -> Indices:
    """Non-negative sample indices; for a mask of ``count`` booleans the indices where it is True."""
    if indices.dtype == np.bool_:
        if indices.shape != (count,):
            raise ShapeError(f"a mask has a boolean for each sample, {count} in all, got shape {indices.shape}")
        return np.flatnonzero(indices)
    if indices.ndim == 0 and indices.dtype.kind not in "iu":
        raise DtypeError(
            f"expected sample indices in an order, or a mask of booleans, got {brief(indices.item())}: use a "
            "list, an array or a slice; sorted(...) for a set"
        )
    if indices.ndim == 0:
        raise ShapeError(
            f"expected sample indices, got {indices}: the first ones are np.arange({indices}), and "
            f"md.data.DataLoader(dataset, batch_size={indices}) makes batches"
        )
    if indices.ndim > 1:
        raise ShapeError(f"expected sample indices along one axis, got shape {indices.shape}: use np.flatnonzero(mask)")
    if indices.dtype.kind not in "iu" and indices.size > 0:
        raise DtypeError(f"expected sample indices or a mask of booleans, got {indices.dtype}: use integers")
    if indices.size > 0 and not -count <= indices.min() <= indices.max() < count:
        raise _beyond(indices[(indices < -count) | (indices >= count)][0], count)
    numbers = indices.astype(np.intp)  # also of an empty list, which NumPy makes float64
    return np.where(numbers < 0, numbers + count, numbers)


def _beyond(number: Any, count: int) -> BoundsError:
    return BoundsError(f"there is no sample {number}: the data set has {counted(count, 'sample')}, counted from 0")


def _rows(array: Array, there: Any) -> Array:
    """The elements with these indices. Raises BoundsError for an index out of bounds."""
    try:
        return in_host_order(array[there])
    except IndexError as error:
        raise BoundsError(f"there is no such sample: {error}") from error


def _array(values: Any) -> NDArray[Any]:
    """Values as an array. Raises ShapeError for nested lists of different lengths."""
    try:
        return np.asarray(backends.native(values))
    except ValueError as error:  # raised by NumPy for rows of different lengths
        raise ShapeError(
            "expected samples of one shape, got lists or arrays of different lengths: pad the short ones, cut the long "
            "ones, or derive your own class from minidl.data.Dataset"
        ) from error


def require_dataset(dataset: Any) -> None:
    """Raise :class:`MinidlError` for anything but a data set.

    >>> require_dataset(np.ones((2, 3)))
    Traceback (most recent call last):
    minidl.errors.MinidlError: expected a data set, got ndarray: wrap arrays as ArrayDataset(x, y), derive ...
    """
    if not isinstance(dataset, Dataset):
        raise MinidlError(
            f"expected a data set, got {type(dataset).__name__}: wrap arrays as ArrayDataset(x, y), derive your own "
            "class from minidl.data.Dataset"
        )


class _Stored(Dataset):
    """Samples that are stored as one batch. Raises ShapeError if its arrays differ in length."""

    def __init__(self, arrays: Any) -> None:
        self.arrays = arrays
        shapes = [array.shape for array in leaves(arrays)]
        if len({shape[:1] for shape in shapes} | {()}) != 2:
            given = ", ".join(map(str, shapes)) or "none"
            raise ShapeError(f"expected arrays with first axes of the same length, got shapes {given}")

    def __len__(self) -> int:
        return len(next(leaves(self.arrays)))

    def __getitem__(self, index: int) -> Any:
        place = self._place(index)
        return map_leaves(lambda array: _rows(array, place), self.arrays)

    def batch(self, indices: Indices) -> Any:
        if not _OF_STORED.belong_to(self):
            return super().batch(indices)
        there = self._there(indices)
        return map_leaves(lambda array: _rows(array, there), self.arrays)

    def take(self, indices: Indices) -> Dataset:
        if not _OF_STORED.belong_to(self):
            return super().take(indices)
        there = self._there(indices)
        return self._each(lambda array: _rows(array, there))

    def to(self, backend: str) -> Dataset:
        there = backends.get(backend)
        if there is self.backend:
            return self
        if not _OF_STORED.belong_to(self):
            return Dataset.take(self, np.arange(len(self))).to(backend)  # a class's own take may return its own kind
        moved = self._each(lambda array: there.asarray(in_host_order(self.backend.to_numpy(array))))
        moved.backend = there
        return moved

    def _each(self, function: Callable[[Array], Array]) -> "_Stored":
        """A copy of the data set with ``function`` applied to its arrays."""
        other = copy.copy(self)
        other.arrays = map_leaves(function, self.arrays)
        return other


_OF_STORED = Methods(_Stored, "__getitem__", shortcut="batch")


class _Taken(_Stored):
    """Samples of any data set, also of images to be mirrored."""

    def __init__(self, dataset: Dataset, indices: Indices) -> None:
        super().__init__(new_batch(dataset, indices))
        self.backend, self.mirrors, self._origin = dataset.backend, dataset.mirrors, dataset._kind()

    def _kind(self) -> str:
        return self._origin

    def batch(self, indices: Indices, mirror: Array | None = None) -> Any:
        return mirrored(self.backend, super().batch(indices), mirror)


def mirrored(backend: backends.Backend, batch: Any, mirror: Array | None = None) -> Any:
    """A batch whose first part is images (B, H, W, C), with the images where ``mirror`` is True flipped horizontally.

    Raises :class:`ShapeError` for another batch, and unless ``mirror`` has one boolean for each image.

    >>> mirrored(backends.default, (np.arange(4.0).reshape(2, 1, 2, 1), [0, 1]), np.array([False, True]))[0].ravel()
    array([0., 1., 3., 2.])
    """
    if mirror is None:
        return batch
    if not isinstance(batch, tuple) or getattr(batch[0], "ndim", 0) != 4:
        raise ShapeError("mirror is for samples that are tuples of an image (H, W, C) and a target: return both")
    pictures, *others = batch
    turned = _booleans(backend, mirror, len(pictures))[:, None, None, None]
    pictures = backend.xp.where(turned, pictures[:, :, ::-1], pictures)
    return rebuilt(batch, dict(enumerate((pictures, *others))))


def _booleans(backend: backends.Backend, mirror: Any, count: int) -> Array:
    """Whether each of ``count`` images is mirrored. Raises ShapeError unless there is one boolean for each."""
    mirror = backend.asarray(mirror if backends.is_array(mirror) else _array(mirror))
    if mirror.shape != (count,) or mirror.dtype.kind != "b":
        raise ShapeError(
            f"mirror has a boolean for each image, {count} in all, got {mirror.dtype} of shape {mirror.shape}"
        )
    return mirror


class ArrayDataset(_Stored):
    """Arrays of one length, or dictionaries of them; sample i is a tuple of their i-th elements.

    Lists of Python's floats become float32, as a batch of them does; arrays keep their dtype.

    Raises ShapeError if the lengths differ.

    >>> ArrayDataset([[1.0], [2.0]], [0, 1])[1]
    (array([2.], dtype=float32), np.int64(1))
    """

    def __init__(self, *arrays: Any) -> None:
        super().__init__(tuple(map(_as_arrays, arrays)))


class ImageDataset(_Stored):
    """Images as uint8 ``(N, H, W, C)`` and their targets: an array, or a dictionary of arrays.

    A batch has the images as float32 in [0, 1], flipped horizontally where ``mirror`` is True. On a device, too, images
    are stored as uint8 and converted in the batch. Raises ShapeError for other images.

    >>> faces = ImageDataset(np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), {"age": np.array([20, 30, 40])})
    >>> images, targets = faces.batch(np.array([1, 1]), mirror=np.array([False, True]))
    >>> np.round(255 * images[:, 0, :, 0]).tolist(), targets["age"].tolist()
    ([[4.0, 5.0], [5.0, 4.0]], [30, 30])
    """

    mirrors = True

    def __init__(self, images: Any, targets: Any) -> None:
        images = _array(images)
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ShapeError(
                f"expected uint8 images (N, H, W, C), got {images.dtype} {images.shape}: images are stored as bytes; "
                "ArrayDataset(images, targets) takes any arrays"
            )
        super().__init__((images, _as_arrays(targets)))

    def __getitem__(self, index: int) -> Any:
        batch = self.batch if _OF_IMAGES.belong_to(self) else self._gathered  # an overriding batch may call this
        place = self._place(index)
        return map_leaves(lambda array: array[0], batch(np.array([place]))) if isinstance(place, int) else batch(place)

    def batch(self, indices: Indices, mirror: Array | None = None) -> Any:
        """Images as float32 ``(B, H, W, C)`` and their targets; ``mirror`` has one boolean for each image."""
        if not _OF_IMAGES.belong_to(self):
            return mirrored(self.backend, Dataset.batch(self, indices), mirror)
        return self._gathered(indices, mirror)

    def _gathered(self, indices: Indices, mirror: Array | None = None) -> Any:
        images, targets = self.arrays
        there = self._there(indices)
        if mirror is not None:
            mirror = _booleans(self.backend, mirror, len(there))
        chosen = map_leaves(lambda values: _rows(values, there), targets)
        return self.backend.gather_images(images, there, mirror), chosen


_OF_IMAGES = Methods(ImageDataset, "__getitem__", shortcut="batch")


def _as_arrays(nested: Any) -> Any:
    """Arrays from arrays or lists of numbers, also from those inside dictionaries, NamedTuples and dataclasses.

    Raises ShapeError for a tuple of arrays, and for a list of arrays of different shapes: each would be one sample.
    """
    inside = None if type(nested) in (list, tuple) else parts_alone(nested)
    if inside is None:
        _require_no_arrays(nested)
        array = _array(nested)
        require_values(array, nested)
        if array.dtype == np.float64 and type(nested) in (list, tuple) and not _has_dtype(nested):
            require_room(array, np.dtype(np.float32))
            return array.astype(np.float32)
        return array
    return rebuilt(nested, {key: _as_arrays(part) for key, part in inside.items()})


def _has_dtype(nested: Any) -> bool:
    """Whether nested lists contain a number with a dtype: one of NumPy, not of Python."""
    return any(map(_has_dtype, nested)) if isinstance(nested, list | tuple) else hasattr(nested, "dtype")


def _require_no_arrays(given: Any) -> None:
    shapes = [tuple(part.shape) for part in given if getattr(part, "ndim", 0)] if type(given) in (list, tuple) else []
    if shapes and (type(given) is tuple or len(set(shapes)) > 1):
        raise ShapeError(
            f"expected an array, got a {type(given).__name__} of arrays of shape {', '.join(map(str, shapes[:5]))}: "
            "write ArrayDataset(*arrays) if each is a part of the samples, np.stack(arrays) if each is a sample"
        )


class Subset(Dataset):
    """Some samples of a data set in a given order; copies only the indices.

    ``indices`` are sample indices, or a mask with a boolean for every sample. Raises ShapeError for a mask of another
    length, and DtypeError for anything else.

    >>> Subset(ArrayDataset([10, 20, 30]), [2, 0])[0]
    (np.int64(30),)
    >>> Subset(ArrayDataset([10, 20, 30]), np.array([False, True, True])).indices
    array([1, 2])
    """

    def __init__(self, dataset: Dataset, indices: Any) -> None:
        require_dataset(dataset)
        self.dataset, self.backend, self.mirrors = dataset, dataset.backend, dataset.mirrors
        self.indices = dataset._there(indices).copy()  # the caller may shuffle its array afterwards

    def _kind(self) -> str:
        return self.dataset._kind()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        place = self._place(index)
        one = isinstance(place, int)
        return self.dataset[int(self.backend.to_numpy(self.indices[place]))] if one else self.batch(place)

    def batch(self, indices: Indices, **options: Any) -> Any:
        """The samples with these indices as one batch; the options are passed to ``dataset.batch``."""
        if not _OF_SUBSET.belong_to(self):
            return mirrored(self.backend, super().batch(indices), **options)
        return self.dataset.batch(_rows(self.indices, self._there(indices)), **options)

    def take(self, indices: Indices) -> Dataset:
        if not _TAKEN.belong_to(self):
            return super().take(indices)
        return self.dataset.take(_rows(self.indices, self._there(indices)))


def new_batch(dataset: Dataset, indices: Indices, **options: Any) -> Any:
    """``dataset.batch(indices)`` in memory of its own, even if the data set fills the same arrays for every batch.

    The batches of minidl's data sets are new arrays; those of a class with its own ``batch`` are copied.

    >>> class Reusing(Dataset):
    ...     buffer = np.zeros(2)
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return float(index)
    ...     def batch(self, indices):
    ...         self.buffer[:] = indices
    ...         return self.buffer
    >>> new_batch(Reusing(), [0, 1]), new_batch(Reusing(), [2, 3])
    (array([0., 1.]), array([2., 3.]))
    """
    batch = dataset.batch(indices, **options)
    return batch if _makes_new_arrays(dataset) else map_leaves(_copied, batch)


def _makes_new_arrays(dataset: Dataset) -> bool:
    method = getattr(dataset.batch, "__func__", None)
    if method is Subset.batch:
        return _makes_new_arrays(dataset.dataset)  # type: ignore[attr-defined]
    return method in (Dataset.batch, _Stored.batch, _Taken.batch, ImageDataset.batch)


def _copied(leaf: Any) -> Any:
    return copy.deepcopy(leaf) if hasattr(leaf, "__array__") else leaf


_OF_SUBSET = Methods(Subset, "__getitem__", shortcut="batch")
_TAKEN = Methods(Subset, "__getitem__", "batch", shortcut="take")
