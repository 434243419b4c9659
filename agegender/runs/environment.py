"""The environment of a run: what is needed to repeat it."""

import platform
from importlib import metadata
from typing import Any

import minidl
from minidl import backends


def environment(device: str) -> dict[str, Any]:
    """Versions, BLAS, device and precision, as JSON values.

    >>> known = environment("numpy")
    >>> known["device"], known["precision"]
    ('numpy', 'float32')
    """
    packages = ("minidl", "numpy", "threadpoolctl", "pillow", "matplotlib")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {package: _version(package) for package in packages},
        "blas": _blas(),
        "device": device,
        "device_name": _device_name(device),
        "precision": backends.get(device).precision,
        "threads": minidl.get_num_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info

    kept = ("internal_api", "version", "architecture")
    return [{key: info.get(key) for key in kept} for info in threadpool_info() if info["user_api"] == "blas"]


def _device_name(device: str) -> str:
    if device != "cupy":  # a plugin backend may have no GPU
        return platform.processor() or platform.machine()
    cuda = backends.get(device).xp.cuda
    name: bytes = cuda.runtime.getDeviceProperties(cuda.Device().id)["name"]
    return name.decode()
