"""Whether memory comes back: many photos through sessions that come and go, networks dropped in between.

    python -m benchmarks.soak [--photos 2000]

Photos are drawn from the examples, each of other pixels and of 0.3 to 12 megapixels. A session looks at a few, asks
Why without two boxes of each, and leaves. Resident memory is read after each round of sessions and drawn into
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
FORGOTTEN = 330.0  # seconds until the server has forgotten the sessions that left


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


async def soak(url: str, process: psutil.Process, photos: int) -> list[tuple[int, float]]:
    """Photos so far and resident megabytes, after each session; four sessions at a time."""
    rows, done, photos_each = [(0, process.memory_info().rss / 2**20)], 0, 5
    while done < photos:
        await asyncio.gather(*(session(url, done + n * photos_each, photos_each) for n in range(4)))
        done += 4 * photos_each
        rows.append((done, process.memory_info().rss / 2**20))
        if done % 100 == 0:
            print(f"{done:5d} photos {rows[-1][1]:7.0f} MB", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    options = parser.parse_args()
    with served(ROOT / "app.py", ROOT, "--server.enableXsrfProtection", "false") as (url, pid):
        process = psutil.Process(pid)
        asyncio.run(session(url, 10**6, 1))
        rows = asyncio.run(soak(url, process, options.photos))
        time.sleep(FORGOTTEN)
        after = process.memory_info().rss / 2**20
    photos, megabytes = np.array(rows).T
    early = min(300, photos[-1] // 2)
    settled = float(np.interp(early, photos, megabytes))
    print(f"\nat first {megabytes[0]:.0f} MB, after {early:.0f} photos {settled:.0f}, at the end {megabytes[-1]:.0f} "
          f"({megabytes[-1] / settled - 1:+.1%}), when all have left {after:.0f} ({after / megabytes[0] - 1:+.1%})")
    figure = go.Figure(go.Scatter(x=photos, y=megabytes, mode="lines"))
    figure.update_layout(width=860, height=360, template="simple_white", xaxis_title="photos",
                         yaxis_title="resident memory, MB", yaxis_rangemode="tozero")
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=ensure(), args=ARGUMENTS).new_page(
            viewport={"width": 880, "height": 380})
        page.set_content(figure.to_html())
        page.wait_for_selector(".main-svg")
        page.screenshot(path=PLOT)


if __name__ == "__main__":
    main()
