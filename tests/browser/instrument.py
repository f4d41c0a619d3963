"""A viewer on a page: its canvases are read as arrays, and it is pointed at in positions or pixels of the photo."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, expect

from explorer import Analysis

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

Point = tuple[float, float]


class Instrument:
    """One viewer. `pane` counts its photos from 0; positions are (i, j); points are (x, y) in pixels of the photo."""

    def __init__(self, visit: Visit, analysis: Analysis, key: str) -> None:
        self.root = visit.find(f".st-key-{key} .viewer")
        self.visit = visit
        self.keyboard = visit.page.keyboard
        self._mouse = visit.page.mouse
        self.rectangles = analysis.framing.rectangles
        self.width, self.height = analysis.framing.photo_size
        self.analysis = analysis

    def find(self, selector: str) -> Locator:
        return self.root.locator(selector)

    def base(self, pane: int = 0) -> Locator:
        return self.find(".cover").nth(pane).locator("canvas").first

    def top(self, pane: int = 0) -> Locator:
        return self.find(".cover").nth(pane).locator("canvas").last

    # Reading.

    def pixels(self, pane: int = 0) -> np.ndarray:
        """(height, width, 3) of the canvas with photo and map."""
        return _read(self.base(pane))[..., :3]

    def patches(self, pane: int = 0) -> np.ndarray:
        """(H, W, 3): the mean colour of each position on the canvas, a pixel away from its edges."""
        return self._means(self.pixels(pane))

    def grounds(self, photo: Image.Image, pane: int = 0) -> np.ndarray:
        """(H, W, 3): the same of a photo in greys, as it lies under a map, brought to the canvas's size."""
        height, width, _ = self.pixels(pane).shape
        return self._means(np.asarray(photo.convert("L").convert("RGB").resize((width, height), Image.Resampling.BOX)))

    def _means(self, pixels: np.ndarray) -> np.ndarray:
        scale = pixels.shape[1] / self.width
        return np.array([[_inside(pixels, rectangle * scale).mean((0, 1)) for rectangle in row]
                         for row in self.rectangles])

    def outlined(self, pane: int = 0, colour: tuple[int, int, int] = (255, 255, 255)) -> tuple[float, ...] | None:
        """Left, top, right, bottom, in pixels of the photo, of what is outlined in a colour (white: pointed at)."""
        drawn = _read(self.top(pane))
        is_of_it = (np.abs(drawn[..., :3].astype(int) - colour).max(-1) < 8) & (drawn[..., 3] > 250)
        if not is_of_it.any():
            return None
        rows, columns = (np.flatnonzero(is_of_it.any(axis)) for axis in (1, 0))
        scale = self.width / drawn.shape[1]
        return tuple(float(edge * scale) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))

    @property
    def readout(self) -> str:
        return self.find(".readout").text_content()

    @property
    def ends(self) -> list[str]:
        """The legends' texts, from left to right."""
        return self.find(".scale > span").all_text_contents()

    @property
    def events(self) -> list[list]:
        """The events that reached Python, as the page of apps/instruments.py lists them."""
        return json.loads(self.visit.page.get_by_test_id("stText").text_content())

    def wait_for_photo(self) -> Instrument:
        """Until the canvas has the photo's shape and is painted."""
        self.visit.eventually(lambda: abs(self._shape() - self.width / self.height) < 0.02 * self._shape(), True)
        return self

    def _shape(self) -> float:
        """Width by height of the canvas, 0 while nothing is on it."""
        return self.base().evaluate("""(canvas) => canvas.getContext("2d").getImageData(canvas.width >> 1,
            canvas.height >> 1, 1, 1).data[3] ? canvas.width / canvas.height : 0""") if self.base().count() else 0

    # Pointing.

    def middle(self, i: int, j: int) -> Point:
        left, top, right, bottom = self.rectangles[i, j]
        return (left + right) / 2, (top + bottom) / 2

    def is_outlined(self, i: int, j: int, pane: int = 0) -> None:
        """Assert that this position is drawn as the one pointed at."""
        pixel = self.width / self.top(pane).bounding_box()["width"]
        np.testing.assert_allclose(self.outlined(pane), self.rectangles[i, j], atol=2.5 * pixel)

    def on_page(self, point: Point, pane: int = 0) -> Point:
        """Where on the window a point of the photo is, while nothing is zoomed."""
        box = self.top(pane).bounding_box()
        return box["x"] + point[0] / self.width * box["width"], box["y"] + point[1] / self.height * box["height"]

    def hover(self, i: int, j: int, pane: int = 0) -> None:
        self.hover_at(self.middle(i, j), pane)

    def hover_at(self, point: Point, pane: int = 0) -> None:
        self.top(pane).scroll_into_view_if_needed()
        self._mouse.move(*self.on_page(point, pane))

    def click(self, i: int, j: int, pane: int = 0) -> None:
        self.click_at(self.middle(i, j), pane)

    def click_at(self, point: Point, pane: int = 0) -> None:
        self.hover_at(point, pane)
        self._mouse.down()
        self._mouse.up()

    def drag(self, begin: Point, end: Point, pane: int = 0) -> None:
        self.hover_at(begin, pane)
        self._mouse.down()
        (x, y), (to_x, to_y) = self.on_page(begin, pane), self.on_page(end, pane)
        for part in (0.3, 0.7, 1):
            self._mouse.move(x + (to_x - x) * part, y + (to_y - y) * part)
        self._mouse.up()

    def leave(self) -> None:
        """Take the pointer away from everything."""
        self._mouse.move(2, 2)

    # Tools.

    def slide(self, name: str, value: float) -> None:
        self._tool(self.root.get_by_role("slider", name=name, include_hidden=True)).fill(str(value))

    def press(self, name: str) -> None:
        """A tool's button."""
        self._tool(self.root.get_by_role("button", name=name, exact=True, include_hidden=True)).click()

    def colours(self, name: str) -> None:
        self._tool(self.root.get_by_label("Colours")).select_option(name)

    def _tool(self, tool: Locator) -> Locator:
        if not tool.is_visible():
            self.root.get_by_role("button", name="More").click()
        return tool

    def pick(self, facet: str, value: str) -> None:
        """Choose a class or a pooling in the viewer's own title."""
        self.find(".title").get_by_label(facet).select_option(value)

    def says(self, pattern: str) -> None:
        expect(self.find(".readout")).to_have_text(re.compile(pattern))


def _read(canvas: Locator) -> np.ndarray:
    """(height, width, 4) uint8: a PNG of an opaque canvas has its very pixels."""
    encoded = canvas.evaluate("(canvas) => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded.partition(",")[2]))).convert("RGBA"))


def _inside(pixels: np.ndarray, rectangle: np.ndarray) -> np.ndarray:
    left, top, right, bottom = rectangle
    return pixels[int(np.ceil(top)) + 1 : int(bottom) - 1, int(np.ceil(left)) + 1 : int(right) - 1].astype(float)
