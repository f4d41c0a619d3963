"""The viewer's tools on made-up numbers (apps/cases.py): each changes the picture as its rule says, and no more."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.apps.cases import (
    AGAINST,
    GROUND,
    HOSTILE,
    ODD,
    SEEN,
    SHARES,
    SIZE,
    STRONG,
    WEAK,
    labels,
)
from tests.browser.painting import (
    LABEL_COVER,
    PALETTE,
    RED_AND_BLUE,
    SIGNED,
    blueness,
    is_unseen,
    painted,
    redness,
    rgb,
)

TOLERANCE = 3  # of 255


def expected(cells: np.ndarray, limit: float, **options) -> np.ndarray:
    """(H, W, 3): the colour that each position is to have over the even photo; what is not a number has none."""
    return np.array([[painted(GROUND, value, limit, **options) for value in row] for row in np.nan_to_num(cells)])


def shows(view, cells: np.ndarray, limit: float, pane: int = 0, **options) -> None:
    np.testing.assert_allclose(view.patches(pane), expected(cells, limit, **options), atol=TOLERANCE)


def at(view, point: tuple[float, float], pixels: np.ndarray) -> np.ndarray:
    """The canvas's colour at a point of the photo."""
    scale = pixels.shape[1] / SIZE[0]
    return pixels[int(point[1] * scale), int(point[0] * scale)].astype(float)


# Colours.


def test_each_position_is_the_photo_under_its_colour_and_what_was_not_seen_is_grey(bench):
    view = bench("one")
    shows(view, STRONG, 9)
    outside = np.concatenate([view.pixels()[:, : int(0.16 * view.pixels().shape[1])].reshape(-1, 3),
                              view.pixels()[:, int(0.84 * view.pixels().shape[1]) :].reshape(-1, 3)])
    assert is_unseen(outside.astype(float), np.array(GROUND), TOLERANCE)


def test_what_is_not_a_number_and_what_is_0_leaves_the_photo_bare(bench):
    view = bench("one")
    view.pick("Class", "odd")
    shows(view, ODD, np.nanmax(np.abs(ODD)))
    i, j = np.argwhere(np.isnan(ODD))[4]
    view.hover(i, j)
    view.says(rf"^Position \({i}, {j}\): not a number logits$")
    view.press("Smooth")
    assert np.isfinite(view.pixels()).all()
    view.press("Smooth")
    view.pick("Class", "nothing")
    shows(view, np.zeros((6, 6)), 1)
    view.hover(2, 2)
    view.says(r"^Position \(2, 2\): 0\.00 logits$")


def test_a_map_that_is_negative_everywhere_shows_no_red_on_any_scale(bench):
    view = bench("one")
    view.pick("Class", "against")
    for _ in range(2):
        shows(view, AGAINST, 3)
        assert redness(view.pixels().astype(float)).max() < TOLERANCE
        view.press("Shared scale")
    view.press("Positive only")
    shows(view, np.zeros((6, 6)), 1)


def test_one_position_and_one_row_of_them_are_drawn_and_read(bench):
    view = bench("position")
    np.testing.assert_allclose(view.patches(), [[rgb(RED_AND_BLUE.split()[-1]) * 0.85 + np.array(GROUND) * 0.15]],
                               atol=TOLERANCE)
    view.hover(0, 0)
    view.says(r"^Position \(0, 0\): \+2\.00 logits, 100% of the positive evidence$")
    view = bench("line")
    view.hover(0, 39)
    view.says(r"^Position \(0, 39\): ")
    view.is_outlined(0, 39)


def test_as_many_labels_as_there_may_be_have_the_legends_colours(bench):
    view = bench("labels")
    view.slide("Opacity", 100)
    palette = np.stack([rgb(stop) for stop in PALETTE.split()])
    for pane, count in enumerate(range(2, 9)):
        colours = palette[labels(count).astype(int)]
        np.testing.assert_allclose(view.patches(pane), np.array(GROUND) * (1 - LABEL_COVER) + colours * LABEL_COVER,
                                   atol=TOLERANCE, err_msg=f"{count} labels")
        view.hover(*divmod(count - 1, 6), pane)
        expect(view.find(".value").nth(pane)).to_have_text(f"label {count - 1}")


