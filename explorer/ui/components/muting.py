"""A slider of how far something is muted, with the numbers of every strength: they follow it without the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from explorer.folder.muting import STRENGTHS, Muting
from explorer.ui.components.library import handler, part

_muting = part("muting", '<div class="board muting"></div>')


def muting_slider(
    muting: Muting, words: Mapping[str, str], place: int, key: str, on_strength: Callable[[int], None]
) -> None:
    """Show what is right now and at the strength under the hand.

    Args:
        muting: whose curve is shown.
        words: of the curve's groups, in their order.
        place: in STRENGTHS, to begin at.
        on_strength: gets the percentage once the slider is let go, before the page runs again.
    """
    groups = [{"words": text, "values": [float(value) for value in muting.curve[key]], "photos": key == "calls"}
              for key, text in words.items()]
    data = {"strengths": [round(100 * float(strength)) for strength in STRENGTHS], "place": place,
            "suggested": muting.suggested, "groups": [_without_nan(group) for group in groups]}
    _muting(data=data, key=key, on_strength_change=handler(key, "strength", lambda percent: on_strength(int(percent))))


def _without_nan(group: dict) -> dict:
    return group | {"values": [None if value != value else value for value in group["values"]]}
