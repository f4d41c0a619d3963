"""Poolings as a person uses it: some side by side, a slider that acts while it is dragged, two compared, a path."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from explorer import POOLINGS, analyse
from explorer.poolings import parse_pooling
from explorer.wording import percent, plain, signed
from tests.browser.conftest import SlowWire
from tests.browser.painting import painted

ATTENTION = ".st-key-slider_2_attention input"


@pytest.fixture(scope="module")
def analysis(network, examples):
    return analyse(network, examples["coffee"])


@pytest.fixture
def here(visit, analysis):
    opened = visit().go("/Poolings", example="coffee")
    opened.viewer(analysis, "evidence").wait_for_photo()
    return opened


def expected(outcome) -> list[tuple[str, str]]:
    return [(answer.name, percent(answer.probability)) for answer in outcome.top(5, True)]


def columns(analysis, *spellings: str) -> dict[str, list[tuple[str, str]]]:
    outcomes = [analysis.under(key, **parameters) for key, parameters in map(parse_pooling, spellings)]
    return {outcome.name: expected(outcome) for outcome in outcomes}


def titles(here, key: str) -> list[str]:
    return here.find(f".st-key-{key} .paneHead .name").all_text_contents()


def remove(here, name: str) -> None:
    tag = here.page.get_by_test_id("stMultiSelect").locator("[data-tag], [data-baseweb=tag]").filter(has_text=name)
    tag.locator("svg, button").last.click()


def add(here, name: str) -> None:
    box = here.page.get_by_test_id("stMultiSelect").get_by_role("combobox")
    box.fill(name)
    here.page.get_by_role("option", name=name).first.click()
    here.page.keyboard.press("Escape")


# Side by side.


def test_three_poolings_stand_side_by_side_with_their_answers_maps_and_formulas(here, analysis):
    here.eventually(here.answers, columns(analysis, "gap", "gmp", "attention"))
    for key in ("looks", "evidence"):
        assert titles(here, key) == ["GAP", "GMP", "Attention, t = 0.1"]
    firsts = {outcome.top(1)[0].name for outcome in map(analysis.under, ("gap", "gmp", "attention"))}
    assert firsts == {"espresso"}
    expect(here.find(".headline h1")).to_have_text("They agree on espresso.")
    expect(here.find(".method h3")).to_have_text(["GAP", "GMP", "Attention"])
    expect(here.find(".katex-display")).to_have_count(3)
    expect(here.page).to_have_title("Poolings · PoolScope")


def test_the_maps_of_a_row_stand_on_one_scale_and_each_is_painted_by_its_own_evidence(here, analysis, examples):
    class_index = analysis.under().top(1)[0].class_index
    cells = [analysis.under(key).evidence(class_index).cells.double().numpy() for key in ("gap", "gmp", "attention")]
    factors = [analysis.under(key).multiplier or 1 for key in ("gap", "gmp", "attention")]
    calibrated = [item * factor for item, factor in zip(cells, factors, strict=True)]
    limit = max(np.abs(item).max() for item in calibrated)
    view = here.viewer(analysis, "evidence")
    assert view.ends == [signed(-limit), signed(limit), "calibrated logits"]
    for pane, item in enumerate(calibrated):
        grounds = view.grounds(examples["coffee"], pane)
        goal = [[painted(grounds[i, j], item[i, j], limit) for j in range(7)] for i in range(7)]
        np.testing.assert_allclose(view.patches(pane), goal, atol=10)
    notes = view.find(".note").all_text_contents()
    assert [re.match(r"logit (\S+)", note)[1] for note in notes] == [
        plain(analysis.under(key).evidence(class_index).logit) for key in ("gap", "gmp", "attention")]


def test_one_set_of_tools_is_obeyed_by_both_rows(here, analysis):
    looks, evidence = here.viewer(analysis, "looks"), here.viewer(analysis, "evidence")
    before = looks.pixels(1)
    with here.without_a_frame():
        evidence.slide("Opacity", 20)
        assert (looks.pixels(1) != before).any()
        evidence.slide("Opacity", 85)
        assert (looks.pixels(1) == before).all()
    expect(looks.find(".tools button")).to_have_count(0)


def test_poolings_are_added_and_taken_away_two_to_four_of_them(here, analysis):
    add(here, "GeM, p = 3")
    here.leads_to(poolings="gap,gmp,attention,gem")
    here.eventually(here.answers, columns(analysis, "gap", "gmp", "attention", "gem"))
    here.settle(here.find(".answers"))
    remove(here, "GMP")
    here.leads_to(poolings="gap,attention,gem")
    here.eventually(lambda: titles(here, "looks"), ["GAP", "Attention, t = 0.1", "GeM, p = 3"])
    remove(here, "Attention")
    here.leads_to(poolings="gap,gem")
    here.eventually(here.answers, columns(analysis, "gap", "gem"))
    here.settle(here.find(".answers"))
    remove(here, "GeM")
    here.eventually(here.notices, ["Two to four poolings stand side by side; the last ones stay."])
    here.leads_to(poolings="gap,gem")
    here.eventually(lambda: titles(here, "looks"), ["GAP", "GeM, p = 3"])
    link = here.link
    here.go("/Poolings", **link)
    here.eventually(here.answers, columns(analysis, "gap", "gem"))


def test_a_click_on_a_page_that_has_not_heard_that_a_pooling_is_gone_breaks_nothing(visit, analysis):
    here = visit()
    wire = SlowWire(here.page)
    here.go("/Poolings", example="coffee", poolings="gap,gmp,attention,gem")
    with wire.answers_held_back():
        remove(here, "GMP")
        wire.wait_for_answer()
        here.find(".answers .column").first.locator(".answer").nth(1).click()
    second = analysis.under().top(2)[1]
    here.leads_to(poolings="gap,attention,gem", **{"class": str(second.class_index)})
    here.settle(here.find(".differences"))
    here.eventually(lambda: titles(here, "looks"), ["GAP", "Attention, t = 0.1", "GeM, p = 3"])


def test_an_answer_shows_its_class_under_all_of_them(here, analysis):
    second = analysis.under("gmp").top(2)[1]
    here.find(".answers .column").nth(1).locator(".answer").nth(1).click()
    here.leads_to(**{"class": str(second.class_index)})
    expect(here.find(".st-key-evidence h3").first).to_have_text(f"Evidence for {second.name}")
    expect(here.find(".differences h3")).to_contain_text(second.name)


# The slider.


def slide_to(here, selector: str, part: float) -> None:
    """Press on the slider's thumb and move it, without letting go."""
    slider = here.find(selector)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    share = slider.evaluate("(input) => input.value / input.max")
    at = lambda part: box["x"] + 8 + part * (box["width"] - 16)  # noqa: E731
    here.page.mouse.move(at(share), box["y"] + box["height"] / 2)
    here.page.mouse.down()
    here.page.mouse.move(at(share + (part - share) / 2), box["y"] + box["height"] / 2)
    here.page.mouse.move(at(part), box["y"] + box["height"] / 2)


