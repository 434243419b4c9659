"""UTKFace: select the pictures among the files of a source, and decode them.

Copies in other folders (as in Kaggle's ``utkface-new``) are read once. A copy has the same name and the same bytes. Of
several pictures with the same name, those in a folder called ``UTKFace`` come first, then those with the fewest parent
folders. The first one keeps its name; others that are not copies are named by their paths below the folder of all
pictures, so a folder has the same names as its archive.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, TypeAlias

from minidl.errors import counted

from ..errors import DataError, TooManySkipped, Unreadable, Unusable, cause
from . import sources
from .archives import Archive, is_archive
from .cache import ImageFile, cached, write_records
from .decode import decode_all, digest, formats
from .faces import Faces, Record, write_skipped
from .files import shown
from .kinds import open_source
from .names import Label, is_picture, parse_name, why_unread
from .sources import Entry, Source

MAX_SKIPPED = 0.1
_FIRST = 5
_LIST = b"name,reason\n"
_OWN_ADVICE = re.compile(r": (save|unpack|add|run)\b")

Progress: TypeAlias = Callable[[int, int], None]
Skipped: TypeAlias = list[tuple[str, str]]


class Picture(NamedTuple):
    """A file to decode, as selected by :func:`choose`."""

    name: str
    label: Label
    entry: Entry


def read(
    path: Path, *, cache: Path | None = None, progress: Progress | None = None, max_skipped: float = MAX_SKIPPED
) -> Faces:
    """The faces of a folder or an archive, decoded in the first call and then read from the cache.

    ``progress(done, total)`` is called after every 100 pictures and at the end. Raises ``DataError`` if the source is
    missing, damaged or contains no face, and ``TooManySkipped`` if the fraction of unusable pictures exceeds
    ``max_skipped``.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.linear_gradient("L").save(f"{folder}/26_1_3_20170117.jpg")
    ...     faces = read(Path(folder), cache=Path(folder) / ".cache")
    ...     len(faces), faces.ages.tolist(), faces.images.shape
    (1, [26], (1, 128, 128))
    """
    source = open_source(path)
    identity = source.identity()

    def build(folder: Path) -> bool:
        unread = _build(source, folder, progress)
        changed = open_source(path).identity() != identity
        if changed and isinstance(source, Archive):  # pixels may have got the labels of others
            raise DataError(f"{shown(path)} changed while it was read: open it again once it is complete")
        return unread or changed

    key = f"{identity}|{','.join(formats())}"  # another Pillow may read files that this one skips
    faces = cached(key, build, source=str(path), kind="utkface", cache=cache)
    _check_share(faces, max_skipped)
    return faces


@contextmanager
def skipped_written_to(path: Path) -> Iterator[None]:
    """Write the list of a ``TooManySkipped`` to a CSV file (``name``, ``reason``), and add its path to the error.

    If another file exists at ``path``, the list gets a new name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with skipped_written_to(Path(folder) / "skipped.csv"):
    ...         raise TooManySkipped("2 of the 2 pictures cannot be used", [("a.jpg", "empty file")])
    Traceback (most recent call last):
    agegender.errors.TooManySkipped: 2 of the 2 pictures cannot be used. The full list is in ...skipped.csv
    """
    try:
        yield
    except TooManySkipped as error:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            free = _free(path)
            write_skipped(error, free)
            where = f"The full list is in {free}"
        except OSError as failure:
            where = f"The full list cannot be written to {path} ({cause(failure)})"
        raise TooManySkipped(f"{error}. {where}", error.skipped) from None


def _free(path: Path) -> Path:
    """``path``, or a numbered name such as skipped-2.csv if another file has this name."""
    found, number = path, 1
    while found.exists() and not _is_list(found):
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def _is_list(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_LIST)) == _LIST


def choose(entries: Sequence[Entry]) -> tuple[list[Picture], Skipped]:
    """The pictures to read, including copies, in order of preference; and the skipped files with reasons.

    >>> pictures, skipped = choose([Entry("b/1_0_0.jpg", 9), Entry("a/UTKFace/1_0_0.jpg", 9), Entry("b/anna.jpg", 9)])
    >>> [picture.entry.path for picture in pictures], skipped
    (['a/UTKFace/1_0_0.jpg', 'b/1_0_0.jpg'], [('b/anna.jpg', 'name is not age_gender_ethnicity_anything')])
    """
    pictures: list[Picture] = []
    skipped: Skipped = []
    for entry in sorted(entries, key=_preference):
        name = entry.parts[-1] if entry.parts else ""
        try:
            pictures.append(Picture(name, _label(entry, name), entry))
        except Unusable as reason:
            skipped.append(("/".join(entry.parts), str(reason)))
    return pictures, skipped


def without_copies(pictures: Sequence[Picture], digests: Mapping[Entry, str]) -> tuple[list[Picture], Skipped]:
    """The pictures without copies of earlier ones, sorted by their unique names; and the copies.

    ``digests`` has the hashes of all pictures with the same name and size as another one.

    >>> pictures, _ = choose([Entry(f"{folder}/1_0_0.jpg", 9) for folder in "abc"])
    >>> faces, copies = without_copies(pictures, dict(zip((p.entry for p in pictures), ["5e", "5e", "77"])))
    >>> [picture.name for picture in faces], copies
    (['1_0_0.jpg', 'c/1_0_0.jpg'], [('b/', '1 copy of a picture read elsewhere')])
    """
    levels = zip(*(picture.entry.parts[:-1] for picture in pictures), strict=False)
    shared = len([*takewhile(lambda level: len(set(level)) == 1, levels)])  # the folders that all pictures are in
    contents: dict[str, set[str]] = defaultdict(set)
    found: dict[str, Picture] = {}
    copies: Counter[str] = Counter()
    for picture in pictures:
        content = digests.get(picture.entry, picture.entry.path)
        if content in contents[picture.name]:
            copies["/".join(picture.entry.parts[:-1]) or "."] += 1
            continue
        contents[picture.name].add(content)
        name = picture.name if picture.name not in found else "/".join(picture.entry.parts[shared:])
        while name in found:
            name = f"./{name}"
        found[name] = picture._replace(name=name)
    return [found[name] for name in sorted(found)], [(f"{folder}/", _copies(count)) for folder, count in copies.items()]


def _copies(count: int) -> str:
    return f"{count} copies of pictures read elsewhere" if count > 1 else "1 copy of a picture read elsewhere"


def _preference(entry: Entry) -> tuple[bool, int, str]:
    folders = entry.parts[:-1]
    return (folders[-1:] != ("UTKFace",), len(folders), entry.path)


def _label(entry: Entry, name: str) -> Label:
    if entry.problem:
        raise Unusable(entry.problem)
    if not is_picture(name):
        raise Unusable(why_unread(name) or "name has no picture suffix")
    return parse_name(name)


def _build(source: Source, folder: Path, progress: Progress | None) -> bool:
    """Decode a source into ``folder``. Return whether a file was unreadable, so that the next call tries again."""
    entries = source.visible()
    pictures, skipped = choose(entries)
    if not pictures:
        raise DataError(no_face(source, entries, skipped))
    if sum(picture.entry.size for picture in pictures) > sources.MAX_TOTAL_BYTES:
        size = sources.MAX_TOTAL_BYTES // 10**9
        raise DataError(f"{shown(source.path)} contains more than {size} GB of pictures: it is not UTKFace")
    digests, unread = _digests(source, pictures)
    pictures, copies = without_copies(pictures, digests)
    skipped += copies
    rows = {picture.entry: row for row, picture in enumerate(pictures)}
    records: dict[int, Record] = {}
    with ImageFile(folder, len(pictures)) as images:
        stream = ((rows[entry], content) for entry, content in source.read(rows))
        for done, (row, (content, pixels)) in enumerate(decode_all(stream), start=1):
            name, label, entry = pictures[row]
            if isinstance(pixels, Unusable):
                skipped.append(("/".join(entry.parts), str(pixels)))
                unread = unread or isinstance(pixels, Unreadable)
            else:
                images.write(row, pixels)
                records[row] = Record(name, *label, content)
            if progress and (done % 100 == 0 or done == len(pictures)):
                progress(done, len(pictures))
        kept = sorted(records)
        images.finish(kept)
    write_records(folder, [records[row] for row in kept], sorted(skipped))
    return unread


def _digests(source: Source, pictures: Sequence[Picture]) -> tuple[dict[Entry, str], bool]:
    """The hashes of all pictures with the same name and size as another one; and whether one was unreadable."""
    alike = Counter((picture.name, picture.entry.size) for picture in pictures)
    wanted = [picture.entry for picture in pictures if alike[picture.name, picture.entry.size] > 1]
    digests: dict[Entry, str] = {}
    unread = False
    for entry, content in source.read(wanted) if wanted else ():
        if isinstance(content, bytes):
            digests[entry] = digest(content)
        unread = unread or isinstance(content, Unreadable)
    return digests, unread


def _check_share(faces: Faces, most: float) -> None:
    _check_folders(faces, most)
    skipped = [(name, reason) for name, reason in faces.skipped if _is_meant(name) and reason != sources.REPLACED]
    total = len(faces) + len(skipped)
    if len(faces) and len(skipped) <= most * total:
        return
    reason, count = Counter(reason for _, reason in skipped).most_common(1)[0]
    first = ", ".join(f"{name!r} ({reason})" for name, reason in skipped[:_FIRST])
    more = f" and {len(skipped) - _FIRST:,} more" if len(skipped) > _FIRST else ""
    share = math.ceil(100 * len(skipped) / total) / 100
    advice = (
        "Fix them as advised" if _OWN_ADVICE.search(reason) else "Replace them (if this is UTKFace, download it again)"
    )
    option = f"remove other files, or set --max-skipped {share} (max_skipped={share} in Python)"
    ways = f"{advice}, {option}" if len(faces) else f"{advice}, or remove other files"
    limit = f", more than {most:.0%}" if len(faces) else ""
    raise TooManySkipped(
        f"{len(skipped):,} of {counted(total, 'picture')} in {shown(faces.source)} cannot be used{limit} "
        f"({count:,} of them: {reason}). The first: {first}{more}. {ways}",
        faces.skipped,
    )


def _check_folders(faces: Faces, most: float) -> None:
    """Raise ``TooManySkipped`` if a folder could not be read: the number of pictures in it is unknown."""
    locked = [f"{name!r} ({reason})" for name, reason in faces.skipped if reason.startswith(sources.LOCKED)]
    if locked and most < 1:
        more = f" and {len(locked) - 1:,} more" if len(locked) > 1 else ""
        raise TooManySkipped(
            f"pictures may be missing in {shown(faces.source)}: {locked[0]}{more}. Make it readable, remove it, or set "
            "--max-skipped 1 (max_skipped=1 in Python) to do without its pictures",
            faces.skipped,
        )


def _is_meant(path: str) -> bool:
    """Whether a file counts as a picture of the data set."""
    return is_picture(path) or bool(why_unread(path.rpartition("/")[2]))


def no_face(source: Source, entries: Sequence[Entry], skipped: Skipped) -> str:
    """The message for a source without faces; ``skipped`` are its files with reasons.

    >>> no_face(open_source(Path(".")), entries := [Entry("anna.jpg", 9)], choose(entries)[1])
    ". contains no face: expected pictures named ..., found 1 file, 'anna.jpg' (name is not age_gender_...)"
    """
    expected = "expected pictures named age_gender_ethnicity_anything.jpg"
    if not entries:
        return f"{shown(source.path)} is empty: {expected}"
    hint = ""
    if inner := next((entry.path for entry in entries if is_archive(entry.path)), None):
        way = source.unpack(inner) if isinstance(source, Archive) else f"pass {shown(source.path / inner)}"
        hint = f". It contains the archive {inner!r}: {way}"
    (name, reason), *_ = skipped
    count = "1 file," if len(entries) == 1 else f"{len(entries):,} files such as"
    return f"{shown(source.path)} contains no face: {expected}, found {count} {name!r} ({reason}){hint}"
