"""Pictures of many photos with their evidence laid over them: tiles, side by side on sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from explorer import render
from explorer.errors import ExplorerError
from explorer.folder.run import Run
from explorer.images import read_small

_READERS = 4  # threads
_EMPTY = (128, 128, 128)  # of a tile whose photo is not there any more


def tile(run: Run, row: Mapping[str, Any], side: int, limit: float, of_label: bool = False) -> Image.Image:
    """A photo of a run at most `side` px long, grey, with the evidence for its answer over it; RGB.

    Args:
        row: of the photo, as `Index.rows` gives it.
        limit: end of the scale, the same for all tiles, in logits.
        of_label: show the evidence for the label's class instead.

    Where the photo cannot be read any more, the tile is grey and square.
    """
    try:
        photo = read_small(run.photos / row["path"], 2 * side)
    except ExplorerError:
        return Image.new("RGB", (side, side), _EMPTY)
    if row["width"] is None:  # it could not be read when the rows were made
        return render.ground(photo, (0, 0, *photo.size)).resize((side, side))
    values = row["label_evidence" if of_label else "evidence"]
    left, top, right, bottom = row["seen"] or (0, 0, row["width"], row["height"])
    x, y = photo.width / row["width"], photo.height / row["height"]
    if max(photo.size) < side:
        factor = side / max(photo.size)
        photo = photo.resize((max(1, round(photo.width * factor)), max(1, round(photo.height * factor))))
        x, y = photo.width / row["width"], photo.height / row["height"]
    small, seen = render.shrink(photo, (left * x, top * y, right * x, bottom * y), side)
    if values is None:
        return render.ground(small, seen)
    cells = np.array(values, dtype=np.float32).reshape(row["grid"])
    return render.overlay(small, cells, seen, render.Scale("signed", limit))


def tiles(
    run: Run, rows: Sequence[Mapping[str, Any]], side: int, limit: float, of_label: bool = False
) -> list[Image.Image]:
    """The tiles of some photos; a few threads read them."""
    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(partial(tile, run, side=side, limit=limit, of_label=of_label), rows))


def sheet(pictures: Sequence[Image.Image], side: int, across: int, ground: str = "white") -> Image.Image:
    """Tiles on one picture, each in the middle of a square of that side, row by row."""
    down = -(-len(pictures) // across)
    whole = Image.new("RGB", (across * side, max(1, down) * side), ground)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, across)
        whole.paste(picture, (column * side + (side - picture.width) // 2, row * side + (side - picture.height) // 2))
    return whole
