"""UTKFace: find it, choose its pictures among all files of a source, decode them.

Copies of the set in subfolders (as in Kaggle's ``utkface-new``) are not read twice: of all pictures with the same name,
one in a folder called ``UTKFace`` is taken before others, and the one with the shortest way to it before the rest.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ..errors import DataError, Unusable
from .cache import ImageFile, cached, write_records
from .decode import decode_all
from .faces import Faces, Record
from .names import Label, is_picture, parse_name
from .sources import MAX_TOTAL_BYTES, Entry, Source, open_source

KAGGLE_INPUT = Path("/kaggle/input")
MAX_BAD_SHARE = 0.1

Progress: TypeAlias = Callable[[int, int], None]
Skipped: TypeAlias = list[tuple[str, str]]

_ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")


class Picture(NamedTuple):
    """A file that is worth decoding, as :func:`choose` finds it."""

    name: str
    label: Label
    entry: Entry


def find() -> Path | None:
    """UTKFace's place: ``$UTKFACE``, or something in ``./data`` or Kaggle's input folder, or None.

    There it is a folder or an archive whose name begins with "utkface", at most three levels deep, or else the folder
    itself if it holds faces.
    """
    if named := os.environ.get("UTKFACE"):
        return Path(named)
    for place in (Path("data"), KAGGLE_INPUT):
        if found := next(_candidates(place, levels=3), None):
            return found
        if any(_is_face(path) for path in _children(place)):
            return place
    return None


def read(path: Path, *, cache: Path | None = None, progress: Progress | None = None) -> Faces:
    """The faces of a folder or an archive, decoded at the first call and opened from the cache at the next ones.

    ``progress(done, total)`` is called now and then while pictures are decoded. Raises ``DataError`` if the source is
    missing, damaged or holds no face, or if more than a tenth of its pictures cannot be used.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (64, 64)).save(f"{folder}/26_1_3_20170117.jpg")
    ...     faces = read(Path(folder), cache=Path(folder) / ".cache")
    ...     len(faces), faces.ages.tolist(), faces.images.shape
    (1, [26], (1, 128, 128))
    """
    source = open_source(path)

    def build(folder: Path) -> None:
        _build(source, folder, progress)

    return cached(source.identity(), build, source=str(path), kind="utkface", cache=cache)


def choose(entries: Sequence[Entry]) -> tuple[list[Picture], Skipped]:
    """The pictures to read, sorted by name, and the files left out with the reasons.

    >>> pictures, skipped = choose([Entry("a/UTKFace/1_0_0_20170101.jpg", 9), Entry("b/1_0_0_20170101.jpg", 9)])
    >>> [picture.entry.path for picture in pictures], skipped
    (['a/UTKFace/1_0_0_20170101.jpg'], [('b/', '1 copies of pictures read elsewhere')])
    """
    best: dict[str, Picture] = {}
    skipped: Skipped = []
    copies: Counter[str] = Counter()
    for entry in sorted(entries, key=_preference):
        folder, _, name = entry.path.rpartition("/")
        if name in best:
            copies[folder] += 1
            continue
        try:
            best[name] = Picture(name, _label(entry, name), entry)
        except Unusable as reason:
            skipped.append((entry.path, str(reason)))
    skipped += [(f"{folder}/", f"{count} copies of pictures read elsewhere") for folder, count in copies.items()]
    return [best[name] for name in sorted(best)], sorted(skipped)


def _preference(entry: Entry) -> tuple[bool, int, str]:
    folders = entry.path.split("/")[:-1]
    return (folders[-1:] != ["UTKFace"], len(folders), entry.path)


def _label(entry: Entry, name: str) -> Label:
    if entry.problem:
        raise Unusable(entry.problem)
    if not is_picture(name):
        raise Unusable("not a picture's name")
    return parse_name(name)


def _build(source: Source, folder: Path, progress: Progress | None) -> None:
    entries = source.visible()
    pictures, skipped = choose(entries)
    if not pictures:
        raise DataError(_no_face(source.path, entries, skipped))
    if sum(picture.entry.size for picture in pictures) > MAX_TOTAL_BYTES:
        raise DataError(f"{source.path} holds more than {MAX_TOTAL_BYTES // 10**9} GB of pictures: that is not UTKFace")
    rows = {picture.entry: row for row, picture in enumerate(pictures)}
    stream = ((rows[entry], content) for entry, content in source.read(rows))
    records: dict[int, Record] = {}
    with ImageFile(folder, len(pictures)) as images:
        for done, (row, (digest, pixels)) in enumerate(decode_all(stream), start=1):
            name, label, entry = pictures[row]
            if isinstance(pixels, Unusable):
                skipped.append((entry.path, str(pixels)))
            else:
                images.write(row, pixels)
                records[row] = Record(name, *label, digest)
            if progress and (done % 100 == 0 or done == len(pictures)):
                progress(done, len(pictures))
        _check_share(source.path, len(records), skipped)
        kept = sorted(records)
        images.finish(kept)
    write_records(folder, [records[row] for row in kept], sorted(skipped))


def _check_share(path: Path, good: int, skipped: Skipped) -> None:
    reasons = Counter(reason for name, reason in skipped if is_picture(name))
    bad = reasons.total()
    if bad > MAX_BAD_SHARE * (good + bad):
        reason, count = reasons.most_common(1)[0]
        raise DataError(
            f"{bad:,} of the {good + bad:,} pictures in {path} cannot be used, more than {MAX_BAD_SHARE:.0%} "
            f"({count:,} of them: {reason}): get UTKFace again, or remove what is not part of it"
        )


def _no_face(path: Path, entries: Sequence[Entry], skipped: Skipped) -> str:
    if not entries:
        return f"{path} is empty: expected pictures named age_gender_ethnicity_date.jpg"
    archives = [entry.path for entry in entries if entry.path.lower().endswith(_ARCHIVES)]
    hint = f" It holds {archives[0]!r}: name that file." if archives else ""
    (name, reason), *_ = skipped
    return (
        f"{path} holds no face: expected pictures named age_gender_ethnicity_date.jpg, "
        f"found {len(entries):,} files such as {name!r} ({reason}).{hint}"
    )


def _candidates(place: Path, levels: int) -> Iterator[Path]:
    children = _children(place)
    for child in children:
        is_archive = child.name.lower().endswith(_ARCHIVES) and child.is_file()
        if child.name.lower().startswith("utkface") and (is_archive or child.is_dir()):
            yield child
    if levels > 1:
        for child in children:
            if child.is_dir():
                yield from _candidates(child, levels - 1)


def _is_face(path: Path) -> bool:
    try:
        parse_name(path.name)
    except Unusable:
        return False
    return is_picture(path.name)


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
