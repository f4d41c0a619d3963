"""A talk: the viewer alone with what is being said, step by step and photo by photo, by keys and by buttons."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from explorer import analyse
from explorer.ui.session.session import EXAMPLES
from explorer.wording import percent

PAGES = {"/": "What does it say, and why?", "/Feature_maps": "Which channels contribute most to missile?",
         "/Poolings": "What does each pooling keep?", "/Activation_maps": "Where does the evidence lie?",
         "/Why": "Why missile and not projectile?"}
# What can be seen on the page and is neither in the stage nor around it.
BESIDE = """() => {
  const found = [];
  const look = (element) => {
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (element.classList.contains("stage")) return;
    const seen = box.width > 1 && box.height > 1 && style.visibility !== "hidden" && style.opacity !== "0";
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (seen && (text || ["IMG", "CANVAS", "svg", "INPUT", "BUTTON"].includes(element.tagName))
        && element.tagName !== "STYLE" && element.tagName !== "SCRIPT" && box.bottom > 0)
      found.push(element.outerHTML.slice(0, 90));
    for (const child of [...(element.shadowRoot?.children ?? []), ...element.children]) look(child);
  };
  look(document.body);
  return found;
}"""
SCROLLS = """() => [document.documentElement, ...document.querySelectorAll("[data-testid=stApp], [data-testid=stMain]")]
  .map((element) => [element.scrollWidth - element.clientWidth, element.scrollHeight - element.clientHeight])"""


def says(here) -> str:
    return here.find(".stage .says").text_content()


def step(here, key: str, to: str | re.Pattern) -> None:
    here.page.keyboard.press(key)
    expect(here.find(".stage .says")).to_have_text(to)


def place(here) -> tuple[int, int]:
    """Which step of how many."""
    return tuple(int(part) for part in re.search(r"(\d+) of (\d+)", here.find(".steps").text_content()).groups())


def fits(here) -> None:
    """Assert that all of a step is on 1280 x 720, nothing over anything else."""
    assert here.page.evaluate(SCROLLS) == [[0, 0]] * 3, says(here)
    lowest = 0
    for part in (".says", ".legend", ".lines", ".readout", ".panes canvas >> nth=0", ".steps"):
        result = here.find(f".stage {part}")
        if result.is_visible():
            box = result.bounding_box()
            right, bottom = box["x"] + box["width"], box["y"] + box["height"]
            assert box["x"] >= 0, (part, says(here))
            assert box["y"] >= 0, (part, says(here))
            assert right <= 1280, (part, says(here))
            assert bottom <= 720, (part, says(here))
            if "canvas" in part:
                assert box["width"] > 500, "the photo is large"
            elif part == ".steps":
                assert lowest <= box["y"] + 1, f"what is said runs into the buttons: {says(here)}"
            else:
                lowest = max(lowest, bottom)


@pytest.mark.parametrize("path", PAGES)
def test_each_step_of_a_talk_fits_the_projector_and_nothing_is_beside_it(path, visit, network, examples):
    more = {"framing": "whole", "truth": "812"} if path == "/" else {"framing": "crop"}
    here = visit(1280, 720).go(path, present="1", example="rocket", **more)
    expect(here.find(".stage .says")).to_have_text(PAGES[path])
    assert here.page.evaluate(BESIDE) == []
    here.viewer(analyse(network, examples["rocket"], more["framing"]), "stage").wait_for_photo()
    _, count = place(here)
    assert count >= 4
    shown = [says(here)]
    fits(here)
    with here.without_a_frame():
        for n in range(2, count + 1):
            here.page.keyboard.press("ArrowRight")
            assert place(here) == (n, count)
            fits(here)
            assert says(here) not in shown, "each step says something of its own"
            shown.append(says(here))


def test_what_is_said_comes_from_the_numbers(visit, network, examples):
    analysis = analyse(network, examples["astronaut"])
    first, second = analysis.under().top(2)
    here = visit(1280, 720).go(present="1")
    here.viewer(analysis, "stage").wait_for_photo()
    step(here, "ArrowRight", re.compile(f"^Prediction: {first.name}, {percent(first.probability)}.$"))
    view = here.viewer(analysis, "stage")
    cells = analysis.under().evidence(first.class_index).cells.numpy()
    i, j = divmod(int(cells.argmax()), 7)
    view.hover(i, j)
    view.says(rf"^Position \({i}, {j}\): \+{cells.max():.2f} logits, ")
    step(here, "ArrowRight", re.compile(f"^Rank 2: {second.name}, {percent(second.probability)}.$"))


@pytest.mark.parametrize("path", PAGES)
def test_past_the_last_step_the_talk_stops_and_back_from_the_next_photo_leads_to_it(path, visit):
    here = visit(1280, 720).go(path, present="1", example="cat_and_coffee")
    opening = re.compile(re.sub("missile|projectile", ".*", re.escape(PAGES[path])))
    expect(here.find(".stage .says")).to_have_text(opening)
    _, count = place(here)
    for _ in range(count - 1):
        here.page.keyboard.press("ArrowRight")
    assert place(here) == (count, count)
    here.page.keyboard.press("ArrowRight")
    here.page.wait_for_timeout(500)
    here.leads_to(example="cat_and_coffee", present="1")
    assert place(here) == (count, count)
    here.page.keyboard.press("ArrowDown")
    here.leads_to(example="cat", present="1")
    here.settle(here.find(".stage .says"))
    expect(here.find(".stage .says")).to_have_text(opening)
    assert place(here)[0] == 1
    here.page.keyboard.press("ArrowLeft")
    here.leads_to(example="cat_and_coffee", present="1")
    here.eventually(lambda: place(here), (count, count))
    for _ in range(count):
        here.page.keyboard.press("ArrowLeft")
    here.eventually(lambda: place(here)[0], 1)
    here.leads_to(example="cat_and_coffee", present="1")


def test_up_and_down_go_from_photo_to_photo_all_the_way_round(visit, network, examples):
    here = visit(1280, 720).go(present="1", example="rocket")
    names = list(EXAMPLES)
    for key, name in (("ArrowDown", names[0]), ("ArrowDown", names[1]), ("ArrowUp", names[0]), ("ArrowUp", "rocket")):
        here.page.keyboard.press(key)
        here.leads_to(example=name, present="1")
        here.settle(here.find(".stage .says"))
        here.viewer(analyse(network, examples[name]), "stage").wait_for_photo()
        expect(here.find(".stage .says")).to_have_text("What does it say, and why?")


def test_other_keys_of_a_presenter_walk_too_and_the_buttons_do_the_same(visit):
    here = visit(1280, 720).go(present="1")
    for key, at in (("PageDown", 2), ("Space", 3), ("PageUp", 2), ("ArrowRight", 3), ("ArrowLeft", 2)):
        here.page.keyboard.press(key)
        here.eventually(lambda: place(here)[0], at)
    here.find(".steps").get_by_role("button", name="Next step").click()
    assert place(here)[0] == 3
    here.find(".steps").get_by_role("button", name="Step back").click()
    assert place(here)[0] == 2
    here.page.keyboard.press("Space")
    assert place(here)[0] == 3, "after a click on a button a space is still one step, not two and not back"


def test_a_talk_begins_and_ends_by_keys_and_by_buttons(visit, network, examples):
    here = visit(1280, 720).go(example="cat")
    view = here.viewer(analyse(network, examples["cat"]))
    sidebar = here.page.get_by_test_id("stSidebar")
    ends = (lambda: here.page.keyboard.press("p"), lambda: here.page.keyboard.press("Escape"),
            lambda: here.find(".steps").get_by_role("button", name="Leave").click())
    for n, end in enumerate(ends):
        view.wait_for_photo()
        if n == 1:
            here.page.get_by_role("button", name="Present").click()
        else:
            here.page.keyboard.press("p")
        here.leads_to(present="1", example="cat")
        expect(here.find(".stage .says")).to_have_text("What does it say, and why?")
        expect(sidebar).to_be_hidden()
        here.settle(here.find(".stage .says"))
        assert here.page.evaluate(BESIDE) == []
        end()
        here.leads_to(present=None, example="cat")
        here.settle(here.find(".answers"))
        expect(sidebar).to_be_visible()
        expect(here.find(".stage")).to_have_count(0)
    assert here.answers()


def test_a_talk_that_is_left_leaves_the_page_as_it_was(visit, network, examples):
    analysis = analyse(network, examples["coffee"])
    here = visit(1280, 720).go(example="coffee", pooling="gmp", view="o60")
    before = here.viewer(analysis).wait_for_photo().pixels().tobytes()
    here.page.keyboard.press("p")
    here.settle(here.find(".stage .says"))
    for _ in range(3):
        here.page.keyboard.press("ArrowRight")
    here.eventually(lambda: place(here)[0], 4)
    here.page.keyboard.press("Escape")
    here.settle(here.find(".answers"))
    view = here.viewer(analysis).wait_for_photo()
    here.eventually(lambda: view.find(".title select").evaluate_all("(all) => all.map((each) => each.value)"),
                    ["espresso", "GMP"])
    here.eventually(lambda: view.pixels().tobytes() == before, True)
    here.leads_to(pooling="gmp", view="o60", present=None)


def test_a_talk_is_a_link_and_back_leads_out_of_it(visit, network, examples):
    here = visit(1280, 720).go(example="cat")
    here.viewer(analyse(network, examples["cat"])).wait_for_photo()
    here.page.keyboard.press("p")
    here.leads_to(present="1")
    here.settle(here.find(".stage .says"))
    here.page.keyboard.press("ArrowDown")
    here.leads_to(example="coffee", present="1")
    here.settle(here.find(".stage .says"))
    here.page.go_back()
    here.leads_to(example="cat", present="1")
    here.page.go_back()
    here.leads_to(example="cat", present=None)
    here.settle(here.find(".answers"))
