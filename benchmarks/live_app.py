"""The live app against Python, on photos of a folder: logits, top classes, and how long a visitor waits.

    python -m benchmarks.live_app PHOTOS [--app build/live-app] [--photos 100] [--visits 5]

The app is built first (make live-app) and served on this machine alone. Browsers decode a JPEG's colours otherwise than
Python's libjpeg does, so the first 20 photos are also sent as PNG: what differs then is arithmetic.
"""

from __future__ import annotations

import argparse
import base64
import io
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch
from playwright.sync_api import Browser, Page, sync_playwright

from explorer import load_network, read_image
from explorer.framing import frame
from explorer.networks import Network
from tests.browser.chromium import ARGUMENTS, ensure

CLOSE = 20  # photos of which the logits are compared
KINDS = {".jpg", ".jpeg", ".png", ".webp"}
# Until the app has opened what was dropped; the input is made once more, to be compared.
OPENED = """async () => {
  const { photo, maps, shape, framing, times } = await window.opened;
  const { preprocessing } = await (await fetch("network.json")).json();
  const { input } = (await import("./framing.js")).frame(photo, preprocessing, framing.kind);
  const text = ({ buffer }) => {
    let letters = "";
    for (const byte of new Uint8Array(buffer)) letters += String.fromCharCode(byte);
    return btoa(letters);
  };
  photo.close();
  return { maps: text(maps), input: text(input), shape, framing, times };
}"""
LISTEN = """() => { window.opened = new Promise((open, reject) => {
  window.poolscopeLive = { open };
  setTimeout(() => reject(new Error(document.body.innerText)), 60_000);
}); }"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder's files, on this machine alone, while the block runs."""

    class Quiet(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing: the requests are not of interest."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def dropped(page: Page, name: str, data: bytes) -> dict[str, Any]:
    """What the app makes of a file: maps (C, H, W), input (3, h, w), framing, times in ms."""
    page.evaluate(LISTEN)
    page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": data})
    result = page.evaluate(OPENED)
    result["maps"] = torch.from_numpy(np.frombuffer(base64.b64decode(result["maps"]), np.float32).copy()
                                      ).reshape(result["shape"])
    result["input"] = np.frombuffer(base64.b64decode(result["input"]), np.float32)
    return result


def first_visit(browser: Browser, home: str, name: str, data: bytes) -> float:
    """ms from a drop on a page that has only just been drawn, in a browser that never saw it, to feature maps."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(home, wait_until="domcontentloaded")
    milliseconds = dropped(page, name, data)["times"]["all"]
    context.close()
    return float(milliseconds)


@torch.no_grad()
def logits_of(network: Network, maps: torch.Tensor) -> torch.Tensor:
    """(classes,) of feature maps (C, H, W)."""
    return network.head(network.pooling(maps[None]))[0]


def png(path: Path) -> bytes:
    """A photo as Python reads it."""
    file = io.BytesIO()
    read_image(path).save(file, "PNG", compress_level=1)
    return file.getvalue()


def large(path: Path) -> bytes:
    """A JPEG of 12 megapixels, as a phone takes it."""
    file = io.BytesIO()
    read_image(path).resize((4000, 3000)).save(file, "JPEG", quality=90)
    return file.getvalue()


class Comparison:
    """The app beside Python, photo after photo."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.logits: list[float] = []  # the largest difference of each photo
        self.levels: list[tuple[float, float]] = []  # of each input: most grey levels, and the share that differs
        self.same: list[bool] = []

    def add(self, path: Path, result: dict[str, Any]) -> None:
        preprocessing = self.network.preprocessing
        x, _ = frame(read_image(path), preprocessing)
        expected = logits_of(self.network, self.network.engine(x)[0])
        got = logits_of(self.network, result["maps"])
        off = np.abs(result["input"] - x.numpy().ravel()) * preprocessing.std[0] * 255
        self.levels.append((float(off.max()), float((off > 0.5).mean())))
        self.logits.append(float((got - expected).abs().max()))
        self.same.append(bool(got.argmax() == expected.argmax()))

    def say(self, what: str) -> None:
        most, share = (np.array(part) for part in zip(*self.levels, strict=True))
        print(f"{what}: largest difference of a logit {max(self.logits):.1e} (median of photos "
              f"{statistics.median(self.logits):.1e}), top class the same on {sum(self.same)} of {len(self.same)}; "
              f"inputs differ by at most {most.max():.0f} grey levels, in {share.mean():.1%} of their values")


def spread(what: str, times: list[dict[str, float]]) -> None:
    for part in ("all", "read", "frame", "run"):
        values = sorted(time[part] for time in times)
        print(f"{what}, {part}: median {statistics.median(values):.0f} ms, "
              f"95% {values[int(0.95 * len(values))]:.0f} ms, most {values[-1]:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a folder of photos")
    parser.add_argument("--app", type=Path, default=Path("build/live-app"), help="a live app that was built")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--visits", type=int, default=5, help="first visits that are timed")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in KINDS)
    paths = [paths[n * len(paths) // options.photos] for n in range(min(options.photos, len(paths)))]
    assert paths, f"there is no photo in {options.folder}"
    assert (options.app / "index.html").is_file(), f"there is no live app in {options.app}: make live-app"
    with torch.no_grad(), served(options.app) as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure(), args=ARGUMENTS)
        report(browser, home, load_network("efficientnet_lite0"), paths, options.visits)
        browser.close()


def report(browser: Browser, home: str, network: Network, paths: list[Path], visits: int) -> None:
    """Print all measures."""
    firsts = [first_visit(browser, home, paths[0].name, paths[0].read_bytes()) for _ in range(visits)]
    print(f"first drop on a new page to feature maps: median {statistics.median(firsts):.0f} ms, "
          f"all {', '.join(f'{time:.0f}' for time in firsts)} ms")
    page = browser.new_page()
    page.goto(home)
    exact, stored, times = Comparison(network), Comparison(network), []
    for path in paths[:CLOSE]:
        exact.add(path, dropped(page, "photo.png", png(path)))
    for path in paths:
        result = dropped(page, path.name, path.read_bytes())
        stored.add(path, result)
        times.append(result["times"])
        if len(times) == CLOSE:
            stored.say(f"{CLOSE} photos as they are stored")
    stored.say(f"{len(paths)} photos as they are stored")
    exact.say(f"{len(exact.same)} photos as PNG")
    spread("later drops", times)
    spread("12 megapixels", [dropped(page, "large.jpg", large(path))["times"] for path in paths[:5]])


if __name__ == "__main__":
    main()
