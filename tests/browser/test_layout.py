"""The pages as they are seen and reached: on a laptop, a telephone, and by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

CANVAS = ".viewer .cover canvas >> nth=0"
# The element that has the focus, inside shadow roots too.
FOCUSED = """() => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element?.dataset?.key ?? "";
}"""
# Whatever the boards of the page's main part draw beyond the window's left or right edge.
TOO_WIDE = """() => [...document.querySelectorAll("[data-testid=stMain] *")]
  .flatMap((host) => [...host.shadowRoot?.querySelectorAll("*") ?? []])
  .filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1
    || element.getBoundingClientRect().left < -1)
  .map((element) => element.outerHTML.slice(0, 120))"""
SIDEWAYS = """() => ["html", "[data-testid=stApp]", "[data-testid=stMain]"].map((selector) =>
  document.querySelector(selector)).map((element) => element.scrollWidth - element.clientWidth)"""


def test_everything_that_matters_is_seen_at_once_on_1280_by_800(visit):
    here = visit(1280, 800).go()
    parts = [here.find(selector) for selector in
             (".headline", CANVAS, ".viewer .legend", ".viewer .lines", ".viewer .readout", ".answers", ".channels")]
    parts += here.find(".answer").all() + here.find(".tile").all() + here.find(".tile img").all()
    assert len(parts) == 7 + 15 + 6 + 6
    for part in parts:
        box = part.bounding_box()
        assert box["width"] > 20, part
        assert box["height"] > 8, part
        assert box["x"] >= 0, part
        assert box["y"] >= 0, part
        assert box["x"] + box["width"] <= 1280, part
        assert box["y"] + box["height"] <= 800, part
    assert here.page.evaluate(SIDEWAYS) == [0, 0, 0]


def test_a_wide_photo_is_seen_whole_beside_answers_and_channels(visit):
    here = visit(1280, 800)
    for example in ("rocket", "cat_and_coffee"):
        here.go(example=example, framing="whole", pooling="topk")
        for part in [here.find(CANVAS), here.find(".viewer .legend"), here.find(".answers"), *here.find(".tile").all()]:
            box = part.bounding_box()
            assert box["y"] + box["height"] <= 800, (example, part)
            assert box["x"] + box["width"] <= 1280, (example, part)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (700, 900), (1280, 800)])
def test_what_opens_the_sidebar_lies_over_no_text(width, height, visit):
    here = visit(width, height).go("/Why")
    opener, title = here.page.get_by_test_id("stExpandSidebarButton"), here.find(".headline h1")
    if width > 768:
        here.page.get_by_test_id("stSidebar").hover()
        here.page.get_by_test_id("stSidebarCollapseButton").locator("button").click()
    expect(opener).to_be_visible()
    box = opener.bounding_box()
    here.eventually(lambda: title.bounding_box()["y"] >= box["y"] + box["height"], True)
    if width <= 768:  # there it has text beneath it that was scrolled
        header = here.page.get_by_test_id("stHeader")
        assert header.evaluate("(header) => getComputedStyle(header).backgroundColor") == "rgb(255, 255, 255)"
        assert title.bounding_box()["y"] >= header.bounding_box()["height"]


def test_a_number_in_brackets_stays_on_the_line_of_its_name(visit):
    here = visit(390, 844).go("/Why")
    brackets = here.find(".headline .lead .together")
    expect(brackets).to_have_count(3)
    for width in range(390, 330, -7):
        here.page.set_viewport_size({"width": width, "height": 844})
        for one in brackets.all():
            assert one.evaluate("""(one) => {
              const rects = [...one.getClientRects()], before = [...one.previousElementSibling.getClientRects()].at(-1);
              return rects.length === 1 && Math.abs(rects[0].bottom - before.bottom) < 4;
            }"""), width


def test_nothing_scrolls_sideways_on_a_telephone(visit):
    here = visit(390, 844)
    for path, link in (("/", {}), ("/", {"example": "cat_and_coffee", "pooling": "topk", "region": "1,1,2,2"}),
                       ("/Feature_maps", {"beside": "3"}), ("/Poolings", {"poolings": "gap,gem:p=5,topk,lse"}),
                       ("/Activation_maps", {}), ("/Activation_maps", {"maps": "votes"}), ("/Method", {}),
                       ("/Why", {}), ("/Why", {"ask": "without"}), ("/", {"present": "1"}),
                       *(("/Lessons", {"lesson": str(number)}) for number in (1, 2, 4, 6, 8, 9, 10))):
        here.go(path, **link)
        assert here.page.evaluate(SIDEWAYS) == [0, 0, 0], path
        assert here.page.evaluate(TOO_WIDE) == [], path


def test_an_answer_is_reached_and_picked_by_keyboard_and_keeps_the_focus(visit):
    here = visit().go()
    here.page.get_by_test_id("stSelectbox").get_by_role("combobox", name="Pooling").focus()
    reached = ""
    for _ in range(40):
        here.page.keyboard.press("Tab")
        reached = here.page.evaluate(FOCUSED)
        if reached.startswith("gmp-"):
            break
    assert reached.startswith("gmp-")
    style = here.find(f'[data-key="{reached}"]').evaluate("(element) => getComputedStyle(element).outlineStyle")
    assert style == "solid", "the focus is seen"
    here.page.keyboard.press("Enter")
    here.leads_to(pooling="gmp", **{"class": reached.removeprefix("gmp-")})
    expect(here.find(f'.answer[data-key="{reached}"]')).to_have_attribute("aria-pressed", "true")
    here.eventually(lambda: here.page.evaluate(FOCUSED), reached)
    here.page.keyboard.press("Tab")
    next_one = here.page.evaluate(FOCUSED)
    assert next_one.startswith("gmp-")
    here.page.keyboard.press("Space")
    here.leads_to(**{"class": next_one.removeprefix("gmp-")})
    here.eventually(lambda: here.page.evaluate(FOCUSED), next_one)


@pytest.mark.parametrize(("path", "link", "parts"), [
    ("/Feature_maps", {}, (".headline", ".wall canvas", ".wall .status", ".viewer canvas >> nth=0",
                           ".viewer .legend", ".viewer .lines")),
    ("/Poolings", {}, (".headline", ".st-key-looks .viewer canvas >> nth=0", ".st-key-looks .legend",
                       ".st-key-evidence .title", ".st-key-slider_2_attention input")),
    ("/Activation_maps", {}, (".headline", ".chips", ".viewer .title", ".viewer .tools", ".row >> nth=0",
                              ".viewer canvas >> nth=0")),
    ("/Activation_maps", {"maps": "votes"}, (".headline", ".viewer canvas >> nth=0", ".viewer canvas >> nth=2",
                                             ".viewer .legend", ".note >> nth=0")),
    ("/Why", {}, (".headline", ".chips", ".viewer canvas >> nth=0", ".viewer .legend", ".viewer .lines",
                  "table.poolings tbody tr >> nth=7", ".channels .tile >> nth=0")),
    ("/Why", {"ask": "without"}, (".headline", ".viewer .lines", ".ways tbody tr >> nth=4", ".shot img >> nth=2")),
])
def test_what_matters_of_each_new_page_is_above_the_fold_on_1280_by_800(path, link, parts, visit):
    here = visit(1280, 800).go(path, **link)
    for part in parts:
        expect(here.find(part)).to_be_visible()
        box = here.find(part).bounding_box()
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= 1280, part
        assert box["y"] + box["height"] <= 800, part


@pytest.mark.parametrize("path", ["/", "/Feature_maps", "/Poolings"])
def test_every_tool_is_reached_and_works_on_a_telephone(path, visit):
    here = visit(390, 844, touch=True).go(path)
    viewer = here.find(".viewer").filter(has=here.find(".tools button")).first
    viewer.get_by_role("button", name="More").tap()
    for tool in viewer.locator(".tools").locator("button:not([hidden]), input, select").all():
        tool.scroll_into_view_if_needed()
        box = tool.bounding_box()
        assert box["width"] > 8, tool
        assert box["height"] >= 4, tool
        assert box["x"] >= 0, tool
        assert box["x"] + box["width"] <= 390, tool
    viewer.get_by_role("button", name="Smooth").tap()
    expect(viewer.get_by_role("button", name="Smooth")).to_have_attribute("aria-pressed", "true")
    viewer.locator(".cover canvas").last.scroll_into_view_if_needed()
    box = viewer.locator(".cover canvas").last.bounding_box()
    here.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(here.find(".place h3")).to_have_text("Position (3, 3)")
