"""Two networks beside each other: the same photo, each with its own answers, maps and scale."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.explorer.tiny import analysis_of, linear
from tests.pages.boards import boards, notices, viewers
from tests.pages.classifiers import Flattened, Pooled, maps_of, network_of, seeded, seen
from tests.pages.clicks import pick

EXPLORE, MAPS = "app.py", "pages/3_Activation_maps.py"
OTHERS = ("pages/1_Feature_maps.py", "pages/2_Poolings.py", "pages/7_Method.py")


@pytest.fixture
def put_both(put, monkeypatch):
    """`put_both(first, second)`: every page shows the first analysis, and the second beside it."""

    def put_both(first, second) -> None:
        put(first)
        monkeypatch.setattr("explorer.ui.networks.second_network.second_analysis", lambda _: second)

    return put_both


@pytest.fixture(scope="module")
def first(examples):
    network = network_of(seeded(Pooled, 6, 3), class_names=["ant", "bee", "cat"], title="First", digest="1")
    return seen(network, examples["cat"])


@pytest.fixture(scope="module")
def second(examples):
    """Another list of names, in another order, and maps of another size."""
    network = network_of(seeded(Pooled, 4, 3, stride=12), class_names=["cat", "dog", "ant"], title="Second",
                         digest="2")
    return seen(network, examples["cat"])


@pytest.fixture(scope="module")
def flat(examples):
    return seen(network_of(seeded(Flattened), class_names=["ant", "bee", "cat", "dog"], title="Flat"), examples["cat"])


def linear_of(analysis) -> tuple[np.ndarray, np.ndarray]:
    fc = analysis.network.layers.model.fc
    return fc.weight.detach().double().numpy(), fc.bias.detach().double().numpy()


def cells_of(analysis, index: int) -> np.ndarray:
    """Evidence under GAP and a Linear."""
    maps, weight = maps_of(analysis), linear_of(analysis)[0][index]
    return (weight[:, None, None] * maps).sum(0) / maps[0].size


@pytest.mark.parametrize(("mine", "its"), [(0, 2), (2, 0)])
def test_both_networks_show_the_class_of_the_same_name_each_with_its_own_maps(
    mine, its, first, second, put_both, open_page
):
    put_both(first, second)
    page = open_page(EXPLORE, **{"class": str(mine)})
    assert not page.exception
    shown = viewers(page)["map_beside"]
    assert shown.chosen.id == f"{its}.gap"
    np.testing.assert_allclose(shown.chosen.values, cells_of(second, its), atol=1e-5 + shown.chosen.step)
    assert shown["caption"] == "final feature maps, 4 × 8 × 8"
    np.testing.assert_allclose(viewers(page)["evidence"].chosen.values, cells_of(first, mine), atol=1e-4)
    assert boards(page)["headline"].one("h1").text.startswith("First: ")
    assert boards(page)["title_of_first"].one("h2").text == "First"
    assert boards(page)["title_of_second"].one("h2").text == "Second"
    assert boards(page)["answers_of_second"].texts("name") == [answer.name for answer in second.under().top(5)]
    assert "not comparable" in boards(page)["both_networks"].text


def test_a_class_that_the_second_network_does_not_have_gives_way_to_its_own_answer(first, second, put_both, open_page):
    put_both(first, second)
    page = open_page(EXPLORE, **{"class": "1"})
    weight, bias = linear_of(second)
    best = int((weight @ maps_of(second).mean((1, 2)) + bias).argmax())
    assert viewers(page)["map_beside"].chosen.id == f"{best}.gap"
    assert boards(page)["both_networks"].text.startswith("Second has no class named bee: its map is of its own answer.")


def test_each_network_has_its_own_scale_until_one_for_both_is_asked_for(first, second, put_both, open_page):
    put_both(first, second)
    page = open_page(EXPLORE, **{"class": "0"})
    assert viewers(page)["map_beside"].chosen.limit is None
    assert viewers(page)["evidence"].chosen.limit is None
    page = page.toggle(key="one_scale").set_value(True).run()
    most = max(np.abs(cells_of(first, 0)).max(), np.abs(cells_of(second, 2)).max())
    assert viewers(page)["map_beside"].chosen.limit == pytest.approx(most, rel=1e-5)
    assert viewers(page)["evidence"].chosen.limit == pytest.approx(most, rel=1e-5)
    assert "not comparable" in boards(page)["both_networks"].text


def test_a_what_if_is_shown_under_the_same_pooling_in_both(first, second, put_both, open_page):
    put_both(first, second)
    page = open_page(EXPLORE, pooling="gmp", **{"class": "0"})
    shown = viewers(page)["map_beside"].chosen
    assert shown.id == "2.gmp"
    weight, maps = linear_of(second)[0][2], maps_of(second)
    assert shown.values.sum() == pytest.approx(weight @ maps.max((1, 2)), abs=1e-3)


def test_a_network_without_a_pooling_shows_grad_cam_beside_evidence(first, flat, put_both, open_page):
    for pair in ((first, flat), (flat, first)):
        put_both(*pair)
        page = open_page(EXPLORE, **{"class": "0"})
        assert not page.exception
        units = {viewers(page)[key].chosen.unit for key in ("evidence", "map_beside")}
        assert units == {"logits", ""}
        assert "one_scale" not in {item.key for item in page.toggle}
        assert not open_page(MAPS).exception


def test_an_answer_of_the_second_network_is_shown_by_name(first, second, put_both, open_page):
    put_both(first, second)
    page = pick(open_page(EXPLORE, **{"class": "1"}), "answers_of_second", ["gap", 0])
    assert page.query_params["class"] == "2"
    page = pick(page, "answers_of_second", ["gap", 1])
    assert page.query_params["class"] == "2"
    assert notices(page) == ["First has no class named dog; the last class stays."]


def test_activation_maps_have_one_more_row_for_the_second_network(first, second, put_both, open_page):
    put_both(first, second)
    page = open_page(MAPS, classes="0,1,2")
    assert not page.exception
    row = viewers(page)["grid_beside"]
    assert [shown.title for shown in row.maps.values()] == ["ant", "cat"]
    for shown, index in zip(row.maps.values(), (2, 0), strict=True):
        np.testing.assert_allclose(shown.values, cells_of(second, index), atol=1e-5 + shown.step)
    assert row["heading"].startswith("Second: ")
    assert row["aside"] == "final feature maps, 4 × 8 × 8"
    assert "no class named bee" in boards(page)["note_beside"].text
    cams = viewers(open_page(MAPS, maps="cams", classes="0", methods="hires_cam", **{"class": "0"}))["grid_beside"]
    cells = cells_of(second, 2)
    (shown,) = cams.maps.values()
    np.testing.assert_allclose(shown.values, cells / np.abs(cells).max(), atol=1e-5 + shown.step)


def test_names_that_stand_twice_are_matched_by_their_place(make_network, put_both, open_page):
    head = linear([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0])
    network = dataclasses.replace(make_network(head, 3, channels=2), class_names=("crane", "crane", "owl"))
    both = [analysis_of(network, torch.rand(2, 2, 2, generator=torch.Generator().manual_seed(n))) for n in (1, 2)]
    put_both(*both)
    for index in (0, 1):
        assert viewers(open_page(EXPLORE, **{"class": str(index)}))["map_beside"].chosen.id == f"{index}.gap"


def test_the_other_pages_show_the_first_network_alone(first, second, put_both, open_page):
    put_both(first, second)
    for path in OTHERS:
        page = open_page(path)
        assert not page.exception, path
        assert not {"map_beside", "grid_beside"} & set(viewers(page))