def test_a_sharp_screen_gets_a_canvas_with_as_many_pixels_as_it_has(bench):
    view = bench("one", sharpness=2)
    assert view.pixels().shape[1] == pytest.approx(2 * view.base().bounding_box()["width"], abs=1)
    shows(view, STRONG, 9)
    view.hover(2, 5)
    view.is_outlined(2, 5)


def test_a_window_made_narrower_and_a_full_screen_are_painted_anew_and_read_rightly(bench):
    view = bench("one")
    page = view.visit.page
    wide = view.pixels().shape[1]
    page.set_viewport_size({"width": 500, "height": 700})
    view.visit.eventually(lambda: view.pixels().shape[1] < min(wide, 500), True)
    shows(view, STRONG, 9)
    view.hover(4, 1)
    view.is_outlined(4, 1)
    page.set_viewport_size({"width": 1280, "height": 800})
    view.visit.eventually(lambda: view.pixels().shape[1], wide)
    view.press("More")
    view.press("Full screen")
    view.visit.eventually(lambda: page.evaluate("document.fullscreenElement !== null"), True)
    view.leave()
    view.visit.eventually(lambda: view.find(".tools").bounding_box()["y"] < 800, True)
    view.hover(2, 5)
    view.says(r"^Position \(2, 5\): ")
    shows(view, STRONG, 9)
    page.keyboard.press("f")
    view.visit.eventually(lambda: view.pixels().shape[1], wide)


# Tools.


def largest_step(view, i: int, j: int) -> float:
    """The largest difference between neighbouring pixels on the way from a position's middle to the next one's."""
    pixels = view.pixels().astype(float)
    scale = pixels.shape[1] / SIZE[0]
    (x, y), (to, _) = view.middle(i, j), view.middle(i, j + 1)
    return float(np.abs(np.diff(pixels[int(y * scale), int(x * scale) : int(to * scale)], axis=0)).max())


def test_squares_have_hard_edges_and_smoothing_softens_them_and_says_so(bench):
    view = bench("one")
    i, j = np.unravel_index(np.abs(np.diff(STRONG, axis=1)).argmax(), (6, 5))
    whole = np.abs(painted(GROUND, STRONG[i, j], 9) - painted(GROUND, STRONG[i, j + 1], 9)).max()
    assert largest_step(view, i, j) == pytest.approx(whole, abs=2 * TOLERANCE)
    assert "smoothed" not in view.find(".legend").text_content()
    view.press("Smooth")
    expect(view.find(".legend")).to_contain_text("smoothed")
    assert largest_step(view, i, j) < 0.2 * whole
    for k in ((i, j), (i, j + 1), np.unravel_index(STRONG.argmax(), (6, 6))):
        value = STRONG[k]
        assert at(view, view.middle(*k), view.pixels()) == pytest.approx(painted(GROUND, value, 9), abs=20)
    halfway = (view.middle(2, 2)[0] + 50, view.middle(2, 2)[1])
    assert at(view, halfway, view.pixels()) == pytest.approx(
        painted(GROUND, STRONG[2, 2:4].mean(), 9), abs=20), "between two it is their mean"
    view.press("Smooth")
    shows(view, STRONG, 9)


def test_the_threshold_hides_what_is_weak_and_nothing_else(bench):
    view = bench("one")
    view.slide("Threshold", 40)
    shows(view, np.where(np.abs(STRONG) >= 0.4 * 9, STRONG, 0), 9)
    expect(view.root.get_by_text("from 40% of the largest")).to_be_visible()
    view.slide("Threshold", 0)
    shows(view, STRONG, 9)


