"""Feature maps: the wall's controls, the sum of contributions, one channel on the photo and its card."""

from __future__ import annotations

import numpy as np
import streamlit as st

from explorer import figures
from explorer.analysis import Outcome
from explorer.questions.channel_table import RANKINGS, ChannelTable, channel_table, plain_channel_table
from explorer.ui import panels
from explorer.ui.controls import in_step
from explorer.ui.maps import channel_map, layer_caption
from explorer.ui.pages.channel_card import both
from explorer.ui.present import talk
from explorer.ui.region import photo_panel
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session
from explorer.wording import Name, percent, plain, shortened, signed

STEPS_IN_A_TALK = 8
KIND_NAMES = {"paying": "Positive", "opposing": "Negative"}  # those that differ from their key in links


def channel_choice(session: Session, table: ChannelTable, order: np.ndarray) -> tuple[int, int | None]:
    """The channel on the card (the one chosen, else the first of the wall) and the one beside it."""
    chosen = session.choices
    first = int(order[0]) if len(order) else int(table.order()[0])
    return (first if chosen.channel is None else chosen.channel), chosen.beside


def table_of(outcome: Outcome, class_index: int) -> ChannelTable:
    """What each channel contributes to the class; without evidence, its activations alone."""
    analysis = outcome.analysis
    return channel_table(outcome, class_index) if analysis.has_evidence else plain_channel_table(analysis)


def order_of(session: Session, table: ChannelTable) -> np.ndarray:
    """The channels of the kind and in the order chosen, or the usual ones where those need contributions."""
    return table.order(_ranking(session, table), _kind(session, table))


def _ranking(session: Session, table: ChannelTable) -> str:
    return session.choices.rank if session.choices.rank in table.rankings else table.rankings[0]


def _kind(session: Session, table: ChannelTable) -> str:
    return session.choices.show if session.choices.show in table.kinds else "all"


def channels_headline(outcome: Outcome, class_index: int, table: ChannelTable) -> None:
    """How many channels hold most of the positive evidence, and how many are positive, negative and silent."""
    if table.contribution is None:
        channels, rows, columns = outcome.analysis.feature_maps.shape
        silent = table.count("silent")
        panels.headline([f"{channels:,} channels of {rows} × {columns} positions: the {outcome.analysis.layer_name}."],
                        f"{silent:,} of them {'is' if silent == 1 else 'are'} silent on this photo: 0 at every "
                        "position.")
        return
    top, count = table.top_contributors(0.8), table.count
    title = "No channel has positive evidence for "
    if top is not None:
        title = (f"{top.count:,} of {top.total:,} channels {'holds' if top.count == 1 else 'hold'} "
                 f"{percent(top.share)} of the positive evidence for ")
    panels.headline(
        [title, Name(shortened(outcome.analysis.network.class_names[class_index])), "."],
        f"Under {outcome.name}, {count('paying'):,} channels are positive, {count('opposing'):,} negative and "
        f"{count('silent'):,} silent on this photo.")


def wall_choice(session: Session, table: ChannelTable) -> None:
    """The order and kind of channels on the wall, and one by its number; why some orders are missing."""
    chosen = session.choices
    ranking, kinds, number = st.columns([28, 50, 22], gap="small")
    names = {key: _ranking_name(key, table) for key in table.rankings}
    order, kind = _ranking(session, table), _kind(session, table)
    ranking.selectbox("Ranked by", table.rankings, format_func=names.__getitem__,
                      help="\n\n".join(f"{order.name}: {order.explanation}" for order in RANKINGS.values()),
                      **in_step(session, "rank", order, index=list(table.rankings).index(order)))
    kinds.segmented_control("Channels", table.kinds, width="stretch",
                            format_func=lambda kind: KIND_NAMES.get(kind, kind.capitalize()),
                            **in_step(session, "show", kind, default=kind))
    number.number_input("Channel", 0, len(table.pooled) - 1, None, step=1, placeholder="number",
                        **in_step(session, "channel", chosen.channel, lambda typed: session.choose(channel=typed)))
    if table.contribution is None:
        panels.note(f"There are no contributions, positive or negative: {table.no_evidence_reason}",
                    key="why_not_ranked")


def _ranking_name(key: str, table: ChannelTable) -> str:
    return "Mean" if key == "pooled" and table.contribution is None else RANKINGS[key].name


def running_sum(outcome: Outcome, class_index: int, table: ChannelTable) -> None:
    """The sum of contributions as channels are added, the largest first."""
    top, running, network = table.top_contributors(0.8), table.running(), outcome.analysis.network
    figure = drawn(outcome, ("running sum", class_index), lambda: figures.running_sum(
        running, table.order(), float(running[0]), top.count if top else None, network.unit, network.number,
    ).update_layout(height=190))
    panels.chart(figure, key="running")


def channel_viewer(session: Session, outcome: Outcome, class_index: int, channel: int, beside: int | None) -> None:
    """The channel's map on the photo, and another's beside it; the tile under the pointer takes their place."""
    maps = [channel_map(outcome, class_index, shown) for shown in both(channel, beside)]
    alone = len(maps) == 1
    photo_panel(session, outcome.analysis, maps, key="channel_map", name="The channel on the photo", main=True,
                across=0 if alone else 2, tallest=330, caption=layer_caption(outcome.analysis),
                follow="wall" if alone else "")


def compare_choice(session: Session, table: ChannelTable) -> None:
    """Another channel to lay beside the one on the card."""
    st.number_input("Compare with channel", 0, len(table.pooled) - 1, None, step=1,
                    placeholder="none: type a number",
                    **in_step(session, "beside", session.choices.beside, lambda typed: session.choose(beside=typed)))


def talk_about_channels(session: Session, outcome: Outcome, class_index: int) -> None:
    """The top contributing channels one after the other; without evidence, those with the largest means."""
    name, table, maps = outcome.analysis.network.class_names[class_index], table_of(outcome, class_index), []
    for rank, channel in enumerate(table.order()[:STEPS_IN_A_TALK].tolist(), 1):
        if table.contribution is None:
            does = f"has a mean of {plain(float(table.pooled[channel]))}"
        else:
            does = f"contributes {signed(float(table.contribution[channel]))} {outcome.analysis.network.unit} to {name}"
        does = f"{does} {outcome.under_in_words}".rstrip()
        sentence = f"Channel {channel} {does}: rank {rank} of {len(table.pooled):,}."
        maps.append(channel_map(outcome, class_index, channel, says=sentence))
    talk(session, outcome.analysis, maps,
         "Which channels respond most?" if table.contribution is None else f"Which channels contribute most to {name}?")
