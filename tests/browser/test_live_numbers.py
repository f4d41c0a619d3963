"""live.js against Python: the algebra after the feature maps gives the same numbers in a real browser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.live import PARAMETERS, READ
from explorer import POOLINGS, analyse, load_network
from explorer.evidence import Evidence
from explorer.live.data import network_data, photo_data
from explorer.live.scripts import ALGEBRA, read
from explorer.networks.head import UnitNorm
from explorer.questions.intervention import Intervention
from explorer.sections.answers import answer_sentence
from explorer.wording import evidence_sentence

# What is compared with Python, of one pooling and some classes.
ASK = """({pooling, parameter, classes, change}) => {
  const maps = change ? live.changed(change) : live, outcome = maps.under(pooling, parameter ?? undefined);
  return {pooled: [...outcome.pooled], logits: [...outcome.logits], probabilities: [...outcome.probabilities(true)],
    label: outcome.label, multiplier: outcome.multiplier, sentence: answerSentence(outcome, true),
    top: outcome.top(5).map(({c}) => c),
    classes: classes.map((c) => {
      const {cells, channels, baseline, residual} = outcome.evidence(c);
      return {cells: [...cells], channels: [...channels], baseline, residual,
        sentence: evidenceSentence(cells, maps.rows, maps.columns, "it")};
    })};
}"""
SCALE = 1e-4  # of the largest logit, and what 16 bits a weight add


@pytest.fixture(scope="module")
def blank(windows):
    with windows.blank() as page:
        page.add_script_tag(content=read("shared.js", *ALGEBRA))
        yield page


def normed(network):
    """The bundled network with a LayerNorm and a cosine's norm before its Linear."""
    generator = torch.Generator().manual_seed(1)
    norm = torch.nn.LayerNorm(1280)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(1280, generator=generator) + 0.5)
        norm.bias.copy_(torch.randn(1280, generator=generator) / 10)
    return replace(network, head=torch.nn.Sequential(norm, UnitNorm(), network.head), digest="normed")


@pytest.fixture(scope="module", params=["bundled", "flowers", "normed"])
def network(request):
    if request.param == "flowers":
        return load_network("flowers")
    bundled = load_network("efficientnet_lite0")
    return normed(bundled) if request.param == "normed" else bundled


def analysed(network, examples):
    """Two photos, one of them at its own aspect; benchmarks/live.py compares six."""
    return [analyse(network, examples["cat"]), analyse(network, examples["coffee"], "whole")]


def compare(answer: dict, outcome, classes: list[int], rounding: float) -> None:
    scale = float(outcome.logits.abs().max())
    near = SCALE * scale + 2 * rounding
    pooled = outcome.pooled.numpy()
    assert np.abs(answer["pooled"] - pooled).max() <= 1e-5 * max(1, np.abs(pooled).max())
    assert np.abs(answer["logits"] - outcome.logits.numpy()).max() <= near
    assert np.abs(answer["probabilities"] - outcome.probabilities(True).numpy()).max() <= near
    assert answer["label"] == outcome.label
    assert answer["multiplier"] == (None if outcome.multiplier is None else pytest.approx(outcome.multiplier))
    for index, own in zip(classes, answer["classes"], strict=True):
        evidence: Evidence = outcome.evidence(index)
        assert np.abs(np.array(own["cells"]) - evidence.cells.numpy().ravel()).max() <= near
        assert np.abs(np.array(own["channels"]) - evidence.channels.numpy()).max() <= near
        assert own["baseline"] == pytest.approx(evidence.baseline, abs=near)
        assert abs(own["residual"] - evidence.residual) <= near


def test_pooled_vectors_logits_evidence_and_contributions_are_those_of_python(blank, network, examples):
    data = network_data(network)
    draw = np.random.default_rng(0)
    for analysis in analysed(network, examples):
        photo = photo_data(analysis, photo=False)
        assert photo["rounding"] <= SCALE * float(analysis.under().logits.abs().max())
        blank.evaluate(READ, {"network": data, "photo": photo})
        classes = draw.choice(len(network.class_names), min(20, len(network.class_names)), replace=False).tolist()
        for key in network.poolings:
            for parameter in PARAMETERS.get(key, (None,)):
                name = POOLINGS[key].parameter.name if parameter is not None else ""
                outcome = analysis.under(key, **({name: parameter} if name else {}))
                answer = blank.evaluate(ASK, {"pooling": key, "parameter": parameter, "classes": classes})
                compare(answer, outcome, classes, photo["rounding"])


def test_twenty_random_interventions_give_the_numbers_of_python(blank, network, examples):
    draw, data = np.random.default_rng(1), network_data(network)
    analysis = analyse(network, examples["cat"])
    photo = photo_data(analysis, photo=False)
    blank.evaluate(READ, {"network": data, "photo": photo})
    channels, rows, columns = analysis.feature_maps.shape
    keys = list(network.poolings)
    for n in range(20):
        factors = {int(k): float(draw.choice([0, 0.5, 2.5])) for k in draw.choice(channels, 1 + 8 * n, replace=False)}
        ignored = [divmod(int(at), columns) for at in draw.choice(rows * columns, 2 * n % 40, replace=False)]
        changed = Intervention(factors, frozenset(ignored)).on(analysis)
        key = keys[n % len(keys)]
        change = {"channels": factors, "positions": [i * columns + j for i, j in ignored]}
        classes = draw.choice(len(network.class_names), 3).tolist()
        answer = blank.evaluate(ASK, {"pooling": key, "parameter": None, "classes": classes, "change": change})
        compare(answer, changed.under(key), classes, photo["rounding"])


def test_sentences_are_those_of_python(blank, network, examples):
    data = network_data(network)
    for analysis in analysed(network, examples):
        blank.evaluate(READ, {"network": data, "photo": photo_data(analysis, photo=False)})
        for key in network.poolings:
            outcome, first = analysis.under(key), analysis.under(key).top(1)[0].class_index
            answer = blank.evaluate(ASK, {"pooling": key, "classes": [first, 0, 1]})
            assert answer["sentence"] == "".join(answer_sentence(outcome, True))
            assert answer["top"] == [one.class_index for one in outcome.top(5)]
            for index, own in zip((first, 0, 1), answer["classes"], strict=True):
                assert own["sentence"] == evidence_sentence(outcome.evidence(index).cells.numpy(), "it")
