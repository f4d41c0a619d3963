"""The panel Intervene on a page: its numbers, what it costs on the wire, and that the link keeps what was changed."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from explorer import analyse
from explorer.questions.intervention import Intervention
from explorer.sections.answers import answer_sentence
from explorer.wording import plain
from tests.browser.apps.cases import HOSTILE
from tests.browser.conftest import PATIENCE, SlowWire, watched
from tests.browser.test_layout import SIDEWAYS, TOO_WIDE

CHANGE = "k12x2.5_k437x0_p3.4"
CORAL_REEF = 973
# Choose a class by its name, and read the panel two frames later: before it says anything to the server.
CHOOSE = """async (root, name) => {
  const input = root.querySelector("[role=combobox]");
  input.focus();
  input.value = name;
  input.dispatchEvent(new Event("input"));
  root.querySelector("[role=option]").dispatchEvent(new PointerEvent("pointerdown", {cancelable: true}));
  for (let n = 0; n < 2; n++) await new Promise(requestAnimationFrame);
  return [root.querySelector(".words .lead").textContent, root.querySelector(".answers").textContent];
}"""
# Change twice within the moment after which the panel says what it is.
MUTE = "(root, k) => root.getRootNode().querySelector('.intervene').intervene.panel.scale(k, 0, true)"


class Panel:
    """The panel on a page, and what it says."""

    def __init__(self, here) -> None:
        self.here, self.root = here, here.find(".intervene .live")

    def opened(self) -> Panel:
        self.here.settle(self.root.locator(".answers"))
        return self

    def expect(self, outcome, class_index: int) -> None:
        """The sentence and the numbers are those of Python."""
        expect(self.root.locator(".words .says")).to_have_text("".join(answer_sentence(outcome, True)))
        answers = (*outcome.top(5), outcome.answer(class_index))
        expected = {answer.name: plain(answer.logit) for answer in answers}
        self.here.eventually(lambda: {name: text for name, text in self.rows.items() if name in expected}, expected)

    @property
    def rows(self) -> dict[str, str]:
        """Of the answers: logit by name."""
        return dict(self.root.locator(".answers tbody tr").evaluate_all(
            "(rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText))"
            ".map((cells) => [cells[1], cells.at(-1)])"))


@pytest.fixture(scope="module")
def cat(network, examples):
    return analyse(network, examples["cat"])


@pytest.fixture(scope="module")
def tabby(cat) -> int:
    """What the network says of the cat."""
    return cat.under().top(1)[0].class_index


def test_opening_costs_the_network_once_and_what_is_done_then_does_not_send_it_again(visit, cat, tabby, network,
                                                                                      examples):
    here = visit().go(example="cat")
    assert here.wire.bytes <= 600_000
    expect(here.find(".intervene")).to_have_count(0)
    costs, before = [], here.wire.bytes

    def paid() -> int:
        nonlocal before
        before, cost = here.wire.bytes, here.wire.bytes - before
        costs.append(cost)
        return cost

    here.page.get_by_text("Change the feature maps").click()
    panel = Panel(here).opened()
    panel.expect(cat.under(), tabby)
    here.leads_to(intervene="1")
    assert 3_000_000 < paid() < 4_500_000
    panel.root.get_by_label("Mute channel").first.click()
    here.eventually(lambda: "change" in here.link, True)
    here.settle(panel.root)
    assert paid() < 10_000, "a channel is muted"
    panel.root.get_by_label("Pooling", exact=True).select_option("gmp")
    here.leads_to(pooling="gmp")
    here.settle(panel.root)
    assert paid() < 200_000, "the page has another pooling"
    here.find('.examples button[data-key="coffee"]').click()
    here.leads_to(example="coffee")
    here.settle(here.find(".answers").first)
    coffee = analyse(network, examples["coffee"])
    panel.expect(coffee.under("gmp"), coffee.under().top(1)[0].class_index)
    assert paid() < 600_000, "another photo"
    here.change_page("Feature maps")
    panel.opened().expect(coffee.under("gmp"), coffee.under().top(1)[0].class_index)
    assert paid() < 800_000, "another page"
    print(costs)


def test_a_class_is_answered_in_the_panel_before_the_server_hears_of_it_and_then_the_page_follows(visit, cat):
    here = visit().go(example="cat", intervene="1", change=CHANGE)
    panel = Panel(here).opened()
    frames = here.wire.frames
    lead, answers = panel.root.evaluate(CHOOSE, "coral reef")
    assert here.wire.frames == frames, "the server was asked, or it answered"
    changed = Intervention.parse(CHANGE).on(cat).under()
    assert "evidence for coral reef" in lead
    assert plain(changed.answer(CORAL_REEF).logit) in answers
    here.leads_to(**{"class": str(CORAL_REEF), "change": CHANGE})
    here.settle(panel.root)
    expect(here.find(".headline")).to_contain_text("coral reef")
    panel.expect(changed, CORAL_REEF)
    expect(panel.root.get_by_role("combobox", name="Class")).to_be_focused()


def test_a_reload_keeps_what_was_changed_and_back_takes_it_away(visit, cat, tabby):
    here = visit().go(example="cat", intervene="1")
    panel = Panel(here).opened()
    channel = int(cat.under().evidence(tabby).channels.abs().argmax())
    changed = Intervention({channel: 0.0}).on(cat)
    mute = panel.root.get_by_label(f"Mute channel {channel}", exact=True)
    mute.click()
    panel.expect(changed.under(), tabby)
    here.leads_to(change=f"k{channel}x0")
    here.settle(panel.root)
    expect(mute).to_be_focused()
    here.page.reload()
    panel.opened().expect(changed.under(), tabby)
    panel.root.get_by_label("Pooling", exact=True).select_option("gmp")
    here.leads_to(pooling="gmp", change=f"k{channel}x0")
    panel.expect(changed.under("gmp"), tabby)
    here.page.go_back()
    here.leads_to(pooling="gap", change=f"k{channel}x0")
    panel.expect(changed.under(), tabby)
    here.page.go_back()
    here.eventually(lambda: here.link.get("change"), None)
    panel.expect(cat.under(), tabby)
    here.page.go_forward()
    here.leads_to(change=f"k{channel}x0")
    panel.expect(changed.under(), tabby)


def test_an_answer_that_comes_late_does_not_undo_what_was_done_since(visit, cat, tabby):
    here = visit()
    wire = SlowWire(here.page)
    here.go(example="cat", intervene="1")
    panel = Panel(here).opened()
    with wire.answers_held_back():
        panel.root.evaluate(MUTE, 3)
        wire.wait_for_answer()
        panel.root.evaluate(MUTE, 40)
        here.page.wait_for_timeout(600)
    here.leads_to(change="k3x0_k40x0")
    here.settle(panel.root)
    panel.expect(Intervention({3: 0.0, 40: 0.0}).on(cat).under(), tabby)


def test_a_telephone_shows_all_of_it_without_scrolling_sideways(visit):
    here = visit(390, 844).go(example="cat", intervene="1", change=CHANGE)
    Panel(here).opened()
    assert here.page.evaluate(SIDEWAYS) == [0, 0, 0]
    assert here.page.evaluate(TOO_WIDE) == []


@pytest.fixture
def tiny(windows, instruments):
    """The panel of three channels of 2 x 2 positions, on a page of its own."""
    with watched(windows, instruments) as open_window:
        here = open_window()
        here.page.goto(f"{here.home}/?case=live")
        panel = Panel(here)
        expect(panel.root).to_be_visible(timeout=2000 * PATIENCE)  # the first visit to this server loads torch
        yield panel.opened()


def test_hostile_names_of_classes_and_photos_stay_text(tiny):
    expect(tiny.root.locator(".words .says")).to_have_text(f"Prediction: {HOSTILE}, 55%.")
    tiny.root.get_by_role("combobox", name="Class").click()
    expect(tiny.here.page.get_by_role("option").filter(has_text=HOSTILE)).to_be_visible()
    assert tiny.here.find("img[src=x], [onerror]").count() == 0


def test_the_foot_of_the_panel_says_how_exact_it_is(tiny):
    expect(tiny.root.locator(".foot")).to_contain_text("no logit of this photo is further off than")


def test_keys_go_on_after_reset_and_are_listed(tiny):
    tiny.root.get_by_label("Mute channel 1", exact=True).click()
    tiny.root.get_by_role("button", name="Reset").click()
    expect(tiny.root.get_by_role("button", name="Reset")).to_be_disabled()
    tiny.here.page.keyboard.press("u")
    expect(tiny.root.locator(".took")).to_contain_text("1 channel muted")
    tiny.here.page.keyboard.press("u")
    expect(tiny.root.get_by_role("button", name="Reset")).to_be_disabled()
    tiny.here.page.keyboard.press("?")
    listed = set(tiny.root.locator(".help dt").all_text_contents())
    assert listed & {"u", "b", "Enter", "drag", "p"} == {"u", "b", "Enter", "drag"}
    tiny.here.page.keyboard.press("?")


def test_numbers_that_can_be_done_in_the_head(tiny):
    # Channel means 2.5, 0.5 and 2: 2.5 - 1 + 1 + 0.25; 1.5 - 2 - 0.5; 1.25 + 0.25 + 1.
    assert tiny.rows == {HOSTILE: "2.75", "dog": "2.50", "cat": "−1.00"}
    tiny.root.get_by_label("Mute channel 0", exact=True).click()
    tiny.here.eventually(lambda: tiny.rows, {"dog": "1.25", HOSTILE: "0.25", "cat": "−1.00"})
    expect(tiny.here.page.get_by_test_id("stText")).to_contain_text('"change": "k0x0", "n": 1')
    expect(tiny.root.locator(".took")).to_contain_text("1 channel muted")
