"""Streamlit's own controls, in step with what was chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from explorer.ui.session.session import Session


@dataclass(frozen=True)
class _Drawn:
    """How a choice's widget was drawn last: what it shows, how many came before it, and on which page."""

    value: object
    count: int
    page: str


def in_step(
    session: Session, name: str, value: Any, choose: Callable[[Any], None] | None = None, /, **start: Any
) -> dict[str, Any]:
    """`key` and `on_change` of a widget that shows `value` and makes the choice of that name, or calls `choose`.

    `start` is the widget's own argument for its first value, as `default=value`. A browser that gets two runs at once
    never hears of a value that the first run set, and would answer with the widget's usual one: as if it were chosen.
    Only a widget that may be empty has none.

    Once the value was changed elsewhere it is a new widget, and the old one counts for nothing: the browser sends old
    values along with the next click until it knows the new ones, and they would be taken for choices. On another page
    it is a new one too: the browser forgets values with the page, and Streamlit would not send it again.
    """
    widgets: dict[str, _Drawn] = st.session_state.setdefault("poolscope_widgets", {})
    last = widgets.get(name, _Drawn(value, 0, session.page))
    count = last.count + (last.value != value or last.page != session.page)
    widgets[name] = _Drawn(value, count, session.page)
    key = f"{name}_{count}"
    if key in st.session_state and st.session_state[key] == value:
        pass  # set again, it would undo what was done since
    elif key in st.session_state or not start:
        st.session_state[key] = value
        start = {}

    def changed() -> None:
        picked, newest = st.session_state[key], widgets[name]
        if count != newest.count:
            return
        if picked is None and choose is None:  # a click on the chosen one of a few buttons takes it away: it stays
            picked = newest.value
        widgets[name] = replace(newest, value=picked)
        if choose is None:
            session.choose(**{name: picked})
        else:
            choose(picked)

    return {"key": key, "on_change": changed, **start}


def open_channel(session: Session, channel: int) -> None:
    """In a callback: show a channel among the feature maps."""
    session.choose(channel=channel)
    st.switch_page("pages/1_Feature_maps.py")
