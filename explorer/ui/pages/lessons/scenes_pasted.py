"""Lesson 7: an object on a ground, small or large, once or often, under GAP, GMP and GeM."""

from __future__ import annotations

import numpy as np
import streamlit as st
from PIL import Image

from explorer import figures, render
from explorer.analysis.memory import Memory
from explorer.lessons import average_or_maximum as lesson
from explorer.lessons.average_or_maximum import Growing, Said, Setting
from explorer.lessons.scenes import COUNTS, SMALLEST_SCALE, largest_scale
from explorer.sections.nodes import Node, el, picture
from explorer.ui.components.board import board
from explorer.ui.pages.explore import badge
from explorer.ui.pages.lessons.lesson_controls import Control, ask
from explorer.ui.pages.lessons.lesson_page import Scene
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import EXAMPLES, example_photo
from explorer.wording import number_word, percent, plain, shortened, signed

SCALES = (SMALLEST_SCALE, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8, 1.0)
POWERS = (1, 2, 3, 5, 10, 20, 50, 100)
TIMES = {1: "once", 4: "four times", 9: "nine times"}
SHORT = {"plain": "one colour", "blur": "blurred photo", "clutter": "other photos"}
SIDE = 400  # px of a picture
_SCENES, _PATHS = 12, 5  # that are remembered of one photo; no more paths than lesson 7 itself remembers


def controls(scene: Scene) -> tuple[Control, ...]:
    """How large, how often, on what; and GeM's p."""
    return (Control("scale", "Object's long side, of the scene's", SCALES, 0.28, percent),
            Control("count", "Pasted", COUNTS, 1, TIMES.__getitem__, ordered=False),
            Control("ground", "On", tuple(SHORT), "plain", SHORT.__getitem__, ordered=False),
            Control("p", "p of GeM", POWERS, 3))


def teach(scene: Scene) -> None:
    """The scene, the evidence on it under GAP and under GMP, what three poolings say, and what they say at all scales.
    """
    put = ask(scene.current, controls(scene), [4, 4, 5, 3])
    scale, p = min(put["scale"], largest_scale(put["count"])), float(put["p"])
    others = tuple(_photo(name) for name in EXAMPLES if name != scene.current.choices.example)
    setting = Setting(scene.class_index, put["ground"], put["count"], others=others)
    calibrated = scene.current.choices.calibrated
    kept = scene.analysis.remember("pasted scenes", lambda: Memory(_SCENES))
    found = kept((scene.class_index, put["ground"], put["count"], scale, p, calibrated),
                 lambda: lesson.average_or_maximum(scene.analysis, setting, scale, p, calibrated))
    left, right = st.columns([5, 4], gap="medium")
    with left:
        board(el("div", _pictures(scene, found), _said(scene, found, p),
                 el("p", _in_words(put["count"], put["scale"], scale, found), class_="note"), class_="stack ruled"),
              key="pasted")
    with right:
        _path(scene, setting, scale, p)


def _photo(name: str) -> Image.Image:
    return example_photo(name).image


def _pictures(scene: Scene, found: lesson.Scene) -> Node:
    size = found.photo.size
    shots = [_shot("The scene", found.photo.resize((SIDE, SIDE)), "The scene")]
    for key in ("gap", "gmp"):
        outcome = found.analysis.under(key)
        cells = outcome.evidence(scene.class_index).cells.numpy()
        scale = render.Scale.signed(cells)
        drawn = render.overlay(found.photo, cells, (0, 0, *size), scale).resize((SIDE, SIDE))
        shots.append(_shot(f"Evidence under {outcome.name}", drawn,
                           f"Evidence for {shortened(scene.class_name)} under {outcome.name}", scale))
    return el("div", *shots, class_="lesson-shots three")


def _shot(title: str, photo: Image.Image, alt: str, scale: render.Scale | None = None) -> Node:
    return el("div", el("span", title, class_="caption"), picture(render.jpeg(photo), alt), scale and el(
        "div", el("div", class_="bar", style={"background": scale.css_gradient()}),
        el("span", f"{signed(scale.limit)} logits"), class_="legend"), class_="shot")


def _said(scene: Scene, found: lesson.Scene, p: float) -> Node:
    titles, calibrated = ("", "logit", "ahead by", "probability", "rank"), scene.current.choices.calibrated
    outcomes = [found.analysis.under(said.key, **({"p": p} if said.key == "gem" else {})) for said in found.said]
    rows = [node for said, outcome in zip(found.said, outcomes, strict=True)
            for node in _row(said, badge(outcome, calibrated))]
    return el("div", el("h3", f"What they say of {shortened(scene.class_name, 40)}"), el(
        "div", *(el("span", title, class_="caption") for title in titles), *rows, class_="lesson-table",
        style={"--columns": "4"}))


def _row(said: Said, mark: Node) -> list[Node]:
    margin = signed(said.margin) if np.isfinite(said.margin) else ""
    return [el("span", said.name, " ", mark, class_="name"), el("span", plain(said.logit)), el("span", margin),
            el("span", percent(said.probability)), el("span", f"{said.rank:,}")]


def _in_words(count: int, wanted: float, scale: float, found: lesson.Scene) -> str:
    left, top, right, bottom = (round(edge) for edge in found.box)
    most = f" {number_word(count).capitalize()} fit up to {percent(scale)}." if scale < wanted else ""
    return (f"{percent(found.share)} of the scene is object, cut out where the evidence finds it: pixels {left} to "
            f"{right} across, {top} to {bottom} down.{most} The scene is {found.photo.width} px wide, so there are "
            f"{found.analysis.framing.grid[0]} × {found.analysis.framing.grid[1]} positions.")


def _path(scene: Scene, setting: Setting, scale: float, p: float) -> None:
    """Once the maps of all scales are there, another p or another class runs no network."""
    jobs = scene.analysis.remember("growing jobs", lambda: Memory(_PATHS))
    key = scene.class_index, setting.ground, setting.count
    job = jobs(key, lambda: Job(lambda progress, stop: lesson.growing(
        scene.analysis, setting, progress=progress, stop=stop)))
    if worked(scene.current, job, "growing_{}_{}_{}".format(*key), "Growing the object") is None:
        return
    found = lesson.growing(scene.analysis, setting, p, calibrated=scene.current.choices.calibrated)
    figure = figures.rising(found.scales, dict(zip(found.names, found.risen, strict=True)), scale,
                            "object's long side, of the scene's", "logit, from empty to largest")
    st.plotly_chart(figure, key="rising", config={"displayModeBar": False})
    board(el("p", _half_ways(found), class_="note"), key="half_ways")


def _half_ways(found: Growing) -> str:
    ways = [f"{name} at {percent(float(scale))}" if np.isfinite(scale) else f"{name} never"
            for name, scale in zip(found.names, found.half_way, strict=True)]
    empty = ", ".join(plain(said.logit) for said in found.empty)
    return (f"0 is the logit of the empty ground ({empty}), 100% the pooling's own largest. Half of that way is "
            f"reached by {', '.join(ways)}.")