def chosen_attention(here) -> float:
    spelling = here.link.get("poolings", "gap,gmp,attention").rpartition(",")[2]
    return parse_pooling(spelling)[1].get("t", 0.1)


def test_the_slider_acts_while_it_is_dragged(here, analysis):
    output = here.find(".st-key-slider_2_attention output")
    expect(output).to_have_text("0.1")
    before = here.answers()
    slide_to(here, ATTENTION, 0.9)
    try:
        here.eventually(lambda: "poolings" in here.link, True)
        here.eventually(lambda: chosen_attention(here) == float(output.text_content()), True)
        value = chosen_attention(here)
        assert value > 0.5, "it is held far to the right"
        here.eventually(here.answers, columns(analysis, "gap", "gmp", f"attention:t={value:g}"))
        assert here.answers() != before
        assert titles(here, "looks")[2] == f"Attention, t = {value:g}"
        box = here.find(ATTENTION).bounding_box()
        here.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 5)
        here.eventually(lambda: 0.1 < chosen_attention(here) < 0.5, True)
    finally:
        here.page.mouse.up()
    here.settle(here.find(".answers"))
    value = float(output.text_content())
    here.eventually(here.answers, columns(analysis, "gap", "gmp", f"attention:t={value:g}"))
    assert chosen_attention(here) == value
    link = here.link
    here.go("/Poolings", **link)
    expect(output).to_have_text(f"{value:g}")
    here.eventually(here.answers, columns(analysis, "gap", "gmp", f"attention:t={value:g}"))


def test_the_slider_goes_by_keyboard_too_and_keeps_the_focus(here, analysis):
    slider = here.find(ATTENTION)
    slider.focus()
    for _ in range(3):
        here.page.keyboard.press("ArrowRight")
    here.eventually(lambda: chosen_attention(here) > 0.1, True)
    here.settle(here.find(".answers"))
    first = chosen_attention(here)
    assert here.find(".st-key-slider_2_attention output").text_content() == f"{first:g}"
    here.page.keyboard.press("End")
    here.eventually(lambda: chosen_attention(here), POOLINGS["attention"].parameter.usual[1])
    here.settle(here.find(".answers"))
    assert slider.evaluate("(input) => input.getRootNode().activeElement === input")
    assert slider.get_attribute("aria-valuetext") == "t = 2"
    assert "Attention" in slider.get_attribute("aria-label")


