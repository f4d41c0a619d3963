"""The controls of a lesson, as widgets and in the link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explorer.ui.controls import in_step
from explorer.ui.pages.lessons.scene import Control
from explorer.ui.session.session import Session
from explorer.wording import listed

MOST_BUTTONS = 5  # more values of a control without an order are chosen from a list


def draw_controls(current: Session, controls: Sequence[Control]) -> dict[str, Any]:
    """Draw the controls side by side, and return the chosen value of each by its name.

    A bad value in a link becomes a notice.
    """
    chosen = {control.name: _chosen(current, control) for control in controls}
    shown = [control for control in controls if len(control.values) > 1]
    if shown:
        for column, control in zip(st.columns([control.width for control in shown], gap="medium"), shown, strict=True):
            with column:
                _draw(current, control, chosen[control.name])
    return chosen


def _chosen(current: Session, control: Control) -> Any:
    text = dict(current.choices.settings).get(control.name)
    if text is None:
        return control.default
    for value in control.values:
        if str(value) == text:
            return value
    known = listed([str(value) for value in control.values][:12])
    current.notices.append(f"The link asks for {control.name} “{text}”, which does not exist; expected one of {known}.")
    _choose(current, control, control.default)
    return control.default


def _draw(current: Session, control: Control, value: Any) -> None:
    step = in_step(current, f"lesson_{current.choices.lesson}_{control.name}", value,
                   lambda picked: _choose(current, control, value if picked is None else picked))
    if control.ordered:
        st.select_slider(control.label, control.values, format_func=control.words, **step)
    elif len(control.values) <= MOST_BUTTONS:
        st.segmented_control(control.label, control.values, format_func=control.words, width="stretch", **step)
    else:
        st.selectbox(control.label, control.values, format_func=control.words, **step)


def _choose(current: Session, control: Control, value: Any) -> None:
    settings = {name: text for name, text in current.choices.settings if name != control.name}
    if value != control.default:
        settings[control.name] = str(value)
    current.choose(settings=tuple(settings.items()))
