"""Explore: a photo in, the answer out."""

import streamlit as st

from explorer.ui.controls import downloads
from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.networks.second_network import answers_of_both, second_of
from explorer.ui.pages.explore import answers_and_channels, evidence_panel, follow_answer, headline
from explorer.ui.pooling_choice import beside_each_other, outcome_of, pooling_choice
from explorer.ui.present import talk_about_evidence
from explorer.ui.region import with_place
from explorer.ui.session.session import write_url

current, analysis = frame("Explore")


def show(picked: list) -> None:
    if picked[0] == "channel":
        current.choose(channel=picked[1])
        current.onward = "pages/1_Feature_maps.py"
    else:
        follow_answer(current, picked)


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
    outcome = outcome_of(analysis, chosen.pooling)
    if current.presenting:
        talk_about_evidence(current, analysis, outcome, class_index)
        return
    second = second_of(current)
    headline(analysis, outcome, class_index, named=second is not None)

    def photo(limit: float | None = None) -> None:
        with_place(current, outcome, class_index,
                   lambda: evidence_panel(current, analysis, outcome, class_index, limit))

    def poolings() -> None:
        pooling_choice(current, analysis)
        answers_and_channels(beside_each_other(analysis, outcome), outcome, class_index, chosen.calibrated, show)

    if second is not None:
        answers_of_both(current, outcome, second, class_index, photo)
        poolings()
    else:
        left, right = st.columns([46, 54], gap="medium")
        with left:
            photo()
        with right:
            poolings()
    downloads(outcome, class_index, chosen.calibrated)


story()
