"""Who uses no mouse, hears the page or holds a telephone: the rules of axe, focus, keys and targets."""

from __future__ import annotations

import warnings
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Visit
from tests.browser.uploads import arrow, encode

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
LESSONS, QUESTIONS = range(1, 11), ("against", "without", "flip", "object", "stable", "finer", "trust")
PLACES = {
    "pages": [
        ("/", {"pooling": "gmp", "region": "1,1,1,1"}), ("/", {"pooling": "median", "calibrated": "0"}),
        ("/Feature_maps", {"beside": "3"}), ("/Poolings", {"channel": "5"}), ("/Activation_maps", {}),
        ("/Activation_maps", {"maps": "votes"}), ("/Activation_maps", {"maps": "cams"}), ("/Method", {})],
    "folder": [("/Folder", {"run": "examples"})],
    **{question: [("/Why", {"ask": question})] for question in QUESTIONS},
    "lessons": [("/Lessons", {"lesson": str(number)}) for number in LESSONS],
    "talks": [
        *((path, {"present": "1"}) for path in ("/", "/Feature_maps", "/Poolings", "/Activation_maps", "/Why")),
        *(("/Lessons", {"lesson": str(number), "present": "1"}) for number in (1, 3, 7, 8, 9, 10))],
}
SLOW = ("flip", "stable", "trust")  # look as the others do: in one theme
RUN_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .flatMap(({id, impact, nodes}) => nodes.map(({target, html, failureSummary}) =>
    ({id, impact, ours: Array.isArray(target[0]), html: html.slice(0, 160), why: failureSummary})))"""
# Whether the focus is seen: an outline or a ring on what has it, or on a frame right around it.
FOCUS = """() => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  const seen = ({ outlineStyle, outlineWidth, boxShadow }) =>
    (outlineStyle === "solid" && parseFloat(outlineWidth) >= 2) || boxShadow !== "none";
  const around = [element, element.parentElement, element.parentElement?.parentElement].filter((one) => one);
  const isSeen = around.some((one) => seen(getComputedStyle(one)));
  return [element.matches("body, html"), isSeen, element.outerHTML.slice(0, 150)];
}"""
# What is touched and smaller than 24 px, apart from links within a sentence and what only a screen reader hears.
SMALL = """() => {
  const all = (root) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? all(one.shadowRoot) : [])]);
  return all(document).filter((one) => one.matches("a, button, select, input, [role=radio]") && !one.disabled
      && !one.closest("p, [data-testid=stTooltipIcon], [data-testid=stSkipToContent]"))
    .map((one) => [one, (one.matches("input") && one.closest("label") || one).getBoundingClientRect()])
    .filter(([, { width, height }]) => width > 1 && height > 1 && Math.min(width, height) < 23.5)
    .map(([one, { width, height }]) => `${width} x ${height}: ${one.outerHTML.slice(0, 120)}`);
}"""


@pytest.mark.parametrize(("theme", "places"), [
    (theme, places) for theme in ("light", "dark") for places in PLACES if theme == "light" or places not in SLOW])
def test_axe_finds_nothing_serious_and_headings_are_in_order(theme, places, visit):
    here, failures = visit(theme=theme), []
    for path, link in PLACES[places]:
        here.go(path, **link)
        if "run" in link:
            expect(here.find(".confusion")).to_be_visible(timeout=120_000)
        if link.get("ask") in QUESTIONS:  # its answer takes a while
            expect(here.page.get_by_test_id("stProgress")).to_have_count(0, timeout=180_000)
        here.page.evaluate(AXE.read_text(encoding="utf-8"))
        for item in here.page.evaluate(RUN_AXE):
            if item["impact"] in {"serious", "critical"} or item["id"] == "heading-order":
                failures.append((path, link, item))
    for path, link, item in failures:
        if not item["ours"]:  # Streamlit's own elements are not in a shadow root
            warnings.warn(f"axe, {theme}, {path} {link}, outside boards: {item['id']}: {item['html']}", stacklevel=1)
    assert [failure for failure in failures if failure[2]["ours"] or "katex" in failure[2]["html"]] == []


def test_the_focus_is_seen_on_all_that_the_keyboard_reaches(visit):
    here = visit().go("/Why")
    unseen = []
    for _ in range(90):
        here.page.keyboard.press("Tab")
        is_page, seen, element = here.page.evaluate(FOCUS)
        if is_page:
            break
        unseen += [] if seen else [element]
    assert is_page, "the end was reached"
    assert unseen == []


def test_an_arrow_selects_among_buttons_of_which_one_is_chosen(visit):
    here = visit().go("/Why")
    questions = here.page.get_by_role("radiogroup", name="Question").get_by_role("radio")
    questions.first.focus()
    here.page.keyboard.press("ArrowRight")
    here.leads_to(ask="without")
    expect(questions.nth(1)).to_be_focused()
    expect(questions.nth(1)).to_have_attribute("aria-checked", "true")


def test_an_arrow_among_a_lessons_buttons_does_not_turn_to_the_next_lesson(visit):
    here = visit().go("/Lessons", lesson="6")
    here.page.get_by_role("radio", name="shuffled, 1").focus()
    here.page.keyboard.press("ArrowRight")
    here.leads_to(lesson="6", settings="shuffle:2")


def test_after_an_upload_the_focus_is_still_in_the_uploader(visit):
    here = visit().go()
    uploader = here.page.get_by_test_id("stFileUploader")
    uploader.get_by_role("button", name="Upload").last.focus()
    with here.page.expect_file_chooser() as opened:
        here.page.keyboard.press("Enter")
    opened.value.set_files({"name": "mine.png", "mimeType": "image/png", "buffer": encode(arrow())})
    here.eventually(lambda: "photo" in here.link, True)
    expect(uploader.get_by_role("button", name="Add files")).to_be_focused()


def _focused(here: Visit) -> list[str]:
    """What has the focus: the tag and text of it, or its label; inside shadow roots too."""
    return here.page.evaluate("""() => {
      let element = document.activeElement;
      while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
      return [element.localName, element.ariaLabel ?? element.textContent.slice(0, 60)];
    }""")


def test_the_search_over_classes_keeps_the_focus_after_a_choice(visit):
    here = visit().go("/Why")
    here.search("space shuttle", "Against any class")
    here.leads_to(rival="812")
    here.settle(here.find(".headline h1"))
    field = here.page.get_by_role("combobox", name="Against any class")
    expect(field).to_be_focused()
    expect(field).to_have_value("space shuttle")


def test_after_a_change_of_page_the_focus_is_on_its_heading(visit):
    here = visit().go()
    for title, words in (("Why", "Why football helmet"), ("Poolings", "They agree"), ("Lessons", "From maps"),
                         ("Method", ""), ("Explore", "Prediction: football helmet")):
        here.page.get_by_test_id("stSidebar").get_by_role("link", name=title).focus()
        here.page.keyboard.press("Enter")
        here.eventually(lambda words=words: [here.page.title(), _focused(here)[0], _focused(here)[1].startswith(words)],
                        [f"{title} · PoolScope", "h1", True])


@pytest.mark.parametrize("clicked", [False, True])
def test_after_a_talk_the_focus_is_on_the_button_that_began_it_or_on_the_heading(clicked, visit):
    here = visit().go()
    here.page.get_by_role("button", name="Present").focus()
    here.page.keyboard.press("Enter")
    here.settle(here.find(".stage .says"))
    if clicked:
        here.find(".stage .tools, .stage .steps button").last.focus()
    here.page.keyboard.press("Escape")
    here.settle(here.find(".headline h1"))
    if clicked:
        here.eventually(lambda: _focused(here)[0], "h1")
    else:
        expect(here.page.get_by_role("button", name="Present")).to_be_focused()


def test_on_a_telephone_the_sidebar_closes_after_a_choice(visit):
    here = visit(390, 844, touch=True).go()

    def after(choice: Locator) -> None:
        here.page.get_by_test_id("stExpandSidebarButton").tap()
        here.eventually(lambda: here.page.get_by_test_id("stSidebar").bounding_box()["x"], 0)
        choice.tap()
        expect(here.page.get_by_test_id("stExpandSidebarButton")).to_be_visible()

    after(here.find("[data-key=coffee]"))
    here.leads_to(example="coffee")
    after(here.page.get_by_role("radio", name="squash"))
    here.leads_to(framing="squash")
    after(here.page.get_by_role("link", name="Poolings"))
    expect(here.page).to_have_title("Poolings · PoolScope")


@pytest.mark.parametrize(("path", "link"), [
    ("/", {}), ("/Feature_maps", {"beside": "3"}), ("/Poolings", {"channel": "5"}), ("/Activation_maps", {}),
    ("/Why", {}), ("/Why", {"ask": "without"}), ("/Lessons", {"lesson": "7"})])
def test_what_a_finger_touches_on_a_telephone_is_24_px(path, link, visit):
    here = visit(390, 844, touch=True).go(path, **link)
    here.eventually(lambda: here.page.evaluate(SMALL), [])


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", ["/Method", "/Poolings"])
def test_a_formula_is_seen_whole_and_never_scrolls(width, path, visit):
    here = visit(width, 844).go(path)
    formulas = here.find(".katex-display")
    expect(formulas.last).to_be_attached()
    for formula in formulas.all():
        assert formula.evaluate("(one) => getComputedStyle(one).overflowX") == "visible"
        assert formula.evaluate("""(one) => [...one.querySelectorAll(".base")].every((part) =>
            part.getBoundingClientRect().right <= innerWidth && part.getBoundingClientRect().left >= 0)""")
