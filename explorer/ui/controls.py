"""Streamlit's own controls, in step with what was chosen."""

from __future__ import annotations

from typing import Any

import streamlit as st

from explorer import Analysis
from explorer.analysis import Outcome
from explorer.export import arrays_npz, numbers_json, overlay_png
from explorer.pooling import POOLINGS
from explorer.ui.state import Session


def in_step(current: Session, name: str, value: object) -> dict[str, Any]:
    """`key` and `on_change` of a widget that shows `value` and makes the choice of that name.

    Once the value was changed elsewhere it is a new widget, and the old one is not heard any more: the browser sends
    old values along with the next click until it knows the new ones, and they would be taken for choices.
    """
    shown, count = current.shown.get(name, (value, 0))
    count += shown != value
    current.shown[name] = value, count
    key = f"{name}_{count}"
    st.session_state[key] = value

    def changed() -> None:
        picked, newest = st.session_state[key], current.shown[name][1]
        if count == newest:
            if picked is None:  # a click on the chosen one of a few buttons takes the choice away: it stays
                picked = current.shown[name][0]
            current.shown[name] = picked, count
            current.choose(**{name: picked})

    return {"key": key, "on_change": changed}


def class_and_pooling(current: Session, analysis: Analysis, class_index: int) -> None:
    """Which class's evidence, under which pooling: any class by its name, any of the eight poolings."""
    names = analysis.network.class_names
    left, right = st.columns([3, 2], gap="small")
    left.selectbox(f"Evidence for (any of {len(names):,} classes)", range(len(names)),
                   format_func=names.__getitem__, **in_step(current, "class_index", class_index))
    right.selectbox("under", list(POOLINGS), format_func=lambda key: POOLINGS[key].label(),
                    **in_step(current, "pooling", current.choices.pooling))


def downloads(analysis: Analysis, outcome: Outcome, class_index: int, calibrated: bool) -> None:
    """The overlay at the photo's own size, the arrays and the numbers; each is made when it is asked for."""
    name = f"poolscope_{outcome.pooling}_{class_index}"
    files = (
        ("Overlay, PNG", f"{name}.png", "image/png", lambda: overlay_png(outcome, class_index)),
        ("Arrays, npz", f"{name}.npz", "application/octet-stream", lambda: arrays_npz(outcome, class_index)),
        ("Numbers, JSON", f"{name}.json", "application/json",
         lambda: numbers_json(outcome, class_index, calibrated)),
    )
    columns = st.columns([1, 1, 1, 3], gap="small")
    for column, (label, file, kind, make) in zip(columns, files, strict=False):
        column.download_button(label, make, file, kind, on_click="ignore", type="tertiary", icon=":material/download:")
