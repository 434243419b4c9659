"""``python -m agegender.data.inspect``: print statistics of a data set."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minidl import command

from ..cli import option, parse_given
from . import open, skipped_written_to
from .faces import Faces
from .utkface import MAX_SKIPPED

PROGRAM = "python -m agegender.data.inspect"
EXAMPLES = (
    ("python -m agegender.data.inspect UTKFace.tar.gz", "an archive or a folder"),
    ("python -m agegender.data.inspect drawn", "the built-in faces"),
    ("python -m agegender.data.inspect photos --max-skipped 0.5 --json", "allow half of the pictures to be unusable"),
)
ELSEWHERE = {"--data": "the argument without an option"}
_QUANTILES = {"minimum": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "maximum": 1.0}


@dataclass(frozen=True)
class Options:
    """The command line."""

    data: str = option(MISSING, "a folder or an archive of UTKFace, 'drawn', or an installed data set", metavar="data")
    max_skipped: float = option(MAX_SKIPPED, "the largest allowed fraction of unusable pictures", metavar="FRACTION")
    json: bool = option(False, "print JSON instead of a table")


def inspect(faces: Faces) -> dict[str, Any]:
    """Statistics of a data set: counts, quantiles of age in years, duplicates, skipped files.

    ``duplicates`` counts the groups of byte-identical files, the files in them, and the groups whose files differ in
    age or gender.
    """
    groups: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for digest, age, gender in zip(faces.digests, faces.ages.tolist(), faces.genders.tolist(), strict=True):
        groups[digest].append((age, gender))
    repeated = [labels for labels in groups.values() if len(labels) > 1]
    ethnicities = Counter(faces.ethnicities.tolist())
    return {
        "source": faces.source,
        "kind": faces.kind,
        "fingerprint": faces.fingerprint,
        "faces": len(faces),
        "age": {name: float(np.quantile(faces.ages, q)) for name, q in _QUANTILES.items()},
        "gender": {"0 (male)": int(np.sum(faces.genders == 0)), "1 (female)": int(np.sum(faces.genders == 1))},
        "ethnicity": {"unknown" if code < 0 else str(code): count for code, count in sorted(ethnicities.items())},
        "duplicates": {
            "groups": len(repeated),
            "files": sum(len(labels) for labels in repeated),
            "groups with conflicting labels": sum(len(set(labels)) > 1 for labels in repeated),
        },
        "skipped": dict(Counter(reason for _, reason in faces.skipped)),
    }


def first_skipped(faces: Faces, count: int = 3) -> dict[str, list[str]]:
    """The first skipped files for each reason."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, reason in faces.skipped:
        names[reason].append(name)
    return {reason: found[:count] for reason, found in names.items()}


def table(numbers: dict[str, Any]) -> str:
    """The statistics as lines of text, with groups indented.

    >>> print(table({"faces": 2, "age": {"median": 31.0}, "first skipped": {"empty file": ["a.jpg", "b.jpg"]}}))
    faces   2
    age
      median   31
    first skipped
      empty file   'a.jpg', 'b.jpg'
    """
    lines = []
    for name, value in numbers.items():
        rows = value if isinstance(value, dict) else {}
        lines.append(name if isinstance(value, dict) else f"{name}   {value}")
        width = max(map(len, rows), default=0)
        lines += [f"  {key:<{width}}   {_shown(entry)}" for key, entry in rows.items()]
    return "\n".join(lines)


def _shown(entry: float | list[str]) -> str:
    return ", ".join(map(repr, entry)) if isinstance(entry, list) else f"{entry:g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print statistics of a data set; return the exit status."""
    given = parse_given(
        PROGRAM, "Print statistics of a data set.", Options, arguments, examples=EXAMPLES, elsewhere=ELSEWHERE
    )
    options = Options(**given)
    with skipped_written_to(Path("skipped.csv")):
        faces = open(options.data, max_skipped=options.max_skipped)
    numbers = inspect(faces) | {"duplicate names": sum("/" in name for name in faces.names)}
    if faces.skipped:
        numbers["first skipped"] = first_skipped(faces)
    print(json.dumps(numbers) if options.json else table(numbers))
    return 0


if __name__ == "__main__":
    command.run(main)
