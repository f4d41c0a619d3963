"""Lessons, as a teacher uses them: all ten by the arrow keys, on the projector, without a mouse."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from explorer.lessons.catalogue import LESSONS

FITS = "() => document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth"


def test_the_arrow_keys_walk_through_all_ten_lessons_and_stop_at_either_end(visit):
    here = visit(1280, 720).go("/Lessons", present="1")
    for number, lesson in LESSONS.items():
        expect(here.find(".headline h1")).to_have_text(lesson.title)
        expect(here.find(".steps, [class*=lesson_steps] .chips").last).to_contain_text(f"{number} of 10")
        here.leads_to(**({} if number == 1 else {"lesson": str(number)}))
        assert here.page.evaluate(FITS)
        assert here.notices() == []
        here.page.keyboard.press("ArrowRight")
    here.page.wait_for_timeout(500)
    expect(here.find(".headline h1")).to_have_text(LESSONS[10].title)
    here.page.keyboard.press("ArrowDown")
    here.leads_to(example="cat_and_coffee", lesson="10")
    here.page.keyboard.press("Escape")
    expect(here.page.get_by_text("PoolScope").first).to_be_visible()


def test_keys_that_move_a_slider_do_not_turn_the_page(visit):
    here = visit().go("/Lessons", lesson="2")
    slider = here.page.get_by_test_id("stMain").get_by_role("slider").first
    slider.focus()
    here.page.keyboard.press("ArrowRight")
    here.leads_to(lesson="2", settings="window:3")
    expect(here.find(".headline h1")).to_have_text(LESSONS[2].title)


# What is written small, or lies beyond the edge of the screen; and how wide the picture's column is.
ON_STAGE = """([width, least]) => {
  const wrong = [], main = document.querySelector("[data-testid=stMain]");
  const look = (element) => {
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (style.display === "none" || style.visibility === "hidden") return;
    if (element.matches(".spoken, [data-testid=stIconMaterial]")) return;
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const size = parseFloat(style.fontSize);
    if (text && size > 0 && box.width > 1 && !["STYLE", "SCRIPT", "OPTION"].includes(element.tagName)) {
      if (size < least) wrong.push(`${size} px: ${element.textContent.slice(0, 40)}`);
      if (box.bottom > innerHeight + 1 || box.right > innerWidth + 1) wrong.push(`beyond: ${element.textContent}`);
    }
    for (const child of [...(element.shadowRoot?.children ?? []), ...element.children]) look(child);
  };
  look(main);
  if (main.scrollHeight > main.clientHeight + 1) wrong.push(`scrolls: ${main.scrollHeight}`);
  const column = main.querySelector("[data-testid=stColumn]").getBoundingClientRect();
  if (column.width < 0.6 * width) wrong.push(`picture: ${column.width}`);
  return wrong;
}"""


@pytest.mark.parametrize("size", [(1280, 720), (640, 360)])
def test_a_lesson_fits_the_projector_its_picture_is_wide_and_its_words_are_large(size, visit):
    here = visit(*size).go("/Lessons", present="1", example="cat")
    for lesson in LESSONS.values():
        expect(here.find(".headline h1")).to_have_text(lesson.title)
        here.settle(here.find(".headline h1"))
        here.eventually(lambda: here.page.evaluate(ON_STAGE, [size[0], 23.9 * size[0] / 1280]), [])
        here.page.keyboard.press("PageDown")


def test_a_control_that_was_reached_by_tab_keeps_the_arrows_in_a_talk(visit):
    here = visit(1280, 720).go("/Lessons", present="1", lesson="4")
    main = here.page.get_by_test_id("stMain")
    for role in ("slider", "radio"):
        before = here.page.url
        main.get_by_role(role).first.focus()
        here.page.keyboard.press("ArrowRight")
        here.eventually(lambda before=before: here.page.url != before, True)
        here.leads_to(lesson="4", present="1", example="astronaut")
    here.leads_to(settings="size:256,shape:own")


def test_after_a_slider_was_dragged_keys_drive_the_talk_and_its_setting_is_there_on_the_way_back(visit):
    here = visit(1280, 720).go("/Lessons", present="1", lesson="2")
    slider = here.page.get_by_test_id("stMain").get_by_role("slider").first
    box = slider.bounding_box()
    here.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    here.page.mouse.down()
    here.page.mouse.move(box["x"] + 150, box["y"] + box["height"] / 2, steps=5)
    here.page.mouse.up()
    here.eventually(lambda: "settings=" in here.page.url, True)
    moved = here.page.url
    for key, number in (("ArrowRight", 3), ("ArrowLeft", 2), ("PageDown", 3), ("PageUp", 2)):
        here.page.keyboard.press(key)
        here.leads_to(lesson=str(number), present="1")
        here.settle(here.find(".headline h1"))
    assert here.page.url == moved
    here.page.keyboard.press("Escape")
    here.leads_to(lesson="2", present=None)
