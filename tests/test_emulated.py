"""The emulated GPU: kernels behave as in CUDA, and what CUDA leaves undefined is an error."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import backends
from minidl.errors import BackendError
from minidl.kernels.cupy.source import NULL, Struct, by_value
from minidl.kernels.window import sliding_window
from minidl.testing import check_backend, emulated
from minidl.testing.emulated import EmulatedArray, EmulatedBackend, LaunchError, RawModule

from .devices import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER

CODE = """
struct Window { int H, W, KH, KW, SH, SW, top, bottom, left, right, OH, OW; };

template <typename T, int N> __global__ void scale(const T* x, T* y, T factor, int size) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = N * factor * x[i];
}

__global__ void where_am_i(int* y) {
    const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const int number = block * blockDim.x * blockDim.y * blockDim.z + thread;
    y[number] = number;
}

__global__ void beyond(float* y, int at) { y[at] = 1; }

__global__ void read_beyond(const float* x, float* y, int at) { y[0] = x[at]; }

__global__ void add_beyond(float* y, int at) { y[at] += 1; }

__global__ void write_back_beyond(float* y, int at) {
    volatile float* there = y + at;
    *there = *there;
}

__global__ void look_beyond(const float* x, float* y, int at) { y[0] = x[at] > 0 ? 1.0f : 1.0f + 0 * y[0]; }

struct alignas(16) Four { float numbers[4]; };
__global__ void read_four(const float* x, float* y, int at) {
    const Four four = reinterpret_cast<const Four*>(x)[at];
    y[0] = four.numbers[1] + four.numbers[2];
}

__global__ void width(Window window, int* y) { y[0] = window.OW; }

__global__ void is_null(const float* x, int* y) { y[0] = x == nullptr; }

struct Pair { float* arrays[2]; int size; int places; };
__global__ void swap(Pair pair) {
    for (int i = 0; i < pair.size; ++i) {
        const float first = pair.arrays[0][i];
        pair.arrays[0][i] = pair.arrays[1][i];
        pair.arrays[1][i] = first;
    }
}

