"""Numbers and photos as text for the browser; the viewer's shared.js and live.js read them."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

from explorer import Analysis, render

PHOTO_SIDE = 1600  # px
PHOTO_BYTES = 270_000  # a photo full of detail is compressed more, or a page would be slow to open
LEVELS = 65534  # of a number; 65535 is "not a number"


def pack(maps: np.ndarray) -> dict[str, Any]:
    """Maps (n, H, W): 65535 levels between each map's own ends, deflated; what is not finite is NaN.

    A number is off by at most half a level, see `unpacked`.
    """
    levels, low, high = _levels(maps)
    data = zlib.compress(levels.tobytes(), 6)
    return {"shape": list(maps.shape), "data": base64.b64encode(data).decode(), "low": low.tolist(),
            "high": high.tolist()}


def unpacked(maps: np.ndarray) -> np.ndarray:
    """What the browser reads of packed maps (n, H, W), in single precision as there."""
    levels, low, high = _levels(maps)
    values = low[:, None] + levels / LEVELS * (high - low)[:, None]
    return np.where(levels > LEVELS, np.nan, values).astype(np.float32).reshape(maps.shape)


def pack_exactly(values: np.ndarray) -> dict[str, Any]:
    """An array of any shape in single precision, to the last bit, deflated."""
    data = zlib.compress(np.ascontiguousarray(values, "<f4").tobytes(), 6)
    return {"shape": list(values.shape), "data": base64.b64encode(data).decode()}


def look() -> dict[str, Any]:
    """The colours of maps, as the viewer takes them."""
    return {"schemes": render.schemes(), "schemeNames": list(render.SCHEMES), "palette": list(render.PALETTE)}


def photo_uri(analysis: Analysis) -> str:
    """The photo as a JPEG of at most `PHOTO_SIDE` px, in a data URI."""
    photo, _ = analysis.preview(PHOTO_SIDE)
    for quality in (85, 70, 55, 40, 25):
        data = render.jpeg(photo, quality)
        if len(data) <= PHOTO_BYTES:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _levels(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, H * W) little-endian, and each map's ends."""
    values = np.asarray(maps, np.float64).reshape(len(maps), -1)
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(1, initial=np.inf)
    high = np.where(finite, values, -np.inf).max(1, initial=-np.inf)
    low, high = (np.where(np.isfinite(end), end, 0.0) for end in (low, high))
    span = np.where(high > low, high - low, 1.0)
    levels = np.where(finite, np.rint((values - low[:, None]) / span[:, None] * LEVELS), LEVELS + 1)
    return np.nan_to_num(levels, nan=LEVELS + 1).astype("<u2"), low, high
