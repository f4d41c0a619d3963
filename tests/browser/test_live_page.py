"""Live pages opened from a disk, in a browser that is not connected to anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import torch
from playwright.sync_api import Page, Route, expect

from explorer import analyse
from explorer.analysis import Analysis
from explorer.live.page import live_page
from explorer.wording import evidence_sentence, percent, plain
from tests.browser.test_access import AXE, RUN_AXE, SMALL

PHOTOS = ("astronaut", "cat", "coffee")
RETRIEVER, ESPRESSO = 207, 967
HOSTILE = "</script><img src=x onerror=alert(1)><b>& \"'"


class LivePage:
    """A page from a disk, and what no page may do: errors, requests, dialogs."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page, self.file, self.trouble = page, file, []
        page.on("console", lambda message: self.trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("dialog", lambda dialog: (self.trouble.append(dialog.message), dialog.dismiss()))
        page.route("**/*", self._answer)
        page.context.set_offline(True)

    def _answer(self, route: Route) -> None:
        if urlsplit(route.request.url)._replace(fragment="").geturl() == self.file.as_uri():
            route.continue_()
        else:
            self.trouble.append(route.request.url)
            route.abort()

    def go(self, link: str = "") -> LivePage:
        self.page.goto(f"{self.file.as_uri()}{link}")
        return self.settle()

    def settle(self) -> LivePage:
        expect(self.page.locator("#panel .answers td").first).to_be_visible()
        return self

    @property
    def link(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.page.url).fragment))

    def leads_to(self, **expected: str) -> None:
        self.page.wait_for_function(
            """(expected) => {
              const link = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
              return Object.keys({ ...link, ...expected }).every((name) => link[name] === expected[name]);
            }""", arg=expected)

    @property
    def answers(self) -> list[tuple[str, str, str]]:
        """Name, probability and logit of the best five."""
        rows = self.page.locator("#panel .answers tbody tr").evaluate_all(
            "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))")
        return [(name, probability, logit) for _, name, _, probability, logit in rows[:5]]

    @property
    def photo(self) -> str:
        return self.page.locator("#photo").text_content()

    def choose_pooling(self, name: str) -> None:
        self.page.get_by_label("Pooling", exact=True).select_option(label=name)


def by_python(analysis: Analysis, pooling: str = "gap", calibrated: bool = True) -> list[tuple[str, str, str]]:
    outcome = analysis.under(pooling)
    return [(answer.name, percent(answer.probability), plain(answer.logit)) for answer in outcome.top(5, calibrated)]


@pytest.fixture(scope="module")
def analyses(network, examples):
    return [analyse(network, examples[name]) for name in PHOTOS]


@pytest.fixture(scope="module")
def files(analyses, make_network, examples, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("live pages")
    hostile = replace(make_network(classes=2), title=HOSTILE, class_names=(HOSTILE, HOSTILE + "2"))
    head = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.GELU(), torch.nn.Linear(8, 30))
    texts = {
        "one": live_page(analyses[:1], ["astronaut.jpg"]),
        "three": live_page(analyses, PHOTOS),
        "bare": live_page(analyses[:1], ["astronaut.jpg"], photos=False),
        "hostile": live_page([analyse(hostile, examples["cat"])] * 2, [HOSTILE, HOSTILE]),
        "bent": live_page([analyse(make_network(head, classes=30), examples["cat"])], ["cat.jpg"]),
    }
    for name, text in texts.items():
        (folder / f"{name} & more.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name} & more.html" for name in texts}


@pytest.fixture
def visit(windows, files) -> Iterator[Callable[..., LivePage]]:
    """`visit("one")`: a page in a window of its own, watched until the test ends."""
    with watched(windows, files) as open_page:
        yield open_page


@contextmanager
def watched(windows, files) -> Iterator[Callable[..., LivePage]]:
    opened: list[LivePage] = []

    def open_page(name: str, link: str = "", width: int = 1280, height: int = 800, theme: str = "light") -> LivePage:
        page = windows.open(width, height, theme, 1, False)
        opened.append(LivePage(page, files[name]))
        return opened[-1].go(link)

    try:
        yield open_page
        assert [trouble for here in opened for trouble in here.trouble] == []
    finally:
        for here in opened:
            here.page.context.set_offline(False)
            here.page.close()


