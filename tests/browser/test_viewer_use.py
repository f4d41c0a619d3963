"""The viewer in use: what stays in the browser, what reaches Python, what the link keeps, and all of it by keyboard."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from explorer import analyse
from explorer.wording import percent
from tests.browser.apps.cases import SEEN, WEAK
from tests.browser.conftest import Visit
from tests.browser.instrument import Instrument

COMPARED = ("gap", "gmp", "attention")
CHOSEN = (200, 121, 47)  # the orange around the place that was chosen


def cells_of(analysis, pooling: str, class_index: int) -> np.ndarray:
    return analysis.under(pooling).evidence(class_index).cells.double().numpy()


def share(cells: np.ndarray, chosen: np.ndarray) -> float:
    """Of the evidence with the sign that the chosen ones have together, how much they are."""
    same = np.sign(cells) == np.sign(chosen.sum())
    return float(np.abs(chosen[np.sign(chosen) == np.sign(chosen.sum())]).sum() / np.abs(cells[same]).sum())


def numbers(text: str) -> list[float]:
    return [float(part.replace("−", "-")) for part in re.findall(r"[+−]?\d+\.\d\d", text)]


def drawn(view: Instrument) -> bytes:
    return view.pixels().tobytes()


def view_in_link(visit: Visit) -> dict[str, str]:
    """The link's part that the viewer writes, by its letters."""
    parts = [part for part in visit.link.get("view", "").split("_") if part]
    return {part[0]: part[1:] for part in parts}


@pytest.fixture
def astronaut(visit, network, examples) -> Instrument:
    """The viewer on Explore."""
    here = visit().go()
    return here.viewer(analyse(network, examples["astronaut"])).wait_for_photo()


# What stays in the browser.


def test_nothing_is_asked_of_the_server_while_the_viewer_is_used(astronaut, network):
    view, here, analysis = astronaut, astronaut.visit, astronaut.analysis
    top = analysis.under().top(5)
    cells = cells_of(analysis, "gap", top[0].class_index)

    def reads(cells: np.ndarray) -> None:
        for i, j in ((6, 4), (0, 6)):
            view.hover(i, j)
            view.says(rf"^Position \({i}, {j}\): ")
            of_what = f"of the {'positive' if cells[i, j] > 0 else 'negative'} evidence" if cells[i, j] else "logits"
            assert view.readout.endswith(of_what)
            assert numbers(view.readout)[0] == pytest.approx(cells[i, j], abs=0.0051)
            view.is_outlined(i, j)

    def changes() -> None:
        nonlocal before
        assert drawn(view) != before
        before = drawn(view)

    before = drawn(view)
    with here.without_a_frame():
        reads(cells)
        view.pick("Class", top[1].name)
        changes()
        reads(cells_of(analysis, "gap", top[1].class_index))
        for key in ("lse", "gmp"):
            view.pick("Pooling", analysis.under(key).name)
            changes()
            reads(cells_of(analysis, key, top[1].class_index))
        view.colours("Orange and purple")
        changes()
        for tool in ("Positive only", "Smooth", "Shared scale", "Zoom in", "Zoom out"):
            view.press(tool)
            changes()
        for name, value in (("Opacity", 50), ("Threshold", 20), ("Wipe", 70)):
            view.slide(name, value)
            changes()
        view.root.focus()
        for key in ("+", "-", "l", "s", "z", "x", "0", "?", "ArrowRight", "ArrowLeft", "Shift+ArrowDown"):
            view.keyboard.press(key)
        view.leave()
    expect(here.find(".headline h1")).to_contain_text(top[0].name)
    assert here.link["class"] == str(top[0].class_index), "the page itself has not changed"


def test_the_place_pointed_at_is_outlined_and_read_in_every_viewer_of_the_page(visit, network, examples):
    analysis = analyse(network, examples["rocket"])
    class_index = analysis.under().top(1)[0].class_index
    here = visit().go("/Poolings", example="rocket")
    looks, evidence = (here.viewer(analysis, key) for key in ("looks", "evidence"))
    looks.wait_for_photo()
    evidence.wait_for_photo()
    with here.without_a_frame():
        for pointed, pane, (i, j) in ((looks, 1, (4, 2)), (evidence, 2, (0, 6))):
            pointed.hover(i, j, pane)
            for view in (looks, evidence):
                for item in range(3):
                    view.is_outlined(i, j, item)
            shown = evidence.find(".value").all_text_contents()
            assert [numbers(text)[0] for text in shown] == pytest.approx(
                [cells_of(analysis, key, class_index)[i, j] for key in COMPARED], abs=0.0051)
            weights = [looked_at(analysis, key, class_index)[i, j] for key in COMPARED]
            assert looks.find(".value").all_text_contents() == [percent(weight) for weight in weights]
        looks.leave()
        for view in (looks, evidence):
            assert [view.outlined(pane) for pane in range(3)] == [None] * 3


