"""Where figures were measured: the machine, its software and the date."""

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import counted
from ..threads import get_num_threads

PACKAGES = ("minidl", "numpy", "pillow", "cupy-cuda12x", "cupy-cuda13x")


def describe(*compared: str) -> dict[str, Any]:
    """Everything that a figure depends on, except the code; ``compared`` names packages that take part in it."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in (*PACKAGES, *compared) if (version := _version(name))},
        "blas": _blas(),
        "settings": {name: value for name, value in sorted(os.environ.items()) if name.startswith("OPENBLAS_")},
    }


def line(machine: dict[str, Any]) -> str:
    """The description in one sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    settings = "".join(f", {name}={value}" for name, value in machine["settings"].items())
    return (
        f"{machine['date']}, {machine['processor']}, {counted(machine['cores'], 'core')}, {machine['system']}, "
        f"Python {machine['python']}, {versions}; {machine['blas']}{settings}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> str:
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    names = [f"{info['internal_api']} {info['version']} ({info.get('architecture', '?')})" for info in found]
    return ", ".join(names) + f", {counted(get_num_threads(), 'thread')}"
