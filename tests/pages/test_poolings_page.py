"""Poolings without a browser: where each looks, what it keeps, how answers part, two compared, one along its path."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from explorer import POOLINGS
from explorer.wording import percent, plain, signed
from tests.explorer.tiny import analysis_of, linear
from tests.pages import arithmetic
from tests.pages.arithmetic import fewest_carrying, pooled
from tests.pages.boards import boards, components, control, figures, is_plain_sentence, notices, number, trace, viewers
from tests.pages.clicks import click_point, pick, use

POOLS = "pages/2_Poolings.py"
ESPRESSO, TENCH = 967, 0
FOUR = ("gap", "gem:p=5", "lse", "topk")
NAMES = {"gap": "GAP", "gmp": "GMP", "attention": "Attention, t = 0.1", "gem": "GeM, p = 3", "gem:p=5": "GeM, p = 5",
         "lse": "LSE, r = 3", "topk": "Top-k, share = 0.2", "softpool": "SoftPool", "mixed": "Mixed, a = 0.5"}
ENDS = {"gem": (1, 10), "lse": (0.1, 20), "topk": (0.02, 1), "mixed": (0, 1), "attention": (0.02, 2)}


def columns(page) -> list:
    return boards(page)["answers"].all("column")


def points(page) -> dict:
    return trace(figures(page)["scatter"], "channels")


# Side by side.


@pytest.mark.parametrize(("example", "agree"), [("coffee", True), ("cat", False)])
def test_three_poolings_stand_side_by_side_and_the_headline_says_whether_they_agree(
    example, agree, open_page, measured, factor
):
    page, seen = open_page(POOLS, example=example), measured(example)
    usual = ("gap", "gmp", "attention")
    firsts = {spelling: seen.best(1, spelling)[0] for spelling in usual}
    shares = [seen.probabilities(spelling, factor(spelling))[first] for spelling, first in firsts.items()]
    different = [spelling for spelling in usual if firsts[spelling] != firsts["gap"]]
    answers = [f"{seen.names[first]}, " if different else "" for first in firsts.values()]
    listed = "; ".join(f"{NAMES[spelling]}: {answer}{percent(share)}"
                       for spelling, answer, share in zip(usual, answers, shares, strict=True))
    head, names = boards(page)["headline"], boards(page)["headline"].texts("says")
    assert agree == (not different), "the examples were chosen for both cases"
    assert not page.exception
    assert notices(page) == []
    assert names == [seen.names[firsts[spelling]] for spelling in ("gap", *different[:1])]
    assert all(NAMES[spelling] in head.one("h1").text for spelling in different[:1])
    assert head.one("lead").text.endswith(f"{listed}.")
    assert [boards(page)[f"head_{n}"].one("h3").text for n in range(3)] == [NAMES[spelling] for spelling in usual]
    assert page.query_params["class"] == str(firsts["gap"])


def test_a_link_to_four_poolings_shows_them_with_their_parameters_and_labels(open_page, factor):
    page = open_page(POOLS, poolings=",".join(FOUR))
    shown = boards(page)
    assert not page.exception
    assert page.query_params["poolings"] == "gap,gem:p=5,lse,topk"
    assert [shown[f"head_{n}"].one("h3").text for n in range(4)] == [NAMES[spelling] for spelling in FOUR]
    assert [shown[f"head_{n}"].one("badge").text for n in range(4)] == [
        "native", *(f"what-if, calibrated × {factor(spelling):.2f}" for spelling in FOUR[1:])]
    assert control(page, "poolings").value == list(FOUR)
    assert "head_4" not in shown
    assert list(viewers(page)["looks"].maps) == ["looks.gap", "looks.gem-p5", "looks.lse", "looks.topk"]
    assert viewers(page)["looks"]["across"] == viewers(page)["evidence"]["across"] == 4


def test_where_each_looks_sums_to_one_and_is_as_numpy_has_it(open_page, measured):
    page, seen = open_page(POOLS, example="cat_and_coffee", poolings=",".join(FOUR)), measured("cat_and_coffee")
    answer = int(page.query_params["class"])
    for spelling, shown in zip(FOUR, viewers(page)["looks"].maps.values(), strict=True):
        expected = arithmetic.looks(seen.maps, seen.weight[answer], spelling)
        assert shown.values.sum() == pytest.approx(1, abs=49 * shown.step + 1e-9)
        np.testing.assert_allclose(shown.values, expected, atol=1e-5)
        count, _ = fewest_carrying(expected, 0.8)
        entropy = -sum(share * np.log2(share) for share in expected.ravel() if share > 0)
        even = ["uniform: all positions alike"] if np.ptp(expected) < 1e-6 else []
        assert shown.lines == [*even, f"{count} of 49 positions hold 80%",
                               f"entropy {entropy:.1f} of {np.log2(49):.1f} bits"]
        assert (shown.kind, shown.unit, shown.title) == ("positive", "share", NAMES[spelling])
    assert len({(shown.scale, shown.limit) for shown in viewers(page)["looks"].maps.values()}) == 1


@pytest.mark.parametrize("key", ["softpool", "mixed:a=0.3", "attention:t=0.02"])
def test_the_others_look_where_numpy_says_too(key, open_page, measured):
    page, seen = open_page(POOLS, example="cat", poolings=f"gap,{key}", **{"class": str(TENCH)}), measured("cat")
    _, shown = viewers(page)["looks"].maps.values()
    np.testing.assert_allclose(shown.values, arithmetic.looks(seen.maps, seen.weight[TENCH], key), atol=1e-5)


def test_gap_looks_everywhere_alike(open_page):
    gap = viewers(open_page(POOLS))["looks"].maps["looks.gap"]
    np.testing.assert_allclose(gap.values, 1 / 49, atol=1e-6)
    assert gap.lines == ["uniform: all positions alike", "40 of 49 positions hold 80%", "entropy 5.6 of 5.6 bits"]


def test_the_evidence_of_each_is_as_numpy_has_it_and_shares_one_scale(open_page, measured):
    page, seen = open_page(POOLS, example="coffee", poolings=",".join(FOUR)), measured("coffee")
    answer = int(page.query_params["class"])
    for spelling, shown in zip(FOUR, viewers(page)["evidence"].maps.values(), strict=True):
        assert shown.id == f"{answer}.{spelling.replace(':', '-').replace('=', '')}"
        np.testing.assert_allclose(shown.values, seen.cells(answer, spelling), atol=2e-5 + shown.step)
        assert shown.lines[0] == f"logit {plain(seen.logits(spelling)[answer])}"
        assert shown.mark == list(np.unravel_index(seen.cells(answer, spelling).argmax(), (7, 7)))
        assert shown.badge.startswith("integrated, residual " if spelling == "lse" else "exact, residual ")
    assert len({(shown.scale, shown.limit) for shown in viewers(page)["evidence"].maps.values()}) == 1


def test_formulas_and_sentences_of_those_shown_stand_below(open_page):
    page = open_page(POOLS, poolings="softpool,gem:p=5")
    for n, key in enumerate(("softpool", "gem")):
        shown = boards(page)[f"formula_{n}"]
        assert (shown.one("h3").text, shown.all("p")[0].text) == (POOLINGS[key].name, POOLINGS[key].explanation)
    assert [item.value.strip("$ \n") for item in page.latex] == [POOLINGS[key].formula for key in ("softpool", "gem")]


# Choosing them.


def test_other_poolings_can_be_chosen_and_stand_in_the_link(open_page):
    page = open_page(POOLS)
    control(page, "poolings").set_value(["gmp", "softpool"]).run()
    assert page.query_params["poolings"] == "gmp,softpool"
    assert list(viewers(page)["looks"].maps) == ["looks.gmp", "looks.softpool"]
    control(page, "poolings").set_value(["gap", "gmp", "attention"]).run()
    assert "poolings" not in page.query_params, "what is usual is left out"


def test_fewer_than_two_are_refused_with_one_sentence_and_the_last_ones_stay(open_page):
    picked = ["gmp"]
    page = open_page(POOLS, poolings="gap,lse")
    control(page, "poolings").set_value(picked).run()
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence)
    assert page.query_params["poolings"] == "gap,lse"
    assert control(page, "poolings").value == ["gap", "lse"]
    assert notices(page.run()) == []


def test_no_more_than_four_can_be_chosen(open_page):
    assert control(open_page(POOLS), "poolings").proto.max_selections == 4


@pytest.mark.parametrize(("spelling", "name", "value", "ends", "logarithmic"), [
    ("gem", "p", 3, (1, 10), True), ("gem:p=5", "p", 5, (1, 10), True), ("gem:p=50", "p", 50, (1, 100), True),
    ("lse:r=0.05", "r", 0.05, (0.05, 100), True), ("topk", "share", 0.2, (0.02, 1), True),
    ("mixed:a=0.25", "a", 0.25, (0, 1), False), ("attention", "t", 0.1, (0.02, 2), True),
])
def test_a_parameter_has_a_slider_over_its_usual_range_or_the_whole_one(
    spelling, name, value, ends, logarithmic, open_page
):
    page = open_page(POOLS, poolings=f"gap,{spelling}")
    (slider,) = components(page, "slider").values()
    assert (slider["name"], slider["value"], (slider["low"], slider["high"])) == (name, value, ends)
    assert slider["logarithmic"] is logarithmic
    assert slider["label"] == f"{boards(page)['head_1'].one('h3').text.partition(',')[0]}, {name} = {value:g}: {name}"
    assert boards(page)["no_parameter_0"].text == "no parameter"


def test_a_slider_that_is_moved_changes_maps_answers_and_link(open_page, measured, factor):
    page, seen = open_page(POOLS, example="coffee", poolings="gap,gem"), measured("coffee")
    use(page, "slider_1_gem", "value", 6.5)
    outcome = "gem:p=6.5"
    answer = int(page.query_params["class"])
    assert page.query_params["poolings"] == "gap,gem:p=6.5"
    assert components(page, "slider")["slider_1_gem"]["value"] == 6.5
    np.testing.assert_allclose(viewers(page)["evidence"].maps[f"{answer}.gem-p6.5"].values, seen.cells(answer, outcome),
                               atol=1e-4)
    assert columns(page)[1].texts("number") == [
        percent(seen.probabilities(outcome, factor(outcome))[index]) for index in seen.best(5, outcome)]
    use(page, "slider_1_gem", "value", 3)
    assert page.query_params["poolings"] == "gap,gem", "its usual number is left out"


# Answers.


@pytest.mark.parametrize("calibrated", [True, False])
def test_each_column_holds_the_five_answers_that_numpy_computes(calibrated, open_page, measured, factor):
    page = open_page(POOLS, example="cat", poolings=",".join(FOUR), calibrated=str(int(calibrated)))
    seen = measured("cat")
    assert [column.one("h3").text for column in columns(page)] == [NAMES[spelling] for spelling in FOUR]
    for column, spelling in zip(columns(page), FOUR, strict=True):
        shares = seen.probabilities(spelling, factor(spelling) if calibrated else 1)
        best = seen.best(5, spelling)
        assert column.texts("name") == [seen.names[index] for index in best]
        assert column.texts("number") == [percent(shares[index]) for index in best]
        assert [row.pick for row in column.all("answer")] == [[spelling, index] for index in best]
        assert column.one("badge").text == ("native" if spelling == "gap" else
                                            f"what-if, calibrated × {factor(spelling):.2f}" if calibrated else
                                            "what-if")


def test_a_what_if_without_a_fitted_number_says_so(open_page, put, make_network):
    put(analysis_of(make_network(linear([[1.0, 2.0], [0.0, 0.0]], [0.5, 0.0]), 2), torch.ones(2, 3, 3)))
    page = open_page(POOLS, poolings="gap,gem")
    assert boards(page)["head_1"].one("badge").text == "what-if, no fit"
    assert columns(page)[1].one("badge").text == "what-if, no fit"
    assert boards(page)["path_note"].text.endswith(
        "Probabilities are the head's own, not calibrated: not every value of this parameter has a fitted number.")


@pytest.mark.parametrize("example", ["cat", "rocket"])
def test_changes_of_rank_are_marked_against_the_native_answer(example, open_page, measured):
    page, seen = open_page(POOLS, example=example, poolings="gap,gmp,softpool,attention"), measured(example)
    for column in columns(page):
        for row, rank in zip(column.all("answer"), range(1, 6), strict=True):
            spelling, index = row.pick
            before = seen.rank(index)
            moved = f"▲{before - rank}" if before > rank else f"▼{rank - before}"
            change = [] if before == rank else ["new"] if before > 5 else [moved]
            assert row.texts("change") == change, (spelling, index)
            assert spelling != "gap" or change == []


def test_a_click_on_an_answer_shows_that_class_under_all_of_them(open_page, measured):
    page, seen = open_page(POOLS, example="cat"), measured("cat")
    third = seen.best(3, "gmp")[2]
    pick(page, "answers", ["gmp", third])
    assert page.query_params["class"] == str(third)
    assert page.query_params["pooling"] == "gap", "the pooling of the other pages is not chosen here"
    assert list(viewers(page)["evidence"].maps) == [f"{third}.gap", f"{third}.gmp", f"{third}.attention"]
    assert viewers(page)["evidence"]["heading"] == f"Evidence for {seen.names[third]}"


# Two compared.


@pytest.mark.parametrize(("pair", "one", "other"), [
    (None, "gap", "gem:p=5"), ("2,1", "lse", "gem:p=5")])
def test_every_channel_is_a_point_at_its_two_pooled_values(pair, one, other, open_page, measured):
    link = {} if pair is None else {"pair": pair}
    page = open_page(POOLS, example="coffee", poolings=",".join(FOUR), **link)
    seen, answer = measured("coffee"), int(page.query_params["class"])
    np.testing.assert_allclose(points(page)["x"], pooled(seen.maps, one), atol=1e-5)
    np.testing.assert_allclose(points(page)["y"], pooled(seen.maps, other), atol=1e-5)
    difference = seen.paid(answer, one) - seen.paid(answer, other)
    np.testing.assert_allclose(points(page)["marker"]["color"], difference, atol=1e-5)
    assert points(page)["customdata"].tolist() == list(range(1280))
    layout = figures(page)["scatter"]["layout"]
    assert layout["xaxis"]["title"]["text"] == f"pooled value under {NAMES[one]}"
    assert layout["yaxis"]["title"]["text"] == f"pooled value under {NAMES[other]}"
    assert (control(page, "pair0").value, control(page, "pair1").value) == (FOUR.index(one), FOUR.index(other))
    assert page.query_params.get("pair") == pair


def test_another_pair_can_be_chosen_and_choosing_the_same_one_twice_swaps_them(open_page):
    page = open_page(POOLS)
    control(page, "pair1").set_value(2).run()
    assert page.query_params["pair"] == "0,2"
    control(page, "pair0").set_value(2).run()
    assert page.query_params["pair"] == "2,0"
    assert figures(page)["scatter"]["layout"]["xaxis"]["title"]["text"] == f"pooled value under {NAMES['attention']}"


@pytest.mark.parametrize("pair", ["1,2", "3,0", "2,3"])
def test_a_pair_that_a_link_takes_from_more_poolings_than_there_are_is_still_of_two_different_ones(pair, open_page):
    page = open_page(POOLS, poolings="gap,gmp", pair=pair)
    assert not page.exception
    assert sorted([control(page, "pair0").value, control(page, "pair1").value]) == [0, 1]
    assert len(boards(page)["differences"].all("button")) == 8


def test_a_slider_does_not_make_two_poolings_one(open_page):
    page = open_page(POOLS, poolings="gap,gem,gem:p=5", pair="1,2")
    use(page, "slider_2_gem", "value", 3)
    assert page.query_params["poolings"] == "gap,gem,gem:p=5"
    assert (control(page, "pair0").value, control(page, "pair1").value) == (1, 2)


def test_the_channels_on_which_two_differ_most_are_those_of_numpy(open_page, measured):
    spellings = "softpool", "lse"
    page, seen = open_page(POOLS, example="rocket", poolings=",".join(spellings)), measured("rocket")
    one, other = (seen.paid(int(page.query_params["class"]), spelling) for spelling in spellings)
    order = np.argsort(-np.abs(one - other), kind="stable")[:8]
    rows = boards(page)["differences"].all("clicked")
    assert [row.pick for row in rows] == order.tolist()
    for row, channel in zip(rows, order, strict=True):
        assert row.texts("th") == [f"channel {channel}"]
        assert row.texts("span") == [signed(one[channel]), signed(other[channel])]
        assert row.one("strong").text == signed(one[channel] - other[channel])
        assert [span.attributes.get("title") for span in row.all("span")] == [
            f"pooled {plain(pooled(seen.maps, spelling)[channel])}" for spelling in spellings]
    assert boards(page)["differences"].texts("th")[1:4] == [NAMES[spellings[0]], NAMES[spellings[1]], "difference"]


def test_a_click_on_a_point_opens_that_channels_card_and_rings_it(open_page, measured):
    page, seen = open_page(POOLS), measured()
    assert "card" not in boards(page)
    x, y = pooled(seen.maps)[437], pooled(seen.maps, "gmp")[437]
    click_point(page, "scatter", {"curve_number": 1, "point_index": 437, "customdata": 437, "x": x, "y": y})
    assert page.query_params["channel"] == "437"
    assert boards(page)["card"].one("h3").text == "Channel 437"
    ring = trace(figures(page)["scatter"], "chosen")
    assert (float(ring["x"][0]), float(ring["y"][0])) == pytest.approx((x, y), abs=1e-5)


def test_a_click_on_the_chosen_point_leaves_it_chosen(open_page):
    page = open_page(POOLS)
    click_point(page, "scatter", {"curve_number": 1, "point_index": 437, "customdata": [437], "x": 0, "y": 0})
    click_point(page, "scatter", None)
    assert page.query_params["channel"] == "437"


def test_a_click_on_a_difference_opens_that_channels_card(open_page, measured):
    page, seen = open_page(POOLS, poolings="gmp,gap"), measured()
    channel = boards(page)["differences"].all("clicked")[0].pick
    pick(page, "differences", channel)
    card, answer = boards(page)["card"], int(page.query_params["class"])
    assert card.one("h3").text == f"Channel {channel}"
    paid = seen.paid(answer, "gmp")[channel]
    assert card.all("p")[0].text.startswith(f"{signed(paid)} logits for "), "under the first of the two"


def test_the_channel_that_is_chosen_here_is_the_one_on_the_feature_maps_page(open_page):
    page = pick(open_page(POOLS), "differences", 12)
    page.switch_page("pages/1_Feature_maps.py").run()
    assert page.query_params["channel"] == "12"
    assert boards(page)["card"].one("h3").text == "Channel 12"


# Along a parameter.


@pytest.mark.parametrize("key", ["gem", "mixed", "attention"])
def test_the_path_holds_the_probabilities_that_numpy_computes(key, open_page, measured):
    page, seen = open_page(POOLS, example="coffee", path=key, calibrated="0"), measured("coffee")
    low, high = ENDS[key]
    values = np.linspace(low, high, 31) if key == "mixed" else np.geomspace(low, high, 31)
    name = POOLINGS[key].parameter.name
    classes = list(dict.fromkeys([int(page.query_params["class"]), *seen.best(3), *seen.best(3), *seen.best(3, "gmp")]))
    figure = figures(page)["path_figure"]
    lines = [item for item in figure["data"] if item.get("showlegend")]
    assert [item["name"] for item in lines] == [seen.names[index] for index in classes]
    for n in (0, 7, 15, 22, 30):
        shares = seen.probabilities(f"{key}:{name}={values[n]}")
        for item, index in zip(lines, classes, strict=True):
            assert item["x"][n] == pytest.approx(values[n])
            assert item["y"][n] == pytest.approx(100 * shares[index], abs=2e-3)
    assert figure["layout"]["xaxis"]["title"]["text"] == name
    assert (figure["layout"]["xaxis"].get("type") == "log") == (key != "mixed")
    assert boards(page)["path_note"].text.startswith(f"{name}: ")
    assert boards(page)["path_note"].text.endswith("Probabilities are the head's own, not calibrated.")


@pytest.mark.parametrize("key", ["gem", "mixed"])
def test_the_path_is_calibrated_all_along_but_for_the_native_answer(key, open_page, measured, network):
    page, seen = open_page(POOLS, example="coffee", path=key), measured("coffee")
    low, high = ENDS[key]
    values = np.linspace(low, high, 31) if key == "mixed" else np.geomspace(low, high, 31)
    values = np.clip(values, low, high)  # geomspace may miss its end by a rounding
    factors = [network.calibration.multiplier(key, {"x": float(value)}) for value in values]
    answer, n = int(page.query_params["class"]), 20
    assert None not in factors
    shares = seen.probabilities(f"{key}:x={values[n]}", factors[n])
    first = next(item for item in figures(page)["path_figure"]["data"] if item.get("showlegend"))
    assert first["y"][n] == pytest.approx(100 * shares[answer], abs=2e-3)
    assert boards(page)["path_note"].text.endswith(f" {seen.names[answer]} {percent(seen.probabilities()[answer])}.")


@pytest.mark.parametrize(("poolings", "at"), [
    ("gap,gmp", None), ("gap,gem", 3), ("gem:p=7,gem", 7)])
def test_the_path_marks_where_the_pooling_beside_the_others_stands(poolings, at, open_page):
    figure = figures(open_page(POOLS, poolings=poolings))["path_figure"]
    marks = [item["x"] for item in figure["data"] if item.get("name") == "p now"]
    assert [list(x) for x in marks] == ([] if at is None else [[at, at]])


def test_another_path_can_be_chosen_and_stands_in_the_link(open_page):
    page = open_page(POOLS)
    control(page, "path").set_value("attention").run()
    assert page.query_params["path"] == "attention"
    assert figures(page)["path_figure"]["layout"]["xaxis"]["title"]["text"] == "t"


def test_the_class_that_is_asked_for_leads_the_path(open_page):
    page = open_page(POOLS, **{"class": "450"})
    lines = [item["name"] for item in figures(page)["path_figure"]["data"] if item.get("showlegend")]
    assert lines[0] == "bobsled"
    assert len(lines) == len(set(lines)) <= 6


def test_a_class_below_a_tenth_of_a_percent_all_along_has_a_sentence_in_place_of_its_curve(open_page):
    page = open_page(POOLS, **{"class": str(TENCH)})
    lines = [item["name"] for item in figures(page)["path_figure"]["data"] if item.get("showlegend")]
    assert "tench" not in lines
    assert boards(page)["path_note"].text.endswith(" Below 0.1% all along, and without a curve: tench.")


# Links.


BAD = [{"poolings": "gap"}, {"poolings": "gap,gmp,gem,lse,topk"}, {"poolings": "gem,gem:p=3"},
       {"poolings": "<b>gap</b>,gmp"}, {"pair": "0,0"}, {"pair": "0,9"}, {"path": "gap"}, {"channel": "1280"}]


@pytest.mark.parametrize("link", BAD, ids=lambda link: "-".join(f"{name}={value}" for name, value in link.items()))
def test_a_bad_link_is_one_plain_sentence_and_the_usual_page(link, open_page):
    page, usual = open_page(POOLS, **link), open_page(POOLS)
    assert not page.exception
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence), sentence
    assert page.query_params == usual.query_params
    assert viewers(page)["looks"].data == viewers(usual)["looks"].data
    assert boards(page)["differences"].text == boards(usual)["differences"].text
    assert notices(page.run()) == [], "the sentence is shown once"


def test_a_pooling_in_a_link_is_written_in_its_one_form(open_page):
    page = open_page(POOLS, poolings="gap,gem:p=4.0,topk:share=0.20")
    assert notices(page) == []
    assert page.query_params["poolings"] == "gap,gem:p=4,topk"


# By hand.


def test_a_tiny_network_is_as_worked_out_by_hand(open_page, put, make_network):
    # Channel 0 is 4 at one position of four, channel 1 is 1 everywhere; class 0 takes the first once, the other twice.
    maps = torch.tensor([[[4.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    put(analysis_of(make_network(linear([[1.0, 2.0], [0.0, 0.0]], [0.5, 0.0]), 2), maps))
    page = open_page(POOLS, poolings="gap,gmp")
    looks = viewers(page)["looks"].maps
    speaks = viewers(page)["evidence"].maps
    assert not page.exception
    np.testing.assert_allclose(looks["looks.gap"].values, 0.25)
    # Under GMP channel 0 contributes 4, at one position; channel 1 contributes 2, evenly: (4 * 1 + 2 / 4) / 6.
    np.testing.assert_allclose(looks["looks.gmp"].values, np.array([[4.5, 0.5], [0.5, 0.5]]) / 6, atol=1e-5)
    np.testing.assert_allclose(speaks["0.gap"].values, [[1.5, 0.5], [0.5, 0.5]], atol=1e-4)
    np.testing.assert_allclose(speaks["0.gmp"].values, [[4.5, 0.5], [0.5, 0.5]], atol=1e-4)
    assert [shown.lines[0] for shown in speaks.values()] == ["logit 3.50", "logit 6.50"]
    (row,) = boards(page)["differences"].all("clicked")
    assert [*row.texts("th"), *row.texts("span"), row.one("strong").text] == ["channel 0", "+1.00", "+4.00", "−3.00"]
    assert number(row.one("strong").text) == -3
