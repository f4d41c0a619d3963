"""What a lesson can be put to: each control has a few values in order, so that a link and a test can name them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from explorer.ui.controls import in_step
from explorer.ui.session.session import Session
from explorer.wording import listed

MOST_BUTTONS = 5  # more values of a control without an order are chosen from a list


@dataclass(frozen=True)
class Control:
    """One control.

    Attributes:
        name: in links, lower-case letters.
        label: for people.
        values: all that it can be put to, in order; in links each is written as text: letters, digits, "_.+-".
        usual: one of them.
        words: what a value is called.
        ordered: whether the values lie on a scale, for a slider; else they are buttons, or a list where they are many.
    """

    name: str
    label: str
    values: tuple[Any, ...]
    usual: Any
    words: Callable[[Any], str] = str
    ordered: bool = True


def ask(current: Session, controls: Sequence[Control], widths: Sequence[int] | None = None) -> dict[str, Any]:
    """Draw the controls side by side; what each is put to, by name. A link's bad value is answered with a sentence."""
    put = {each.name: _asked(current, each) for each in controls}
    shown = [each for each in controls if len(each.values) > 1]
    if shown:
        for column, each in zip(st.columns(widths or len(shown), gap="medium"), shown, strict=False):
            with column:
                _draw(current, each, put[each.name])
    return put


def _asked(current: Session, control: Control) -> Any:
    text = dict(current.choices.settings).get(control.name)
    if text is None:
        return control.usual
    found = next((value for value in control.values if str(value) == text), None)
    if found is None:
        there = listed([str(value) for value in control.values][:12])
        current.notices.append(f"The link asks for {control.name} “{text}”, which does not exist; expected one of "
                               f"{there}.")
        _put(current, control, control.usual)
        return control.usual
    return found


def _draw(current: Session, control: Control, value: Any) -> None:
    step = in_step(current, f"lesson_{current.choices.lesson}_{control.name}", value,
                   lambda picked: _put(current, control, value if picked is None else picked))
    if control.ordered:
        st.select_slider(control.label, control.values, format_func=control.words, **step)
    elif len(control.values) <= MOST_BUTTONS:
        st.segmented_control(control.label, control.values, format_func=control.words, width="stretch", **step)
    else:
        st.selectbox(control.label, control.values, format_func=control.words, **step)


def _put(current: Session, control: Control, value: Any) -> None:
    settings = {name: text for name, text in current.choices.settings if name != control.name}
    if value != control.usual:
        settings[control.name] = str(value)
    current.choose(settings=tuple(settings.items()))
