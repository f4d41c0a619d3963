"""Whether memory comes back: many photos and some networks through sessions that come and go.

    python -m benchmarks.soak [--photos 2000] [--networks 8]

Photos are drawn from the examples, each of other pixels and of 0.3 to 12 megapixels. A session looks at a few, asks
Why without two boxes of each, and leaves. One session in eight drops in a network of its own and has a photo explained
by it. Resident memory is read every five seconds and drawn into docs/images/soak.png. Ctrl+C or SIGTERM ends it early,
with what was measured until then: the sessions of the moment go on to their end, and all leave.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import signal
import time
from functools import cache

import numpy as np
import plotly.graph_objects as go
import psutil
import safetensors.torch
import torch
from PIL import Image
from playwright.sync_api import sync_playwright
from torchvision.models import resnet18

from benchmarks.page import ROOT, served
from benchmarks.visitors import Visitor
from tests.browser.chromium import ARGUMENTS, ensure

SIZES = ((640, 480), (1600, 1200), (3000, 2000), (4000, 3000))
PLOT = ROOT / "docs" / "images" / "soak.png"
FORGOTTEN = 260.0  # seconds until the server has forgotten the sessions that left and emptied its caches
BUNDLED = "efficientnet_lite0"
CLASSES = 10  # of a network that is dropped in


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


@cache
def _weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return resnet18(num_classes=CLASSES).state_dict()


def network(number: int) -> bytes:
    """A checkpoint of 45 MB, by turns safetensors and what torch.save writes; its head is no other number's."""
    draw = torch.Generator().manual_seed(number)
    state = _weights() | {"fc.weight": torch.randn(CLASSES, 512, generator=draw) / 10}
    if number % 2:
        return safetensors.torch.save(state)
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def check(visitor: Visitor, own: int | None, here: bool = True) -> None:
    """Raises RuntimeError where what the last run drew is not of that network, or is although it is not `here`."""
    if own is not None and visitor.sees(f"kind {own}-") != here:
        raise RuntimeError(f"The page names {'no' if here else 'a'} class of network {own}.")


async def drop_in(visitor: Visitor, own: int) -> None:
    """Load a network of one's own by the form, from Explore; its classes are "kind", its number and theirs."""
    await visitor.press("change_network")
    await visitor.pick("picker_way", "Your own file")
    await visitor.upload(f"network{own}.pt", await asyncio.to_thread(network, own), "own_file")
    await visitor.write("own_names", "\n".join(f"kind {own}-{kind}" for kind in range(CLASSES)))
    await visitor.press("own_take")
    check(visitor, own)


async def look(visitor: Visitor, number: int, own: int | None = None) -> None:
    """Look at a photo and ask Why without two boxes of it, by one's own network of that number or the bundled one."""
    await visitor.upload(f"photo{number}.jpg", await asyncio.to_thread(photo, number))
    check(visitor, own)
    for row in (1, 3):
        await visitor.visit(f"ask=without&region={row},2,{row + 1},4", "Why")
        check(visitor, own)
    await visitor.visit("")
    check(visitor, own)


async def session(url: str, first: int, count: int, own: int | None = None) -> None:
    """A person who looks at some photos and leaves.

    With the number of a network of their own they drop it in: one of an even number is left for the bundled network
    after the first photo, one of an odd number is dropped in before the last photo.
    """
    async with Visitor(url) as visitor:
        await visitor.visit("")
        with_own = None if own is None else first if own % 2 == 0 else first + count - 1
        for number in range(first, first + count):
            if own is None or number != with_own:
                await look(visitor, number)
                continue
            await drop_in(visitor, own)
            await look(visitor, number, own)
            if own % 2 == 0:
                await visitor.visit(f"network={BUNDLED}")
                check(visitor, own, here=False)


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


async def soak(url: str, memory: Memory, photos: int, networks: int, ends: list[float]) -> None:
    """Four sessions of five photos at a time, then all have left for long.

    One session in `networks` drops in a network, another file each; none for 0.
    The minutes at which each four had left are put into `ends`, also where one of them fails.
    """
    watching, stop = asyncio.create_task(memory.watch()), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        for first in range(0, photos, 20):
            async with asyncio.TaskGroup() as group:
                for person in range(first // 5, first // 5 + 4):
                    has_own = networks and person % networks == networks - 1
                    group.create_task(session(url, person * 5, 5, person // networks if has_own else None))
            ends.append(memory.minutes)
            print(f"{first + 20:5d} photos {memory.minutes:6.1f} minutes {memory.read():7.0f} MB", flush=True)
            if stop.is_set():
                print("ended early by a signal", flush=True)
                break
    finally:
        await asyncio.sleep(FORGOTTEN)
        watching.cancel()


def report(memory: Memory, start: float, ends: list[float], after: float) -> None:
    """Print how memory went; after 300 photos and at the end it is the median of 80 photos."""
    early = min(15, (len(ends) - 1) // 2)  # 300 photos, where there are twice as many
    settled, last = (memory.between(ends[n - min(4, early)], ends[n]) for n in (early, len(ends) - 1))
    hundreds = [memory.between(ends[n - 5], ends[n]) for n in range(5, len(ends), 5)]
    rows = np.array([row for row in memory.rows if ends[early] <= row[0] <= ends[-1]])
    slope, base = np.polyfit(*rows.T, 1)
    rise = slope * (ends[-1] - ends[early]) / (base + slope * ends[early])
    print(f"\nmedians of each 100 photos: {' '.join(f'{median:.0f}' for median in hundreds)}\n"
          f"at first {start:.0f} MB, after {early * 20} photos {settled:.0f}, after {(len(ends) - 1) * 20} {last:.0f} "
          f"({last / settled - 1:+.1%}; a line through all readings between them rises by {rise:+.1%}), at most "
          f"{max(row[1] for row in memory.rows):.0f}, when all have left {after:.0f} ({after / start - 1:+.1%})")


def draw(memory: Memory, ends: list[float]) -> None:
    """The plot, as a PNG."""
    figure = go.Figure(go.Scatter(x=[row[0] for row in memory.rows], y=[row[1] for row in memory.rows], mode="lines"))
    figure.add_vline(ends[-1], line_dash="dot", annotation_text=f"after {(len(ends) - 1) * 20:,} photos all leave")
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
    parser.add_argument("--networks", type=int, default=8, help="one session in so many drops in its own; 0 for none")
    options = parser.parse_args()
    with served(ROOT / "app.py", ROOT, "--server.enableXsrfProtection", "false") as (url, pid):
        asyncio.run(session(url, 10**6, 1))
        memory = Memory(pid)
        start, ends = memory.read(), [memory.minutes]
        try:
            asyncio.run(soak(url, memory, options.photos, options.networks, ends))
        finally:
            if len(ends) > 2:
                report(memory, start, ends, memory.read())
                draw(memory, ends)


if __name__ == "__main__":
    main()
