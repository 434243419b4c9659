"""The parts of a training run: the faces and their loaders, the trainer with its model, and the callbacks."""

import json
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import minidl as md
from minidl import plugins
from minidl.callbacks import Checkpoint, ProfileSteps, Progress
from minidl.data import DataLoader, Dataset
from minidl.errors import BackendError, counted
from minidl.progress import columns, fitting, size

from . import data, models, tasks
from .data import Faces
from .data.faces import IMAGE_SIZE
from .data.files import located
from .options import Options
from .report.pictures import Pictures
from .report.speaker import Speaker
from .report.watching import Metrics, Report
from .runs.environment import environment
from .runs.folder import (
    CONFIG,
    ENVIRONMENT,
    METRICS,
    SKIPPED,
    SKIPPED_VALIDATION,
    SPLIT,
    Data,
    write_json,
)

EPOCHS = {"utkface": 30, "drawn": 7}
ROOM = 4
"""Faces are kept on a device if this many times their size is free there; the rest is for the model and its batches."""


@dataclass(frozen=True)
class Parts:
    """The faces and their split, or the training faces and the ``other`` faces for validation."""

    faces: Faces
    other: Faces | None
    split: data.Split | None
    train: Dataset
    validation: Dataset
    baselines: dict[str, float]
    """The metrics of a constant prediction on the validation part."""
    loaders: tuple[DataLoader, DataLoader]
    """The loaders of both parts; they may read from the memory of a device."""

    def settled(self, options: Options) -> Options:
        """The options with the location of the data and the number of epochs filled in."""
        source, val = located(self.faces.source), options.val and located(options.val)
        epochs = options.epochs or EPOCHS.get(self.faces.kind, EPOCHS["utkface"])
        return replace(options, data=source, val=val, epochs=epochs)

    def save(self, folder: Path, options: Options, device: str) -> None:
        """Write the configuration, the environment, the skipped files and the split."""
        write_json(folder / CONFIG, options.configuration())
        write_json(folder / ENVIRONMENT, environment(device) | {"data": self.fingerprints()})
        data.write_skipped(self.faces, folder / SKIPPED)
        if self.other is not None:
            data.write_skipped(self.other, folder / SKIPPED_VALIDATION)
        if self.split is not None:
            self.split.save(folder / SPLIT)
        other = SPLIT if self.split is None else SKIPPED_VALIDATION
        (folder / other).unlink(missing_ok=True)  # of a start with other options

    def fingerprints(self) -> Data:
        """Source, size and fingerprint of the data, and of a separate validation set."""
        known = _identity(self.faces)
        if self.other is not None:
            known["validation"] = _identity(self.other)
        return known


def _identity(faces: Faces) -> Data:
    return {"source": located(faces.source), "faces": len(faces), "fingerprint": faces.fingerprint}


def open_data(options: Options, backend: md.backends.Backend, say: Speaker) -> Parts:
    """Open the data, draw the sample and the split, and make the loaders for a backend."""
    faces, other, split = _open(options.data, options, say), None, None
    if options.limit is not None:
        faces = data.sample(faces, options.limit, options.seed)
    if faces.kind == "drawn":
        say(
            "These faces are drawn from a seed. For real faces, download UTKFace (https://susanqq.github.io/UTKFace, "
            "for non-commercial research) and pass it: --data UTKFace.tar.gz"
        )
    train: Dataset
    validation: Dataset
    if options.val is not None:
        other = _open(options.val, options, say)
        _warn_of_shared(faces, other, say)
        train, validation, labels = faces, other, (other.genders, other.ages)
    else:
        split = data.split(faces, options.val_fraction, options.seed)
        train, validation = faces.subset(split.train), faces.subset(split.validation)
        labels = faces.genders[split.validation], faces.ages[split.validation]
    loaders = _loaders(train, validation, options, backend, say)
    return Parts(faces, other, split, train, validation, tasks.baselines(labels), loaders)


