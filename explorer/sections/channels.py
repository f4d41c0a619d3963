"""Channels as tiles: where each responds, and how it comes to its number."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from explorer import render
from explorer.analysis import Analysis, Outcome
from explorer.analysis.memory import remembered
from explorer.questions.channel_table import channel_table, plain_channel_table
from explorer.questions.contrast import deciding_channels
from explorer.sections.nodes import Node, el, picture
from explorer.sections.parts import head
from explorer.wording import plain, shortened, signed

PHOTO_SIDE, TILE_SIDE = 860, 208  # px: of the photo that tiles are cut from, and of a tile


def top_channels(outcome: Outcome, class_index: int, count: int = 6) -> Node:
    """The channels that contribute most to a class; without evidence, those that respond most."""
    analysis = outcome.analysis
    if not analysis.has_evidence:
        table = plain_channel_table(analysis)
        return _tiles(outcome, "The channels that respond most", f"mean over positions, {analysis.layer_name}", {
            int(k): (f"spread {plain(table.spread[k])}", plain(table.pooled[k])) for k in table.order()[:count]})
    table, unit = channel_table(outcome, class_index), outcome.analysis.network.unit
    return _tiles(outcome, "Top contributing channels", f"pooled value × weight = contribution in {unit}", {
        int(k): (f"{plain(table.pooled[k])} × {plain(table.weight[k])}", signed(table.contribution[k]))
        for k in table.order()[:count]})


def contrast_channels(outcome: Outcome, class_index: int, rival: int) -> Node:
    """The channels that add most to the difference of two classes, either way."""
    mine, other = (shortened(outcome.analysis.network.class_names[index], 24)
                   for index in (class_index, rival))
    return _tiles(outcome, "The channels that decide", f"to {mine} − to {other}, {outcome.analysis.network.unit}", {
        one.channel: (f"{plain(one.to_class)} − {plain(one.to_rival)}".replace("− −", "+ "), signed(one.contribution))
        for one in deciding_channels(outcome, class_index, rival)})


@remembered
def _ground(analysis: Analysis) -> Image.Image:
    """The small grey photo under every tile."""
    return render.grey_tile(*analysis.preview(PHOTO_SIDE), TILE_SIDE)


def _tiles(outcome: Outcome, title: str, what: str, accounts: Mapping[int, tuple[str, str]]) -> Node:
    """A tile for each channel, all on one scale; a click on a page opens the channel."""
    analysis, channels = outcome.analysis, list(accounts)
    maps = [analysis.feature_maps[channel].numpy() for channel in channels]
    scale = render.Scale.positive(*maps)
    pictures = [render.jpeg(tile, 82) for tile in render.tiles(_ground(analysis), maps, scale)]
    tiles = [
        el("button", picture(tile, f"Where channel {channel} responds"),
           el("span", el("span", "channel", class_="caption"), el("strong", str(channel)),
              el("span", words, class_="caption"), el("strong", number), class_="account"),
           pick=["channel", channel], type="button", class_="tile", data_key=f"channel-{channel}",
           title=f"Open channel {channel} among the feature maps")
        for (channel, (words, number)), tile in zip(accounts.items(), pictures, strict=True)
    ]
    return el("div", head(title, f"{what} · one scale, 0 to {plain(scale.limit)}"),
              el("div", *tiles, class_="tiles") if tiles else el("p", "No channel adds anything.", class_="note"),
              class_="channels")
