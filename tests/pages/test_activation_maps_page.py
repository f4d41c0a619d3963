"""Activation maps without a browser: evidence, CAM methods and votes as small multiples, against numpy."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from explorer import CAM_METHODS, POOLINGS, analyse
from explorer.wording import evidence_sentence, number_word, percent, plain, signed
from tests.browser.uploads import encode
from tests.explorer.tiny import analysis_of, linear
from tests.pages.arithmetic import box_around, fewest_carrying, flood, softmax
from tests.pages.boards import boards, control, is_plain_sentence, notices, viewers
from tests.pages.clicks import pick, upload, use

MAPS = "pages/3_Activation_maps.py"
ESPRESSO, TENCH, HELMET = 967, 0, 560
USUAL = ("gap", "gmp", "attention")


def grid(page):
    return viewers(page)["grid"]


def chips(page) -> dict[str, bool]:
    """The classes that can be shown, and whether they are."""
    return {chip.text: chip.attributes["aria-pressed"] == "true" for chip in boards(page)["classes"].all("chip")}


def box_line(shown, cells: np.ndarray, seen, share: float) -> None:
    """The box that is drawn and its line are those of a flood fill and a sum by hand."""
    region = flood(cells, share)
    left, top, right, bottom = box_around(region, seen, cells.shape)
    assert shown.box == pytest.approx([left, top, right, bottom], abs=1e-6)
    rows, columns = [i for i, _ in region], [j for _, j in region]
    inside = cells[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1]
    held = inside[inside > 0].sum() / cells[cells > 0].sum()
    assert shown.lines[-1] == (f"box {right - left:.0f} × {bottom - top:.0f} px at ({left:.0f}, {top:.0f}) holds "
                               f"{percent(held)} of the positive evidence")


# Evidence.


@pytest.mark.parametrize("example", ["astronaut", "cat_and_coffee"])
def test_the_likeliest_three_classes_stand_under_three_poolings_as_numpy_has_them(example, open_page, measured):
    page, seen = open_page(MAPS, example=example), measured(example)
    classes = seen.best(3)
    assert not page.exception
    assert notices(page) == []
    assert list(grid(page).maps) == [f"{index}.{pooling}" for index in classes for pooling in USUAL]
    for index in classes:
        for pooling in USUAL:
            shown, cells = grid(page).maps[f"{index}.{pooling}"], seen.cells(index, pooling)
            np.testing.assert_allclose(shown.values, cells, atol=2e-5 + shown.step)
            assert shown.mark == list(np.unravel_index(cells.argmax(), cells.shape))
            assert shown.lines[0] == f"logit {plain(seen.logits(pooling)[index])}"
            assert (shown.title, shown.kind, shown.unit) == (POOLINGS[pooling].label(), "signed", "logits")
    assert [shown.row for shown in grid(page).maps.values()] == [
        text for index in classes for text in (seen.names[index], "", "")]
    assert grid(page)["across"] == 3
    assert len({(shown.scale, shown.limit) for shown in grid(page).maps.values()}) == 1, "one scale for all"
    assert grid(page)["aside"] == "final feature maps, 1,280 × 7 × 7"


@pytest.mark.parametrize("example", ["coffee", "photographer"])
def test_the_headline_says_where_the_evidence_lies(example, open_page, measured):
    page, seen = open_page(MAPS, example=example), measured(example)
    answer = seen.best(1)[0]
    cells = seen.cells(answer)
    count, share = fewest_carrying(cells, 0.5)
    head = boards(page)["headline"]
    sentence = evidence_sentence(cells)
    assert head.one("says").text == seen.names[answer]
    assert head.one("lead").text.startswith(f"{sentence} ")
    assert sentence.startswith(f"{number_word(count).capitalize()} of 49 positions, ")
    assert f" {percent(share)} of " in sentence


@pytest.mark.parametrize("pooling", ["gmp", "gem:p=5"])
def test_the_headline_names_the_pooling_that_was_chosen_elsewhere(pooling, open_page, measured):
    page, seen = open_page(MAPS, example="coffee", pooling=pooling), measured("coffee")
    _, share = fewest_carrying(seen.cells(ESPRESSO, pooling), 0.5)
    lead = boards(page)["headline"].one("lead").text
    assert percent(share) in lead
    assert POOLINGS[pooling.partition(":")[0]].name in lead


def test_the_maps_are_the_packages_evidence_to_half_a_level(open_page, network, examples):
    page = open_page(MAPS, example="coffee", poolings="gap,gem:p=5,lse,topk", framing="whole", size="160",
                     classes="967,281,7")
    analysis = analyse(network, examples["coffee"], "whole", 160)
    assert len(grid(page).maps) == 12
    for shown in grid(page).maps.values():
        index, _, spelling = shown.id.partition(".")
        outcome = analysis.under("gem", p=5) if spelling == "gem-p5" else analysis.under(spelling)
        cells = outcome.evidence(int(index)).cells.numpy()
        assert shown.values.shape == cells.shape == analysis.framing.grid
        assert np.abs(shown.values - cells).max() <= shown.step / 2 + 1e-6
        assert shown.step == pytest.approx((cells.max() - cells.min()) / 65534, rel=1e-4)


def test_an_uploaded_photo_is_shown(open_page, measured, examples):
    photo = examples["rocket"].crop((50, 50, 400, 350))
    page, seen = upload(open_page(MAPS), encode(photo)), measured(photo)
    first = seen.best(1)[0]
    assert not page.exception
    assert page.query_params["class"] == str(first)
    np.testing.assert_allclose(grid(page).maps[f"{first}.gap"].values, seen.cells(first), atol=1e-4)
    assert grid(page)["size"] == [350, 300]


@pytest.mark.parametrize(("example", "link"), [
    ("cat_and_coffee", {}), ("rocket", {"box": "95"}), ("cat_and_coffee", {"box": "1"}),
    ("rocket", {"framing": "whole", "size": "288", "box": "35"})])
def test_the_boxes_are_those_of_a_flood_fill(example, link, open_page, measured, network, examples):
    page = open_page(MAPS, example=example, **link)
    size = int(link.get("size", "224"))
    seen = measured(example, link.get("framing", "crop"), size)
    part = analyse(network, examples[example], link.get("framing", "crop"), size).framing.seen
    assert not page.exception
    for shown in grid(page).maps.values():
        index, _, pooling = shown.id.partition(".")
        box_line(shown, seen.cells(int(index), pooling), part, int(link.get("box", "20")) / 100)
    assert page.query_params.get("box") == link.get("box")


def test_the_box_can_be_drawn_tighter_and_stands_in_the_link(open_page, measured, network, examples):
    page = open_page(MAPS, example="coffee")
    before = grid(page).maps[f"{ESPRESSO}.gap"].box
    control(page, "box").set_value(80).run()
    part = analyse(network, examples["coffee"]).framing.seen
    assert page.query_params["box"] == "80"
    assert grid(page).maps[f"{ESPRESSO}.gap"].box != before
    box_line(grid(page).maps[f"{ESPRESSO}.gap"], measured("coffee").cells(ESPRESSO), part, 0.8)
    control(page, "box").set_value(20).run()
    assert "box" not in page.query_params


def test_for_a_class_without_any_evidence_the_map_says_so_and_has_no_box(open_page, measured):
    seen = measured("astronaut")
    item = np.einsum("ck,kij->cij", seen.weight, seen.maps)  # under GAP, times 49
    nothing = int(np.flatnonzero((item <= 0).all((1, 2)))[0])
    page = open_page(MAPS, classes=str(nothing), **{"class": str(nothing)})
    shown = grid(page).maps[f"{nothing}.gap"]
    assert not page.exception
    assert (shown.values <= 0).all()
    assert shown.lines == [f"logit {plain(seen.logits()[nothing])}", "all evidence for this class is negative"]
    assert shown.box is None
    assert boards(page)["headline"].one("lead").text == evidence_sentence(np.zeros((7, 7)))
    assert "all evidence" not in " ".join(grid(page).maps[f"{nothing}.gmp"].lines), "GMP keeps some that is positive"


def test_a_tiny_network_is_as_worked_out_by_hand(open_page, put, make_network):
    maps = torch.tensor([[[4.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    put(analysis_of(make_network(linear([[1.0, 2.0], [-1.0, 0.0]], [0.5, 0.0]), 2), maps))
    page = open_page(MAPS, poolings="gap,gmp", box="50")
    shown = grid(page).maps
    assert not page.exception
    np.testing.assert_allclose(shown["0.gap"].values, [[1.5, 0.5], [0.5, 0.5]], atol=1e-4)
    np.testing.assert_allclose(shown["1.gmp"].values, [[-4.0, 0.0], [0.0, 0.0]], atol=1e-4)
    assert shown["0.gap"].lines == ["logit 3.50", "box 48 × 48 px at (0, 0) holds 50% of the positive evidence"]
    assert shown["0.gap"].box == [0, 0, 48, 48]
    assert shown["1.gmp"].lines == ["logit −4.00", "all evidence for this class is negative"]


# Which classes.


def test_classes_of_a_link_are_shown_in_its_order_and_the_pages_own_is_one_of_them(open_page, measured):
    page, seen = open_page(MAPS, example="cat", classes="7,967"), measured("cat")
    own = seen.best(1)[0]
    assert page.query_params["classes"] == "7,967"
    assert [shown.id for shown in grid(page).maps.values()][::3] == [f"{index}.gap" for index in (own, 7, 967)]
    page = open_page(MAPS, example="cat", classes="7,967", **{"class": "967"})
    assert [shown.id for shown in grid(page).maps.values()][::3] == ["7.gap", "967.gap"]
    assert boards(page)["headline"].one("lead").text.endswith(" Also shown: 1 other class.")


def test_five_classes_at_most_are_shown(open_page):
    page = open_page(MAPS, classes="1,2,3,4,5")
    assert [shown.id for shown in grid(page).maps.values()][::3] == [
        f"{index}.gap" for index in (HELMET, 1, 2, 3, 4)]
    assert not page.exception


def test_chips_offer_the_likeliest_eight_and_show_and_hide_classes(open_page, measured):
    page, seen = open_page(MAPS, example="cat"), measured("cat")
    best = seen.best(8)
    assert chips(page) == {seen.names[index]: place < 3 for place, index in enumerate(best)}
    pick(page, "classes", best[3])
    assert page.query_params["classes"] == ",".join(map(str, best[:4]))
    assert len(grid(page).maps) == 4 * 3
    pick(page, "classes", best[1])
    assert page.query_params["classes"] == ",".join(map(str, [best[0], best[2], best[3]]))
    assert chips(page)[seen.names[best[1]]] is False
    assert page.query_params["class"] == str(best[0])


def test_the_page_follows_the_next_class_when_its_own_is_hidden(open_page, measured):
    page, best = open_page(MAPS, example="cat"), measured("cat").best(3)
    pick(page, "classes", best[0])
    assert page.query_params["class"] == str(best[1])
    assert [shown.id for shown in grid(page).maps.values()][::3] == [f"{best[1]}.gap", f"{best[2]}.gap"]


def test_a_sixth_class_and_the_hiding_of_the_last_are_refused_with_one_sentence(open_page, measured):
    best = measured("cat").best(8)
    five = ",".join(map(str, best[:5]))
    page = pick(open_page(MAPS, example="cat", classes=five), "classes", best[5])
    assert notices(page) == ["One to 5 classes are shown at once."]
    assert page.query_params["classes"] == five
    assert notices(page.run()) == []
    page = pick(open_page(MAPS, example="cat", classes=str(best[0])), "classes", best[0])
    assert notices(page) == ["One to 5 classes are shown at once."]
    assert page.query_params["classes"] == str(best[0])


def test_a_class_asked_for_by_its_name_is_shown_with_the_others(open_page, measured):
    page, best = open_page(MAPS, example="cat"), measured("cat").best(3)
    pick(page, "class", ESPRESSO).run()
    assert [shown.id for shown in grid(page).maps.values()][::3] == [
        f"{index}.gap" for index in (ESPRESSO, *best)]
    assert chips(page)["espresso"] is True


def test_another_photo_has_its_own_classes(open_page, measured):
    page = pick(open_page(MAPS, example="cat", classes="7,967"), "examples", "coffee")
    assert "classes" not in page.query_params
    assert [shown.id for shown in grid(page).maps.values()][::3] == [
        f"{index}.gap" for index in measured("coffee").best(3)]


# CAM methods.


def divided(values: np.ndarray) -> np.ndarray:
    return values / np.abs(values).max()


def test_three_cams_are_as_numpy_has_them_divided_by_their_own_largest(open_page, measured):
    page, seen = open_page(MAPS, example="coffee", maps="cams"), measured("coffee")
    for index in seen.best(3):
        row = seen.weight[index]
        signed_cam = np.einsum("k,kij->ij", row, seen.maps)
        layer = np.einsum("k,kij->ij", np.maximum(row, 0), seen.maps)  # the gradient is the weight over 49
        for method, expected in (("cam", signed_cam), ("grad-cam", signed_cam), ("layer-cam", layer)):
            shown = grid(page).maps[f"{index}.{method}"]
            np.testing.assert_allclose(shown.values, divided(expected), atol=2e-5)
            assert (shown.kind, shown.unit, shown.limit) == ("signed", "", 1.0)
            assert "no unit" in shown.unitName
    assert grid(page)["heading"] == "CAM methods, each map from 0 to 1 of its own largest"
    assert [shown.title for shown in grid(page).maps.values()][:3] == ["CAM", "Grad-CAM", "Layer-CAM"]
    assert boards(page)["cam_note"].text.startswith("CAM methods have no unit: ")


@pytest.mark.parametrize("pooling", ["gap", "gem:p=5"])
def test_every_cam_method_but_score_cam_is_the_packages_own_divided_by_its_largest(
    pooling, open_page, network, examples
):
    others = [key for key in CAM_METHODS if key != "score_cam"]
    analysis = analyse(network, examples["cat"])
    outcome = analysis.under("gem", p=5) if pooling == "gem:p=5" else analysis.under(pooling)
    for methods in (others[:4], others[4:8], others[8:]):
        page = open_page(MAPS, example="cat", maps="cams", methods=",".join(methods), pooling=pooling, classes="285",
                         **{"class": "285"})
        assert notices(page) == []
        assert list(grid(page).maps) == [f"285.{method.replace('_', '-')}" for method in methods]
        for method, shown in zip(methods, grid(page).maps.values(), strict=True):
            expected = outcome.cam(method, 285).double().numpy()
            np.testing.assert_allclose(shown.values, divided(expected), atol=5e-5, err_msg=method)
            assert np.abs(shown.values).max() == pytest.approx(1, abs=5e-5)
            assert shown.lines == ([] if (expected > 0).any() else ["nothing is positive"])
        assert boards(page)["cam_note"].text.endswith(f"under {outcome.name}.")


def test_score_cam_is_computed_beside_the_page_and_then_shown(open_page, put, make_network, examples):
    analysis = analyse(make_network(seed=1), examples["cat"], "crop", 96)
    put(analysis)
    page = open_page(MAPS, maps="cams", methods="score_cam", classes="2", **{"class": "2"})
    until = time.monotonic() + 20
    while grid(page).maps["2.score-cam"].kind == "photo" and time.monotonic() < until:
        assert grid(page).maps["2.score-cam"].lines == ["being computed"]
        assert not page.exception
        page.run()
    (shown,) = grid(page).maps.values()
    assert (shown.id, shown.title, shown.kind) == ("2.score-cam", "Score-CAM", "signed")
    assert notices(page) == []
    fresh = analyse(analysis.network, examples["cat"], "crop", 96).cam("score_cam", 2).double().numpy()
    np.testing.assert_allclose(shown.values, divided(fresh), atol=5e-5)


def test_methods_can_be_chosen_and_none_at_all_is_refused(open_page):
    page = open_page(MAPS, maps="cams")
    control(page, "methods").set_value(["eigen_cam", "finer_cam"]).run()
    assert page.query_params["methods"] == "eigen_cam,finer_cam"
    assert [shown.title for shown in grid(page).maps.values()][:2] == ["Eigen-CAM", "Finer-CAM"]
    control(page, "methods").set_value([]).run()
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence)
    assert page.query_params["methods"] == "eigen_cam,finer_cam"
    assert control(page, "methods").proto.max_selections == 4


def test_a_method_that_this_head_does_not_allow_says_so_in_its_place_and_the_others_are_shown(
    open_page, put, make_network, examples
):
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(5, 6), nn.Hardswish(), nn.Linear(6, 4))
    put(analyse(make_network(head), examples["cat"], "crop", 96))
    page = open_page(MAPS, maps="cams", methods="cam,grad_cam", classes="1,2", **{"class": "1"})
    assert not page.exception
    assert list(grid(page).maps) == ["1.cam", "1.grad-cam", "2.cam", "2.grad-cam"]
    assert [shown.row for shown in grid(page).maps.values()] == ["class 1", "", "class 2", ""]
    for index in (1, 2):
        refused, shown = grid(page).maps[f"{index}.cam"], grid(page).maps[f"{index}.grad-cam"]
        assert refused.kind == "photo"
        assert refused.lines == ["CAM needs a head that is affine, and this network's is not; Grad-CAM is its "
                                 "generalisation."]
        assert np.isnan(refused.values).all()
        assert shown.kind == "signed"
        assert np.abs(shown.values).max() == pytest.approx(1, abs=5e-5)


# Votes.


@pytest.mark.parametrize("example", ["cat_and_coffee", "rocket"])
def test_votes_are_the_answers_of_each_position_alone(example, open_page, measured):
    page, seen = open_page(MAPS, example=example, maps="votes"), measured(example)
    answer = seen.best(1)[0]
    logits = np.einsum("ck,kij->cij", seen.weight, seen.maps) + seen.bias[:, None, None]
    votes = softmax(logits, 0)
    shown, won = grid(page).maps[f"{answer}.votes"], grid(page).maps["winners"]
    np.testing.assert_allclose(shown.values, votes[answer], atol=2e-5)
    row, column = np.unravel_index(votes[answer].argmax(), (7, 7))
    assert shown.lines == [f"most at position ({row}, {column}): {percent(votes[answer][row, column])}"]
    assert (shown.kind, shown.unit) == ("positive", "probability")
    assert shown.unitName == f"probability of {seen.names[answer]}"

    counts = Counter(votes.argmax(0).ravel().tolist())
    named = sorted(counts, key=lambda index: (-counts[index], index))[:7]
    others = 49 - sum(counts[index] for index in named)
    assert won.legend == [*(f"{seen.names[index]} ({counts[index]})" for index in named),
                          *([f"others ({others})"] if others else [])]
    expected = [[named.index(index) if index in named else 7 for index in line] for line in votes.argmax(0).tolist()]
    np.testing.assert_allclose(won.values, expected, atol=0.001)
    assert won.kind == "labels"

    for place in (0, 24, 48):
        own = votes.reshape(1000, -1)[:, place]
        three = np.argsort(-own, kind="stable")[:3]
        assert won.notes[place] == shown.notes[place] == ", ".join(
            f"{seen.names[index]} {percent(own[index])}" for index in three)
    assert grid(page)["across"] == 2
    assert "classes" not in boards(page), "votes are of the page's class and of all"


def test_under_gap_the_logit_is_the_average_of_the_positions_and_elsewhere_it_is_not(open_page, measured):
    seen = measured("coffee")
    logits = np.einsum("ck,kij->cij", seen.weight, seen.maps) + seen.bias[:, None, None]
    page = open_page(MAPS, example="coffee", maps="votes")
    assert f"({plain(logits[ESPRESSO].mean())}) is the average" in boards(page)["votes_note"].text
    control(page, "pooling").set_value("gmp").run()
    assert "is not the average" in boards(page)["votes_note"].text


@pytest.mark.parametrize("pooling", ["gem:p=1", "topk:share=1", "mixed:a=0"])
def test_where_a_pooling_is_the_average_the_logit_is_not_said_to_be_anything_else(pooling, open_page, measured):
    seen = measured("coffee")
    logits = np.einsum("ck,kij->cij", seen.weight, seen.maps) + seen.bias[:, None, None]
    assert seen.logits(pooling)[ESPRESSO] == pytest.approx(logits[ESPRESSO].mean())
    page = open_page(MAPS, example="coffee", maps="votes", pooling=pooling)
    assert "is not the average" not in boards(page)["votes_note"].text


def test_the_kind_of_maps_can_be_chosen_and_stands_in_the_link(open_page):
    page = open_page(MAPS)
    for kind in ("cams", "votes"):
        control(page, "maps").set_value(kind).run()
        assert page.query_params["maps"] == kind
    assert grid(page).data == grid(open_page(MAPS, maps="votes")).data
    control(page, "maps").set_value("evidence").run()
    assert "maps" not in page.query_params


# A place on the photo.


@pytest.mark.parametrize(("region", "pooling"), [
    ((0, 0, 6, 6), "gap"), ((1, 2, 3, 5), "gmp"), ((4, 4, 4, 4), "gap"), ((0, 6, 6, 6), "gmp")])
def test_a_region_of_a_link_is_outlined_and_summed_up(region, pooling, open_page, measured, network, examples):
    page = open_page(MAPS, example="coffee", region=",".join(map(str, region)), pooling=pooling,
                     **{"class": str(ESPRESSO)})
    seen = measured("coffee")
    cells = seen.cells(ESPRESSO, pooling)
    top, left, bottom, right = region
    inside = cells[top : bottom + 1, left : right + 1]
    place = boards(page)["place"]
    kind = np.maximum(cells if inside.sum() >= 0 else -cells, 0)
    part = kind[top : bottom + 1, left : right + 1].sum() / kind.sum()
    assert page.query_params["region"] == ",".join(map(str, region))
    assert grid(page)["region"] == list(region)
    assert place.one("h3").text == (f"Position ({top}, {left})" if inside.size == 1 else
                                    f"Positions ({top}, {left}) to ({bottom}, {right})")
    sentence = place.all("p")[0].text
    assert sentence.startswith(f"{signed(inside.sum())} logits for espresso under {POOLINGS[pooling].name}, ")
    assert f" {percent(part)} of " in sentence
    box = box_around({(top, left), (bottom, right)}, analyse(network, examples["coffee"]).framing.seen, (7, 7))
    assert place.one("caption").text == (
        f"{inside.size} of 49 positions; pixels {round(box[0])} to {round(box[2])} across and {round(box[1])} to "
        f"{round(box[3])} down of the photo")
    if inside.size == 1:
        own = softmax(seen.weight @ seen.maps[:, top, left] + seen.bias)
        best = np.argsort(-own, kind="stable")[:3]
        assert place.all("p")[1].text.endswith(
            ", ".join(f"{seen.names[index]} {percent(own[index])}" for index in best) + ".")


def test_the_share_of_a_place_with_negative_evidence_is_of_the_negative_evidence(open_page, measured):
    seen = measured("cat")
    cells = seen.cells(ESPRESSO)
    i, j = np.unravel_index(cells.argmin(), cells.shape)
    assert cells[i, j] < 0
    page = open_page(MAPS, example="cat", region=f"{i},{j},{i},{j}", **{"class": str(ESPRESSO)})
    sentence = boards(page)["place"].all("p")[0].text
    assert sentence.startswith(f"{signed(cells[i, j])} logits for espresso under GAP, ")
    assert f" {percent(cells[i, j] / cells[cells < 0].sum())} of " in sentence
    assert "negative" in sentence or "against" in sentence


def test_a_click_chooses_a_place_and_a_second_one_or_the_button_clears_it(open_page):
    page = use(open_page(MAPS), "grid", "region", {"positions": [2, 3, 2, 3]})
    assert page.query_params["region"] == "2,3,2,3"
    assert boards(page)["place"].one("h3").text == "Position (2, 3)"
    use(page, "grid", "region", {"positions": [2, 3, 2, 3]})
    assert "region" not in page.query_params
    assert "place" not in boards(page)
    use(page, "grid", "region", {"positions": [0, 1, 4, 5]})
    assert boards(page)["place"].one("h3").text == "Positions (0, 1) to (4, 5)"
    pick(page, "place", "clear")
    assert "region" not in page.query_params
    assert grid(page)["region"] is None


def test_a_chosen_place_is_shown_while_other_maps_are(open_page):
    page = open_page(MAPS, region="2,3,4,5")
    for kind in ("cams", "votes", "evidence"):
        control(page, "maps").set_value(kind).run()
        assert grid(page)["region"] == [2, 3, 4, 5]
        assert boards(page)["place"].one("h3").text == "Positions (2, 3) to (4, 5)"


# Links.


BAD = [{"maps": "<b>votes</b>"}, {"box": "0"}, {"box": "96"}, {"methods": "smooth_grad"}, {"methods": ""},
       {"classes": "x"}, {"classes": "1,2,3,4,5,6"}, {"classes": "1000"}]


@pytest.mark.parametrize("link", BAD, ids=lambda link: "-".join(f"{name}={value}" for name, value in link.items()))
def test_a_bad_link_is_one_plain_sentence_and_the_usual_page(link, open_page):
    page, usual = open_page(MAPS, **link), open_page(MAPS)
    assert not page.exception
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence), sentence
    assert page.query_params == usual.query_params
    assert grid(page).data == grid(usual).data
    assert notices(page.run()) == [], "the sentence is shown once"


def test_a_class_that_does_not_exist_leaves_the_others_of_the_link(open_page):
    page = open_page(MAPS, classes="7,5000,967")
    assert len(notices(page)) == 1
    assert [shown.id for shown in grid(page).maps.values()][::3] == ["560.gap", "7.gap", "967.gap"]
    assert page.query_params["classes"] == "7,967"


def test_a_link_to_an_uploaded_photo_is_obeyed_once_the_photo_is_uploaded(open_page, examples):
    there = upload(open_page(MAPS), encode(examples["cat"]))
    use(there, "grid", "region", {"positions": [1, 1, 2, 2]})
    pick(there, "classes", boards(there)["classes"].all("chip")[4].pick)
    here = open_page(MAPS, **there.query_params)
    upload(here, encode(examples["cat"]))
    assert notices(here) == []
    assert here.query_params == there.query_params
    assert grid(here).data == grid(there).data
