"""Poolings: what each pooling keeps, and how the answer changes."""

import streamlit as st

from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.pages.feature_maps import card_panel, check_channels
from explorer.ui.pages.poolings import (
    answers_panel,
    differences_panel,
    formulas,
    heads,
    pair_choice,
    path_panel,
    poolings_choice,
    poolings_headline,
    rows_of_maps,
    scatter_panel,
    talk_about_poolings,
)
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.present import talk_about_evidence
from explorer.ui.region import with_place
from explorer.ui.session.session import write_url
from explorer.ui.without_pooling import no_poolings

current, analysis = frame("Poolings")


@st.fragment
def story() -> None:
    chosen = current.choices
    class_index = shown_class(current, analysis)
    if current.left_frame(class_index):
        st.rerun()
    check_channels(current, len(analysis.feature_maps))
    write_url(current, class_index)
    show_notices(current, analysis)
    outcomes = outcomes_of(analysis, chosen.poolings)
    if not analysis.has_evidence:
        if current.presenting:
            talk_about_evidence(current, analysis, outcomes[0], class_index)
        else:
            no_poolings(analysis, outcomes[0])
        return
    if current.presenting:
        talk_about_poolings(current, outcomes, class_index)
        return
    poolings_headline(outcomes, chosen.calibrated)
    poolings_choice(current, analysis)
    heads(current, outcomes, chosen.calibrated)
    with_place(current, outcomes[0], class_index, lambda: rows_of_maps(current, outcomes, class_index))
    answers_panel(current, outcomes, class_index)
    left, right = st.columns([54, 46], gap="medium")
    with left:
        one, other = pair_choice(current, outcomes)
        scatter_panel(current, one, other, class_index)
    with right:
        differences_panel(current, one, other, class_index)
        if current.choices.channel is not None:
            card_panel(current, one, class_index, current.choices.channel)
    path_panel(current, analysis, class_index)
    formulas(outcomes)


story()
