"""Whether memory comes back: many photos through sessions that come and go.

    python -m benchmarks.soak [--photos 2000]

Photos are drawn from the examples, each of other pixels and of 0.3 to 12 megapixels. A session looks at a few, asks
Why without two boxes of each, and leaves. Resident memory is read every five seconds and drawn into
docs/images/soak.png.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import time

import numpy as np
import plotly.graph_objects as go
import psutil
from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.page import ROOT, served
from benchmarks.visitors import Visitor
from tests.browser.chromium import ARGUMENTS, ensure

SIZES = ((640, 480), (1600, 1200), (3000, 2000), (4000, 3000))
PLOT = ROOT / "docs" / "images" / "soak.png"
FORGOTTEN = 260.0  # seconds until the server has forgotten the sessions that left and emptied its caches


def photo(number: int) -> bytes:
    """A JPEG that no other number gives."""
    draw = random.Random(number)
    names = sorted((ROOT / "assets" / "examples").glob("*.jpg"))
    with Image.open(names[number % len(names)]) as example:
        picture = example.convert("RGB").resize(SIZES[number % len(SIZES)])
    picture = picture.rotate(draw.uniform(-5, 5))
    picture.putpixel((0, 0), (number % 256, number // 256, 0))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return stream.getvalue()


async def session(url: str, first: int, count: int) -> None:
    """A person who looks at some photos, asks about two boxes of each, and leaves."""
    async with Visitor(url) as visitor:
        await visitor.visit("")
        for number in range(first, first + count):
            await visitor.upload(f"photo{number}.jpg", await asyncio.to_thread(photo, number))
            for row in (1, 3):
                await visitor.visit(f"ask=without&region={row},2,{row + 1},4", "Why")
            await visitor.visit("")


class Memory:
    """Resident memory of a process over time.

    Attributes:
        rows: (minutes, megabytes), a row every five seconds.
    """

    def __init__(self, pid: int) -> None:
        self._process, self._begin = psutil.Process(pid), time.monotonic()
        self.rows: list[tuple[float, float]] = []

    @property
    def minutes(self) -> float:
        """Since it was made."""
        return (time.monotonic() - self._begin) / 60

    def read(self) -> float:
        """Megabytes now."""
        return self._process.memory_info().rss / 2**20

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            self.rows.append((self.minutes, self.read()))
            await asyncio.sleep(5)

    def between(self, first: float, last: float) -> float:
        """The median of what was resident between two times, in megabytes: photos come and go."""
        return float(np.median([megabytes for minutes, megabytes in self.rows if first <= minutes <= last]))


async def soak(url: str, memory: Memory, photos: int) -> list[float]:
    """The minutes at which each four sessions of five photos had left, all at a time; then all have left for long."""
    watching, ends = asyncio.create_task(memory.watch()), [memory.minutes]
    for first in range(0, photos, 20):
        await asyncio.gather(*(session(url, first + n * 5, 5) for n in range(4)))
        ends.append(memory.minutes)
        print(f"{first + 20:5d} photos {memory.read():7.0f} MB", flush=True)
    await asyncio.sleep(FORGOTTEN)
    watching.cancel()
    return ends


def draw(memory: Memory, ends: list[float], photos: int) -> None:
    """The plot, as a PNG."""
    figure = go.Figure(go.Scatter(x=[row[0] for row in memory.rows], y=[row[1] for row in memory.rows], mode="lines"))
    figure.add_vline(ends[-1], line_dash="dot", annotation_text=f"after {photos:,} photos all leave")
    figure.update_layout(width=860, height=360, template="simple_white", xaxis_title="minutes",
                         yaxis_title="resident memory, MB", yaxis_rangemode="tozero")
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=ensure(), args=ARGUMENTS).new_page(
            viewport={"width": 880, "height": 380})
        page.set_content(figure.to_html())
        page.wait_for_selector(".main-svg")
        page.screenshot(path=PLOT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    options = parser.parse_args()
    with served(ROOT / "app.py", ROOT, "--server.enableXsrfProtection", "false") as (url, pid):
        asyncio.run(session(url, 10**6, 1))
        memory = Memory(pid)
        start = memory.read()
        ends = asyncio.run(soak(url, memory, options.photos))
        after = memory.read()
    early = min(15, (len(ends) - 1) // 2)  # 300 photos
    settled, last = (memory.between(ends[n - min(4, early)], ends[n]) for n in (early, len(ends) - 1))
    print(f"\nat first {start:.0f} MB, after {early * 20} photos {settled:.0f}, at the end {last:.0f} "
          f"({last / settled - 1:+.1%}; medians of 80 photos), at most {max(row[1] for row in memory.rows):.0f}, "
          f"when all have left {after:.0f} ({after / start - 1:+.1%})")
    draw(memory, ends, options.photos)


if __name__ == "__main__":
    main()
