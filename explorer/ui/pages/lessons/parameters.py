"""Lesson 3: what a head costs after global pooling and after flatten, as the photo grows."""

from __future__ import annotations

from explorer.lessons.fewer_parameters import HeadCosts, fewer_parameters
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.pages.lessons.lesson_pictures import bars, chain
from explorer.ui.session.choices import sizes_of


def controls(scene: Scene) -> tuple[Control, ...]:
    """The side of the input."""
    wants = scene.analysis.network.preprocessing
    return (Control("size", "Side of the photo, px", sizes_of(wants), wants.size),)


def teach(scene: Scene) -> None:
    """Bars on the scale of the largest input: what stays, and what grows."""
    put = ask(scene.current, controls(scene))
    network = scene.analysis.network
    found = fewer_parameters(network, put["size"])
    largest = fewer_parameters(network, max(sizes_of(network.preprocessing)))
    channels, rows, columns = found.shape
    board(el(
        "div", chain([(f"{found.size} × {found.size}", "px"), (f"{channels:,} × {rows} × {columns}", "feature maps"),
                      (f"{found.classes:,}", "classes")]),
        el("div", _column("Parameters", found, largest, "parameters", "{:,}"),
           _column("Memory in single precision, MB", found, largest, "megabytes", "{:,.1f}"),
           _column("Multiply-adds for one photo", found, largest, "multiply_adds", "{:,}"), class_="sidebyside",
           style={"--columns": "3"}),
        el("p", f"All bars of a column have one scale, that of flatten at {largest.size} px.", class_="caption"),
        class_="stack ruled"), key="parameters")


def _column(title: str, found: HeadCosts, largest: HeadCosts, what: str, form: str) -> Node:
    rows = [(each.name, float(getattr(each, what)), form.format(getattr(each, what))) for each in found.heads]
    return el("div", el("h3", title), bars(rows, max(float(getattr(each, what)) for each in largest.heads)))
