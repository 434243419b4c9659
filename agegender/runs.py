"""The folder that a training run leaves: its configuration, environment, results and checkpoints."""

import json
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import minidl
from minidl import backends

from .cli import UsageError
from .data.files import write_text

STATE = "last.state.safetensors"


def create(parent: Path, name: str | None, model: str) -> Path:
    """A new, empty run folder ``parent/name``; by default the name is made of the time and the model.

    Raises :class:`UsageError` if there is one of that name, or if ``parent`` is a file.
    """
    if parent.exists() and not parent.is_dir():
        raise UsageError(f"{parent} is a file: name a folder for the runs with --out")
    folder = parent / (name or f"{time.strftime('%Y%m%d-%H%M%S')}-{model}")
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(
            f"the run {folder} exists already: go on with it (--resume {folder}) or take another --name"
        ) from None
    (folder / "plots").mkdir()
    return folder


def find(parent: Path, run: str) -> Path:
    """The folder of an earlier run that can be resumed: by path, by name, or the latest one (``""``).

    Raises :class:`UsageError` where there is none.
    """
    if run == "":
        states = sorted(parent.glob(f"*/{STATE}"), key=lambda state: state.stat().st_mtime)
        if not states:
            raise UsageError(f"there is no run to resume in {parent}/: start one without --resume")
        return states[-1].parent
    folder = Path(run) if Path(run).is_dir() else parent / run
    if not (folder / STATE).is_file():
        there = ", ".join(sorted(state.parent.name for state in parent.glob(f"*/{STATE}"))) or "none"
        raise UsageError(f"{folder} holds no run that can be resumed ({STATE}). Runs in {parent}/: {there}.")
    return folder


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, indented, in one step."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; anything else ends in :class:`UsageError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold a JSON object")
    return content


def environment(device: str, data: dict[str, Any]) -> dict[str, Any]:
    """Versions, BLAS, device, precision and data fingerprint: what one must know to repeat a run."""
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
        "data": data,
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
    if device != "cupy":  # a backend of one's own may have no cards
        return platform.processor() or platform.machine()
    cuda = backends.get(device).xp.cuda
    name: bytes = cuda.runtime.getDeviceProperties(cuda.Device().id)["name"]
    return name.decode()
