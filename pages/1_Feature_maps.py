"""Feature maps: which channels respond, where, and which of them pay for the class."""

import streamlit as st

from explorer.ui.components.wall import put_channels, wall, wall_status
from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.pages.feature_maps import (
    card_panel,
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
from explorer.ui.pooling_choice import outcome_of, pooling_choice
from explorer.ui.region import with_place
from explorer.ui.session.session import write_url

current, analysis = frame("Feature maps")
channels_key = put_channels(analysis, current.photo.digest)


@st.fragment
def story() -> None:
    chosen = current.choices
    class_index = shown_class(current, analysis)
    if current.left_frame(class_index):
        st.rerun()
    outcome = outcome_of(analysis, chosen.pooling)
    table = table_of(outcome, class_index)
    order = order_of(current, table)
    channel, beside = channel_choice(current, table, order)
    write_url(current, class_index)
    show_notices(current, analysis)
    if current.presenting:
        talk_about_channels(current, outcome, class_index, table)
        return
    channels_headline(outcome, class_index, table)
    left, right = st.columns([58, 42], gap="medium")
    with left:
        wall_choice(current, table)
        wall(analysis, channels_key, order, table.contribution, key="wall", chosen=channel, beside=beside,
             status=wall_status(analysis, len(order)), means=table.pooled,
             class_name=analysis.network.class_names[class_index],
             on_channel=lambda clicked: current.choose(channel=clicked))
        if analysis.has_evidence:
            running_sum(outcome, class_index, table)
    with right:
        if analysis.has_evidence:
            pooling_choice(current, analysis)
        with_place(current, outcome, class_index,
                   lambda: channel_viewer(current, outcome, class_index, channel, beside))
        compare_choice(current, table)
        card_panel(current, outcome, class_index, channel, beside)


story()