def test_the_wipe_leaves_the_right_part_bare(bench):
    view = bench("one")
    covered = view.pixels().astype(int)
    view.slide("Opacity", 0)
    bare = view.pixels().astype(int)
    shows(view, np.zeros((6, 6)), 1)
    view.slide("Opacity", 85)
    view.slide("Wipe", 40)
    wiped, border = view.pixels().astype(int), round(covered.shape[1] * 0.4)
    assert (wiped[:, : border - 1] == covered[:, : border - 1]).all()
    assert (wiped[:, border + 2 :] == bare[:, border + 2 :]).all()
    view.slide("Wipe", 0)
    assert (view.pixels() == bare).all(), "nothing is left of the map, nor of the line"


def test_opacity_goes_from_the_bare_photo_to_full_cover(bench):
    view = bench("one")
    for opacity in (0, 40, 100):
        view.slide("Opacity", opacity)
        expect(view.find(".tools output").first).to_have_text(f"{opacity}%")
        shows(view, STRONG, 9, opacity=opacity / 100)
    np.testing.assert_allclose(view.patches()[np.unravel_index(STRONG.argmax(), (6, 6))],
                               rgb(RED_AND_BLUE.split()[-1]), atol=TOLERANCE)


def test_positive_only_shows_no_blue_and_a_legend_from_0(bench):
    view = bench("one")
    assert blueness(view.patches()).max() > 30
    view.press("Positive only")
    assert blueness(view.pixels().astype(float)).max() < TOLERANCE
    assert view.ends == ["0", "+9.00", "logits"]
    shows(view, np.maximum(STRONG, 0), 9)


def test_shared_and_own_scale_change_the_colours_and_the_legends_ends(bench):
    view = bench("one")
    lock = view.root.get_by_role("button", name="Shared scale")
    for held, limit in ((True, 9), (False, 1.5), (True, 9)):
        view.pick("Class", "weak")
        expect(lock).to_have_attribute("aria-pressed", str(held).lower())
        assert view.ends == [f"−{limit:.2f}", f"+{limit:.2f}", "logits"]
        shows(view, WEAK, limit)
        lock.click()
    view.pick("Class", "against")
    shows(view, AGAINST, 3)
    lock.click()
    shows(view, AGAINST, 3)


def test_maps_side_by_side_share_a_scale_of_their_unit_and_let_go_of_it_together(bench):
    view = bench("many")
    shows(view, STRONG, 9, 0)
    shows(view, WEAK, 9, 1)
    shows(view, SHARES, 0.08, 2, kind="positive")
    assert view.ends == ["−9.00", "+9.00", "logits", "0", "8%", "of the weight"]
    view.press("Shared scale")
    shows(view, STRONG, 9, 0)
    shows(view, WEAK, 1.5, 1)
    shows(view, SHARES, 0.08, 2, kind="positive")
    assert view.ends[:3] == ["own least", "own most", "logits"]
    assert view.find(".value").all_text_contents() == ["max 9.00", "max 1.50", "max 8%"]
    view.hover(3, 3, pane=1)
    for pane, cells in enumerate((STRONG, WEAK, SHARES)):
        if pane != 1:  # which has a box besides
            view.is_outlined(3, 3, pane)
        stated = view.find(".value").nth(pane).text_content().replace("−", "-")
        assert float(stated.rstrip("%")) == pytest.approx(cells[3, 3] * (100 if pane == 2 else 1), abs=0.51 if
                                                        pane == 2 else 0.0051)


def test_maps_under_several_poolings_share_a_scale_of_calibrated_logits_or_of_raw_ones(bench):
    view = bench("poolings")
    shows(view, STRONG, 9, 0)  # 9 logits at most, times 0.25
    shows(view, WEAK, 2.25, 1)
    assert view.ends == ["−2.25", "+2.25", "calibrated logits"]
    i, j = np.unravel_index(STRONG.argmax(), STRONG.shape)
    view.hover(i, j)
    view.says(r"\+9\.00 logits, .* · \+2\.25 calibrated$")
    view.press("Raw logits")
    shows(view, STRONG, 9, 0)
    shows(view, WEAK, 9, 1)
    assert view.ends == ["−9.00", "+9.00", "raw logits"]


