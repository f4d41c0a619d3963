"""The wall of channels on a page: where its tiles are, what is on them, and pointing at one."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

GAP, LABEL, TILE = 2, 15, 56  # px: between tiles, under one for its number, and how wide one is at least


class Wall:
    """Where the tiles of a wall are, by their place n in its order."""

    def __init__(self, visit: Visit, order: np.ndarray, side: int = 14) -> None:
        self.visit = visit
        self.root = visit.find(".st-key-wall .wall")
        self.order, self.side = order, side
        self.scroller, self.canvas = self.root.locator(".scroller"), self.root.locator("canvas")
        self.room = self.scroller.evaluate("(element) => element.clientWidth")
        self.across = (self.room + GAP) // (TILE + GAP)
        self.wide = (self.room + GAP) / self.across - GAP
        self.step = self.wide + LABEL + GAP

    @property
    def scrolled(self) -> float:
        return self.scroller.evaluate("(element) => element.scrollTop")

    def corner(self, n: int, scrolled: float | None = None) -> tuple[float, float]:
        """The tile's left and top on the canvas as it is scrolled."""
        scrolled = self.scrolled if scrolled is None else scrolled
        return n % self.across * (self.wide + GAP), n // self.across * self.step - scrolled

    def picture(self, n: int, pixels: np.ndarray | None = None, scrolled: float | None = None) -> np.ndarray:
        """(side, side, 3): the colour in the middle of each position of a tile."""
        pixels = self.pixels() if pixels is None else pixels
        left, top = self.corner(n, scrolled)
        middles = (np.arange(self.side) + 0.5) * self.wide / self.side
        return pixels[(top + middles).astype(int)[:, None], (left + middles).astype(int)[None]].astype(float)

    def pixels(self) -> np.ndarray:
        encoded = self.canvas.evaluate("(canvas) => canvas.toDataURL()").partition(",")[2]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))

    def point(self, n: int) -> None:
        box, (left, top) = self.scroller.bounding_box(), self.corner(n)
        self.visit.page.mouse.move(box["x"] + left + self.wide / 2, box["y"] + top + self.wide / 2)

    def click(self, n: int) -> None:
        self.point(n)
        self.visit.page.mouse.down()
        self.visit.page.mouse.up()

    def scroll(self, to: float) -> None:
        self.scroller.evaluate("""(element, to) => new Promise((done) => {
            element.scrollTop = to; requestAnimationFrame(() => requestAnimationFrame(done)); })""", to)

    @property
    def status(self) -> str:
        return self.root.locator(".status").text_content()
