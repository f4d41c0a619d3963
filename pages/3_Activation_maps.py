"""Activation maps: where the evidence lies, by pooling and by published CAM method."""

import streamlit as st

from explorer.ui.activation import (
    activation_headline,
    box_choice,
    cam_grid,
    class_choice,
    classes_shown,
    evidence_grid,
    map_choice,
    methods_choice,
    talk_about_maps,
    votes_grid,
)
from explorer.ui.controls import downloads, pooling_choice
from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.maps import under
from explorer.ui.places import with_place
from explorer.ui.poolings import poolings_choice
from explorer.ui.state import write_url

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
    outcome = under(analysis, chosen.pooling)
    outcomes = [under(analysis, spelling) for spelling in chosen.poolings]
    if current.presenting:
        talk_about_maps(current, outcomes, classes)
        return
    activation_headline(outcome, class_index, len(classes) - 1)
    kind, what, more = st.columns([30, 46, 24], gap="small")
    with kind:
        map_choice(current)
    with what:
        {"evidence": poolings_choice, "cams": methods_choice, "votes": pooling_choice}[chosen.maps](current)
    with more:
        {"evidence": box_choice, "cams": pooling_choice, "votes": lambda _: None}[chosen.maps](current)
    if chosen.maps != "votes":
        class_choice(current, analysis, classes, class_index)
    with_place(current, outcome, class_index, {
        "evidence": lambda: evidence_grid(current, outcomes, classes),
        "cams": lambda: cam_grid(current, outcome, classes),
        "votes": lambda: votes_grid(current, outcome, class_index),
    }[chosen.maps])
    downloads(outcome, class_index, chosen.calibrated, classes, chosen.poolings)


story()
