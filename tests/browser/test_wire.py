"""What a page costs on the wire: little when it is opened, less with each click, and Plotly only where it draws."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from explorer import analyse

MAIN = {"/": "evidence", "/Feature_maps": "channel_map", "/Poolings": "evidence", "/Activation_maps": "grid",
        "/Why": "against"}
WITH_PLOTLY = {"/Feature_maps", "/Poolings"}


@pytest.mark.parametrize("path", MAIN)
def test_a_page_is_opened_with_600_kb_and_a_click_on_it_costs_a_tenth(path, visit, network, examples):
    here = visit().go(path)
    view = here.viewer(analyse(network, examples["astronaut"]), MAIN[path]).wait_for_photo()
    if path in WITH_PLOTLY:
        expect(here.find(".js-plotly-plot").last).to_be_visible()
    here.page.wait_for_load_state("networkidle")
    assert here.wire.bytes <= 600_000
    assert any("PlotlyChart" in request for request in here.requests) == (path in WITH_PLOTLY)
    opened = here.wire.bytes
    view.click(2, 2)
    expect(here.find(".place h3")).to_have_text("Position (2, 2)")
    here.settle(here.find(".place"))
    assert here.wire.bytes - opened <= 60_000


def test_a_photo_and_maps_that_the_page_has_already_are_not_sent_again(visit):
    here = visit().go(example="cat")
    opened = here.wire.bytes
    for name in ("coffee", "cat"):
        here.find(f'.examples button[data-key="{name}"]').click()
        here.leads_to(example=name)
        here.settle(here.find(".answers"))
        cost, opened = here.wire.bytes - opened, here.wire.bytes
    assert cost <= 40_000, "back to the first one"
