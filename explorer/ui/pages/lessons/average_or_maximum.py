"""Lesson 7: an object on a ground, small or large, once or often, under GAP, GMP and GeM."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from explorer import figures, render
from explorer.lessons import average_or_maximum as lesson
from explorer.lessons.average_or_maximum import Growth, Setting
from explorer.lessons.scenes import COUNTS, GROUNDS, SMALLEST_SCALE, largest_scale
from explorer.sections.answers import badge
from explorer.sections.nodes import Node, el
from explorer.sections.parts import table
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.pages.lessons.lesson_pictures import bars, shot
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import EXAMPLES, example_photo
from explorer.wording import number_word, percent, plain, shortened, signed

SCALES = (SMALLEST_SCALE, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8, 1.0)
POWERS = (1, 2, 3, 5, 10, 20, 50, 100)
TIMES = {1: "once", 4: "four times", 9: "nine times"}
SIDE = 400  # px of a picture


def controls(scene: Scene) -> tuple[Control, ...]:
    """How large, how often, on what; and GeM's p."""
    return (Control("scale", "Object's long side, of the scene's", SCALES, 0.28, percent, width=4),
            Control("count", "Pasted", COUNTS, 1, TIMES.__getitem__, ordered=False, width=4),
            Control("ground", "On", tuple(GROUNDS), "plain", GROUNDS.__getitem__, ordered=False, width=5),
            Control("p", "p of GeM", POWERS, 3, width=3))


def draw(scene: Scene, chosen: dict[str, Any]) -> str:
    """The scene, the evidence on it under GAP and GMP, the answers of three poolings, and their logits at all scales.
    """
    scale, p = min(chosen["scale"], largest_scale(chosen["count"])), float(chosen["p"])
    others = tuple(example_photo(name).image for name in EXAMPLES if name != scene.session.choices.example)
    setting = Setting(scene.class_index, chosen["ground"], chosen["count"], others=others)
    key = "pasted scene", scene.class_index, setting.ground, setting.count, scale, p
    pasted = drawn(scene.analysis, key, lambda: lesson.average_or_maximum(scene.analysis, setting, scale, p))
    if scene.presenting:
        board(_pictures(scene, pasted), key="pasted")
        growth = _growth(scene, setting, p)
        if growth is not None:
            board(el("div", el("h3", "Half of the rise of the logit, at an object of"), bars(
                [(one.under_in_words.removeprefix("under ") or one.name, float(reached),
                  "never" if np.isnan(reached) else percent(float(reached)))
                 for one, reached in zip(pasted.outcomes, growth.half_way, strict=True)], 1.0), class_="stack"),
                key="half_ways")
        return _notice(growth)
    left, right = st.columns([5, 4], gap="medium")
    with left:
        board(el("div", _pictures(scene, pasted), *_table(scene, pasted),
                 el("p", _account(chosen["count"], chosen["scale"], scale, pasted), class_="note"),
                 class_="stack ruled"), key="pasted")
    with right:
        growth = _growth(scene, setting, p)
        if growth is not None:
            curves = dict(zip(growth.names, growth.risen, strict=True))
            panels.chart(figures.rising(growth.scales, curves, scale, "object's long side, of the scene's",
                                        "logit, from empty to largest"), key="rising")
            panels.note(_half_ways(growth), key="half_ways")
    return _notice(growth)


def _notice(growth: Growth | None) -> str:
    """Whether the claim holds of this photo: the maximum needs less of the object than the average."""
    if growth is None:
        return ""
    average, maximum = (float(scale) for scale in growth.half_way[:2])
    if np.isnan([average, maximum]).any():
        return f"On this photo no size of the object raises the logit under {'GAP' if np.isnan(average) else 'GMP'}."
    if percent(average) == percent(maximum):
        return f"On this photo both need as large an object for half of their rise: {percent(average)} of the scene."
    holds = maximum < average
    return (f"{'' if holds else 'This photo does not show it: '}GMP reaches half of its rise with an object of "
            f"{percent(maximum)} of the scene's side, GAP with {percent(average)}.")


def _pictures(scene: Scene, pasted: lesson.Scene) -> Node:
    photo = pasted.analysis.image
    shots = [shot("The scene", photo.resize((SIDE, SIDE)), "The scene")]
    for outcome in pasted.outcomes[:2]:
        cells = outcome.evidence(scene.class_index).cells.numpy()
        scale = render.Scale.signed(cells)
        painted = render.overlay(photo, cells, (0, 0, *photo.size), scale).resize((SIDE, SIDE))
        alt = f"Evidence for {shortened(scene.class_name)} under {outcome.name}"
        shots.append(shot(f"Evidence {outcome.under_in_words or f'under {outcome.name}'}", painted, alt, scale))
    return el("div", *shots, class_="lesson-shots three")


def _table(scene: Scene, pasted: lesson.Scene) -> tuple[Node, Node]:
    rows: list[list[Node | str]] = []
    calibrated = scene.session.choices.calibrated
    for outcome in pasted.outcomes:
        name = el("span", outcome.name, " ", badge(outcome, calibrated))
        answer, lead = outcome.answer(scene.class_index, calibrated), lesson.lead(outcome, scene.class_index)
        ahead = signed(lead) if np.isfinite(lead) else ""
        rows.append([name, plain(answer.logit), ahead, percent(answer.probability), f"{answer.rank:,}"])
    return (el("h3", f"Answers for {shortened(scene.class_name, 40)}"),
            table(("pooling", "logit", "ahead by", "probability", "rank"), rows, numbers=range(1, 5),
                  class_="lesson-table"))


def _account(count: int, requested: float, scale: float, pasted: lesson.Scene) -> str:
    left, top, right, bottom = (round(edge) for edge in pasted.box)
    most = f" {number_word(count).capitalize()} fit up to {percent(scale)}." if scale < requested else ""
    (rows, columns), width = pasted.analysis.framing.grid, pasted.analysis.image.width
    return (f"{percent(pasted.share)} of the scene is object, cut out where the evidence finds it: pixels {left} to "
            f"{right} across, {top} to {bottom} down.{most} The scene is {width} px wide, so there are "
            f"{rows} × {columns} positions.")


def _growth(scene: Scene, setting: Setting, p: float) -> Growth | None:
    """Once the maps of all scales are there, another p or another class runs no network."""
    key = scene.class_index, setting.ground, setting.count
    job = drawn(scene.analysis, ("growing job", *key), lambda: Job(lambda progress, stop: lesson.growing(
        scene.analysis, setting, progress=progress, stop=stop)))
    if worked(scene.session, job, "growing_{}_{}_{}".format(*key), "Growing the object") is None:
        return None
    return lesson.growing(scene.analysis, setting, p)


def _half_ways(growth: Growth) -> str:
    ways = [f"{name} at {percent(float(scale))}" if np.isfinite(scale) else f"{name} never"
            for name, scale in zip(growth.names, growth.half_way, strict=True)]
    empty = ", ".join(plain(logit) for logit in growth.empty.tolist())
    return (f"0 is the logit of the empty ground ({empty}), 100% the pooling's own largest. Half of that way is "
            f"reached by {', '.join(ways)}.")
