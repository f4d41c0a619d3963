"""The sections on where the evidence lies, for an answer that can be taken apart."""

from __future__ import annotations

from collections.abc import Sequence

from explorer import render
from explorer.analysis import Analysis, Outcome
from explorer.export import files as export
from explorer.poolings import parse_pooling
from explorer.sections.nodes import Node, data_uri, el
from explorer.sections.parts import (
    MAP_SIDE,
    OVERLAY_SIDE,
    TILE_SIDE,
    account,
    badge,
    figure,
    legend,
    maps_shape,
    scale_of,
    section,
    strongest,
)
from explorer.wording import percent, plain, signed


def compared(outcome: Outcome, poolings: Sequence[str] | None) -> list[Outcome]:
    """The outcomes to compare, each once."""
    analysis = outcome.analysis
    if poolings is None:
        keys = ("gap", "gmp", "attention", outcome.pooling)
        found = [analysis.under(), *(outcome if key == outcome.pooling else analysis.under(key) for key in keys)]
    else:
        found = [analysis.under(key, **parameters) for key, parameters in map(parse_pooling, poolings)]
    return list({(each.pooling, *each.parameters.values()): each for each in found}.values())


def maps(analysis: Analysis, classes: Sequence[int], outcomes: Sequence[Outcome], calibrated: bool) -> Node:
    """Evidence, a row for each class and a column for each pooling, all on one scale."""
    cells = [each.cells.numpy() for outcome in outcomes for each in outcome.evidences(classes)]
    scale = render.Scale.signed(*cells)
    rows: list[Node] = []
    for index in classes:
        rows.append(el("h3", analysis.network.class_names[index]))
        rows += [_map(outcome, index, scale, calibrated) for outcome in outcomes]
    note = (f"Evidence of each position, all maps on one scale, so that colours can be compared: a pooling with small "
            f"logits is pale. The strongest position is outlined. {maps_shape(analysis).capitalize()}.")
    return section(
        "Other classes, other poolings", el("p", note, class_="note"),
        scale_of(scale, export.shown(outcomes[0], classes[0])),
        el("div", *rows, class_="maps", style={"--columns": f"{min(max(len(outcomes), 3), 5)}"}),
    )


def _map(outcome: Outcome, class_index: int, scale: render.Scale, calibrated: bool) -> Node:
    evidence, name = outcome.evidence(class_index), outcome.analysis.network.class_names[class_index]
    at, value = strongest(evidence.cells.numpy())
    painted = outcome.analysis.overlay(evidence.cells, scale, long_side=MAP_SIDE, mark=at)
    return figure(
        render.jpeg(painted, 78), f"Evidence for {name} under {outcome.name}",
        el("span", el("strong", outcome.name), " ", badge(outcome, calibrated)), *account(outcome, class_index),
        el("span", f"strongest: {signed(value)} in row {at[0] + 1}, column {at[1] + 1}"),
    )


def votes(outcome: Outcome, class_index: int) -> Node:
    """What each position says by itself."""
    analysis, cells = outcome.analysis, outcome.votes(class_index)
    name = analysis.network.class_names[class_index]
    scale = render.Scale.positive(cells.numpy())
    (i, j), largest = strongest(cells.numpy())
    most = f"The most is {percent(largest)}, in row {i + 1}, column {j + 1} of {cells.shape[0]} × {cells.shape[1]}."
    return section(
        "Votes", el("p", f"The head asked about each position alone: its probability of {name}. {most}",
                     class_="note"),
        figure(render.jpeg(analysis.overlay(cells, scale, long_side=MAP_SIDE), 78),
               f"What each position by itself gives {name}",
               legend(scale, "0%", percent(scale.limit), "probability", "The bluer, the more probable")),
    )


def channels(outcome: Outcome, class_index: int, count: int = 6) -> Node:
    """The channels that pay most for the class, with where they respond."""
    analysis, evidence = outcome.analysis, outcome.evidence(class_index)
    paying = evidence.channels.topk(min(count, len(evidence.channels))).indices.tolist()
    scale = render.Scale.positive(*(analysis.feature_maps[channel].numpy() for channel in paying))
    photo, seen = analysis.preview(OVERLAY_SIDE)
    rows = []
    for channel in paying:
        tile = render.tile(photo, analysis.feature_maps[channel].numpy(), seen, scale, TILE_SIDE)
        picture = el("img", src=data_uri(render.jpeg(tile, 80)), alt=f"Where channel {channel} responds")
        numbers = (str(channel), plain(float(outcome.pooled[channel])), plain(float(evidence.slopes[channel])),
                   signed(float(evidence.channels[channel])))
        rows.append(el("tr", el("td", picture), *(el("td", text) for text in numbers)))
    heads = (el("th", words, scope="col") for words in ("", "channel", "pooled", "weight", "contribution"))
    return section(
        "The channels that pay most",
        el("p", f"Pooled value × weight = contribution in logits, under {outcome.name}. The maps share one scale, "
                 f"0 to {plain(scale.limit)}.", class_="note"),
        el("table", el("thead", el("tr", *heads)), el("tbody", *rows), class_="channels"),
    )
