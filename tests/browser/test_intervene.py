"""The panel Intervene on a page: its numbers, what it costs on the wire, and that the link keeps what was changed."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from explorer import analyse
from explorer.sections.answers import answer_sentence
from explorer.wording import plain

CHANGE = "k437x0_k12x2.5_p3.4"


class Panel:
    """The panel on a page, and what it says."""

    def __init__(self, here) -> None:
        self.here, self.root = here, here.find(".intervene .live")

    def opened(self) -> Panel:
        expect(self.root.locator(".words .says")).not_to_have_text("")
        self.here.settle(self.root.locator(".answers"))
        return self

    def expect(self, outcome, class_index: int) -> None:
        """The sentence and the numbers are those of Python."""
        expect(self.root.locator(".words .says")).to_have_text("".join(answer_sentence(outcome, True)))
        top = outcome.top(5)
        rows = {answer.name: plain(answer.logit) for answer in (*top, outcome.answer(class_index))}
        self.here.eventually(lambda: {name: text for name, text in self.rows.items() if name in rows}, rows)

    @property
    def rows(self) -> dict[str, str]:
        """Of the answers: logit by name."""
        return dict(self.root.locator(".answers tbody tr").evaluate_all(
            "(rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText))"
            ".map((cells) => [cells[1], cells.at(-1)])"))


@pytest.fixture(scope="module")
def cat(network, examples):
    return analyse(network, examples["cat"])


def test_the_panel_of_a_link_has_the_numbers_of_python_and_the_network_comes_once(visit, cat, network, examples):
    here = visit().go(example="cat")
    expect(here.find(".intervene")).to_have_count(0)
    opened = here.wire.bytes
    here.page.get_by_text("Change the feature maps").click()
    Panel(here).opened().expect(cat.under(), cat.under().top(1)[0].class_index)
    cost = here.wire.bytes - opened
    assert 3_000_000 < cost < 4_500_000
    here.leads_to(intervene="1")
    opened = here.wire.bytes
    panel = Panel(here)
    panel.root.get_by_label("Pooling", exact=True).select_option("gmp")
    here.leads_to(pooling="gmp")
    here.settle(panel.root)
    print("pooling", here.wire.bytes - opened)
    opened = here.wire.bytes
    here.find('.examples button[data-key="coffee"]').click()
    here.leads_to(example="coffee")
    here.settle(here.find(".answers").first)
    coffee = analyse(network, examples["coffee"])
    panel.expect(coffee.under("gmp"), coffee.under().top(1)[0].class_index)
    print("photo", here.wire.bytes - opened)
