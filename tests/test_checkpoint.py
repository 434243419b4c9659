"""Weight files are byte for byte those of the safetensors package, and a damaged file is never loaded."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import minidl as md
from minidl import checkpoint, nn, optim
from minidl.checkpoint import CheckpointError
from minidl.errors import BackendError, DtypeError, ShapeError

from .test_foreign import Elsewhere

SAVED_DTYPES = sorted(checkpoint.DTYPES.values())
array = arrays_of.arrays(
    st.sampled_from([np.dtype(dtype) for dtype in SAVED_DTYPES]), arrays_of.array_shapes(min_dims=0, min_side=0)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.safetensors"


@pytest.fixture
def some() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return {
        "conv.w": rng.normal(size=(3, 3, 1, 2)).astype(np.float32),
        "flags": np.array([True, False, True]),
        "double": rng.normal(size=3),
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.array(5, np.int64),
    }


def same(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def test_what_is_saved_comes_back(path: Path, some: dict[str, Any]) -> None:
    md.save(path, some)
    loaded = md.load(path)
    assert set(loaded) == set(some)
    assert all(same(loaded[name], some[name]) for name in some)
    loaded["conv.w"][0] = 1  # writable


@pytest.mark.parametrize("dtype", SAVED_DTYPES)
def test_the_safetensors_package_reads_what_is_written(path: Path, dtype: str) -> None:
    value = np.arange(6).reshape(2, 3).astype(dtype)
    md.save(path, {"a": value, "b": np.ones(3, np.uint8)}, {"epoch": "3"})
    loaded = safetensors.numpy.load_file(path)
    assert same(loaded["a"], value)
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["epoch"] == "3"


@pytest.mark.parametrize("dtype", SAVED_DTYPES)
def test_what_the_safetensors_package_writes_is_read(path: Path, dtype: str) -> None:
    value = np.arange(6).reshape(2, 3).astype(dtype)
    safetensors.numpy.save_file({"a": value, "b": np.ones(3, np.uint8)}, path, {"epoch": "3"})
    loaded, notes = checkpoint.load_with_metadata(path)
    assert same(loaded["a"], value)
    assert notes == {"epoch": "3"}


def test_the_data_start_at_a_multiple_of_eight_and_arrays_of_their_item_size(path: Path, some: dict[str, Any]) -> None:
    md.save(path, some)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    header = json.loads(content[8 : 8 + length])
    for name, value in some.items():
        assert header[name]["data_offsets"][0] % value.itemsize == 0


def test_no_changed_byte_changes_what_is_loaded(path: Path) -> None:
    tensors = {"w": np.arange(4, dtype=np.float32), "n": np.arange(3, dtype=np.uint8)}
    md.save(path, tensors, {"epoch": "3"})
    content = path.read_bytes()
    name_of_checksum = content.index(checkpoint.CHECKSUM.encode())
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        if 0 <= position - name_of_checksum < len(checkpoint.CHECKSUM):  # no checksum, but not a wrong one
            assert all(same(loaded, tensors[name]) for name, loaded in md.load(path).items())
        else:
            with pytest.raises(CheckpointError, match=r"w\.safetensors cannot be loaded"):
                md.load(path)


def test_every_truncation_is_noticed(path: Path, some: dict[str, Any]) -> None:
    md.save(path, some)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            md.load(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(CheckpointError, match="it has 1 byte beyond its arrays"):
        md.load(path)


def handmade(entries: dict[str, Any], data: bytes = bytes(8)) -> bytes:
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes and is not a safetensors file"),
        (b"\x80\x04not a pickle loader", "not a safetensors file"),
        (handmade({"w": entry(dtype="BF16", shape=[4])}), "dtype BF16, which NumPy lacks. Convert it to F32 first."),
        (handmade({"w": entry(shape=[3])}), "8 bytes, not as many as F32"),
        (handmade({"w": entry(shape=[-2])}), "has the shape"),
        (handmade({"w": entry(shape=[2.0])}), "has the shape"),
        (handmade({"w": entry(shape=[True, 2])}), "has the shape"),
        (handmade({"w": entry(shape=[0, 2**62], data_offsets=[0, 0])}, b""), r"\[0, 4611686018427387904\], which"),
        (handmade({"w": entry(shape=[0, 10**30], data_offsets=[0, 0])}, b""), "which NumPy lacks"),
        (handmade({"w": entry(shape=[1] * 65 + [2])}), "which NumPy lacks"),
        (handmade({"w": entry(shape=[2**40, 2**40])}), "8 bytes, not as many as F32"),
        (handmade({"w": entry(shape=[[2]])}), "has the shape"),
        (handmade({"w": entry(shape="2")}), "has the shape"),
        (handmade({"w": entry(shape={"2": 2})}), "has the shape"),
        (handmade({"w": entry(shape=None)}), "the entry of 'w' is incomplete"),
        (handmade({"w": entry(dtype=["F32"])}), r"has the dtype \['F32'\]"),
        (handmade({"w": entry(data_offsets=[False, 8])}), "at bytes False to 8"),
        (handmade({"w": entry(data_offsets=[8, 0])}), "bytes, not as many as"),
        (handmade({"w": entry(data_offsets=[0, 8, 8])}), "the entry of 'w' is incomplete"),
        (handmade({"w": entry(data_offsets=[8, 16])}), "at bytes 8 to 16 of 8"),
        (handmade({"w": entry(shape=[1], data_offsets=[4, 8])}), "leave a gap at byte 0"),
        (handmade({"a": entry(), "b": entry()}), "overlap"),
        (handmade({"w": {}}), "the entry of 'w' is incomplete"),
        (handmade({"w": [1, 2]}), "the entry of 'w' is incomplete"),
        (handmade({"__metadata__": {"a": 1}}, b""), "metadata are not strings"),
        (b'\x02\0\0\0\0\0\0\0[]', "not a JSON object"),
        (b"\x08\0\0\0\0\0\0\0" + b"[" * 8, "not JSON"),
        (b'\x10\0\0\0\0\0\0\0{"a":{}, "a":{}}', "a name appears twice"),
    ],
)  # fmt: skip
def test_bad_files_say_what_is_wrong(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        md.load(path)


def test_the_weights_in_a_state_are_not_at_its_top(path: Path) -> None:
    model = nn.Dense(2, 1)
    checkpoint.save_state(path, {"model": model.state_dict()})
    with pytest.raises(CheckpointError, match=r"load_state\(path\), whose \['model'\] is the weights"):
        md.load(path)
    nn.Dense(2, 1).load_state_dict(checkpoint.load_state(path)["model"])


def test_a_missing_file_is_a_missing_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        md.load(path)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"z": np.ones(2, complex)}, "'z' has the dtype complex128, which safetensors lacks"),
        ({"o": np.array([object()])}, "'o' has the dtype object"),
        ({"__metadata__": np.ones(2)}, "strings other than '__metadata__'"),
        ({1: np.ones(2)}, "strings other than"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    path: Path, tensors: dict[Any, Any], reason: str
) -> None:
    path.write_bytes(b"earlier")
    with pytest.raises(TypeError, match=reason):
        md.save(path, tensors)
    assert path.read_bytes() == b"earlier"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_earlier_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    md.save(path, {"w": np.ones(3, np.float32)})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        md.save(path, {"w": np.zeros(3, np.float32)})
    assert md.load(path)["w"].tolist() == [1, 1, 1]
    assert list(path.parent.iterdir()) == [path]


def test_non_contiguous_and_big_endian_arrays_and_tensors(path: Path) -> None:
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    big = np.arange(3, dtype=">f8")
    md.save(path, {"t": transposed, "b": big, "tensor": md.tensor(transposed)})
    loaded = md.load(path)
    assert loaded["t"].tolist() == loaded["tensor"].tolist() == transposed.tolist()
    assert loaded["b"].tolist() == [0, 1, 2]


def test_loading_never_unpickles(path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, ("exit 1",)

    import pickle

    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError):
        md.load(path)


def test_a_model_comes_back(path: Path) -> None:
    one, two = (nn.Sequential(nn.Conv2D(1, 2, 3), nn.BatchNorm(2), nn.Flatten(), nn.Dense(8, 2)) for _ in range(2))
    md.save(path, one.state_dict())
    two.load_state_dict(md.load(path))
    assert all(same(two.state_dict()[name], value) for name, value in one.state_dict().items())


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | array
state = st.dictionaries(
    st.text(), st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and same(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


@given(state)
def test_any_nested_state_comes_back(tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("state") / "s.safetensors"
    checkpoint.save_state(path, value)
    assert equal(checkpoint.load_state(path), value)


def test_weights_are_no_state(path: Path) -> None:
    md.save(path, {"w": np.ones(2)})
    with pytest.raises(CheckpointError, match=r"resume from a file \*\.state\.safetensors"):
        checkpoint.load_state(path)


@pytest.mark.parametrize(
    "description", ["", "[" * 100_000, '{"array": "/gone"}', '{"array": []}', "{}", '{"dict": 3}', '[{"dict": [1]}]']
)
def test_a_state_that_does_not_say_what_its_arrays_are_is_damaged(path: Path, description: str) -> None:
    md.save(path, {}, {checkpoint.STATE: description})
    with pytest.raises(CheckpointError, match="cannot be loaded: its description of the state is invalid"):
        checkpoint.load_state(path)


def test_names_with_slashes_do_not_clash(path: Path) -> None:
    value = {
        "a": {"b/c": np.zeros(1), "b": {"c": np.ones(1)}},
        "a/b~1c": np.full(1, 2.0),
        "__metadata__": np.full(1, 3.0),
    }
    checkpoint.save_state(path, value)
    assert equal(checkpoint.load_state(path), value)


NUMBERS = [np.float64(1.5), np.float32(0.1), np.float16(2), np.int64(3), np.uint8(4), np.bool_(True), np.float64("nan")]


@pytest.mark.parametrize("number", [*NUMBERS, 1.5, 3, True, "text", np.array(3), np.array(0.5, np.float32)])
def test_a_number_of_a_state_comes_back_as_what_it_was(path: Path, number: Any) -> None:
    checkpoint.save_state(path, {"a": [number]})
    found = checkpoint.load_state(path)["a"][0]
    assert type(found) is type(number)
    np.testing.assert_array_equal(found, number)
    assert getattr(found, "dtype", None) == getattr(number, "dtype", None)


def test_a_text_of_numpy_s_in_a_state_is_a_text(path: Path) -> None:
    checkpoint.save_state(path, {"a": np.str_("text")})
    assert checkpoint.load_state(path) == {"a": "text"}


@pytest.mark.parametrize(
    ("value", "error", "reason"),
    [
        ([[1], [1, 2]], ShapeError, "'x' has lists of different lengths: pad the short ones"),
        (
            Elsewhere(1.0),
            BackendError,
            "'x' cannot be saved: .*Elsewhere cannot be converted to a NumPy array .first bring it",
        ),
        (np.ma.array([1.0, 2.0], mask=[True, False]), DtypeError, "a masked array has missing values"),
    ],
)
def test_what_gives_no_array_is_refused_by_name(path: Path, value: Any, error: Any, reason: str) -> None:
    with pytest.raises(error, match=reason):
        md.save(path, {"x": value})
    assert not path.exists()


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_nested_state_is_refused_with_the_function_that_saves_it(path: Path, optimizer: Any, wrapped: bool) -> None:
    model = nn.Dense(2, 1)
    state = optimizer(model.parameters(), lr=0.5).state_dict()
    if wrapped:
        state = {"epoch": 3, "model": model.state_dict(), "optimizer": state, "note": None, "tags": ["a"]}
    with pytest.raises(DtypeError, match=r"is no array: .*checkpoint.save_state\(path, \.\.\.\), and load_state"):
        md.save(path, state)
    assert not path.exists()
    checkpoint.save_state(path, state)
    assert repr(checkpoint.load_state(path)) == repr(state)


@pytest.mark.parametrize("value", [{1, 2}, object(), np.array([None, 1.0])])
def test_what_no_state_can_hold_is_not_sent_there(path: Path, value: Any) -> None:
    with pytest.raises(DtypeError, match="which safetensors lacks"):
        checkpoint.save_state(path, {"x": value})


def test_keys_must_be_texts(path: Path) -> None:
    with pytest.raises(TypeError, match="the keys of a state are strings, got 3"):
        checkpoint.save_state(path, {"a": {3: 4}})


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"epoch": 3}, r"got 3 as 'epoch': write str\("),
        ({"epoch": None}, "got None as 'epoch'"),
        ({"tags": ["a"]}, r"got \['a'\] as 'tags'"),
        ({3: "epoch"}, "got the name 3"),
        ("epoch 3", "got str"),
        ([("epoch", "3")], "got list"),
    ],
)
@pytest.mark.parametrize("save", [md.save, checkpoint.save_state])
def test_metadata_that_are_no_texts_are_refused_before_anything_is_written(
    path: Path, save: Any, metadata: Any, reason: str
) -> None:
    path.write_bytes(b"earlier")
    with pytest.raises(CheckpointError, match=reason):
        save(path, {"w": np.ones(2)}, metadata)
    assert path.read_bytes() == b"earlier"
    assert list(path.parent.iterdir()) == [path]


def test_metadata_cannot_take_the_place_of_a_state(path: Path) -> None:
    with pytest.raises(CheckpointError, match="'state'"):
        checkpoint.save_state(path, {"step": 3}, {"state": "begun"})
    assert not path.exists()
