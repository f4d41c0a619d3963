"""Streamlit's own controls, in step with what was chosen."""

from __future__ import annotations

import streamlit as st

from explorer import Analysis
from explorer.analysis import Outcome
from explorer.export import arrays_npz, numbers_json, overlay_png
from explorer.pooling import POOLINGS
from explorer.ui.state import Session


def class_and_pooling(current: Session, analysis: Analysis, class_index: int) -> None:
    """Which class's evidence, under which pooling: any class by its name, any of the eight poolings."""

    def asked() -> None:
        current.choose(class_index=st.session_state["class"])

    def pooled() -> None:
        current.choose(pooling=st.session_state["pooling"])

    st.session_state["class"] = class_index
    st.session_state["pooling"] = current.choices.pooling
    names = analysis.network.class_names
    left, right = st.columns([3, 2], gap="small")
    left.selectbox(f"Evidence for (any of {len(names):,} classes)", range(len(names)), key="class", on_change=asked,
                   format_func=names.__getitem__)
    right.selectbox("under", list(POOLINGS), key="pooling", on_change=pooled,
                    format_func=lambda key: POOLINGS[key].label())


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
