"""Activation maps: where the evidence lies, by pooling and by published CAM method."""

import streamlit as st

from explorer.ui.controls import downloads
from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.networks.second_network import second_of, second_row
from explorer.ui.pages.activation_maps import (
    activation_headline,
    attention_grid,
    cam_grid,
    class_choice,
    classes_shown,
    controls,
    evidence_grid,
    talk_about_maps,
    votes_grid,
)
from explorer.ui.pooling_choice import outcome_of, outcomes_of
from explorer.ui.region import with_place
from explorer.ui.session.session import write_url
from explorer.ui.without_pooling import shown_kind, shown_methods

current, analysis = frame("Activation maps")


@st.fragment
def story() -> None:
    chosen = current.choices
    class_index = shown_class(current, analysis)
    if current.left_frame(class_index):
        st.rerun()
    classes = classes_shown(current, analysis, class_index)
    write_url(current, class_index)
    show_notices(current, analysis)
    outcome = outcome_of(analysis, chosen.pooling)
    outcomes = outcomes_of(analysis, chosen.poolings)
    if current.presenting:
        talk_about_maps(current, outcomes, classes)
        return
    kind = shown_kind(current, analysis)
    activation_headline(outcome, class_index, len(classes) - 1, kind)
    controls(current, analysis, kind)
    if kind in ("evidence", "cams"):
        class_choice(current, analysis, classes, class_index)
    with_place(current, outcome, class_index, {
        "evidence": lambda: evidence_grid(current, outcomes, classes),
        "cams": lambda: cam_grid(current, outcome, classes),
        "votes": lambda: votes_grid(current, outcome, class_index),
        "attention": lambda: attention_grid(current, analysis),
    }[kind])
    if (second := second_of(current)) is not None:
        second_row(current, outcome, second, classes, kind, shown_methods(current, second)[0])
    downloads(outcome, class_index, chosen.calibrated, classes, tuple(map(str, chosen.poolings)))


story()