def _warn_of_shared(faces: Faces, other: Faces, say: Speaker) -> None:
    shared = len(set(faces.pixel_digests).intersection(other.pixel_digests))
    if shared:
        say(
            f"warning: the training data contain {counted(shared, 'picture')} of {other.source}: the results will be "
            "too optimistic",
            always=True,
        )


def _open(source: str | None, options: Options, say: Speaker) -> Faces:
    progress = partial(_show_decoding, say) if say.stream.isatty() and not say.quiet else None
    found = data.found() if source is None else []
    place = source if source is not None else next(iter(found), "drawn")
    listing = nullcontext() if options.dry_run else data.skipped_written_to(Path(options.out, "skipped.csv"))
    with data.blaming_environment(source), listing:
        faces = data.open(place, progress=progress, max_skipped=options.max_skipped)
    count = len(faces.skipped)
    left_out = f", {counted(count, 'file')} skipped" if count else ""
    others = data.passed_over() if source is None and not found else data.not_taken(found[1:])
    say(f"{counted(len(faces), 'face')} from {faces.source}{left_out}{others}")
    return faces


def _show_decoding(say: Speaker, done: int, total: int) -> None:
    facts = [f"decoding {done:,} of {total:,}"] if done < total else []
    say.stream.write(f"\r\x1b[2K{fitting(facts, columns(say.stream) - 1)}")
    say.stream.flush()


def _loaders(
    train: Dataset, validation: Dataset, options: Options, backend: md.backends.Backend, say: Speaker
) -> tuple[DataLoader, DataLoader]:
    """The loaders of both parts. Faces are kept on the device if they fit, or copied there batch by batch."""
    if backend is not md.backends.default:
        needed, free = (len(train) + len(validation)) * IMAGE_SIZE**2, backend.free_memory()
        if free is not None and free < ROOM * needed:
            say(f"the faces are copied to {backend.name} batch by batch: {size(needed)}, with {size(free)} free")
        else:
            say(f"the faces are on {backend.name}: {size(needed)}")
            train, validation = train.to(backend.name), validation.to(backend.name)
    shuffled = DataLoader(
        train, options.batch_size, shuffle=True, mirror=options.mirror, seed=options.seed, backend=backend.name
    )
    return shuffled, DataLoader(validation, batch_size=64, backend=backend.name)


def computing(options: Options) -> md.backends.Backend:
    """The backend to compute on, set to the requested precision; "auto" selects the GPU if it works."""
    try:
        backend = md.backends.get("cupy" if options.device == "auto" else options.device)
    except BackendError:
        if options.device != "auto":
            raise
        backend = md.backends.default
    backend.set_precision(options.precision)
    return backend


def build(options: Options, backend: md.backends.Backend) -> md.Trainer:
    """Build the model, its optimizer and the trainer from the seed."""
    md.seed(options.seed)
    model = models.build(options.model, rng=md.Generator(options.seed)).to(backend.name)
    optimizer = plugins.build("optimizer", options.optimizer, model.parameters(), lr=options.lr)
    return md.Trainer(model, tasks.loss, optimizer, tasks.METRICS)


def callbacks(options: Options, pictures: Pictures, baselines: dict[str, float], started: float) -> list[md.Callback]:
    """The callbacks; weights and metrics are saved before plots are drawn."""
    folder, say = pictures.folder, pictures.say

    def notes() -> dict[str, str]:
        seconds = round(time.monotonic() - started, 1)
        return {"config": json.dumps(options.configuration()), "seconds": json.dumps(seconds)}

    watching: list[md.Callback] = [Checkpoint(folder, notes=notes), Metrics(folder / METRICS, baselines)]
    watching += [] if options.quiet else [Progress(say.stream)]
    watching += [Report(say, pictures, baselines)]
    watching += [ProfileSteps(folder)] if options.profile else []
    return watching