def looked_at(analysis, pooling: str, class_index: int) -> np.ndarray:
    """Each channel's pooling weights as shares, averaged by the size of the channel's contribution."""
    outcome = analysis.under(pooling)
    weights = outcome.weights.double().numpy()
    sizes = np.abs(outcome.evidence(class_index).channels.double().numpy())
    sums = weights.sum((1, 2))
    sizes[sums <= 0] = 0
    shares = weights / np.where(sums > 0, sums, 1)[:, None, None]
    return (shares * sizes[:, None, None]).sum(0) / sizes.sum()


def test_nothing_moves_when_something_is_pointed_at(visit, network, examples):
    here = visit()
    for path, keys in (("/", ["evidence"]), ("/Poolings", ["looks", "evidence"]), ("/Activation_maps", ["grid"]),
                       ("/Feature_maps", ["channel_map"])):
        here.go(path, example="coffee")
        views = [here.viewer(analyse(network, examples["coffee"]), key).wait_for_photo() for key in keys]

        def places(views=views) -> list[dict]:
            return [item.bounding_box() for view in views for item in view.find("canvas, .tools").all()]

        views[0].top().scroll_into_view_if_needed()
        before = places()
        views[0].hover(3, 3)
        assert places() == before, path


# What reaches Python.


def test_a_click_shows_the_sum_of_the_position_and_another_clears_it(astronaut):
    view, here, analysis = astronaut, astronaut.visit, astronaut.analysis
    top = analysis.under().top(1)[0]
    cells = cells_of(analysis, "gap", top.class_index)
    for i, j in ((5, 4), (0, 0)):
        view.click(i, j)
        here.leads_to(region=f"{i},{j},{i},{j}")
        panel = here.find(".place")
        expect(panel.locator("h3")).to_have_text(f"Position ({i}, {j})")
        text = panel.text_content()
        assert numbers(text)[0] == pytest.approx(cells[i, j], abs=0.0051)
        words = f"logits for {top.name} under GAP, with {percent(share(cells, cells[i, j]))} of the positive evidence"
        assert words in text
        rectangle = [round(edge) for edge in view.rectangles[i, j]]
        assert f"pixels {rectangle[0]} to {rectangle[2]} across and {rectangle[1]} to {rectangle[3]} down" in text
        here.settle(panel)
        view.leave()
        here.eventually(lambda: view.outlined(colour=CHOSEN) is not None, True)
        np.testing.assert_allclose(view.outlined(colour=CHOSEN), view.rectangles[i, j], atol=3)
    view.click(0, 0)
    expect(here.find(".place")).to_have_count(0)
    here.leads_to(region=None)


@pytest.mark.parametrize(("begin", "end", "region"), [
    ((200, 250), (330, 400), (3, 2, 5, 4)),
    ((330, 400), (200, 250), (3, 2, 5, 4)),  # from the lower right to the upper left
    ((10, 20), (200, 250), (0, 0, 3, 2)),  # it begins outside what was seen
    ((330, 400), (700, 900), (5, 4, 6, 6)),  # it ends outside the canvas
])
def test_a_dragged_box_gives_the_sum_of_its_positions(begin, end, region, astronaut):
    view, here, analysis = astronaut, astronaut.visit, astronaut.analysis
    top = analysis.under().top(1)[0]
    view.drag(begin, end)
    here.leads_to(region=",".join(map(str, region)))
    up, left, down, right = region
    cells = cells_of(analysis, "gap", top.class_index)
    inside = cells[up : down + 1, left : right + 1]
    expect(here.find(".place h3")).to_have_text(f"Positions ({up}, {left}) to ({down}, {right})")
    text = here.find(".place").text_content()
    assert numbers(text)[0] == pytest.approx(inside.sum(), abs=0.0051)
    assert f" {percent(share(cells, inside))} of " in text
    assert f"{inside.size} of 49 positions" in text
    here.find(".place").get_by_role("button", name="Clear").click()
    expect(here.find(".place")).to_have_count(0)
    here.leads_to(region=None)


