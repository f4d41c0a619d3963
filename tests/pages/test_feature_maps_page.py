"""Feature maps without a browser: the wall, the channel's card and its map, against numpy."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from explorer import POOLINGS
from explorer.wording import percent, plain, signed
from tests.browser.uploads import encode
from tests.explorer.tiny import analysis_of, linear
from tests.pages.arithmetic import fewest_carrying, pooled
from tests.pages.boards import (
    boards,
    components,
    control,
    figures,
    is_plain_sentence,
    notices,
    number,
    trace,
    unpacked,
    viewers,
)
from tests.pages.clicks import pick, upload, use

CHANNELS = "pages/1_Feature_maps.py"
ESPRESSO, TENCH, HELMET = 967, 0, 560
ROUNDING = 1e-5  # of the package's single precision


def wall(page) -> dict:
    return components(page, "wall")["wall"]


def silent(maps: np.ndarray) -> np.ndarray:
    return (maps == 0).all((1, 2))


def assert_falls(values: np.ndarray, order: list[int]) -> None:
    """Along the order the values never rise, but by rounding; exact ties come by their number."""
    along = values[order]
    assert (np.diff(along) <= ROUNDING).all()
    ties = np.flatnonzero(np.diff(along) == 0)
    assert (np.diff(order)[ties] > 0).all()


def cards(page) -> list:
    return boards(page)["card"].all("channelCard")


# The headline.


@pytest.mark.parametrize(("example", "pooling"), [("astronaut", "gap"), ("coffee", "gmp"), ("rocket", "lse")])
def test_the_headline_counts_channels_by_what_they_contribute_under_the_pooling(example, pooling, open_page, measured):
    page, seen = open_page(CHANNELS, example=example, pooling=pooling), measured(example)
    answer = seen.best(1)[0]
    paid = seen.paid(answer, pooling)
    carrying, share = fewest_carrying(paid, 0.8)
    head = boards(page)["headline"]
    assert not page.exception
    assert notices(page) == []
    assert head.one("h1").text.startswith(f"{carrying:,} of 1,280 channels hold {percent(share)} of ")
    assert head.one("says").text == seen.names[answer]
    counts = (paid > 0).sum(), (paid < 0).sum(), silent(seen.maps).sum()
    assert re.findall(r"[\d,]+(?= (?:channels are positive|negative|silent))", head.one("lead").text) == [
        f"{count:,}" for count in counts]
    assert head.one("lead").text.startswith(f"Under {POOLINGS[pooling].label()}, ")
    assert page.query_params["class"] == str(answer)


# The wall.


@pytest.mark.parametrize(("show", "pooling"), [
    ("all", "lse"), ("paying", "gmp"), ("opposing", "attention:t=0.02"), ("silent", "gap")])
def test_the_wall_has_the_channels_of_a_kind_by_what_they_contribute(show, pooling, open_page, measured):
    page, seen = open_page(CHANNELS, example="cat", pooling=pooling, show=show), measured("cat")
    paid = seen.paid(int(page.query_params["class"]), pooling)
    members = {"all": np.ones_like(paid, bool), "paying": paid > 0, "opposing": paid < 0, "silent": silent(seen.maps)}
    order = wall(page)["order"]
    assert sorted(order) == np.flatnonzero(members[show] & (silent(seen.maps) if show == "silent" else True)).tolist()
    assert_falls(np.where(silent(seen.maps), 0, paid), order)
    assert wall(page)["status"] == f"{len(order):,} of 1,280 channels"


@pytest.mark.parametrize("rank", ["pooled", "spread", "sparsity", "index"])
def test_the_wall_follows_another_ranking(rank, open_page, measured):
    page, seen = open_page(CHANNELS, example="rocket", rank=rank), measured("rocket")
    flat = seen.maps.reshape(1280, -1)
    by = {"pooled": flat.mean(1), "spread": np.sqrt(((flat - flat.mean(1, keepdims=True)) ** 2).mean(1)),
          "sparsity": (flat <= 0).sum(1) / 49, "index": -np.arange(1280)}[rank]
    order = wall(page)["order"]
    assert sorted(order) == list(range(1280))
    assert_falls(by, order)
    if rank in ("sparsity", "index"):  # counted, so without rounding
        assert order == sorted(range(1280), key=lambda channel: (-by[channel], channel))


def test_a_ranking_of_a_kind_of_channels_is_both(open_page, measured):
    page, seen = open_page(CHANNELS, example="rocket", rank="index", show="opposing"), measured("rocket")
    paid = seen.paid(int(page.query_params["class"]))
    assert wall(page)["order"] == np.flatnonzero(paid < 0).tolist()


def test_rank_and_kind_can_be_chosen_and_stand_in_the_link(open_page):
    rank, show = "spread", "paying"
    page = open_page(CHANNELS)
    control(page, "rank").set_value(rank).run()
    control(page, "show").set_value(show).run()
    followed = open_page(CHANNELS, rank=rank, show=show)
    assert (page.query_params["rank"], page.query_params["show"]) == (rank, show)
    assert wall(page)["order"] == wall(followed)["order"]
    control(page, "rank").set_value("contribution").run()
    control(page, "show").set_value("all").run()
    assert not {"rank", "show"} & set(page.query_params), "what is usual is left out"


def test_the_numbers_under_the_tiles_are_the_contributions(open_page, measured):
    page, seen = open_page(CHANNELS, pooling="gem:p=5", **{"class": str(TENCH)}), measured()
    np.testing.assert_allclose(wall(page)["numbers"], seen.paid(TENCH, "gem:p=5"), atol=5.1e-5)
    assert wall(page)["caption"] == "% logits for tench"


@pytest.mark.parametrize("link", [{}, {"framing": "whole", "size": "96"}])
def test_the_tiles_are_the_feature_maps_to_one_of_65535_levels(link, open_page, measured):
    page = open_page(CHANNELS, example="cat", **link)
    seen = measured("cat", link.get("framing", "crop"), int(link.get("size", "224")))
    given = components(page, "source")["pack"]["pack"]
    values, steps = unpacked(given)
    assert given["key"] == wall(page)["pack"]
    assert values.shape == seen.maps.shape
    assert np.abs(values - seen.maps).max(initial=0) <= steps.max() / 2 + 1e-6
    assert (values[silent(seen.maps)] == 0).all()
    assert wall(page)["kind"] == "positive"


def test_photos_and_framings_never_share_a_pack_of_tiles(open_page, examples):
    pages = [open_page(CHANNELS), open_page(CHANNELS, example="cat"), open_page(CHANNELS, framing="squash"),
             open_page(CHANNELS, size="256"), upload(open_page(CHANNELS), encode(examples["coffee"]))]
    assert len({wall(page)["pack"] for page in pages}) == len(pages)


def test_a_network_with_negative_activations_has_signed_tiles(open_page, put, make_network):
    maps = torch.tensor([[[1.0, -2.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    put(analysis_of(make_network(linear([[1.0, 1.0], [-1.0, 2.0]], [0.0, 0.0]), 2), maps))
    page = open_page(CHANNELS)
    assert not page.exception
    assert wall(page)["kind"] == "signed"
    assert viewers(page)["channel_map"].maps["channel.0"].kind == "signed"


# The channel on the card.


def test_the_channel_on_the_card_is_the_first_of_the_wall_until_one_is_chosen(open_page, measured):
    page, seen = open_page(CHANNELS, rank="spread"), measured()
    first = int(seen.maps.reshape(1280, -1).std(1).argmax())
    assert wall(page)["order"][0] == wall(page)["chosen"] == first
    assert cards(page)[0].one("h3").text == f"Channel {first}"
    assert list(viewers(page)["channel_map"].maps) == [f"channel.{first}"]
    assert "channel" not in page.query_params


@pytest.mark.parametrize(("pooling", "example"), [("gap", "coffee"), ("gem:p=5", "cat")])
def test_the_card_holds_what_numpy_says_of_channel_437(pooling, example, open_page, measured):
    page = open_page(CHANNELS, example=example, pooling=pooling, channel="437", **{"class": str(ESPRESSO)})
    seen = measured(example)
    values, paid, weight = seen.maps[437], seen.paid(ESPRESSO, pooling), seen.weight[:, 437]
    (card,) = cards(page)
    assert page.query_params["channel"] == "437"
    assert control(page, "channel").value == 437
    assert card.one("h3").text == "Channel 437"
    rank = 1 + int((paid > paid[437]).sum()) + int((paid[:437] == paid[437]).sum())  # silent ones tie: by number
    assert card.one("badge").text == f"rank {rank:,} of 1,280"
    assert card.all("p")[0].text == (f"{signed(paid[437])} logits for espresso: its weight {plain(weight[ESPRESSO])} "
                                     "times its pooled value.")
    spellings = [pooling if pooling.startswith(f"{key}:") else key for key in POOLINGS]
    assert card.one("dl").texts("dt") == [POOLINGS[key].label(**({"p": 5} if key == "gem" and ":" in pooling else {}))
                                          for key in POOLINGS]
    for shown, spelling in zip(card.one("dl").texts("dd"), spellings, strict=True):
        assert number(shown) == pytest.approx(pooled(seen.maps[[437]], spelling)[0] if "attention" not in spelling
                                              else pooled(seen.maps, spelling)[437], abs=0.0051)
    raised, lowered = (side.all("li") for side in card.all("ul"))
    order = np.argsort(-weight, kind="stable")
    for lines, expected in ((raised, order[:5]), (lowered, order[::-1][:5])):
        assert [line.one("button").text for line in lines] == [seen.names[index] for index in expected]
        assert [line.one("button").pick for line in lines] == expected.tolist()
        assert [line.one("span").text for line in lines] == [signed(weight[index]) for index in expected]
    assert card.all("h4")[-1].text == (f"Its 49 positions, from {plain(values.min())} to {plain(values.max())}; "
                                       f"{percent(float((values == 0).mean()))} are 0")


def test_the_channels_bars_count_its_positions(open_page, measured):
    page, seen = open_page(CHANNELS, channel="437"), measured()
    values = seen.maps[437].ravel()
    edges = np.linspace(values.min(), values.max(), 21)
    counts = [int(((values >= low) & ((values < high) | (high == edges[-1]))).sum())
              for low, high in pairwise(edges)]
    bars = cards(page)[0].one("histogram")
    assert bars.attributes["aria-label"] == f"Distribution over positions: {', '.join(map(str, counts))}"
    heights = [float(bar.node["style"]["height"].rstrip("%")) for bar in bars.all("span")]
    assert heights == pytest.approx([100 * count / max(counts) for count in counts], abs=0.051)


def test_the_channels_map_on_the_photo_is_its_feature_map(open_page, measured):
    page, seen = open_page(CHANNELS, example="cat", channel="437"), measured("cat")
    answer = int(page.query_params["class"])
    (shown,) = viewers(page)["channel_map"].maps.values()
    np.testing.assert_allclose(shown.values, seen.maps[437], atol=shown.step + 1e-6)
    assert (shown.title, shown.kind, shown.unit) == ("Channel 437", "positive", "activation")
    assert shown.limit == pytest.approx(seen.maps.max()), "one scale for all channels, as on the wall"
    assert shown.lines == [f"{signed(seen.paid(answer)[437])} logits for {seen.names[answer]}"]
    assert viewers(page)["channel_map"]["caption"] == "final feature maps, 1,280 × 7 × 7"
    assert viewers(page)["channel_map"]["follow"] == "wall", "a tile that is pointed at takes its place"


def test_two_channels_have_a_map_and_a_card_each_on_one_scale(open_page, measured):
    page, seen = open_page(CHANNELS, channel="437", beside="12"), measured()
    viewer = viewers(page)["channel_map"]
    assert list(viewer.maps) == ["channel.437", "channel.12"]
    assert viewer["across"] == 2
    for channel, shown in zip((437, 12), viewer.maps.values(), strict=True):
        np.testing.assert_allclose(shown.values, seen.maps[channel], atol=shown.step + 1e-6)
    assert len({(shown.scale, shown.limit, shown.unit, shown.kind) for shown in viewer.maps.values()}) == 1
    assert [card.one("h3").text for card in cards(page)] == ["Channel 437", "Channel 12"]
    assert (wall(page)["chosen"], wall(page)["beside"]) == (437, 12)


def test_a_channel_beside_itself_is_shown_once(open_page):
    page = open_page(CHANNELS, channel="437", beside="437")
    assert not page.exception
    assert list(viewers(page)["channel_map"].maps) == ["channel.437"]
    assert len(cards(page)) == 1


def test_a_click_on_a_tile_opens_its_card_and_stands_in_the_link(open_page):
    page = use(open_page(CHANNELS), "wall", "channel", 77)
    assert page.query_params["channel"] == "77"
    assert cards(page)[0].one("h3").text == "Channel 77"
    assert control(page, "channel").value == 77
    assert list(viewers(page)["channel_map"].maps) == ["channel.77"]


def test_a_click_on_a_class_on_the_card_shows_that_class(open_page, measured):
    page, seen = open_page(CHANNELS, channel="437"), measured()
    raised = int(seen.weight[:, 437].argmax())
    pick(page, "card", raised)
    assert page.query_params["class"] == str(raised)
    assert page.query_params["channel"] == "437"
    assert boards(page)["headline"].one("says").text == seen.names[raised]
    assert cards(page)[0].all("p")[0].text.startswith(f"{signed(seen.paid(raised)[437])} logits for ")


def test_the_chosen_channel_stays_when_class_pooling_and_photo_change(open_page):
    page = open_page(CHANNELS, channel="437")
    control(page, "pooling").set_value("gmp").run()
    pick(page, "class", TENCH).run()
    pick(page, "examples", "cat")
    assert page.query_params["channel"] == "437"
    assert cards(page)[0].one("h3").text == "Channel 437"


def test_a_channel_can_be_typed_and_another_beside_it(open_page):
    page = open_page(CHANNELS)
    control(page, "channel").set_value(3).run()
    control(page, "beside").set_value(4).run()
    assert (page.query_params["channel"], page.query_params["beside"]) == ("3", "4")
    assert [card.one("h3").text for card in cards(page)] == ["Channel 3", "Channel 4"]


@pytest.mark.parametrize("name", ["channel", "beside"])
def test_a_channel_whose_number_is_emptied_is_cleared(name, open_page):
    page = open_page(CHANNELS, **{name: "12"})
    control(page, name).set_value(None).run()
    assert not page.exception
    assert name not in page.query_params
    assert control(page, name).value is None
    assert len(cards(page)) == 1


# The running sum.


def test_the_running_sum_goes_from_the_baseline_to_the_logit_channel_by_channel(open_page, measured):
    pooling = "gmp"
    page, seen = open_page(CHANNELS, example="coffee", pooling=pooling), measured("coffee")
    answer = int(page.query_params["class"])
    paid = np.sort(seen.paid(answer, pooling))[::-1]
    running = trace(figures(page)["running"], "running sum")
    np.testing.assert_allclose(running["y"], seen.bias[answer] + np.cumsum(paid), atol=1e-4)
    np.testing.assert_allclose(running["y"][-1], seen.logits(pooling)[answer], atol=1e-4)
    assert list(np.asarray(running["customdata"])[:, 0].astype(int)) == wall(page)["order"]
    marks = trace(figures(page)["running"], "marks")
    count, _ = fewest_carrying(paid, 0.8)
    assert list(marks["text"]) == [f"baseline {plain(seen.bias[answer])}", f"first {count:,}",
                                   f"logit {plain(seen.logits(pooling)[answer])}"]
    assert list(marks["x"]) == [0, count, 1280]


def test_the_running_sum_is_of_all_channels_whatever_the_wall_shows(open_page):
    every, some = open_page(CHANNELS), open_page(CHANNELS, show="opposing", rank="index")
    assert np.array_equal(trace(figures(every)["running"], "running sum")["y"],
                          trace(figures(some)["running"], "running sum")["y"])


# Links.


BAD = [{"rank": "<b>spread</b>"}, {"show": "loud"}, {"channel": "x"}, {"channel": "1280"}, {"beside": "1280"},
       {"region": "3,0,2,0"}]


@pytest.mark.parametrize("link", BAD, ids=lambda link: "-".join(f"{name}={value}" for name, value in link.items()))
def test_a_bad_link_is_one_plain_sentence_and_the_usual_page(link, open_page):
    page, usual = open_page(CHANNELS, **link), open_page(CHANNELS)
    (sentence,) = notices(page)
    assert not page.exception
    assert is_plain_sentence(sentence), sentence
    assert page.query_params == usual.query_params
    assert wall(page) == wall(usual)
    assert boards(page)["card"].text == boards(usual)["card"].text
    assert notices(page.run()) == [], "the sentence is shown once"


def test_what_belongs_to_other_pages_is_neither_obeyed_nor_commented_on(open_page):
    page = open_page(CHANNELS, maps="votes", poolings="nonsense", box="500", utm_source="x")
    assert notices(page) == []
    assert not page.exception


# Few channels, and none of a kind.


def test_where_no_channel_is_positive_the_headline_says_so(open_page, put, make_network):
    maps = torch.tensor([[[1.0, 2.0], [0.0, 3.0]], [[0.0, 1.0], [1.0, 0.0]]])
    put(analysis_of(make_network(linear([[-1.0, -2.0], [-3.0, -1.0]], [0.0, 0.0]), 2), maps))
    page = open_page(CHANNELS)
    assert not page.exception
    assert boards(page)["headline"].one("h1").text == "No channel has positive evidence for class 0."
    assert "0 channels are positive, 2 negative and 0 silent" in boards(page)["headline"].one("lead").text
    # -1 * 1.5 and -2 * 0.5, the baseline first
    np.testing.assert_allclose(trace(figures(page)["running"], "running sum")["y"], [-1.0, -2.5])


def test_a_wall_of_no_channel_is_empty_and_the_card_is_the_one_that_contributes_most(open_page, put, make_network):
    maps = torch.tensor([[[1.0, 2.0], [0.0, 3.0]], [[0.0, 1.0], [1.0, 0.0]]])
    put(analysis_of(make_network(linear([[1.0, 9.0], [0.0, 0.0]], [0.0, 0.0]), 2), maps))
    page = open_page(CHANNELS, show="silent")
    assert not page.exception
    assert wall(page)["order"] == []
    assert wall(page)["status"] == "0 of 2 channels"
    assert cards(page)[0].one("h3").text == "Channel 1"  # 9 * 0.5 against 1 * 1.5


def test_one_channel_that_holds_it_alone_is_in_the_singular(open_page, put, make_network):
    maps = torch.tensor([[[4.0]], [[1.0]]])
    put(analysis_of(make_network(linear([[1.0, 0.1], [0.0, 0.0]], [0.0, 0.0]), 2), maps))
    page = open_page(CHANNELS)
    assert boards(page)["headline"].one("h1").text.startswith("1 of 2 channels holds 98% of ")


def test_numbers_that_are_not_finite_have_a_notice_and_the_page_still_works(open_page, put, make_network):
    maps = torch.tensor([[[1.0, float("nan")], [0.0, 3.0]], [[float("inf"), 1.0], [1.0, 0.0]]])
    put(analysis_of(make_network(linear([[1.0, 9.0], [0.0, 0.0]], [0.0, 0.0]), 2), maps))
    page = open_page(CHANNELS)
    values, _ = unpacked(components(page, "source")["pack"]["pack"])
    assert not page.exception
    assert np.isnan(values).sum() == 2, "what is not finite has no level"
    assert all(is_plain_sentence(sentence) for sentence in notices(page))
    assert all(np.isfinite(wall(page)["numbers"]))
    assert figures(page)
    assert viewers(page)["channel_map"].maps
    assert notices(page.run()) != [], "the notice stays as long as it is true"
