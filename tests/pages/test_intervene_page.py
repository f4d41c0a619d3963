"""The panel Intervene without a browser: what it is given, what it says back, and what the link keeps of it."""

from __future__ import annotations

import base64
import io
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer import analyse
from explorer.analysis import Analysis
from explorer.questions.intervention import Intervention
from explorer.sections.answers import answer_sentence
from explorer.ui.components.live import MOST_BYTES
from tests.explorer.tiny import analysis_of, random_maps
from tests.pages.boards import boards, components, control, is_plain_sentence, notices, unpacked
from tests.pages.clicks import follow, pick, use

PAGES = ("app.py", "pages/1_Feature_maps.py")
CHANGE = "k437x0_k12x2.5_p3.4_p3.5"
ORDERED = "k12x2.5_k437x0_p3.4_p3.5"


def given(page) -> dict:
    """What the panel shows: its data, and maps and network from where it finds them, for which the browser asks."""
    sources, panel = components(page, "source"), components(page, "intervene")["intervene_panel"]
    if "live_network" not in sources:
        use(page, "intervene_panel", "lack", panel["network"])
        sources, panel = components(page, "source"), components(page, "intervene")["intervene_panel"]
    network, maps = sources["live_network"]["network"], sources["live_maps"]["maps"]
    assert (panel["network"], panel["maps"]) == (network["key"], maps["key"])
    return panel | {"network": network["content"], "maps": maps["content"]}


def maps_of(content: dict) -> np.ndarray:
    values = zlib.decompress(base64.b64decode(content["maps"]["data"], validate=True))
    return np.frombuffer(values, "<f4").reshape(content["maps"]["shape"]).astype(np.float64)


def logits_of(panel: dict) -> np.ndarray:
    """By hand under GAP, from what the browser has."""
    maps, change = maps_of(panel["maps"]), panel["state"]["change"]
    for part in filter(None, change.split("_")):
        if part[0] == "k":
            channel, factor = part[1:].split("x")
            maps[int(channel)] *= float(factor)
        else:
            row, column = part[1:].split(".")
            maps[:, int(row), int(column)] = 0
    (step,) = panel["network"]["heads"][0]["steps"]
    rows = unpacked(step["rows"])[0][:, 0]
    return rows @ maps.mean((1, 2)) + np.array(step["shift"])


def says(page, state: dict, n: int = 1, part_alone: bool = True):
    """The browser says a state, as the panel does a moment after a change."""
    return use(page, "intervene_panel", "state", {**state, "n": n}, part_alone)


@pytest.fixture(scope="module")
def cat(network, examples) -> Analysis:
    return analyse(network, examples["cat"])


@pytest.mark.parametrize("path", PAGES)
def test_the_panel_is_closed_and_nothing_is_sent_until_it_is_opened(open_page, path):
    page = open_page(path)
    assert boards(page)["intervene"].texts("h3") == ["Intervene"]
    assert not {"live_network", "live_maps"} & set(components(page, "source"))
    assert components(page, "intervene") == {}
    control(page, "intervene").set_value(True).run()
    assert not page.exception
    assert "live_network" not in components(page, "source"), "the browser may have it"
    assert given(page)["state"] == {"c": 560, "pooling": "gap", "calibrated": True, "change": ""}
    assert page.query_params["intervene"] == "1"
    assert given(page)["photo"]["key"] == components(page, "source")["photo"]["photo"]["key"]
    assert given(page)["maps"]["photo"] == "", "the photo is there already"


@pytest.mark.parametrize("path", PAGES)
def test_what_the_browser_computes_with_gives_the_top_list_and_sentence_of_python(open_page, cat, path):
    page = open_page(path, example="cat", change=CHANGE, intervene="1")
    panel = given(page)
    assert panel["state"]["change"] == page.query_params["change"] == ORDERED
    logits, outcome = logits_of(panel), Intervention.parse(CHANGE).on(cat).under()
    near = panel["maps"]["rounding"] * 2 + 1e-3
    assert np.abs(logits - outcome.logits.numpy()).max() < near
    assert np.abs(logits - cat.under().logits.numpy()).max() > 10 * near
    best = np.argsort(-logits)[:5].tolist()
    assert best == [answer.class_index for answer in outcome.top(5)]
    share = np.exp(logits[best[0]] - logits.max()) / np.exp(logits - logits.max()).sum()
    assert f"Prediction: {panel['network']['names'][best[0]]}, {round(100 * share)}%." == "".join(
        answer_sentence(outcome))