def test_a_click_outside_what_was_seen_does_nothing(astronaut):
    with astronaut.visit.without_a_frame():
        for point in ((10, 20), (500, 256), (256, 505)):
            astronaut.click_at(point)


def test_a_box_that_touches_nothing_that_was_seen_does_nothing(astronaut):
    with astronaut.visit.without_a_frame():
        astronaut.drag((5, 100), (25, 300))


def test_a_click_on_an_enlarged_photo_chooses_what_is_under_the_pointer(bench):
    view = bench("one")
    for _ in range(4):
        view.press("Zoom in")
    view.click_at((300, 200))  # as if nothing were enlarged: a third of the way across and down the canvas
    zoom = 1.5**4
    across, down = (450 + (300 - 450) / zoom - SEEN[0]) / 100, (300 + (200 - 300) / zoom) / 100
    view.visit.eventually(lambda: [(name, value["positions"]) for name, value in view.events],
                          [("region", [int(down), int(across)] * 2)])


def test_a_place_stays_chosen_from_page_to_page_and_is_cleared_with_another_photo(visit):
    here = visit().go(region="5,4,6,6")
    for page in ("Poolings", "Activation maps"):
        expect(here.find(".place h3")).to_have_text("Positions (5, 4) to (6, 6)")
        here.change_page(page)
    expect(here.find(".place h3")).to_have_text("Positions (5, 4) to (6, 6)")
    here.find('.examples button[data-key="coffee"]').click()
    here.leads_to(example="coffee", region=None)
    expect(here.find(".place")).to_have_count(0)


def test_a_place_that_the_photo_does_not_have_is_cleared_from_the_link(visit):
    here = visit().go(region="5,4,6,6", size="96")
    expect(here.find(".place")).to_have_count(0)
    here.leads_to(region=None)


def test_a_map_chosen_in_the_viewer_is_shown_by_the_whole_page_on_request(astronaut):
    view, here, analysis = astronaut, astronaut.visit, astronaut.analysis
    third = analysis.under().top(3)[2]
    expect(view.root.get_by_role("button", name="Show it on the whole page")).to_have_count(0)
    with here.without_a_frame():
        view.pick("Class", third.name)
        view.pick("Pooling", "GMP")
    picture = drawn(view)
    files = here.find(".lines .aside")
    expect(files).to_have_text(f"Files hold: Evidence for {analysis.under().top(1)[0].name}, under GAP.")
    view.root.get_by_role("button", name="Show it on the whole page").click()
    expect(files).to_have_count(0)
    here.leads_to(pooling="gmp", **{"class": str(third.class_index)})
    expect(here.find(".headline .lead")).to_contain_text(third.name)
    expect(here.selectbox("Pooling")).to_have_value("GMP")
    expect(here.find(".answer[aria-pressed=true]")).to_contain_text(third.name)
    here.settle(here.find(".answers"))
    assert drawn(view) == picture
    expect(view.root.get_by_role("button", name="Show it on the whole page")).to_have_count(0)
    here.eventually(lambda: "m" in view_in_link(here), False)


def test_where_the_whole_page_cannot_show_a_map_no_button_offers_it_and_what_the_files_hold_is_said(visit):
    here = visit().go("/Why")
    what = here.find(".viewer select[aria-label=What]")
    what.select_option("bobsled")
    expect(here.find(".lines .aside")).to_contain_text("Files hold: Evidence for football helmet against bobsled")
    expect(here.find(".viewer").get_by_role("button", name="Show it on the whole page")).to_have_count(0)


def test_another_class_chosen_on_the_page_is_shown_by_the_viewer_whatever_it_showed(astronaut):
    view, here, analysis = astronaut, astronaut.visit, astronaut.analysis
    top = analysis.under().top(4)
    view.pick("Class", top[3].name)
    here.find(".answers .column").first.locator(".answer").nth(1).click()
    here.leads_to(**{"class": str(top[1].class_index)})
    expect(view.find(".title select").first).to_have_value(top[1].name)
    view.hover(6, 4)
    assert numbers(view.readout)[0] == pytest.approx(
        cells_of(analysis, "gap", top[1].class_index)[6, 4], abs=0.0051)


