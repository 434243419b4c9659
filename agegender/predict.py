"""``python -m agegender.predict``: the age and gender of the people in photos."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from PIL import ImageDraw

from minidl import command
from minidl.command import UsageError
from minidl.files import atomic_write

from . import parts, saved
from .cli import command_line, option, parse_given
from .data.decode import colour
from .data.files import operand
from .errors import Unusable
from .options import RUNS
from .options import Options as Training
from .people import LONGEST, Person, Reader
from .photos import STANDARD_INPUT, photos
from .saved import Trained

PROGRAM = "python -m agegender.predict"
EXAMPLES = (
    (f"{PROGRAM} party.jpg", "everyone in a photo, by the latest run"),
    (f"{PROGRAM} photos --weights runs/first --annotate marked", "a folder; draws the answers into copies"),
    (f"{PROGRAM} faces --no-detect --csv", "pictures cropped as those of UTKFace"),
)
ELSEWHERE = {"--run": "--weights", "--model": "--weights", "--input": "the argument without an option"}
COLUMNS = ("photo", "gender", "probability", "age", "from", "to", "left", "top", "right", "bottom", "note")


@dataclass(frozen=True)
class Options:
    """The command line."""

    photos: tuple[str, ...] = option(
        MISSING, "photos, folders, patterns, or - for standard input", nargs="+", metavar="photo"
    )
    weights: str | None = option(None, "a run, or a file of weights (default: the latest run)", metavar="RUN|FILE")
    no_detect: bool = option(False, "every picture is a face, cropped as those of UTKFace are")
    tta: bool = option(False, "answer with the mean over each face and its mirror image")
    annotate: str | None = option(None, "write copies of the photos with the answers drawn in", metavar="DIR")
    csv: bool = option(False, "print CSV")
    json: bool = option(False, "print a line of JSON for each photo")
    device: str = option("auto", "where to compute: numpy, cupy, or auto (the GPU if it works)", metavar="NAME")
    runs: str = option(RUNS, "the folder of the run folders", metavar="DIR")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 2 if no photo could be used."""
    description = "Find the people in photos and predict their age and gender."
    given = parse_given(PROGRAM, description, Options, arguments, examples=EXAMPLES, elsewhere=ELSEWHERE)
    options = Options(**given)
    if options.csv and options.json:
        raise UsageError("--csv and --json are two forms of the output: leave one of them out")
    if options.annotate is not None and STANDARD_INPUT in options.photos:
        raise UsageError("--annotate needs files: a photo from standard input can be read only once")
    asked = photos(options.photos)
    trained = saved.load(options.weights, parent=options.runs)
    trained.model.to(parts.computing(Training(device=options.device)).name)
    reader = Reader(trained.model, trained.calibration, not options.no_detect, options.tta)
    if options.annotate is not None:
        Path(options.annotate).mkdir(parents=True, exist_ok=True)
    if options.csv:
        print(line(COLUMNS))
    used, written = 0, set[Path]()
    for name, people in reader.read(asked):
        print("\n".join(_output(name, people, options)), flush=True)
        if isinstance(people, Unusable):
            continue
        used += 1
        if options.annotate is not None:
            annotate(Path(name), people, unused(Path(options.annotate), Path(name).stem, written))
    if trained.calibration is None:
        print(uncalibrated(trained), file=sys.stderr)
    return 0 if used else 2


def uncalibrated(trained: Trained) -> str:
    """Why there are no intervals, and what gives them."""
    if trained.run is None:
        return f"ages are without intervals: {trained.place} has no calibration, as an evaluated run has"
    evaluated = command_line("python -m agegender.evaluate", operand(trained.run.folder))
    return f"ages are without intervals, and probabilities are not calibrated; this changes both: {evaluated}"


def _output(name: str, people: list[Person] | Unusable, options: Options) -> Iterator[str]:
    """The lines of a photo."""
    if options.json:
        yield json.dumps(document(name, people))
    elif options.csv:
        yield from map(line, rows(name, people))
    elif isinstance(people, Unusable):
        yield command.printable(f"{name}: cannot be used: {people}")
    else:
        said = [told(person) for person in people] or ["no face"]
        yield from (command.printable(f"{name}: {words}") for words in said)


def told(person: Person) -> str:
    """A person in words.

    >>> told(Person((0, 0, 9, 9), 0.95, 31.4, (24.0, 39.6), "small"))
    'female (95 %), 31 years (24 to 40), unsure: small'
    """
    gender, probability = answer(person)
    between = f" ({person.ages[0]:.0f} to {person.ages[1]:.0f})" if person.ages else ""
    doubt = f", unsure: {person.unsure}" if person.unsure else ""
    return f"{gender} ({100 * probability:.0f} %), {person.age:.0f} years{between}{doubt}"


def answer(person: Person) -> tuple[str, float]:
    """The more probable gender and its probability."""
    return ("female", person.female) if person.female > 0.5 else ("male", 1 - person.female)


def document(name: str, people: list[Person] | Unusable) -> dict[str, Any]:
    """The people in a photo, or the reason why it cannot be used, for JSON.

    >>> document("a.jpg", [])
    {'photo': 'a.jpg', 'people': []}
    """
    if isinstance(people, Unusable):
        return {"photo": name, "unusable": str(people)}
    boxes = [[round(edge, 1) for edge in person.box] for person in people]
    return {"photo": name, "people": [{**p._asdict(), "box": box} for p, box in zip(people, boxes, strict=True)]}


def rows(name: str, people: list[Person] | Unusable) -> Iterator[list[object]]:
    """The rows of a photo in the table: one for each person, or one with a note."""
    empty = [name, *[""] * (len(COLUMNS) - 2)]
    if isinstance(people, Unusable):
        yield [*empty, str(people)]
    elif not people:
        yield [*empty, "no face"]
    else:
        for person in people:
            gender, probability = answer(person)
            ends = [round(end, 1) for end in person.ages] if person.ages else ["", ""]
            box = [round(edge) for edge in person.box]
            yield [name, gender, round(probability, 3), round(person.age, 1), *ends, *box, person.unsure]


def line(cells: Sequence[object]) -> str:
    """A row of CSV.

    >>> line(["a, b.jpg", 1])
    '"a, b.jpg",1'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def unused(folder: Path, stem: str, written: set[Path]) -> Path:
    """The path of a copy, which no photo of this call has: two folders may have photos of one name.

    >>> written = set()
    >>> [unused(Path("marked"), "a", written).name for _ in range(3)]
    ['a.png', 'a-2.png', 'a-3.png']
    """
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    path = next(path for name in names if (path := folder / f"{name}.png") not in written)
    written.add(path)
    return path


def annotate(photo: Path, people: list[Person], path: Path) -> None:
    """Write a copy of a photo with boxes and answers, as PNG."""
    picture, factor = colour(photo.read_bytes(), LONGEST)
    drawing = ImageDraw.Draw(picture)
    size = max(12, picture.width // 60)
    for person in people:
        left, top, right, bottom = (edge / factor for edge in person.box)
        drawing.rectangle((left, top, right, bottom), outline="#ffd400", width=max(2, size // 8))
        text = told(person)
        place = max(0, min(left, picture.width - drawing.textlength(text, font_size=size))), max(0, top - size - 4)
        drawing.rectangle(drawing.textbbox(place, text, font_size=size), fill="black")
        drawing.text(place, text, fill="#ffd400", font_size=size)
    with atomic_write(path) as file:
        picture.save(file, "PNG")


if __name__ == "__main__":
    command.run(main)
