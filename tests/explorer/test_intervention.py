"""A change of the feature maps: what it takes from a logit, how it is written, and that files and recipes have it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch

from explorer import __main__, analyse
from explorer.errors import MethodError, ParameterError
from explorer.export.recipe import read_recipe, recipe, repeat
from explorer.export.record import record_json
from explorer.export.report import report_html
from explorer.questions.intervention import Intervention
from tests.conftest import EXAMPLES
from tests.explorer.tiny import analysis_of, linear, random_maps

ROWS, BIASES = [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], [0.25, -0.5]
MAPS = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.5], [1.0, 0.5]], [[8.0, 0.0], [0.0, 0.0]]])


@pytest.fixture
def by_hand(make_network):
    """Three channels of 2 x 2 positions and two classes, under GAP."""
    return analysis_of(make_network(head=linear(ROWS, BIASES), channels=3, classes=2), MAPS)


def logits_after(analysis, text: str) -> list[float]:
    return Intervention.parse(text).on(analysis).under("gap").logits.tolist()


def test_muting_a_channel_under_gap_lowers_the_logit_by_its_contribution(by_hand):
    # Channel means 2.5, 0.5 and 2; the first class has 2.5 - 1 + 1 + 0.25, the second 1.5 - 2 - 0.5.
    assert by_hand.under("gap").logits.tolist() == pytest.approx([2.75, -1.0])
    assert logits_after(by_hand, "k0x0") == pytest.approx([2.75 - 2.5, -1.0])
    assert logits_after(by_hand, "k1x0") == pytest.approx([2.75 + 1.0, -1.0 - 1.5])
    assert logits_after(by_hand, "k2x0.5") == pytest.approx([2.75 - 0.5, -1.0 + 1.0])
    for channel in range(3):
        contributions = [float(by_hand.under("gap").evidence(c).channels[channel]) for c in range(2)]
        expected = [before - part for before, part in zip([2.75, -1.0], contributions, strict=True)]
        assert logits_after(by_hand, f"k{channel}x0") == pytest.approx(expected)


def test_ignoring_a_position_under_gap_lowers_the_logit_by_its_evidence(by_hand):
    # At (0, 0): 1 / 4 - 2 * 0 / 4 + 0.5 * 8 / 4 for the first class.
    assert logits_after(by_hand, "p0.0") == pytest.approx([2.75 - 1.25, -1.0 + 2.0])
    cells = by_hand.under("gap").evidence(0).cells
    for row in range(2):
        for column in range(2):
            assert logits_after(by_hand, f"p{row}.{column}")[0] == pytest.approx(2.75 - float(cells[row, column]))


def test_nothing_of_the_analysis_itself_is_changed(by_hand):
    before = by_hand.feature_maps.clone()
    changed = Intervention.parse("k0x0_k2x3_p1.1").on(by_hand)
    assert torch.equal(by_hand.feature_maps, before)
    assert by_hand.change == ""
    assert changed.change == "k0x0_k2x3_p1.1"
    assert changed.under("gmp").pooled.tolist() == [0.0, 1.0, 24.0]
    with pytest.raises(ParameterError, match="changed already"):
        Intervention.parse("k0x0").on(changed)


@pytest.mark.parametrize(("text", "same"), [
    ("", ""), ("k12x0", "k12x0"), ("p3.4_k40x2.50_k12x0", "k12x0_k40x2.5_p3.4"), ("k1x10.000", "k1x10"),
    ("p3.4_p3.4", "p3.4"), ("k7x0_k7x2", "k7x2"), ("k007x00", "k7x0"),
])
def test_a_change_is_written_in_one_form_and_read_back(text, same):
    change = Intervention.parse(text)
    assert str(change) == same
    assert Intervention.parse(same) == change
    assert bool(change) == bool(same)


@pytest.mark.parametrize("text", ["x", "k12", "k12x", "kx0", "k12x-1", "k12x11", "k12x0,p3.4", "p3", "p-1.0", "p3.4.5",
                                  "k12x0__p3.4", "_", "k1x1e3", "k９x0", "k12x0 ", "k12xnan"])
def test_what_is_no_change_is_refused_in_a_sentence(text):
    with pytest.raises(ParameterError, match=r"\.$"):
        Intervention.parse(text)


@pytest.mark.parametrize(("text", "words"), [
    ("", ""), ("k12x0", "channel 12 muted"), ("k12x0_p3.4", "channel 12 muted, position (3, 4) ignored"),
    ("k1x0_k2x0_k3x2.5", "channels 1 and 2 muted, channel 3 times 2.5"),
    ("p0.1_p0.2_p3.0", "positions (0, 1), (0, 2) and (3, 0) ignored"),
    ("_".join(f"k{n}x0" for n in range(7)), "7 channels muted"),
])
def test_a_change_is_said_in_words(text, words):
    assert Intervention.parse(text).words == words


@pytest.mark.parametrize(("text", "sentence"), [
    ("k3x0", "no channel 3; expected 0 to 2"), ("p2.0", "no position"), ("p0.2", "columns 0 to 1"),
])
def test_a_channel_or_position_that_is_not_there_is_refused(by_hand, text, sentence):
    with pytest.raises(ParameterError, match=sentence):
        Intervention.parse(text).on(by_hand)


def test_without_evidence_nothing_can_be_changed(make_network):
    network = replace(make_network(), pooling=None)
    with pytest.raises(MethodError, match="no global pooling"):
        Intervention.parse("k0x0").on(analysis_of(network, random_maps()))


def test_the_record_has_the_change_and_its_recipe_repeats_it(network, examples):
    before = analyse(network, examples["rocket"], short_side=96)
    outcome = Intervention.parse("k12x0_k40x2.5_p0.2").on(before).under("gem", p=4)
    record = json.loads(record_json(outcome, 657))
    assert record["change"] == record["recipe"]["change"] == "k12x0_k40x2.5_p0.2"
    assert record["class"]["logit"] == float(outcome.logits[657]) != float(before.under("gem", p=4).logits[657])
    again = repeat(read_recipe(record_json(outcome, 657)), network, examples["rocket"])
    assert again.outcome.analysis.change == "k12x0_k40x2.5_p0.2"
    assert again.differences == (0, 0)
    assert recipe(before.under(), 657)["change"] is None
    assert "Changed: channel 12 muted, channel 40 times 2.5, position (0, 2) ignored." in report_html(outcome, 657)


def test_a_recipe_without_a_change_is_read_as_before_and_a_bad_one_is_refused(network, examples):
    written = recipe(analyse(network, examples["rocket"], short_side=96).under(), 657)
    old = {name: value for name, value in written.items() if name != "change"}
    assert repeat(read_recipe(json.dumps(old)), network, examples["rocket"]).differences == (0, 0)
    for bad in ("k12", 12, "k1x0" * 30_000):
        with pytest.raises(ParameterError):
            read_recipe(json.dumps(written | {"change": bad}))
    with pytest.raises(ParameterError, match="no channel 5000"):
        repeat(read_recipe(json.dumps(written | {"change": "k5000x0"})), network, examples["rocket"])


def test_the_command_says_what_was_changed_and_repeats_it(network, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("explorer.terminal.options.load_from_options", lambda _: network)
    monkeypatch.chdir(tmp_path)
    photo = str(EXAMPLES / "astronaut.jpg")
    assert __main__.main([photo, "--size", "96", "--change", "p0.1_k12x0"]) == 0
    first = capsys.readouterr().out
    assert "Changed: channel 12 muted, position (0, 1) ignored\n" in first
    assert json.loads((tmp_path / "astronaut.json").read_text())["change"] == "k12x0_p0.1"
    assert __main__.main([photo, "--recipe", "astronaut.json", "--out", "again"]) == 0
    again = capsys.readouterr().out
    assert "Repeats the recipe: largest difference 0 logits" in again
    assert "Changed: channel 12 muted, position (0, 1) ignored\n" in again
    for wrong in (["--change", "k12"], ["--change", "k99999x0"], ["--recipe", "astronaut.json", "--change", "k1x0"]):
        assert __main__.main([photo, "--size", "96", *wrong] if "--recipe" not in wrong else [photo, *wrong]) == 2
        assert capsys.readouterr().err.endswith(".\n")
    assert __main__.main([photo, "--size", "96", "--out", "plain"]) == 0
    assert "Changed" not in capsys.readouterr().out


def test_a_live_page_of_a_change_begins_with_it_and_holds_the_maps_that_the_network_gave(network, monkeypatch, tmp_path,
                                                                                          capsys):
    monkeypatch.setattr("explorer.terminal.options.load_from_options", lambda _: network)
    monkeypatch.chdir(tmp_path)
    photo = str(EXAMPLES / "astronaut.jpg")
    pages = []
    for change in ([], ["--change", "k12x0_p0.1"]):
        assert __main__.main([photo, "--size", "96", "--live", "page.html", *change]) == 0
        capsys.readouterr()
        pages.append((tmp_path / "page.html").read_text(encoding="utf-8"))
    packed = [re.search(r'"maps": ?\{[^}]*"data": ?"([^"]+)"', page).group(1) for page in pages]
    assert packed[0] == packed[1]
    assert '"k12x0_p0.1"' not in pages[0]
    assert '"k12x0_p0.1"' in pages[1]
