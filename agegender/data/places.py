"""Where UTKFace is looked for, when nobody says where it lies."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from ..errors import DataError
from .archives import Archive, as_part, is_archive
from .files import dangling, identity, shown
from .folder import Folder
from .kinds import open_source, place
from .names import has_label, is_picture, why_unread
from .sources import Entry, Source, is_hidden
from .utkface import choose, no_face

KAGGLE_INPUT = Path("/kaggle/input")
_LOOKED_AT = 1000
"""Names of a folder or an archive that are looked at."""
_FOREIGN = (".7z", ".rar", ".zst")
"""Suffixes of archives that are not read."""
_FOLDERS = 300
"""How many folders are looked into for one data set, level by level."""


def find() -> Path | None:
    """UTKFace's place, or None: the first one that :func:`found` finds."""
    return next(iter(found()), None)


def found() -> list[Path]:
    """All places where UTKFace is, the one to take first.

    That is ``$UTKFACE`` alone, if it is set. Otherwise ``./data`` comes first, then Kaggle's input folder. In each, a
    folder or archive whose name begins with "utkface" comes before the faces that lie there openly, and these before
    other folders and archives, in the order of their names. What holds faces is told by the names in it, however
    deep, in the first :data:`_FOLDERS` folders. What is called UTKFace but shows no face comes last, for the error that
    says why.
    """
    if named := os.environ.get("UTKFACE"):
        return [place(named)]
    holding: list[Path] = []
    empty: list[Path] = []
    for parent, candidates in _places():
        called = [path for path in candidates if _is_called_utkface(path)]
        for path in called:
            inside = list(_data_sets(path))
            holding += inside
            empty += [] if inside else [path]
        others = [path for path in candidates if path not in called]
        if _are_faces(path.name for path in candidates):
            holding.append(parent)
            others = [path for path in others if not path.is_dir()]  # the folders are a part of it
        for path in others:
            holding += _data_sets(path)
    return holding + empty


def not_taken(others: Sequence[Path]) -> str:
    """What to say of the places that :func:`found` gives behind the one that was taken; "" if there are none.

    >>> not_taken([])
    ''
    """
    broken = [path for path in others if path.exists() and not any(_data_sets(path))]
    holding = [path for path in others if path not in broken]
    told = f"; passed over: {_reason(broken[0])}" if broken else ""
    return _found_too(holding) + told if holding else told


def _found_too(others: Sequence[Path]) -> str:
    """
    >>> _found_too([Path("data/archive.zip"), Path("data/crop_part1")])
    '; not from data/archive.zip or data/crop_part1, which were found too: --data names another one'
    """
    names = [str(path) for path in others[:3]] + ([f"{len(others) - 3} others"] if len(others) > 3 else [])
    listed = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"; not from {listed}, which {'were' if len(others) > 1 else 'was'} found too: --data names another one"


def passed_over() -> str:
    """What to say where :func:`found` finds nothing, of what might be meant as a data set; "" if there is nothing.

    That is the error which the first one would raise if it were named; the others are counted. Archives are looked at
    in part, as :func:`found` does.

    >>> passed_over()
    ''
    """
    reasons = [reason for parent, candidates in _places() for reason in _reasons(parent, candidates)]
    data = Path("data")
    if link := dangling(data):
        reasons.insert(0, f"{link} is a link to {link.readlink()}, which is not there")
    elif data.is_file():
        reasons.insert(0, "data is a file, and no folder to look into: --data data reads it")
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"; passed over: {reasons[0]}{more}" if reasons else ""


@contextmanager
def blaming_environment(source: object) -> Iterator[None]:
    """Let a ``DataError`` begin with ``$UTKFACE`` if that named the data set, as ``source`` is None.

    >>> with blaming_environment("nowhere"):
    ...     raise DataError("nowhere does not exist")
    Traceback (most recent call last):
    agegender.errors.DataError: nowhere does not exist
    """
    try:
        yield
    except DataError as error:
        if source is None and os.environ.get("UTKFACE"):
            error.args = (f"$UTKFACE: {error}",)
        raise


