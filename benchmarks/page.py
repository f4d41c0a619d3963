"""How quick the page is: from a click to the changed page in Chromium, beside a plain Streamlit app.

    python -m benchmarks.page [--clicks 30]

The control is an untuned app that imports torch and shows a button and a number. A click is timed in the browser,
from the event to the frame in which the page shows the change. The two apps are clicked in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, ensure

ROOT = Path(__file__).resolve().parents[1]
CONTROL = """
import streamlit as st
import torch
import torchvision
count = st.session_state.setdefault("count", 0)
if st.button("again"):
    st.session_state["count"] += 1
st.write("clicked", st.session_state["count"])
"""
# Finds the board that holds the answers, clicks one, and waits for the frame in which it is the chosen one.
CLICK_ANSWER = """(n) => new Promise((done) => {
  const find = () => [...document.querySelectorAll("*")]
    .map((e) => e.shadowRoot?.querySelector(".answers")).find(Boolean);
  const answer = () => find()?.querySelectorAll(".answer")[n];
  const begin = performance.now();
  answer().click();
  const look = () => answer()?.getAttribute("aria-pressed") === "true"
    ? done(performance.now() - begin) : requestAnimationFrame(look);
  requestAnimationFrame(look);
})"""
CLICK_CONTROL = """() => new Promise((done) => {
  const text = () => document.querySelector(".stMarkdown")?.textContent;
  const before = text(), begin = performance.now();
  document.querySelector(".stButton button").click();
  const look = () => text() !== before ? done(performance.now() - begin) : requestAnimationFrame(look);
  requestAnimationFrame(look);
})"""
NEW_PHOTO = """() => new Promise((done) => {
  // The photo that the viewer has been given and has: then it is painted.
  const given = () => [...document.querySelectorAll("*")]
    .map((e) => e.shadowRoot?.querySelector(".viewer")).find(Boolean)?.viewer?.data?.photo;
  const lead = () => (window.poolscope.photos.has(given()) ? given() : undefined);
  window.before = lead(); window.begin = performance.now();
  window.waited = new Promise((seen) => {
    const look = () => lead() && lead() !== window.before ? seen(performance.now() - window.begin)
      : requestAnimationFrame(look);
    requestAnimationFrame(look);
  });
  done();
})"""


@contextlib.contextmanager
def served(script: Path, folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """A Streamlit app on a free port, until the block ends: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless", "true",
               "--server.port", str(port), "--browser.gatherUsageStats", "false", *options]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)  # Ctrl+C is for what measures
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health"):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def click_both(page: Page, control: Page, clicks: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each click on the page and on the control, in turn; the page's first round is not counted."""
    ours, theirs = [], []
    answers = (1, 6, 11, 2, 0)  # of three columns with five answers each
    for n in range(clicks + len(answers)):
        took = page.evaluate(CLICK_ANSWER, answers[n % len(answers)])
        page.wait_for_timeout(250)
        other = control.evaluate(CLICK_CONTROL)
        control.wait_for_timeout(250)
        if n >= len(answers):
            ours.append(took)
            theirs.append(other)
    return ours, theirs


def new_photos(page: Page, folder: Path, count: int) -> list[float]:
    """Milliseconds from handing over a new photo of 1600 x 1200 px to the page that shows it."""
    times = []
    for n in range(count + 1):
        file = folder / f"photo_{n}.jpg"
        example = Image.open(ROOT / "assets" / "examples" / "coffee.jpg")
        example.resize((1600, 1200)).rotate(n).save(file, quality=90)
        page.evaluate(NEW_PHOTO)
        page.set_input_files("input[type=file]", str(file))
        took = page.evaluate("() => window.waited")
        page.wait_for_timeout(400)
        if n:
            times.append(took)
    return times


def report(name: str, times: list[float]) -> None:
    low, middle, high = statistics.quantiles(times, n=4)
    print(f"{middle:8.0f} ms p50   ({low:.0f} to {high:.0f})   {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        (folder / "control.py").write_text(CONTROL)
        browser = playwright.chromium.launch(executable_path=ensure(), args=ARGUMENTS)
        with served(ROOT / "app.py", ROOT) as (ours, _), served(folder / "control.py", folder) as (theirs, _):
            page, control = (browser.new_page(viewport={"width": 1280, "height": 800}) for _ in range(2))
            page.goto(ours)
            page.wait_for_selector(".answers .answer", timeout=120_000)
            control.goto(theirs)
            control.wait_for_selector(".stButton button", timeout=120_000)
            page.wait_for_timeout(2000)
            clicked, controlled = click_both(page, control, options.clicks)
            uploaded = new_photos(page, folder, 8)
        browser.close()
    report("a click on an answer, already computed, to the changed page", clicked)
    report("a click in a plain Streamlit app that imports torch", controlled)
    report("a new photo of 1600 x 1200 px, from the file to the changed page", uploaded)
    ratios = [mine / other for mine, other in zip(clicked, controlled, strict=True)]
    print(f"\n{statistics.median(ratios):.2f} of the plain app's time (median of {len(ratios)} pairs)")


if __name__ == "__main__":
    main()
