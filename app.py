"""Explore: a photo in, the answer out."""

from explorer.ui.skeleton import show_skeleton

show_skeleton("Explore")  # the imports below take seconds the first time

import streamlit as st

from explorer.ui.controls import open_channel
from explorer.ui.downloads import downloads
from explorer.ui.frame import frame
from explorer.ui.intervene import intervene_part
from explorer.ui.networks.second_network import answers_of_both, second_analysis
from explorer.ui.pages.explore import answers_and_channels, evidence_panel, follow_answer, headline
from explorer.ui.pooling_choice import beside_each_other, pooling_choice
from explorer.ui.present import talk_about_evidence
from explorer.ui.region import with_place

page = frame("Explore")
session, analysis = page.session, page.analysis


def show() -> None:
    outcome, class_index = page.outcome, page.class_index
    second = second_analysis(session)
    headline(session, outcome, class_index, named=second is not None)

    def photo(limit: float | None = None) -> None:
        with_place(session, outcome, class_index,
                   lambda: evidence_panel(session, analysis, outcome, class_index, limit))

    def poolings() -> None:
        pooling_choice(session, analysis)
        answers_and_channels(beside_each_other(analysis, outcome), outcome, class_index, page.choices, pick)

    if second is not None:
        answers_of_both(session, outcome, second, class_index, photo)
        poolings()
    else:
        left, right = st.columns([46, 54], gap="medium")
        with left:
            photo()
        with right:
            poolings()
    intervene_part(session, outcome, class_index)
    downloads(session, outcome, class_index)


def pick(picked: list) -> None:
    if picked[0] == "channel":
        open_channel(session, picked[1])
    else:
        follow_answer(session, picked)


page.show(show, talk=lambda: talk_about_evidence(session, analysis, page.outcome, page.class_index))