def test_it_opens_with_the_class_and_the_pooling_of_the_page(open_page):
    page = open_page(intervene="1", pooling="gem:p=4", calibrated="0", **{"class": "652"})
    assert given(page)["state"] == {"c": 652, "pooling": "gem", "parameter": 4, "calibrated": False, "change": ""}


def test_a_change_in_the_browser_comes_into_the_link_and_draws_the_panel_alone(open_page):
    page = open_page(intervene="1")
    state = given(page)["state"]
    says(page, state | {"change": CHANGE})
    assert page.query_params["change"] == ORDERED
    panel = components(page, "intervene")["intervene_panel"]
    assert (panel["state"]["change"], panel["number"]) == (ORDERED, 1)
    assert boards(page) == components(page, "source") == {}, "nothing else is drawn, and nothing sent again"


def test_a_class_and_a_pooling_that_are_chosen_in_the_panel_are_those_of_the_page(open_page):
    page = open_page(intervene="1")
    says(page, given(page)["state"] | {"c": 652, "pooling": "gem", "parameter": 4.5}, part_alone=False)
    assert page.query_params["class"] == "652"
    assert page.query_params["pooling"] == "gem:p=4.5"
    assert control(page, "pooling").value == "gem:p=4.5"
    assert given(page)["state"]["parameter"] == 4.5


def test_the_prediction_is_no_choice_as_long_as_the_panel_shows_it(open_page):
    page = open_page(intervene="1")
    says(page, given(page)["state"] | {"change": "k1x0"}, part_alone=False)
    assert page.session_state["poolscope"].choices.class_index is None


@pytest.mark.parametrize("changed", [
    {"change": "nonsense"}, {"change": "k99999x0"}, {"change": "p40.0"}, {"c": 99999}, {"c": "560"}, {"c": 1.5},
    {"pooling": "nothing"}, {"pooling": "gem", "parameter": 5000}, {"pooling": "gem", "parameter": "x"},
    {"pooling": None}, {"change": None}, {"c": [], "pooling": {}},
])
def test_a_state_that_no_panel_can_have_is_not_taken(open_page, changed):
    page = open_page(intervene="1")
    before = dict(page.query_params)
    says(page, given(page)["state"] | changed, part_alone=False)
    assert not page.exception
    assert dict(page.query_params) == before


def test_back_and_forward_bring_the_changes_of_the_link(open_page):
    page = open_page(intervene="1")
    before = dict(page.query_params)
    says(page, given(page)["state"] | {"change": "k12x0"}, part_alone=False)
    after = dict(page.query_params)
    follow(page, before)
    assert given(page)["state"]["change"] == ""
    follow(page, after)
    assert given(page)["state"]["change"] == "k12x0"


def test_another_photo_and_another_network_begin_without_changes(open_page):
    page = open_page(intervene="1", change=CHANGE)
    pick(page, "examples", "coffee")
    assert "change" not in page.query_params
    assert given(page)["state"]["change"] == ""
    page = open_page(intervene="1", change=CHANGE)
    session = page.session_state["poolscope"]
    session.choose(network="flowers")
    page.run()
    assert (session.choices.change, session.choices.intervene) == ("", True)
    session.choose(network="efficientnet_lite0")
    page.run()
    assert session.choices.change == ORDERED


@pytest.mark.parametrize(("change", "sentence"), [
    ("k5000x0", "There is no channel 5000; expected 0 to 1279. The feature maps are shown unchanged."),
    ("p7.0", "There is no position (7, 0); expected rows 0 to 6 and columns 0 to 6. The feature maps are shown "
             "unchanged."),
    ("k12", "The link asks for change “k12”, which does not exist; the usual is shown."),
])
def test_a_link_to_what_does_not_exist_is_answered_with_one_sentence(open_page, change, sentence):
    page = open_page(change=change, intervene="1")
    assert notices(page) == [sentence]
    assert is_plain_sentence(sentence)
    assert given(page)["state"]["change"] == ""
    assert "change" not in page.query_params


