"""CUDA sources compile for real cards, without spilling registers; and nothing that is launched is left out."""

import re
import shutil
import subprocess
from pathlib import Path

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
REGISTERS = {"float": 80, "double": 168}
"""At most, for a thread: blocks of 256 threads then fill at least a third of a multiprocessor (65,536 registers)."""


def test_every_kernel_is_compiled_here() -> None:
    found = re.findall(
        r"__global__\s+void\s+(?:__launch_bounds__\(\d+\)\s+)?(\w+)\(", "".join(map(source.source, FILES))
    )
    assert sorted(found) == sorted(KERNELS)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc, of the CUDA toolkit, is not installed")
def test_kernels_compile_and_keep_to_their_registers(tmp_path: Path) -> None:
    names = [f"{name}<{dtype}{sizes}>" for name, sizes in KERNELS.items() for dtype in REGISTERS]
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
