"""A live page is one file that asks for nothing, runs one known script, and holds the numbers that Python has."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from explorer import ExplorerError, analyse
from explorer.errors import MethodError, ParameterError
from explorer.export.recipe import read_recipe, repeat
from explorer.live.page import live_page
from explorer.questions.intervention import Intervention

HOSTILE = "</script></style></title><script>alert(1)</script><img src=x onerror=alert(1)><!-- & \"'\x00\ud800 猫"
RETRIEVER = 207


class Elements(HTMLParser):
    """The elements of a page: (tag, attributes, text)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str], list[str]]] = []
        self.is_open = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.all.append((tag, dict(attributes), []))
        self.is_open = True

    def handle_endtag(self, tag):
        self.is_open = False

    def handle_data(self, data):
        if self.is_open:
            self.all[-1][2].append(data)

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return ["".join(text) for name, own, text in self.all
                if name == tag and attributes.items() <= own.items()]

    def data(self, name: str) -> dict:
        (text,) = self.texts("script", type="application/json", id=name)
        return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))

    @property
    def policy(self) -> dict[str, str]:
        (content,) = (own["content"] for tag, own, _ in self.all
                      if tag == "meta" and own.get("http-equiv") == "Content-Security-Policy")
        return dict(part.strip().split(" ", 1) for part in content.split(";"))

    @property
    def scripts(self) -> list[str]:
        return ["".join(text) for tag, own, text in self.all if tag == "script" and "type" not in own]


@pytest.fixture(scope="module")
def astronaut(network, examples):
    return analyse(network, examples["astronaut"])


@pytest.fixture(scope="module")
def page(astronaut) -> str:
    return live_page([astronaut], ["astronaut.jpg"])


@pytest.fixture(scope="module")
def elements(page) -> Elements:
    return Elements(page)


def numbers(packed: dict) -> np.ndarray:
    """An array that was packed to the last bit."""
    return np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), "<f4").reshape(packed["shape"])


def test_the_policy_lets_one_script_run_and_nothing_be_fetched(elements):
    (script,) = elements.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert elements.policy == {"default-src": "'none'", "script-src": f"'sha256-{digest}'",
                               "style-src": "'unsafe-inline'", "img-src": "data: blob:"}


def test_the_policy_stands_before_all_that_it_is_about(page):
    assert page.index("Content-Security-Policy") < min(page.index("<style"), page.index("<script"))


def test_nothing_is_asked_for_from_outside(page, elements):
    addresses = [value for _, own, _ in elements.all for name, value in own.items()
                 if name in {"src", "href", "srcset", "action"}]
    assert addresses == []
    assert {tag for tag, _, _ in elements.all}.isdisjoint({"link", "iframe", "object", "form", "base", "img"})
    assert not [name for _, own, _ in elements.all for name in own if name.startswith("on")]
    assert not re.search(r"https?:|@import|url\(", page)
    (script,) = elements.scripts
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "importScripts", "eval(", "new Function", "innerHTML"):
        assert word not in script


def test_the_script_ends_nowhere_but_at_its_end(elements):
    (script,) = elements.scripts
    assert "</script" not in script.lower()
    assert "<!--" not in script


def test_a_page_of_a_thousand_classes_and_a_photo_has_at_most_four_and_a_half_megabytes(page, network):
    assert len(network.class_names) == 1000
    assert 1e6 < len(page.encode()) <= 4.5e6


def test_the_feature_maps_are_those_of_the_analysis_to_the_last_bit(elements, astronaut):
    maps = numbers(elements.data("photo-0")["maps"])
    assert maps.shape == (1280, 7, 7)
    assert np.array_equal(maps, astronaut.feature_maps.numpy())


