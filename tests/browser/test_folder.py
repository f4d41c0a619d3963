"""A folder in the browser: from one click to the photos of the worst cell, along them, back, and away with them."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

GREYS = 12  # how far a grey's colours may lie apart in a JPEG


def pixels(canvas: Locator) -> np.ndarray:
    """(H, W, 3) of a canvas as it is seen."""
    return np.asarray(Image.open(io.BytesIO(canvas.screenshot(animations="disabled"))).convert("RGB"), int)


@pytest.fixture
def examples_run(visit):
    """The page of the run over the examples."""
    here = visit().go("/Folder")
    button = here.page.get_by_role("button", name="Try it with the examples")
    button.click()
    expect(here.find(".confusion")).to_be_visible(timeout=120_000)
    here.leads_to(run="examples")
    return here


def test_the_worst_cell_opens_its_photos_which_are_walked_on_why_and_back_returns_to_the_selection(examples_run):
    here = examples_run
    wrong = here.find(".confusion .wrong button")
    counts = [int(text) for text in wrong.all_text_contents()]
    worst = int(np.argmax(counts))
    title = wrong.nth(worst).get_attribute("title")
    wrong.nth(worst).click()
    expect(here.find(".wall .status")).to_contain_text(f"{counts[worst]} photo")
    label, predicted = here.link["label"], here.link["predicted"]
    scroller = here.find(".wall .scroller")
    scroller.scroll_into_view_if_needed()
    box = scroller.bounding_box()
    here.page.mouse.move(box["x"] + 50, box["y"] + 50)
    expect(here.find(".wall .status")).to_contain_text(title.split(" predicted as ")[1])
    here.page.mouse.click(box["x"] + 50, box["y"] + 50)
    expect(here.find(".walk")).to_contain_text(f"1 of {counts[worst]}")
    first = here.link["item"]
    expect(here.find(".headline h1")).to_contain_text(title.split(" predicted as ")[1])
    here.page.keyboard.press("ArrowRight")
    expect(here.find(".walk")).to_contain_text(f"2 of {counts[worst]}")
    assert here.link["item"] != first
    here.page.keyboard.press("ArrowLeft")
    expect(here.find(".walk")).to_contain_text(f"1 of {counts[worst]}")
    for _ in range(3):  # to the photo before, to the one before that, to the folder
        here.page.go_back()
        here.page.wait_for_timeout(1500)
    expect(here.find(".wall .status")).to_contain_text(first)
    assert (here.link["label"], here.link["predicted"]) == (label, predicted)
    with here.page.expect_download() as waiting:
        here.page.get_by_role("button", name="Rows, CSV").click()
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text(encoding="utf-8"))))
    assert len(rows) == counts[worst]
    assert {(row["label_class"], row["answer"]) for row in rows} == {(label, predicted)}


def test_tiles_are_grey_photos_with_colour_where_evidence_is_and_the_keys_choose_among_them(examples_run):
    here = examples_run
    canvas = here.find(".wall canvas")
    canvas.scroll_into_view_if_needed()
    here.eventually(lambda: bool(np.ptp(pixels(canvas), axis=2).max() > 60), True)
    colourful = np.ptp(pixels(canvas), axis=2) > GREYS
    assert 0.02 < colourful.mean() < 0.5, "maps cover a part of the photos, which are grey"
    here.find(".wall .scroller").focus()
    here.page.keyboard.press("ArrowRight")
    first = here.find(".wall .status").text_content()
    here.page.keyboard.press("ArrowRight")
    expect(here.find(".wall .status")).not_to_have_text(first)
    here.page.keyboard.press("End")
    last = here.find(".wall .status").text_content()
    here.page.keyboard.press("ArrowRight")
    expect(here.find(".wall .status")).to_have_text(last)
    here.page.keyboard.press("Home")
    expect(here.find(".wall .status")).to_have_text(first)
    here.page.keyboard.press("Enter")
    expect(here.find(".walk")).to_contain_text("1 of 48")