def _reasons(parent: Path, candidates: Sequence[Path]) -> Iterator[str]:
    """Why nothing is taken from a folder, where something in it might be meant as a data set."""
    for path in candidates:
        if path.is_dir():
            if next(islice(_walk(path), _FOLDERS, None), None):
                many = f"{shown(path)} has over {_FOLDERS} folders, too many to look into"
                yield f"{many}: --data names the one with faces"
            inside = [file for _, files in islice(_walk(path), _FOLDERS) for file in files]
            yield from _reasons(path, inside)
        elif is_archive(path.name) or path.suffix.lower() in _FOREIGN or as_part(path) or not path.exists():
            yield _reason(path)
    pictures = [path for path in candidates if not path.is_dir() and (is_picture(path.name) or why_unread(path.name))]
    if pictures:
        yield _without_face(Folder(parent), [Entry(str(path.relative_to(parent)), 1) for path in pictures])


def _reason(path: Path) -> str:
    try:
        source = open_source(path)
        entries = source.peek(_LOOKED_AT) if isinstance(source, Archive) else []
        return _without_face(source, entries or list(islice(source.entries(), 1)))
    except DataError as error:
        return str(error)


def _without_face(source: Source, entries: list[Entry]) -> str:
    pictures, skipped = choose([entry for entry in entries if not any(map(is_hidden, entry.parts))])
    if pictures:
        return f"{len(pictures):,} of the {len(entries):,} files looked at in {shown(source.path)} are named as faces"
    return no_face(source, entries if skipped else [], skipped)


def _places() -> Iterator[tuple[Path, list[Path]]]:
    """Folders to look into, and what is in them."""
    data = Path("data")
    yield data, [path for part in _listing(data) for path in part]
    datasets = KAGGLE_INPUT / "datasets"  # where they are by their owners; in older notebooks they lie beside it
    folders, files = _listing(KAGGLE_INPUT)
    for owner in _listing(datasets)[0]:
        folders += _listing(owner)[0]
    yield KAGGLE_INPUT, [*(path for path in folders if path != datasets), *files]


def _data_sets(path: Path) -> Iterator[Path]:
    """The data sets in a folder: all of it, unless one folder or archive in it has the faces; or that archive."""
    if not path.is_dir():
        if is_archive(path.name) and _shows_faces(path):
            yield path
        return
    homes, archives = [], []
    for folder, files in islice(_walk(path), _FOLDERS):
        if _are_faces(file.name for file in files):
            homes.append(folder)
        archives += [file for file in files if is_archive(file.name)]
    published = [home for home in homes if home.name.lower() == "utkface"]
    if len(homes) > 1:
        yield published[0] if published else path
    elif homes:
        yield path if _is_called_utkface(path) else homes[0]
    else:
        yield from filter(_shows_faces, archives)


def _walk(top: Path) -> Iterator[tuple[Path, list[Path]]]:
    """A folder and those below it, level by level, each with its files; none twice, as links may lead in circles."""
    waiting, seen = deque([top]), {identity(top)}
    while waiting:
        folder = waiting.popleft()
        folders, files = _listing(folder)
        yield folder, files
        new = {identity(path): path for path in reversed(folders)}
        waiting += sorted(path for key, path in new.items() if key not in seen)
        seen.update(new)


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the files in a folder by name, without hidden ones; not all of them where there are very many."""
    found: tuple[list[Path], list[Path]] = [], []
    try:
        with os.scandir(folder) as items:
            for item in islice(items, _LOOKED_AT):
                if not is_hidden(item.name):
                    found[not item.is_dir()].append(folder / item.name)
    except OSError:  # what cannot be read holds nothing that can be taken
        pass
    return sorted(found[0]), sorted(found[1])


def _shows_faces(archive: Path) -> bool:
    """Whether an archive begins with faces, or holds the archive of UTKFace, whose error says how to get at it."""
    try:
        source = open_source(archive)
    except DataError:
        return False
    entries = source.peek(_LOOKED_AT) if isinstance(source, Archive) else []
    names = [entry.parts[-1] for entry in entries if entry.parts and not any(map(is_hidden, entry.parts))]
    return _are_faces(names) or any(_is_called_utkface(Path(name)) for name in names)


def _is_called_utkface(path: Path) -> bool:
    return path.name.lower().startswith("utkface") and (is_archive(path.name) or path.is_dir())


def _are_faces(names: Iterable[str]) -> bool:
    """Whether at least half of the pictures among these names bear labels."""
    pictures = [name for name in names if is_picture(name)]
    return 0 < len(pictures) <= 2 * sum(map(has_label, pictures))