__global__ void turn_around(int* y) { y[threadIdx.x] = __shfl_xor_sync(0xffffffff, y[threadIdx.x], 31); }
"""
BARRIERS = """
template <int BARRIER, int BOUND> __global__ void reverse_twice(float* y) {
    __shared__ float shared[64];
    for (int i = 0; i < 2; ++i) {
        shared[threadIdx.x] = y[threadIdx.x];
        if (BARRIER && int(threadIdx.x) < BOUND) __syncthreads();
        y[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x] + 1;
        if (BARRIER) __syncthreads();
    }
}
"""
ROW = np.arange(6, dtype=np.float32)


@pytest.fixture
def device() -> Any:
    return backends.get("emulated")


def kernel(name: str, code: str = CODE) -> Any:
    return RawModule(code=code, options=("-std=c++17",), name_expressions=(name,)).get_function(name)


def test_the_backend_keeps_its_promises() -> None:
    check_backend("emulated")


def test_a_kernel_reads_numbers_and_arrays_and_writes_arrays(device: Any) -> None:
    for dtype, name in ((np.float32, "float"), (np.float64, "double")):
        x, y = device.asarray(ROW.astype(dtype)), device.asarray(np.zeros(6, dtype))
        kernel(f"scale<{name}, 3>")((2,), (4,), (x, y, dtype(0.5), np.int32(5)))
        np.testing.assert_array_equal(device.to_numpy(y), [0, 1.5, 3, 4.5, 6, 0])


def test_an_array_may_be_read_and_written(device: Any) -> None:
    x = device.asarray(ROW)
    kernel("scale<float, 2>")((1,), (6,), (x, x, np.float32(1), np.int32(6)))
    np.testing.assert_array_equal(device.to_numpy(x), 2 * ROW)


def test_every_thread_knows_its_place(device: Any) -> None:
    y = device.asarray(np.full(2 * 3 * 2 * 4 * 2 * 3, -1, np.int32))
    kernel("where_am_i")((2, 3, 2), (4, 2, 3), (y,))
    np.testing.assert_array_equal(device.to_numpy(y), np.arange(y.size))


def test_a_struct_and_null_are_passed_by_value(device: Any) -> None:
    y = device.asarray(np.zeros(1, np.int32))
    kernel("width")((1,), (1,), (by_value(sliding_window(9, 8, 3, 1, 0)), y))
    assert device.to_numpy(y) == 6
    kernel("is_null")((1,), (1,), (NULL, y))
    assert device.to_numpy(y) == 1


PAIR = np.dtype([("arrays", np.uintp, 2), ("size", np.int32), ("places", np.int32)])


def pair(*arrays: Any, size: int = 6) -> Struct:
    return Struct.of(PAIR, arrays=arrays, size=[size])


def test_a_struct_leads_to_arrays(device: Any) -> None:
    x, y = device.asarray(ROW), device.asarray(-ROW)
    kernel("swap")((1,), (1,), (pair(x, y),))
    np.testing.assert_array_equal(device.to_numpy(x), -ROW)
    np.testing.assert_array_equal(device.to_numpy(y), ROW)


def raw(x: Any) -> Any:
    """Addresses, without the existing arrays."""
    return np.array(pair(x, x))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (lambda x: pair(x, x[:3]), r"swap reads beyond an array of shape \(3,\)"),
        (lambda x: pair(x, x[::2], size=3), "argument 0 is not contiguous"),
        (lambda x: raw(x), "parameter 0 is V24, got .*arrays"),
        (lambda x: Struct.of(np.dtype([("arrays", np.uintp, 2)]), arrays=[x, x]), "parameter 0 is V24, got .*arrays"),
        (lambda x: x, "parameter 0 is V24, got float32"),
    ],
)
def test_structs_that_do_not_lead_to_arrays_are_errors(argument: Any, message: str, device: Any) -> None:
    with pytest.raises(LaunchError, match=message):
        kernel("swap")((1,), (1,), (argument(device.asarray(ROW)),))


def test_threads_of_a_warp_read_from_each_other(device: Any) -> None:
    y = device.asarray(np.arange(64, dtype=np.int32))
    kernel("turn_around")((1,), (64,), (y,))
    np.testing.assert_array_equal(device.to_numpy(y), [*range(31, -1, -1), *range(63, 31, -1)])


@pytest.mark.parametrize("block", [64, 63, 1])
def test_threads_wait_for_each_other_at_barriers(block: int, device: Any) -> None:
    values = np.arange(block, dtype=np.float32)
    y = device.asarray(values)
    kernel("reverse_twice<1, 64>", BARRIERS)((1,), (block,), (y,))
    np.testing.assert_array_equal(device.to_numpy(y), values + 2)


def test_a_missing_barrier_shows(device: Any) -> None:
    y = device.asarray(np.arange(64, dtype=np.float32))
    kernel("reverse_twice<0, 64>", BARRIERS)((1,), (64,), (y,))
    assert not np.array_equal(device.to_numpy(y), np.arange(64) + 2)


def test_threads_of_python_may_launch_kernels_at_the_same_time(device: Any) -> None:
    reverse = kernel("reverse_twice<1, 64>", BARRIERS)

    def launch(number: int) -> bool:
        y = device.asarray(np.arange(64, dtype=np.float32) + number)
        for _ in range(50):
            reverse((1,), (64,), (y,))
        return bool((device.to_numpy(y) == np.arange(64) + number + 100).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(launch, range(8)))


def test_a_barrier_that_not_all_threads_reach_is_an_error(device: Any) -> None:
    reverse = kernel("reverse_twice<1, 63>", BARRIERS)
    with pytest.raises(LaunchError, match="some threads of a block wait at a barrier that others never reach"):
        reverse((1,), (64,), (device.asarray(np.zeros(64, np.float32)),))
    y = device.asarray(np.arange(63, dtype=np.float32))
    reverse((1,), (63,), (y,))  # all threads start anew
    np.testing.assert_array_equal(device.to_numpy(y), np.arange(63) + 2)


@pytest.mark.parametrize("at", [-1, 6, 1000, 1_000_000])
@pytest.mark.parametrize("name", ["beyond", "add_beyond", "write_back_beyond"])
def test_writing_beyond_an_array_is_an_error_also_where_it_changes_nothing(name: str, at: int, device: Any) -> None:
    x = device.asarray(ROW)
    with pytest.raises(LaunchError, match=rf"{name} (reads|writes) beyond an array of shape \(6,\)"):
        kernel(name)((1,), (1,), (x, np.int32(at)))
    np.testing.assert_array_equal(device.to_numpy(x), ROW)


@pytest.mark.parametrize("at", [-1, 6, 1000, 1_000_000])
@pytest.mark.parametrize("name", ["read_beyond", "look_beyond"])
def test_reading_beyond_an_array_is_an_error_also_where_the_number_is_not_used(name: str, at: int, device: Any) -> None:
    x, y = device.asarray(ROW), device.asarray(np.zeros(1, np.float32))
    with pytest.raises(LaunchError, match=rf"{name} reads beyond an array of shape \(6,\)"):
        kernel(name)((1,), (1,), (x, y, np.int32(at)))


def test_reading_several_numbers_at_once_of_which_some_lie_beyond_is_an_error(device: Any) -> None:
    x, y = device.asarray(ROW), device.asarray(np.zeros(1, np.float32))
    kernel("read_four")((1,), (1,), (x, y, np.int32(0)))
    assert device.to_numpy(y).tolist() == [3]
    with pytest.raises(LaunchError, match=r"read_four reads beyond an array of shape \(6,\)"):
        kernel("read_four")((1,), (1,), (x, y, np.int32(1)))


def test_new_memory_is_poisoned() -> None:
    xp = EmulatedBackend.xp
    assert isinstance(xp.empty((2, 3), np.float32), EmulatedArray)
    assert np.isnan(xp.empty((2, 3), np.float32)._host).all()
    assert xp.empty(4, np.uint8)._host.tolist() == [255] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda x: (x, x, 0.5, np.int32(6)), "parameter 2 is f4, got float"),
        (lambda x: (x, x, np.float32(1), 6), "parameter 3 is i4, got int"),
        (lambda x: (x, x, np.float64(1), np.int32(6)), "parameter 2 is f4, got float64"),
        (lambda x: (x, x, np.int32(6), np.float32(1)), "parameter 2 is f4, got int32"),
        (
            lambda x: (x, x.astype(np.float64), np.float32(1), np.int32(6)),
            "parameter 1 is a pointer to f4, got float64",
        ),
        (lambda x: (x, x[::2], np.float32(1), np.int32(3)), "argument 1 is not contiguous"),
        (lambda x: (ROW, x, np.float32(1), np.int32(6)), "parameter 0 is a pointer to f4, got float32"),
        (lambda x: (x, x, x, np.int32(6)), "parameter 2 is f4, got float32"),
        (lambda x: (None, x, np.float32(1), np.int32(6)), "parameter 0 is a pointer to f4, got NoneType"),
        (lambda x: (np.uintp(8), x, np.float32(1), np.int32(6)), "parameter 0 is a pointer to f4, got uint64"),
        (lambda x: (x, x, np.float32(1)), "has 4 parameters, got 3 arguments"),
    ],
)
def test_arguments_of_other_types_are_errors(arguments: Any, message: str, device: Any) -> None:
    with pytest.raises(LaunchError, match=message):
        kernel("scale<float, 3>")((1,), (6,), arguments(device.asarray(ROW)))


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((0,), (1,), r"a grid of \(0,\)"),
        ((1, 65536), (1,), r"a grid of \(1, 65536\)"),
        ((1,), (2048,), r"a block of \(2048,\)"),
        ((1,), (64, 32), "at most 1024 threads"),
    ],
)
def test_grids_and_blocks_that_no_card_takes_are_errors(grid: Any, block: Any, message: str, device: Any) -> None:
    with pytest.raises(LaunchError, match=message):
        kernel("where_am_i")(grid, block, (device.asarray(np.zeros(1, np.int32)),))


def test_code_that_does_not_compile_and_names_that_are_not_there_are_errors() -> None:
    with pytest.raises(LaunchError, match=r"cannot compile nothing:(.|\n)*nothing"):
        kernel("nothing")
    with pytest.raises(LaunchError, match="not one of the module's name_expressions"):
        RawModule(code=CODE, name_expressions=("beyond",)).get_function("width")


def in_another_process() -> None:
    """Forget what is compiled, and where."""
    emulated._compiled.cache_clear()
    emulated._cache.cache_clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache that nothing is in."""
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    in_another_process()
    yield tmp_path / "cache"
    in_another_process()


