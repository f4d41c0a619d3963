"""What stands around each lesson: its claim, the way to the others by click and by key, and what to notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from explorer.analysis import Analysis, Outcome
from explorer.lessons.catalogue import LESSONS, Lesson
from explorer.ui.components.board import Node, board, el
from explorer.ui.components.library import hidden, part
from explorer.ui.progress import answered
from explorer.ui.region import viewer_handlers
from explorer.ui.session.session import Session

_keys = part("keys", "<div></div>")


@dataclass(frozen=True)
class Scene:
    """What a lesson is about.

    Attributes:
        current: this person's session.
        analysis: of the photo on the table.
        outcome: under the pooling chosen.
        class_index: the class shown.
    """

    current: Session
    analysis: Analysis
    outcome: Outcome
    class_index: int

    @property
    def class_name(self) -> str:
        """Of the class shown."""
        return self.analysis.network.class_names[self.class_index]


Teach = Callable[[Scene], None]


def show_lesson(scene: Scene, teach: Teach) -> None:
    """The head, the lesson itself, what to notice and the source; and the keys."""
    lesson = LESSONS[scene.current.choices.lesson]
    _head(scene.current, lesson)
    answered(lambda: teach(scene))
    board(el("div", el("p", el("strong", "Notice: "), lesson.notice, class_="lead"),
             el("p", f"Source: {lesson.source}", class_="caption"), class_="stack"), key="notice")
    _keys_of(scene.current)


def go_to(current: Session, number: int) -> None:
    """Another lesson; after the last comes the first."""
    current.choose(lesson=(number - 1) % len(LESSONS) + 1, settings=())


def _head(current: Session, lesson: Lesson) -> None:
    board(el("div", el("div", _steps(lesson), class_="chips"), el("h1", lesson.title),
             el("p", lesson.claim, class_="lead"), class_="headline"),
          key="lesson_head", on_pick=lambda number: go_to(current, number))


def _steps(lesson: Lesson) -> Node:
    def chip(other: Lesson) -> Node:
        return el("button", str(other.number), pick=other.number, type="button", class_="chip",
                  title=f"Lesson {other.number}: {other.title}", aria_label=f"Lesson {other.number}: {other.title}",
                  aria_pressed=str(other is lesson).lower(), data_key=f"lesson-{other.number}")

    return el("div", el("span", "Lesson", class_="caption"), *map(chip, LESSONS.values()), class_="chips")


def _keys_of(current: Session) -> None:
    handlers = viewer_handlers(current)

    def told(name: str, act: Callable) -> Callable[[], None]:
        def answer() -> None:
            value = st.session_state["keys"].get(name)
            if value is not None:
                act(value)

        return answer

    hidden(lambda data, key: _keys(
        data=data, key=key,
        on_walk_change=told("walk", lambda steps: go_to(current, current.choices.lesson + int(steps))),
        on_photos_change=told("photos", handlers.walk),
        on_present_change=told("present", handlers.present)), {"stage": current.presenting}, key="keys")
