"""The controls of a lesson, as widgets and in the link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explorer.ui.controls import in_step
from explorer.ui.pages.lessons.scene import Control, Scene
from explorer.ui.session.session import Session
from explorer.wording import listed

MOST_BUTTONS = 5  # more values of a control without an order are chosen from a list


def draw_controls(scene: Scene, controls: Sequence[Control]) -> dict[str, Any]:
    """Draw the controls side by side, in a talk one below the other, and return the chosen value of each by its name.

    A bad value in a link becomes a notice.
    """
    session = scene.session
    chosen = {control.name: _chosen(session, control) for control in controls}
    shown = [control for control in controls if len(control.values) > 1]
    if shown:
        columns = ([st.container() for _ in shown] if scene.presenting
                   else st.columns([control.width for control in shown], gap="medium"))
        for column, control in zip(columns, shown, strict=True):
            with column:
                _draw(session, control, chosen[control.name])
    return chosen


def _chosen(session: Session, control: Control) -> Any:
    text = dict(session.choices.settings).get(control.name)
    if text is None:
        return control.default
    for value in control.values:
        if str(value) == text:
            return value
    known = listed([str(value) for value in control.values][:12])
    session.notices.append(f"The link asks for {control.name} “{text}”, which does not exist; expected one of {known}.")
    _choose(session, control, control.default)
    return control.default


def _draw(session: Session, control: Control, value: Any) -> None:
    def step(**start: Any) -> dict[str, Any]:
        return in_step(session, f"lesson_{session.choices.lesson}_{control.name}", value,
                       lambda picked: _choose(session, control, value if picked is None else picked), **start)

    if control.ordered:
        st.select_slider(control.label, control.values, format_func=control.words, **step(value=value))
    elif len(control.values) <= MOST_BUTTONS:
        st.segmented_control(control.label, control.values, format_func=control.words, width="stretch",
                             **step(default=value))
    else:
        st.selectbox(control.label, control.values, format_func=control.words,
                     **step(index=list(control.values).index(value)))


def _choose(session: Session, control: Control, value: Any) -> None:
    settings = {name: text for name, text in session.choices.settings if name != control.name}
    if value != control.default:
        settings[control.name] = str(value)
    session.choose(settings=tuple(settings.items()))
