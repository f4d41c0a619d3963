"""Pages run without a browser: each test gets a new session of the app."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test

from explorer import analyse
from explorer.analysis import Analysis
from tests.pages.arithmetic import USUAL, Measured

APP = Path(__file__).resolve().parents[2] / "app.py"


@pytest.fixture(scope="session", autouse=True)
def _look_for_components_once() -> Iterator[None]:
    """Every new AppTest reads the metadata of all installed packages, which is four fifths of what a test costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


class _Pages(PagesManager):
    """A server knows the app's pages from its first run on; AppTest makes it forget them between runs."""

    by_script: ClassVar[dict] = {}

    def __init__(self, *arguments, **more) -> None:
        super().__init__(*arguments, **more)
        self._pages = self.by_script.get(self.main_script_path)

    def set_pages_and_resolve(self, pages, *arguments, **more):
        self.by_script[self.main_script_path] = pages
        return super().set_pages_and_resolve(pages, *arguments, **more)


@pytest.fixture(autouse=True)
def _remember_pages(monkeypatch) -> None:
    monkeypatch.setattr(app_test, "PagesManager", _Pages)


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """`open_page("pages/7_Method.py", pooling="gmp")`: a new session that follows a link to a page."""

    def open_it(page: str = "app.py", **link: str) -> AppTest:
        tested = AppTest.from_file(str(APP), default_timeout=60)
        if page != "app.py":
            tested.switch_page(page)
        tested.query_params.update(link)
        return tested.run()

    return open_it


@pytest.fixture(scope="session")
def measured(network, examples) -> Callable[..., Measured]:
    """`measured("cat", "whole", 96)`: what an example or a photo gives, for arithmetic of one's own."""

    def of(photo: str | Image.Image = "astronaut", framing: str = "crop", size: int = 224) -> Measured:
        image = examples[photo] if isinstance(photo, str) else photo
        maps = analyse(network, image, framing, size).feature_maps.numpy().astype(np.float64)
        weight, bias = (item.detach().numpy().astype(np.float64) for item in (network.head.weight, network.head.bias))
        return Measured(maps, weight, bias, network.class_names)

    known = cache(of)
    return lambda photo="astronaut", framing="crop", size=224: (known if isinstance(photo, str) else of)(
        photo, framing, size)


@pytest.fixture(scope="session")
def factor(network) -> Callable[[str], float]:
    """`factor("gem:p=5")`: what the logits of a what-if are multiplied with to mend its probabilities; 1 under GAP."""

    def of(spelling: str) -> float:
        key, _, setting = spelling.partition(":")
        value = float(setting.partition("=")[2]) if setting else USUAL.get(key, 0.0)
        return 1.0 if key == "gap" else network.calibration.multiplier(key, {"": value})

    return of


@pytest.fixture
def put(monkeypatch) -> Callable[[Analysis], None]:
    """`put(analysis)`: from now on every page shows this analysis, whatever photo and network are chosen."""
    def show(analysis: Analysis) -> None:
        monkeypatch.setattr("explorer.ui.frame.analysis_of", lambda *_: analysis)
        monkeypatch.setattr("explorer.ui.networks.session_network.network_named", lambda *_: analysis.network)

    return show


@pytest.fixture
def files(monkeypatch) -> dict[str, Callable[[], bytes | str]]:
    """What can be downloaded from the pages that are opened, by file name; each is made when it is called."""
    offered: dict[str, Callable[[], bytes | str]] = {}
    original = MediaFileManager.add_deferred

    def add_deferred(self, make, mimetype, coordinates, file_name=None, **more):
        offered[file_name] = make
        return original(self, make, mimetype, coordinates, file_name, **more)

    monkeypatch.setattr(MediaFileManager, "add_deferred", add_deferred)
    return offered
