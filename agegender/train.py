"""``python -m agegender.train``: train a model on UTKFace, or on drawn faces if there is none."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import minidl as md
from minidl import command
from minidl.callbacks import StopOnSignal
from minidl.errors import counted
from minidl.progress import columns

from . import parts
from .data.faces import IMAGE_SIZE
from .options import RUNS, Options, parse
from .report import listing
from .report.pictures import Pictures
from .report.results import effort, next_steps, result, summarize, ten_more
from .report.speaker import Speaker
from .report.watching import InPlace, explained
from .resolve import resolve
from .runs import lock
from .runs.earlier import moved_data_explained, resume, tidy
from .runs.folder import BEST, SUMMARY, Run, write_json
from .runs.new import create, require_place

SPARE_MEMORY = "Reduce --batch-size, or the number of faces with --limit."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status. Training continues when the terminal is closed."""
    given = parse(arguments)
    if given.get("list"):
        parent = Path(given.get("out", RUNS))
        width = columns(sys.stdout) - 1 if sys.stdout.isatty() else None
        runs = json.dumps(listing.listed(parent)) if given.get("json") else listing.overview(parent, width)
        print(command.printable(runs))
        return 0
    with command.outliving_terminal():
        summary = carry_out(given)
    if summary is None:
        return 130
    if given.get("json"):
        print(json.dumps(summary))
    return 0


def carry_out(given: dict[str, Any]) -> dict[str, Any] | None:
    """Train with the given options. Return the summary, or None if training was stopped."""
    started = time.monotonic()
    options, earlier, remarks = resolve(given)
    say = Speaker(sys.stderr if options.json else sys.stdout, options.quiet)
    done = earlier is not None and earlier.is_finished and earlier.epochs >= (options.epochs or 0)
    if earlier is not None and not done:
        with lock.holding(earlier.folder):  # an error before anything is said of the run, and before the data are read
            pass
    for remark in remarks:
        say(remark, always=True)
    if earlier is not None and done:
        return nothing_left(earlier, options.lr, say)
    backend = parts.computing(options)
    trainer = parts.build(options, backend)
    weights = sum(parameter.data.nbytes for parameter in trainer.model.parameters())
    require_place(options, earlier, weights, given)
    with moved_data_explained(earlier, given):
        data = parts.open_data(options, backend, say)
    options = data.settled(options)
    if options.dry_run:
        if earlier is not None:  # raises the errors of a real resume
            resume(earlier, trainer, data.loaders[0], data.fingerprints(), data.split)
        say(json.dumps(options.configuration(), indent=2), always=True)
        say(str(md.summary(trainer.model, (IMAGE_SIZE, IMAGE_SIZE, 1))), always=True)
        return options.configuration()
    run = earlier or create(options, given)
    with lock.holding(run.folder, lambda problem: say(f"warning: {problem}", always=True)):
        if earlier is not None:
            tidy(run)
            resume(run, trainer, data.loaders[0], data.fingerprints(), data.split)
        in_place = InPlace(run, say)
        trainer.callbacks.append(in_place)  # first, so that it checks before anything is written
        with explained(in_place, options):
            data.save(run.folder, options, backend.name)
            return train(trainer, options, data, run, say, started - run.seconds)
    return None


def nothing_left(run: Run, lr: float, say: Speaker) -> dict[str, Any]:
    """Report that a run has all its epochs, its result and the next steps; its folder is not changed.

    Who resumes a run wants to train on: how to is always among the steps.
    """
    summary = run.summary or {}
    done = f"nothing to do: {run.folder} already has {counted(run.epochs, 'epoch')}"
    steps, more = next_steps(summary, run, lr), ten_more(summary, run)
    if not any(more in step for step in steps):
        steps.append(f"or {more}")
    for line in (done, result(summary), *steps):
        say(line, always=True)
    return summary


def train(
    trainer: md.Trainer, options: Options, data: parts.Parts, run: Run, say: Speaker, started: float
) -> dict[str, Any] | None:
    """Train and report. Return the summary, or None if a signal stopped training."""
    say.log_to(run.folder / "log.txt")
    faces = len(data.train), len(data.validation)
    say(f"training '{options.model}' on {counted(faces[0], 'face')}, validating on {faces[1]:,}: {run.folder}")
    pictures, stop = Pictures(say, run.folder), StopOnSignal()
    trainer.callbacks += [*parts.callbacks(options, pictures, data.baselines, started), stop]
    trainer.fit(*data.loaders, options.epochs or 0)
    if stop.received is not None:
        say(f"stopped. Resume with: {run.resume_command()}", always=True)
        return None
    summary = summarize(trainer, faces, data.baselines, run.folder, time.monotonic() - started)
    say(effort(summary))
    say(result(summary), always=True)  # first, because writing and drawing may fail
    write_json(run.folder / SUMMARY, summary)
    trainer.model.load_state_dict(md.load(run.folder / BEST))
    pictures.examples(trainer.model, data.validation)
    if pictures.drawn:
        say(f"see {' and '.join(map(str, pictures.drawn))}")
    for line in next_steps(summary, run, options.lr):
        say(line, always=bool(summary["no_better_than_guessing"]))  # advice after a failure
    return summary


if __name__ == "__main__":
    command.run(main, SPARE_MEMORY)
