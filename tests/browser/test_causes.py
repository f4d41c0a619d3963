"""From a scanned folder to a repaired network: the planted cause is seen, muted, taken along, and a photo flips."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from explorer import load_network
from tests.browser.conftest import Server, watched


@pytest.fixture(scope="module")
def planted_server(tmp_path_factory, planted) -> Iterator[Server]:
    """The app with the run over the planted folder, which the fixture has scanned."""
    where = tmp_path_factory.mktemp("planted_server")
    started = Server(where / "streamlit.log", "app.py", ["--run", str(planted.run.path)])
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.fixture
def visit(windows, planted_server):
    with watched(windows, planted_server) as open_window:
        yield open_window


def test_a_planted_cause_is_seen_muted_taken_along_and_a_photo_flips(visit, planted, tmp_path):
    here = visit()
    here.page.goto(f"{here.home}/Folder?part=causes")
    expect(here.find(".causes h3").first).to_have_text("Causes of rocket", timeout=120_000)
    first = here.find(".causes .ruled").first
    expect(first).to_contain_text("more common in wrong photos")
    for number in (1, 2):
        here.page.get_by_role("button", name=f"Mute cause {number} and see").click()
        expect(here.page.get_by_role("button", name=f"Mute cause {number} and see")).to_have_text("Muted")
    slider, shown = here.find(".muting input"), here.find(".muting tbody tr").first
    here.settle(slider)
    before, suggested = shown.locator("td").all_text_contents()[:2]
    assert float(suggested.rstrip("%")) > float(before.rstrip("%")) + 2
    with here.without_a_frame():  # the numbers follow the hand, and the server is not asked
        slider.evaluate("(input) => { input.value = 0; input.dispatchEvent(new Event('input')); }")
        assert shown.locator("td").all_text_contents() == [before, before, "0.0"]
        slider.evaluate("(input) => { input.value = 20; input.dispatchEvent(new Event('input')); }")
        assert shown.locator("td").all_text_contents()[1] != before
    slider.focus()
    here.page.keyboard.press("Home")
    here.page.keyboard.press("End")
    here.leads_to(strength="100")
    expect(here.find(".wall .status").first).to_contain_text("photos with another prediction")
    with here.page.expect_download() as waiting:
        here.page.get_by_role("button", name="Repaired network, .safetensors").click()
    file = tmp_path / "repaired.safetensors"
    file.write_bytes(waiting.value.path().read_bytes())
    assert load_network(file).class_names == ("cat", "coffee", "rocket")
    here.page.get_by_role("button", name="Use it beside the original").click()
    expect(here.find(".notice").first).to_contain_text("The repaired network is the second one now")
    scroller = here.find(".wall .scroller").first
    scroller.scroll_into_view_if_needed()
    box = scroller.bounding_box()
    here.page.mouse.click(box["x"] + 50, box["y"] + 50)
    expect(here.find(".walk")).to_be_visible()
    here.page.go_back()
    expect(here.find(".causes h3").first).to_have_text("Causes of rocket")
    here.leads_to(part="causes", muted="0,1", strength="100")
    here.page.go_forward()
    expect(here.find(".walk")).to_be_visible()
    expect(here.find(".headline h1")).to_contain_text("Why rocket")
    path = here.link["item"]
    assert path.partition("/")[0] in ("cat", "coffee")
    here.page.get_by_test_id("stSidebar").get_by_role("link", name="Explore").click()
    expect(here.page).to_have_title("Explore · PoolScope")
    expect(here.find(".headline h1")).to_contain_text("rocket")
    expect(here.page.get_by_test_id("stMain")).to_contain_text(f"{path.partition('/')[0]}")
