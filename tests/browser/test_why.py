"""Why, as a person uses it: a rival, a box around a part, a search that flips the answer, a number that leads on."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from explorer import analyse
from explorer.questions.contrast import contrast
from explorer.questions.flip import smallest_flip
from explorer.wording import signed

HELMET, BOBSLED, KART = 560, 450, 573


def test_a_rival_is_chosen_and_the_page_takes_the_difference_apart(visit, network, examples):
    here = visit().go("/Why")
    expect(here.find(".headline h1")).to_have_text("Why football helmet and not bobsled?")
    here.find(".chip").get_by_text("go-kart", exact=True).click()
    here.leads_to(rival=str(KART))
    expect(here.find(".headline h1")).to_have_text("Why football helmet and not go-kart?")
    result = contrast(analyse(network, examples["astronaut"]).under(), HELMET, KART)
    expect(here.find(".st-key-against .lines")).to_contain_text(f"{signed(result.difference)} = ")
    here.find("tr").get_by_text("GMP").click()
    here.leads_to(pooling="gmp")
    expect(here.find(".headline h1")).to_have_text("Why football helmet and not go-kart?")
    assert here.notices() == []


def test_a_map_chosen_on_another_page_is_not_shown_as_the_difference(visit, network, examples):
    here = visit().go("/", rival=str(BOBSLED))
    view = here.viewer(analyse(network, examples["astronaut"])).wait_for_photo()
    view.pick("Class", "bobsled")
    here.eventually(lambda: f"m{BOBSLED}.gap" in here.page.url, True)
    here.change_page("Why")
    result = contrast(analyse(network, examples["astronaut"]).under(), HELMET, BOBSLED)
    expect(here.find(".st-key-against .lines")).to_contain_text(f"{signed(result.difference)} = ")


def test_a_number_leads_to_its_question_and_a_box_that_is_dragged_is_asked_about(visit, network, examples):
    here = visit().go("/Why")
    here.find(".headline button").get_by_text("%").last.click()
    here.leads_to(ask="without")
    expect(here.find(".ruled > .caption").first).to_contain_text("that hold half of the positive evidence")
    view = here.viewer(analyse(network, examples["astronaut"]), "without").wait_for_photo()
    view.click(1, 1)
    here.leads_to(region="1,1,1,1")
    expect(here.find(".ruled > .caption").first).to_contain_text("the 1 of 49 positions from (1, 1)")
    here.find("button").get_by_text("Clear the box").click()
    expect(here.find(".ruled > .caption").first).to_contain_text("that hold half of the positive evidence")


def test_the_smallest_flip_that_is_shown_is_the_one_that_the_package_finds(visit, network, examples):
    here = visit().go("/Why", ask="flip", example="rocket")
    expect(here.find(".pair")).to_be_visible(timeout=120_000)
    outcome = analyse(network, examples["rocket"]).under()
    result = smallest_flip(outcome, outcome.top(1)[0].class_index)
    expect(here.find(".pair")).to_contain_text(re.compile(re.escape(f"the prediction is {result.after.name}")))
    assert here.find(".pair img").count() == 4
    assert here.find(".pair img").evaluate_all("(images) => images.every((image) => image.naturalWidth > 100)")


def test_curves_are_drawn_when_they_are_done_and_plotly_comes_with_them_alone(visit):
    here = visit().go("/Why")
    assert not any("PlotlyChart" in request for request in here.requests)
    here.page.get_by_role("radio", name="How far to trust it").click()
    here.leads_to(ask="trust")
    expect(here.find(".js-plotly-plot").nth(1)).to_be_visible(timeout=180_000)
    expect(here.find("table").first).to_contain_text("random, a control")


def test_the_helmet_case_from_its_button_to_a_summary_that_is_kept(visit, network, examples):
    here = visit().go("/Why", example="rocket")
    here.page.get_by_role("button", name="Cases").click()
    here.find("[data-key=case-football_helmet]").click()
    here.leads_to(example="astronaut", rival=str(BOBSLED))
    expect(here.find(".headline")).to_contain_text("on the helmet under her arm")
    here.page.get_by_role("radio", name="Without this part").click()
    here.leads_to(ask="without")
    before = here.find(".ways strong").first.text_content()
    view = here.viewer(analyse(network, examples["astronaut"]), "without").wait_for_photo()
    view.drag(view.middle(4, 3), view.middle(6, 5))
    here.leads_to(region="4,3,6,5")
    expect(here.find(".ruled > .caption").first).to_contain_text("the 9 of 49 positions from (4, 3) to (6, 5)")
    assert here.find(".ways strong").first.text_content() != before
    here.find(".chip").get_by_text("go-kart", exact=True).click()
    here.leads_to(rival=str(KART))
    here.page.get_by_role("button", name="Summary, HTML").click()
    expect(here.page.get_by_text(re.compile("Asking all questions for the summary"))).to_be_visible()
    expect(here.page.get_by_role("button", name="Stop")).to_be_visible()
    with here.page.expect_download(timeout=240_000) as waiting:
        here.page.get_by_role("button", name="Save the summary").click(timeout=240_000)
    assert waiting.value.suggested_filename == "astronaut_why-without_football-helmet-go-kart_gap.html"
    summary = waiting.value.path().read_text(encoding="utf-8")
    assert "<h2>Why football helmet and not go-kart</h2>" in summary
