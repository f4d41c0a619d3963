"""Poolings: what each pooling keeps, and how the answer changes."""

from explorer.ui.skeleton import show_skeleton

show_skeleton("Poolings")  # the imports below take seconds the first time

import streamlit as st

from explorer.ui.frame import frame
from explorer.ui.pages.channel_card import card_panel
from explorer.ui.pages.poolings import (
    answers_panel,
    differences_panel,
    formulas,
    heads,
    pair_choice,
    path_panel,
    poolings_headline,
    rows_of_maps,
    scatter_panel,
    talk_about_poolings,
)
from explorer.ui.pages.several_choice import poolings_choice
from explorer.ui.pooling_choice import outcomes_of
from explorer.ui.region import with_place
from explorer.ui.without_pooling import no_poolings

page = frame("Poolings")
session, analysis = page.session, page.analysis


def show() -> None:
    outcomes, class_index = outcomes_of(analysis, page.choices.poolings), page.class_index
    calibrated = page.choices.calibrated
    if not analysis.has_evidence:
        no_poolings(analysis, outcomes[0])
        return
    poolings_headline(outcomes, calibrated)
    poolings_choice(session, analysis)
    heads(session, outcomes, calibrated)
    with_place(session, outcomes[0], class_index, lambda: rows_of_maps(session, outcomes, class_index))
    answers_panel(session, outcomes, class_index)
    left, right = st.columns([54, 46], gap="medium")
    with left:
        one, other = pair_choice(session, outcomes)
        scatter_panel(session, one, other, class_index)
    with right:
        differences_panel(session, one, other, class_index)
        if page.choices.channel is not None:
            card_panel(session, one, class_index, page.choices.channel)
    path_panel(session, analysis, class_index)
    formulas(outcomes)


page.show(show, talk=lambda: talk_about_poolings(
    session, outcomes_of(analysis, page.choices.poolings), page.class_index))
