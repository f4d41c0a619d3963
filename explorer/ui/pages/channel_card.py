"""The card of a channel: its contribution, its pooled values, the classes it raises and lowers, its positions."""

from __future__ import annotations

from explorer.analysis import Outcome
from explorer.questions.channel_card import ChannelCard, ClassWeight, channel_card, plain_channel_card
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session
from explorer.wording import percent, plain, signed


def card_panel(
    session: Session, outcome: Outcome, class_index: int, channel: int, beside: int | None = None
) -> None:
    """All that is known of a channel, and of one beside it."""
    network = outcome.analysis.network
    name = network.class_names[class_index]
    cards = [_card(_card_of(outcome, class_index, shown), name, network.unit) for shown in both(channel, beside)]
    board(el("div", *cards, class_=f"cards cards{len(cards)}"), key="card",
          on_pick=lambda index: session.choose(class_index=index))


def _card_of(outcome: Outcome, class_index: int, channel: int) -> ChannelCard:
    if not outcome.analysis.has_evidence:
        return plain_channel_card(outcome.analysis, channel)
    return drawn(outcome, ("card", class_index, channel), lambda: channel_card(outcome, class_index, channel))


def _card(card: ChannelCard, class_name: str, unit: str) -> Node:
    if card.contribution is None or card.weight is None:
        account = [el("p", f"Its mean over positions is {plain(card.mean)}.")]
    else:
        account = [
            el("p", f"{signed(card.contribution)} {unit} for {class_name}: its weight {plain(card.weight)} times its "
                    "pooled value."),
            el("h4", "Pooled value under"),
            el("dl", *(part for name, label, value in card.pooled_under
                       for part in (el("dt", name, class_="now" if label == "native" else ""), el("dd", plain(value)))),
               class_="table"),
            el("div", el("div", el("h4", f"Classes it raises, by its {card.weights_are}"), _classes(card.raises)),
               el("div", el("h4", "Classes it lowers"), _classes(card.lowers)), class_="sides"),
        ]
    positions = int(card.histogram[0].sum())
    return el(
        "div",
        el("div", el("h3", f"Channel {card.channel}"),
           el("span", f"rank {card.rank:,} of {card.count:,}", class_="badge"), class_="head"),
        *account,
        el("h4", f"Its {positions} positions, from {plain(card.minimum)} to {plain(card.maximum)}; "
                 f"{percent(card.zero_share)} are 0"),
        _histogram(card),
        class_="channelCard",
    )


def _classes(classes: list[ClassWeight]) -> Node:
    return el("ul", *(el("li", el("button", name, pick=index, type="button", title=f"Show {name}", class_="link"),
                         el("span", signed(weight))) for index, name, weight in classes), class_="table")


def _histogram(card: ChannelCard) -> Node:
    counts, edges = card.histogram
    most = max(int(counts.max()), 1)
    bars = (el("span", style={"height": f"{100 * count / most:.1f}%"},
               title=f"{int(count)} positions from {edges[n]:.2f} to {edges[n + 1]:.2f}")
            for n, count in enumerate(counts))
    return el("div", *bars, class_="histogram", role="img",
              aria_label=f"Distribution over positions: {', '.join(str(int(count)) for count in counts)}")


def both(channel: int, beside: int | None) -> list[int]:
    """A channel and the one beside it, where that is another."""
    return [channel] if beside in (None, channel) else [channel, beside]
