"""The wall: all channels of the feature maps as tiles on one canvas, by default in order of their contribution."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable

import numpy as np
from torch.nn import functional

from explorer import Analysis, render
from explorer.live.packing import pack
from explorer.ui.components.library import handler, part
from explorer.ui.components.viewer import sent, source
from explorer.ui.session.page_cache import drawn

MOST_NUMBERS = 4_000_000  # sent to a page for its tiles, at two bytes each before they are deflated

_wall = part("wall", '<div class="wall"></div>')


def put_channels(analysis: Analysis, digest: str) -> str:
    """Give the page all feature maps, once; returns the key under which the wall finds them."""
    def make() -> tuple[str, bytes]:
        packed = pack(_for_tiles(analysis))
        # Of what is in it: other networks, layers, framings and sizes have other maps of the same photo.
        content = hashlib.sha256(json.dumps(packed).encode()).hexdigest()
        key = f"maps-{digest[:16]}-{content[:16]}"
        return key, sent("pack", {"key": key, **packed})

    key, data = drawn(analysis, ("packed channels", digest), make)
    source(data, key="pack")
    return key


def coarsened(analysis: Analysis) -> int:
    """How many positions, across and down, one of a tile stands for: 1 but for the many of an early layer."""
    return max(1, math.ceil(math.sqrt(analysis.feature_maps.numel() / MOST_NUMBERS)))


def _for_tiles(analysis: Analysis) -> np.ndarray:
    """(C, H, W), averaged over squares of positions where there are too many to send."""
    step = coarsened(analysis)
    if step == 1:
        return analysis.feature_maps.numpy()
    return functional.avg_pool2d(analysis.feature_maps, step, ceil_mode=True, count_include_pad=False).numpy()


def wall_status(analysis: Analysis, count: int) -> str:
    """How many channels the wall shows, and how many positions a tile averages."""
    step = coarsened(analysis)
    average = "" if step == 1 else f"; tiles average {step} × {step} positions"
    return f"{count:,} of {len(analysis.feature_maps):,} channels{average}"


def wall(
    analysis: Analysis, channels_key: str, order: np.ndarray, contribution: np.ndarray | None, means: np.ndarray, *,
    key: str, status: str, class_name: str, chosen: int | None, beside: int | None, on_channel: Callable[[int], None],
) -> None:
    """Show the channels in an order; the tile under the pointer goes to the viewer that follows `key`.

    Args:
        channels_key: from `put_channels`.
        order: channel indices, first to last.
        contribution: (C,) logits for the class, written under the tiles; None where there are none.
        means: (C,) of the feature maps, written where there are no contributions.
        status: the line above the tiles while the pointer is on none.
        chosen, beside: channels to outline.
        on_channel: gets the channel that was clicked.
    """
    signed, numbers = bool((analysis.feature_maps < 0).any()), means if contribution is None else contribution
    data = {
        "key": key, "pack": channels_key, "order": order.tolist(),
        "numbers": np.round(np.nan_to_num(numbers.astype(float), posinf=0, neginf=0), 4).tolist(),
        "kind": "signed" if signed else "positive", "status": status, "contributes": contribution is not None,
        "caption": "mean %" if contribution is None else f"% {analysis.network.unit} for {class_name}",
        "chosen": chosen, "beside": beside, "side": 56, "schemes": render.schemes(),
    }
    _wall(data=data, key=key, on_channel_change=handler(key, "channel", lambda channel: on_channel(int(channel))))
