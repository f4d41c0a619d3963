"""The wall: all channels of the feature maps as tiles on one canvas, in the order of what they contribute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from explorer import Analysis, render
from explorer.ui.library import part
from explorer.ui.viewer import pack, source

_wall = part("wall", '<div class="wall"></div>')


def put_channels(analysis: Analysis, digest: str) -> str:
    """Give the page all feature maps, once; returns the key under which the wall finds them."""
    framing = analysis.framing
    key = "-".join(("maps", digest[:16], framing.kind, *map(str, framing.input_size)))
    packed = analysis.remember("packed channels", lambda: pack(analysis.feature_maps.numpy()))
    source({"pack": {"key": key, **packed}}, key="pack")
    return key


def wall(
    analysis: Analysis, channels_key: str, order: np.ndarray, contribution: np.ndarray, *, key: str, status: str,
    class_name: str, chosen: int | None, beside: int | None, on_channel: Callable[[int], None],
) -> None:
    """Show the channels in an order; the tile under the pointer goes to the viewer that follows `key`.

    Args:
        channels_key: from `put_channels`.
        order: channel indices, first to last.
        contribution: (C,) logits for the class, written under the tiles.
        status: what is said while no tile is pointed at.
        chosen, beside: channels to outline.
        on_channel: gets the channel that was clicked.
    """

    def clicked() -> None:
        channel = st.session_state[key].get("channel")
        if channel is not None:
            on_channel(int(channel))

    signed = bool((analysis.feature_maps < 0).any())
    data = {
        "key": key, "pack": channels_key, "order": order.tolist(),
        "paid": np.round(np.nan_to_num(contribution.astype(float), posinf=0, neginf=0), 4).tolist(),
        "kind": "signed" if signed else "positive", "status": status, "says": f"pays % logits for {class_name}",
        "chosen": chosen, "beside": beside, "side": 56, "schemes": render.schemes(),
    }
    _wall(data=data, key=key, on_channel_change=clicked)
