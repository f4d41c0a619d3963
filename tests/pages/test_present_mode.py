"""A talk: nothing on the page but the stage, with a sentence for each map, and walks from photo to photo."""

from __future__ import annotations

import numpy as np
import pytest

from explorer import POOLINGS
from explorer.ui.session.session import EXAMPLES
from explorer.wording import percent, signed
from tests.browser.uploads import arrow, encode
from tests.pages import arithmetic
from tests.pages.arithmetic import fewest_carrying
from tests.pages.boards import boards, components, control, is_plain_sentence, notices, viewers
from tests.pages.clicks import upload, use

EXPLORE, CHANNELS, POOLS, MAPS, WHY, METHOD = (
    "app.py", "pages/1_Feature_maps.py", "pages/2_Poolings.py", "pages/3_Activation_maps.py", "pages/4_Why.py",
    "pages/7_Method.py")
STAGES = (EXPLORE, CHANNELS, POOLS, MAPS, WHY)
VIEWER = {EXPLORE: "evidence", CHANNELS: "channel_map", POOLS: "evidence", MAPS: "grid", WHY: "against"}
TENCH = 0


def stage(page):
    return viewers(page)["stage"]


def is_a_talk(page) -> bool:
    """Nothing but the stage (and what feeds it) is on the page, and nothing at all in the sidebar."""
    shown = [key for kind in ("board", "viewer", "wall", "slider") for key in components(page, kind)]
    widgets = [item for kind in ("selectbox", "button", "button_group", "multiselect", "slider", "toggle",
                                 "select_slider", "number_input", "file_uploader", "download_button", "page_link",
                                 "plotly_chart", "latex") for item in page.get(kind)]
    return shown == ["stage"] and widgets == []


def share_carried(cells: np.ndarray) -> str:
    """What a sentence about positions must hold: how many carry at least half, and how much."""
    words = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")
    count, share = fewest_carrying(cells, 0.5)
    return f"{words[count - 1] if count < 13 else count} of {cells.size} positions", f"{percent(share)} of the positive"


@pytest.mark.parametrize("path", STAGES)
def test_a_talk_shows_nothing_but_the_stage_and_every_step_has_its_sentence(path, open_page):
    page = open_page(path, present="1")
    assert not page.exception
    assert is_a_talk(page)
    assert page.query_params["present"] == "1"
    maps = list(stage(page).maps.values())
    assert stage(page)["stage"] is True
    assert stage(page)["main"] is True
    assert stage(page)["toolbar"] is False
    assert stage(page)["chosen"] == maps[0].id == "photo"
    assert maps[0].kind == "photo"
    assert maps[0].says.endswith("?"), "it begins with a question and the photo alone"
    assert len(maps) > 4
    for shown in maps[1:]:
        assert shown.kind != "photo"
        assert is_plain_sentence(shown.says), shown.says
        assert shown.says.count(". ") == 0, "a step is one short line"
        assert len(shown.says) <= 90, shown.says
        assert np.isfinite(shown.values).all()
    assert len({shown.says for shown in maps}) == len(maps), "no sentence is said twice"


@pytest.mark.parametrize("example", ["astronaut", "coffee"])
def test_the_talk_of_explore_goes_through_the_likeliest_classes_and_two_other_poolings(
    example, open_page, measured, factor
):
    page, seen = open_page(EXPLORE, example=example, present="1"), measured(example)
    first, *others = seen.best(3)
    expected = [(first, "gap"), *((index, "gap") for index in others), (first, "gmp"), (first, "attention")]
    assert list(stage(page).maps) == ["photo", *(f"{index}.{pooling}" for index, pooling in expected)]
    for index, pooling in expected:
        shown, cells = stage(page).maps[f"{index}.{pooling}"], seen.cells(index, pooling)
        np.testing.assert_allclose(shown.values, cells, atol=2e-5 + shown.step)
        rank, share = seen.rank(index, pooling), seen.probabilities(pooling, factor(pooling))[index]
        under = "" if pooling == "gap" else f" under {POOLINGS[pooling].label()}, a what-if"
        begin = "Prediction" if rank == 1 else f"Rank {rank}"
        assert shown.says == f"{begin}: {seen.names[index]}, {percent(share)}{under}."
        assert all(part in shown.details for part in share_carried(cells))


