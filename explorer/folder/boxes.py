"""Boxes around objects, from a table: how much of each position of the feature maps lies inside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np

from explorer.errors import RunError
from explorer.folder.photos import from_root
from explorer.framing import Framing
from explorer.images import quoted

Box = tuple[float, float, float, float]  # left, top, right, bottom in px of the upright photo
COLUMNS = ("path", "left", "top", "right", "bottom")
_ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".pq")


def read_boxes(file: str | os.PathLike, root: Path) -> dict[str, list[Box]]:
    """The boxes of each photo, by its path from `root`, the folder of the photos.

    Args:
        file: .csv or .parquet with the columns of COLUMNS; a photo may have several rows. A path may begin at the
            folder of the photos, at the file's own folder, or be absolute.

    Raises RunError: there is no such file, it cannot be read, a column is missing, or a box has no area.
    """
    path = Path(file).expanduser()
    if not path.is_file() or path.suffix.lower() not in _ENDINGS:
        raise RunError(f"There are no boxes at {quoted(file)}; expected a .csv or .parquet file with the columns "
                       f"{', '.join(COLUMNS)}.")
    try:
        table = (duckdb.read_parquet(str(path)) if path.suffix.lower() in _ENDINGS[-2:] else
                 duckdb.read_csv(str(path), header=True))
        missing = [name for name in COLUMNS if name not in table.columns]
        if missing:
            raise RunError(f"The boxes at {quoted(file)} have no column {missing[0]}; expected {', '.join(COLUMNS)}.")
        numbers = ", ".join(f'"{name}"::DOUBLE' for name in COLUMNS[1:])
        rows = table.project(f'"path"::VARCHAR, {numbers}').fetchall()
    except duckdb.Error as error:
        raise RunError(f"The boxes at {quoted(file)} cannot be read ({str(error).splitlines()[0]:.120}); expected the "
                       f"columns {', '.join(COLUMNS)}.") from None
    boxes: dict[str, list[Box]] = {}
    for name, *box in rows:
        left, top, right, bottom = (float("nan") if side is None else side for side in box)
        if name is None or not (left < right and top < bottom and np.isfinite(box).all()):
            raise RunError(f"The boxes at {quoted(file)} have the box {left:g}, {top:g}, {right:g}, {bottom:g} for "
                           f"{name!r:.80}; expected left before right and top above bottom, in px.")
        boxes.setdefault(from_root(name, root, path.resolve().parent), []).append((left, top, right, bottom))
    return boxes


def shares_inside(framing: Framing, boxes: Sequence[Box]) -> np.ndarray:
    """(H, W): the share of each position's area that lies inside any of the boxes, 0 to 1.

    The edges of all boxes cut the photo into a grid of tiles that do not overlap; a position covers parts of some.
    """
    rectangles = framing.rectangles
    across = np.unique([side for left, _, right, _ in boxes for side in (left, right)])
    down = np.unique([side for _, top, _, bottom in boxes for side in (top, bottom)])
    covered = np.zeros((max(0, len(down) - 1), max(0, len(across) - 1)))
    for left, top, right, bottom in boxes:
        covered[(down[:-1] >= top) & (down[1:] <= bottom), :] += (across[:-1] >= left) & (across[1:] <= right)
    of_rows = _overlaps(rectangles[:, 0, 1], rectangles[:, 0, 3], down)
    of_columns = _overlaps(rectangles[0, :, 0], rectangles[0, :, 2], across)
    return of_rows @ (covered > 0) @ of_columns.T


def _overlaps(starts: np.ndarray, ends: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(n, m): the share of each of n stretches that lies between each two of m + 1 edges."""
    first, last = edges[None, :-1], edges[None, 1:]
    shared = np.minimum(ends[:, None], last) - np.maximum(starts[:, None], first)
    return np.clip(shared, 0, None) / (ends - starts)[:, None]


def inside(cells: np.ndarray, shares: np.ndarray) -> float | None:
    """The share of the positive evidence of a map (H, W) that lies inside; None where there is none to share.

    `shares` (H, W) is `shares_inside`.
    """
    positive = np.where(cells > 0, cells, 0).astype(np.float64)
    total = float(positive.sum())
    return float((positive * shares).sum() / total) if total > 0 and np.isfinite(total) else None
