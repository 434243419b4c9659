"""The data of a training run: the faces, their two parts, and what the run folder keeps of them."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import minidl as md
from minidl.command import UsageError
from minidl.data import Dataset
from minidl.progress import columns, fitting

from . import data, runs
from .cli import Speaker, flag
from .data import Faces
from .data.faces import IMAGE_SIZE
from .data.files import located
from .environment import environment
from .options import Options
from .tasks import Labels

ENVIRONMENT = "env.json"
ROOM = 4
"""Faces are kept on a device if their size fits that often into its free memory: the rest is for the model and its
batches."""


@dataclass(frozen=True)
class Parts:
    """The faces and their two parts, or the faces to train with and ``other`` ones for validation."""

    faces: Faces
    other: Faces | None
    split: data.Split | None
    train: Dataset
    validation: Dataset
    labels: tuple[Labels, Labels]
    """Of the training and of the validation part."""

    def save(self, folder: Path, options: Options, device: str) -> None:
        """Write what the run was started with."""
        runs.write_json(folder / runs.CONFIG, options.configuration())
        runs.write_json(folder / ENVIRONMENT, environment(device, self.fingerprints()))
        data.write_skipped(self.faces, folder / "skipped.csv")
        if self.other is not None:
            data.write_skipped(self.other, folder / "skipped_validation.csv")
        if self.split is not None:
            self.split.save(folder / "split.csv")

    def require_same(self, run: runs.Run) -> None:
        """Raise :class:`UsageError` if a run was started with other data."""
        path = run.folder / ENVIRONMENT
        now = self.fingerprints()
        try:
            before = runs.read_json(path).get("data")
        except UsageError:  # there is none, or it is damaged
            before = None
        if not isinstance(before, dict) or "fingerprint" not in before:
            raise UsageError(
                f"{path} does not tell any more which data the run was started with. Bring the "
                f"file back, or start a new run: {run.again_command()}"
            )
        for option, old, new in (("data", before, now), ("val", before.get("validation"), now.get("validation"))):
            if old is not None and new is not None and old["fingerprint"] != new["fingerprint"]:
                raise UsageError(_changed(run, option, old, new))

    def fingerprints(self) -> dict[str, Any]:
        """What the data are, and those for validation if they are others."""
        return _identity(self.faces) | ({"validation": _identity(self.other)} if self.other is not None else {})


def _identity(faces: Faces) -> dict[str, Any]:
    return {"source": located(faces.source), "faces": len(faces), "fingerprint": faces.fingerprint}


def _changed(run: runs.Run, option: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """What to do where data are not those that a run was started with."""
    if old.get("source") != new["source"]:
        return (
            f"{new['source']} does not hold the faces of {run.folder}, which were last read from {old.get('source')}. "
            f"Name their place with {flag(option)}, or start a new run with these: "
            f"{run.again_command(**{option: new['source']})}"
        )
    counts = f" ({old.get('faces')} faces then, {new['faces']} now)" if old.get("faces") != new["faces"] else ""
    return (
        f"{new['source']} has changed since {run.folder} was started{counts}. Bring the earlier files back, or "
        f"start a new run: {run.again_command()}"
    )


def open_data(options: Options, say: Speaker) -> Parts:
    """Open the data, draw the sample and the split."""
    faces = _open(options.data, options, say)
    if options.limit is not None:
        faces = data.sample(faces, options.limit, options.seed)
    if faces.kind == "drawn":
        say(
            "These faces are drawings, made from a seed. For real ones get UTKFace (https://susanqq.github.io/UTKFace, "
            "for non-commercial research) and name it: --data UTKFace.tar.gz"
        )
    if options.val is not None:
        other = _open(options.val, options, say)
        _warn_of_shared(faces, other, say)
        return Parts(faces, other, None, faces, other, ((faces.genders, faces.ages), (other.genders, other.ages)))
    split = data.split(faces, options.val_fraction, options.seed)
    train, validation = split.train, split.validation
    labels = (faces.genders[train], faces.ages[train]), (faces.genders[validation], faces.ages[validation])
    return Parts(faces, None, split, faces.subset(train), faces.subset(validation), labels)


def _warn_of_shared(faces: Faces, other: Faces, say: Speaker) -> None:
    shared = len(set(faces.pixel_digests).intersection(other.pixel_digests))
    if shared:
        say(
            f"warning: {shared:,} pictures of {other.source} are among those to train with: the results will look "
            "better than they are",
            always=True,
        )


def _open(source: str | None, options: Options, say: Speaker) -> Faces:
    progress = partial(_show_decoding, say) if say.stream.isatty() and not say.quiet else None
    found = data.found() if source is None else []
    listing = nullcontext() if options.dry_run else data.skipped_written_to(Path(options.out, "skipped.csv"))
    with data.blaming_environment(source), listing:
        faces = data.open(found[0] if found else source, progress=progress, max_skipped=options.max_skipped)
    count = len(faces.skipped)
    left_out = f", {count:,} file{'s' if count > 1 else ''} skipped" if count else ""
    others = data.passed_over() if source is None and not found else data.not_taken(found[1:])
    say(f"{len(faces):,} faces from {faces.source}{left_out}{others}")
    return faces


def _show_decoding(say: Speaker, done: int, total: int) -> None:
    facts = [f"decoding {done:,} of {total:,}"] if done < total else []
    say.stream.write(f"\r\x1b[2K{fitting(facts, columns(say.stream) - 1)}")
    say.stream.flush()


def placed(parts: Parts, backend: md.backends.Backend, say: Speaker) -> tuple[Dataset, Dataset]:
    """The two parts on a device, if they fit; else the loaders bring them there batch by batch."""
    if backend is md.backends.default:
        return parts.train, parts.validation
    size, free = (len(parts.train) + len(parts.validation)) * IMAGE_SIZE**2, backend.free_memory()
    megabytes = f"{size / 1e6:,.1f} MB"
    if free is not None and free < ROOM * size:
        say(f"the faces go to {backend.name} batch by batch: {megabytes}, of {free / 1e6:,.1f} MB free")
        return parts.train, parts.validation
    say(f"the faces are on {backend.name}: {megabytes}")
    return parts.train.to(backend.name), parts.validation.to(backend.name)