# The link.


def test_the_view_is_in_the_link_and_a_link_restores_it(bench):
    view = bench("one")
    here = view.visit
    with here.without_a_frame():
        for name, value in (("Opacity", 60), ("Threshold", 20), ("Wipe", 90)):
            view.slide(name, value)
        for tool in ("Shared scale", "Smooth", "Positive only", "Contours", "Zoom in", "Zoom in"):
            view.press(tool)
        view.colours("Orange and purple")
        view.pick("Class", "weak")
        x, y = view.on_page((450, 300))
        view.keyboard.down("Shift")
        here.page.mouse.move(x, y)
        here.page.mouse.down()
        here.page.mouse.move(x - 40, y + 30)
        here.page.mouse.up()
        view.keyboard.up("Shift")
        here.eventually(lambda: {key: view_in_link(here).get(key) for key in "ostuwcpzm"},
                        {"o": "60", "s": "1", "t": "20", "u": "1", "w": "90", "c": "1", "p": "1", "z": "2.25",
                         "m": "weak"})
        assert float(view_in_link(here)["x"]) > 50
        assert float(view_in_link(here)["y"]) < 50
    assert here.link["case"] == "one", "what else the link says stays"
    picture = view.pixels().astype(int)
    other = bench("one", view=here.link["view"])
    assert np.abs(other.pixels().astype(int) - picture).max() <= 2
    assert other.ends == view.ends
    expect(other.find(".title select")).to_have_value("weak")
    other.press("Whole photo")
    other.visit.eventually(lambda: [key in view_in_link(other.visit) for key in "zxyo"], [False] * 3 + [True])


def test_what_is_usual_is_left_out_of_the_link(bench):
    view = bench("one")
    view.press("Smooth")
    view.visit.leads_to(view="s1")
    view.press("Smooth")
    view.visit.leads_to(view=None)


def test_a_view_survives_a_click_and_comes_back_with_back(astronaut):
    view, here, analysis = astronaut, astronaut.visit, astronaut.analysis
    second = analysis.under("gmp").top(2)[1]
    view.slide("Opacity", 40)
    here.leads_to(view="o40")
    before = drawn(view)
    here.find(".answers .column").nth(1).locator(".answer").nth(1).click()
    here.leads_to(view="o40", pooling="gmp", **{"class": str(second.class_index)})
    expect(view.find(".title select").last).to_have_value("GMP")
    here.settle(here.find(".answers"))
    view.slide("Opacity", 90)
    here.leads_to(view="o90", pooling="gmp")
    here.page.go_back()
    here.leads_to(view="o40", pooling="gap")
    expect(view.find(".title select").last).to_have_value("GAP")
    here.settle(here.find(".answers"))
    here.eventually(lambda: drawn(view) == before, True)
    expect(view.root.get_by_role("slider", name="Opacity")).to_have_value("40")
    here.page.go_forward()
    here.leads_to(view="o90", pooling="gmp")
    expect(view.root.get_by_role("slider", name="Opacity")).to_have_value("90")


def test_back_shows_the_map_that_was_chosen_in_the_viewer_then(astronaut):
    view, here, analysis = astronaut, astronaut.visit, astronaut.analysis
    top = analysis.under().top(3)
    view.pick("Class", top[2].name)
    here.leads_to(view=f"m{top[2].class_index}.gap")
    here.find(".answers .column").first.locator(".answer").nth(1).click()
    here.leads_to(view=None, **{"class": str(top[1].class_index)})
    here.settle(here.find(".answers"))
    here.page.go_back()
    here.leads_to(**{"class": str(top[0].class_index)})
    expect(here.find(".answer[aria-pressed=true]")).to_contain_text(top[0].name)
    expect(view.find(".title select").first).to_have_value(top[2].name)
    here.leads_to(view=f"m{top[2].class_index}.gap")


def test_quick_changes_are_all_kept_even_with_a_click_right_behind_them(astronaut):
    view, here = astronaut, astronaut.visit
    view.root.focus()
    for key in ("s", "-", "-", "l"):
        view.keyboard.press(key)
    here.find(".answers .column").nth(1).locator(".answer").nth(1).click()
    here.leads_to(view="o75_s1_u1", pooling="gmp")
    here.settle(here.find(".answers"))
    here.page.wait_for_timeout(400)
    here.leads_to(view="o75_s1_u1", pooling="gmp")


