"""A network that brings heads trained with poolings of their own: each answers where its pooling does, and says so."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import POOLINGS, analyse
from explorer.errors import MethodError, ParameterError
from explorer.export.recipe import read_recipe, recipe, recipe_json, repeat
from explorer.export.record import numbers
from explorer.export.report import report_html
from explorer.networks import Network
from explorer.networks.calibration import Calibration
from explorer.networks.trained_heads import TrainedPooling
from explorer.poolings import parse_pooling
from explorer.poolings.learned import gated, learned_attention
from explorer.questions.channel_card import channel_card
from explorer.questions.comparison import path
from explorer.questions.contrast import contrast
from explorer.questions.probe import probe
from explorer.questions.redrawn_network import drawn_anew, redrawn
from explorer.questions.soundness import trouble
from explorer.questions.stability import stability
from explorer.questions.votes import votes_average_to_logit, winners
from explorer.sections.answers import is_calibrated, label, top_answers, trained_in_words
from explorer.sections.summary import as_text, summary
from explorer.sections.text import lines
from explorer.terminal.overview import account
from tests.explorer.tiny import analysis_of

P = 2.3725  # that GeM "learned"
KEYS = ("gap", "gmp", "gem", "learned_attention", "gated")
CHANNELS, ROWS, COLUMNS, CLASSES = 5, 3, 4, 4


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(seed: int) -> nn.Linear:
    head = nn.Linear(CHANNELS, CLASSES)
    head.weight.data = torch.randn(CLASSES, CHANNELS, generator=seeded(seed))
    head.bias.data = torch.randn(CLASSES, generator=seeded(seed + 100))
    return head


QUERY = torch.randn(CHANNELS, generator=seeded(20))
GATE = torch.randn(CHANNELS, generator=seeded(21)), torch.tensor([0.3])


@pytest.fixture
def network(make_network) -> Network:
    """GAP and its own head; GMP, GeM, a learned query and a gate, each with a head of its own."""
    own = make_network(linear(1))
    poolings = (POOLINGS["gmp"], {}), (POOLINGS["gem"], {"p": P}), (learned_attention(QUERY), {}), (gated(*GATE), {})
    return dataclasses.replace(own, trained={
        pooling.key: TrainedPooling(pooling, parameters, linear(seed))
        for seed, (pooling, parameters) in enumerate(poolings, 2)})


@pytest.fixture
def maps() -> Tensor:
    """All above 0 and no two alike."""
    return torch.rand(CHANNELS, ROWS, COLUMNS, generator=seeded(5)) * 3 + 0.05


@pytest.fixture
def analysis(network, maps):
    return analysis_of(network, maps)


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (96, 96, 3), dtype=np.uint8))


# Once more, with loops in float64.


def pooled_by_hand(key: str, maps: np.ndarray, p: float = P) -> list[float]:
    channels, rows, columns = maps.shape
    places = [(i, j) for i in range(rows) for j in range(columns)]
    average = [sum(maps[k, i, j] for i, j in places) / len(places) for k in range(channels)]
    largest = [max(maps[k, i, j] for i, j in places) for k in range(channels)]
    if key == "gem":
        return [(sum(maps[k, i, j] ** p for i, j in places) / len(places)) ** (1 / p) for k in range(channels)]
    if key == "learned_attention":
        agree = [math.exp(sum(float(QUERY[k]) * maps[k, i, j] for k in range(channels))) for i, j in places]
        return [sum(a * maps[k, i, j] for a, (i, j) in zip(agree, places, strict=True)) / sum(agree)
                for k in range(channels)]
    if key == "gated":
        share = 1 / (1 + math.exp(-sum(float(v) * y for v, y in zip(GATE[0], average, strict=True)) - float(GATE[1])))
        return [share * a + (1 - share) * m for a, m in zip(average, largest, strict=True)]
    return average if key == "gap" else largest


def logits_by_hand(head: nn.Linear, pooled: list[float]) -> list[float]:
    return [float(bias) + sum(float(weight) * y for weight, y in zip(row, pooled, strict=True))
            for row, bias in zip(head.weight, head.bias, strict=True)]


def head_of(network: Network, key: str) -> nn.Linear:
    return network.trained[key].head if key in network.trained else network.head


def doubles(maps: Tensor) -> np.ndarray:
    return maps.double().numpy()


def gradient_by_hand(network: Network, key: str, maps: np.ndarray, index: int, step: float = 1e-5) -> np.ndarray:
    """(C, H, W): of the logit, by differences."""
    result = np.zeros_like(maps)
    for place in np.ndindex(*maps.shape):
        up, down = maps.copy(), maps.copy()
        up[place] += step
        down[place] -= step
        ends = [logits_by_hand(head_of(network, key), pooled_by_hand(key, item))[index] for item in (up, down)]
        result[place] = (ends[0] - ends[1]) / (2 * step)
    return result


# What is said under each.


@pytest.mark.parametrize("key", KEYS)
def test_under_each_pooling_its_own_head_answers(network, analysis, maps, key):
    outcome = analysis.under(key)
    pooled = pooled_by_hand(key, doubles(maps))
    np.testing.assert_allclose(outcome.pooled, pooled, rtol=1e-5)
    np.testing.assert_allclose(outcome.logits, logits_by_hand(head_of(network, key), pooled), atol=1e-5)
    assert outcome.head is head_of(network, key) is network.head_under(key)


def test_a_pooling_without_a_head_of_its_own_stands_before_the_networks(network, analysis, maps):
    pooled = 0.5 * np.array(pooled_by_hand("gap", doubles(maps))) + 0.5 * np.array(pooled_by_hand("gmp", doubles(maps)))
    outcome = analysis.under("mixed")
    np.testing.assert_allclose(outcome.logits, logits_by_hand(network.head, list(pooled)), atol=1e-5)
    assert (outcome.label, outcome.head) == ("what-if", network.head)


def test_a_moved_parameter_keeps_the_head_and_becomes_a_what_if(network, analysis, maps):
    moved = analysis.under("gem", p=5)
    expected = logits_by_hand(network.trained["gem"].head, pooled_by_hand("gem", doubles(maps), 5))
    np.testing.assert_allclose(moved.logits, expected, atol=1e-5)
    assert (moved.label, moved.name) == ("what-if", "GeM, p = 5")
    assert analysis.under("gem", p=P).label == "trained"


def test_the_poolings_are_labelled_by_what_their_head_was_trained_with(analysis):
    stated = {item.pooling: item.label for item in analysis.under().under_each_pooling()}
    assert stated == dict.fromkeys(POOLINGS, "what-if") | {"gap": "native"} | dict.fromkeys(KEYS[1:], "trained")
    assert list(stated) == [*POOLINGS, "learned_attention", "gated"]


def test_without_a_parameter_it_is_the_learned_one(network, analysis):
    assert analysis.under("gem").parameters == {"p": P}
    assert analysis.under("gem") is analysis.under("gem", p=P)
    assert analysis.under(*parse_pooling("gem")[:1], **parse_pooling("gem")[1]).label == "trained"
    assert network.pooling_of("gem").parameter.default == P
    assert network.pooling_of("gem").parameter.usual == POOLINGS["gem"].parameter.usual
    assert POOLINGS["gem"].parameter.default == 3
    assert next(item for item in analysis.under().under_each_pooling() if item.pooling == "gem").label == "trained"


def test_the_network_by_itself_says_what_it_says_under_its_own_pooling(network):
    analysis = analyse(network, photo())
    torch.testing.assert_close(network(analysis.input)[0], analysis.under().logits)


# Evidence, CAMs, votes, channels.


@pytest.mark.parametrize("key", KEYS)
def test_evidence_under_each_adds_up_to_its_own_heads_logit(network, analysis, maps, key):
    outcome, head = analysis.under(key), head_of(network, key)
    weights = outcome.weights.double().numpy()
    for result in outcome.evidences(range(CLASSES)):
        cells = np.zeros((ROWS, COLUMNS))
        for k, i, j in np.ndindex(*maps.shape):
            cells[i, j] += float(head.weight[result.class_index, k]) * weights[k, i, j] * float(maps[k, i, j])
        np.testing.assert_allclose(result.cells, cells, atol=1e-5)
        assert result.baseline == pytest.approx(float(head.bias[result.class_index]))
        expected = logits_by_hand(head, pooled_by_hand(key, doubles(maps)))[result.class_index]
        assert result.baseline + cells.sum() == pytest.approx(expected, abs=1e-4)
        assert abs(result.residual) < 1e-5
        assert result.exact


def test_a_trained_head_that_is_not_affine_is_integrated_and_the_networks_own_stays_exact(network, maps):
    torch.manual_seed(4)
    crooked = nn.Sequential(nn.Linear(CHANNELS, 6), nn.Hardswish(), nn.Linear(6, CLASSES))
    trained = {"gmp": TrainedPooling(POOLINGS["gmp"], {}, crooked)}
    other = analysis_of(dataclasses.replace(network, trained=trained), maps)
    result = other.under("gmp").evidence(1)
    assert not result.exact
    assert result.baseline + float(result.cells.sum()) == pytest.approx(result.logit, abs=3e-3)
    assert result.logit == pytest.approx(float(crooked(other.under("gmp").pooled[None])[0, 1]), abs=1e-6)
    assert other.under().evidence(1).exact
    with pytest.raises(MethodError, match="affine"):
        other.under("gmp").cam("cam", 1)
    assert other.under().cam("cam", 1).shape == (ROWS, COLUMNS)


@pytest.mark.parametrize("key", KEYS)
def test_a_contrast_is_of_the_two_rows_of_its_own_head(network, analysis, maps, key):
    result = contrast(analysis.under(key), 2, 0)
    logits = logits_by_hand(head_of(network, key), pooled_by_hand(key, doubles(maps)))
    assert result.difference == pytest.approx(logits[2] - logits[0], abs=1e-5)
    assert result.baseline + result.cells.sum() == pytest.approx(logits[2] - logits[0], abs=1e-4)


@pytest.mark.parametrize("key", KEYS)
def test_cams_under_each_are_of_its_own_gradient(network, analysis, maps, key):
    gradient = gradient_by_hand(network, key, doubles(maps), 3)
    outcome = analysis.under(key)
    np.testing.assert_allclose(outcome.cam_context.gradient(3), gradient, atol=1e-4)
    np.testing.assert_allclose(outcome.cam("hires_cam", 3), (gradient * doubles(maps)).sum(0), atol=1e-3)
    by_channel = gradient.mean((1, 2))
    np.testing.assert_allclose(outcome.cam("grad_cam", 3), np.einsum("k,kij->ij", by_channel, doubles(maps)), atol=1e-3)
    own = np.einsum("k,kij->ij", head_of(network, key).weight[3].double().numpy(), doubles(maps))
    np.testing.assert_allclose(outcome.cam("cam", 3), own, atol=1e-5)


def test_answers_to_other_inputs_are_its_own_heads(network):
    analysis = analyse(network, photo())
    tail, inputs = analysis.under("gmp").cam_context, torch.cat([analysis.input, -analysis.input])
    for x, answer in zip(inputs, tail.answers(inputs), strict=True):
        pooled = pooled_by_hand("gmp", doubles(network.backbone(x[None])[0]))
        np.testing.assert_allclose(answer.detach(), logits_by_hand(network.trained["gmp"].head, pooled), atol=1e-5)


@pytest.mark.parametrize("key", KEYS)
def test_positions_are_asked_by_the_head_of_the_pooling(network, analysis, maps, key):
    for outcome in (analysis.under(), analysis.under("gmp" if key == "gap" else "gap")):
        winners(outcome)
    votes, logits = analysis.under(key).votes(), analysis.under(key).vote_logits()
    for i, j in np.ndindex(ROWS, COLUMNS):
        stated = logits_by_hand(head_of(network, key), doubles(maps)[:, i, j].tolist())
        np.testing.assert_allclose(logits[:, i, j], stated, atol=1e-5)
        np.testing.assert_allclose(votes[:, i, j], np.exp(stated) / np.exp(stated).sum(), atol=1e-5)
    best = logits.argmax(0)
    won = winners(analysis.under(key))
    assert {item.class_index: item.positions for item in won.classes} == {
        int(item): int((best == item).sum()) for item in best.unique()}
    assert torch.equal(analysis.votes(1), analysis.under().votes(1))


def test_under_gem_of_one_the_logit_is_the_mean_of_the_votes_of_gems_head(analysis):
    average = analysis.under("gem", p=1)
    assert votes_average_to_logit(average)
    np.testing.assert_allclose(average.vote_logits().mean((1, 2)), average.logits, atol=1e-5)
    assert not votes_average_to_logit(analysis.under("gem"))


def test_a_channels_card_has_the_weights_of_the_head_that_answers(network, analysis):
    card = channel_card(analysis.under("gated"), 1, 3)
    column = network.trained["gated"].head.weight[:, 3].tolist()
    shown = {item.class_index: item.weight for item in [*card.raises, *card.lowers]}
    assert shown == pytest.approx(dict(enumerate(column)))
    assert {name: stated for name, stated, _ in card.pooled_under}["Gated mix"] == "trained"


def test_the_path_along_p_is_of_gems_head(network, analysis, maps):
    walked = path(analysis, "gem", [0, 2])
    for value, probabilities in zip(walked.values, walked.probabilities, strict=True):
        powers = np.exp(logits_by_hand(network.trained["gem"].head, pooled_by_hand("gem", doubles(maps), value)))
        np.testing.assert_allclose(probabilities, powers[[0, 2]] / powers.sum(), atol=1e-5)


def test_a_part_that_is_ignored_is_left_out_of_the_learned_attention(network, analysis, maps):
    chosen = np.zeros((ROWS, COLUMNS), dtype=bool)
    chosen[1, 1:3] = True
    left = doubles(maps)[:, ~chosen][:, None]
    for key in ("learned_attention", "gem"):
        expected = logits_by_hand(head_of(network, key), pooled_by_hand(key, left))
        ignoring = [probe(analysis.under(key), index, chosen, ()).own.ignoring.classes[0] for index in range(CLASSES)]
        np.testing.assert_allclose([answer.logit for answer in ignoring], expected, atol=1e-5)


# Calibration is for what-ifs of the network's own head.


def test_a_fitted_number_mends_what_ifs_of_the_own_head_and_nothing_trained(network, maps):
    everything = Calibration(dict.fromkeys([*POOLINGS, *KEYS], ((0.0, 0.5), (100.0, 0.5))))
    analysis = analysis_of(dataclasses.replace(network, calibration=everything), maps)
    for outcome in analysis.under().under_each_pooling():
        mended = outcome.label == "what-if"
        assert outcome.multiplier == (0.5 if mended else None), outcome.name
        assert is_calibrated(outcome, True) == mended
        assert label(outcome, True) == ("what-if, calibrated" if mended else outcome.label)
        expected = torch.softmax(outcome.logits * (0.5 if mended else 1), 0)
        torch.testing.assert_close(outcome.probabilities(True), expected)
    assert analysis.under("gem", p=7).multiplier is None, "it was fitted to another head"
    assert not path(analysis, "gem", [0], calibrated=True).calibrated
    assert path(analysis, "lse", [0], calibrated=True).calibrated


# A head that knows nothing is the one that answers.


def test_the_head_that_is_drawn_anew_is_that_of_the_pooling(network, analysis):
    outcome, head = analysis.under("gmp"), network.trained["gmp"].head
    kept = (outcome.weights * analysis.feature_maps).double().numpy()
    for seed in (0, 1):
        row = drawn_anew(head.weight, seed, 0)[1].double().numpy()
        after = redrawn(outcome, "head", seed).evidence(1).cells.numpy()
        np.testing.assert_allclose(after, np.einsum("k,kij->ij", row, kept), atol=1e-5)


def test_no_head_is_of_the_backbone(network):
    for key in KEYS:
        drawn = redrawn(analyse(network, photo()).under(key), "backbone", 0)
        assert drawn.head is network.head_under(key)


# The network itself.


def test_trained_heads_are_frozen_and_counted_once(make_network):
    head = nn.Sequential(nn.Dropout(0.9), linear(7)).train()
    own = make_network(linear(1))
    shared = dataclasses.replace(
        own, trained={key: TrainedPooling(POOLINGS[key], {}, head) for key in ("gmp", "gem", "lse")})
    assert not any(module.training for module in head.modules())
    assert not any(item.requires_grad for item in head.parameters())
    assert shared.parameters == own.parameters + CLASSES * (CHANNELS + 1)
    assert shared.digest == own.digest
    assert shared.label("gem", {"p": 3.0}) == "trained"


@pytest.mark.parametrize(("trained", "named"), [
    ({"gap": TrainedPooling(POOLINGS["gap"], {}, linear(3))}, "'gap' is the network's own"),
    ({"max": TrainedPooling(POOLINGS["gmp"], {}, linear(3))}, "'gmp' is among the trained as 'max'"),
    ({"gem": TrainedPooling(POOLINGS["gem"], {"p": 0.5}, linear(3))}, "from 1 to 100"),
    ({"gmp": TrainedPooling(POOLINGS["gmp"], {"p": 2.0}, linear(3))}, "no parameter"),
])
def test_what_cannot_be_trained_is_refused_in_a_sentence(make_network, trained, named):
    with pytest.raises(ParameterError, match=named):
        dataclasses.replace(make_network(), trained=trained)


def test_a_network_without_a_pooling_has_no_trained_ones(make_network):
    with pytest.raises(ParameterError, match="no pooling"):
        dataclasses.replace(make_network(), pooling=None, reason="None.",
                            trained={"gmp": TrainedPooling(POOLINGS["gmp"], {}, linear(3))})


def test_a_learned_pooling_is_of_the_network_that_brings_it(make_network, analysis):
    other = analysis_of(make_network(), analysis.feature_maps)
    with pytest.raises(ParameterError, match="no pooling 'gated'; expected one of gap"):
        other.under("gated")
    with pytest.raises(ParameterError, match="no pooling 'gated'"):
        other.network.head_under("gated")


def test_a_number_that_is_not_one_in_a_trained_head_is_found_under_its_pooling_alone(network, maps):
    broken = linear(9)
    broken.bias.data[2] = math.nan
    trained = {"gmp": TrainedPooling(POOLINGS["gmp"], {}, broken)}
    analysis = analysis_of(dataclasses.replace(network, trained=trained), maps)
    assert "bias" in trouble(analysis.under("gmp"))
    assert trouble(analysis.under()) is None
    assert trouble(analysis.under("gem")) is None


# In words and in files.


def test_sentences_say_under_what_and_with_which_head(network):
    analysis = analyse(network, photo())
    stated = {key: as_text(summary(analysis.under(key), 0, 1)) for key in ("gap", "gmp", "mixed")}
    assert "under" not in stated["gap"].partition(".")[0]
    assert " under GMP, with a head trained for it." in stated["gmp"]
    assert " under Mixed, a = 0.5, a what-if." in stated["mixed"]
    assert "(trained)" in account(analysis.under("gmp"), 0, True)[0]
    text = "\n".join(lines(top_answers(analysis.under(), True)))
    assert text.count("trained") == len(KEYS) - 1
    assert trained_in_words(analysis.network) == "GMP, GeM, learned attention and gated mix"


def test_records_and_summaries_carry_the_label(network):
    analysis = analyse(network, photo())
    record = json.loads(json.dumps(numbers(analysis.under("gem"), 1, True)))
    assert (record["pooling"]["label"], record["pooling"]["calibrated"], record["pooling"]["multiplier"]) == (
        "trained", False, None)
    assert [item["label"] for item in record["top"]].count("trained") == len(KEYS) - 1
    page = report_html(analysis.under("gem"), 1, True)
    assert re.search(r'class 1, under GeM, p = 2\.3725: [^<]+, rank \d <span class="badge native">trained</span>', page)
    assert "with GMP, GeM, learned attention and gated mix" in page
    assert "what-if" not in page
    other = report_html(analysis.under("gem", p=4), 1, True)
    assert "The head was trained with GeM, p = 2.3725; under GeM, p = 4 the answer is a what-if" in other
    outcomes = [analysis.under("gmp"), analysis.under("gem"), analysis.under("gem", p=4)]
    result = stability(outcomes, 1, {"shift": [(8, 0)]})
    assert [item.label for item in result.under] == ["trained", "trained", "what-if"]
    rows = probe(analysis.under("gmp"), 1, np.eye(4, dtype=bool), ("mean",)).rows
    assert [row.outcome.label for row in rows].count("trained") == len(KEYS) - 1


@pytest.mark.parametrize("key", [*KEYS, "gem:p=3", "mixed"])
def test_a_recipe_brings_the_head_and_the_parameter_back(network, key):
    pooling, parameters = parse_pooling(key)
    outcome = analyse(network, photo()).under(pooling, **parameters)
    written = read_recipe(recipe_json(recipe(outcome, 2)))
    again = repeat(written, network, photo())
    assert max(again.differences) == 0
    assert (again.outcome.label, again.outcome.parameters) == (outcome.label, outcome.parameters)
    assert again.outcome.head is outcome.head


def test_a_recipe_that_names_no_parameter_means_the_learned_one(network):
    written = recipe(analyse(network, photo()).under("gem"), 2)
    assert written["pooling"] == f"gem:p={P}"
    by_key = read_recipe(recipe_json(written | {"pooling": "gem"}))
    assert max(repeat(by_key, network, photo()).differences) == 0