@pytest.mark.parametrize("pooling", ["softpool", "gem:p=5"])
def test_the_talk_of_explore_shows_the_pooling_that_is_chosen(pooling, open_page, measured):
    page, seen = open_page(EXPLORE, pooling=pooling, present="1"), measured()
    shown = stage(page).maps[f"{seen.best(1)[0]}.{pooling.replace(':', '-').replace('=', '')}"]
    np.testing.assert_allclose(shown.values, seen.cells(seen.best(1)[0], pooling), atol=1e-4)


def test_the_talk_of_explore_says_where_the_true_class_stands(open_page, measured, factor):
    page, seen = open_page(EXPLORE, present="1", truth=str(TENCH)), measured()
    assert not [line for line in stage(page).maps["photo"].lines if "True class" in line]
    assert "0.gap" in stage(page).maps
    for name, shown in list(stage(page).maps.items())[1:]:
        pooling = name.partition(".")[2]
        share = percent(seen.probabilities(pooling, factor(pooling))[TENCH])
        assert shown.lines[0] == f"True class: tench, rank {seen.rank(TENCH, pooling):,}, {share}"
    assert "True class" not in str([step.lines for step in stage(open_page(EXPLORE, present="1")).maps.values()])


def test_the_talk_of_explore_begins_with_the_class_that_is_asked_for(open_page, measured):
    page = open_page(EXPLORE, present="1", **{"class": str(TENCH)})
    assert list(stage(page).maps)[1] == "0.gap"
    assert stage(page).maps["0.gap"].says.startswith(f"Rank {measured().rank(TENCH)}: tench, ")


@pytest.mark.parametrize("pooling", ["gap", "gmp"])
def test_the_talk_of_feature_maps_goes_through_the_top_eight_channels(pooling, open_page, measured):
    page, seen = open_page(CHANNELS, example="coffee", present="1", pooling=pooling), measured("coffee")
    answer = seen.best(1)[0]
    paid = seen.paid(answer, pooling)
    order = np.argsort(-paid, kind="stable")[:8]
    maps = list(stage(page).maps.values())[1:]
    assert [shown.id for shown in maps] == [f"channel.{channel}" for channel in order]
    assert stage(page).maps["photo"].says == f"Which channels contribute most to {seen.names[answer]}?"
    for place, (channel, shown) in enumerate(zip(order, maps, strict=True), 1):
        np.testing.assert_allclose(shown.values, seen.maps[channel], atol=shown.step + 1e-6)
        under = "" if pooling == "gap" else " under GMP, a what-if"
        assert shown.says == (f"Channel {channel} contributes {signed(paid[channel])} logits to {seen.names[answer]}"
                              f"{under}: rank {place} of 1,280.")


def test_the_talk_of_poolings_shows_where_each_looks_and_what_it_keeps(open_page, measured):
    page = open_page(POOLS, example="cat", present="1", poolings="gap,gem:p=5,topk", calibrated="0")
    seen, spellings = measured("cat"), ("gap", "gem:p=5", "topk")
    answer = seen.best(1)[0]
    maps = list(stage(page).maps.values())[1:]
    assert [shown.id for shown in maps] == [
        name for spelling in ("gap", "gem-p5", "topk") for name in (f"looks.{spelling}", f"{answer}.{spelling}")]
    for spelling, looks, speaks in zip(spellings, maps[::2], maps[1::2], strict=True):
        np.testing.assert_allclose(looks.values, arithmetic.looks(seen.maps, seen.weight[answer], spelling), atol=1e-5)
        np.testing.assert_allclose(speaks.values, seen.cells(answer, spelling), atol=1e-4)
        first, pooling = seen.best(1, spelling)[0], POOLINGS[spelling.partition(":")[0]]
        under = f"under {looks.name.removeprefix('Where ').removesuffix(' looks')}"
        under += "" if spelling == "gap" else ", a what-if"
        assert looks.says == f"Prediction {under}: {seen.names[first]}, {percent(seen.probabilities(spelling)[first])}."
        assert looks.details.endswith(pooling.explanation)
        assert speaks.says.endswith(f"{under}.")
        assert all(part in speaks.details for part in share_carried(seen.cells(answer, spelling)))


def test_the_talk_of_activation_maps_shows_each_class_and_then_what_the_positions_say(open_page, measured):
    page, seen = open_page(MAPS, present="1", classes="560,7", poolings="gmp,gap"), measured()
    assert list(stage(page).maps) == ["photo", "560.gmp", "7.gmp", "winners"]
    np.testing.assert_allclose(stage(page).maps["7.gmp"].values, seen.cells(7, "gmp"), atol=1e-4)
    votes = np.einsum("ck,kij->cij", seen.weight, seen.maps) + seen.bias[:, None, None]
    won = stage(page).maps["winners"]
    for place, index in enumerate(votes.argmax(0).ravel()):
        label = won.legend[round(float(won.values.ravel()[place]))]
        assert label.startswith((seen.names[index], "others")), place


