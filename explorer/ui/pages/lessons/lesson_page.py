"""What stands around each lesson: its claim, the way to the others by click and by key, and what to notice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import streamlit as st

from explorer.lessons.catalogue import LESSONS, Lesson
from explorer.sections.nodes import Node, el
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.library import handler, hidden, part
from explorer.ui.pages.lessons import (
    any_input_size,
    attention,
    average_or_maximum,
    fewer_parameters,
    from_maps_to_one_number,
    local_and_global,
    lost_place,
    overfitting,
    tokens,
    where_from_maps,
)
from explorer.ui.pages.lessons.lesson_controls import draw_controls
from explorer.ui.pages.lessons.scene import LessonPanel, Scene
from explorer.ui.progress import answered
from explorer.ui.region import viewer_handlers
from explorer.ui.session.session import Session

PANELS: Mapping[int, LessonPanel] = MappingProxyType({
    1: from_maps_to_one_number, 2: local_and_global, 3: fewer_parameters, 4: any_input_size, 5: overfitting,
    6: lost_place, 7: average_or_maximum, 8: attention, 9: where_from_maps, 10: tokens,
})
_keys = part("keys", "<div></div>")


def show_lesson(scene: Scene) -> None:
    """The title and the claim, the lesson itself, what to notice and the source; and the keys."""
    session = scene.session
    lesson, panel = LESSONS[session.choices.lesson], PANELS[session.choices.lesson]
    if scene.presenting:
        picture, words = st.columns([66, 34], gap="medium")
        below = words
    else:
        words, picture, below = st.container(), st.container(), st.container()

    def draw() -> None:
        with words:
            chosen = draw_controls(scene, panel.controls(scene))
        with picture:
            notice = panel.draw(scene, chosen)
        if notice:
            with below:
                board(el("p", *scene.at_desk(el("strong", "Notice: ")), notice, class_="lead"), key="notice")

    with words:
        board(el("div", *scene.at_desk(el("div", _steps(lesson), class_="chips")), el("h1", lesson.title),
                 *scene.at_desk(el("p", lesson.claim, class_="lead")), class_="headline"),
              key="lesson_head", on_pick=lambda number: _go_to(session, number))
    answered(draw)
    if scene.presenting:
        _steps_of_a_talk(session)
    else:
        panels.note(f"Source: {lesson.source}", key="source_of_lesson", style="caption")
    _listen_to_keys(session)


def _steps(lesson: Lesson) -> Node:
    return panels.chips("Lesson", (
        panels.chip(str(other.number), other.number, other is lesson, key=f"lesson-{other.number}",
                    title=f"Lesson {other.number}: {other.title}") for other in LESSONS.values()))


def _steps_of_a_talk(session: Session) -> None:
    """Back and on for those without keys, how far it is, and the way out."""
    number, leave = session.choices.lesson, viewer_handlers(session).present
    assert leave is not None

    def step(picked: int) -> None:
        if picked:
            _go_to(session, number + picked)
        else:
            leave(False)

    def button(text: str, picked: int, name: str | None = None) -> Node:
        return el("button", text, pick=picked, type="button", class_="chip", data_key=text, aria_label=name)

    with st.container(key="lesson_steps"):
        board(el("div", button("‹", -1, "Step back"), el("span", f"{number} of {len(LESSONS)}"),
                 button("›", 1, "Next step"), button("Leave", 0), class_="chips last"), key="steps", on_pick=step)


def _go_to(session: Session, number: int) -> None:
    """Another lesson, with its settings as they were left; before the first and after the last there is none."""
    if number in LESSONS:
        chosen = session.choices
        session.settings[chosen.lesson] = chosen.settings
        session.choose(lesson=number, settings=session.settings.get(number, ()))


def _listen_to_keys(session: Session) -> None:
    handlers, events = viewer_handlers(session), partial(handler, "keys_source")
    hidden(_keys, {"stage": session.presenting}, key="keys",
           on_walk_change=events("walk", lambda steps: _go_to(session, session.choices.lesson + int(steps))),
           on_photos_change=events("photos", handlers.walk),
           on_present_change=events("present", handlers.present))
