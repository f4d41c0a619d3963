"""What a viewer must paint, worked out a second time from the rule: colour says how much, and so does cover.

    part    = value / limit, at most 1 in size
    colour  = the colour map at part
    cover   = opacity * |part| ** 0.7
    painted = photo * (1 - cover) + colour * cover
"""

from __future__ import annotations

import numpy as np

# As ColorBrewer and matplotlib publish them, low to high; RdBu and PuOr without their darkest ends.
RED_AND_BLUE = "2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b"
BLUES = "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c"
ORANGE_AND_PURPLE = "542788 8073ac b2abd2 d8daeb f7f7f7 fee0b6 fdb863 e08214 b35806"
GREYS_AND_RED = "1a1a1a 4d4d4d 878787 bababa f7f7f7 fddbc7 f4a582 d6604d b2182b"
SIGNED = (RED_AND_BLUE, ORANGE_AND_PURPLE, GREYS_AND_RED)
PALETTE = "e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7 2b2b2b"  # Okabe and Ito's; the last is for "others"
OPACITY = 0.85
LABEL_COVER = 190 / 255


def rgb(stop: str) -> np.ndarray:
    return np.array([int(stop[n : n + 2], 16) for n in (0, 2, 4)], float)


def colour(stops: str, place: float) -> np.ndarray:
    """(3,), of a place from 0 to 1 between evenly spaced stops."""
    listed = np.stack([rgb(stop) for stop in stops.split()])
    return np.array([np.interp(place * (len(listed) - 1), range(len(listed)), channel) for channel in listed.T])


def painted(
    ground: np.ndarray, value: float, limit: float, opacity: float = OPACITY, kind: str = "signed",
    stops: str | None = None,
) -> np.ndarray:
    """(3,): a photo's mean colour `ground` under a position's value."""
    part = np.clip(value / limit, -1 if kind == "signed" else 0, 1)
    stops = stops or (RED_AND_BLUE if kind == "signed" else BLUES)
    over = colour(stops, (part + 1) / 2 if kind == "signed" else part)
    cover = opacity * abs(part) ** 0.7
    return np.asarray(ground, float) * (1 - cover) + over * cover


def greys(colours: np.ndarray) -> np.ndarray:
    """(..., 3): the photo's colours drained, as they lie under a map."""
    return np.repeat((np.asarray(colours, float) @ [0.299, 0.587, 0.114])[..., None], 3, -1)


def is_unseen(pixels: np.ndarray, ground: np.ndarray, tolerance: float) -> bool:
    """Whether pixels (n, 3) of an even ground (3,) are what the network never saw: under 62% of a light grey, and a
    tenth to four tenths of them under a line of the hatch, 40% of nearly white, too."""
    pale = greys(ground) * 0.38 + 176 * 0.62
    between, lines = (np.abs(pixels - colour).max(-1) < tolerance for colour in (pale, pale * 0.6 + 246 * 0.4))
    return bool((between | lines).all()) and 0.1 < lines.mean() < 0.4


def redness(pixels: np.ndarray) -> np.ndarray:
    """How much red is above the other two."""
    return pixels[..., 0] - pixels[..., 1:].max(-1)


def blueness(pixels: np.ndarray) -> np.ndarray:
    """How much blue is above red."""
    return pixels[..., 2] - pixels[..., 0]
