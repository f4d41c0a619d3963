"""Lesson 4: the photo at any size through the same network, and a flatten head that stops working."""

from __future__ import annotations

from typing import Any

from explorer.lessons.any_input_size import SHAPES, SizeResult, any_input_size
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import account, bars, chain, photo_shot
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.ui.session.choices import sizes_of
from explorer.wording import percent, plain, shortened


def controls(scene: Scene) -> tuple[Control, ...]:
    """The short side, and the shape."""
    preprocessing = scene.analysis.network.preprocessing
    shapes = ("square",) if preprocessing.fixed else tuple(SHAPES)
    return (Control("size", "Short side of the photo, px", sizes_of(preprocessing), preprocessing.size),
            Control("shape", "Shape", shapes, "square", SHAPES.__getitem__, ordered=False))


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """The photo as it was seen, what each stage holds, the answer beside the usual one, and the fate of a flatten head.
    """
    result = any_input_size(scene.analysis, chosen["size"], chosen["shape"])
    width, height = result.analysis.framing.input_size
    channels, rows, columns = result.analysis.feature_maps.shape
    top = [(shortened(answer.name, 40), answer.probability, percent(answer.probability)) for answer in result.top]
    board(el(
        "div", chain([(f"{width} × {height}", "px"), (f"{rows} × {columns}", "positions"),
                      (f"{channels:,}", "pooled vector"), (f"{len(scene.outcome.logits):,}", "logits")]),
        el("div", photo_shot(result.analysis, f"{rows} × {columns} positions"),
           el("div", el("h3", f"Prediction at {width} × {height} px"), bars(top, 1.0)),
           *scene.at_desk(
               el("div", el("h3", "Compared with the training size"),
                  _beside(scene.analysis.network.preprocessing.size, result)),
               el("div", el("h3", "The same head after flatten"), *_flatten(result))),
           class_="sidebyside", style={"--columns": "2" if scene.presenting else "4"}),
        class_="stack ruled"), key="sizes")
    there, here, usual = result.before, result.usual, scene.analysis.network.preprocessing.size
    first = f"At {usual} × {usual} px {shortened(there.name, 40)} has {percent(there.probability)}"
    if (width, height) == (usual, usual):
        return f"{first}: change the size, and the same head still takes the photo."
    return f"{first}, at {width} × {height} px {percent(here.probability)}, rank {here.rank:,}."


def _beside(usual: int, result: SizeResult) -> Node:
    there, here, (width, height) = result.before, result.usual, result.analysis.framing.input_size
    lines = [(shortened(there.name, 40), f"{percent(there.probability)} at {usual} × {usual} px"),
             ("", f"{percent(here.probability)} at {width} × {height} px"),
             ("its logit", f"{plain(there.logit)}, then {plain(here.logit)}"),
             ("its rank", f"{there.rank}, then {here.rank}")]
    if result.cosine is not None:
        lines.append(("pooled vectors", f"cosine {result.cosine:.3f}"))
    return account(lines)


def _flatten(result: SizeResult) -> list[Node]:
    numbers = result.analysis.feature_maps.numel()
    if result.flatten_error:
        return [el("p", f"It has no weights for {numbers:,} numbers. The error of torch:", class_="note"),
                el("p", result.flatten_error, class_="code")]
    return [el("p", f"It takes {numbers:,} numbers and gives the same logits, to "
                    f"{result.flatten_difference:.0e}: at the training size alone.", class_="note")]
