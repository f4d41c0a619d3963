"""What a report's sections are made of."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from explorer import render
from explorer.analysis import Analysis, Outcome
from explorer.export import files as export
from explorer.sections.nodes import Node, data_uri, el

PHOTO_SIDE, OVERLAY_SIDE, MAP_SIDE, TILE_SIDE = 1200, 900, 400, 160  # px at most: twice what they have on the page


def section(title: str, *children: Node | None) -> Node:
    """A section under its title."""
    return el("section", el("h2", title), *children)


def badge(outcome: Outcome, calibrated: bool) -> Node:
    """The label, with the multiplier where one was used: "what-if, calibrated × 0.31"."""
    by = f" × {outcome.multiplier:.2f}" if export.is_calibrated(outcome, calibrated) else ""
    return el("span", export.label(outcome, calibrated) + by,
               class_="badge" if outcome.label == "what-if" else "badge native")


def figure(data: bytes, alt: str, *caption: str) -> Node:
    """A JPEG picture and its caption."""
    return el("figure", el("img", src=data_uri(data), alt=alt), el("figcaption", *caption))


def legend(scale: render.Scale, low: str, high: str, unit: str, alt: str) -> Node:
    """A scale as a bar of its colours, with both its ends and its unit."""
    bar = el("div", role="img", aria_label=alt, style={"background": scale.css_gradient()})
    return el("div", el("span", low), bar, el("span", high), el("span", unit), class_="legend")


def scale_of(scale: render.Scale, drawn: export.Shown) -> Node:
    """The legend of a signed scale for maps such as the one drawn; a CAM has no unit."""
    return legend(scale, drawn.number(scale.low), drawn.number(scale.limit), drawn.unit or "no unit",
                  "Blue speaks against the class, red for it")


def maps_shape(analysis: Analysis) -> str:
    """What is looked at: "final feature maps, 1280 × 7 × 7"."""
    return f"{analysis.layer_name}, {' × '.join(str(length) for length in analysis.feature_maps.shape)}"


def unseen(analysis: Analysis) -> str:
    """What grey means, where there is any."""
    return "" if analysis.framing.seen == (0, 0, *analysis.framing.photo_size) else "; grey: the network never saw it"


def account(outcome: Outcome, class_index: int) -> list[Node]:
    """How the logit adds up, and how exactly; or that it is not taken apart, and why."""
    return [el("span", words) for words in export.shown(outcome, class_index).account]


def strongest(cells: np.ndarray) -> tuple[tuple[int, int], float]:
    """(i, j) of the largest number, and that number; the first position where none is one."""
    finite = np.where(np.isfinite(cells), cells, -np.inf)
    i, j = (int(place) for place in np.unravel_index(finite.argmax(), cells.shape))
    return (i, j), float(cells[i, j])


def facts(pairs: Iterable[tuple[str, str]]) -> Node:
    """Names and what stands for each, as a list."""
    return el("dl", *(part for name, fact in pairs for part in (el("dt", name), el("dd", fact))))
