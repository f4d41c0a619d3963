"""Lessons, as a teacher uses them: all ten by the arrow keys, on the projector, without a mouse."""

from __future__ import annotations

from playwright.sync_api import expect

from explorer.lessons.catalogue import LESSONS

FITS = "() => document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth"


def test_the_arrow_keys_walk_through_all_ten_lessons_and_round_again(visit):
    here = visit(1280, 720).go("/Lessons", present="1")
    for number, lesson in LESSONS.items():
        expect(here.find(".headline h1")).to_have_text(lesson.title)
        expect(here.find(".lead").last).to_contain_text(lesson.notice[:40])
        here.leads_to(**({} if number == 1 else {"lesson": str(number)}))
        assert here.page.evaluate(FITS)
        assert here.notices() == []
        here.page.keyboard.press("ArrowRight")
    expect(here.find(".headline h1")).to_have_text(LESSONS[1].title)
    here.page.keyboard.press("ArrowLeft")
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