@pytest.mark.parametrize("views", [
    ["o999_t-5_w1e9_z0_x-1_y1e99", "oNaN_sInfinity_t_w", "c9_s7_u-3_p2", "z12_x0_y100", "o0x10"],
    ["m<img src=x>", "m../../etc/passwd", "_____", "__proto___constructor", "o" * 5000, "m" + "a" * 5000],
    ["c0.5"], ["u0.5_s0.5_p0.5"],
], ids=["out of range", "not numbers", "between two colours", "between on and off"])
def test_a_hostile_view_is_harmless(views, bench):
    for hostile in views:
        view = bench("one", view=hostile)
        here = view.visit
        expect(view.find(".title select").first).to_have_value("strong")
        expect(view.find(".scale")).to_have_count(1)
        view.press("Whole photo")
        for name in ("Smooth", "Shared scale", "Positive only"):
            button = view.root.get_by_role("button", name=name)
            pressed = button.get_attribute("aria-pressed")
            view.press(name)
            expect(button).to_have_attribute("aria-pressed", "true" if pressed == "false" else "false")
        for name in ("Opacity", "Wipe"):
            view.slide(name, 100)
        view.hover(3, 3)
        view.says(r"^Position \(3, 3\): ")
        assert here.find("img[src=x], [onerror]").count() == 0
        assert len(here.page.url) < 6000


# By keyboard.


def test_every_key_of_the_list_does_what_the_list_says(bench):
    view = bench("one")
    here, keys = view.visit, view.keyboard
    view.root.focus()
    opacity = view.root.get_by_role("slider", name="Opacity")

    keys.press("?")
    assert view.find(".help dt").all_text_contents() == [
        "← →", "+ −", "l", "s", "g", "c", "Shift and arrows", "Enter", "drag", "z, x, 0", "f", "p", "?"]
    expect(view.find(".help")).to_be_visible()
    keys.press("?")
    expect(view.find(".help")).to_be_hidden()

    for key, name in (("ArrowRight", "weak"), ("ArrowRight", "against"), ("ArrowLeft", "weak"),
                      ("ArrowLeft", "strong"), ("ArrowLeft", "strong")):
        keys.press(key)
        expect(view.find(".title select")).to_have_value(name)

    for key, value in (("+", "90"), ("=", "95"), ("+", "100"), ("+", "100"), ("-", "95"), ("-", "90"), ("-", "85")):
        keys.press(key)
        expect(opacity).to_have_value(value)

    for key, name, first in (("l", "Shared scale", "false"), ("s", "Smooth", "true"), ("g", "Photo in colour", "true")):
        button = view.root.get_by_role("button", name=name)
        keys.press(key)
        expect(button).to_have_attribute("aria-pressed", first)
        keys.press(key)
        expect(button).to_have_attribute("aria-pressed", "true" if first == "false" else "false")

    keys.press("c")
    expect(view.find(".legend")).to_contain_text("lines around")
    keys.press("c")
    expect(view.find(".legend")).not_to_contain_text("lines around")

    whole = drawn(view)
    keys.press("z")
    keys.press("z")
    here.eventually(lambda: view_in_link(here).get("z"), "2.25")
    keys.press("x")
    here.eventually(lambda: view_in_link(here).get("z"), "1.5")
    assert drawn(view) != whole
    keys.press("0")
    here.eventually(lambda: view_in_link(here).get("z"), None)
    assert drawn(view) == whole

    keys.press("Shift+ArrowRight")
    view.says(r"^Position \(0, 0\): ")
    for key, place in (("ArrowRight", (0, 1)), ("ArrowDown", (1, 1)), ("ArrowDown", (2, 1)), ("ArrowLeft", (2, 0)),
                       ("ArrowLeft", (2, 0)), ("ArrowUp", (1, 0))):
        keys.press(f"Shift+{key}")
        view.says(rf"^Position \({place[0]}, {place[1]}\): ")
        view.is_outlined(*place)
    keys.press("Enter")
    here.eventually(lambda: [value["positions"] for name, value in view.events if name == "region"], [[1, 0, 1, 0]])

    keys.press("f")
    here.eventually(lambda: here.page.evaluate("document.fullscreenElement !== null"), True)
    keys.press("f")
    here.eventually(lambda: here.page.evaluate("document.fullscreenElement !== null"), False)

    keys.press("p")
    here.eventually(lambda: view.events[-1], ["present", True])


