"""Explore: a photo in, the answer out."""

import streamlit as st

from explorer.ui.controls import downloads, pooling_choice
from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.maps import under
from explorer.ui.panels import answers_and_channels, evidence_panel, headline
from explorer.ui.places import with_place
from explorer.ui.stage import talk_about_evidence
from explorer.ui.state import write_url

COMPARED = ("gap", "gmp", "attention")

current, analysis = frame("Explore")


def show(picked: list) -> None:
    what, number = picked
    if what == "channel":
        current.choose(channel=number)
        current.onward = "pages/1_Feature_maps.py"
    else:
        current.choose(pooling=what, class_index=number)


@st.fragment  # a click in here runs this part alone: the sidebar stays as it is
def story() -> None:
    if current.onward:
        st.switch_page(current.go_onward())
    chosen = current.choices
    class_index = shown_class(current, analysis)
    if current.left_frame(class_index):
        st.rerun()
    write_url(current, class_index)
    show_notices(current, analysis)
    outcome = under(analysis, chosen.pooling)
    if current.presenting:
        talk_about_evidence(current, analysis, outcome, class_index)
        return
    compared = COMPARED if chosen.pooling in COMPARED else (*COMPARED[:2], chosen.pooling)
    headline(analysis, outcome, class_index)
    left, right = st.columns([46, 54], gap="medium")
    with left:
        with_place(current, outcome, class_index, lambda: evidence_panel(current, analysis, outcome, class_index))
    with right:
        pooling_choice(current)
        outcomes = [under(analysis, spelling) for spelling in compared]
        answers_and_channels(outcomes, outcome, class_index, chosen.calibrated, show)
    downloads(outcome, class_index, chosen.calibrated)


story()
