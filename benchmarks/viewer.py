"""What the viewer, the wall and the pages cost in Chromium: frames, clicks, bytes.

    python -m benchmarks.viewer [--clicks 30]

A frame's cost is the time of the event's own work until a pixel of the canvas can be read, so that nothing is left to
do later; beside it stands the same measure of an event that changes nothing. A click on a position is timed from the
event to the frame in which the page says what the place gives, beside a click in a plain Streamlit app
(benchmarks/page.py), in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, WebSocket, sync_playwright

from benchmarks.page import CLICK_CONTROL, CONTROL, ROOT, report, served
from tests.browser.chromium import ARGUMENTS, ensure

PAGES = {"Explore": "", "Feature maps": "Feature_maps", "Poolings": "Poolings", "Activation maps": "Activation_maps"}
# Milliseconds of 60 events of a kind on the page's main viewer, each until its canvas can be read.
FRAMES = """async (kind) => {
  const root = [...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".viewer"))
    .find((viewer) => viewer?.viewer.data.main);
  const [base, top] = root.querySelectorAll(".cover canvas"), box = top.getBoundingClientRect(), times = [];
  const slider = root.querySelector("input[type=range]"), selects = root.querySelectorAll(".title select");
  const point = (n) => top.dispatchEvent(new PointerEvent("pointermove",
    { clientX: box.left + (n * 37) % box.width, clientY: box.top + (n * 23) % box.height, bubbles: true }));
  const next = (name) => {
    const select = root.querySelector(`.title select[aria-label=${name}]`);
    select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
    select.dispatchEvent(new Event("change"));
  };
  const acts = { nothing: () => {}, hover: point, class: () => next("Class"), pooling: () => next("Pooling"),
    opacity: (n) => { slider.value = (n * 7) % 100; slider.dispatchEvent(new Event("input")); },
    lock: () => [...root.querySelectorAll("button")].find((b) => b.textContent === "Shared scale").click(),
    smooth: () => [...root.querySelectorAll("button")].find((b) => b.textContent === "Smooth").click() };
  for (let n = 0; n < 60; n += 1) {
    await new Promise(requestAnimationFrame);
    const begin = performance.now();
    acts[kind](n);
    base.getContext("2d").getImageData(0, 0, 1, 1);
    top.getContext("2d").getImageData(0, 0, 1, 1);
    times.push(performance.now() - begin);
  }
  return times;
}"""
# Clicks a position of the main viewer; milliseconds until the page says what it gives.
CLICK_POSITION = """(n) => new Promise((done) => {
  const roots = () => [...document.querySelectorAll("*")].map((e) => e.shadowRoot).filter(Boolean);
  const title = () => roots().map((root) => root.querySelector(".place h3")?.textContent).find(Boolean);
  const top = roots().map((root) => root.querySelector(".viewer")).find((viewer) => viewer?.viewer.data.main)
    .querySelectorAll(".cover canvas")[1], box = top.getBoundingClientRect(), before = title();
  const at = { clientX: box.left + box.width * (0.25 + 0.5 * ((n * 3) % 7) / 7), button: 0, pointerId: 1, bubbles: true,
    clientY: box.top + box.height * (0.3 + 0.4 * ((n * 2) % 5) / 5), pointerType: "touch" };
  const begin = performance.now();
  top.dispatchEvent(new PointerEvent("pointerdown", at));
  top.dispatchEvent(new PointerEvent("pointerup", at));
  const look = () => (title() && title() !== before ? done(performance.now() - begin) : requestAnimationFrame(look));
  requestAnimationFrame(look);
})"""
# Milliseconds of each of 60 frames while the wall is scrolled, until its canvas can be read.
SCROLL = """async () => {
  const wall = [...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".wall")).find(Boolean);
  const scroller = wall.querySelector(".scroller"), canvas = wall.querySelector("canvas"), times = [];
  for (let n = 0; n < 60; n += 1) {
    await new Promise(requestAnimationFrame);
    const begin = performance.now();
    scroller.scrollTop = n * 97;
    scroller.dispatchEvent(new Event("scroll"));
    canvas.getContext("2d").getImageData(0, 0, 1, 1);
    times.push(performance.now() - begin);
  }
  return times;
}"""
WALL_DRAWN = """() => [...document.querySelectorAll("*")].map((e) => e.shadowRoot?.querySelector(".wall"))
  .find(Boolean)?.wall?.tiles"""


class Wire:
    """Bytes that a page received over its websocket."""

    def __init__(self, page: Page) -> None:
        self.received = 0
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._hear)

    def _hear(self, message: str | bytes) -> None:
        self.received += len(message.encode() if isinstance(message, str) else message)


def opened(browser: Browser, url: str) -> tuple[Page, Wire]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    wire = Wire(page)
    page.goto(url)
    page.wait_for_selector(".viewer .cover canvas", timeout=120_000)
    page.wait_for_timeout(2500)
    return page, wire


def spread(name: str, times: list[float]) -> None:
    times = sorted(times)
    print(f"{times[len(times) // 2]:8.1f} ms p50   {times[int(0.95 * len(times))]:6.1f} ms p95   {name}")


def frames(browser: Browser, url: str) -> None:
    page, wire = opened(browser, url)
    before = wire.received
    for kind in ("nothing", "hover", "class", "pooling", "opacity", "lock", "smooth"):
        spread(f"a frame of Explore: {kind}", page.evaluate(FRAMES, kind))
    print(f"{wire.received - before:8d} bytes from the server meanwhile\n")
    page.close()


def clicks(browser: Browser, url: str, control: Page, count: int) -> None:
    for title, path in PAGES.items():
        page, wire = opened(browser, f"{url}/{path}")
        loaded = wire.received
        ours, theirs = [], []
        for n in range(count + 3):
            took = page.evaluate(CLICK_POSITION, n)
            page.wait_for_timeout(250)
            other = control.evaluate(CLICK_CONTROL)
            control.wait_for_timeout(250)
            if n >= 3:
                ours.append(took)
                theirs.append(other)
        report(f"a click on a position of {title}, to what it gives", ours)
        ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
        print(f"{ratio:8.2f} of a click in a plain Streamlit app that imports torch")
        print(f"{loaded / 1000:8.0f} KB to open it, {(wire.received - loaded) / (count + 3) / 1000:.1f} KB a click\n")
        page.close()


def wall(browser: Browser, url: str) -> None:
    opening = []
    for _ in range(5):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{url}/?case=one")
        page.wait_for_selector(".viewer .cover canvas", timeout=120_000)
        begin = time.perf_counter()
        page.goto(f"{url}/?case=wall")
        page.wait_for_function(WALL_DRAWN, timeout=120_000)
        opening.append((time.perf_counter() - begin) * 1000)
        scrolled = page.evaluate(SCROLL)
        page.close()
    report("a wall of 2048 channels of 14 x 14, from the address to the drawn wall (Streamlit's own start included)",
           opening[1:])
    spread("a frame of it while it is scrolled", scrolled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=30)
    options = parser.parse_args()
    instruments = ROOT / "tests" / "browser" / "apps" / "instruments.py"
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        (folder / "control.py").write_text(CONTROL)
        browser = playwright.chromium.launch(executable_path=ensure(), args=ARGUMENTS)
        with served(ROOT / "app.py", ROOT) as (ours, _), served(folder / "control.py", folder) as (theirs, _):
            frames(browser, ours)
            control = browser.new_page(viewport={"width": 1280, "height": 900})
            control.goto(theirs)
            control.wait_for_selector(".stButton button", timeout=120_000)
            control.wait_for_timeout(2000)
            clicks(browser, ours, control, options.clicks)
        with served(instruments, ROOT) as (made_up, _):
            wall(browser, made_up)
        browser.close()


if __name__ == "__main__":
    main()