def test_the_live_page_that_can_be_downloaded_begins_with_the_change(open_page, files):
    page = open_page(intervene="1")
    says(page, given(page)["state"] | {"change": "k12x0_p3.4"})
    (made,) = (make for name, make in files.items() if name.endswith("live.html"))
    assert '"k12x0_p3.4"' in made()


def test_all_files_of_explore_hold_what_the_panel_shows(open_page, files, cat, examples):
    page = open_page(example="cat", intervene="1")
    says(page, given(page)["state"] | {"change": "k12x0_p3.4"})
    made = {name.rpartition(".")[2]: make for name, make in files.items() if not name.endswith("live.html")}
    changed = Intervention.parse("k12x0_p3.4").on(cat).under()
    record = json.loads(made["json"]())
    assert record["change"] == record["recipe"]["change"] == "k12x0_p3.4"
    assert "Changed: channel 12 muted, position (3, 4) ignored." in made["html"]()
    class_index = changed.analysis.network.class_names.index(record["class"]["name"])
    with np.load(io.BytesIO(made["npz"]())) as arrays:
        np.testing.assert_allclose(arrays["cells"], changed.evidence(class_index).cells.numpy(), atol=1e-6)


def test_a_closed_panel_says_what_was_changed_in_it(open_page):
    page = open_page(change="k12x0_p3.4")
    assert boards(page)["intervene_closed"].text == (
        "Changed when it was closed: channel 12 muted, position (3, 4) ignored.")


@pytest.mark.parametrize("path", PAGES)
def test_without_evidence_there_is_a_reason_in_its_place(open_page, put, make_network, path):
    network = replace(make_network(), pooling=None, head=torch.nn.Sequential(
        torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten(), torch.nn.Linear(5, 4)), reason="It pools nothing here.")
    page = open_page(path, layer="blocks.4", intervene="1", change="k1x0")
    assert not page.exception
    put(analysis_of(network, random_maps()))
    session = page.session_state["poolscope"]
    assert boards(page)["intervene"].texts("p") == [
        "Evidence is exact only where the network pools: at its final feature maps; blocks.4 is looked at by "
        "gradients."]
    assert components(page, "intervene") == {}
    assert session.choices.change == "k1x0", "it waits for the final feature maps"


def test_the_page_s_class_is_at_hand_under_a_head_that_is_not_affine(open_page, put, make_network):
    torch.manual_seed(0)
    head = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 200))
    analysis = analysis_of(make_network(head, classes=200), random_maps())
    put(analysis)
    likeliest, least = (int(place) for place in analysis.under().logits.argsort(descending=True)[[0, -1]])
    keys = []
    for class_index in (likeliest, least):
        page = open_page(**{"class": str(class_index)}, intervene="1")
        assert class_index in given(page)["maps"]["classes"]
        keys.append(components(page, "intervene")["intervene_panel"]["maps"])
    assert keys[0] != keys[1]
    assert least not in given(open_page(**{"class": str(likeliest)}, intervene="1"))["maps"]["classes"]


def test_what_is_too_large_for_a_browser_is_not_sent(open_page, put, cat):
    page = open_page()
    rows = MOST_BYTES // 4 // 1280 // 50
    put(replace(cat, feature_maps=torch.zeros(1280, rows, 51), framing=cat.framing.on_grid(rows, 51)))
    page = open_page(intervene="1")
    (sentence,) = boards(page)["intervene"].texts("p")
    assert is_plain_sentence(sentence)
    assert "expected at most 24 MB" in sentence
    assert components(page, "intervene") == {}


def test_hostile_names_are_only_ever_json(open_page, put, cat):
    names = tuple(f"<img src=x onerror=alert({n})>" for n in range(1000))
    put(replace(cat, network=replace(cat.network, class_names=names)))
    assert given(open_page(intervene="1"))["network"]["names"] == list(names)
