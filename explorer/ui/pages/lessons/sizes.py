"""Lesson 4: the photo at any size through the same network, and a flatten head that stops working."""

from __future__ import annotations

from explorer.lessons.any_input_size import SHAPES, AtSize, any_input_size
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.pages.lessons.lesson_pictures import account, bars, chain
from explorer.ui.session.choices import sizes_of
from explorer.wording import percent, plain, shortened

NAMES = {"square": "square", "own": "the whole photo", "wide": "a wide strip", "tall": "a tall strip"}


def controls(scene: Scene) -> tuple[Control, ...]:
    """The short side, and the shape."""
    wants = scene.analysis.network.preprocessing
    shapes = ("square",) if wants.fixed else tuple(SHAPES)
    return (Control("size", "Short side of the photo, px", sizes_of(wants), wants.size),
            Control("shape", "Shape", shapes, "square", NAMES.__getitem__, ordered=False))


def teach(scene: Scene) -> None:
    """What each stage holds, the answer beside the usual one, and what the flatten head says."""
    put = ask(scene.current, controls(scene))
    found = any_input_size(scene.analysis, put["size"], put["shape"])
    width, height = found.analysis.framing.input_size
    rows, columns = found.grid
    usual = [(shortened(each.name, 40), each.probability, percent(each.probability)) for each in found.top]
    board(el(
        "div", chain([(f"{width} × {height}", "px"), (f"{rows} × {columns}", "positions"),
                      (f"{found.pooled:,}", "pooled vector"), (f"{len(scene.outcome.logits):,}", "logits")]),
        el("div", el("div", el("h3", f"At {width} × {height} px it says"), bars(usual, 1.0)),
           el("div", el("h3", "Beside the size of training"), _beside(found)),
           el("div", el("h3", "The same head after flatten"), *_flatten(found)), class_="sidebyside",
           style={"--columns": "3"}), class_="stack ruled"), key="sizes")


def _beside(found: AtSize) -> Node:
    name = shortened(found.before.name, 40)
    lines = [(name, f"{percent(found.before.probability)} there, {percent(found.usual.probability)} here"),
             ("its logit", f"{plain(found.before.logit)} there, {plain(found.usual.logit)} here"),
             ("its rank", f"{found.before.rank} there, {found.usual.rank} here")]
    if found.cosine is not None:
        lines.append(("pooled vectors", f"cosine {found.cosine:.3f}"))
    return account(lines)


def _flatten(found: AtSize) -> list[Node]:
    if found.flatten_error:
        return [el("p", f"It wants another number of inputs than {found.numbers:,}. In torch's words:", class_="note"),
                el("p", found.flatten_error, class_="code")]
    return [el("p", f"It takes {found.numbers:,} numbers and gives the same logits, to {found.flatten_difference:.0e}: "
                    "at the size of training alone.", class_="note")]