def test_where_the_slider_is_let_go_is_what_counts_even_when_an_older_answer_comes_then(visit, analysis):
    here = visit()
    wire = SlowWire(here.page)
    here.go("/Poolings", example="coffee")
    with wire.answers_held_back():
        slide_to(here, ATTENTION, 0.6)
        wire.wait_for_answer()
        box = here.find(ATTENTION).bounding_box()
        here.page.mouse.move(box["x"] + 0.95 * box["width"], box["y"] + 5)
        let_go = float(here.find(".st-key-slider_2_attention output").text_content())
        here.page.mouse.up()
    assert let_go > 1
    here.eventually(lambda: chosen_attention(here), let_go)
    here.settle(here.find(".answers"))
    expect(here.find(".st-key-slider_2_attention output")).to_have_text(f"{let_go:g}")
    here.eventually(here.answers, columns(analysis, "gap", "gmp", f"attention:t={let_go:g}"))


# Two compared.


def test_a_point_of_the_scatter_opens_its_channels_card(here, analysis):
    pooled = analysis.under().pooled.double().numpy()
    channel = int(pooled.argmax())
    point = here.find(".st-key-scatter .scatterlayer .trace").nth(1).locator("path.point").nth(channel)
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    here.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(here.find(".st-key-scatter .hoverlayer")).to_contain_text(f"channel {channel}")
    here.page.mouse.down()
    here.page.mouse.up()
    here.leads_to(channel=str(channel))
    card = here.find(".channelCard")
    expect(card.locator("h3")).to_have_text(f"Channel {channel}")
    expect(card).to_contain_text(plain(pooled[channel]))


def test_the_channels_on_which_two_poolings_differ_most_are_listed_and_open_their_cards(here, analysis):
    class_index = analysis.under().top(1)[0].class_index

    def differences(one: str, other: str) -> tuple[list[str], list[str]]:
        a, b = (analysis.under(key).evidence(class_index).channels.double().numpy() for key in (one, other))
        largest = np.argsort(-np.abs(a - b), kind="stable")[:8]
        return [f"channel {item}" for item in largest], [signed((a - b)[item]) for item in largest]

    def listed() -> tuple[list[str], list[str]]:
        return (here.find(".differences tbody th").all_text_contents(),
                here.find(".differences td strong").all_text_contents())

    here.eventually(listed, differences("gap", "gmp"))
    here.choose("with", "Attention, t = 0.1")
    here.leads_to(pair="0,2")
    here.eventually(listed, differences("gap", "attention"))
    here.eventually(lambda: here.find(".st-key-scatter .ytitle").all_text_contents(),
                    ["pooled value under Attention, t = 0.1"])
    here.settle(here.find(".differences"))
    here.choose("Compare", "Attention, t = 0.1")
    here.leads_to(pair="2,0")
    here.eventually(listed, differences("attention", "gap"))
    first = differences("attention", "gap")[0][0].removeprefix("channel ")
    here.find(".differences button").first.click()
    here.leads_to(channel=first)
    expect(here.find(".channelCard h3")).to_have_text(f"Channel {first}")


def test_the_path_follows_another_poolings_parameter_and_says_where_it_is(here, analysis):
    figure = here.find(".st-key-path_figure")
    here.eventually(lambda: figure.locator(".xtitle").all_text_contents(), ["p"])
    expect(figure.locator(".legendtext").first).to_have_text("espresso")
    here.page.get_by_role("radio", name="Attention: t").click()
    here.leads_to(path="attention")
    here.eventually(lambda: figure.locator(".xtitle").all_text_contents(), ["t"])
    expect(figure).to_contain_text("few positions")
    expect(figure).to_contain_text("near GAP")
    expect(here.find(".st-key-path_note .note")).to_contain_text(POOLINGS["attention"].parameter.explanation)
    link = here.link
    here.go("/Poolings", **link)
    expect(here.page.get_by_role("radio", name="Attention: t")).to_be_checked()


def test_hostile_and_mistaken_links_are_sentences_and_a_page_that_works(visit, analysis):
    here = visit().go("/Poolings", example="coffee", poolings="gap,<b>median</b>", pair="3,3", path="gap",
                      channel="99999", region="a")
    here.eventually(lambda: len(here.notices()) >= 4, True)
    assert any("<b>median</b>" in notice for notice in here.notices())
    here.eventually(here.answers, columns(analysis, "gap", "gmp", "attention"))
    expect(here.find(".channelCard")).to_have_count(0)
