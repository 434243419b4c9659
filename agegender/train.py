"""``python -m agegender.train``: train a model on UTKFace, or on drawn faces where there is none."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import minidl as md
from minidl import checkpoint, command, plugins
from minidl.callbacks import Checkpoint, ProfileSteps, Progress, StopOnSignal
from minidl.checkpoint import CheckpointError
from minidl.command import UsageError, reason
from minidl.data import DataLoader
from minidl.errors import BackendError
from minidl.progress import columns, epoch_facts
from minidl.train import TrainingError

from . import listing, models, runs, tasks
from .cli import Speaker
from .data.files import located
from .errors import cause
from .options import RUNS, Options, parse
from .parts import Parts, open_data, placed
from .report import figures
from .report.results import Metrics, effort, lower, next_steps, result, summarize
from .resolve import resolve

EPOCHS = {"utkface": 30, "drawn": 7}
COPIES = 8
"""Of the parameters in a run folder: the best, the last, three in the state with Adam's, and these again as a new state
is written before the old one is removed."""
SPARE_MEMORY = "A smaller --batch-size takes less memory, and so does --limit, with fewer faces."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code. It goes on when its terminal is closed."""
    given = parse(arguments)
    if given.get("list"):
        parent = Path(given.get("out", RUNS))
        width = columns(sys.stdout) - 1 if sys.stdout.isatty() else None
        print(json.dumps(listing.listed(parent)) if given.get("json") else listing.overview(parent, width))
        return 0
    with command.outliving_terminal():
        status, summary = carry_out(given)
    if summary is not None and given.get("json"):
        print(json.dumps(summary))
    return status


