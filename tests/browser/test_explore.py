"""Explore in a browser: what a person clicks, and what follows."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from explorer import analyse
from explorer.ui.session.session import EXAMPLES
from explorer.wording import percent, plain
from tests.browser.canvas import canvas, drawn
from tests.browser.conftest import SlowWire
from tests.browser.uploads import encode

ESPRESSO, TENCH = 967, 0


def expected(outcome, calibrated: bool = True) -> list[tuple[str, str]]:
    return [(answer.name, percent(answer.probability)) for answer in outcome.top(5, calibrated)]


def columns(analysis, third: str = "attention", calibrated: bool = True) -> dict[str, list[tuple[str, str]]]:
    return {item.name: expected(item, calibrated) for item in map(analysis.under, ("gap", "gmp", third))}


def account(outcome, class_index: int) -> re.Pattern:
    return re.compile(f"^logit {plain(outcome.evidence(class_index).logit)} = ")


def test_the_page_opens_with_the_answers_of_the_package_in_three_columns(visit, network, examples):
    here = visit().go()
    analysis = analyse(network, examples["astronaut"])
    top = analysis.under().top(1)[0]
    here.eventually(here.answers, columns(analysis))
    expect(here.find(".headline h1")).to_have_text(f"Prediction: {top.name}, {percent(top.probability)}.")
    expect(here.find(".viewer .lines")).to_have_text(account(analysis.under(), top.class_index))
    expect(here.page).to_have_title("Explore · PoolScope")
    here.leads_to(example="astronaut", pooling="gap", framing="crop", size="224", **{"class": str(top.class_index)})


def test_a_click_on_an_answer_under_gmp_shows_its_evidence_under_gmp(visit, network, examples):
    here = visit().go()
    outcome = analyse(network, examples["astronaut"]).under("gmp")
    second = outcome.top(2)[1]
    before = drawn(here)
    button = here.find(".answers .column").nth(1).locator(".answer").nth(1)
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    here.leads_to(pooling="gmp", **{"class": str(second.class_index)})
    expect(here.find(".viewer .lines")).to_have_text(account(outcome, second.class_index))
    named = re.compile(f"^Evidence for {re.escape(second.name)} under GMP")
    expect(canvas(here)).to_have_attribute("aria-label", named)
    here.eventually(lambda: drawn(here) != before, True)
    expect(here.find(".answer[aria-pressed=true]")).to_have_count(1)
    expect(here.find(".answers .column").nth(1).locator(".answer").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(here.selectbox("Pooling")).to_have_value("GMP")
    assert here.find(".title select").evaluate_all("(all) => all.map((each) => each.value)") == [second.name, "GMP"]
    tiles = here.find(".tile strong").all_text_contents()
    assert [int(text) for text in tiles[::2]] == outcome.evidence(second.class_index).channels.topk(6).indices.tolist()


def test_a_click_on_a_page_that_has_not_heard_of_the_last_one_undoes_nothing(visit, network, examples):
    here = visit()
    wire = SlowWire(here.page)
    here.go()
    with wire.answers_held_back():
        here.find('.examples button[data-key="coffee"]').click()
        wire.wait_for_answer()
        here.page.get_by_role("radio", name="whole").click()
    analysis = analyse(network, examples["coffee"], "whole")
    here.eventually(here.answers, columns(analysis))
    here.leads_to(example="coffee", framing="whole", pooling="gap", **{"class": str(ESPRESSO)})
    here.settle(here.find(".answers"))
    with wire.answers_held_back():
        here.find(".answers .column").nth(1).locator(".answer").nth(1).click()
        wire.wait_for_answer()
        here.page.get_by_role("radio", name="squash").click()
    second = analysis.under("gmp").top(2)[1]
    here.eventually(here.answers, columns(analyse(network, examples["coffee"], "squash")))
    here.leads_to(framing="squash", pooling="gmp", **{"class": str(second.class_index)})
    here.settle(here.find(".answers"))
    link = here.link
    with wire.answers_held_back():
        here.find(".answers .column").nth(2).locator(".answer").nth(2).click()
        wire.wait_for_answer()
        here.find(f'.answer[data-key="gmp-{second.class_index}"]').click()
    here.page.wait_for_timeout(500)
    here.settle(here.find(f'.answer[data-key="gmp-{second.class_index}"][aria-pressed=true]'))
    here.leads_to(**link)
    idle = {"cat": here.page.get_by_role("radio", name="squash"), "rocket": here.page.get_by_text("Use the camera")}
    for example, idle_click in idle.items():
        with wire.answers_held_back():
            here.find(f'.examples button[data-key="{example}"]').click()
            wire.wait_for_answer()
            idle_click.click()
        here.page.wait_for_timeout(500)  # time enough for the second click to undo the first
        here.eventually(here.answers, columns(analyse(network, examples[example], "squash")))
        here.settle(here.find(".answers"))
        here.leads_to(example=example, framing="squash", pooling="gmp")


def test_any_class_is_found_by_typing_its_name(visit, network, examples):
    here = visit().go(example="coffee")
    here.search("tench")
    here.leads_to(pooling="gap", **{"class": str(TENCH)})
    expect(here.find(".viewer .lines")).to_have_text(account(analyse(network, examples["coffee"]).under(), TENCH))
    expect(here.find(".headline .lead")).to_contain_text("tench")
    expect(here.find(".answer[aria-pressed=true]")).to_have_count(0)


def test_the_search_shows_the_class_that_is_shown_and_lists_classes_with_probability_and_rank(visit, network, examples):
    here = visit().go(example="coffee")
    here.search("tench")
    here.leads_to(**{"class": str(TENCH)})
    here.settle(here.find(".answers"))
    here.find(".answer").first.click()
    here.leads_to(**{"class": str(ESPRESSO)})
    field = here.page.get_by_role("combobox", name="Class to explain")
    expect(field).to_have_value("espresso")
    field.click()
    listed = here.page.get_by_role("listbox").get_by_role("option")
    expect(listed).to_have_text([f"{answer.name}{percent(answer.probability)} · rank {answer.rank}"
                                 for answer in analyse(network, examples["coffee"]).under().top(8)])
    field.fill("no such class")
    expect(here.page.get_by_role("listbox")).to_contain_text("No class is called “no such class”.")
    field.press("Escape")
    expect(field).to_have_value("espresso")
    here.search("tench")
    here.leads_to(**{"class": str(TENCH)})


def test_an_emptied_search_for_the_true_class_clears_it(visit):
    here, label = visit().go(example="coffee"), "True class, where you know it"
    here.search("tench", label)
    here.leads_to(truth=str(TENCH))
    field = here.page.get_by_role("combobox", name=label)
    field.fill("")
    field.press("Enter")
    here.eventually(lambda: "truth" in here.link, False)
    expect(field).to_have_value("")
    here.search("tench", label)
    here.leads_to(truth=str(TENCH))
    field.fill("")
    field.press("Tab")
    here.eventually(lambda: "truth" in here.link, False)


def test_another_pooling_takes_the_third_column(visit, network, examples):
    here = visit().go(example="coffee")
    here.choose("Pooling", "LSE, r = 3")
    analysis = analyse(network, examples["coffee"])
    here.leads_to(pooling="lse")
    here.eventually(here.answers, columns(analysis, "lse"))
    expect(here.find(".viewer .lines")).to_have_text(account(analysis.under("lse"), ESPRESSO))
    expect(here.find(".viewer .lines .badge")).to_contain_text("integrated, residual")


def test_the_whole_photo_is_framed_analysed_and_shown(visit, network, examples):
    here = visit().go(example="rocket")
    here.page.get_by_role("button", name="whole").or_(here.page.get_by_role("radio", name="whole")).click()
    analysis = analyse(network, examples["rocket"], "whole")
    here.leads_to(framing="whole")
    here.eventually(here.answers, columns(analysis))
    rows, across = analysis.framing.grid
    expect(here.find(".viewer .readout")).to_contain_text(f"1,280 × {rows} × {across}")


def test_raw_probabilities_are_one_switch_away(visit, network, examples):
    here = visit().go(example="cat")
    here.page.get_by_test_id("stCheckbox").filter(has_text="Calibrated what-ifs").locator("label").click()
    here.leads_to(calibrated="0")
    here.eventually(here.answers, columns(analyse(network, examples["cat"]), calibrated=False))


def test_each_example_is_one_click_away(visit, network, examples):
    here = visit().go()
    for name, words in list(EXAMPLES.items())[::-1]:
        here.find(f'.examples button[data-key="{name}"]').click()
        here.leads_to(example=name)
        here.eventually(here.answers, columns(analyse(network, examples[name])))
        expect(here.find(".examples button[aria-pressed=true]")).to_have_attribute("title", words)
        assert here.notices() == []


# Links, pages, sessions.


def test_a_deep_link_shows_the_same_page_to_someone_else(visit, network, examples):
    one = visit().go(example="cat_and_coffee", framing="whole", size="256")
    one.find(".answers .column").nth(1).locator(".answer").nth(2).click()
    third = analyse(network, examples["cat_and_coffee"], "whole", 256).under("gmp").top(3)[2]
    one.leads_to(pooling="gmp", **{"class": str(third.class_index)})
    expect(one.find(".answer[aria-pressed=true]")).to_contain_text(third.name)
    other = visit().go(**one.link)
    other.eventually(other.answers, one.answers())
    for part in (".headline", ".viewer .lines", ".viewer .readout", ".channels"):
        expect(other.find(part)).to_have_text(one.find(part).text_content())
    other.eventually(lambda: drawn(other), drawn(one))
    assert other.link == one.link


def test_a_deep_link_to_method_leads_on_to_explore_with_what_it_chose(visit, network, examples):
    here = visit().go("/Method", example="coffee", pooling="gmp", framing="squash", **{"class": str(TENCH)})
    expect(here.find(".method h3").first).to_have_text("GAP")
    here.change_page("Explore")
    analysis = analyse(network, examples["coffee"], "squash")
    here.leads_to(example="coffee", pooling="gmp", framing="squash", **{"class": str(TENCH)})
    here.eventually(here.answers, columns(analysis))
    expect(here.find(".viewer .lines")).to_have_text(account(analysis.under("gmp"), TENCH))


def test_a_bad_link_is_one_sentence_and_a_page_that_works(visit, network, examples):
    here = visit()
    for link in ({"pooling": "median"}, {"class": "5000"}, {"example": "../../etc/passwd"}, {"photo": "0123456789ab"},
                 {"example": "<img src=x onerror=alert(1)>"}):
        here.go(**link)
        here.eventually(lambda: len(here.notices()), 1)
        here.eventually(here.answers, columns(analyse(network, examples["astronaut"])))
    assert "<img src=x onerror=alert(1)>" in here.notices()[0]
    assert here.find("img[src=x], [onerror]").count() == 0
    here.find(".answer").nth(6).click()
    here.leads_to(pooling="gmp")
    expect(here.find(".notice")).to_have_count(0)


def test_back_and_forward_step_through_what_was_shown(visit, network, examples):
    here = visit().go()
    analysis = analyse(network, examples["astronaut"])
    first, second = analysis.under().top(1)[0], analysis.under("gmp").top(2)[1]
    here.find(".answers .column").nth(1).locator(".answer").nth(1).click()
    expect(here.find(".viewer .lines")).to_have_text(account(analysis.under("gmp"), second.class_index))
    here.find('.examples button[data-key="coffee"]').click()
    expect(here.find(".headline h1")).to_contain_text("espresso")
    here.page.go_back()
    here.leads_to(example="astronaut", pooling="gmp", **{"class": str(second.class_index)})
    expect(here.find(".viewer .lines")).to_have_text(account(analysis.under("gmp"), second.class_index))
    here.page.go_back()
    here.leads_to(example="astronaut", pooling="gap", **{"class": str(first.class_index)})
    expect(here.find(".viewer .lines")).to_have_text(account(analysis.under(), first.class_index))
    here.page.go_forward()
    here.leads_to(example="astronaut", pooling="gmp", **{"class": str(second.class_index)})
    expect(here.find(".viewer .lines")).to_have_text(account(analysis.under("gmp"), second.class_index))


def test_back_from_an_example_returns_to_the_own_photo(visit, network, examples):
    here = visit().go()
    photo = examples["cat"].rotate(180)
    here.upload("cat.png", encode(photo))
    here.eventually(here.answers, columns(analyse(network, photo)))
    here.find('.examples button[data-key="coffee"]').click()
    here.leads_to(example="coffee")
    expect(here.find(".headline h1")).to_contain_text("espresso")
    here.page.go_back()
    here.eventually(here.answers, columns(analyse(network, photo)))
    expect(here.find(".examples button[aria-pressed=true]")).to_have_count(0)
    assert here.notices() == []


def test_photo_and_choices_survive_a_page_change(visit, examples):
    here = visit().go()
    here.upload("cat.png", encode(examples["cat"].rotate(180)))
    expect(here.find(".examples button[aria-pressed=true]")).to_have_count(0)
    here.choose("Pooling", "GMP")
    here.search("espresso")
    here.leads_to(pooling="gmp", **{"class": str(ESPRESSO)})
    expect(canvas(here)).to_have_attribute("aria-label", re.compile("^Evidence for espresso under GMP"))
    here.settle(here.find(".answers"))
    link, picture, shown = here.link, drawn(here), here.answers()
    here.change_page("Method").change_page("Explore")
    here.eventually(lambda: drawn(here), picture)
    assert here.answers() == shown
    assert here.link == link
    assert here.notices() == []


def test_two_people_do_not_disturb_each_other(visit, network, examples):
    one, other = visit().go(example="cat"), visit().go(example="coffee", pooling="gmp")
    photo = examples["rocket"].rotate(180)
    one.upload("mine.png", encode(photo))
    other.search("tench")
    one.find(".answers .column").nth(2).locator(".answer").first.click()
    one.leads_to(pooling="attention")
    other.leads_to(example="coffee", pooling="gmp", **{"class": str(TENCH)})
    one.eventually(one.answers, columns(analyse(network, photo)))
    other.eventually(other.answers, columns(analyse(network, examples["coffee"])))
    expect(other.find(".viewer .lines")).to_have_text(account(analyse(network, examples["coffee"]).under("gmp"), TENCH))


# Downloads.


def download(here, label: str) -> tuple[str, bytes]:
    with here.page.expect_download() as waiting:
        here.page.get_by_role("button", name=label, exact=True).click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


@pytest.mark.parametrize("path", ["/", "/Activation_maps", "/Why"])
def test_contours_that_are_drawn_by_a_key_are_in_the_overlay_that_is_kept(path, visit, network, examples):
    here, analysis = visit().go(path, example="rocket"), analyse(network, examples["rocket"])
    class_index, rival = (answer.class_index for answer in analysis.under().top(2))
    cells = analysis.under().evidence(class_index).cells
    if path == "/Why":
        cells = cells - analysis.under().evidence(rival).cells

    def is_kept(expected: Image.Image) -> bool:
        kept = Image.open(io.BytesIO(download(here, "Overlay, PNG")[1]))
        return bool(np.abs(np.asarray(kept, int) - np.asarray(expected, int)).max() <= 2)

    for view, lined in (("k1", True), (None, False)):
        here.find(".viewer").first.focus()
        here.page.keyboard.press("c")
        here.leads_to(view=view)
        here.eventually(lambda lined=lined: is_kept(analysis.overlay(cells, lined=lined)), True)


def test_overlay_arrays_and_numbers_can_be_kept(visit, network, examples):
    here = visit().go(example="rocket", pooling="gmp", **{"class": str(ESPRESSO)})
    analysis = analyse(network, examples["rocket"])
    evidence = analysis.under("gmp").evidence(ESPRESSO)

    name, data = download(here, "Overlay, PNG")
    overlay = Image.open(io.BytesIO(data))
    assert name == "rocket_explore_espresso_gmp.png"
    assert (overlay.format, overlay.size) == ("PNG", examples["rocket"].size)
    assert np.abs(np.asarray(overlay, int) - np.asarray(analysis.overlay(evidence.cells), int)).max() <= 1

    name, data = download(here, "Arrays, npz")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert name == "rocket_explore_espresso_gmp.npz"
        assert arrays["feature_maps"].shape == tuple(analysis.feature_maps.shape)
        np.testing.assert_allclose(arrays["cells"], evidence.cells, atol=1e-5)

    name, data = download(here, "Live page, HTML")
    assert name == "rocket_explore_espresso_gmp.live.html"
    (about,) = re.findall(rb'id="about">(.*?)</script>', data)
    assert json.loads(about)["state"] | {"calibrated": None} == {
        "c": ESPRESSO, "pooling": "gmp", "parameter": None, "calibrated": None, "change": ""}

    name, data = download(here, "Numbers, JSON")
    numbers = json.loads(data)
    assert name == "rocket_explore_espresso_gmp.json"
    assert numbers["pooling"]["key"] == "gmp"
    assert numbers["class"]["logit"] == pytest.approx(evidence.logit, abs=1e-4)