def test_the_names_the_photo_and_its_framing_are_there(elements, astronaut, network):
    assert elements.data("network")["names"] == list(network.class_names)
    photo = elements.data("photo-0")
    assert (photo["size"], photo["seen"]) == ([512, 512], [32, 32, 480, 480])
    kind, _, data = photo["photo"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (512, 512)
    assert [one["name"] for one in elements.data("about")["photos"]] == ["astronaut.jpg"]


def test_network_and_versions_are_named(elements, network):
    facts = dict(zip(elements.texts("dt"), elements.texts("dd"), strict=True))
    assert facts["Weights, sha256"] == network.digest
    assert f"torch {torch.__version__}" in facts["Made with"]


def test_the_recipe_in_it_repeats_it(astronaut, network, examples):
    page = live_page([astronaut], ["a"], class_index=RETRIEVER, pooling="gem:p=2.5", calibrated=False)
    again = repeat(read_recipe(Elements(page).data("photo-0")["recipe"]), network, examples["astronaut"])
    assert again.differences == (0, 0)
    assert (again.class_index, again.calibrated, str(again.outcome.choice)) == (RETRIEVER, False, "gem:p=2.5")


def test_what_is_shown_first_can_be_chosen(astronaut, elements):
    usual = {"c": None, "pooling": None, "parameter": None, "calibrated": True, "change": ""}
    assert elements.data("about")["state"] == usual
    page = live_page([astronaut], ["a"], class_index=RETRIEVER, pooling="topk:share=0.2", calibrated=False,
                     change="p3.4_k12x0.50")
    assert Elements(page).data("about")["state"] == {
        "c": RETRIEVER, "pooling": "topk", "parameter": 0.2, "calibrated": False, "change": "k12x0.5_p3.4"}


def test_several_photos_stand_in_their_order_each_with_its_own_maps(network, examples):
    analyses = [analyse(network, examples[name], framing, 96)
                for name, framing in (("cat", "crop"), ("coffee", "whole"), ("cat", "squash"))]
    elements = Elements(live_page(analyses, ["cat", "coffee", "again"]))
    assert [one["name"] for one in elements.data("about")["photos"]] == ["cat", "coffee", "again"]
    for n, analysis in enumerate(analyses):
        assert np.array_equal(numbers(elements.data(f"photo-{n}")["maps"]), analysis.feature_maps.numpy())
    assert elements.texts("title") == ["3 photos, EfficientNet-Lite0"]


def test_a_photo_that_is_left_out_is_nowhere_in_it(astronaut, page):
    bare = live_page([astronaut], ["a"], photos=False)
    assert "image/jpeg" in page
    assert "image/" not in bare
    assert Elements(bare).data("photo-0")["size"] == [512, 512]


def test_hostile_names_stay_text(make_network, examples):
    tiny = replace(make_network(classes=2), title=HOSTILE, origin=HOSTILE, class_names=(HOSTILE, HOSTILE + "2"))
    page = live_page([analyse(tiny, examples["cat"])], [HOSTILE])
    page.encode()
    elements, plain = Elements(page), Elements(live_page([analyse(make_network(classes=2), examples["cat"])], ["cat"]))
    assert [tag for tag, _, _ in elements.all] == [tag for tag, _, _ in plain.all]
    assert not [own for _, own, _ in elements.all if "onerror" in own]
    assert elements.data("network")["names"] == [HOSTILE, HOSTILE + "2"]
    assert elements.data("about")["photos"][0]["name"] == HOSTILE
    assert elements.scripts == plain.scripts
    assert elements.policy == plain.policy


def test_a_head_that_is_not_affine_brings_its_likeliest_classes_with_each_photo(make_network, examples):
    head = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.GELU(), torch.nn.Linear(8, 30))
    analysis = analyse(make_network(head, classes=30), examples["cat"])
    photo = Elements(live_page([analysis], ["cat"])).data("photo-0")
    best = [answer.class_index for answer in analysis.under().top(5)]
    assert photo["classes"][:5] == best
    assert photo["names"][:5] == [analysis.network.class_names[index] for index in best]


def test_the_class_that_is_shown_first_is_at_hand_also_where_it_is_the_least_likely(make_network, examples):
    head = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.GELU(), torch.nn.Linear(8, 300))
    analysis = analyse(make_network(head, classes=300), examples["cat"])
    last = analysis.under().top(300)[-1].class_index
    assert last not in Elements(live_page([analysis], ["cat"])).data("photo-0")["classes"]
    assert last in Elements(live_page([analysis], ["cat"], class_index=last)).data("photo-0")["classes"]


def test_numbers_that_json_has_no_word_for_are_null(make_network, examples):
    head = torch.nn.Linear(5, 2)
    torch.nn.init.constant_(head.bias, float("nan"))
    data = Elements(live_page([analyse(make_network(head, classes=2), examples["cat"])], ["cat"])).data("network")
    assert data["heads"][0]["steps"][0]["shift"] == [None, None]


def test_photos_by_several_networks_are_refused_in_a_sentence(astronaut, make_network, examples):
    with pytest.raises(ParameterError, match=r"^A live page is of one network; expected photos by one, got 2\.$"):
        live_page([astronaut, analyse(make_network(), examples["cat"])], ["a", "b"])


def test_no_photo_and_too_many_are_refused_in_a_sentence(make_network, examples):
    analysis = analyse(make_network(), examples["cat"])
    for analyses in ([], [analysis] * 25):
        with pytest.raises(ParameterError, match=rf"^A live page has 1 to 24 photos; got {len(analyses)}\.$"):
            live_page(analyses, ["cat"] * len(analyses))


@pytest.mark.parametrize(("choice", "words"), [
    ({"class_index": 1000}, "no class 1000"), ({"pooling": "median"}, "median"), ({"pooling": "gem:p=-1"}, "p"),
    ({"change": "k12"}, "k12")])
def test_a_choice_that_does_not_exist_is_refused(astronaut, choice, words):
    with pytest.raises(ExplorerError, match=words):
        live_page([astronaut], ["a"], **choice)


def test_feature_maps_that_are_changed_already_are_refused(astronaut):
    with pytest.raises(ParameterError, match="changed already"):
        live_page([Intervention.parse("k12x0").on(astronaut)], ["a"])


def test_without_evidence_there_is_no_page(network, examples):
    with pytest.raises(MethodError):
        live_page([analyse(network, examples["cat"], layer=network.layers.all[0].key)], ["cat"])
