"""The panels that pages are made of: each takes outcomes and draws one board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from explorer import render
from explorer.analysis import Analysis, Answer, Outcome
from explorer.evidence import Evidence
from explorer.ui.board import Node, board, el, picture
from explorer.wording import carriers_sentence, exactness, percent, plain, signed

PHOTO_SIDE = 860  # px: twice what it has on the page, for sharp screens
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


def evidence_panel(analysis: Analysis, outcome: Outcome, class_index: int) -> None:
    """The photo with the class's evidence laid over it, its legend in logits, and how it adds up."""
    evidence = outcome.evidence(class_index)
    cells = evidence.cells.numpy()
    scale = render.Scale.signed(cells)
    row, column = divmod(int(cells.argmax()), cells.shape[1])
    painted = outcome.remember(
        ("painted", class_index),
        lambda: render.jpeg(analysis.overlay(evidence.cells, scale, long_side=PHOTO_SIDE, mark=(row, column))),
    )
    name = analysis.network.class_names[class_index]
    channels, rows, columns = analysis.feature_maps.shape
    alt = (f"The photo with the evidence for {name} under {outcome.name} laid over it; "
           f"strongest at row {row + 1}, column {column + 1} of {rows} by {columns}.")
    board(
        el(
            "div",
            el("div", el("h3", f"{name}, under {outcome.name}"),
               el("span", f"evidence, {rows} × {columns} positions", class_="aside"), class_="head"),
            el("div", picture(painted, alt), class_="photo"),
            _legend(scale),
            el(
                "p",
                "logit ", el("strong", plain(evidence.logit)), f" = {plain(evidence.baseline)} baseline + "
                f"{plain(evidence.logit - evidence.baseline)} evidence",
                el("span", exactness(evidence.exact, evidence.residual), class_="badge quiet"),
                class_="sum",
            ),
            el("p", f"Strongest position ({row}, {column}): {signed(float(cells[row, column]))} · "
                    f"final feature maps, {channels} × {rows} × {columns}", class_="caption"),
            class_="evidence",
        ),
        key="evidence",
    )


def _legend(scale: render.Scale) -> Node:
    return el(
        "div",
        el("span", signed(scale.low)),
        el("div", class_="bar", style={"background": scale.css_gradient()}, role="img",
           aria_label="Blue speaks against the class, red for it"),
        el("span", signed(scale.limit)),
        el("span", "logits"),
        class_="legend",
    )


def answers_and_channels(
    outcomes: Sequence[Outcome], shown: Outcome, class_index: int, calibrated: bool, on_pick: Callable[[Any], None]
) -> None:
    """The top 5 under several poolings side by side, and the channels that pay for the class shown.

    A click on an answer gives `on_pick` its pooling and class.
    """
    native = outcomes[0].analysis.under()
    columns = [_answers_of(outcome, native, (shown.pooling, class_index), calibrated) for outcome in outcomes]
    note = f"The head was trained for {native.name}. Under another pooling the answer is a what-if"
    note += (", its logits multiplied by one number fitted on central crops of 224 px: no rank changes."
             if calibrated else " and far too sure of itself: calibrate it in the sidebar.")
    board(
        el(
            "div",
            el("div", *columns, class_="answers"),
            el("p", note, class_="note"),
            _channels(shown, class_index),
            class_="stack",
        ),
        key="answers",
        on_pick=on_pick,
    )


def _answers_of(outcome: Outcome, native: Outcome, shown: tuple[str, int], calibrated: bool) -> Node:
    rows = [_answer(outcome, answer, native, shown) for answer in outcome.top(5, calibrated)]
    is_native = outcome.label == "native"
    return el(
        "div",
        el("div", el("h3", outcome.name), el("span", _label(outcome, calibrated),
                                             class_="badge native" if is_native else "badge"), class_="head stacked"),
        *rows,
        class_="column",
    )


def _label(outcome: Outcome, calibrated: bool) -> str:
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
        pick=[outcome.pooling, answer.class_index],
        type="button",
        class_="answer",
        aria_pressed=str((outcome.pooling, answer.class_index) == shown).lower(),
        data_key=f"{outcome.pooling}-{answer.class_index}",
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
        "div",
        picture(tile, f"Where channel {channel} responds"),
        el(
            "div",
            el("p", "channel", class_="caption"),
            el("p", el("strong", str(channel))),
            el("p", f"{plain(pooled)} × {plain(weight)}", class_="caption"),
            el("p", el("strong", signed(paid))),
        ),
        class_="tile",
    )
