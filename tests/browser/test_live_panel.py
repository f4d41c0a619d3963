"""The panel that follows without a server: what a reader does in it, and the numbers that it then shows."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch
from playwright.sync_api import expect

from explorer import analyse
from explorer.live.data import network_data, photo_data
from explorer.live.scripts import PANEL, read
from explorer.questions.intervention import Intervention
from explorer.sections.answers import answer_sentence
from explorer.wording import evidence_sentence, percent, plain

SHOW = """async ({network, photo, state}) => {
  const live = await LiveNetwork.read({...network, ...photo}), F = await unpackExactly(photo.maps);
  const image = new Image();
  image.src = photo.photo;
  await image.decode();
  page.photos.set("photo", image);
  window.states = [];
  const root = document.body.appendChild(document.createElement("div"));
  window.panel = new LivePanel(root, {act: (name, state) => states.push([name, state])});
  panel.show({network: live, maps: new LiveMaps(live, F, photo.maps.shape),
    photo: {key: "photo", name: "cat", size: photo.size, seen: photo.seen},
    state: {c: null, pooling: null, calibrated: true, change: "", ...state}});
}"""


LOOK = (":root { --st-text-color: #222; --st-background-color: #fff; --st-border-color: #ddd; "
        "--st-primary-color: #b00; --st-font: sans-serif }")


class Panel:
    """A panel in a window of no server, and what it says."""

    def __init__(self, page, analysis) -> None:
        self.page, self.analysis = page, analysis

    def show(self, **state) -> Panel:
        self.page.evaluate(SHOW, {"network": network_data(self.analysis.network), "photo": photo_data(self.analysis),
                                  "state": state})
        return self

    @property
    def sentence(self) -> str:
        return self.page.locator(".says").first.inner_text()

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Of the answers: name and logit."""
        cells = [row.locator("td").all_inner_texts() for row in self.page.locator(".answers tbody tr").all()]
        return [(row[1], row[-1]) for row in cells]

    def expect(self, analysis, class_index: int, pooling: str | None = None) -> None:
        """Sentences and numbers are those that Python has for these feature maps."""
        outcome = analysis.under(pooling)
        expect(self.page.locator(".words .says")).to_have_text("".join(answer_sentence(outcome, True)))
        evidence = outcome.evidence(class_index).cells.numpy()
        name = analysis.network.class_names[class_index]
        of = name if outcome.label == "native" else f"{name} under {outcome.name}"
        expect(self.page.locator(".words .lead")).to_have_text(evidence_sentence(evidence, of))
        numbers = dict(self.rows)
        for answer in outcome.top(5):
            assert numbers[answer.name] == plain(answer.logit)


@pytest.fixture
def panel(windows, network, examples):
    with windows.blank() as page:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(reduced_motion="reduce")
        page.add_style_tag(content=LOOK + read("viewer.css", "panel.css"))
        page.add_script_tag(content=read(*PANEL))
        yield Panel(page, analyse(network, examples["cat"]))


def test_the_panel_begins_with_the_prediction_and_its_evidence(panel):
    panel.show()
    panel.expect(panel.analysis, panel.analysis.under().top(1)[0].class_index)
    expect(panel.page.get_by_role("button", name="Reset")).to_be_disabled()


def test_a_muted_channel_is_taken_off_the_logit_and_undo_brings_it_back(panel):
    panel.show()
    outcome, first = panel.analysis.under(), panel.analysis.under().top(1)[0].class_index
    channel = int(outcome.evidence(first).channels.abs().argmax())
    panel.page.get_by_label(f"Mute channel {channel}", exact=True).click()
    expect(panel.page.locator(".took")).to_contain_text("1 channel muted. Before: Prediction: ")
    changed = Intervention({channel: 0.0}).on(panel.analysis)
    panel.expect(changed, first)
    assert float(outcome.logits[first] - changed.under().logits[first]) == pytest.approx(
        float(outcome.evidence(first).channels[channel]), abs=1e-4)
    panel.page.keyboard.press("u")
    panel.expect(panel.analysis, first)


def test_a_position_that_is_clicked_is_ignored_and_counts_again_at_the_second_click(panel):
    panel.show()
    first = panel.analysis.under().top(1)[0].class_index
    canvas, (left, top, right, bottom) = panel.page.locator("canvas").nth(1), panel.analysis.framing.seen
    (width, height), box = panel.analysis.framing.photo_size, canvas.bounding_box()
    x, y = (left + (right - left) * 2.5 / 7) / width, (top + (bottom - top) * 3.5 / 7) / height
    canvas.click(position={"x": x * box["width"], "y": y * box["height"]})
    expect(panel.page.locator(".took")).to_contain_text("1 position ignored.")
    panel.expect(Intervention({}, frozenset({(3, 2)})).on(panel.analysis), first)
    panel.page.wait_for_function("states.length > 0")
    assert panel.page.evaluate("states.at(-1)[1].change") == "p3.2"
    panel.page.evaluate("panel.ignore([3, 2, 3, 2])")
    panel.expect(panel.analysis, first)


