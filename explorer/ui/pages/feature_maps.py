"""Panels about channels: the wall's controls, what carries a class, one channel's card, two compared."""

from __future__ import annotations

import numpy as np
import streamlit as st

from explorer import figures
from explorer.analysis import Analysis, Outcome
from explorer.questions.channel_card import ChannelCard, channel_card, plain_channel_card
from explorer.questions.channel_table import RANKINGS, ChannelTable, channel_table, plain_channel_table
from explorer.ui.components.board import Node, board, el
from explorer.ui.components.viewer import Look, stack, viewer
from explorer.ui.controls import in_step
from explorer.ui.maps import channel_map, layer_caption
from explorer.ui.present import talk
from explorer.ui.region import viewer_handlers
from explorer.ui.session.session import Session
from explorer.wording import percent, plain, shortened, signed

STEPS_IN_A_TALK = 8


def channel_choice(current: Session, table: ChannelTable, order: np.ndarray) -> tuple[int, int | None]:
    """The channel on the card (the one asked for, else the first of the wall) and the one beside it."""
    chosen = current.choices
    first = int(order[0]) if len(order) else int(table.order()[0])
    return (first if chosen.channel is None else chosen.channel), chosen.beside


def table_of(outcome: Outcome, class_index: int) -> ChannelTable:
    """What each channel does for the class; where that cannot be said, what can be said without a class."""
    analysis = outcome.analysis
    return channel_table(outcome, class_index) if analysis.has_evidence else plain_channel_table(analysis)


def order_of(current: Session, table: ChannelTable) -> np.ndarray:
    """The channels of the kind and in the order chosen, or the usual ones where those need contributions."""
    rank, show = _ranking(current, table), _kind(current, table)
    return table.order(rank, show)


def _ranking(current: Session, table: ChannelTable) -> str:
    return current.choices.rank if current.choices.rank in table.rankings else table.rankings[0]


def _kind(current: Session, table: ChannelTable) -> str:
    return current.choices.show if current.choices.show in table.kinds else "all"


def channels_headline(outcome: Outcome, class_index: int, table: ChannelTable) -> None:
    """How many channels carry the class, and how many pay, oppose and are silent."""
    name, count = shortened(outcome.analysis.network.class_names[class_index]), table.count
    if table.contribution is None:
        _plain_headline(outcome.analysis, table)
        return
    carrying = table.carrying(0.8)
    if carrying is None:
        title = el("h1", "No channel speaks for ", el("span", name, class_="says"), ".")
    else:
        carry = "carries" if carrying.count == 1 else "carry"
        carried = (f"{carrying.count:,} of {carrying.total:,} channels {carry} {percent(carrying.share)} of what "
                   "speaks for ")
        title = el("h1", carried, el("span", name, class_="says"), ".")
    lead = (f"Under {outcome.name}, {count('paying'):,} channels pay for it, {count('opposing'):,} oppose it and "
            f"{count('silent'):,} are silent on this photo.")
    board(el("div", title, el("p", lead, class_="lead"), class_="headline"), key="headline")


def _plain_headline(analysis: Analysis, table: ChannelTable) -> None:
    channels, rows, columns = analysis.feature_maps.shape
    silent = table.count("silent")
    board(el("div", el("h1", f"{channels:,} channels of {rows} × {columns} positions: the {analysis.layer_name}."),
             el("p", f"{silent:,} of them {'is' if silent == 1 else 'are'} silent on this photo: 0 at every position.",
                class_="lead"), class_="headline"), key="headline")


def wall_choice(current: Session, table: ChannelTable) -> None:
    """In which order, which ones, and one by its number; where some orders and kinds cannot be had, why."""
    chosen = current.choices
    ranking, kind, number = st.columns([28, 50, 22], gap="small")
    ranking.selectbox("Ranked by", table.rankings, format_func=lambda key: _ranking_name(key, table),
                      help="\n\n".join(f"{each.name}: {each.explanation}" for each in RANKINGS.values()),
                      **in_step(current, "rank", _ranking(current, table)))
    kind.segmented_control("Channels", table.kinds, format_func=str.capitalize, width="stretch",
                           **in_step(current, "show", _kind(current, table)))
    number.number_input("Channel", 0, len(table.pooled) - 1, None, step=1, placeholder="number",
                        **in_step(current, "channel", chosen.channel, lambda typed: current.choose(channel=typed)))
    if table.contribution is None:
        board(el("p", f"Contributions, and which channels pay or oppose, cannot be had: {table.no_evidence_reason}",
                 class_="note"), key="why_not_ranked")


def _ranking_name(key: str, table: ChannelTable) -> str:
    return "Mean" if key == "pooled" and table.contribution is None else RANKINGS[key].name


def running_sum(outcome: Outcome, class_index: int, table: ChannelTable) -> None:
    """The sum of contributions as channels are added, the largest first."""
    carrying, running = table.carrying(0.8), table.running()
    figure = outcome.remember(
        ("running sum", class_index),
        lambda: figures.running_sum(running, table.order(), float(running[0]), carrying.count if carrying else None)
        .update_layout(height=190),
    )
    st.plotly_chart(figure, key="running", config={"displayModeBar": False})


