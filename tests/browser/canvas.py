"""The photo with its map, as the first viewer of a page draws it."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import Locator

if TYPE_CHECKING:
    from tests.browser.conftest import Visit


def canvas(here: Visit) -> Locator:
    """The one with photo and map; its label says of what."""
    return here.find(".viewer .cover canvas").first


def drawn(here: Visit) -> str:
    """All that is on it, as a data URL: the same for the same picture."""
    return canvas(here).evaluate("(canvas) => canvas.toDataURL('image/png')")


def picture(here: Visit) -> Image.Image:
    """Its own pixels."""
    return Image.open(io.BytesIO(base64.b64decode(drawn(here).partition(",")[2]))).convert("RGB")


def picture_on_screen(here: Visit) -> Image.Image:
    """The same as it is seen, with what is drawn over it."""
    return Image.open(io.BytesIO(canvas(here).screenshot(animations="disabled"))).convert("RGB")