def carry_out(given: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """Train as the options say; the exit code, and the results where there are some."""
    started = time.monotonic()
    options, earlier, remarks = resolve(given)
    say = Speaker(sys.stderr if options.json else sys.stdout, options.quiet)
    for remark in remarks:
        say(remark, always=True)
    if earlier is not None and earlier.is_finished and earlier.epochs >= (options.epochs or 0):
        return 0, nothing_left(earlier, options.lr, say)
    if earlier is not None:
        with runs.holding(earlier.folder):  # told at once, and not after the data are read
            pass
    device = _device(options.device)
    md.backends.get(device).set_precision(options.precision)
    trainer = build(options, device)
    if not options.dry_run:
        nbytes = COPIES * sum(parameter.data.nbytes for parameter in trainer.model.parameters())
        remedy = "name a folder of yours for the runs with --out"
        if earlier is None and options.name is not None:
            runs.require_free(Path(options.out) / options.name, given)
        if earlier is not None:
            remedy = "copy the run to a place with room, and resume it there"
        runs.require_room(earlier.folder if earlier is not None else Path(options.out), nbytes, remedy)
    parts = open_data(options, say)
    epochs = options.epochs or EPOCHS.get(parts.faces.kind, EPOCHS["utkface"])
    options = replace(
        options, data=located(parts.faces.source), val=options.val and located(options.val), epochs=epochs
    )
    training = load(trainer, options, device, parts, say)
    if options.dry_run:
        say(json.dumps(options.configuration(), indent=2), always=True)
        say(str(md.summary(trainer.model, (128, 128, 1))), always=True)
        return 0, options.configuration()
    configuration = options.configuration()
    current = earlier or runs.create(Path(options.out), options.name, options.model, configuration, given)
    with runs.holding(current.folder, lambda problem: say(f"warning: {problem}", always=True)):
        if earlier is not None:
            resume(training, parts, current)
        return run_or_explain(training, options, parts, current, device, say, started)


def nothing_left(run: runs.Run, lr: float, say: Speaker) -> dict[str, Any]:
    """Say that a run has all its epochs, what came out, and what comes next; nothing in its folder is changed."""
    summary = run.summary or {}
    say(f"nothing left to do: {run.folder} has {run.epochs} epochs", always=True)
    say(result(summary), always=True)
    for line in next_steps(summary, run, lr):
        say(line, always=True)
    return summary


def _device(wanted: str) -> str:
    """The backend to compute on; "auto" takes the GPU if there is one that works."""
    if wanted != "auto":
        return md.backends.get(wanted).name
    try:
        return md.backends.get("cupy").name
    except BackendError:
        return "numpy"


def build(options: Options, device: str) -> md.Trainer:
    """The model, its optimizer and the trainer, all of them from the seed."""
    md.seed(options.seed)
    model = models.build(options.model, rng=md.Generator(options.seed)).to(device)
    optimizer = plugins.build("optimizer", options.optimizer, model.parameters(), lr=options.lr)
    return md.Trainer(model, tasks.loss, optimizer, tasks.METRICS)


@dataclass(frozen=True)
class Training:
    """A trainer with its loaders."""

    trainer: md.Trainer
    train: DataLoader
    validation: DataLoader

    @property
    def model(self) -> md.nn.Module:
        return self.trainer.model


def load(trainer: md.Trainer, options: Options, device: str, parts: Parts, say: Speaker) -> Training:
    """The loaders of the two parts, beside their trainer."""
    train, validation = placed(parts, md.backends.get(device), say)
    loader = DataLoader(
        train, options.batch_size, shuffle=True, mirror=options.mirror, seed=options.seed, backend=device
    )
    return Training(trainer, loader, DataLoader(validation, batch_size=64, backend=device))


def resume(training: Training, parts: Parts, run: runs.Run) -> None:
    """Bring a training to where a run stopped, or was last saved; raises if its data are not the same."""
    checkpoint.remove_leftovers(run.folder)
    (run.folder / runs.PLOTS).mkdir(exist_ok=True)
    if not run.is_saved:
        return
    parts.require_same(run)
    if run.epochs:  # before the first one is complete there are no best weights
        try:
            md.load(run.folder / runs.BEST)  # damaged, it would cost the result at the very end
        except CheckpointError as error:
            raise UsageError(f"{error} Or start a new run: {run.again_command()}") from None
    training.trainer.load_state_dict(checkpoint.load_state(run.folder / runs.STATE), training.train)


def run_or_explain(
    training: Training, options: Options, parts: Parts, current: runs.Run, device: str, say: Speaker, started: float
) -> tuple[int, dict[str, Any] | None]:
    """Run a training; whatever ends it early is told with the command that goes on, or that has a better chance."""
    in_place = InPlace(say, current.folder)
    training.trainer.callbacks.append(in_place)  # the first one, which looks before anything is written
    try:
        with in_place.blamed():
            parts.save(current.folder, options, device)
            return run(training, options, parts, current, say, started - current.seconds)
    except KeyboardInterrupt:
        say(f"interrupted. What was saved goes on with: {current.resume_command()}", always=True)
        return 130, None
    except TrainingError as error:
        again = current.again_command(lr=lower(options.lr))
        raise UsageError(f"{reason(error)}. For example: {again}") from None
    except MemoryError as error:
        again = current.again_command(batch_size=max(1, options.batch_size // 2))
        saved = f". What was saved goes on with: {current.resume_command()}" if current.is_saved else ""
        what = reason(error) or "of no known size"
        raise UsageError(f"not enough memory ({what}). Smaller batches need less: {again}{saved}") from None
    except OSError as error:
        mended = f"Once that is mended, go on with: {current.resume_command()}"
        raise UsageError(f"{reason(error)}. {mended}") from None


def run(
    training: Training, options: Options, parts: Parts, current: runs.Run, say: Speaker, started: float
) -> tuple[int, dict[str, Any] | None]:
    """Train, report, and say where everything is."""
    folder = current.folder
    say.log_to(folder / "log.txt")
    trainer = training.trainer
    baselines = tasks.baselines(parts.labels[1])
    say(f"training '{options.model}' on {len(parts.train):,} faces, validating on {len(parts.validation):,}: {folder}")
    stop = StopOnSignal()
    pictures = Pictures(say, folder)
    trainer.callbacks += callbacks(options, pictures, baselines, started)
    trainer.callbacks += [stop]
    trainer.fit(training.train, training.validation, options.epochs or 0)
    if stop.received is not None:
        say(f"stopped. Go on with: {current.resume_command()}", always=True)
        return 130, None
    summary = summarize(
        trainer, (len(parts.train), len(parts.validation)), baselines, folder, time.monotonic() - started
    )
    say(effort(summary))
    say(result(summary), always=True)  # first of all: whatever is written or drawn now may fail
    runs.write_json(folder / runs.SUMMARY, summary)
    show_examples(training, parts, pictures)
    if pictures.drawn:
        say(f"look at {' and '.join(map(str, pictures.drawn))}")
    for line in next_steps(summary, current, options.lr):
        say(line, always=bool(summary["no_better_than_guessing"]))  # a failure, and what to do about it
    return 0, summary


def callbacks(options: Options, pictures: "Pictures", baselines: dict[str, float], started: float) -> list[md.Callback]:
    """What looks on: the weights and the numbers are safe before pictures are drawn."""
    folder, say = pictures.folder, pictures.say

    def notes() -> dict[str, str]:
        seconds = round(time.monotonic() - started, 1)
        return {"config": json.dumps(options.configuration()), "seconds": json.dumps(seconds)}

    watching: list[md.Callback] = [Checkpoint(folder, notes=notes), Metrics(folder / runs.METRICS, baselines)]
    watching += [] if options.quiet else [Progress(say.stream)]
    watching += [Report(pictures, baselines)]
    watching += [ProfileSteps(folder)] if options.profile else []
    return watching


class InPlace(md.Callback):
    """Ends a training whose folder is not there any more: another run may have its name."""

    def __init__(self, say: Speaker, folder: Path) -> None:
        self.say, self.folder, self.place = say, folder, runs.place(folder)

    def on_epoch_end(self, trainer: md.Trainer) -> None:  # noqa: ARG002 - as every callback
        self.look()

    def on_train_end(self, trainer: md.Trainer) -> None:  # noqa: ARG002
        self.look()

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Whatever ends a training whose folder is gone, such as a file that cannot be written, is told as that."""
        try:
            yield
        except (KeyboardInterrupt, TrainingError, MemoryError, OSError):
            self.look()
            raise

    def look(self) -> None:
        if runs.place(self.folder) != self.place:
            self.say.log_to(None)
            raise UsageError(
                f"{self.folder} was removed or renamed while it was trained, so nothing more is saved: bring it back, "
                f"or go on with it under its new name: {runs.resume_command(self.folder.with_name('NEW_NAME'))}"
            )


class Pictures:
    """Those of a run. Whatever forbids one, such as a setting of matplotlib, is a warning: training is worth more."""

    def __init__(self, say: Speaker, folder: Path) -> None:
        self.say, self.folder = say, folder
        self.drawn: list[Path] = []

    @contextmanager
    def drawing(self, name: str) -> Iterator[Path]:
        """Draw a picture, in the place of an earlier one of that name."""
        path = self.folder / runs.PLOTS / name
        self.drawn = [other for other in self.drawn if other != path]
        try:
            yield path
            self.drawn.append(path)
        except Exception as error:
            self.say(f"warning: {path} cannot be drawn: {cause(error)}", always=True)


class Report(md.Callback):
    """Logs every epoch, and the error that ends training; draws the curves anew."""

    def __init__(self, pictures: Pictures, baselines: dict[str, float]) -> None:
        self.say, self.pictures, self.baselines = pictures.say, pictures, baselines
        self.told = False

    def on_train_begin(self, trainer: md.Trainer) -> None:
        if trainer.history:  # the process may have been killed before it drew the last epoch
            self._draw(trainer)

    def on_epoch_end(self, trainer: md.Trainer) -> None:
        if not self.told and trainer.model.parameters()[0].backend.name != "numpy":
            self.told = True
            self.say(how_steps_are_launched(trainer))
        self.say.note("  ".join(epoch_facts(trainer)))
        self._draw(trainer)

    def _draw(self, trainer: md.Trainer) -> None:
        with self.pictures.drawing("curves.png") as path:
            figures.learning_curves(trainer.history, self.baselines).savefig(path, dpi=110)

    def on_train_error(self, trainer: md.Trainer) -> None:  # noqa: ARG002 - as of every callback
        error = sys.exception()
        self.say.note(f"ended by {type(error).__name__}: {error}")


def how_steps_are_launched(trainer: md.Trainer) -> str:
    """Whether a GPU is asked once for a step, or for every kernel of it, and why."""
    if trainer.captured.replays:
        return "the forward and the backward pass of a step are launched as one CUDA graph"
    return f"steps are launched kernel by kernel: {trainer.captured.reason or 'no two in a row were alike'}"


def show_examples(training: Training, parts: Parts, pictures: Pictures, count: int = 18) -> None:
    """Draw some validation faces with the predictions of the best weights."""
    model = training.model
    model.load_state_dict(md.load(pictures.folder / runs.BEST))
    chosen = np.linspace(0, len(parts.validation) - 1, min(count, len(parts.validation))).astype(np.intp)
    images, truth = parts.validation.batch(chosen)
    model.eval()
    with md.no_grad():
        outputs = model(md.tensor(images).to(model.parameters()[0].backend.name))
    predicted = {name: y.numpy() for name, y in outputs.items()}
    predicted["age"] = tasks.years(predicted["age"])
    predicted["gender"] = figures.probabilities(predicted["gender"])
    with pictures.drawing(runs.EXAMPLES) as path:
        figures.predictions(images, truth, predicted).savefig(path, dpi=110)


if __name__ == "__main__":
    command.run(main, SPARE_MEMORY)
