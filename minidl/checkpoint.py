"""Weights and training states on disk: safetensors files, written and read in plain NumPy.

A file is an 8-byte little-endian integer, a JSON header of that length, and the bytes of the arrays
(https://github.com/huggingface/safetensors describes the format). Reading a file never runs or imports code named in
it. Files are replaced atomically (:mod:`minidl.files`).
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backends
from .errors import BackendError, CallError, DtypeError, MinidlError, ShapeError, brief, counted
from .files import as_path, atomic_write
from .habits import explained
from .tensor import Tensor

Arrays = dict[str, NDArray[Any]]

DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000
CHECKSUM = "minidl.sha256"
STATE = "state"


class CheckpointError(MinidlError, ValueError):
    """Raised for a file that is damaged or not a safetensors file, and for metadata that the format does not support.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/w.safetensors").write_bytes(b"none")
    ...     load(f"{folder}/w.safetensors")
    Traceback (most recent call last):
    minidl.checkpoint.CheckpointError: ... cannot be loaded: it has 4 bytes and is not a safetensors file...
    """


@explained
def save(path: str | Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays or tensors, on any backend, by name; ``metadata`` are strings stored with them.

    Raises :class:`DtypeError` for a dtype that the format lacks, :class:`CheckpointError` for metadata that are not
    strings, and OSError, which leaves an existing file unchanged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/w.safetensors", {"w": np.ones((2, 2), np.float32)})
    ...     load(f"{folder}/w.safetensors")["w"].sum()
    np.float32(4.0)
    """
    if not isinstance(tensors, Mapping):
        hint = "the path comes first" if isinstance(path, Mapping) else "save model.state_dict()"
        raise CallError(f"expected arrays by name, got {type(tensors).__name__}: {hint}")
    arrays = {name: _to_array(name, value) for name, value in tensors.items()}
    # The widest dtypes first, so that every array is aligned to its item size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    entries: dict[str, Any] = {}
    end = 0
    for name in order:
        begin, end = end, end + arrays[name].nbytes
        shape = list(arrays[name].shape)
        entries[name] = {"dtype": CODES[arrays[name].dtype], "shape": shape, "data_offsets": [begin, end]}
    notes = dict(checked_metadata(metadata))
    notes[CHECKSUM] = _checksum(entries, notes, [arrays[name].data for name in order])
    header = json.dumps({"__metadata__": notes, **entries}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with atomic_write(path) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for name in order:
            file.write(arrays[name].data)


def checked_metadata(metadata: Any) -> Mapping[str, str]:
    """Metadata that can be saved, empty for None; :class:`CheckpointError` for anything but strings by name.

    >>> checked_metadata({"epoch": 3})
    Traceback (most recent call last):
    minidl.checkpoint.CheckpointError: metadata are strings by name, got 3 as 'epoch': write str(...), or json.dum...
    """
    if not isinstance(metadata, Mapping | None):
        kind = type(metadata).__name__
        raise CheckpointError(f"metadata are strings by name, got {kind}: write a dictionary such as {{'epoch': '3'}}")
    for name, note in (metadata or {}).items():
        if not isinstance(name, str):
            raise CheckpointError(f"metadata are strings by name, got the name {brief(name)}: write str(...)")
        if not isinstance(note, str):
            raise CheckpointError(
                f"metadata are strings by name, got {brief(note)} as '{name}': write str(...), or json.dumps(...)"
            )
    return metadata or {}


@explained
def load(path: str | Path) -> Arrays:
    """The arrays of a file by name, each writable and with its own memory.

    Raises FileNotFoundError, and :class:`CheckpointError` for a file that is damaged or has another format, and for one
    written by :func:`save_state`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/w.safetensors", {"w": np.zeros(2)})
    ...     load(f"{folder}/w.safetensors")
    {'w': array([0., 0.])}
    """
    arrays, notes = load_with_metadata(path)
    if STATE in notes:
        raise CheckpointError(
            f"{path} holds a state, not weights: read it with minidl.checkpoint.load_state(path), whose ['model'] is "
            "the weights if a trainer saved it"
        )
    return arrays


def load_with_metadata(path: str | Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays of a file and its metadata.

    Raises as :func:`load` does.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/w.safetensors", {}, {"epoch": "3"})
    ...     load_with_metadata(f"{folder}/w.safetensors")
    ({}, {'epoch': '3'})
    """
    content = as_path(path).read_bytes()
    with _damage_reported(path):
        return _parse(content)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a file; its arrays are neither read nor checked.

    Raises as :func:`load` does.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/w.safetensors", {"w": np.zeros(2)}, {"epoch": "3"})
    ...     read_metadata(f"{folder}/w.safetensors")
    {'epoch': '3'}
    """
    with _damage_reported(path), as_path(path).open("rb") as file:
        start = file.read(8)
        size = os.fstat(file.fileno()).st_size
        notes = _parse_header(start + file.read(_header_length(start, size)))[1]
        return {key: note for key, note in notes.items() if key not in (CHECKSUM, STATE)}


@contextlib.contextmanager
def _damage_reported(path: str | Path) -> Iterator[None]:
    try:
        yield
    except _Damaged as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}. {error.advice}") from None


class _Damaged(ValueError):  # noqa: N818 - a reason that becomes part of an error
    """What is wrong with a file, and what to do about it."""

    def __init__(self, reason: str, advice: str = "Use an earlier checkpoint or copy it again.") -> None:
        super().__init__(reason)
        self.advice = advice


def _parse(content: bytes) -> tuple[Arrays, dict[str, str]]:
    start = 8 + _header_length(content[:8], len(content))
    header, notes = _parse_header(content[:start])
    data = memoryview(content)[start:]
    arrays = {name: _read(name, entry, data) for name, entry in header.items()}
    _check_layout(header, len(data))
    if CHECKSUM in notes and notes[CHECKSUM] != _checksum(header, notes, [data]):
        raise _Damaged("its checksum is wrong: some bytes have changed")
    return arrays, {key: note for key, note in notes.items() if key != CHECKSUM}


def _header_length(start: bytes, size: int) -> int:
    """The length of the header after the first 8 bytes, in a file of ``size`` bytes."""
    if len(start) < 8:
        raise _Damaged(f"it has {counted(len(start), 'byte')} and is not a safetensors file")
    length = int.from_bytes(start, "little")
    if length > min(LONGEST_HEADER, size - 8):
        raise _Damaged("it was cut off, or is not a safetensors file")
    return length


def _parse_header(content: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """The entries of the arrays and the metadata, from all bytes before the arrays."""
    try:
        header = json.loads(content[8:].decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _Damaged(f"its header is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise _Damaged("its header is not a JSON object")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise _Damaged("its metadata are not strings")
    return header, notes


def _read(name: str, entry: Any, data: memoryview) -> NDArray[Any]:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sizes = [*shape, begin, end]
    except (KeyError, TypeError, ValueError):
        raise _Damaged(f"the entry of '{name}' is incomplete") from None
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _Damaged(f"'{name}' has the dtype {dtype}, which NumPy lacks", "Convert it to F32 first.")
    if any(type(size) is not int or size < 0 for size in sizes) or end > len(data):
        raise _Damaged(f"'{name}' has the shape {shape} at bytes {begin} to {end} of {len(data)}")
    if end - begin != prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
        raise _Damaged(f"'{name}' has {counted(end - begin, 'byte')}, not as many as {dtype} {shape} needs")
    try:
        return np.frombuffer(data[begin:end], DTYPES[dtype]).reshape(shape).copy()
    except ValueError as error:  # too many axes, or axes that are too long beside one of length 0
        raise _Damaged(f"'{name}' has the shape {shape}, which NumPy lacks ({error})") from None


def _check_layout(entries: Mapping[str, Any], size: int) -> None:
    """Raise an error unless the arrays are end to end: gaps and overlaps can hide data."""
    position = 0
    for begin, end in sorted(entry["data_offsets"] for entry in entries.values()):
        if begin != position:
            raise _Damaged(f"its arrays overlap or leave a gap at byte {position}")
        position = end
    if position != size:
        raise _Damaged(f"it has {counted(size - position, 'byte')} beyond its arrays")


def _checksum(entries: Mapping[str, Any], notes: Mapping[str, str], parts: list[Any]) -> str:
    """SHA-256 of everything but the checksum itself."""
    others = {key: note for key, note in notes.items() if key != CHECKSUM}
    digest = hashlib.sha256(json.dumps([others, entries], sort_keys=True).encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name appears twice")
    return entries


def _to_array(name: str, value: Any) -> NDArray[Any]:
    """A contiguous little-endian NumPy array."""
    if not isinstance(name, str) or name == "__metadata__":
        raise CallError(f"names of arrays are strings other than '__metadata__', got {brief(name)}")
    try:
        given = backends.native(value.data if isinstance(value, Tensor) else value)
        host = backends.of(given).to_numpy(given) if hasattr(given, "dtype") else np.array(given)
    except BackendError as error:
        raise BackendError(f"'{name}' cannot be saved: {error}") from error
    except ValueError as error:  # raised by NumPy for rows of different lengths
        raise ShapeError(
            f"'{name}' has lists of different lengths: pad the short ones, or save each by itself"
        ) from error
    array = np.asarray(host)
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    if array.dtype.kind in "OU" and isinstance(value, Mapping | list | tuple | str | None):
        raise DtypeError(
            f"'{name}' is no array: to save a nested state, such as that of an optimizer, use "
            "minidl.checkpoint.save_state(path, ...), and load_state(path) to load it"
        )
    if array.dtype not in CODES:
        raise DtypeError(
            f"'{name}' has the dtype {array.dtype}, which safetensors lacks: {', '.join(DTYPES)} are possible"
        )
    return array


# Nested states: arrays as arrays, the rest as JSON


def save_state(path: str | Path, state: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write a nested structure of dictionaries, lists, arrays, numbers, strings, booleans and None to one file.

    :func:`load_state` restores everything bit for bit, NumPy scalars with their dtype; tuples become lists, mappings
    dictionaries, and tensors arrays. ``metadata`` are strings stored with it, for :func:`read_metadata`. Raises
    :class:`CheckpointError` for other metadata.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_state(f"{folder}/s", {"step": 3, "m": [np.zeros(2)], "done": (False, None)})
    ...     load_state(f"{folder}/s")
    {'step': 3, 'm': [array([0., 0.])], 'done': [False, None]}
    """
    arrays: dict[str, Any] = {}
    notes = checked_metadata(metadata)
    if STATE in notes:
        raise CheckpointError(f"the metadata name '{STATE}' is reserved for the state itself: use another name")
    description = _described(state, "", arrays)
    save(path, arrays, {**notes, STATE: json.dumps(description)})


def load_state(path: str | Path) -> Any:
    """The state in a file written by :func:`save_state`. Raises :class:`CheckpointError` for any other file."""
    arrays, notes = load_with_metadata(path)
    if STATE not in notes:
        raise CheckpointError(f"{path} holds weights but no training state: resume from a file *.state.safetensors")
    with _damage_reported(path):
        try:
            return _filled(json.loads(notes[STATE]), arrays)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise _Damaged("its description of the state is invalid") from None


def _described(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """``value`` as JSON; arrays become ``{"array": name}``, NumPy scalars ``{"number": name}``, a dictionary d becomes
    ``{"dict": d}``. The names are JSON pointers (RFC 6901), such as ``/optimizer/state``.
    """
    if isinstance(value, Mapping):
        return {"dict": {key: _described(item, f"{path}/{_escaped(key)}", arrays) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_described(item, f"{path}/{number}", arrays) for number, item in enumerate(value)]
    is_number = isinstance(value, np.generic) and not isinstance(value, str)  # float64 is a subclass of float
    if value is None or (isinstance(value, bool | int | float | str) and not is_number):
        return value
    arrays[path] = value
    return {"number" if is_number else "array": path}


def _escaped(key: Any) -> str:
    if not isinstance(key, str):
        raise CallError(f"the keys of a state are strings, got {brief(key)}")
    return key.replace("~", "~0").replace("/", "~1")


def _filled(description: Any, arrays: Arrays) -> Any:
    if isinstance(description, list):
        return [_filled(item, arrays) for item in description]
    if not isinstance(description, dict):
        return description
    if "array" in description:
        return arrays[description["array"]]
    if "number" in description:
        return arrays[description["number"]][()]
    return {key: _filled(item, arrays) for key, item in description["dict"].items()}
