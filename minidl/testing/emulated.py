"""The CuPy backend on a machine without a GPU: its launchers and kernels, run on the CPU.

Arrays come from the stand-in in :mod:`.strict`. ``xp.RawModule`` compiles CUDA C++ with g++, see ``emulated.hpp``.
A launch checks what a GPU does not, and raises an error for

- arguments whose types differ from the kernel's parameters: a Python number has 64 bits, as in CuPy, and a null pointer
  is np.uintp(0), because CuPy 13 converts None to another address;
- pointers in a struct, unless it names the arrays they point to (``minidl.kernels.cupy.source.Struct``);
- arrays that are not contiguous, and grids and blocks that exceed CUDA's limits;
- a barrier that some threads of a block never reach;
- any read or write beyond an array, even if it does not affect the result.

Uninitialized memory is NaN.

>>> from minidl import backends
>>> emulated = backends.get("emulated")
>>> isinstance(emulated, CuPyBackend), emulated.to_numpy(emulated.xp.empty(2, np.float32))
(True, array([nan, nan], dtype=float32))
"""

import atexit
import ctypes
import functools
import hashlib
import mmap
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends.cupy import CuPyBackend
from ..errors import BackendError, MinidlError, counted
from ..files import atomic_write, user_cache
from ..kernels.cupy.source import Struct
from . import emulated_graph
from .strict import StrictArray, StrictBackend, StrictModule

HARNESS = Path(__file__).with_name("emulated.hpp")
FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-x", "c++", "-fsanitize=kernel-address")
PARAMETERS = ("asan-instrumentation-with-call-threshold=0", "asan-stack=0", "asan-globals=0")
"""Make GCC's sanitizer insert a call before each memory access, and nothing else."""
LIBRARIES = ("-nodefaultlibs", "-lm", "-lc", "-lgcc")
"""Without the C++ library, which nothing needs: to search it takes half of the compile time of a kernel."""
GRID = (2**31 - 1, 65535, 65535)
BLOCK = (1024, 1024, 64)
THREADS_IN_BLOCK = 1024
"""CUDA's limits (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability")."""
GUARD = 1 << 26
"""Bytes before and after every array, which cost nothing unless they are written."""
ALIGNMENT = 512
"""The alignment of CuPy's arrays, in bytes."""
KIND = "??cH"
"""The struct Kind of emulated.hpp."""
_one_at_a_time = threading.Lock()
"""One Python thread at a time compiles and runs kernels, because the state of a grid is in static memory."""


class LaunchError(MinidlError):
    """A launch that would fail, or have undefined behaviour, on a GPU."""


class EmulatedArray(StrictArray):
    """An array of the emulated GPU; ``x.data`` is its address and the memory that its views share, as in CuPy."""

    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data, mem=self._owner._host))
    _run = staticmethod(emulated_graph.run)


class RawModule:
    """Kernels from CUDA C++, like ``cupy.RawModule``; compiled on the first ``get_function``, and cached on disk."""

    def __init__(self, *, code: str, options: Sequence[str] = (), name_expressions: Sequence[str] = ()) -> None:
        self.code, self.options, self.names = code, tuple(options), tuple(name_expressions)

    def get_function(self, name: str) -> "RawKernel":
        """The kernel with this name, one of ``name_expressions``."""
        if name not in self.names:
            raise LaunchError(f"'{name}' is not one of the module's name_expressions, {self.names}")
        with _one_at_a_time:
            library = _compiled(self.code, self.options, self.names)
        return RawKernel(name, library, self.names.index(name))