# In and out.


@pytest.mark.parametrize(("path", "part_alone"), [*((path, True) for path in STAGES), (EXPLORE, False)])
def test_the_key_begins_a_talk_and_ends_it_and_nothing_that_was_chosen_is_lost(path, part_alone, open_page):
    page = open_page(path, example="cat", pooling="gmp", region="1,1,2,2", framing="squash")
    link, before = dict(page.query_params), {key: board.text for key, board in boards(page).items()}
    use(page, VIEWER[path], "present", True, part_alone)
    assert is_a_talk(page)
    assert page.query_params == {**link, "present": "1"}
    use(page, "stage", "present", False, part_alone)
    assert not page.exception
    assert page.query_params == link
    assert {key: board.text for key, board in boards(page).items()} == before
    assert control(page, "framing").value == "squash"


@pytest.mark.parametrize("path", [EXPLORE, WHY])
def test_the_button_begins_a_talk(path, open_page):
    page = open_page(path)
    page.button(key="present_button").click().run()
    assert is_a_talk(page)


def test_a_page_that_cannot_be_presented_stays_as_it_is(open_page):
    page = open_page(METHOD, present="1")
    assert not page.exception
    assert notices(page) == []
    assert "examples" in boards(page), "the sidebar is there"
    assert "present" not in page.query_params
    assert not [button for button in page.button if button.key == "present_button"]


def test_from_a_talk_back_to_a_page_that_cannot_be_presented_and_on_again(open_page):
    page = open_page(EXPLORE, present="1")
    page.switch_page(METHOD).run()
    assert "examples" in boards(page)
    page.switch_page(MAPS).run()
    assert is_a_talk(page)


def test_a_bad_part_of_a_link_to_a_talk_is_said_on_the_stage(open_page):
    page = open_page(EXPLORE, present="1", pooling="median")
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence)
    assert stage(page).maps
    assert is_a_talk(page.run()), "it is said once"


# From photo to photo.


@pytest.mark.parametrize(("path", "part_alone"), [(EXPLORE, True), (EXPLORE, False), (MAPS, True)])
def test_a_walk_past_the_last_step_goes_on_to_the_next_photo(path, part_alone, open_page, measured):
    page = open_page(path, present="1", pooling="gmp", **{"class": str(TENCH)})
    names = list(EXAMPLES)
    for steps, expected in (
        (1, names[1]), (1, names[2]), (-1, names[1]), (-1, names[0]), (-1, names[-1]), (1, names[0])
    ):
        use(page, "stage", "walk", steps, part_alone)
        assert not page.exception
        assert page.query_params["example"] == expected
        assert page.query_params["class"] == str(measured(expected).best(1)[0]), "the last photo's class is forgotten"
        assert (page.query_params["present"], page.query_params["pooling"]) == ("1", "gmp")
        assert is_a_talk(page)
        assert stage(page)["photo"] == components(page, "source")["photo"]["photo"]["key"]


def test_a_walk_goes_through_all_examples_and_comes_back(open_page):
    page, met = open_page(EXPLORE, present="1"), []
    for _ in EXAMPLES:
        use(page, "stage", "walk", 1, part_alone=True)
        met.append(page.query_params["example"])
    assert sorted(met) == sorted(EXAMPLES)
    assert met[-1] == "astronaut"


@pytest.mark.parametrize("steps", [1, -1])
def test_a_walk_away_from_a_photo_of_ones_own_leads_to_the_first_example(steps, open_page):
    page = upload(open_page(EXPLORE), encode(arrow()))
    use(page, "evidence", "present", True)
    assert "photo" in page.query_params
    use(page, "stage", "walk", steps)
    assert page.query_params["example"] == "astronaut"
    assert is_a_talk(page)


def test_a_talk_about_a_photo_of_ones_own_shows_it(open_page, examples, measured):
    photo = examples["cat"].crop((0, 0, 300, 300))
    page = upload(open_page(EXPLORE), encode(photo))
    page.button(key="present_button").click().run()
    seen = measured(photo)
    first = seen.best(1)[0]
    np.testing.assert_allclose(stage(page).maps[f"{first}.gap"].values, seen.cells(first), atol=1e-4)
    assert stage(page)["size"] == [300, 300]
