"""Activation maps as a person uses it: evidence, CAM methods and votes, classes, the box, and files to keep."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from explorer import CAM_METHODS, analyse
from explorer.wording import percent, signed
from tests.browser.painting import painted

ESPRESSO, TENCH = 967, 0
SHOWN = ("gap", "gmp", "attention")


@pytest.fixture(scope="module")
def analysis(network, examples):
    return analyse(network, examples["cat_and_coffee"])


@pytest.fixture
def here(visit, analysis):
    opened = visit().go("/Activation_maps", example="cat_and_coffee")
    opened.viewer(analysis, "grid").wait_for_photo()
    return opened


def top(analysis, count: int) -> list:
    return analysis.under().top(count)


def cells(analysis, pooling: str, class_index: int) -> np.ndarray:
    return analysis.under(pooling).evidence(class_index).cells.double().numpy()


def rows(here) -> list[str]:
    return [text for text in here.find(".st-key-grid h3.row").all_text_contents() if text]


def region_of(values: np.ndarray, least: float) -> tuple[int, int, int, int]:
    """First row and column, last row and column of the largest connected part with at least `least`."""
    todo, parts = {(int(i), int(j)) for i, j in np.argwhere((values >= least) & (values > 0))}, []
    while todo:
        part, edge = set(), [todo.pop()]
        while edge:
            i, j = edge.pop()
            part.add((i, j))
            for near in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if near in todo:
                    todo.remove(near)
                    edge.append(near)
        parts.append(part)
    best = max(parts, key=lambda part: (len(part), sum(values[place] for place in part)))
    down, across = zip(*best, strict=True)
    return min(down), min(across), max(down), max(across)


# Evidence.


def test_the_likeliest_classes_and_three_poolings_make_nine_maps_on_one_scale(here, analysis, examples):
    names = [item.name for item in top(analysis, 3)]
    assert rows(here) == names
    view = here.viewer(analysis, "grid")
    expect(view.find(".pane")).to_have_count(9)
    expect(view.find(".paneHead .name")).to_have_text(["GAP", "GMP", "Attention, t = 0.1"] * 3)
    grids = [cells(analysis, key, item.class_index) for item in top(analysis, 3) for key in SHOWN]
    factors = [analysis.under(key).multiplier or 1 for key in SHOWN] * 3
    limit = max(np.abs(grid).max() * factor for grid, factor in zip(grids, factors, strict=True))
    assert view.ends == [signed(-limit), signed(limit), "calibrated logits"]
    for pane in (0, 1, 5):
        grounds = view.grounds(examples["cat_and_coffee"], pane)
        calibrated = grids[pane] * factors[pane]
        expected = [[painted(grounds[i, j], calibrated[i, j], limit) for j in range(7)] for i in range(7)]
        np.testing.assert_allclose(view.patches(pane), expected, atol=12)
    with here.without_a_frame():
        view.hover(2, 5, pane=4)
        shown = [float(text.replace("−", "-")) for text in view.find(".value").all_text_contents()]
        assert shown == pytest.approx([grid[2, 5] for grid in grids], abs=0.0051)
    expect(here.page).to_have_title("Activation maps · PoolScope")


def test_classes_are_shown_and_hidden_by_chips_and_the_link_says_which(here, analysis):
    five = top(analysis, 5)
    here.find(f'.chip[data-key="class-{five[4].class_index}"]').click()
    here.eventually(lambda: rows(here), [five[n].name for n in (0, 1, 2, 4)])
    here.find(f'.chip[data-key="class-{five[1].class_index}"]').click()
    here.eventually(lambda: rows(here), [five[n].name for n in (0, 2, 4)])
    here.leads_to(classes=",".join(str(five[n].class_index) for n in (0, 2, 4)))
    expect(here.find(".chip[aria-pressed=true]")).to_have_count(3)
    here.search("tench")
    here.leads_to(**{"class": str(TENCH)})
    here.eventually(lambda: "tench" in rows(here), True)
    expect(here.find(".headline h1")).to_have_text("Where the evidence for tench lies")
    link = here.link
    here.go("/Activation_maps", **link)
    here.eventually(lambda: "tench" in rows(here), True)


def test_the_last_class_stays_and_a_sentence_says_why(visit, analysis):
    here = visit().go("/Activation_maps", example="cat_and_coffee", classes=str(ESPRESSO))
    here.eventually(lambda: rows(here), ["espresso"])
    here.find(f'.chip[data-key="class-{ESPRESSO}"]').click()
    here.eventually(here.notices, ["One to 5 classes are shown at once."])
    here.eventually(lambda: rows(here), ["espresso"])


def test_the_box_is_around_what_has_its_share_of_the_maximum_and_moves_with_it(here, analysis):
    first = top(analysis, 1)[0]
    grid = cells(analysis, "gmp", first.class_index)
    view = here.viewer(analysis, "grid")
    pixel = view.width / view.top().bounding_box()["width"]

    def is_around(share: float) -> None:
        up, left, down, right = region_of(grid, share * grid.max())
        box = (*view.rectangles[up, left, :2], *view.rectangles[down, right, 2:])
        np.testing.assert_allclose(view.outlined(1), box, atol=3 * pixel)
        inside = np.maximum(grid, 0)[up : down + 1, left : right + 1].sum() / np.maximum(grid, 0).sum()
        expect(view.find(".note").nth(1)).to_contain_text(
            f"box {box[2] - box[0]:.0f} × {box[3] - box[1]:.0f} px at ({box[0]:.0f}, {box[1]:.0f}) holds "
            f"{percent(inside)} of the positive evidence")

    is_around(0.2)
    slider = here.page.get_by_role("slider", name=re.compile("^Box threshold"))
    slider.press("End")
    here.leads_to(box="95")
    here.settle(view.find(".note").nth(1))
    is_around(0.95)
    assert region_of(grid, 0.2 * grid.max()) != region_of(grid, 0.95 * grid.max())


def test_the_boxs_slider_hears_every_press_of_a_key(here):
    slider = here.page.get_by_role("slider", name=re.compile("^Box threshold"))
    for _ in range(20):
        slider.press("ArrowRight")
    here.leads_to(box="40")


# Methods.


def test_cam_methods_stand_side_by_side_each_on_a_scale_without_a_unit(here, analysis, examples):
    here.page.get_by_role("radio", name="CAM methods").click()
    here.leads_to(maps="cams")
    view = here.viewer(analysis, "grid")
    expect(view.find(".paneHead .name")).to_have_text(["CAM", "Grad-CAM", "Layer-CAM"] * 3)
    assert view.ends == ["1 against", "1 for", "of its own largest, no unit"]
    first, photo = top(analysis, 1)[0], examples["cat_and_coffee"]
    # Under GAP and a Linear both are the evidence up to a factor: neither is cut off at 0 here.
    grid = cells(analysis, "gap", first.class_index)
    for pane in (0, 1):
        grounds = view.grounds(photo, pane)
        expected = [[painted(grounds[i, j], (grid / np.abs(grid).max())[i, j], 1) for j in range(7)] for i in range(7)]
        np.testing.assert_allclose(view.patches(pane), expected, atol=12)
    expect(here.find(".st-key-cam_note .note")).to_contain_text("cannot be compared between maps")


def test_methods_and_the_pooling_under_them_are_chosen_and_kept_in_the_link(visit, analysis):
    here = visit().go("/Activation_maps", example="cat_and_coffee", maps="cams", methods="cam", classes=str(ESPRESSO))
    view = here.viewer(analysis, "grid").wait_for_photo()
    expect(view.find(".pane")).to_have_count(1)
    for name in ("Eigen-CAM", "HiResCAM"):
        box = here.page.get_by_test_id("stMultiSelect").get_by_role("combobox")
        box.fill(name)
        here.page.get_by_role("option", name=name).first.click()
        here.page.keyboard.press("Escape")
        here.settle(view.find(".pane").last)
    here.leads_to(methods="cam,eigen_cam,hires_cam")
    here.choose("Pooling", "GMP")
    here.leads_to(pooling="gmp", methods="cam,eigen_cam,hires_cam")
    expect(here.find(".st-key-cam_note .note")).to_contain_text("under GMP")
    values = analysis.under("gmp").cam("hires_cam", ESPRESSO).double().numpy()
    view.hover(2, 5, pane=2)
    here.eventually(lambda: view.find(".value").nth(2).text_content(), signed(values[2, 5] / np.abs(values).max()))


def test_score_cam_says_how_far_it_is_and_is_left_by_a_click_elsewhere(visit, network, examples):
    analysis = analyse(network, examples["photographer"])
    here = visit().go("/Activation_maps", example="photographer", maps="cams", methods="cam,score_cam",
                      classes="872", size="320")
    expect(here.page.get_by_text(re.compile(r"Score-CAM runs the network once for each channel: [\d,]+ of"))
           ).to_be_visible()
    view = here.viewer(analysis, "grid")
    expect(view.find(".paneHead .name")).to_have_text(["CAM", CAM_METHODS["score_cam"].name])
    here.page.get_by_role("radio", name="Evidence").click()
    here.leads_to(maps=None)
    expect(view.find(".paneHead .name")).to_have_text(["GAP", "GMP", "Attention, t = 0.1"])
    expect(here.page.get_by_text("Score-CAM runs the network")).to_have_count(0)
    here.change_page("Explore")
    expect(here.find(".headline h1")).to_contain_text("tripod")


def test_score_cam_comes_when_it_is_done(visit, network, examples):
    here = visit().go("/Activation_maps", example="coffee", maps="cams", methods="score_cam",
                      classes=str(ESPRESSO), size="96")
    view = here.viewer(analyse(network, examples["coffee"], "crop", 96), "grid")
    expect(here.page.get_by_text("Score-CAM runs the network")).to_have_count(0, timeout=120_000)
    view.wait_for_photo()
    expect(view.find(".note")).not_to_contain_text("being computed")
    view.hover(1, 1)
    view.says(r"^Position \(1, 1\): ")


# Votes.


def test_votes_say_whether_the_logit_is_their_average(here, analysis):
    here.page.get_by_role("radio", name="Votes").click()
    here.leads_to(maps="votes")
    expect(here.find(".st-key-votes_note .note")).to_contain_text(re.compile("^Under GAP and a Linear the logit .* is"))
    view = here.viewer(analysis, "grid")
    expect(view.find(".pane")).to_have_count(2)
    here.choose("Pooling", "GMP")
    here.leads_to(pooling="gmp", maps="votes")
    expect(here.find(".st-key-votes_note .note")).to_contain_text("is not the average")


# Files.


def test_what_is_seen_can_be_kept_as_files(here, analysis, examples):
    first = top(analysis, 1)[0]

    def download(label: str) -> tuple[str, bytes]:
        with here.page.expect_download() as waiting:
            here.page.get_by_role("button", name=label).click()
        return waiting.value.suggested_filename, waiting.value.path().read_bytes()

    stem = "cat_and_coffee_activation-maps_{}_gap".format(first.name.replace(" ", "-").lower())
    name, data = download("Overlay, PNG")
    assert (name, Image.open(io.BytesIO(data)).size) == (f"{stem}.png", examples["cat_and_coffee"].size)
    name, data = download("Overlay, SVG")
    assert name == f"{stem}.svg"
    assert data.lstrip().startswith((b"<svg", b"<?xml"))
    name, data = download("Arrays, npz")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["cells"], cells(analysis, "gap", first.class_index), atol=1e-5)
    name, data = download("Numbers, JSON")
    assert json.loads(data)
    name, data = download("Summary, HTML")
    assert name == f"{stem}.html"
    text = data.decode()
    assert first.name in text
    assert not re.search(r"""(?:src|href)=["']https?://""", text), "one file that needs nothing from elsewhere"


def test_a_hostile_link_is_sentences_and_a_page_that_works(visit, analysis):
    here = visit().go("/Activation_maps", example="cat_and_coffee", maps="heat", classes="1,2,99999",
                      methods="cam,<script>alert(1)</script>", box="0", poolings="gap")
    here.eventually(lambda: len(here.notices()) >= 4, True)
    assert any("<script>" in notice for notice in here.notices())
    expect(here.find(".st-key-grid .pane").first).to_be_visible()
