"""A network with heads trained with poolings of their own, on the pages: a small one under the name of flowers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from explorer import POOLINGS, analyse, load_network
from explorer.networks import Network
from explorer.networks.loading.bundled import TITLES
from explorer.networks.trained_heads import TrainedPooling
from explorer.poolings.learned import gated, learned_attention
from explorer.ui.session import cache
from explorer.ui.session.cache import bytes_of, is_in_memory
from tests.pages.boards import boards, components, control, notices, viewers
from tests.pages.clicks import follow, pick, use
from tests.pages.memory import forget

PAGES = ("app.py", "pages/1_Feature_maps.py", "pages/2_Poolings.py", "pages/3_Activation_maps.py", "pages/4_Why.py",
         "pages/7_Method.py")
POOLS, MAPS = PAGES[2], PAGES[3]
P = 2.3725001811981201  # learned, as a float32 is
CLASSES = ("daisy", "dandelion", "rose")


def linear(seed: int, channels: int = 5) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(channels, len(CLASSES))


@pytest.fixture
def flowers(make_network, monkeypatch) -> Network:
    """In the place of the bundled network, until the test ends."""
    query, gate = (torch.randn(5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    poolings = (POOLINGS["gmp"], {}), (POOLINGS["gem"], {"p": P}), (learned_attention(query), {}), (
        gated(gate, torch.zeros(1)), {})
    small = dataclasses.replace(
        make_network(linear(3)), name="flowers", title=TITLES["flowers"], class_names=CLASSES, trained={
            pooling.key: TrainedPooling(pooling, parameters, linear(seed))
            for seed, (pooling, parameters) in enumerate(poolings, 4)})
    monkeypatch.setattr(cache, "load_network", lambda name, progress=None: small if name == "flowers" else (
        load_network(name)))
    forget("flowers")
    yield small
    forget("flowers")


@pytest.fixture
def open_flowers(flowers, open_page):
    return lambda page="app.py", **link: open_page(page, network="flowers", **link)


def labels(page: AppTest) -> list[str]:
    return [column.one("badge").text for column in boards(page)["answers"].all("column")]


def names(page: AppTest) -> list[str]:
    return [column.one("h3").text for column in boards(page)["answers"].all("column")]


# Choosing it.


def test_it_is_listed_beside_the_other_bundled_one_and_a_click_takes_it(flowers, open_page):
    page = open_page(example="cat")
    page.button(key="change_network").click().run()
    rows = boards(page)["picker_names"].all("network")
    assert [(row.pick, row.one("name").text) for row in rows] == list(TITLES.items())
    assert all("with this app" in row.text for row in rows)
    assert not is_in_memory("flowers"), "a name needs no network"
    pick(page, "picker_names", "flowers")
    assert not page.exception
    assert page.query_params["network"] == "flowers"
    assert page.query_params["pooling"] == "gap"
    assert "poolings trained: GAP, GMP, GeM, learned attention, gated mix" in boards(page)["examples"].one("card").text


@pytest.mark.parametrize("page_file", PAGES)
def test_every_page_opens_with_it(page_file, open_flowers):
    page = open_flowers(page_file, pooling="gated", poolings="gap,gem,learned_attention", calibrated="1")
    assert not page.exception
    assert notices(page) == []
    assert (page.query_params["network"], page.query_params["pooling"]) == ("flowers", "gated")


def test_learned_poolings_are_cleared_with_a_network_without_them(open_flowers):
    page = open_flowers(POOLS, pooling="gated", poolings="gated,gem,learned_attention")
    follow(page, page.query_params | {"network": "efficientnet_lite0", "poolings": "gated,gem"})
    assert page.query_params["pooling"] == "gap"
    assert page.query_params["poolings"] == "gem,gap"
    assert boards(page)["head_0"].one("h3").text == "GeM, p = 3"
    assert any("“gated”, which EfficientNet-Lite0 does not have" in item for item in notices(page))


# Labels.


def test_explore_lays_trained_answers_beside_the_native_one(open_flowers, flowers, examples):
    page = open_flowers(example="coffee", calibrated="1")
    assert names(page) == ["GAP", "GMP", "Learned attention"]
    assert labels(page) == ["native", "trained", "trained"]
    analysis = analyse(flowers, examples["coffee"])
    for column, key in zip(boards(page)["answers"].all("column"), ("gap", "gmp", "learned_attention"), strict=True):
        head = flowers.trained[key].head if key in flowers.trained else flowers.head
        pooling = flowers.trained[key].pooling if key in flowers.trained else POOLINGS["gap"]
        logits = head(pooling.value(analysis.feature_maps)[None])[0]
        native = flowers.head(analysis.feature_maps.mean((1, 2))[None])[0]
        order = logits.argsort(descending=True).tolist()
        assert [row.pick for row in column.all("answer")] == [[key, index] for index in order]
        ranks = [1 + int((native > native[index]).sum()) for index in order]
        moved = [f"{'▲' if before > rank else '▼'}{abs(before - rank)}" if before != rank else ""
                 for rank, before in enumerate(ranks, 1)]
        assert ["".join(mark.text for mark in row.all("change")) for row in column.all("answer")] == moved
    assert "GMP, GeM, learned attention and gated mix have their own heads" in boards(page)["answers"].text


def test_poolings_wears_all_three_labels(open_flowers):
    page = open_flowers(POOLS, poolings="gap,gem,gated,attention", calibrated="1")
    shown = boards(page)
    assert [shown[f"head_{n}"].one("badge").text for n in range(4)] == ["native", "trained", "trained",
                                                                       "what-if, no fit"]
    assert labels(page) == ["native", "trained", "trained", "what-if, no fit"]
    assert shown["head_1"].one("badge").attributes == shown["head_0"].one("badge").attributes
    classes = [shown[f"head_{n}"].one("badge").node["class"] for n in range(4)]
    assert classes == [*["badge native"] * 3, "badge"]


def test_a_sentence_names_the_head(open_flowers):
    trained = boards(open_flowers(MAPS, pooling="gmp"))["headline"].one("lead").text
    assert "under GMP, with a head trained for it" in trained
    page = open_flowers(pooling="gated", example="coffee")
    says = [item.says for item in viewers(page)["evidence"].maps.values()]
    assert any("under Gated mix, with a head trained for it" in item for item in says)
    assert any("under Mixed, a = 0.5, a what-if" in item for item in says)


# The learned parameter.


def test_gem_begins_at_what_was_learned(open_flowers):
    page = open_flowers(POOLS, pooling="gem", poolings="gap,gem")
    (slider,) = components(page, "slider").values()
    assert (slider["value"], slider["usual"]) == (P, P)
    assert boards(page)["head_1"].one("h3").text == "GeM, p = 2.3725"
    assert page.query_params["pooling"] == "gem"
    assert "GeM, p = 2.3725" in control(open_flowers(), "pooling").options


def test_a_slider_that_is_moved_makes_a_what_if_and_moved_back_a_trained_one(open_flowers):
    page = open_flowers(POOLS, poolings="gap,gem")
    use(page, "slider_1_gem", "value", 3.0)
    assert page.query_params["poolings"] == "gap,gem:p=3"
    assert boards(page)["head_1"].one("badge").text.startswith("what-if")
    use(page, "slider_1_gem", "value", P)
    assert page.query_params["poolings"] == "gap,gem"
    assert boards(page)["head_1"].one("badge").text == "trained"


@pytest.mark.parametrize(("pooling", "written", "label"), [
    (f"gem:p={P!r}", "gem", "trained"), ("gem:p=3.0", "gem:p=3", "what-if, no fit"),
])
def test_a_link_without_the_parameter_means_the_learned_one(pooling, written, label, open_flowers):
    page = open_flowers(pooling=pooling)
    assert page.query_params["pooling"] == written
    assert labels(page)[2] == label
    again = open_flowers(**{name: value for name, value in page.query_params.items() if name != "network"})
    assert labels(again) == labels(page)
    assert names(again) == names(page)


def test_the_usual_three_of_another_network_is_three_here(open_flowers):
    page = open_flowers(POOLS, poolings="gap,gem:p=3")
    follow(page, page.query_params | {"network": "efficientnet_lite0", "poolings": "gap,gem:p=3"})
    assert page.query_params["poolings"] == "gap,gem"
    assert math.isclose(next(iter(components(page, "slider").values()))["value"], 3)


# What the head of the pooling says.


def test_votes_are_by_the_head_of_the_chosen_pooling(open_flowers, flowers, examples):
    page = open_flowers(MAPS, maps="votes", pooling="gmp", example="coffee", **{"class": "1"})
    maps = analyse(flowers, examples["coffee"]).feature_maps
    logits = flowers.trained["gmp"].head(maps.flatten(1).T)
    expected = torch.softmax(logits, 1)[:, 1].reshape(maps.shape[1:]).detach().numpy()
    shown = viewers(page)["grid"].maps["1.votes"]
    np.testing.assert_allclose(shown.values, expected, atol=shown.step + 1e-6)


def test_memory_counts_trained_heads(flowers):
    without = dataclasses.replace(flowers, trained={})
    assert bytes_of(flowers) - bytes_of(without) == 4 * 4 * (3 * 5 + 3)


def test_the_bundled_one_is_real(open_page, examples):
    real = analyse(load_network("flowers"), examples["coffee"])
    page = open_page(network="flowers", example="coffee", pooling="learned_attention")
    assert not page.exception
    assert notices(page) == []
    assert (names(page), labels(page)) == (["GAP", "GMP", "Learned attention"], ["native", "trained", "trained"])
    for column, key in zip(boards(page)["answers"].all("column"), ("gap", "gmp", "learned_attention"), strict=True):
        assert column.texts("name") == [item.name for item in real.under(key).top(5)]
    assert "EfficientNet-Lite0, five flowers" in boards(page)["examples"].one("card").text
