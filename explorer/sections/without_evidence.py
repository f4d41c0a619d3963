"""The sections on where the network looks, for an answer that cannot be taken apart: Grad-CAM, and channels by mean."""

from __future__ import annotations

from collections.abc import Sequence

from explorer import render
from explorer.analysis import Analysis, Outcome
from explorer.export import files as export
from explorer.questions.channel_table import plain_channel_table
from explorer.sections.nodes import Node, data_uri, el
from explorer.sections.parts import (
    MAP_SIDE,
    OVERLAY_SIDE,
    TILE_SIDE,
    account,
    figure,
    maps_shape,
    scale_of,
    section,
    strongest,
)
from explorer.wording import plain


def cams(outcome: Outcome, classes: Sequence[int]) -> Node:
    """Grad-CAM, one for each class, all on one scale."""
    drawn = [export.shown(outcome, index) for index in classes]
    scale = render.Scale.signed(*(each.cells.numpy() for each in drawn))
    note = (f"{drawn[0].kind} of each class, all on one scale; it has no unit and is not a sum. The strongest position "
            f"is outlined. {maps_shape(outcome.analysis)}.")
    maps = [_cam(outcome, index, each, scale) for index, each in zip(classes, drawn, strict=True)]
    return section(
        "Other classes", el("p", note, class_="note"), scale_of(scale, drawn[0]),
        el("div", *maps, class_="maps", style={"--columns": f"{min(max(len(maps), 3), 5)}"}),
    )


def _cam(outcome: Outcome, class_index: int, drawn: export.Shown, scale: render.Scale) -> Node:
    (i, j), value = strongest(drawn.cells.numpy())
    painted = outcome.analysis.overlay(drawn.cells, scale, long_side=MAP_SIDE, mark=(i, j))
    return figure(
        render.jpeg(painted, 78), drawn.name, el("span", el("strong", drawn.name)), account(outcome, class_index)[0],
        el("span", f"strongest: {drawn.number(value)} in row {i + 1}, column {j + 1}"),
    )


def channels(analysis: Analysis, count: int = 6) -> Node:
    """The channels with the largest means, with where they respond."""
    table = plain_channel_table(analysis)
    largest = [int(channel) for channel in table.order("pooled")[:count]]
    scale = render.Scale.positive(*(analysis.feature_maps[channel].numpy() for channel in largest))
    photo, seen = analysis.preview(OVERLAY_SIDE)
    rows = []
    for channel in largest:
        tile = render.tile(photo, analysis.feature_maps[channel].numpy(), seen, scale, TILE_SIDE)
        picture = el("img", src=data_uri(render.jpeg(tile, 80)), alt=f"Where channel {channel} responds")
        numbers = (str(channel), plain(float(table.pooled[channel])), plain(float(table.spread[channel])))
        rows.append(el("tr", el("td", picture), *(el("td", text) for text in numbers)))
    heads = (el("th", words, scope="col") for words in ("", "channel", "mean", "spread"))
    return section(
        "The channels that respond most",
        el("p", f"By their mean over positions, {analysis.layer_name}. The maps share one scale, 0 to "
                 f"{plain(scale.limit)}.", class_="note"),
        el("table", el("thead", el("tr", *heads)), el("tbody", *rows), class_="channels"),
    )
