"""A running app and people in front of it: each visit is a window of its own, watched for all that goes wrong."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
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
    Request,
    WebSocket,
    WebSocketRoute,
    expect,
    sync_playwright,
)
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from explorer import Analysis
from explorer.images import digest
from tests.browser.apps.cases import analysis_of as made_up
from tests.browser.chromium import ARGUMENTS, find
from tests.browser.instrument import Instrument
from tests.browser.uploads import encode

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds: the first visit waits for torch and the network
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
# A page's title in the sidebar, and what is there once it is drawn.
DRAWN = {"Explore": ".answers", "Feature maps": ".wall canvas", "Poolings": ".differences",
         "Activation maps": ".chips, .viewer.many canvas", "Why": ".viewer canvas", "Lessons": ".lead",
         "Method": ".method"}

expect.set_options(timeout=PATIENCE * 1000)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A browser on a busy machine may be seconds late: a test of it fails when it fails three times, never once."""
    item.add_marker(pytest.mark.flaky(reruns=2))


class Server:
    """`streamlit run app.py` (or another script) on a free port, and what it writes to its log."""

    def __init__(self, log: Path, script: str = "app.py", arguments: Sequence[str] = ()) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless", "true",
                   "--server.address", "127.0.0.1", "--server.port", str(self.port), "--", *arguments]
        # Variables of whoever runs the tests would change how Streamlit serves the app.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
        environment["OMP_NUM_THREADS"] = "1"  # beside other work torch's threads wait for each other, for seconds
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
    pages = "Feature_maps|Poolings|Activation_maps|Why|Folder|Lessons|Method"
    return re.fullmatch(rf"/({pages})/_stcore/(health|host-config)", urlsplit(url).path) is not None


class Wire:
    """What went over a window's websockets."""

    def __init__(self) -> None:
        self.sent = self.received = self.bytes = 0

    def listen(self, socket: WebSocket) -> None:
        socket.on("framesent", self._hear_sent)
        socket.on("framereceived", self._hear_received)

    def _hear_sent(self, _: str | bytes) -> None:
        self.sent += 1

    def _hear_received(self, message: str | bytes) -> None:
        self.received += 1
        self.bytes += len(message.encode() if isinstance(message, str) else message)

    @property
    def frames(self) -> int:
        return self.sent + self.received


class Visit:
    """One person's window. `trouble` collects what no visit may show, `requests` the addresses asked for."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.home = server.url
        self.trouble: list[str] = []
        self.requests: list[str] = []
        self.wire = Wire()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._note(True, "page error", error))
        self.page.on("request", self._ask)
        self.page.on("websocket", self._connect)
        self.page.on("response", lambda got: self._note(got.status >= 400 and not probes(got.url), "response", got.url))
        self.page.on("dialog", lambda dialog: (self._note(True, "dialog", dialog.message), dialog.dismiss()))

    def _hear(self, message: ConsoleMessage) -> None:
        self._note(message.type == "error" and not probes(message.location["url"]), "console", message.text)

    def _ask(self, request: Request) -> None:
        self.requests.append(request.url)
        self._note(self._is_foreign(request.url), "request", request.url)

    def _connect(self, socket: WebSocket) -> None:
        self.wire.listen(socket)
        self._note(self._is_foreign(socket.url), "websocket", socket.url)

    def _note(self, is_trouble: bool, kind: str, text: object) -> None:
        if is_trouble:
            self.trouble.append(f"{kind}: {str(text)[:500]}")

    def _is_foreign(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != urlsplit(self.home).netloc

    # Going somewhere.

    def go(self, path: str = "/", /, **link: str) -> Visit:
        """Follow a link, and wait until the page is drawn."""
        self.page.goto(f"{self.home}{path}{'?' if link else ''}{urlencode(link)}")
        has_stage = "present" in link and path != "/Lessons"  # a lesson is shown to a room as it is
        return self.settle(self.find(".stage .says" if has_stage else ".headline h1"))

    def change_page(self, title: str) -> Visit:
        """Click a page's name in the sidebar."""
        self.page.get_by_test_id("stSidebar").get_by_role("link", name=title).click()
        expect(self.page).to_have_title(f"{title} · PoolScope")
        return self.settle(self.find(DRAWN[title]).last)

    def settle(self, there: Locator) -> Visit:
        """Wait until something is there and the script has come to its end."""
        expect(there).to_be_visible()
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        return self

    def upload(self, name: str, data: bytes, kind: str = "image/png") -> None:
        self.page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
            {"name": name, "mimeType": kind, "buffer": data})

    def show(self, photo: Image.Image, path: str = "/", /, **link: str) -> Visit:
        """Follow a link to a photo of their own, and drop it in: its class, pooling and framing are the link's."""
        name = digest(photo)[:12]
        self.go(path, photo=name, **link)
        self.upload("photo.png", encode(photo))
        self.leads_to(photo=name, **{key: link[key] for key in ("class", "pooling", "framing") if key in link})
        return self.settle(self.find(".headline h1"))

    def choose(self, label: str, option: str) -> None:
        """Type an option's name into Streamlit's selectbox and take the one of exactly that name."""
        box = self.selectbox(label)
        # First to the middle of the window: a list that opens while it scrolls closes again.
        box.evaluate("(box) => box.scrollIntoView({block: 'center'})")
        box.fill(option)
        self.page.get_by_test_id("stSelectboxVirtualDropdown").get_by_role("option", name=option, exact=True).click()

    def search(self, name: str, label: str = "Class to explain") -> None:
        """Type a class's name into the page's search and take the one of exactly that name."""
        field = self.page.get_by_role("combobox", name=label)
        field.fill(name)
        self.page.get_by_role("listbox").locator("li", has_text=re.compile(rf"^{re.escape(name)}[\d<>.,%]")).click()

    def selectbox(self, label: str) -> Locator:
        """Streamlit's, and not a viewer's own of the same name."""
        return self.page.get_by_test_id("stSelectbox").get_by_role("combobox", name=label)

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

    def viewer(self, analysis: Analysis, key: str = "evidence") -> Instrument:
        """The viewer that Python calls so, with what it is expected to show maps of."""
        return Instrument(self, analysis, key)

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

    @contextmanager
    def without_a_frame(self) -> Iterator[None]:
        """Assert that nothing goes over the websocket in this block, nor in the half second that follows it."""
        before = self.wire.frames
        yield
        self.page.wait_for_timeout(500)
        assert self.wire.frames == before, "the server was asked or it answered"

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
def instruments(tmp_path_factory) -> Iterator[Server]:
    """The server of a page with one instrument on made-up numbers, see apps/."""
    started = Server(tmp_path_factory.mktemp("instruments") / "streamlit.log", "tests/browser/apps/instruments.py")
    try:
        started.wait()
        yield started
    finally:
        started.stop()


