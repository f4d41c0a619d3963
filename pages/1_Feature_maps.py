"""Feature maps: which channels respond, where, and which of them contribute to the class."""

from explorer.ui.skeleton import show_skeleton

show_skeleton("Feature maps")  # the imports below take seconds the first time

import streamlit as st

from explorer.ui.components.wall import put_channels, wall, wall_status
from explorer.ui.frame import frame
from explorer.ui.intervene import intervene_part
from explorer.ui.pages.channel_card import card_panel
from explorer.ui.pages.feature_maps import (
    channel_choice,
    channel_viewer,
    channels_headline,
    compare_choice,
    order_of,
    running_sum,
    table_of,
    talk_about_channels,
    wall_choice,
)
from explorer.ui.pooling_choice import pooling_choice
from explorer.ui.region import with_place
from explorer.ui.run_photos import exemplars_panel

page = frame("Feature maps")
session, analysis = page.session, page.analysis
channels_key = put_channels(analysis, session.photo.digest)  # once: a click sends them no more


def show() -> None:
    outcome, class_index = page.outcome, page.class_index
    table = table_of(outcome, class_index)
    order = order_of(session, table)
    channel, beside = channel_choice(session, table, order)
    channels_headline(outcome, class_index, table)
    left, right = st.columns([58, 42], gap="medium")
    with left:
        wall_choice(session, table)
        wall(analysis, channels_key, order, table.contribution, table.pooled, key="wall", chosen=channel,
             beside=beside, status=wall_status(analysis, len(order)),
             class_name=analysis.network.class_names[class_index],
             on_channel=lambda clicked: session.choose(channel=clicked))
        if analysis.has_evidence:
            running_sum(outcome, class_index, table)
    with right:
        if analysis.has_evidence:
            pooling_choice(session, analysis)
        with_place(session, outcome, class_index,
                   lambda: channel_viewer(session, outcome, class_index, channel, beside))
        compare_choice(session, table)
        card_panel(session, outcome, class_index, channel, beside)
    intervene_part(session, outcome, class_index)
    exemplars_panel(session, channel)


page.show(show, talk=lambda: talk_about_channels(session, page.outcome, page.class_index))
