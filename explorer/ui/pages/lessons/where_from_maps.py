"""Lesson 9: a box and a mask from the evidence, of a network that never learned where anything is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st
from PIL import Image, ImageEnhance

from explorer import render
from explorer.lessons.where_from_maps import THRESHOLD, WhereFromMaps, where_from_maps
from explorer.questions.edited_photo import pixels_of
from explorer.questions.evidence_box import EvidenceBox
from explorer.sections.nodes import Node, el, picture
from explorer.sections.parts import table
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, stack, viewer
from explorer.ui.maps import evidence_map
from explorer.ui.pages.lessons.lesson_pictures import account
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.wording import percent, plain, shortened

THRESHOLDS = (0.01, 0.05, 0.1, 0.15, THRESHOLD, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TALLEST, TALLEST_IN_A_TALK = 330, 420  # px of a photo
SIDE = 860  # px of the photo that the mask is laid on
_DARK = 0.22  # of the photo's brightness, outside the mask


def controls(scene: Scene) -> tuple[Control, ...]:
    """From which share of the maximum on a place belongs to the class."""
    return (Control("threshold", "Threshold, share of the strongest evidence", THRESHOLDS, THRESHOLD, percent),)


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """The evidence with its box, the photo within its mask, and how much both hold."""
    result = where_from_maps(scene.outcome, scene.class_index, chosen["threshold"])
    left, middle, *right = st.columns(2 if scene.presenting else 3, gap="medium")
    with left:
        _box(scene, result)
    with middle:
        board(_masked(scene, result), key="masked")
    for column in right:
        with column:
            board(el("div", *_numbers(scene, result, chosen["threshold"]), class_="stack ruled"), key="located")
    if result.box is None or result.segmented is None:
        return f"There is no positive evidence for {shortened(scene.class_name, 40)}, so there is neither box nor mask."
    return (f"From {percent(chosen['threshold'])} of the strongest on, the box holds {percent(result.box.share)} of "
            f"the positive evidence in {percent(_area(scene, result.box))} of the area, the mask "
            f"{percent(result.segmented.evidence)} in {percent(result.segmented.area)}.")


def _area(scene: Scene, box: EvidenceBox) -> float:
    """The box's share of what the network saw."""
    (top, bottom), (left, right), (rows, columns) = box.rows, box.columns, scene.analysis.framing.grid
    return (bottom - top + 1) * (right - left + 1) / (rows * columns)


def _box(scene: Scene, result: WhereFromMaps) -> None:
    box = result.box
    corners = None if box is None else (box.left, box.top, box.right, box.bottom)
    title = f"{shortened(scene.class_name, 40)}: evidence, and the box from it"
    shown = replace(evidence_map(scene.outcome, scene.class_index, title=title, box=corners), says="", aside="")
    viewer(scene.analysis, scene.session.photo.digest, stack([shown]), key="box", name=shown.name,
           look=Look(tallest=TALLEST_IN_A_TALK if scene.presenting else TALLEST, toolbar=False))


def _masked(scene: Scene, result: WhereFromMaps) -> Node:
    name = shortened(scene.class_name)
    if result.segmented is None:
        return el("p", f"There is no mask: the photo has no positive evidence for {name} under {scene.outcome.name}.",
                  class_="note")
    photo, seen = scene.analysis.preview(SIDE)
    dark = ImageEnhance.Brightness(render.ground(photo, seen, in_colour=True)).enhance(_DARK)
    masked = Image.composite(photo, dark, pixels_of(result.segmented.mask, photo.size, seen))
    return el("div", el("h3", "The mask: what lies outside it is darkened"), el(
        "div", picture(render.jpeg(masked), f"The photo inside the mask of {name}"), class_="photo"),
        class_="evidence lesson-masked")


def _numbers(scene: Scene, result: WhereFromMaps, threshold: float) -> list[Node]:
    if result.box is None or result.segmented is None:
        return [el("p", f"There is no positive evidence for {shortened(scene.class_name)}, so there is no box.")]
    largest = float(scene.outcome.evidence(scene.class_index).cells.max())
    box, mask, (rows, columns) = result.box, result.segmented, scene.analysis.framing.grid
    areas: list[list[Node | str]] = [
        [name, percent(area), el("strong", percent(evidence)), f"{evidence / area:.1f}"]
             for name, area, evidence in (("box", _area(scene, box), box.share), ("mask", mask.area, mask.evidence))]
    return [
        el("h3", "How much both hold"),
        account([("threshold", f"{percent(threshold)} of {plain(largest)} = {plain(threshold * largest)} "
                               "logits a position"),
                 ("largest region", f"{box.positions} of {rows * columns} positions")]),
        table(("region", "area", "evidence", "times its area"), areas, numbers=range(1, 4), class_="lesson-table"),
        el("p", "Area is a share of what the network saw, evidence a share of all positive evidence. The box is around "
                "the largest region of positions as they are; the mask is the largest region of the same map, made "
                "smooth between the positions.", class_="note"),
    ]
