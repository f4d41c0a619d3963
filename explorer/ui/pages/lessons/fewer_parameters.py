"""Lesson 3: what a head costs after global pooling and after flatten, as the photo grows."""

from __future__ import annotations

from typing import Any

from explorer.lessons.fewer_parameters import HeadCosts, fewer_parameters
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import bars, chain, photo_shot
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.ui.session.choices import sizes_of


def controls(scene: Scene) -> tuple[Control, ...]:
    """The side of the input."""
    preprocessing = scene.analysis.network.preprocessing
    return (Control("size", "Side of the photo, px", sizes_of(preprocessing), preprocessing.size),)


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """The photo at that size, and bars on the scale of the largest input: what stays, and what grows."""
    network, size = scene.analysis.network, chosen["size"]
    largest_size = max(sizes_of(network.preprocessing))
    costs, largest = fewer_parameters(network, size), fewer_parameters(network, largest_size)
    channels, rows, columns = costs.shape
    photo = photo_shot(scene.analysis, f"{rows} × {columns} positions", positions=(rows, columns))
    board(el(
        "div", chain([(f"{size} × {size}", "px"), (f"{channels:,} × {rows} × {columns}", "feature maps"),
                      *scene.at_desk((f"{len(network.class_names):,}", "classes"))]),
        el("div", el("div", el("div", photo, style={"width": f"{100 * size / largest_size:.1f}%"})),
           _column("Parameters", costs, largest, "parameters", "{:,}"),
           *scene.at_desk(_column("Memory in single precision, MB", costs, largest, "megabytes", "{:,.1f}"),
                          _column("Multiply-adds for one photo", costs, largest, "multiply_adds", "{:,}")),
           class_="sidebyside", style={"--columns": "2" if scene.presenting else "4"}),
        *scene.at_desk(el("p", f"All bars of a column have one scale, that of flatten at {largest_size} px.",
                          class_="caption")), class_="stack ruled"), key="parameters")
    gap, *_, flatten = (head.parameters for head in costs.heads)
    return (f"At {size} px a head after GAP has {gap:,} parameters, as at any size; after flatten {flatten:,}, "
            f"{flatten / gap:.0f} times as many.")


def _column(title: str, costs: HeadCosts, largest: HeadCosts, what: str, form: str) -> Node:
    rows = [(head.name, float(getattr(head, what)), form.format(getattr(head, what))) for head in costs.heads]
    return el("div", el("h3", title), bars(rows, max(float(getattr(head, what)) for head in largest.heads)))
