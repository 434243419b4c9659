"""CUDA sources compile for real cards, without spilling registers; and nothing that is launched is left out."""

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

FILES = sorted(path.name for path in source.FOLDER.glob("*.cu"))
KERNELS = {
    "col2im": "",
    "im2col": "",
    "max_pool": "",
    "max_pool_backward": "",
    "relu_backward": "",
    "adam": "",
    "sum_rows": "",
    "convolve_and_pool": ", 3, 3, 2, 2, 4",
    "weight_gradients": ", 3, 3, 2, 2",
}
"""The kernels, and for which sizes: those of the documented network."""
NAMES = {name: [f"{name}<{dtype}{sizes}>" for dtype in ("float", "double")] for name, sizes in KERNELS.items()}
REGISTERS = {"float": 80, "double": 168}
"""At most, for a thread: blocks of 256 threads then fill at least a third of a multiprocessor (65,536 registers)."""


def test_every_kernel_is_compiled_here() -> None:
    found = re.findall(
        r"__global__\s+void\s+(?:__launch_bounds__\(\d+\)\s+)?(\w+)\(", "".join(map(source.source, FILES))
    )
    assert sorted(found) == sorted(KERNELS)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc, of the CUDA toolkit, is not installed")
def test_kernels_compile_and_keep_to_their_registers(tmp_path: Path) -> None:
    names = [name for both in NAMES.values() for name in both]
    whole = tmp_path / "all.cu"
    used = ", ".join(f"(void*)&{name}" for name in names)
    includes = "".join(f'#include "{source.FOLDER / file}"\n' for file in FILES)
    whole.write_text(f"{includes}void* used[] = {{{used}}};\n")  # a template is compiled where it is used
    command = ["nvcc", *source.OPTIONS, "-arch=sm_75", "-cubin", "-Xptxas=-v", "-Werror=all-warnings"]
    done = subprocess.run([*command, "-o", tmp_path / "all.cubin", whole], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reports = re.findall(r"entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", done.stderr, re.S)
    assert len(reports) == len(names)
    for mangled, spills, registers in reports:
        dtype = "double" if "Id" in mangled else "float"
        assert int(spills) == 0, mangled
        assert int(registers) <= REGISTERS[dtype], f"{mangled} uses {registers} registers"


def nvrtc() -> ctypes.CDLL | None:
    """NVRTC of the package nvidia-cuda-nvrtc, or of a CUDA toolkit."""
    found = [path for folder in sys.path for path in Path(folder).glob("nvidia/*/lib/libnvrtc.so.*")]
    library = str(found[0]) if found else ctypes.util.find_library("nvrtc")
    return ctypes.CDLL(library) if library else None


@pytest.mark.skipif(nvrtc() is None, reason="NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("file", FILES)
def test_kernels_compile_as_cupy_compiles_them(file: str) -> None:
    """By NVRTC, which has no header files and is asked for kernels by their names in C++."""
    library: Any = nvrtc()
    code = source.source(file)
    names = [name.encode() for kernel, both in NAMES.items() if re.search(rf"\b{kernel}\(", code) for name in both]
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), file.encode(), 0, None, None) == 0
    for name in names:
        assert library.nvrtcAddNameExpression(program, name) == 0
    options = [option.encode() for option in (*source.OPTIONS, "-arch=sm_75")]
    result = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert (result, log.value.decode()) == (0, "")
    for name in names:
        lowered = ctypes.c_char_p()
        assert library.nvrtcGetLoweredName(program, name, ctypes.byref(lowered)) == 0
    assert names
    library.nvrtcDestroyProgram(ctypes.byref(program))
