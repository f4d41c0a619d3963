"""The summary is one well-formed file that asks for nothing, and its words, numbers and pictures are the analysis's."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import ExplorerError, analyse
from explorer.export.recipe import read_recipe, repeat
from explorer.export.report import POLICY, report_html
from explorer.wording import percent, plain

HELMET, RETRIEVER = 560, 207
HOSTILE = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)> & \"'\x00\ud800\n猫"
VOID = {"meta", "img"}


class Tree(HTMLParser):
    """The elements of a page in order, as (tag, attributes, text inside); fails on what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        element = (tag, dict(attributes), [])
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for element in self._open:
            element[2].append(data)

    def all(self, tag: str, class_: str | None = None) -> list[tuple[dict[str, str], str]]:
        return [(attributes, "".join(text)) for name, attributes, text in self.elements
                if name == tag and class_ in (None, attributes.get("class"))]

    def text(self, tag: str, class_: str | None = None) -> list[str]:
        return [text for _, text in self.all(tag, class_)]

    def picture(self, alt: str) -> np.ndarray:
        (source,) = (attributes["src"] for attributes, _ in self.all("img") if attributes["alt"] == alt)
        kind, _, data = source.partition(",")
        assert kind == "data:image/jpeg;base64"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), dtype=np.float64)


@pytest.fixture(scope="module")
def astronaut(network, examples):
    return analyse(network, examples["astronaut"])


@pytest.fixture(scope="module")
def page(astronaut) -> str:
    return report_html(astronaut.under(), HELMET)


@pytest.fixture(scope="module")
def tree(page) -> Tree:
    return Tree(page)


def redness(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0] - (pixels[..., 1] + pixels[..., 2]) / 2


