"""A running app and people in front of it: each visit is a window of its own, watched for all that goes wrong."""

from __future__ import annotations

import base64
import io
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    WebSocketRoute,
    expect,
    sync_playwright,
)
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.browser.chromium import ARGUMENTS, find

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds: the first visit waits for torch and the network
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

expect.set_options(timeout=PATIENCE * 1000)


class Server:
    """`streamlit run app.py` on a free port, and what it writes to its log."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true",
                   "--server.address", "127.0.0.1", "--server.port", str(self.port)]
        # Streamlit is told where a browser may be by variables that whoever runs the tests may have set.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
        with log.open("wb") as file:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)

    def wait(self) -> None:
        deadline = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise RuntimeError(f"The app did not start:\n{self.log}")

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


class SlowWire:
    """The connection between a page and its server, where answers can be held back for a while.

    It must be there before the page is opened.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._held: list[bytes] | None = None
        page.route_web_socket("**/_stcore/stream", self._connect)

    def _connect(self, near: WebSocketRoute) -> None:
        far = near.connect_to_server()
        near.on_message(far.send)
        far.on_message(lambda message: near.send(message) if self._held is None else self._held.append(message))
        self._near = near

    @contextmanager
    def answers_held_back(self) -> Iterator[None]:
        self._held = []
        yield
        held, self._held = self._held, None
        for message in held:
            self._near.send(message)

    def wait_for_answer(self) -> None:
        """Until the script has come to its end, though the page does not hear of it."""
        deadline = time.monotonic() + PATIENCE
        while not any(ForwardMsg.FromString(message).WhichOneof("type") == "script_finished" for message in self._held):
            assert time.monotonic() < deadline, "the script did not come to its end"
            self._page.wait_for_timeout(30)


def probes(url: str) -> bool:
    """Whether Streamlit only looks for its server: under a page's path first, where it is not, then above it."""
    return re.fullmatch(r"/Method/_stcore/(health|host-config)", urlsplit(url).path) is not None


class Visit:
    """One person's window. `trouble` collects what no visit may show."""

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.page = context.new_page()
        self.trouble: list[str] = []
        self._server = server
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._note(True, "page error", error))
        self.page.on("request", lambda request: self._note(self._is_foreign(request.url), "request", request.url))
        self.page.on("websocket", lambda wire: self._note(self._is_foreign(wire.url), "websocket", wire.url))
        self.page.on("response", lambda got: self._note(got.status >= 400 and not probes(got.url), "response", got.url))
        self.page.on("dialog", lambda dialog: (self._note(True, "dialog", dialog.message), dialog.dismiss()))

    def _hear(self, message: ConsoleMessage) -> None:
        self._note(message.type == "error" and not probes(message.location["url"]), "console", message.text)

    def _note(self, is_trouble: bool, kind: str, text: object) -> None:
        if is_trouble:
            self.trouble.append(f"{kind}: {str(text)[:500]}")

    def _is_foreign(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != urlsplit(self._server.url).netloc

    # Going somewhere.

    def go(self, path: str = "/", **link: str) -> Visit:
        """Follow a link, and wait until the page is drawn."""
        self.page.goto(f"{self._server.url}{path}{'?' if link else ''}{urlencode(link)}")
        return self.settle(self.find(".headline h1"))

    def change_page(self, title: str) -> Visit:
        """Click a page's name in the sidebar."""
        self.page.get_by_test_id("stSidebar").get_by_role("link", name=title).click()
        return self.settle(self.find(".answers") if title == "Explore" else self.find(".method").last)

    def settle(self, there: Locator) -> Visit:
        """Wait until something is there and the script has come to its end."""
        expect(there).to_be_visible()
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        return self

    def upload(self, name: str, data: bytes, kind: str = "image/png") -> None:
        self.page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
            {"name": name, "mimeType": kind, "buffer": data})

    def choose(self, label: str, option: str) -> None:
        """Type an option's name into a selectbox and take the one of exactly that name."""
        self.page.get_by_role("combobox", name=label).fill(option)
        self.page.get_by_role("option", name=option, exact=True).click()

    # Reading the page.

    def find(self, selector: str) -> Locator:
        """By CSS; open shadow roots, such as those of the boards, are searched too."""
        return self.page.locator(selector)

    @property
    def link(self) -> dict[str, str]:
        """What the page's URL says."""
        return dict(parse_qsl(urlsplit(self.page.url).query))

    def answers(self) -> dict[str, list[tuple[str, str]]]:
        """Name and probability of the answers, by the name of their pooling."""
        read = """(columns) => columns.map((column) => [column.querySelector("h3").textContent,
            [...column.querySelectorAll(".answer")].map((row) =>
                [".name", ".number"].map((part) => row.querySelector(part).textContent))])"""
        return {name: [tuple(row) for row in rows] for name, rows in self.find(".answers .column").evaluate_all(read)}

    def picture(self) -> Image.Image:
        """The photo with the evidence over it, as it was sent to the page."""
        source = self.find(".photo img").get_attribute("src")
        return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")

    def picture_on_screen(self) -> Image.Image:
        """The same as it is seen: a screenshot of the <img>, cut to where the photo lies in its box."""
        element = self.find(".photo img")
        width, height = element.evaluate("(img) => [img.naturalWidth, img.naturalHeight]")
        seen = Image.open(io.BytesIO(element.screenshot(animations="disabled"))).convert("RGB")
        scale = min(seen.width / width, seen.height / height)
        return seen.crop((0, 0, round(width * scale), round(height * scale)))

    def notices(self) -> list[str]:
        return self.find(".notice p").all_text_contents()

    def eventually(self, read: Callable[[], Any], expected: Any) -> None:
        """Assert that reading comes to give what is expected."""
        deadline = time.monotonic() + PATIENCE
        while (got := read()) != expected and time.monotonic() < deadline:
            self.page.wait_for_timeout(30)
        assert got == expected

    def leads_to(self, **expected: str) -> None:
        """Assert that the URL comes to say this."""
        self.eventually(lambda: {name: self.link.get(name) for name in expected}, expected)

    def check(self) -> None:
        """Nothing went wrong that a test may not have looked at."""
        expect(self.page.get_by_test_id("stException")).to_have_count(0)
        assert self.trouble == []


@pytest.fixture(scope="package")
def server(tmp_path_factory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server") / "streamlit.log")
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = find()
    assert path, "There is no Chromium; python -m tests.browser.chromium installs one."
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *CAMERA])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Callable[..., Visit]]:
    """`visit(width=1280, height=800, theme="light")`: a new person's window, watched until the test ends."""
    opened: list[tuple[BrowserContext, Visit]] = []
    written = len(server.log)

    def open_window(width: int = 1280, height: int = 800, theme: str = "light") -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, locale="en-GB", reduced_motion="reduce")
        opened.append((context, Visit(context, server)))
        return opened[-1][1]

    yield open_window
    try:
        for _, each in opened:
            each.check()
        assert "Traceback" not in server.log[written:]
    finally:
        for context, _ in opened:
            context.close()
