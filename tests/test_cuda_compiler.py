"""CUDA sources compile for real cards without register spills, and every launched kernel is covered."""

import ctypes
import ctypes.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minidl.kernels.cupy import source
from minidl.ops import loss

FILES = sorted(path.name for path in source.FOLDER.glob("*.cu"))
GEMMS = {"convolve": ["0, 0", "1, 0", "0, 1"], "correlate": ["0", "1"], "matmul": ["0", "1"]}
"""Kernels for CUDA cores and tensor cores, and their other parameters: POOLED and UNPOOL, TRANSPOSED."""
KERNELS = {
    "col2im": "",
    "im2col": "",
    "max_pool": "",
    "max_pool_backward": "",
    "relu_backward": "",
    "softmax_cross_entropy": "",
    "softmax_cross_entropy_backward": "",
    "add_up": "",
    "adam": "",
    "sum_rows": "",
    "convolve_and_pool": ", 3, 3, 2, 2, 4",
    "weight_gradients": ", 3, 3, 2, 2",
}
"""The other kernels, and their sizes: those of the documented network."""
LOSSES = [cls.cuda_name for cls in (loss.BinaryCrossEntropyWithLogits, loss.L1Loss, loss.MSELoss, loss.HuberLoss)]
MEANS = ("mean_loss", "mean_loss_backward")
"""The kernels of every elementwise loss."""
TYPES = ("float", "double")
NAMES = (
    {name: [f"{name}<{dtype}{sizes}>" for dtype in TYPES] for name, sizes in KERNELS.items()}
    | {name: [f"{name}<{dtype}, 0, {kind}>" for kind in kinds for dtype in TYPES] for name, kinds in GEMMS.items()}
    | {name: [f"{name}<{dtype}, {loss}>" for loss in LOSSES for dtype in TYPES] for name in MEANS}
    | {"gather_images": ["gather_images<1>", "gather_images<4>"]}
)
ON_TENSOR_CORES = [f"{name}<float, 1, {kind}>" for name, kinds in GEMMS.items() for kind in kinds]
REGISTERS = {"float": 80, "double": 168}
"""The maximum per thread: blocks of 256 threads then fill at least a third of a multiprocessor (65,536 registers)."""
REGISTERS_OF_TILES = {"float": 128, "double": 168}
"""For kernels with a tile, on CUDA cores: they fill a quarter of it. On tensor cores they need fewer."""


def test_every_kernel_is_compiled_here() -> None:
    found = re.findall(
        r"__global__\s+void\s+(?:__launch_bounds__\(\d+\)\s+)?(\w+)\(", "".join(map(source.source, FILES))
    )
    assert len(found) == len(set(found))
    assert set(found) - set(NAMES) == set(), "these kernels belong into KERNELS above"
    assert set(NAMES) - set(found) == set(), "no .cu file has these kernels"


NVCC = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc, of the CUDA toolkit, is not installed")
ALL = [name for names in NAMES.values() for name in names]


def compiled(names: list[str], card: str, *options: str, folder: Path) -> tuple[str, Path]:
    """The report of nvcc and its assembler on these kernels, and the file that they write."""
    whole, output = folder / "all.cu", folder / "output"
    used = ", ".join(f"(void*)&{name}" for name in names)
    includes = "".join(f'#include "{source.FOLDER / file}"\n' for file in FILES)
    whole.write_text(f"{includes}void* used[] = {{{used}}};\n")  # a template is compiled where it is instantiated
    command = ["nvcc", *source.OPTIONS, f"-arch={card}", "-Werror=all-warnings", *options, "-o", output, whole]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr, output


@pytest.mark.slow
@NVCC
@pytest.mark.parametrize(
    ("names", "card"),
    [
        pytest.param(ALL, "sm_75", id="sm_75"),
        pytest.param(ON_TENSOR_CORES, "sm_80", id="sm_80"),
        pytest.param(ON_TENSOR_CORES, "sm_90", id="sm_90"),
    ],
)
def test_kernels_compile_and_keep_to_their_registers(names: list[str], card: str, tmp_path: Path) -> None:
    said, _ = compiled(names, card, "-cubin", "-Xptxas=-v", folder=tmp_path)
    reports = re.findall(r"entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", said, re.S)
    assert len(reports) == len(names)
    for mangled, spills, registers in reports:
        name, dtype = re.findall(r"_Z\d+([a-z_0-9]+)I([df]|Li)", mangled)[0]
        limits = REGISTERS_OF_TILES if name in GEMMS and names is ALL else REGISTERS
        assert int(spills) == 0, mangled
        assert int(registers) <= limits["double" if dtype == "d" else "float"], f"{mangled} uses {registers} registers"


@NVCC
def test_tensor_cores_do_the_products_and_nothing_else_does(tmp_path: Path) -> None:
    _, output = compiled(ON_TENSOR_CORES, "sm_80", "-ptx", folder=tmp_path)
    for entry in output.read_text().split(".entry")[1:]:
        assert "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32" in entry
        assert "fma.rn.f32" not in entry


def nvrtc() -> ctypes.CDLL | None:
    """NVRTC from the package nvidia-cuda-nvrtc or a CUDA toolkit."""
    found = [path for folder in sys.path for path in Path(folder).glob("nvidia/*/lib/libnvrtc.so.*")]
    library = str(found[0]) if found else ctypes.util.find_library("nvrtc")
    return ctypes.CDLL(library) if library else None


CARDS = (60, 70, 75, 80, 86, 89, 90, 100, 120)
"""Compute capabilities, from Kaggle's P100 to current cards. CUDA 12 is the last that supports those before 75."""


def cards_of(library: Any) -> list[int]:
    """The compute capabilities that it supports, in order."""
    count = ctypes.c_int()
    assert library.nvrtcGetNumSupportedArchs(ctypes.byref(count)) == 0
    found = (ctypes.c_int * count.value)()
    assert library.nvrtcGetSupportedArchs(found) == 0
    return list(found)


@pytest.mark.skipif(nvrtc() is None, reason="NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("file", FILES)
def test_kernels_compile_as_cupy_compiles_them(file: str, card: int) -> None:
    """Compile with NVRTC, which has no header files and takes kernels by their C++ names."""
    library: Any = nvrtc()
    supported = cards_of(library)
    if card not in supported:
        pytest.skip(f"this NVRTC compiles for sm_{supported[0]} and later: pip install nvidia-cuda-nvrtc-cu12")
    code = source.source(file)
    wanted = ALL + ON_TENSOR_CORES if card >= 80 else ALL
    names = [name.encode() for name in wanted if re.search(rf"\b{name.split('<')[0]}\(", code)]
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), file.encode(), 0, None, None) == 0
    for name in names:
        assert library.nvrtcAddNameExpression(program, name) == 0
    options = [option.encode() for option in (*source.OPTIONS, f"-arch=sm_{card}")]
    result = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    warnings = [line for line in log.value.decode().splitlines() if line and "Architectures prior to" not in line]
    assert (result, warnings) == (0, [])
    for name in names:
        lowered = ctypes.c_char_p()
        assert library.nvrtcGetLoweredName(program, name, ctypes.byref(lowered)) == 0
    assert names
    library.nvrtcDestroyProgram(ctypes.byref(program))
