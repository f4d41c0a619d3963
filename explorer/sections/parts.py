"""What sections are made of: figures, legends, tables, lists of facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from explorer import render
from explorer.analysis import Analysis, ClassMap
from explorer.sections.nodes import Node, data_uri, el
from explorer.wording import shortened

OVERLAY_SIDE = 900  # px at most of a map on a photo: about twice what it has in a file


@dataclass(frozen=True)
class Row:
    """A row of a table that can be clicked or is set apart.

    Attributes:
        cells: texts or nodes.
        shown: whether it is the one that the page shows.
        pick: what a click on it sends to Python on a page; None for a row without a click.
    """

    cells: Sequence[Node | str]
    shown: bool = False
    pick: Any = None


def table(
    head: Sequence[str], rows: Iterable[Row | Sequence[Node | str]], numbers: Collection[int] = (), class_: str = "",
    caption: Node | None = None,
) -> Node:
    """A table for pages, reports and the terminal.

    Args:
        head: words over the columns.
        rows: cells, as many as there are columns; the first names its row. A row of one cell is a title across all.
        numbers: places of the columns that are aligned at their right end.
    """
    def cells(tag: str, contents: Iterable[Node | str], scope: str | None = None) -> list[Node]:
        return [el(tag, content, class_="number" if n in numbers else "", scope=scope)
                for n, content in enumerate(contents)]

    def row_of(row: Row | Sequence[Node | str]) -> Node:
        row = row if isinstance(row, Row) else Row(row)
        first, *others = row.cells
        if not others:
            return el("tr", el("th", first, scope="rowgroup", colspan=len(head)), class_="part")
        if row.pick is not None:  # the whole row hears the click, the button in it the keyboard
            first = el("button", first, type="button", data_key=str(row.pick), aria_pressed=str(row.shown).lower())
        look = " ".join(["shown"] * row.shown + ["clicked"] * (row.pick is not None))
        name, *numbered = cells("td", [first, *others])
        return el("tr", replace(name, tag="th", attributes={"scope": "row"}), *numbered, class_=look, pick=row.pick)

    return el("table", caption, el("thead", el("tr", *cells("th", head, scope="col"))),
              el("tbody", *map(row_of, rows)), class_=class_)


def section(title: str, *children: Node | None) -> Node:
    """A section under its title."""
    return el("section", el("h2", title), *children)


def head(title: str, caption: str = "") -> Node:
    """A title, and at the end of its line what is to be known of what follows."""
    return el("div", el("h3", title), el("span", caption, class_="caption") if caption else None, class_="head")


def note(text: str) -> Node:
    """A note in small print."""
    return el("p", text, class_="note")


def figure(data: bytes, alt: str, *caption: Node | str) -> Node:
    """A JPEG picture and its caption."""
    return el("figure", el("img", src=data_uri(data), alt=alt), el("figcaption", *caption))


def legend(scale: render.Scale, low: str, high: str, unit: str, alt: str) -> Node:
    """A scale as a bar of its colours, with both its ends and its unit."""
    bar = el("div", role="img", aria_label=alt, style={"background": scale.css_gradient()})
    return el("div", el("span", low), bar, el("span", high), el("span", unit), class_="legend")


def scale_of(scale: render.Scale, drawn: ClassMap) -> Node:
    """The legend of a signed scale for maps such as the one drawn; a CAM has no unit."""
    return legend(scale, drawn.number(scale.low), drawn.number(scale.limit), drawn.unit or "no unit",
                  "Blue for negative, red for positive")


def maps_shape(analysis: Analysis) -> str:
    """Which maps they are: "final feature maps, 1280 × 7 × 7"."""
    return f"{analysis.layer_name}, {' × '.join(str(length) for length in analysis.feature_maps.shape)}"


def unseen(analysis: Analysis) -> str:
    """What grey means, where there is any."""
    saw_all = analysis.framing.seen == (0, 0, *analysis.framing.photo_size)
    return "" if saw_all else "; hatched: the network never saw it"


def strongest(cells: np.ndarray, towards: float = 1.0) -> tuple[tuple[int, int], float]:
    """(i, j) of the number furthest from 0 in the direction of `towards`, and that number; (0, 0) where none is finite.

    The strongest position of a map is the one that adds most to what the map sums to. On a class's own map it is the
    most positive one. On that of a class against its rival `towards` is the difference of the two logits: where the
    class is behind, it is the most negative one. Where no number has that sign it is the one closest to it.
    """
    along = cells if not towards < 0 else -cells
    finite = np.where(np.isfinite(along), along, -np.inf)
    i, j = (int(place) for place in np.unravel_index(finite.argmax(), cells.shape))
    return (i, j), float(cells[i, j])


def facts(pairs: Iterable[tuple[str, str]]) -> Node:
    """Names and what stands for each, as a list."""
    return el("dl", *(part for name, fact in pairs for part in (el("dt", name), el("dd", fact))))


def short(name: str) -> str:
    """A class's name within a sentence or a table."""
    return shortened(name, 40)
