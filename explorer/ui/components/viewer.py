"""The viewer: a photo on a canvas with maps laid over it, drawn, chosen and read in the browser.

`put_photo` gives a page its photo once; `viewer` shows any number of maps on it: one at a time with a choice between
them, or side by side. What the browser does alone is listed in tools.js (KEYS). `Handlers` are the events that reach
Python.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from explorer import Analysis
from explorer.live.packing import look as look_of_maps
from explorer.live.packing import pack, photo_uri
from explorer.ui.components.library import handler, hidden, part
from explorer.ui.session.page_cache import drawn

_source = part("source", "<div></div>")
_viewer = part("viewer", '<div class="viewer"></div>')


@dataclass(frozen=True, eq=False)
class Map:
    """One map, as a viewer shows it.

    Attributes:
        id: what a link calls it: letters, digits, "." and "-".
        values: (H, W) numbers; for kind "labels" whole numbers, places in `legend`.
        name: in full, for a screen reader.
        kind: "signed", "positive", "labels", or "photo" for none at all.
        unit, unit_name: "logits", "share", "probability", "value" or "": how a number is written, and what follows it.
        facets: what it is of, such as (class, pooling): a choice each where a viewer shows one map at a time.
        row, title: its headings where maps stand side by side.
        aside, lines, badge: text beside and under it.
        says: the one short line of it in a talk; details: what stands beneath.
        caption: the line where a position's number would be read.
        scale: maps of the same name share one scale until a reader turns it off; `limit` fixes the shared scale's end.
        factor: calibrates the numbers where maps under several poolings share a scale; None where nothing was fitted.
        mark: a position (i, j) to outline; box: left, top, right, bottom in photo pixels to outline.
        notes: a text for each position, row by row; legend: names of labels.
        pick: what `Handlers.pick` gets when the whole page shall show this map's class and pooling.
    """

    id: str
    values: np.ndarray
    name: str
    kind: str = "signed"
    unit: str = "logits"
    unit_name: str = "logits"
    facets: tuple[str, ...] = ()
    row: str = ""
    title: str = ""
    aside: str = ""
    lines: tuple[str, ...] = ()
    badge: str = ""
    says: str = ""
    details: str = ""
    caption: str = ""
    scale: str = ""
    limit: float | None = None
    factor: float | None = None
    mark: tuple[int, int] | None = None
    box: tuple[float, float, float, float] | None = None
    notes: tuple[str, ...] | None = None
    legend: tuple[str, ...] = ()
    pick: Any = None

    @cached_property
    def described(self) -> str:
        """All but the numbers, as JSON, under the names that viewer.js has for them."""
        parts = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "values"}
        parts["unitName"] = parts.pop("unit_name")
        return json.dumps({name: value for name, value in parts.items() if value is not None})


@dataclass(frozen=True)
class Handlers:
    """What a page does when a viewer is used, before the page runs again.

    Attributes:
        region: gets a clicked position or a dragged box.
        pick: gets the `pick` of a map that the whole page shall show.
        present: begins (True) or ends a talk.
        walk: gets 1 or -1, for the next photo of a talk or the one before.
        contours: gets 1 or 0 where the viewer draws contours, or does not, and `Look.lined` is not that.
    """

    region: Callable[[dict[str, Any]], None] | None = None
    pick: Callable[[Any], None] | None = None
    present: Callable[[bool], None] | None = None
    walk: Callable[[int], None] | None = None
    contours: Callable[[int], None] | None = None


@dataclass(frozen=True)
class Look:
    """How a viewer shows its maps.

    Attributes:
        across: 0 shows one map at a time, else so many side by side in a row.
        main: its map is in the link, and it has the keys for a talk; one viewer a page.
        toolbar: whether it has the tools, which act on all viewers of a page.
        tallest: px that a photo may be high.
        facets: names of the maps' facets, each with the words before it.
        caption: the same where the map has none.
        heading, aside: above maps that stand side by side.
        follow: the key of a wall whose tile under the pointer is shown instead.
        region: (top, left, bottom, right) positions to outline as chosen.
        stage: for a talk: large, with each map's sentence.
        lined: whether the main viewer has said that it draws contours; None where nobody asks.
        files: which map the page's files hold, in a sentence that stands where another one is shown.
    """

    across: int = 0
    main: bool = False
    toolbar: bool = True
    tallest: int = 480
    facets: tuple[tuple[str, str], ...] = ()
    caption: str = ""
    heading: str = ""
    aside: str = ""
    follow: str = ""
    region: tuple[int, int, int, int] | None = None
    stage: bool = False
    lined: bool | None = None
    files: str = ""
    handlers: Handlers = field(default_factory=Handlers)


def put_photo(analysis: Analysis, digest: str) -> None:
    """Give the page its photo, once: viewers find it there."""
    source(drawn(analysis, ("photo", digest), lambda: sent("photo", {"key": digest[:16], "src": photo_uri(analysis)})),
           key="photo")


def source(data: bytes, key: str) -> None:
    """Put a photo, maps or a pack of channels, as from `sent`, into the page's store; it takes no room."""
    hidden(_source, data, key)


def sent(kind: str, content: dict[str, Any]) -> bytes:
    """A "photo", a "stack" of maps or a "pack" of channels for `source`: written once, however often it is shown."""
    return json.dumps({kind: content}).encode()



@dataclass(frozen=True, eq=False)
class Stack:
    """Maps made ready for the browser, at a price that is worth keeping them for.

    Attributes:
        key: a hash of the content; first: the id of the first map; data: for `source`.
    """

    key: str
    first: str
    data: bytes


def stack(maps: Sequence[Map]) -> Stack:
    """One map or more, of the same number of positions, for `viewer`."""
    packed = json.dumps(pack(np.stack([np.asarray(map_.values) for map_ in maps])))
    content = f'"pack": {packed}, "maps": [{", ".join(map_.described for map_ in maps)}]'
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Stack(key, maps[0].id, f'{{"stack": {{"key": "{key}", {content}}}}}'.encode())


def viewer(
    analysis: Analysis, digest: str, maps: Stack, key: str, name: str, chosen: str = "",
    look: Look | None = None,
) -> None:
    """Show maps on the photo that `put_photo` gave the page.

    Args:
        analysis: whose photo and framing they are of; digest: the photo's.
        maps: from `stack`.
        key: of the element; name: for a screen reader.
        chosen: the id of the map to begin with, where one is shown at a time.
        look: how.
    """
    look = look or Look()
    framing, handlers = analysis.framing, look.handlers
    # Apart from what a click changes, which so costs no more than its own few hundred bytes.
    source(maps.data, key=f"{key}_maps")
    data = {name: value for name, value in vars(look).items() if name != "handlers"} | {
        "facets": [{"name": name, "before": before} for name, before in look.facets],
        "photo": digest[:16], "network": analysis.network.digest[:16],
        "size": list(framing.photo_size), "seen": [float(edge) for edge in framing.seen],
        "grid": {"rows": framing.grid[0], "columns": framing.grid[1]}, "name": name,
        "stack": maps.key, "chosen": chosen or maps.first, "picks": handlers.pick is not None,
        **look_of_maps(),
    }
    _viewer(data=data, key=key, **{f"on_{event}_change": handler(key, event, getattr(handlers, event))
                                   for event in vars(handlers)})
