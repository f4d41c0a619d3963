"""Lesson 9: a box and a mask from the evidence, of a network that was never told where anything is."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from PIL import Image, ImageEnhance

from explorer import render
from explorer.lessons.where_from_maps import THRESHOLD, WhereFromMaps, mask_on_photo, where_from_maps
from explorer.sections.nodes import Node, el, picture
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, stack, viewer
from explorer.ui.maps import evidence_map
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.pages.lessons.lesson_pictures import account
from explorer.wording import percent, plain, shortened

THRESHOLDS = (0.01, 0.05, 0.1, 0.15, THRESHOLD, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TALLEST = 330  # px of a photo
SIDE = 860  # px of the photo that the mask is laid on
_DARK = 0.22  # of the photo's brightness, outside the mask


def controls(scene: Scene) -> tuple[Control, ...]:
    """From which share of the maximum on a place belongs to the class."""
    return (Control("threshold", "Threshold, share of the strongest evidence", THRESHOLDS, THRESHOLD, percent),)


def teach(scene: Scene) -> None:
    """The evidence with its box, the photo within its mask, and how much both hold."""
    put = ask(scene.current, controls(scene))
    found = where_from_maps(scene.outcome, scene.class_index, put["threshold"])
    left, middle, right = st.columns(3, gap="medium")
    with left:
        _box(scene, found)
    with middle:
        board(_masked(scene, found), key="masked")
    with right:
        board(el("div", *_numbers(scene, found), class_="stack ruled"), key="located")


def _box(scene: Scene, found: WhereFromMaps) -> None:
    name, box = shortened(scene.class_name, 40), found.box
    shown = replace(
        evidence_map(scene.outcome, scene.class_index, title=f"{name}: evidence, and the box from it"), says="",
        box=box and (box.left, box.top, box.right, box.bottom), aside="")
    viewer(scene.analysis, scene.current.photo.digest, stack([shown]), key="box", name=shown.name,
           look=Look(tallest=TALLEST, toolbar=False))


def _masked(scene: Scene, found: WhereFromMaps) -> Node:
    if found.segmented is None:
        return el("p", f"There is no mask: nothing on the photo speaks for {shortened(scene.class_name)} under "
                       f"{scene.outcome.name}.", class_="note")
    photo, seen = scene.analysis.preview(SIDE)
    dark = ImageEnhance.Brightness(render.grey_out(photo, seen)).enhance(_DARK)
    drawn = Image.composite(photo, dark, mask_on_photo(scene.analysis, found.segmented.mask, SIDE))
    return el("div", el("h3", "The mask: what lies outside it is darkened"), el(
        "div", picture(render.jpeg(drawn), f"The photo inside the mask of {shortened(scene.class_name)}"),
        class_="photo"), class_="evidence lesson-masked")


def _numbers(scene: Scene, found: WhereFromMaps) -> list[Node]:
    strongest = float(scene.outcome.evidence(scene.class_index).cells.max())
    lines = [("threshold", f"{percent(found.threshold)} of {plain(strongest)} = {plain(found.threshold * strongest)} "
                           "logits a position")]
    if found.box is None or found.segmented is None:
        return [el("p", f"Nothing speaks for {shortened(scene.class_name)}, so there is no box.")]
    box, cut, size = found.box, found.segmented, scene.analysis.framing.grid
    (top, bottom), (left, right) = box.rows, box.columns
    count = (bottom - top + 1) * (right - left + 1)
    region = f"{box.positions} of {size[0] * size[1]} positions"
    return [
        el("h3", "How much both hold"),
        account([*lines, ("largest region", region)]),
        el("div", *(el("span", text, class_="caption") for text in ("", "area", "evidence", "times its area")),
           *_row("box", count / (size[0] * size[1]), box.share), *_row("mask", cut.area, cut.evidence),
           class_="lesson-table", style={"--columns": "3"}),
        el("p", "Area is a share of what the network saw, evidence of all that speaks for the class. The box is around "
                "the largest region of positions as they are; the mask is the largest region of the same map, made "
                "smooth between the positions.", class_="note"),
    ]


def _row(name: str, area: float, evidence: float) -> list[Node]:
    return [el("span", name, class_="name"), el("span", percent(area)), el("strong", percent(evidence)),
            el("span", f"{evidence / area:.1f}")]