def test_a_class_is_found_by_some_of_its_letters_and_chosen_with_the_keyboard(panel):
    panel.show()
    search = panel.page.get_by_role("combobox", name="Class")
    search.click()
    panel.page.keyboard.type("coral reef")
    option = panel.page.locator(".search [role=option]")
    expect(option).to_have_count(1)
    reef = panel.analysis.network.class_names.index("coral reef")
    answer = panel.analysis.under().answer(reef)
    expect(option).to_have_text(f"coral reef{percent(answer.probability)} · rank {answer.rank}")
    panel.page.keyboard.press("Enter")
    panel.expect(panel.analysis, reef)
    assert ("coral reef", plain(answer.logit)) in panel.rows
    search.click()
    panel.page.keyboard.type("no such thing")
    expect(panel.page.locator(".search .none")).to_have_text("No class is called “no such thing”.")
    panel.page.keyboard.press("Escape")
    expect(search).to_have_value("coral reef")


def test_a_pooling_and_its_parameter_are_chosen_and_labelled(panel):
    panel.show(pooling="gem", parameter=4)
    first = panel.analysis.under().top(1)[0].class_index
    outcome = panel.analysis.under("gem", p=4)
    expect(panel.page.locator(".words .says")).to_have_text("".join(answer_sentence(outcome, True)))
    expect(panel.page.locator(".badge").last).to_have_text(f"what-if, calibrated × {outcome.multiplier:.2f}")
    panel.page.get_by_label(re.compile("^p: ")).fill("200")
    expect(panel.page.locator(".parameter output")).to_have_text("p = 10")
    outcome = panel.analysis.under("gem", p=10)
    assert dict(panel.rows)[outcome.answer(first).name] == plain(float(outcome.logits[first]))
    panel.page.get_by_label("Pooling", exact=True).select_option("gmp")
    panel.expect(panel.analysis, panel.analysis.under("gmp").top(1)[0].class_index, "gmp")


def test_on_a_phone_one_key_turns_between_before_and_after(panel):
    panel.page.set_viewport_size({"width": 390, "height": 844})
    panel.show(change="p2.2_p2.3_k7x0.5")
    expect(panel.page.locator(".took")).to_contain_text("1 channel scaled, 2 positions ignored")
    first = panel.analysis.under().top(1)[0].class_index
    changed = Intervention.parse("p2.2_p2.3_k7x0.5").on(panel.analysis).under().evidence(first)
    line = panel.page.locator(".viewer .lines")
    expect(line).to_contain_text(f"logit {plain(changed.logit)}")
    panel.page.get_by_role("button", name="Show before").click()
    expect(line).to_contain_text(f"logit {plain(panel.analysis.under().evidence(first).logit)}")
    panel.page.keyboard.press("b")
    expect(line).to_contain_text(f"logit {plain(changed.logit)}")
    assert panel.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_a_link_cannot_mean_is_left_out_and_the_rest_is_done(panel):
    panel.show(change="k99999x0_p40.2_nonsense_k3x0", c=99999, pooling="nothing")
    expect(panel.page.locator(".took")).to_contain_text("1 channel muted.")
    panel.expect(Intervention({3: 0.0}).on(panel.analysis), panel.analysis.under().top(1)[0].class_index)


def test_names_are_only_ever_text(panel):
    names = tuple(f"<img src=x onerror=\"document.title='hit'\">{index}" for index in range(1000))
    panel.analysis = replace(panel.analysis, network=replace(panel.analysis.network, class_names=names))
    panel.show(change="k3x0")
    panel.page.get_by_role("combobox", name="Class").click()
    panel.page.locator("summary").click()
    panel.page.wait_for_timeout(200)
    assert panel.page.locator("img").count() == 0
    assert panel.page.title() != "hit"


def test_a_head_that_is_not_affine_answers_for_its_classes_at_hand_and_says_so(panel):
    generator = torch.Generator().manual_seed(0)
    first, last = torch.nn.Linear(1280, 64), torch.nn.Linear(64, 1000)
    with torch.no_grad():
        for linear in (first, last):
            linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) / 6)
            linear.bias.copy_(torch.randn(linear.bias.shape, generator=generator) / 6)
    network = replace(panel.analysis.network, head=torch.nn.Sequential(first, torch.nn.GELU(), last), digest="mlp")
    panel.analysis = replace(panel.analysis, network=network)
    panel.show()
    likeliest = panel.analysis.under().top(1)[0]
    panel.expect(panel.analysis, likeliest.class_index)
    expect(panel.page.locator(".took")).to_contain_text("its logits are estimated")
    panel.page.get_by_role("combobox", name="Class").click()
    panel.page.keyboard.press("ArrowDown")
    panel.page.keyboard.press("Enter")
    panel.page.wait_for_function("states.length > 0")
    state = json.loads(json.dumps(panel.page.evaluate("states.at(-1)[1]")))
    assert state["c"] in {answer.class_index for answer in panel.analysis.under().top(30)}
