"""Which photos a run is of, and the labels that people gave them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
from PIL import Image
from timm.data import ImageNetInfo

from explorer.errors import RunError
from explorer.images import FORMATS, quoted

LISTING = pa.schema([("path", pa.string()), ("bytes", pa.int64()), ("modified", pa.int64()), ("label", pa.string())])
_IMAGENET = 1000  # classes
_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")


def list_photos(
    photos: str | os.PathLike | Sequence[str | os.PathLike], labels: str | os.PathLike | Mapping[str, str] | None = None
) -> tuple[Path, pa.Table]:
    """The photos of a folder, of a list of paths, or of a glob, each once and in the order of their paths.

    Args:
        photos: a folder (with those below it; what is hidden or is no photo by its name is left out), paths, or a
            glob such as "photos/**/*.jpg".
        labels: by path, or a .csv or .parquet file with the columns path and label (else its first two); a path may
            begin at the folder, at the file's own folder, or be absolute. None takes the name of the folder that a
            photo lies in, where that is not the one that was given.

    Returns:
        The folder that all paths begin at, and a table with the columns of LISTING: path (with "/"), bytes and time
        of change in ns (null where there is no such file), label (null where it has none).

    Raises RunError: there is no such folder, no photo in it, or the labels cannot be read or are of no photo here.
    """
    root, paths = _root_and_paths(photos)
    if not paths:
        raise RunError(f"There are no photos in {quoted(photos)}; expected files such as .jpg, .png or .webp.")
    given = _labels(labels, root) if labels is not None else {path: _folder_of(path) for path in paths}
    if labels is not None and not any(path in given for path in paths):
        example = next(iter(given), "nothing")
        raise RunError(f"No photo has a label: the labels are of {example!r:.80} and so on, the photos are "
                       f"{paths[0]!r:.80} and so on; expected paths that begin at the folder of the photos.")
    sizes = [_size_and_time(root / path) for path in paths]
    columns = [paths, [size for size, _ in sizes], [time for _, time in sizes], [given.get(path) for path in paths]]
    return root, pa.table(columns, schema=LISTING)


def _root_and_paths(photos: str | os.PathLike | Sequence[str | os.PathLike]) -> tuple[Path, list[str]]:
    if isinstance(photos, (str, os.PathLike)):
        folder = Path(photos).expanduser()
        if folder.is_dir():
            return folder.resolve(), sorted(_below(folder))
        if not glob.has_magic(str(photos)):
            raise RunError(f"There is no folder {quoted(photos)}; expected a folder of photos, a list of paths, or a "
                           "glob such as 'photos/**/*.jpg'.")
        photos = [path for path in glob.iglob(str(folder), recursive=True) if _is_photo(path)]
    absolute = sorted({os.path.abspath(path) for path in photos})
    if not absolute:
        return Path(), []
    root = Path(os.path.commonpath([os.path.dirname(path) for path in absolute]))
    return root, [Path(path).relative_to(root).as_posix() for path in absolute]


def _below(folder: Path) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(where).relative_to(folder)
        yield from ((inside / name).as_posix() for name in files if _is_photo(name))


def _is_photo(path: str) -> bool:
    """By its name: a folder holds other things too, and each would be a row that cannot be read."""
    name = os.path.basename(path)
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _endings()


@cache
def _endings() -> set[str]:
    return {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}


def _folder_of(path: str) -> str | None:
    return path.split("/")[-2] if "/" in path else None


def _size_and_time(path: Path) -> tuple[int | None, int | None]:
    try:
        stat = path.stat()
    except OSError:
        return None, None
    return stat.st_size, stat.st_mtime_ns


def _labels(labels: str | os.PathLike | Mapping[str, str], root: Path) -> dict[str, str]:
    if isinstance(labels, Mapping):
        return {from_root(path, root, root): str(label) for path, label in labels.items()}
    file = Path(labels).expanduser()
    if not file.is_file() or file.suffix.lower() not in _TABLES:
        raise RunError(f"There are no labels at {quoted(labels)}; expected a .csv or .parquet file of path and label.")
    try:
        table = (duckdb.read_parquet(str(file)) if file.suffix.lower() in _TABLES[-2:] else
                 duckdb.read_csv(str(file), all_varchar=True, header=True))
        columns = table.columns
        names = ("path", "label") if {"path", "label"} <= set(columns) else columns[:2]
        if len(names) < 2:
            raise RunError(f"The labels at {quoted(labels)} have one column; expected two, path and label.")
        selected = (f'"{name}"::VARCHAR' for name in (name.replace('"', '""') for name in names))
        rows = table.project(", ".join(selected)).fetchall()
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise RunError(f"The labels at {quoted(labels)} cannot be read ({first:.120}); expected the columns path and "
                       "label.") from None
    return {from_root(path, root, file.resolve().parent): label for path, label in rows if path and label is not None}


def from_root(path: str, root: Path, beside: Path) -> str:
    """A path of a table as the listing has it: it may begin at the root, beside the table, or be absolute."""
    if os.path.isabs(path):
        return Path(os.path.relpath(path, root)).as_posix()
    if beside != root and not (root / path).exists() and (beside / path).exists():
        return Path(os.path.relpath(beside / path, root)).as_posix()
    return Path(path).as_posix()


def class_indices(labels: Iterable[str], class_names: Sequence[str]) -> dict[str, int]:
    """Which class each label means, by the label; one that no class has is left out.

    A label is a class's name in whatever capitals and with spaces, "_" or "-", its number, or of ImageNet's 1000
    classes the synset ("n02123045").
    """
    by_name: dict[str, int | None] = {}
    for index, name in enumerate(class_names):
        by_name[_plain(name)] = None if _plain(name) in by_name else index  # two of a name are told apart by number
    synsets: dict[str, int] = {}
    if len(class_names) == _IMAGENET and _plain(class_names[0]).startswith("tench"):
        synsets = {synset: index for index, synset in enumerate(ImageNetInfo("imagenet-1k").label_names())}
    meant = {}
    for label in set(labels):
        class_index = by_name.get(_plain(label), synsets.get(label))
        if class_index is None and label.isascii() and label.isdigit() and int(label) < len(class_names):
            class_index = int(label)
        if class_index is not None:
            meant[label] = class_index
    return meant


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