def test_it_asks_for_nothing_from_outside_and_has_no_script(page, tree):
    policies = [attributes["content"] for attributes, _ in tree.all("meta")
                if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [POLICY] == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert {tag for tag, _, _ in tree.elements}.isdisjoint({"script", "link", "iframe", "object", "form", "base"})
    addresses = [value for _, attributes, _ in tree.elements for name, value in attributes.items()
                 if name in {"src", "href", "srcset", "action", "poster"}]
    assert len(addresses) == 3, "the photo, its map and the recipe"
    assert all(address.startswith("data:") for address in addresses)
    assert not [name for _, attributes, _ in tree.elements for name in attributes if name.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"https?:|//[a-z]", re.sub(r"data:[^\"]*", "", page))


def test_it_is_one_small_file_in_both_colours_and_for_paper(page):
    assert page.startswith("<!DOCTYPE html>\n<html lang=\"en\">")
    assert len(page.encode()) < 3e5
    for words in ("color-scheme: light dark", "@media print", "max-width: 1100px", "tabular-nums"):
        assert words in page


def test_a_large_photo_makes_no_large_file(network, examples):
    pixels = np.asarray(examples["cat"].resize((3000, 2000)), dtype=np.int16)
    noise = np.random.default_rng(0).normal(0, 20, pixels.shape)
    photo = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
    text = report_html(analyse(network, photo, short_side=96).under("gem"), RETRIEVER)
    assert len(text.encode()) < 1.2e6
    assert max(Tree(text).picture("The photo").shape[:2]) == 1200


def test_it_says_what_the_network_says(tree, astronaut):
    probability = float(torch.softmax(astronaut.network(astronaut.input)[0], 0)[HELMET])
    assert tree.text("h1") == [f"Prediction: football helmet, {probability:.0%}."]
    (lead,) = tree.text("p", "lead")
    assert re.match(r"Six of 49 positions, at the lower right, hold \d\d% of the positive evidence\. Runner-up: ", lead)


def test_a_class_and_a_pooling_that_are_not_the_answer_are_said_to_be_so(astronaut):
    tree = Tree(report_html(astronaut.under("gmp"), RETRIEVER, calibrated=True))
    assert tree.text("h1")[0].startswith("Prediction: football helmet")
    (shown,) = (text for text in tree.text("p") if text.startswith("Shown here"))
    answer = astronaut.under("gmp").answer(RETRIEVER)
    assert shown.startswith("Shown here: golden retriever, under GMP: ")
    assert f"rank {answer.rank} what-if, calibrated × 0." in shown
    assert "golden retriever under GMP" in tree.text("p", "lead")[0]


def test_where_the_true_class_stands_is_said_in_the_shown_pooling(astronaut):
    for key, calibrated in (("gap", False), ("gmp", True)):
        outcome = astronaut.under(key)
        logits = outcome.logits.double()
        factor = outcome.multiplier if calibrated else 1
        share = float(torch.softmax(logits * factor, 0)[RETRIEVER])
        rank, most = 1 + int((logits > logits[RETRIEVER]).sum()), int(logits.argmax())
        logit, behind = plain(float(logits[RETRIEVER])), plain(float(logits[most] - logits[RETRIEVER]))
        sentence = (f"True class: golden retriever, rank {rank} ({percent(share)}, logit {logit}), {behind} logits "
                    f"behind {astronaut.network.class_names[most]}.")
        assert sentence in Tree(report_html(outcome, HELMET, calibrated, truth=RETRIEVER)).text("p")
        assert not [text for text in Tree(report_html(outcome, HELMET)).text("p") if "True class" in text]
    with pytest.raises(ExplorerError, match="no class 1000"):
        report_html(astronaut.under(), HELMET, truth=1000)


def test_a_what_if_is_explained_where_there_is_one(astronaut):
    trained = "The head was trained with GAP; under GMP the answer is a what-if"
    for calibrated, trust in ((False, ", and its probabilities are mostly overconfident."),
                              (True, ", its logits multiplied by one fitted number, which changes no rank.")):
        assert Tree(report_html(astronaut.under("gmp"), RETRIEVER, calibrated)).text("p", "note")[0] == trained + trust
        for index in (HELMET, RETRIEVER):
            assert "what-if" not in " ".join(Tree(report_html(astronaut.under(), index, calibrated)).text("body"))


def test_the_sum_of_the_map_adds_up_under_each_pooling_and_its_legend_has_the_largest_evidence(astronaut):
    for key in ("gap", "gmp", "attention"):
        tree = Tree(report_html(astronaut.under(key), RETRIEVER))
        caption = tree.text("figcaption")[1]
        assert caption.startswith("golden retriever, under ")
        logit, baseline, sign, evidence = re.search(
            r"logit (−?[\d.]+) = baseline (−?[\d.]+) ([+−]) evidence ([\d.]+)", caption).groups()
        numbers = [float(text.replace("−", "-")) for text in (baseline, sign + evidence)]
        assert float(logit.replace("−", "-")) == pytest.approx(math.fsum(numbers), abs=0.016)
        assert "exact, residual " in caption
        largest = float(astronaut.under(key).evidence(RETRIEVER).cells.abs().max())
        assert {f"+{largest:.2f}", f"−{largest:.2f}"} <= set(tree.text("span"))


def test_the_pictures_are_reddest_where_the_evidence_is_largest(tree, astronaut):
    plain = tree.picture("The photo")
    assert plain.shape == (512, 512, 3)
    cells = astronaut.under().evidence(HELMET).cells.numpy()
    painted = tree.picture("Evidence for football helmet, laid over the photo")
    change = redness(painted) - redness(plain)
    seen = change[32:480, 32:480].reshape(7, 64, 7, 64)[:, 8:56, :, 8:56].mean((1, 3))
    assert np.unravel_index(seen.argmax(), (7, 7)) == np.unravel_index(cells.argmax(), (7, 7))
    outside = painted[:24]
    assert np.ptp(outside, axis=-1).max() < 16  # grey: never seen


def test_the_facts_are_there(tree, astronaut):
    facts = dict(zip(tree.text("dt"), tree.text("dd"), strict=True))
    assert facts["Weights, sha256"] == astronaut.network.digest
    assert facts["Network"] == "EfficientNet-Lite0 (ImageNet, bundled)"
    assert facts["Head"].startswith("affine")
    assert facts["Photo"] == "512 × 512 px"
    assert facts["Part of it seen"] == "32 to 480 px across, 32 to 480 px down"
    assert facts["Input"] == "224 × 224 px"
    assert facts["Positions"] == "7 rows × 7 columns"
    (versions,) = tree.text("footer")
    assert f"torch {torch.__version__}" in versions


def test_the_recipe_in_it_repeats_it(astronaut, network, examples):
    outcome = astronaut.under("gem", p=2.3456789)
    tree = Tree(report_html(outcome, RETRIEVER, calibrated=True))
    (link,) = (attributes for attributes, _ in tree.all("a"))
    assert link["download"] == "recipe.json"
    kind, _, data = link["href"].partition(",")
    assert kind == "data:application/json;base64"
    kept = base64.b64decode(data)
    assert json.loads(kept)["pooling"] == "gem:p=2.3456789"
    again = repeat(read_recipe(kept), network, examples["astronaut"])
    assert again.differences == (0, 0)
    assert (again.class_index, again.calibrated) == (RETRIEVER, True)
    assert tree.text("code") == ["python -m explorer photo.jpg --recipe recipe.json --report"]


def test_names_of_a_user_stay_text(make_network, examples):
    tiny = replace(make_network(classes=2), title=HOSTILE, origin=HOSTILE, class_names=(HOSTILE, HOSTILE + "2"))
    outcome = analyse(tiny, examples["cat"]).under("gmp")
    page = report_html(outcome, 0)
    page.encode()
    tree = Tree(page)
    assert {tag for tag, _, _ in tree.elements}.isdisjoint({"script"})
    assert not [attributes for _, attributes, _ in tree.elements if "onerror" in attributes]
    shown = HOSTILE.replace("\x00", "").replace("\ud800", "")
    assert tree.text("title") == [f"{shown}, under GMP"]
    assert f"PoolScope · {shown}" in tree.text("p")
    assert "\x00" not in page


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_said_to_be_none(make_network, examples, number):
    head = nn.Linear(5, 2)
    nn.init.constant_(head.weight, number)
    tree = Tree(report_html(analyse(make_network(head, classes=2), examples["cat"]).under(), 1))
    assert tree.text("h1")[0].endswith(", not a number.")
    assert "not a number at 16 of 16 positions" in tree.text("p", "lead")[0]
    assert "logit not a number = baseline" in tree.text("figcaption")[1]
    assert not re.search(r"\bnan\b|\binf\b", " ".join(tree.text("body")))


def test_one_class_and_one_position_are_enough(make_network, examples):
    class One(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3), keepdim=True)

    tiny = replace(make_network(nn.Linear(3, 1), classes=1), backbone=One())
    tree = Tree(report_html(analyse(tiny, examples["cat"].resize((20, 700)), "squash").under(), 0))
    assert tree.text("h1") == ["Prediction: class 0, 100%."]
    assert "grey" not in " ".join(tree.text("figcaption"))


def test_a_head_that_is_not_affine_is_said_to_be_integrated(make_network, examples):
    head = nn.Sequential(nn.Linear(5, 8), nn.Hardswish(), nn.Linear(8, 3))
    tree = Tree(report_html(analyse(make_network(head, classes=3), examples["cat"]).under(), 2))
    assert "integrated, residual " in tree.text("figcaption")[1]
    assert "not affine: its evidence is integrated" in tree.text("dd")


def test_a_class_that_does_not_exist_is_refused(astronaut):
    for index in (1000, -1):
        with pytest.raises(ExplorerError, match=f"no class {index}"):
            report_html(astronaut.under(), index)
