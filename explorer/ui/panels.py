"""The panels that pages are made of: each takes outcomes and draws one board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from explorer import render
from explorer.analysis import Analysis, Answer, Outcome
from explorer.evidence import Evidence
from explorer.ui.board import Node, board, el, picture
from explorer.ui.maps import evidence_maps, name_in_links, spelt
from explorer.ui.places import hears
from explorer.ui.state import Session
from explorer.ui.viewer import Look, stack, viewer
from explorer.wording import carriers_sentence, percent, plain, signed

PHOTO_SIDE = 860  # px: of the photo that tiles are cut from
TILE_SIDE = 208


def headline(analysis: Analysis, outcome: Outcome, class_index: int) -> None:
    """What it says, in one line, and what the evidence shown amounts to, in another."""
    first, second = [*analysis.under().top(2), None][:2]
    evidence = outcome.evidence(class_index)
    name = analysis.network.class_names[class_index]
    is_answer = class_index == first.class_index
    what = "it" if is_answer else name
    if outcome.label != "native":
        what += f" under {outcome.name}"
    sentence = carriers_sentence(evidence.cells.numpy(), what)
    runner_up = f" Runner-up: {second.name}, {percent(second.probability)}." if second else ""
    board(
        el(
            "div",
            el("h1", "It says ", el("span", first.name, class_="says"), f", with {percent(first.probability)}."),
            el("p", sentence + runner_up, class_="lead"),
            class_="headline",
        ),
        key="headline",
    )


def evidence_panel(current: Session, analysis: Analysis, outcome: Outcome, class_index: int) -> None:
    """The photo in the viewer, with the evidence of the likeliest classes under every pooling to choose from."""
    chosen = current.choices
    classes = list(dict.fromkeys([class_index, *(answer.class_index for answer in analysis.under().top(5))]))
    maps = outcome.remember(
        ("explore", *classes, chosen.calibrated),
        lambda: stack(evidence_maps(outcome.under_each_pooling(), classes, chosen.calibrated)),
    )
    def follow(picked: list) -> None:
        current.choose(pooling=picked[0], class_index=picked[1])

    viewer(
        analysis, current.photo.digest, maps, key="evidence", name="Evidence on the photo",
        chosen=f"{class_index}.{name_in_links(spelt(outcome))}",
        look=Look(main=True, facets=(("Class", ""), ("Pooling", ", under ")),
                  region=current.choices.region, heard=hears(current, pick=follow)),
    )


def answers_and_channels(
    outcomes: Sequence[Outcome], shown: Outcome, class_index: int, calibrated: bool, on_pick: Callable[[Any], None]
) -> None:
    """The top 5 under several poolings side by side, and the channels that pay for the class shown.

    A click on an answer gives `on_pick` its pooling and class, one on a channel "channel" and its number.
    """
    board(
        el(
            "div",
            answers(outcomes, shown, class_index, calibrated),
            el("p", what_if_note(shown.analysis, calibrated), class_="note"),
            _channels(shown, class_index),
            class_="stack",
        ),
        key="answers",
        on_pick=on_pick,
    )


def answers(outcomes: Sequence[Outcome], shown: Outcome, class_index: int, calibrated: bool) -> Node:
    """A column of five answers for each outcome; a click gives its pooling and class."""
    native = shown.analysis.under()
    columns = [_answers_of(outcome, native, (spelt(shown), class_index), calibrated) for outcome in outcomes]
    return el("div", *columns, class_="answers", style={"--columns": str(len(columns))})


def what_if_note(analysis: Analysis, calibrated: bool) -> str:
    """What the badge "what-if" means here."""
    note = f"The head was trained for {analysis.under().name}. Under another pooling the answer is a what-if"
    return note + (", its logits multiplied by one number fitted on central crops of 224 px: no rank changes."
                   if calibrated else " and far too sure of itself: calibrate it in the sidebar.")


def _answers_of(outcome: Outcome, native: Outcome, shown: tuple[str, int], calibrated: bool) -> Node:
    rows = [_answer(outcome, answer, native, shown) for answer in outcome.top(5, calibrated)]
    is_native = outcome.label == "native"
    return el(
        "div",
        el("div", el("h3", outcome.name), el("span", label(outcome, calibrated),
                                             class_="badge native" if is_native else "badge"), class_="head stacked"),
        *rows,
        class_="column",
    )


def label(outcome: Outcome, calibrated: bool) -> str:
    if outcome.label == "native" or not calibrated:
        return outcome.label
    return "what-if, calibrated" if outcome.multiplier else "what-if, no fit"


def _answer(outcome: Outcome, answer: Answer, native: Outcome, shown: tuple[str, int]) -> Node:
    change = _rank_change(answer, native.answer(answer.class_index).rank) if outcome.label != "native" else None
    return el(
        "button",
        el("span", answer.name, class_="name", title=answer.name),
        change,
        el("span", percent(answer.probability), class_="number"),
        el("div", class_="bar", style={"--share": f"{answer.probability * 100:.2f}%"}),
        pick=[spelt(outcome), answer.class_index],
        type="button",
        class_="answer",
        aria_pressed=str((spelt(outcome), answer.class_index) == shown).lower(),
        data_key=f"{spelt(outcome)}-{answer.class_index}",
    )


def _rank_change(answer: Answer, before: int) -> Node | None:
    if before == answer.rank:
        return None
    if before > 5:
        return el("span", "new", class_="change", title=f"Rank {before} under the native pooling")
    arrow = "▲" if before > answer.rank else "▼"
    return el("span", f"{arrow}{abs(before - answer.rank)}", class_="change",
              title=f"Rank {before} under the native pooling")


def _channels(outcome: Outcome, class_index: int, count: int = 6) -> Node:
    """The channels that pay most for the class: map, pooled value, weight and contribution, on one scale."""
    analysis, evidence = outcome.analysis, outcome.evidence(class_index)
    paying = evidence.channels.topk(min(count, len(evidence.channels))).indices.tolist()
    maps = [analysis.feature_maps[channel].numpy() for channel in paying]
    scale = render.Scale.positive(*maps)
    photo, seen = analysis.preview(PHOTO_SIDE)

    def draw() -> list[bytes]:
        return [render.jpeg(render.tile(photo, values, seen, scale, TILE_SIDE), 82) for values in maps]

    pictures = outcome.remember(("tiles", class_index), draw)
    return el(
        "div",
        el("div", el("h3", "The channels that pay most"),
           el("span", f"pooled value × weight = contribution in logits · one scale, 0 to {scale.limit:.1f}",
              class_="caption"), class_="head"),
        el("div", *(_channel(channel, tile, outcome, evidence)
                    for channel, tile in zip(paying, pictures, strict=True)), class_="tiles"),
        class_="channels",
    )


def _channel(channel: int, tile: bytes, outcome: Outcome, evidence: Evidence) -> Node:
    pooled, weight = float(outcome.pooled[channel]), float(evidence.slopes[channel])
    paid = float(evidence.channels[channel])
    return el(
        "button",
        picture(tile, f"Where channel {channel} responds"),
        el(
            "span",
            el("span", "channel", class_="caption"),
            el("strong", str(channel)),
            el("span", f"{plain(pooled)} × {plain(weight)}", class_="caption"),
            el("strong", signed(paid)),
            class_="account",
        ),
        pick=["channel", channel], type="button", class_="tile", data_key=f"channel-{channel}",
        title=f"Open channel {channel} among the feature maps",
    )
