"""What a report's sections are made of."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from explorer import render
from explorer.analysis import Analysis, Outcome
from explorer.export import files as export
from explorer.export.svg import data_uri
from explorer.markup import Markup, tag

PHOTO_SIDE, OVERLAY_SIDE, MAP_SIDE, TILE_SIDE = 1200, 900, 400, 160  # px at most: twice what they have on the page


def section(title: str, *children: Markup | None) -> Markup:
    """A section under its title."""
    return tag("section", tag("h2", title), *children)


def badge(outcome: Outcome, calibrated: bool) -> Markup:
    """The label, with the multiplier where one was used: "what-if, calibrated × 0.31"."""
    by = f" × {outcome.multiplier:.2f}" if export.is_calibrated(outcome, calibrated) else ""
    return tag("span", export.label(outcome, calibrated) + by,
               class_="badge" if outcome.label == "what-if" else "badge native")


def figure(data: bytes, alt: str, *caption: str) -> Markup:
    """A JPEG picture and its caption."""
    return tag("figure", tag("img", src=data_uri(data), alt=alt), tag("figcaption", *caption))


def legend(scale: render.Scale, low: str, high: str, unit: str, alt: str) -> Markup:
    """A scale as a bar of its colours, with both its ends and its unit."""
    bar = tag("div", role="img", aria_label=alt, style=f"background: {scale.css_gradient()}")
    return tag("div", tag("span", low), bar, tag("span", high), tag("span", unit), class_="legend")


def scale_of(scale: render.Scale, drawn: export.Shown) -> Markup:
    """The legend of a signed scale for maps such as the one drawn; a CAM has no unit."""
    return legend(scale, drawn.number(scale.low), drawn.number(scale.limit), drawn.unit or "no unit",
                  "Blue speaks against the class, red for it")


def maps_shape(analysis: Analysis) -> str:
    """What is looked at: "final feature maps, 1280 × 7 × 7"."""
    return f"{analysis.layer_name}, {' × '.join(str(length) for length in analysis.feature_maps.shape)}"


def unseen(analysis: Analysis) -> str:
    """What grey means, where there is any."""
    return "" if analysis.framing.seen == (0, 0, *analysis.framing.photo_size) else "; grey: the network never saw it"


def account(outcome: Outcome, class_index: int) -> list[Markup]:
    """How the logit adds up, and how exactly; or that it is not taken apart, and why."""
    return [tag("span", words) for words in export.shown(outcome, class_index).account]


def strongest(cells: np.ndarray) -> tuple[tuple[int, int], float]:
    """(i, j) of the largest number, and that number; the first position where none is one."""
    finite = np.where(np.isfinite(cells), cells, -np.inf)
    i, j = (int(place) for place in np.unravel_index(finite.argmax(), cells.shape))
    return (i, j), float(cells[i, j])


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names and what stands for each, as a list."""
    return tag("dl", *(part for name, fact in pairs for part in (tag("dt", name), tag("dd", fact))))