class RawKernel:
    """A kernel, like ``cupy.RawKernel``: called with a grid, a block and arguments."""

    def __init__(self, name: str, library: ctypes.CDLL, number: int) -> None:
        self.name = name
        self._launch = getattr(library, f"launch_{number}")
        self.parameters = _parameters(getattr(library, f"kinds_{number}"))

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        graph = emulated_graph.capturing()
        if graph is not None:
            graph.touches(_memory_of(args))
            graph.add(lambda: self.launch(grid, block, args))
        self.launch(grid, block, args)

    def launch(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        """Check what a GPU would not notice, then run the kernel."""
        sizes = [*_three("grid", grid, GRID), *_three("block", block, BLOCK)]
        if prod(sizes[3:]) > THREADS_IN_BLOCK:
            raise LaunchError(f"{self.name}: a block may have at most {THREADS_IN_BLOCK} threads, got {block}")
        if len(args) != len(self.parameters):
            wanted = counted(len(self.parameters), "parameter")
            raise LaunchError(f"{self.name} has {wanted}, got {counted(len(args), 'argument')}")
        memory = _Memory(_memory_of(args))
        values = [self._value(number, value, memory) for number, value in enumerate(args)]
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        with _one_at_a_time:
            met = self._launch((ctypes.c_uint * 6)(*sizes), pointers, ctypes.byref(memory.reachable))
        if not met:
            raise LaunchError(f"{self.name}: some threads of a block wait at a barrier that others never reach")
        memory.bring_back(self.name)

    def _value(self, number: int, value: Any, memory: "_Memory") -> NDArray[Any]:
        """An argument as an array of one element for the kernel."""
        wanted = self.parameters[number]
        if wanted.pointer and isinstance(value, np.uintp) and value == 0:
            return np.zeros(1, np.uintp)
        if wanted.pointer and isinstance(value, EmulatedArray) and value.dtype.str[1:] == wanted.kind:
            return np.array([self._address(number, value, memory, written=not wanted.constant)], np.uintp)
        if not wanted.pointer and not isinstance(value, StrictArray):
            given = np.asarray(value)
            known = isinstance(value, Struct) or not _has_pointers(given.dtype)
            if given.size == 1 and given.dtype.str[1:] == wanted.kind and known:
                return self._moved(number, value, memory) if isinstance(value, Struct) else given
        what = getattr(value, "dtype", type(value).__name__)
        pointer = "a pointer to " if wanted.pointer else ""
        raise LaunchError(f"{self.name}: parameter {number} is {pointer}{wanted.kind}, got {what}")

    def _address(self, number: int, array: EmulatedArray, memory: "_Memory", written: bool) -> int:
        if not array.flags.c_contiguous:
            raise LaunchError(f"{self.name}: argument {number} is not contiguous: xp.ascontiguousarray(x)")
        return memory.address(array._host, written)

    def _moved(self, number: int, given: Struct, memory: "_Memory") -> NDArray[Any]:
        """A struct with pointers to copies of its arrays, all of which the kernel may modify."""
        moved = np.array(given)
        for field, arrays in given.pointers.items():
            addresses = [self._address(number, array, memory, written=True) for array in arrays]
            moved[field].reshape(-1)[: len(addresses)] = addresses
        return moved


def _memory_of(args: Iterable[Any]) -> Iterator[NDArray[Any]]:
    """The arrays that the arguments of a kernel point to."""
    for arg in args:
        if isinstance(arg, EmulatedArray):
            yield arg._host
        elif isinstance(arg, Struct):
            yield from _memory_of(chain(*arg.pointers.values()))


def _has_pointers(dtype: np.dtype[Any]) -> bool:
    """Whether a struct contains pointers, whose arrays only :class:`Struct` names."""
    return any(dtype[name].base == np.uintp for name in dtype.names or ())


class _Parameter(NamedTuple):
    """A parameter of a kernel; ``kind`` is as in ``numpy.dtype.str``, for a pointer, the kind of its target."""

    pointer: bool
    constant: bool
    kind: str


def _parameters(describe: Any) -> list[_Parameter]:
    """The parameters of a kernel, from emulated::kinds."""
    describe.restype = ctypes.c_void_p
    count = ctypes.c_int()
    data = ctypes.string_at(describe(ctypes.byref(count)), struct.calcsize(KIND) * count.value)
    fields = struct.iter_unpack(KIND, data)
    return [_Parameter(pointer, constant, f"{letter.decode()}{size}") for pointer, constant, letter, size in fields]


class _Span(ctypes.Structure):
    """The struct Span of emulated.hpp."""

    _fields_: ClassVar = [("begin", ctypes.c_size_t), ("end", ctypes.c_size_t)]


class _Reachable(ctypes.Structure):
    """The struct Memory of emulated.hpp."""

    _fields_: ClassVar = [
        ("whole", _Span),
        ("arrays", ctypes.c_size_t),
        ("end", ctypes.c_size_t),
        ("beyond", ctypes.c_size_t),
        ("written", ctypes.c_bool),
    ]


class _Memory:
    """Copies of the arrays of a launch, far apart in memory; results are copied back to the arrays."""

    def __init__(self, hosts: Iterable[NDArray[Any]]) -> None:
        self._hosts = {_place(host): host for host in hosts}
        steps = [-(-host.nbytes // ALIGNMENT) * ALIGNMENT + GUARD for host in self._hosts.values()]
        whole = np.frombuffer(mmap.mmap(-1, GUARD + sum(steps)), np.uint8)
        self._copies: dict[tuple[int, int], NDArray[np.uint8]] = {}
        for (place, host), start in zip(self._hosts.items(), accumulate(steps, initial=GUARD), strict=False):
            self._copies[place] = whole[start : start + host.nbytes]
            self._copies[place][...] = np.ascontiguousarray(host).reshape(-1).view(np.uint8)
        self._written: set[tuple[int, int]] = set()
        spans = [_span(copy) for copy in self._copies.values()]
        self._spans = (_Span * len(spans))(*spans)
        first = ctypes.addressof(self._spans)
        self.reachable = _Reachable(_span(whole), first, first + ctypes.sizeof(self._spans))

    def address(self, host: NDArray[Any], written: bool) -> int:
        """The address of an array's copy, the same for the same array."""
        if written:
            self._written.add(_place(host))
        return self._copies[_place(host)].ctypes.data

    def bring_back(self, kernel: str) -> None:
        """Copy the kernel's results back to the arrays; raise an error for an access beyond them."""
        beyond = self.reachable.beyond
        if beyond:
            place = min(self._copies, key=lambda place: abs(beyond - self._copies[place].ctypes.data))
            what = "writes" if self.reachable.written else "reads"
            raise LaunchError(f"{kernel} {what} beyond an array of shape {self._hosts[place].shape}")
        for place in self._written:
            host = self._hosts[place]
            host[...] = self._copies[place].view(host.dtype).reshape(host.shape)


def _place(host: NDArray[Any]) -> tuple[int, int]:
    return host.ctypes.data, host.nbytes


def _span(memory: NDArray[Any]) -> _Span:
    return _Span(memory.ctypes.data, memory.ctypes.data + memory.nbytes)


def _three(what: str, sizes: tuple[int, ...], most: tuple[int, ...]) -> list[int]:
    """The three sizes of a grid or a block."""
    all_three = [*sizes, 1, 1][:3]
    if not all(1 <= size <= limit for size, limit in zip(all_three, most, strict=True)):
        raise LaunchError(f"a {what} of {sizes}: each size must be at least 1 and at most {most}")
    return all_three


@functools.cache
def _cache() -> Path:
    """The folder of compiled kernels: in the user's cache; if that is not writable, for the lifetime of the process."""
    try:
        folder = user_cache() / "emulated"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):
        folder = Path(tempfile.mkdtemp(prefix="minidl-emulated-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _compiled(code: str, options: tuple[str, ...], names: tuple[str, ...]) -> ctypes.CDLL:
    """The kernels as a library: for each, a function that runs it and one that describes its parameters."""
    barriers = str("__syncthreads" in code or "__shfl" in code).lower()
    exports = "\n".join(
        f'extern "C" bool launch_{i}(const unsigned* sizes, void** args, emulated::Memory* memory)'
        f" {{ return emulated::launch(&{name}, sizes, args, memory, {barriers}); }}\n"
        f'extern "C" const emulated::Kind* kinds_{i}(int* count) {{ return emulated::kinds(&{name}, count); }}'
        for i, name in enumerate(names)
    )
    barrier = "static void __syncthreads() { emulated::wait(); }"
    whole = f"{barrier}\n{code}\n{exports}\n"
    flags = (*FLAGS, *(f"--param={p}" for p in PARAMETERS), *options)
    key = hashlib.sha256(repr((_version(compiler()), flags, HARNESS.read_text(), whole)).encode()).hexdigest()
    library = _cache() / f"{key}.so"
    if not library.exists():
        _compile(whole, flags, library, names)
    return ctypes.CDLL(str(library))


def _compile(whole: str, flags: tuple[str, ...], library: Path, names: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(prefix="minidl-emulated-") as folder:
        built = Path(folder, library.name)
        command = [compiler(), *flags, "-include", str(HARNESS), "-", *LIBRARIES, "-o", str(built)]
        done = subprocess.run(command, input=whole, text=True, capture_output=True, check=False)
        if done.returncode:
            raise LaunchError(f"g++ cannot compile {', '.join(names)}:\n{done.stderr}")
        with atomic_write(library) as file:  # another process may be compiling the same
            file.write(built.read_bytes())


@functools.cache
def _version(path: str) -> str:
    """What a compiler says of its version, its target and its configuration."""
    return subprocess.run([path, "-v"], text=True, capture_output=True, check=True).stderr


def compiler() -> str:
    """The path of g++; raises :class:`BackendError` if it is not installed."""
    found = shutil.which("g++")
    if found is None:
        raise BackendError("the backend 'emulated' needs g++, which is not installed: apt install g++")
    return found


class EmulatedModule(StrictModule):
    """CuPy's functions, its ``RawModule`` and its CUDA graphs. New memory is poisoned."""

    RawModule = RawModule
    cuda = emulated_graph

    def __init__(self) -> None:
        super().__init__(EmulatedArray)
        self.empty = self._poisoned

    def _poisoned(self, shape: Any, dtype: Any = np.float64) -> EmulatedArray:
        memory = np.empty(shape, dtype)
        emulated_graph.poison(memory)
        graph = emulated_graph.capturing()
        if graph is not None:
            graph.add(lambda: emulated_graph.poison(memory), memory)
        return EmulatedArray(memory)


class EmulatedBackend(StrictBackend, CuPyBackend):
    """The CuPy backend with its kernels on the CPU; it counts copies like the strict backend. Requires g++."""

    name: ClassVar[str] = "emulated"
    xp: Any = EmulatedModule()
    array_type: type[StrictArray] = EmulatedArray

    def __init__(self) -> None:
        super().__init__()
        compiler()

    @property
    def precisions(self) -> tuple[str, ...]:
        return ("float32", "tf32")  # kernels round operands as tensor cores do

    def set_precision_of_cublas(self) -> None:
        """Does nothing: there is no cuBLAS."""

    def release_free_memory(self) -> None:
        """Does nothing: NumPy frees memory itself."""

    def free_memory(self) -> None:
        """None: host memory is not checked."""