def test_the_first_step_with_shift_and_an_arrow_is_the_first_position_whichever_arrow_it_is(bench):
    view = bench("one")
    for key in ("ArrowRight", "ArrowDown"):
        view.root.focus()
        view.keyboard.press(f"Shift+{key}")
        view.says(r"^Position \(0, 0\): ")
        view.hover(3, 3)
        view.leave()
        view.says("nothing is pointed at")


def test_the_focus_is_seen_on_the_viewer_and_on_each_of_its_tools(bench):
    view = bench("one")
    view.press("More")
    view.root.press("Shift+Tab")
    seen = []
    while len(seen) < 16:
        view.keyboard.press("Tab")
        focused = view.root.evaluate("""(root) => {
            const element = root.getRootNode().activeElement;
            return element && [element === root ? "viewer" : element.getAttribute("aria-label") ?? element.textContent,
                               getComputedStyle(element).outlineStyle, getComputedStyle(element).outlineWidth]; }""")
        if focused:
            assert focused[1:] == ["solid", "2px"], focused
            seen.append(focused[0])
    assert seen == ["viewer", "Class", "Opacity", "Shared scale", "Smooth", "Photo in colour", "More",
                    "List of keys", "Threshold", "Wipe", "Colours", "Positive only", "Contours", "Zoom in", "Zoom out",
                    "Whole photo"]


def test_a_screen_reader_gets_the_map_and_the_numbers(bench):
    view = bench("one")
    live = view.find("[aria-live=polite]")
    assert view.root.get_attribute("role") == "group"
    assert view.root.get_attribute("aria-label") == "Case one"
    expect(view.base()).to_have_attribute("aria-label", "Evidence for strong. the map called strong")
    view.root.press("ArrowRight")
    expect(live).to_have_text("Evidence for weak. the map called weak")
    expect(view.base()).to_have_attribute("aria-label", "Evidence for weak. the map called weak")
    view.root.press("Shift+ArrowRight")
    view.root.press("Shift+ArrowDown")
    expect(live).to_have_text(re.compile(r"^Position \(1, 0\): "))
    assert numbers(live.text_content())[0] == pytest.approx(WEAK[1, 0], abs=0.0051)
    view.pick("Class", "strong")
    expect(live).to_have_text("Evidence for strong. the map called strong")


def test_a_list_and_a_slider_keep_the_arrow_keys_for_themselves(bench):
    view = bench("one")
    opacity = view.root.get_by_role("slider", name="Opacity")
    opacity.press("ArrowRight")
    expect(opacity).to_have_value("86")
    expect(view.find(".title select")).to_have_value("strong")
    chosen = view.find(".title select")
    chosen.press("ArrowDown")
    expect(chosen).to_have_value("weak")
    chosen.press("s")
    expect(view.root.get_by_role("button", name="Smooth")).to_have_attribute("aria-pressed", "false")
    expect(chosen).to_have_value("strong"), "its first letter finds an option of a list"
    colours = view.root.get_by_label("Colours")
    view.press("More")
    colours.press("ArrowDown")
    expect(view.find(".title select")).to_have_value("strong")
    view.visit.eventually(lambda: view_in_link(view.visit).get("c"), "1")


def test_keys_with_control_and_keys_elsewhere_are_left_alone(astronaut):
    view, here = astronaut, astronaut.visit
    before = drawn(view)
    with here.without_a_frame():
        view.root.press("Control+s")
        view.root.press("Alt+l")
        here.page.get_by_role("combobox", name="Class to explain").press_sequentially("slp-+")
        here.page.keyboard.press("Escape")
    assert drawn(view) == before
    assert "view" not in here.link
    assert "present" not in here.link


def test_a_tap_chooses_a_position_on_a_touch_screen(bench):
    view = bench("one", touch=True)
    view.visit.page.touchscreen.tap(*view.on_page(view.middle(2, 3)))
    view.visit.eventually(lambda: [value["positions"] for _, value in view.events], [[2, 3, 2, 3]])
