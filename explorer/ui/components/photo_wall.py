"""The wall of photos: a run's selection as tiles on one canvas, which are sent when they come into sight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from explorer import render
from explorer.folder.index import Index
from explorer.folder.sheets import sheet, tiles
from explorer.folder.summary import evidence_limit
from explorer.sections.folder import photo_caption
from explorer.sections.nodes import data_uri
from explorer.ui.components.library import handler, part

SHEET, ACROSS, SIDE = 48, 8, 144  # photos on a sheet, in a row of it; px of each
_SHOWN = 124  # px of a tile on the page, about
_MOST = 6  # sheets in one answer
_KEPT = 120  # sheets in memory, of all sessions together, about 150 KB each

_photos = part("photos", '<div class="wall"></div>')


def photo_wall(
    index: Index, numbers: np.ndarray, selection: str, status: str, on_photo: Callable[[int], None], key: str,
    chosen: int | None = None, now: Mapping[int, str] | None = None,
) -> None:
    """Show photos; only the wall runs again while it is scrolled.

    Args:
        numbers: of the photos, in their order.
        selection: what tells this selection from others.
        status: the line above the tiles while the pointer is on none.
        on_photo: gets the place of the photo that was clicked, from 0.
        chosen: place of the photo to begin at.
        now: by number, what is said of a photo in the place of its label.
    """
    @st.fragment
    def draw() -> None:
        name = f"{key}_sheets"
        asked = st.session_state.get(name, (selection, []))
        first = [] if chosen is None else [chosen // SHEET]
        wanted = asked[1] if asked[0] == selection else []
        last = (len(numbers) - 1) // SHEET
        shown = [n for n in dict.fromkeys([0, *first, *wanted]) if 0 <= n <= last][:_MOST + 2]

        def more(sheets: list[int]) -> None:
            st.session_state[name] = selection, [int(number) for number in sheets[:_MOST]]

        _photos(
            data={"selection": selection, "total": len(numbers), "on": SHEET, "across": ACROSS, "tile": SIDE,
                  "side": _SHOWN, "status": status, "chosen": chosen,
                  "sheets": {str(n): _sheet(index, numbers[n * SHEET:(n + 1) * SHEET].tolist(), now or {})
                             for n in shown}},
            key=key, on_sheets_change=handler(key, "sheets", more),
            on_photo_change=handler(key, "photo", lambda place: on_photo(int(place))))

    draw()


def _sheet(index: Index, numbers: list[int], now: Mapping[int, str]) -> dict[str, Any]:
    made: dict[str, Any] = _made(f"{index.run.path} {index.state}", tuple(numbers), index)
    captions = [[first, now[number], wrong, path] if number in now else [first, second, wrong, path]
                for number, (first, second, wrong, path) in zip(numbers, made["captions"], strict=True)]
    return made | {"captions": captions}


@st.cache_data(show_spinner=False, max_entries=_KEPT)
def _made(rows: str, numbers: tuple[int, ...], _index: Index) -> dict[str, Any]:
    run, listed = _index.run, _index.rows(numbers)
    limit = _index.kept("limit", lambda: evidence_limit(run))
    names = run.recipe["network"]["class_names"]
    drawn = tiles(run, listed, SIDE, limit)
    picture = render.jpeg(sheet(drawn, SIDE, ACROSS), 78)
    return {"picture": data_uri(picture), "sizes": [tile.size for tile in drawn],
            "captions": [photo_caption(row, names) for row in listed]}