def test_raw_logits_are_no_choice_where_all_are_alike(bench):
    expect(bench("many").find(".tools").get_by_text("Raw logits")).to_be_hidden()


def test_contours_enclose_the_strongest_positions_that_hold_each_share_of_the_positive_evidence(bench):
    view = bench("one")
    bare = view.pixels().astype(float)
    view.press("Contours")
    lined = view.pixels().astype(float)
    expect(view.find(".legend")).to_contain_text("lines around 25%, 50%, 75% of the positive evidence, thick to thin")
    falling = np.sort(STRONG[STRONG > 0])[::-1]
    reach = np.cumsum(falling) / falling.sum()
    scale = bare.shape[1] / SIZE[0]
    side = (SEEN[2] - SEEN[0]) / 6 * scale
    inside = np.stack([falling[(reach < share - 1e-9).sum()] <= STRONG for share in (0.25, 0.5, 0.75)])

    def is_lined(row: float, column: float) -> bool:
        x, y = SEEN[0] * scale + column * side, SEEN[1] * scale + row * side
        patch = (slice(int(y) - 1, int(y) + 2), slice(int(x) - 1, int(x) + 2))
        return bool(np.abs(lined[patch] - bare[patch]).max() > 40)

    for i, j in np.ndindex(6, 6):
        assert not is_lined(i + 0.5, j + 0.5)
        if j < 5:
            assert is_lined(i + 0.5, j + 1) == bool((inside[:, i, j] != inside[:, i, j + 1]).any()), (i, j)
        if i < 5:
            assert is_lined(i + 1, j + 0.5) == bool((inside[:, i, j] != inside[:, i + 1, j]).any()), (i, j)
    view.press("Contours")
    np.testing.assert_array_equal(view.pixels(), bare)


def test_a_scale_that_another_map_changes_says_where_it_ended_and_one_that_the_reader_changes_does_not(bench):
    view = bench("one")
    changed = view.find(".legend strong")
    expect(changed).to_have_count(0)
    view.root.focus()
    view.keyboard.press("ArrowRight")  # on the same scale
    expect(changed).to_have_count(0)
    view.keyboard.press("ArrowRight")
    expect(changed).to_have_text("the scale changed: it ended at +9.00")
    view.keyboard.press("+")
    expect(changed).to_have_count(1)
    view.press("Shared scale")
    expect(changed).to_have_count(0)


def test_the_box_and_the_mark_that_python_gives_are_outlined(bench):
    view = bench("many")
    pixel = SIZE[0] / view.top().bounding_box()["width"]
    left, top, right, bottom = view.outlined(0, (20, 20, 20))
    assert (left, top, right, bottom) == pytest.approx((150, 0, 250, 100), abs=2 * pixel), "position (0, 0)"
    assert view.outlined(1) == pytest.approx((250, 100, 450, 300), abs=3 * pixel)
    assert view.outlined(2) is None


def test_other_colours_are_those_of_the_published_maps(bench):
    view = bench("one")
    names = view.root.get_by_label("Colours").locator("option").all_text_contents()
    assert names[0] == "Red and blue"
    for name, stops in zip(names, SIGNED, strict=True):
        view.colours(name)
        shows(view, STRONG, 9, stops=stops)
        shown = view.find(".bar").evaluate("(bar) => getComputedStyle(bar).backgroundImage")
        assert re.findall(r"rgb\(([^)]*)\)", shown) == [", ".join(str(int(part)) for part in rgb(stop))
                                                        for stop in stops.split()]


# Zoom.


