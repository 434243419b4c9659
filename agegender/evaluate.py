"""``python -m agegender.evaluate``: judge a trained model on its validation part, or on other faces."""

import json
import sys
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minidl import command
from minidl.command import UsageError
from minidl.data import Dataset, Subset
from minidl.errors import counted

from . import data, parts, saved
from .cli import option, parse_given
from .data import Faces
from .data.utkface import MAX_SKIPPED
from .options import RUNS
from .options import Options as Training
from .predictions import predictions
from .report import comparison, evaluation
from .report.comparison import Judged
from .report.judgement import Labels, fit, judgement
from .report.page import Page
from .report.speaker import Speaker
from .runs.folder import SPLIT, Run, write_json
from .saved import CALIBRATION, Trained

PROGRAM = "python -m agegender.evaluate"
EXAMPLES = (
    (PROGRAM, "the latest run, on its validation part"),
    (f"{PROGRAM} runs/first --data faces.zip", "a run, on other faces"),
    (f"{PROGRAM} first second --out compared", "two runs side by side, with paired differences"),
)
ELSEWHERE = {"--run": "the argument without an option", "--weights": "the argument without an option"}
PAGE, NUMBERS = "report.html", "report.json"


@dataclass(frozen=True)
class Options:
    """The command line."""

    run: tuple[str, ...] = option(
        MISSING, "runs, by folder or name, or files of weights (default: the latest run)", nargs="*", metavar="run"
    )
    data: str | None = option(None, "other faces, as for training (default: the validation part of the run)")
    tta: bool = option(False, "answer with the mean over each face and its mirror image")
    out: str | None = option(
        None, "the folder for report.html and report.json (default: RUN/evaluation)", metavar="DIR"
    )
    device: str = option("auto", "where to compute: numpy, cupy, or auto (the GPU if it works)", metavar="NAME")
    max_skipped: float = option(MAX_SKIPPED, "the largest allowed fraction of unusable pictures", metavar="FRACTION")
    runs: str = option(RUNS, "the folder of the run folders", metavar="DIR")
    json: bool = option(False, "print all numbers as JSON")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    description = "Judge trained models: metrics with intervals, calibration, groups, and the worst predictions."
    given = parse_given(PROGRAM, description, Options, arguments, examples=EXAMPLES, elsewhere=ELSEWHERE)
    options = Options(**{"run": (), **given})
    say = Speaker(sys.stderr if options.json else sys.stdout, quiet=False)
    models = [saved.load(run, parent=options.runs) for run in options.run or (None,)]
    folder = place(options, models)
    folder.mkdir(parents=True, exist_ok=True)  # an error before the faces are read
    made, numbers = _one(models[0], options, say) if len(models) == 1 else _several(models, options, say)
    write_json(folder / NUMBERS, numbers)
    made.save(folder / PAGE)
    say(f"see {folder / PAGE}")
    if options.json:
        print(json.dumps(numbers))
    return 0


def place(options: Options, models: Sequence[Trained]) -> Path:
    """The folder for the report."""
    if options.out is not None:
        return Path(options.out)
    return models[0].run.folder / "evaluation" if len(models) == 1 and models[0].run is not None else Path("evaluation")


def _one(trained: Trained, options: Options, say: Speaker) -> tuple[Page, dict[str, Any]]:
    """The page of a model, and its numbers. A run also keeps the calibration for prediction."""
    faces, model = judge(trained, options, say)
    fitted = fit(model.labels, model.predictions)
    if fitted is not None and trained.run is not None and options.data is None and not options.tta:
        write_json(trained.run.folder / CALIBRATION, asdict(fitted))
    made = evaluation.page(trained.name, model.source, model.found, faces, model.predictions)
    return made, {"weights": str(trained.place), "source": model.source, "tta": options.tta, **model.found}