class Windows:
    """One browser's windows. They share a cache, so that Streamlit's own files are fetched once, and nothing else."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: dict[tuple[float, bool], BrowserContext] = {}

    def forget_sessions(self) -> None:
        """Nobody takes up what was dropped in before; windows that are opened next are of one browser."""
        for context in self._contexts.values():
            context.clear_cookies()

    def open(self, width: int, height: int, theme: str, sharpness: float, touch: bool) -> Page:
        if (sharpness, touch) not in self._contexts:
            self._contexts[sharpness, touch] = self._browser.new_context(
                device_scale_factor=sharpness, has_touch=touch, locale="en-GB", reduced_motion="reduce")
        page = self._contexts[sharpness, touch].new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        page.add_init_script("localStorage.clear()")
        return page

    @contextmanager
    def blank(self) -> Iterator[Page]:
        """A window of no server."""
        page = self._browser.new_page()
        yield page
        page.close()


@pytest.fixture(scope="package")
def windows() -> Iterator[Windows]:
    path = find()
    assert path, "There is no Chromium; python -m tests.browser.chromium installs one."
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *CAMERA])
        yield Windows(launched)
        launched.close()


@pytest.fixture
def visit(windows: Windows, server: Server) -> Iterator[Callable[..., Visit]]:
    """`visit(width=1280, height=800, theme="light")`: a new person's window, watched until the test ends."""
    with watched(windows, server) as open_window:
        yield open_window


@pytest.fixture
def bench(windows: Windows, instruments: Server) -> Iterator[Callable[..., Instrument]]:
    """`bench("one", view="o60")`: a viewer of a case in apps/cases.py, in a window that is watched."""
    with watched(windows, instruments) as open_window:
        def open_case(case: str, sharpness: float = 1, touch: bool = False, **link: str) -> Instrument:
            here = open_window(sharpness=sharpness, touch=touch)
            here.page.goto(f"{here.home}/?{urlencode({'case': case, **link})}")
            here.settle(here.find(".viewer canvas").first)
            return here.viewer(made_up(case)).wait_for_photo()

        yield open_case


@contextmanager
def watched(windows: Windows, server: Server) -> Iterator[Callable[..., Visit]]:
    """What opens windows on a server; when the block ends nothing may have gone wrong in any of them."""
    opened: list[Visit] = []
    windows.forget_sessions()
    written = len(server.log)

    def open_window(
        width: int = 1280, height: int = 800, theme: str = "light", sharpness: float = 1, touch: bool = False
    ) -> Visit:
        opened.append(Visit(windows.open(width, height, theme, sharpness, touch), server))
        return opened[-1]

    try:
        yield open_window
        for entry in opened:
            entry.check()
        _, failed, traceback = server.log[written:].partition("Traceback")
        assert not failed, traceback[-3000:]
    finally:
        for entry in opened:
            entry.page.close()