def test_from_a_disk_and_unconnected_it_prints_the_numbers_of_python(visit, analyses):
    here = visit("one")
    assert here.answers == by_python(analyses[0])
    expect(here.page.locator("#panel .words .says")).to_have_text("Prediction: football helmet, 17%.")
    cells = analyses[0].under().evidence(here_class(here, analyses[0])).cells.numpy()
    assert here.page.locator("#panel .lead").text_content() == evidence_sentence(cells, "football helmet")
    here.choose_pooling("GMP")
    expect(here.page.locator("#panel .answers td").nth(1)).to_have_text(by_python(analyses[0], "gmp")[0][0])
    assert here.answers == by_python(analyses[0], "gmp")


def here_class(here: LivePage, analysis: Analysis) -> int:
    return analysis.network.class_names.index(here.answers[0][0])


def test_arrows_and_clicks_turn_to_other_photos_whose_numbers_are_pythons(visit, analyses):
    here = visit("three")
    strip = here.page.locator("#strip button")
    expect(strip).to_have_count(3)
    for key, place in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowDown", 2), ("ArrowUp", 1)):
        here.page.keyboard.press(key)
        expect(here.page.locator("#photo")).to_have_text(PHOTOS[place])
        expect(strip.nth(place)).to_have_attribute("aria-current", "true")
        assert here.page.locator("#strip [aria-current]").count() == 1
        assert here.answers == by_python(analyses[place])
    strip.nth(0).click()
    expect(here.page.locator("#photo")).to_have_text(PHOTOS[0])
    assert here.answers == by_python(analyses[0])


def test_one_photo_has_no_strip_and_arrows_scroll_the_page(visit):
    here = visit("one")
    expect(here.page.locator("#strip")).to_be_hidden()
    here.page.keyboard.press("ArrowDown")
    here.page.wait_for_function("() => scrollY > 0")


def test_what_is_chosen_is_in_the_link_and_survives_a_reload(visit, analyses):
    here = visit("three", "#photo=3")
    assert here.photo == "coffee"
    here.choose_pooling("GMP")
    here.leads_to(photo="3", pooling="gmp")
    here.page.reload()
    here.settle()
    assert here.photo == "coffee"
    assert here.answers == by_python(analyses[2], "gmp")
    assert here.link == {"photo": "3", "pooling": "gmp"}


def test_a_link_brings_class_pooling_parameter_and_change(visit, analyses, network):
    here = visit("one", f"#class={RETRIEVER}&pooling=gem:p=4&calibrated=0&change=k12x0_p3.4")
    expect(here.page.locator("#panel .lead")).to_contain_text("golden retriever under GeM, p = 4")
    expect(here.page.locator("#panel .took")).to_contain_text("1 channel muted, 1 position ignored")
    expected = analyses[0].under("gem", p=4).answer(RETRIEVER)
    expect(here.page.locator("#panel .took")).to_contain_text(f"{plain(expected.logit)} before")


def test_another_link_typed_over_this_one_is_followed(visit):
    here = visit("three")
    here.page.evaluate("location.hash = '#photo=2&pooling=gmp'")
    expect(here.page.locator("#photo")).to_have_text("cat")
    expect(here.page.get_by_label("Pooling", exact=True)).to_have_value("gmp")


def test_a_link_that_asks_for_what_there_is_not_shows_the_usual(visit, analyses):
    here = visit("three", "#photo=9&class=99999&pooling=gem:p=-7&change=<b>&view=zz9&theme=pink&calibrated=x")
    assert here.photo == "astronaut"
    assert {name for name, _, _ in here.answers} & {"football helmet"}


def test_how_maps_are_shown_is_in_the_link_too(visit):
    here = visit("one")
    here.page.get_by_role("button", name="Smooth").click()
    here.leads_to(view="s1")
    here.page.reload()
    here.settle()
    expect(here.page.get_by_role("button", name="Smooth")).to_have_attribute("aria-pressed", "true")


def test_muted_channels_go_along_to_the_next_photo_and_ignored_positions_do_not(visit):
    here = visit("three", "#change=k684x0_p3.4")
    here.page.keyboard.press("ArrowDown")
    expect(here.page.locator("#photo")).to_have_text("cat")
    expect(here.page.locator("#panel .took")).to_contain_text("1 channel muted. Before")
    here.leads_to(photo="2", change="k684x0")


