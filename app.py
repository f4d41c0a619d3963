"""Explore: a photo in, the answer out."""

import streamlit as st

from explorer.ui.controls import downloads, pooling_choice
from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.panels import answers_and_channels, evidence_panel, headline
from explorer.ui.state import write_url

COMPARED = ("gap", "gmp", "attention")

current, analysis = frame("Explore")


def show(picked: list) -> None:
    pooling, class_index = picked
    current.choose(pooling=pooling, class_index=class_index)


@st.fragment  # a click in here runs this part alone: the sidebar stays as it is
def story() -> None:
    chosen = current.choices
    class_index = shown_class(current, analysis)
    if current.searched not in (None, class_index):
        st.rerun()  # the sidebar must let go of the name that was searched for, or it could not be searched for again
    write_url(current, class_index)
    show_notices(current)
    outcome = analysis.under(chosen.pooling)
    compared = COMPARED if chosen.pooling in COMPARED else (*COMPARED[:2], chosen.pooling)
    headline(analysis, outcome, class_index)
    left, right = st.columns([46, 54], gap="medium")
    with left:
        pooling_choice(current)
        evidence_panel(analysis, outcome, class_index)
    with right:
        outcomes = [analysis.under(key) for key in compared]
        answers_and_channels(outcomes, outcome, class_index, chosen.calibrated, show)
    downloads(analysis, outcome, class_index, chosen.calibrated)


story()
