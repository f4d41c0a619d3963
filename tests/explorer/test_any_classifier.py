"""Sigmoids, one class, poolings that a network brings along, and files of an answer that cannot be decomposed."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import POOLINGS, __main__, analyse
from explorer.errors import ParameterError
from explorer.export.arrays import arrays_npz
from explorer.export.pictures import overlay_png
from explorer.export.recipe import RecipeError, read_recipe, recipe, recipe_json, repeat
from explorer.export.record import record_json
from explorer.export.report import report_html
from explorer.export.svg import overlay_svg
from explorer.framing import Preprocessing
from explorer.poolings import Pooling
from explorer.questions.comparison import path
from explorer.questions.votes import winners
from explorer.sections.answers import top_answers
from explorer.sections.channels import top_channels
from explorer.sections.text import lines
from explorer.terminal.overview import account, describe
from explorer.wording import percent
from tests.explorer.layered import FLATTENS, network, photo
from tests.explorer.tiny import analysis_of, linear, random_maps

PLAIN = [(False, None), (False, "one"), (True, "one")]


def sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number))


# Each class by itself.


def test_each_class_of_a_sigmoid_has_its_own_probability(make_network):
    net = dataclasses.replace(make_network(), activation="sigmoid")
    outcome = analyse(net, photo()).under("gmp")
    for answer in outcome.top():
        assert answer.probability == pytest.approx(sigmoid(answer.logit), rel=1e-5)
        assert outcome.answer(answer.class_index) == answer
    assert float(outcome.probabilities().sum()) != pytest.approx(1)


def test_a_sigmoids_top_list_goes_by_logit_where_probabilities_are_all_nearly_one(make_network):
    net = dataclasses.replace(make_network(linear([[0.0] * 5] * 4, [40.0, 60.0, 50.0, -3.0])), activation="sigmoid")
    outcome = analysis_of(net, random_maps()).under()
    assert [answer.class_index for answer in outcome.top()] == [1, 2, 0, 3]
    assert [answer.probability for answer in outcome.top(3)] == [1 - 2 ** -24] * 3
    assert [outcome.answer(index).rank for index in range(4)] == [3, 1, 2, 4]


def test_a_sigmoids_votes_and_winners_are_those_of_the_positions_logits(make_network):
    maps = torch.tensor([[[40.0, -1.0]], [[41.0, -2.0]], [[39.0, 0.5]]])
    net = dataclasses.replace(make_network(nn.Identity(), classes=3, channels=3), activation="sigmoid")
    analysis = analysis_of(net, maps)
    assert analysis.votes(0).tolist() == [[1 - 2 ** -24, pytest.approx(sigmoid(-1), rel=1e-5)]]
    torch.testing.assert_close(analysis.under().vote_logits(), maps)
    won = winners(analysis.under())
    assert [[won.classes[label].class_index for label in row] for row in won.labels] == [[1, 2]]
    assert [name for name, _ in won.top[0]] == ["class 1", "class 0", "class 2"]


def test_a_sigmoids_path_has_each_classs_own_probability(make_network):
    net = dataclasses.replace(make_network(), activation="sigmoid")
    analysis = analysis_of(net, random_maps())
    result = path(analysis, "gem", [2, 0])
    outcomes = [analysis.under("gem", p=float(p)) for p in result.values]
    expected = [[sigmoid(float(outcome.logits[index])) for index in (2, 0)] for outcome in outcomes]
    np.testing.assert_allclose(result.probabilities, expected, rtol=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_one_class_is_enough_everywhere(tmp_path, activation):
    for pooled, layer in [(True, None), *PLAIN]:
        net = network(pooled, activation, classes=1)
        outcome = analyse(net, photo(), layer=layer).under()
        (answer,) = outcome.top(5)
        assert answer.probability == pytest.approx(1.0 if activation == "softmax" else sigmoid(answer.logit), rel=1e-5)
        assert answer.rank == 1
        assert ">cat</span>" in report_html(outcome, 0)
        assert read_recipe(record_json(outcome, 0))["numbers"]["logit"] == pytest.approx(answer.logit)
        assert "cat" in "\n".join(lines(top_answers(outcome, False)))
        arrays_npz(outcome, 0)
        overlay_svg(outcome, 0)


# A pooling that the registry does not know.


def side_by_side(maps: torch.Tensor) -> torch.Tensor:
    half = maps.shape[-3] // 2
    return torch.cat([maps[..., :half, :, :].mean((-2, -1)), maps[..., half:, :, :].amax((-2, -1))], -1)


def side_by_side_weights(maps: torch.Tensor) -> torch.Tensor:
    half = maps.shape[-3] // 2
    return torch.cat([POOLINGS["gap"].weights(maps[..., :half, :, :]), POOLINGS["gmp"].weights(maps[..., half:, :, :])],
                     -3)


CATAVGMAX = Pooling("catavgmax", "GAP beside GMP", "The average beside the maximum.", "", "timm", side_by_side,
                    side_by_side_weights)


class Twice(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.backbone(x)
        return torch.cat([maps, maps], 1)


@pytest.fixture
def special(make_network):
    torch.manual_seed(1)
    net = make_network(nn.Linear(10, 4))
    return dataclasses.replace(net, pooling=CATAVGMAX, backbone=Twice(net.backbone))


def test_a_pooling_of_the_networks_own_is_native_and_stands_before_the_eight(special):
    outcome = analyse(special, photo()).under()
    assert (outcome.pooling, outcome.name, outcome.label) == ("catavgmax", "GAP beside GMP", "native")
    names = [item.name for item in outcome.under_each_pooling()]
    assert names == ["GAP beside GMP", *(pooling.label() for pooling in POOLINGS.values())]
    assert [item.label for item in outcome.under_each_pooling()] == ["native", *["what-if"] * 8]
    with pytest.raises(ParameterError, match="no pooling 'max'; expected one of catavgmax, gap"):
        outcome.analysis.under("max")


def test_its_evidence_is_the_averages_and_the_maximums_by_hand(special):
    analysis = analyse(special, photo())
    maps, weight = analysis.feature_maps.double().numpy(), special.head.weight.double().numpy()[2]
    expected = np.zeros(maps.shape[1:])
    for k in range(5):
        expected += weight[k] * maps[k] / maps[k].size
        at_peak = maps[k] == maps[k].max()
        expected[at_peak] += weight[5 + k] * maps[k].max() / at_peak.sum()
    result = analysis.under().evidence(2)
    np.testing.assert_allclose(result.cells.numpy(), expected, atol=1e-5)
    assert result.exact
    assert float(special.head.bias[2]) + expected.sum() == pytest.approx(float(special(analysis.input)[0, 2]), abs=1e-5)
    assert analysis.cam("grad_cam", 2).shape == (4, 4)


def test_its_recipe_names_it_and_is_repeated(special, monkeypatch):
    monkeypatch.setattr("explorer.export.recipe.parse_pooling", lambda text: (text, {}))
    outcome = analyse(special, photo()).under()
    written = read_recipe(recipe_json(recipe(outcome, 1)))
    assert written["pooling"] == "catavgmax"
    assert max(repeat(written, special, photo()).differences) == 0
    with pytest.raises(ParameterError, match="no pooling 'catavgmax'"):
        repeat(written, dataclasses.replace(special, pooling=POOLINGS["gap"]), photo())


def test_its_summary_and_table_show_it_as_native(special):
    outcome = analyse(special, photo()).under("gem")
    words = "The head was trained with GAP beside GMP; under GeM, p = 3 the answer is a what-if"
    assert words in report_html(outcome, 1)
    assert 'GAP beside GMP</strong><span class="badge native">native' in top_answers(outcome, False).markup()
    assert any("GAP beside GMP" in line for line in lines(top_answers(outcome, False)))


# What is written where nothing is decomposed.


def plain(pooled: bool, layer: str | None, **options):
    return analyse(network(pooled, **options), photo(), layer=layer).under()


@pytest.mark.parametrize(("pooled", "layer"), PLAIN)
def test_the_arrays_hold_grad_cam_and_no_parts(pooled, layer):
    outcome = plain(pooled, layer)
    with np.load(io.BytesIO(arrays_npz(outcome, 2)), allow_pickle=False) as file:
        arrays = dict(file)
    assert set(arrays) == {"feature_maps", "logits", "cells", "rectangles", "seen", "class_index", "photo_size",
                           "input_shape"}
    gradient = outcome.cam_context.gradient(2).double().numpy()
    expected = np.einsum("k,kij->ij", gradient.mean((1, 2)), arrays["feature_maps"].astype(np.float64))
    np.testing.assert_allclose(arrays["cells"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(arrays["logits"], outcome.analysis.network(outcome.analysis.input)[0].numpy(), rtol=1e-5)


@pytest.mark.parametrize(("pooled", "layer"), PLAIN)
def test_the_record_says_why_there_is_no_evidence(pooled, layer):
    outcome = plain(pooled, layer, activation="sigmoid")
    record = json.loads(record_json(outcome, 1), parse_constant=pytest.fail)
    assert record["layer"] == layer
    assert record["network"]["activation"] == "sigmoid"
    assert record["network"]["pooling"] == ("gap" if pooled else None)
    assert record["network"]["head"] == ("affine" if pooled else "none")
    shown = record["class"]
    assert [shown[name] for name in ("baseline", "evidence", "residual", "exact", "cells")] == [None] * 5
    assert shown["why_not"] == outcome.analysis.no_evidence_reason
    assert shown["cam"]["method"] == "grad_cam"
    np.testing.assert_allclose(shown["cam"]["cells"], outcome.cam("grad_cam", 1).numpy(), rtol=1e-5)
    assert shown["probability"] == pytest.approx(sigmoid(shown["logit"]), rel=1e-5)
    assert [len(item["classes"]) for item in record["top"]] == [4]


@pytest.mark.parametrize(("pooled", "layer"), PLAIN)
def test_the_overlay_is_reddest_where_grad_cam_is_largest(pooled, layer):
    net = network(pooled)
    outcome = analyse(net, Image.new("RGB", (96, 96), (250, 250, 250)), "squash", layer=layer).under()
    cells = outcome.cam("grad_cam", 0)
    cells.copy_(torch.zeros_like(cells))  # remembered: so the test says where the largest is
    cells[1, 2], cells[3, 0] = 1.0, -1.0
    pixels = np.asarray(Image.open(io.BytesIO(overlay_png(outcome, 0))).convert("RGB"), dtype=int)
    side = 96 // cells.shape[0]
    red, blue = pixels[side + side // 2, 2 * side + side // 2], pixels[3 * side + side // 2, side // 2]
    assert red[0] > red[2] + 40
    assert blue[2] > blue[0] + 40
    far = pixels[-side // 2, -side // 2]
    assert far.max() - far.min() < 10


@pytest.mark.parametrize(("pooled", "layer"), PLAIN)
def test_the_drawing_has_a_rectangle_a_position_and_says_why(pooled, layer):
    outcome = plain(pooled, layer)
    text = overlay_svg(outcome, 2)
    tree = ElementTree.fromstring(text.encode())
    space = "{http://www.w3.org/2000/svg}"
    boxes = [item for item in tree.iter(f"{space}rect") if item.find(f"{space}title") is not None]
    assert len(boxes) == outcome.analysis.feature_maps[0].numel()
    words = [item.text for item in tree.iter(f"{space}text")]
    assert any(text.startswith("Grad-CAM of <b>cow</b>, ") for text in words)
    assert any(outcome.analysis.no_evidence_reason[:20] in text for text in words)
    assert not any("logits" in text for text in words)
    assert "logits" not in boxes[0].find(f"{space}title").text


@pytest.mark.parametrize(("pooled", "layer"), PLAIN)
def test_the_summary_shows_grad_cam_and_the_sentence(pooled, layer):
    outcome = plain(pooled, layer, activation="sigmoid")
    first, second = outcome.top(2)
    text = report_html(outcome, first.class_index)
    for words in ("Grad-CAM", outcome.analysis.no_evidence_reason, "by sigmoid: each class has its own", "Next: "):
        assert words in html.unescape(text)
    for words in ("= baseline", "exact, residual", "Runner-up", "what-if", "<b>cow"):
        assert words not in text
    assert "&lt;b&gt;cow&lt;/b&gt;" in report_html(outcome, 2)
    assert "The channels that respond most" in top_channels(outcome, first.class_index).markup()
    assert ("cannot be run alone" in text) is not pooled
    other = report_html(outcome, second.class_index)
    assert "Shown here: " in other
    assert f"rank {second.rank}" in other


@pytest.mark.parametrize(("pooled", "layer"), PLAIN)
def test_a_recipe_is_repeated_to_the_same_numbers(pooled, layer):
    outcome = plain(pooled, layer)
    written = read_recipe(record_json(outcome, 3))
    assert (written["layer"], written["pooling"], written["numbers"]["baseline"]) == (layer, None, None)
    again = repeat(written, network(pooled), photo())
    assert max(again.differences) == 0
    assert again.outcome.analysis.no_evidence_reason == outcome.analysis.no_evidence_reason
    written["numbers"]["cells"][0][0] += 0.25
    assert repeat(written, network(pooled), photo()).differences.cells == pytest.approx(0.25, rel=1e-4)


def test_a_recipes_pooling_and_the_networks_must_fit():
    with_pooling = recipe(analyse(network(), photo()).under("gmp"), 0)
    without = recipe(plain(False, None), 0)
    with pytest.raises(RecipeError, match="has the pooling gmp, and none can be chosen here"):
        repeat(with_pooling, network(False), photo())
    with pytest.raises(RecipeError, match="'pooling' is null, and this network has one"):
        repeat(without, network(), photo())
    del without["layer"]  # as recipes were before
    assert max(repeat(without, network(False), photo()).differences) == 0


def test_a_network_of_small_images_has_recipes_too():
    net = network(False)
    net = dataclasses.replace(net, preprocessing=dataclasses.replace(net.preprocessing, size=96, fixed=True))
    assert read_recipe(recipe_json(recipe(analyse(net, photo()).under(), 0)))["framing"]["short_side"] == 96
    small = recipe(plain(False, None), 0)
    small["framing"]["short_side"] = 28
    assert read_recipe(recipe_json(small))["framing"]["short_side"] == 28


def test_a_recipe_is_repeated_with_the_numbers_that_were_edited():
    edited = dataclasses.replace(network(), activation="sigmoid", preprocessing=Preprocessing(
        size=120, crop_ratio=0.7, mean=(0.1, 0.5, 0.9), std=(0.3, 0.2, 0.4), interpolation="box", stride=24))
    outcome = analyse(edited, photo()).under("gmp")
    written = read_recipe(recipe_json(recipe(outcome, 1)))
    again = repeat(written, network(), photo())
    assert max(again.differences) == 0
    assert again.outcome.answer(1) == outcome.answer(1)
    del written["preprocessing"], written["activation"]  # as recipes were before
    assert repeat(written, network(), photo()).differences.logits > 1e-3


# In a terminal.


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    def run(net, *options: str) -> tuple[int, str, str]:
        monkeypatch.setattr("explorer.terminal.options.load_from_options", lambda _: net)
        photo().save(tmp_path / "photo.png")
        code = __main__.main([str(tmp_path / "photo.png"), "--out", str(tmp_path / "out"), *options])
        return code, *capsys.readouterr()

    return run


def test_a_terminal_prints_the_top_five_and_the_sentence_and_writes_all_files(run, tmp_path):
    code, out, err = run(network(False, "sigmoid"), "--report", "--class", "hen")
    assert (code, err) == (0, "")
    outcome = plain(False, None, activation="sigmoid")
    rows = [line.split() for line in out.splitlines() if line.startswith(" ") and line.split()[0].isdigit()]
    assert rows == [[str(answer.rank), answer.name, percent(answer.probability)] for answer in outcome.top()]
    assert FLATTENS in out
    assert "final feature maps 6 x 4 x 4, probabilities by sigmoid" in out
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "photo_overlay.png", "photo_arrays.npz", "photo.json", "photo_report.html"}
    again = run(network(False, "sigmoid"), "--recipe", str(tmp_path / "out" / "photo.json"), "--out",
                str(tmp_path / "again"))
    assert again[0] == 0
    assert "Repeats the recipe: largest difference 0 logits" in again[1]


def test_a_terminal_refuses_a_pooling_where_there_is_none_in_the_same_sentence(run):
    assert run(network(False), "--pooling", "gmp") == (2, "", f"{FLATTENS}\n")


def test_the_account_at_a_layer_names_it():
    outcome = plain(True, "one")
    assert "maps of one 4 x 12 x 12" in describe(outcome, "photo.png")[1]
    first, second = account(outcome, 2, calibrated=True)
    assert first.startswith("<b>cow</b> (2) maps of one (native): probability ")
    assert second == f"logit {float(outcome.logits[2]):.2f}; {outcome.analysis.no_evidence_reason}"