def test_without_the_photo_the_page_says_so_and_maps_lie_on_grey(visit, analyses):
    here = visit("bare")
    expect(here.page.locator("#notice")).to_have_text(
        "The photo was left out of this page; its maps lie on grey of its size, 512 × 512 px.")
    assert here.answers == by_python(analyses[0])
    here.page.wait_for_function("""() => {
      const canvas = document.querySelector("#panel canvas"), { width, height } = canvas;
      const [r, g, b, a] = canvas.getContext("2d").getImageData(width / 2, 3, 1, 1).data;
      return a === 255 && r === g && g === b;
    }""")


def test_hostile_names_stay_text(visit):
    here = visit("hostile")
    assert here.photo == HOSTILE
    here.page.keyboard.press("ArrowDown")
    here.page.keyboard.press("?")
    here.choose_pooling("GMP")
    here.leads_to(photo="2", pooling="gmp")
    assert HOSTILE in here.page.locator("#panel .answers").text_content()
    assert here.page.locator("b, img[src='x'], script:not([type]) ~ script").count() == 0


def test_a_head_that_is_not_affine_says_how_exact_its_numbers_are(visit):
    here = visit("bent")
    expect(here.page.locator("#exactness")).to_contain_text("classes are at hand, and after a change their logits are")
    exact = visit("one").page.locator("#exactness")
    expect(exact).to_contain_text(re.compile(r"no logit of this photo is further off than 0\.000\d\."))


def test_the_theme_follows_the_system_until_it_is_turned(visit):
    here = visit("one", theme="dark")
    paper = "() => getComputedStyle(document.body).backgroundColor"
    assert here.page.evaluate(paper) == "rgb(22, 24, 27)"
    here.page.get_by_role("button", name="Light").click()
    assert here.page.evaluate(paper) == "rgb(255, 255, 255)"
    here.leads_to(theme="light")
    here.page.reload()
    here.settle()
    assert here.page.evaluate(paper) == "rgb(255, 255, 255)"
    here.page.get_by_role("button", name="Dark").click()
    here.page.wait_for_function("() => !location.hash")


def test_p_presents_in_larger_type_and_escape_leaves(visit):
    here = visit("three")
    says = here.page.locator("#panel .words .says")
    size = "(one) => parseFloat(getComputedStyle(one).fontSize)"
    before = says.evaluate(size)
    here.page.keyboard.press("p")
    expect(here.page.locator("footer")).to_be_hidden()
    assert says.evaluate(size) > before
    here.page.keyboard.press("PageDown")
    expect(here.page.locator("#photo")).to_have_text("cat")
    here.page.reload()
    here.settle()
    expect(here.page.locator("footer")).to_be_hidden()
    here.page.keyboard.press("Escape")
    expect(here.page.locator("footer")).to_be_visible()
    assert says.evaluate(size) == before


def test_the_recipe_can_be_kept(visit, analyses):
    here = visit("one")
    here.page.get_by_text("The recipe of this photo").click()
    text = here.page.locator("#recipe").text_content()
    assert analyses[0].network.digest in text
    with here.page.expect_download() as kept:
        here.page.get_by_role("link", name="Keep it as recipe.json").click()
    assert kept.value.suggested_filename == "recipe.json"
    assert Path(kept.value.path()).read_text(encoding="ascii") == text


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["three", "bare"])
def test_axe_finds_nothing_serious_and_headings_are_in_order(theme, name, visit):
    here = visit(name, theme=theme)
    here.page.keyboard.press("?")
    here.page.evaluate(AXE.read_text(encoding="utf-8"))
    serious = [item for item in here.page.evaluate(RUN_AXE)
               if item["impact"] in {"serious", "critical"} or item["id"] == "heading-order"]
    assert serious == []


@pytest.mark.parametrize("name", ["three", "hostile"])
def test_on_a_telephone_nothing_is_wider_than_the_screen_and_a_finger_has_24_px(name, visit):
    here = visit(name, width=390, height=844)
    assert here.page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert here.page.evaluate(SMALL) == []