def test_a_kernel_is_compiled_once_for_all_processes(
    cache: Path, tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache / "emulated"

    def written(number: int, option: str) -> int:
        in_another_process()
        y = device.asarray(np.zeros(1, np.int32))
        code = f"__global__ void number(int* y) {{ y[0] = {number} + OPTION; }}"
        module = RawModule(code=code, options=(f"-DOPTION={option}",), name_expressions=("number",))
        module.get_function("number")((1,), (1,), (y,))
        return int(device.to_numpy(y)[0])

    assert (written(1, "0"), len(list(folder.iterdir()))) == (1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(emulated, "_compile", lambda *arguments: pytest.fail("compiled twice"))
        assert written(1, "0") == 1
    assert (written(2, "0"), written(1, "5"), len(list(folder.iterdir()))) == (2, 6, 3)
    harness = tmp_path / "emulated.hpp"
    harness.write_text(emulated.HARNESS.read_text() + "#undef OPTION\n#define OPTION 7\n")
    monkeypatch.setattr(emulated, "HARNESS", harness)
    assert written(1, "0") == 8
    assert {path.suffix for path in folder.iterdir()} == {".so"}


def test_where_the_cache_is_not_writable_kernels_are_compiled_in_each_process(cache: Path, device: Any) -> None:
    cache.touch()
    y = device.asarray(ROW)
    kernel("beyond")((1,), (1,), (y, np.int32(2)))
    assert device.to_numpy(y)[2] == 1


def test_without_a_compiler_the_backend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BackendError, match=r"needs g\+\+, which is not installed: apt install g\+\+"):
        EmulatedBackend()