def channel_viewer(current: Session, outcome: Outcome, class_index: int, channel: int, beside: int | None) -> None:
    """The channel's map on the photo, and another's beside it; a tile that is pointed at takes their place."""
    shown = [channel_map(outcome, class_index, each)
             for each in dict.fromkeys([channel, beside]) if each is not None]
    viewer(
        outcome.analysis, current.photo.digest, stack(shown), key="channel_map", name="The channel on the photo",
        look=Look(across=0 if len(shown) == 1 else 2, main=True, tallest=330, caption=layer_caption(outcome.analysis),
                  follow="wall" if len(shown) == 1 else "", region=current.choices.region,
                  handlers=viewer_handlers(current)),
    )


def compare_choice(current: Session, table: ChannelTable) -> None:
    """Another channel to lay beside the one on the card."""
    st.number_input("Compare with channel", 0, len(table.pooled) - 1, None, step=1,
                    placeholder="none: type a number",
                    **in_step(current, "beside", current.choices.beside, lambda typed: current.choose(beside=typed)))


def card_panel(
    current: Session, outcome: Outcome, class_index: int, channel: int, beside: int | None = None
) -> None:
    """All that is known of a channel, and of one beside it."""
    cards = [outcome.remember(("card", class_index, each), lambda each=each: _card_of(outcome, class_index, each))
             for each in dict.fromkeys([channel, beside]) if each is not None]
    name = outcome.analysis.network.class_names[class_index]
    nodes = [_plain_card(card) if card.contribution is None else _card(card, name) for card in cards]
    board(el("div", *nodes, class_=f"cards cards{len(cards)}"), key="card",
          on_pick=lambda index: current.choose(class_index=index))


def _card_of(outcome: Outcome, class_index: int, channel: int) -> ChannelCard:
    if outcome.analysis.has_evidence:
        return channel_card(outcome, class_index, channel)
    return plain_channel_card(outcome.analysis, channel)


def _plain_card(card: ChannelCard) -> Node:
    return el("div", _card_head(card), el("p", f"Its mean over positions is {plain(card.mean)}."), *_positions(card),
              class_="channelCard")


def _card_head(card: ChannelCard) -> Node:
    return el("div", el("h3", f"Channel {card.channel}"),
              el("span", f"rank {card.rank:,} of {card.count:,}", class_="badge"), class_="head")


def _positions(card: ChannelCard) -> tuple[Node, Node]:
    return (el("h2", f"Its {int(card.histogram[0].sum())} positions, from {plain(card.minimum)} to "
                     f"{plain(card.maximum)}; {percent(card.zero_share)} are 0"), _histogram(card))


def _card(card: ChannelCard, class_name: str) -> Node:
    return el(
        "div",
        _card_head(card),
        el("p", f"{signed(card.contribution)} logits for {class_name}: its weight {plain(card.weight)} times its "
                "pooled value."),
        el("h2", "Pooled value under"),
        el("dl", *(part for name, label, value in card.pooled_under
                   for part in (el("dt", name, class_="now" if label == "native" else ""), el("dd", plain(value)))),
           class_="table"),
        el("div", el("div", el("h2", f"Speaks for, by its {card.weights_are}"), _classes(card.speaks_for)),
           el("div", el("h2", "Speaks against"), _classes(card.speaks_against)), class_="sides"),
        *_positions(card),
        class_="channelCard",
    )


def _classes(speaks: list[tuple[int, str, float]]) -> Node:
    return el("ul", *(el("li", el("button", name, pick=index, type="button", title=f"Show {name}", class_="link"),
                         el("span", signed(weight))) for index, name, weight in speaks), class_="table")


def _histogram(card: ChannelCard) -> Node:
    counts, edges = card.histogram
    most = max(int(counts.max()), 1)
    bars = (el("span", style={"height": f"{100 * count / most:.1f}%"},
               title=f"{int(count)} positions from {edges[n]:.2f} to {edges[n + 1]:.2f}")
            for n, count in enumerate(counts))
    return el("div", *bars, class_="histogram", role="img",
              aria_label=f"Distribution over positions: {', '.join(str(int(count)) for count in counts)}")


def talk_about_channels(current: Session, outcome: Outcome, class_index: int, table: ChannelTable) -> None:
    """The channels that pay most, or where that cannot be said those that respond most, one after the other."""
    analysis, name = outcome.analysis, outcome.analysis.network.class_names[class_index]
    maps = []
    for place, channel in enumerate(table.order()[:STEPS_IN_A_TALK], 1):
        if table.contribution is None:
            says = f"Channel {channel} has a mean of {plain(float(table.pooled[channel]))}"
        else:
            says = f"Channel {channel} pays {signed(float(table.contribution[channel]))} logits for {name}"
        says += f": place {place} of {len(table.pooled):,}."
        maps.append(channel_map(outcome, class_index, int(channel), says=says))
    asked = "Which channels respond most?" if table.contribution is None else f"Which channels pay for {name}?"
    talk(current, analysis, maps, asked)
