"""Search for UTKFace when no path is given."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from minidl.errors import counted

from ..errors import DataError
from .archives import Archive, as_part, is_archive
from .files import dangling, exists, identity, is_folder, quoted, shown, unreadable
from .folder import Folder
from .kinds import open_source, place
from .names import has_label, is_picture, why_unread
from .sources import Entry, Source, is_hidden
from .utkface import choose, no_face

KAGGLE_INPUT = Path("/kaggle/input")
_LOOKED_AT = 1000
"""The number of names to check in a folder or an archive."""
_FOREIGN = (".7z", ".rar", ".zst")
"""Suffixes of unsupported archives."""
_FOLDERS = 300
"""The number of folders to search for a data set, level by level."""


def find() -> Path | None:
    """The first path that :func:`found` returns, or None."""
    return next(iter(found()), None)


def found() -> list[Path]:
    """All paths with UTKFace, the preferred one first.

    If ``$UTKFACE`` is set, only its path is returned. Otherwise ``./data`` comes first, then Kaggle's input folder. In
    each, a folder or archive whose name begins with "utkface" comes first, then faces directly in it, then other
    folders and archives, in alphabetical order. Faces are detected by file names, at any depth, in the first
    :data:`_FOLDERS` folders. A path called UTKFace without faces comes last, so that opening it raises an error that
    gives the reason.
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
            others = [path for path in others if not is_folder(path)]  # they are included in the parent
        for path in others:
            holding += _data_sets(path)
    return holding + empty


def not_taken(others: Sequence[Path]) -> str:
    """The remark on the paths that :func:`found` returns after the first; "" if there are none.

    >>> not_taken([])
    ''
    """
    broken = [path for path in others if exists(path) and not any(_data_sets(path))]
    holding = [path for path in others if path not in broken]
    told = f"; not used: {_reason(broken[0])}" if broken else ""
    return _found_too(holding) + told if holding else told


def _found_too(others: Sequence[Path]) -> str:
    """
    >>> _found_too([Path("data/archive.zip"), Path("data/crop_part1")])
    '; also found: data/archive.zip and data/crop_part1 (select one with --data)'
    """
    names = [str(path) for path in others[:3]] + ([counted(len(others) - 3, "other")] if len(others) > 3 else [])
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"; also found: {listed} (select {'one' if len(others) > 1 else 'it'} with --data)"


def passed_over() -> str:
    """The remark on possible data sets that :func:`found` does not return; "" if there are none.

    It contains the error that opening the first one would raise, and the number of the others. Like :func:`found`, it
    reads only the first names of an archive.

    >>> passed_over()
    ''
    """
    reasons = [reason for parent, candidates in _places() for reason in _reasons(parent, candidates)]
    data = Path("data")
    if link := dangling(data):
        reasons.insert(0, f"{link} is a link to {link.readlink()}, which does not exist")
    elif data.is_file():
        reasons.insert(0, "data is a file, not a folder: read it with --data data")
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"; not used: {reasons[0]}{more}" if reasons else ""


@contextmanager
def blaming_environment(source: object) -> Iterator[None]:
    """Prefix a ``DataError`` with ``$UTKFACE`` if that variable set the path, because ``source`` is None.

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
    """The reasons why possible data sets in a folder are not used."""
    if reason := unreadable(parent):
        yield reason
    for path in candidates:
        if is_folder(path):
            if next(islice(_walk(path), _FOLDERS, None), None):
                many = f"{shown(path)} has over {_FOLDERS} folders, too many to search"
                yield f"{many}: pass the one with faces to --data"
            walked = list(islice(_walk(path), _FOLDERS))
            yield from filter(None, (unreadable(folder) for folder, _ in walked[1:]))
            yield from _reasons(path, [file for _, files in walked for file in files])
        elif is_archive(path.name) or path.suffix.lower() in _FOREIGN or as_part(path) or not exists(path):
            yield _reason(path)
    pictures = [path for path in candidates if not is_folder(path) and (is_picture(path.name) or why_unread(path.name))]
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
        checked = f"{len(pictures):,} of {counted(len(entries), 'file')} checked"
        way = f"to leave out the others, use --data {quoted(source.path)} --max-skipped 1"
        return f"{shown(source.path)} has names of faces for {checked}: {way}"
    return no_face(source, entries if skipped else [], skipped)


def _places() -> Iterator[tuple[Path, list[Path]]]:
    """The folders to search, with their content."""
    data = Path("data")
    yield data, [path for part in _listing(data) for path in part]
    datasets = KAGGLE_INPUT / "datasets"  # grouped by owner; in older notebooks, directly in the input folder
    folders, files = _listing(KAGGLE_INPUT)
    for owner in _listing(datasets)[0]:
        folders += _listing(owner)[0]
    yield KAGGLE_INPUT, [*(path for path in folders if path != datasets), *files]


def _data_sets(path: Path) -> Iterator[Path]:
    """The data sets at a path: the path itself, or a folder or archives in it that contain the faces."""
    if not is_folder(path):
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
    """A folder and its subfolders, level by level, with their files; each once, because links may form cycles."""
    waiting, seen = deque([top]), {identity(top)}
    while waiting:
        folder = waiting.popleft()
        folders, files = _listing(folder)
        yield folder, files
        new = {identity(path): path for path in reversed(folders)}
        waiting += sorted(path for key, path in new.items() if key not in seen)
        seen.update(new)


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """The subfolders and the files of a folder, sorted, without hidden ones; at most :data:`_LOOKED_AT` in total."""
    found: tuple[list[Path], list[Path]] = [], []
    with suppress(OSError):  # then it counts as empty; passed_over() gives the reason
        if not unreadable(folder):
            with os.scandir(folder) as items:
                for item in islice(items, _LOOKED_AT):
                    if not is_hidden(item.name):
                        found[not is_folder(item)].append(folder / item.name)
    return sorted(found[0]), sorted(found[1])


def _shows_faces(archive: Path) -> bool:
    """Whether an archive begins with faces, or contains UTKFace's archive: opening it raises an error with advice."""
    try:
        source = open_source(archive)
    except DataError:
        return False
    entries = source.peek(_LOOKED_AT) if isinstance(source, Archive) else []
    names = [entry.parts[-1] for entry in entries if entry.parts and not any(map(is_hidden, entry.parts))]
    return _are_faces(names) or any(_is_called_utkface(Path(name)) for name in names)


def _is_called_utkface(path: Path) -> bool:
    return path.name.lower().startswith("utkface") and (is_archive(path.name) or is_folder(path))


def _are_faces(names: Iterable[str]) -> bool:
    """Whether at least half of the pictures among these names have labels."""
    pictures = [name for name in names if is_picture(name)]
    return 0 < len(pictures) <= 2 * sum(map(has_label, pictures))
