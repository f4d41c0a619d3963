"""What is kept of those who look at one photo after another, and of those who have left."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from streamlit import runtime
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.session_manager import SessionInfo
from streamlit.runtime.state import SessionState

from explorer.ui.session import cache, garbage
from explorer.ui.session.cache import network_named
from explorer.ui.session.garbage import Collector
from explorer.ui.session.leftovers import drop_sessions
from explorer.ui.session.page_cache import drawn
from tests.browser.uploads import encode
from tests.pages.clicks import upload

WIDTH = 331  # of a photo: no other test has one as wide


def photo(number: int) -> bytes:
    noise = np.random.default_rng(number).integers(0, 256, (240, WIDTH, 3), np.uint8)
    return encode(Image.fromarray(noise))


@pytest.fixture
def quick_collections(monkeypatch) -> Iterator[None]:
    """Collections that walk what a test made alone, and not all of torch."""
    gc.collect()
    gc.freeze()
    monkeypatch.setattr(garbage, "collect", gc.collect)
    yield
    gc.unfreeze()


@pytest.mark.parametrize("other", ["2_Poolings", "3_Activation_maps", "4_Why"])
def test_of_many_photos_a_session_keeps_two_at_most(open_page, quick_collections, other):
    page = open_page()
    for number in range(4):
        page = upload(page, photo(number))
        page.switch_page(f"pages/{other}.py").run()
        page.switch_page("app.py").run()
    assert not page.exception
    cache.drop_analyses()
    gc.collect()
    kept = [item for item in gc.get_objects() if isinstance(item, Image.Image) and item.size == (WIDTH, 240)]
    assert 1 <= len(kept) <= 2


def test_what_widgets_were_given_does_not_grow_from_page_to_page(open_page):
    page, counts = open_page(), []
    for _ in range(4):
        page.switch_page("pages/1_Feature_maps.py").run()
        page.switch_page("app.py").run()
        counts.append(len(page.session_state._state._state._new_widget_state.widget_metadata))
    assert counts[-1] == counts[1]


@pytest.fixture
def server(monkeypatch) -> Iterator[MemorySessionStorage]:
    """What a server keeps of sessions that were left; it forgets them at once."""
    loop, stored = asyncio.new_event_loop(), MemorySessionStorage(ttl_seconds=0)
    threading.Thread(target=loop.run_forever, daemon=True).start()
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(
        _session_mgr=SimpleNamespace(_session_storage=stored),
        _get_async_objs=lambda: SimpleNamespace(eventloop=loop)))
    yield stored
    loop.call_soon_threadsafe(loop.stop)


class Left:
    """A session that was left, with a photo."""

    id = "left"

    def __init__(self, photo: Image.Image) -> None:
        self._session_state, self.files = SessionState(), [photo]
        self._session_state._new_session_state["poolscope"] = photo
        self._session_state._new_widget_state.widget_metadata["upload"] = photo
        self._fragment_storage = MemoryFragmentStorage()
        self._fragment_storage.register("story", lambda: photo)

    def shutdown(self) -> None:
        self.files.clear()


def test_a_session_that_is_over_is_freed_although_nobody_else_leaves(server):
    session = Left(Image.new("RGB", (2, 2)))
    freed = weakref.ref(session)
    server.save(SessionInfo(None, session))
    del session
    assert freed() is not None, "Streamlit keeps it until another one is left"
    assert drop_sessions() == 1
    assert freed() is None
    assert drop_sessions() == 0


def test_a_session_that_is_over_keeps_nothing_although_the_server_holds_it_until_somebody_comes(server):
    photo = Image.new("RGB", (2, 2))
    freed, session = weakref.ref(photo), Left(photo)
    server.save(SessionInfo(None, session))
    del photo
    assert freed() is not None
    assert drop_sessions() == 1
    assert freed() is None
    assert not session.files


def test_a_server_whose_parts_have_other_names_drops_nothing(monkeypatch):
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", SimpleNamespace)
    assert drop_sessions() == 0


def test_when_no_page_runs_for_long_what_sessions_share_is_dropped_once(monkeypatch, quick_collections, examples):
    clock, emptied = [0.0], []
    monkeypatch.setattr(garbage, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def empty() -> None:
        emptied.append(clock[0])
        cache.drop_analyses()

    collector = Collector(lambda: 0, empty)
    analysis = weakref.ref(cache.analysis_of(network_named("efficientnet_lite0"), examples["cat"], "kept", "crop", 224))
    drawn(analysis(), "picture", lambda: b"x")
    for run, looks in ((0, (60, 179)), (170, (300, 349))):
        clock[0] = run
        collector.note_run()
        for clock[0] in looks:
            collector.look()
    assert (emptied, analysis() is None) == ([], False)
    for clock[0] in (350, 400, 900):
        collector.look()
    assert (emptied, analysis() is None) == ([350], True)
    collector.note_run()
    clock[0] = 1200
    collector.look()
    assert emptied == [350, 1200]