def test_zooming_in_enlarges_the_middle_and_back_is_as_before(bench):
    view = bench("one")
    before = view.pixels()
    view.press("Zoom in")
    view.press("Zoom in")
    zoom, seen = 1.5**2, view.pixels().astype(float)
    assert seen.shape == before.shape, "the canvas keeps its size"
    height, width, _ = seen.shape
    checked = set()
    for y in range(5, height, 17):
        for x in range(5, width, 17):
            across = SIZE[0] / 2 + (x + 0.5 - width / 2) / width * SIZE[0] / zoom
            down = SIZE[1] / 2 + (y + 0.5 - height / 2) / height * SIZE[1] / zoom
            j, i = (across - SEEN[0]) / 100, (down - SEEN[1]) / 100
            if min(abs(i - round(i)), abs(j - round(j))) > 0.03:  # not at an edge between two positions
                np.testing.assert_allclose(seen[y, x], painted(GROUND, STRONG[int(i), int(j)], 9), atol=TOLERANCE)
                checked.add((int(i), int(j)))
    assert len(checked) == 16, "of 6 x 6 positions those in the middle are in sight, some of them in part"
    view.hover_at((450, 300))
    view.says(r"^Position \(3, 3\)")
    view.press("Whole photo")
    assert (view.pixels() == before).all()


def test_the_wheel_zooms_only_with_control_and_keeps_the_place_under_the_pointer_there(bench):
    view = bench("one")
    page = view.root.page
    before = view.pixels()
    view.hover(1, 4)
    x, y = view.on_page(view.middle(1, 4))
    page.mouse.wheel(0, -120)
    assert (view.pixels() == before).all()
    view.keyboard.down("Control")
    for _ in range(3):
        page.mouse.wheel(0, -100)
    view.keyboard.up("Control")
    view.visit.eventually(lambda: bool((view.pixels() == before).all()), False)
    page.mouse.move(x + 1, y)
    view.says(r"^Position \(1, 4\)")
    box = view.top().bounding_box()
    scale = SIZE[0] / box["width"]
    left, top, right, bottom = view.outlined()
    assert right - left == pytest.approx(np.e * 100, rel=0.05), "enlarged by e, once for 300"
    assert (left + right) / 2 == pytest.approx((x - box["x"]) * scale, abs=4), "about the pointer"
    assert (top + bottom) / 2 == pytest.approx((y - box["y"]) * scale, abs=4)
    assert at(view, ((x - box["x"]) * scale, (y - box["y"]) * scale), view.pixels()) == pytest.approx(
        painted(GROUND, STRONG[1, 4], 9), abs=TOLERANCE)


def test_shift_and_drag_moves_a_photo_that_was_enlarged_and_chooses_nothing(bench):
    view = bench("one")
    view.press("Zoom in")
    view.press("Zoom in")
    before = view.pixels()
    x, y = view.on_page((450, 300))
    mouse = view.root.page.mouse
    view.keyboard.down("Shift")
    mouse.move(x, y)
    mouse.down()
    for step in range(1, 11):
        mouse.move(x + 6 * step, y - 4 * step)
    mouse.up()
    view.keyboard.up("Shift")
    moved = view.pixels()
    difference = np.abs(moved[20:-80, 100:-20].astype(int) - before[60:-40, 40:-80]).max(-1)
    assert np.quantile(difference, 0.95) < TOLERANCE, "60 px to the right and 40 px up, with the pointer"
    assert (moved != before).any()
    view.visit.page.wait_for_timeout(300)
    assert view.events == []


# Names.


@pytest.mark.parametrize("case", ["hostile", "hostile many"])
def test_a_hostile_name_stays_text_wherever_it_is_written(case, bench):
    view = bench(case)
    page = view.root.page
    view.hover(1, 1)
    for key in ("ArrowRight", "?", "Shift+ArrowRight"):
        view.root.press(key)
    assert view.visit.find("img[src=x], [onerror]").count() == 0
    assert HOSTILE in view.root.text_content()
    assert page.evaluate("document.querySelectorAll('[onerror]').length") == 0
    if case == "hostile":
        expect(view.find("h3")).to_contain_text(f"{HOSTILE}1")
        view.press("Show it on the whole page")
        view.visit.eventually(lambda: view.events, [["pick", [HOSTILE]]])
        assert view.visit.find("img[src=x], [onerror]").count() == 0
    else:
        expect(view.find(".key").first).to_have_text(HOSTILE)