def _several(models: Sequence[Trained], options: Options, say: Speaker) -> tuple[Page, dict[str, Any]]:
    """The page that compares models, and its numbers: each is compared with the first."""
    judged = [judge(trained, options, say)[1] for trained in models]
    apart = [comparison.differences(judged[0], other) for other in judged[1:]]
    say("\n".join(comparison.lines(apart)))
    numbers = [{"name": model.name, "source": model.source, **model.found} for model in judged]
    return comparison.page(judged, apart), {"models": numbers, "differences": apart}


def judge(trained: Trained, options: Options, say: Speaker) -> tuple[Dataset, Judged]:
    """Judge a model and print the result; also returns the faces."""
    trained.model.to(parts.computing(Training(device=options.device)).name)
    faces, source = asked(options, trained, say)
    predicted = predictions(trained.model, faces, flip=options.tta)
    labels = labels_of(faces)
    found = judgement(labels, predicted)
    say("\n".join([f"{trained.name}:", *evaluation.lines(found)]))
    return faces, Judged(trained.name, source, names_of(faces), labels, predicted, found)


def asked(options: Options, trained: Trained, say: Speaker) -> tuple[Dataset, str]:
    """The faces to judge on, and what to call them."""
    if options.data is not None:
        faces = opened(options.data, options, say)
        warn_of_known(faces, trained, options, say)
        return faces, faces.source
    if trained.run is None:
        raise UsageError(f"{trained.place} is a file of weights, without a validation part: name faces with --data")
    faces, split = training_faces(trained.run, options, say)
    if split is None:
        other = opened(saved.options(trained.run).val or "", options, say)
        return other, other.source
    return faces.subset(split.validation), f"the validation part of {faces.source}"


def training_faces(run: Run, options: Options, say: Speaker) -> tuple[Faces, data.Split | None]:
    """The faces of a run and their split; None if it was validated on other faces."""
    training = saved.options(run)
    faces = opened(training.data or "drawn", options, say)
    if training.limit is not None:
        faces = data.sample(faces, training.limit, training.seed)
    return faces, None if training.val is not None else data.Split.load(run.folder / SPLIT, faces)


def opened(source: str, options: Options, say: Speaker) -> Faces:
    """The faces of a source; tells how many of its files were skipped."""
    faces = data.open(source, max_skipped=options.max_skipped)
    if faces.skipped:
        say(f"{counted(len(faces.skipped), 'file')} of {faces.source} skipped")
    return faces


def warn_of_known(faces: Faces, trained: Trained, options: Options, say: Speaker) -> None:
    """Warn of pictures that the model was trained on."""
    if trained.run is None:
        return
    try:
        before, split = training_faces(trained.run, options, say)
    except data.DataError as error:
        say(f"warning: whether the model was trained on these pictures is not known: {error}", always=True)
        return
    indices = range(len(before)) if split is None else split.train
    trained_on = {before.pixel_digests[index] for index in indices}
    known = sum(digest in trained_on for digest in faces.pixel_digests)
    if known:
        say(
            f"warning: the model was trained on {counted(known, 'picture')} of {len(faces):,}: the results are too "
            "optimistic",
            always=True,
        )


def labels_of(faces: Dataset) -> Labels:
    """The labels of a data set or of a part of one."""
    whole, rows = _whole(faces)
    return Labels(whole.genders[rows], whole.ages[rows], whole.ethnicities[rows])


def names_of(faces: Dataset) -> list[str]:
    """The names of the faces of a data set or of a part of one."""
    whole, rows = _whole(faces)
    return [whole.names[row] for row in rows]


def _whole(faces: Dataset) -> tuple[Faces, Any]:
    """The data set of a part, and the rows of the part in it."""
    whole = faces.dataset if isinstance(faces, Subset) else faces
    assert isinstance(whole, Faces)
    return whole, faces.indices if isinstance(faces, Subset) else np.arange(len(whole))


if __name__ == "__main__":
    command.run(main)
