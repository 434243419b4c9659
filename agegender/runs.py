"""The folder that a training run leaves: its configuration, environment, results and checkpoints."""

import contextlib
import csv
import itertools
import json
import platform
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import minidl
from minidl import backends, checkpoint
from minidl.checkpoint import CheckpointError
from minidl.command import UsageError
from minidl.table import table

from .cli import command_line
from .data.files import write_text

CONFIG, METRICS, STATE, SUMMARY = "config.json", "metrics.csv", "last.state.safetensors", "summary.json"
PROGRAM = "python -m agegender.train"


@dataclass(frozen=True)
class Run:
    """A run folder with what can be known of it without loading its weights."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The options of the last start; raises :class:`UsageError` if the file was damaged."""
        return read_json(self.folder / CONFIG)

    @cached_property
    def notes(self) -> dict[str, str]:
        """What was stored with the last saved state; empty before the first one."""
        path = self.folder / STATE
        return checkpoint.read_metadata(path) if path.is_file() else {}

    @property
    def epochs(self) -> int:
        """The epochs that are complete."""
        return int(self._note("epoch", 0))

    @property
    def seconds(self) -> float:
        """How long the run had taken when its state was saved, in all its calls."""
        return float(self._note("seconds", 0.0))

    @property
    def trained_with(self) -> dict[str, Any]:
        """The options of the training that led to the saved state; empty before the first one."""
        return dict(self._note("config", {}))

    def _note(self, name: str, default: Any) -> Any:
        try:
            return json.loads(self.notes[name]) if name in self.notes else default
        except ValueError:
            raise CheckpointError(f"{self.folder / STATE} is damaged: its '{name}' is no JSON") from None

    @property
    def summary(self) -> dict[str, Any] | None:
        """The results, if the run has come to its end with all epochs that it has."""
        path = self.folder / SUMMARY
        summary = read_json(path) if path.is_file() else {}
        return summary if summary.get("epochs") == self.epochs else None


def create(parent: Path, name: str | None, model: str, config: Mapping[str, Any]) -> Run:
    """A new run in the folder ``parent/name``; by default the name is made of the time and the model.

    Raises :class:`UsageError` if there is something of that name.
    """
    folder = _new_folder(parent, name) if name is not None else _numbered_folder(parent, model)
    try:
        (folder / "plots").mkdir()
        write_json(folder / CONFIG, config)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Run(folder)


def _new_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(_taken(folder)) from None
    return folder


def _numbered_folder(parent: Path, model: str) -> Path:
    """Named by time and model, and numbered where several runs start in the same second."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{model}"
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def _taken(folder: Path) -> str:
    if _is_run(folder):
        return f"the run {folder} exists already: go on with it, {resume_command(folder)}, or take another --name"
    return f"{folder} exists already, and is no run: take another --name"


def find(parent: Path, run: str | None) -> Run:
    """An earlier run: by path, by name, or the latest one (None).

    Raises :class:`UsageError` where there is none.
    """
    if run is None:
        known = found(parent)
        if not known:
            raise UsageError(f"there is no run to resume in {parent}/: start one without --resume")
        return known[-1]
    for folder in (Path(run), parent / run):
        if _is_run(folder):
            return Run(folder)
    there = ", ".join(sorted(known.folder.name for known in found(parent))) or "none"
    place = Path(run) if Path(run).is_dir() else parent / run
    raise UsageError(f"{place} is no run: it has no {CONFIG}. Runs in {parent}/: {there}.")


def found(parent: Path) -> list[Run]:
    """All runs in a folder, the latest last."""
    folders = [folder for folder in parent.glob("*/") if _is_run(folder)]
    return [Run(folder) for folder in sorted(folders, key=lambda folder: (_last_written(folder), folder.name))]


def _is_run(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def _last_written(folder: Path) -> float:
    return max(path.stat().st_mtime for name in (CONFIG, STATE, SUMMARY) if (path := folder / name).is_file())


def resume_command(folder: Path, *flags: str) -> str:
    """The command that goes on with a run."""
    name = str(folder)
    return command_line(PROGRAM, "--resume", f"./{name}" if name.startswith("-") else name, *flags)


def overview(parent: Path) -> str:
    """A table of all runs in a folder, the latest last."""
    runs = found(parent)
    if not runs:
        return f"There are no runs in {parent}/. One is made by: {PROGRAM}"
    head = ("run", "last written", "data", "state", "epochs", "gender accuracy", "age error")
    return table([head, *map(_row, runs)], left=4)


def _row(run: Run) -> tuple[str, ...]:
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(_last_written(run.folder)))
    try:
        wanted, done = run.config["epochs"], run.epochs
        state = "finished" if done >= wanted and run.summary else "can be resumed"
        *results, as_good = _results(run.folder / METRICS) if done else ("", "", "")
        state += f", {as_good}" if as_good else ""
        source = Path(str(run.config["data"])).name
    except (UsageError, CheckpointError, OSError, LookupError, TypeError, ValueError) as error:
        return run.folder.name, date, "", f"damaged: {error}", "", "", ""
    return run.folder.name, date, source, state, f"{done} of {wanted}", *results


def _results(path: Path) -> tuple[str, str, str]:
    """Gender accuracy and age error at the best epoch, and whether guessing is as good."""
    with path.open(encoding="utf-8", newline="") as file:
        best = min(csv.DictReader(file), key=lambda row: float(row["val_loss"]))
    accuracy, error = float(best["val_gender_accuracy"]), float(best["val_age_mae"])
    return f"{accuracy:.3f}", f"{error:.2f} years", "no better than guessing" if best["no_better_than_guessing"] else ""


def require_room(folder: Path, nbytes: int) -> None:
    """Raise :class:`UsageError` if so many bytes can't be written to a folder, which need not exist yet."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"{place} is a file: name a folder for the runs with --out")
    try:
        tempfile.TemporaryFile(dir=place).close()
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise UsageError(
            f"{place} cannot be written to ({error.strerror}): name a folder of yours for the runs with --out"
        ) from None
    if free < nbytes:
        raise UsageError(
            f"a run needs {nbytes / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free in {place.resolve()}: make room, "
            "or name another folder for the runs with --out"
        )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, indented, in one step."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; anything else ends in :class:`UsageError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
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
