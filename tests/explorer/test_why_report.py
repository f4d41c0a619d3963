"""The summary's section on why: its sums, sentences and pictures are what comes out when they are computed again."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import POOLINGS, analyse
from explorer.analysis import Outcome
from explorer.errors import MethodError, ParameterError
from explorer.export.report import POLICY, report_html
from explorer.questions.edited_photo import FILLS, changed_photo
from explorer.questions.probe import TAKEN_OUT, region_of
from explorer.questions.reasons import LEFT_OUT, reasons, usual_rival
from explorer.questions.stability import stability
from explorer.questions.variations import VARIATIONS
from explorer.sections.flip import smallest_sentence
from explorer.sections.probe import positions_in_words
from explorer.sections.summary import as_text, summary
from explorer.wording import percent
from tests.explorer import layered
from tests.explorer.by_hand import (
    AGAINST,
    ASKED,
    CALIBRATION,
    FITTED,
    PHOTO,
    ByHand,
    carrying,
    chosen_of,
    deciding_head,
    maps_of,
    share,
)
from tests.explorer.test_report import Tree
from tests.explorer.tiny import linear, with_backbone

HOSTILE = "</style></h2><script>alert(1)</script><img src=x onerror=alert(1)> & \"'\x00\ud800"
ANSWER, RUNNER_UP = 3, 1
COUNTS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight")


@pytest.fixture(scope="module")
def decided(make_network):
    """Four classes that differ by some logits, and fitted numbers for two what-ifs."""
    return dataclasses.replace(make_network(deciding_head()), calibration=CALIBRATION)


@pytest.fixture(scope="module")
def outcome(decided) -> Outcome:
    return analyse(decided, PHOTO).under()


@pytest.fixture(scope="module")
def page(outcome) -> str:
    return report_html(outcome, ANSWER, why=True)


@pytest.fixture(scope="module")
def tree(page) -> Tree:
    return Tree(page)


def why_of(tree: Tree) -> str:
    """All text of the section."""
    (text,) = tree.text("section", "reasons")
    return text


def table(tree: Tree, heading: str) -> list[list[str]]:
    """The rows of the first table after a heading of the third order, as the texts of their cells."""
    names = [name for name, _, _ in tree.elements]
    at = next(n for n, (name, _, text) in enumerate(tree.elements) if name == "h3" and "".join(text) == heading)
    begin = names.index("tbody", at) + 1
    rows: list[list[str]] = []
    for name, _, text in tree.elements[begin:]:
        if name == "tr":
            rows.append([])
        elif name in ("th", "td"):
            rows[-1].append("".join(text))
        elif name in ("table", "h3", "section"):
            break
    return rows


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def plain(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


# The section, and only where it is asked for.


def test_there_is_such_a_section_only_where_it_is_asked_for_and_it_comes_first(outcome, tree):
    before = outcome.analysis.network.backbone.calls
    without = Tree(report_html(outcome, ANSWER))
    assert outcome.analysis.network.backbone.calls == before
    assert without.text("section", "reasons") == []
    assert not [title for title in without.text("h2") if title.startswith("Why")]
    titles = tree.text("h2")
    assert titles[1] == f"Why class {ANSWER} and not class {RUNNER_UP}"
    assert [title for title in titles if not title.startswith("Why")] == without.text("h2")


def test_it_asks_for_nothing_from_outside_and_has_no_script(page, tree):
    assert [attributes["content"] for attributes, _ in tree.all("meta")
            if attributes.get("http-equiv") == "Content-Security-Policy"] == [POLICY]
    assert {name for name, _, _ in tree.elements}.isdisjoint({"script", "link", "iframe", "object", "form", "base"})
    addresses = [value for _, attributes, _ in tree.elements for name, value in attributes.items()
                 if name in {"src", "href", "srcset", "action", "poster"}]
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"data:[^\"]*", "", page))


def test_a_summary_of_reasons_that_are_known_runs_no_further_pass(decided):
    counting = with_backbone(decided, copy.deepcopy(decided.backbone))
    outcome = analyse(counting, PHOTO).under()
    known = reasons(outcome, ANSWER, AGAINST, slow=False)
    calls = counting.backbone.calls
    assert f"Why class {ANSWER} and not class {AGAINST}" in report_html(outcome, ANSWER, why=known)
    assert counting.backbone.calls == calls


# One class against the other.


def test_its_first_words_are_the_summary(tree, outcome):
    assert as_text(summary(outcome, ANSWER, RUNNER_UP)) in tree.text("p", "lead")


@pytest.mark.parametrize(("key", "parameter"), [("gap", {}), ("gmp", {}), ("gem", {"p": 5.0})])
def test_the_difference_and_its_places_are_those_of_the_two_logits(decided, outcome, key, parameter):
    chosen = outcome.analysis.under(key, **parameter)
    tree = Tree(report_html(chosen, ASKED, why=reasons(chosen, ASKED, AGAINST, slow=False)))
    hand, text = ByHand(decided, key, *parameter.values()), why_of(tree)
    apart = hand.apart(ASKED, AGAINST)
    difference, baseline, sign, evidence = re.search(
        r"difference (\S+) = baseline (\S+) ([+−]) evidence (\S+); exact, residual ", text).groups()
    assert number(difference) == pytest.approx(hand.logits[ASKED] - hand.logits[AGAINST], abs=6e-3)
    assert number(baseline) == pytest.approx(hand.biases[ASKED] - hand.biases[AGAINST], abs=6e-3)
    assert number(sign + evidence) == pytest.approx(sum(apart), abs=6e-3)
    for values, one, other in ((apart, ASKED, AGAINST), ([-value for value in apart], AGAINST, ASKED)):
        places = carrying(values)
        held = share(sum(values[place] for place in places), values)
        assert re.search(rf"{COUNTS[len(places)]} of 16 positions, [a-z ]+, holds? {held} of the evidence for "
                         rf"class {one} over class {other}\.", text)
    largest = max(map(abs, apart))
    ends = re.findall(r"([+−]\d+\.\d\d)logits", text)
    assert signed(largest) in ends
    assert signed(-largest) in text


def test_the_picture_is_reddest_where_most_speaks_for_the_class_and_bluest_where_most_does_for_the_other(decided):
    grey = PHOTO.convert("L").convert("RGB")
    outcome = analyse(decided, grey, "squash").under()
    tree = Tree(report_html(outcome, 1, why=reasons(outcome, 1, AGAINST, slow=False)))
    # Of these two what speaks for the class itself lies elsewhere.
    apart = ByHand(decided, maps=maps_of(decided, grey, "squash")).apart(1, AGAINST)
    painted = tree.picture(f"The photo with the evidence for class 1 against class {AGAINST} laid over it")
    redness = (painted[..., 0] - painted[..., 2]).reshape(4, 24, 4, 32).mean((1, 3)).ravel()
    most, least = int(np.argmax(apart)), int(np.argmin(apart))
    assert apart[most] > 0 > apart[least]
    assert (int(redness.argmax()), int(redness.argmin())) == (most, least)
    assert redness[most] > 20 > -20 > redness[least]


def test_from_shifts_it_is_the_mean_of_photos_that_were_moved_by_hand(decided, outcome, tree):
    x, apart = outcome.analysis.input[0], []
    for down in (-12, -6, 0, 6):
        for right in (-12, -6, 0, 6):
            rows, columns = ([min(max(n - by, 0), 95) for n in range(96)] for by in (down, right))
            with torch.no_grad():
                maps = decided.backbone(x[:, rows][:, :, columns][None])[0].double().tolist()
            logits = ByHand(decided, maps=maps).logits
            apart.append(logits[ANSWER] - logits[RUNNER_UP])
    text = why_of(tree)
    mean, baseline, evidence, outside = map(number, re.search(
        r"16 × 16 placesmean difference (\S+) = (\S+) baseline (\S+) evidence (\S+) outside16 shifts", text).groups())
    assert mean == pytest.approx(sum(apart) / 16, abs=6e-3)
    assert baseline + evidence + outside == pytest.approx(mean, abs=0.021)
    assert f"16 shifts, from {plain(min(apart))} to {plain(max(apart))}exact, residual" in text
    assert tree.picture("The same from shifts of the photo, stitched").shape == (96, 128, 3)


def test_from_shifts_each_place_is_painted_as_if_it_were_a_position(decided):
    # In an even photo all positions hold as much, however it is moved: both pictures are the same.
    outcome = analyse(decided, Image.new("RGB", (96, 96), (90, 160, 230)), "squash").under()
    tree = Tree(report_html(outcome, ASKED, why=True, rival=AGAINST))
    plainly = tree.picture(f"The photo with the evidence for class {ASKED} against class {AGAINST} laid over it")
    assert np.ptp(plainly.reshape(-1, 3), axis=0).max() <= 6
    assert np.abs(tree.picture("The same from shifts of the photo, stitched") - plainly).max() <= 6
    assert np.abs(plainly - (90, 160, 230)).max() > 30


@pytest.mark.parametrize("calibrated", [False, True])
def test_under_each_pooling_there_is_the_difference_as_the_head_gives_it_and_its_answer(decided, outcome, calibrated):
    result = reasons(outcome, ASKED, AGAINST, calibrated, slow=False)
    tree, expected = Tree(report_html(outcome, ASKED, calibrated, why=result)), []
    for key, pooling in POOLINGS.items():
        hand, factor = ByHand(decided, key), FITTED.get(key) if calibrated else None
        expected.append([pooling.label(), signed(hand.logits[ASKED] - hand.logits[AGAINST]),
                       f"class {hand.answer}, {percent(max(hand.shares(factor or 1.0)))}"])
    assert table(tree, f"class {ASKED} ahead of class {AGAINST}") == expected
    assert f"what-ifs: all but GAP; {'calibrated probabilities' if calibrated else 'not calibrated'}" in why_of(tree)
    (shown,) = (text for text in tree.text("tr", "shown") if text.startswith(POOLINGS["gap"].label()))
    assert shown == "".join(expected[0])


def test_the_channels_that_decide_stand_by_size_and_subtract(decided, outcome):
    tree = Tree(report_html(outcome, ASKED, why=reasons(outcome, ASKED, AGAINST, slow=False)))
    hand = ByHand(decided)
    item = [(k, hand.pooled[k], hand.rows[ASKED][k] * hand.pooled[k], hand.rows[AGAINST][k] * hand.pooled[k])
            for k in range(5)]
    item.sort(key=lambda row: -abs(row[2] - row[3]))
    tiles = [text for text in tree.text("span", "account") if text in why_of(tree)]
    assert tiles[:5] == [
        f"channel{k}{plain(one)} − {plain(other)}".replace("− −", "+ ") + signed(one - other)
        for k, _, one, other in item]
    largest = max(max(chain(*hand.maps[k])) for k, *_ in item)
    assert f"one scale, 0 to {plain(largest)}" in why_of(tree)


# Without a part, and the fewest positions.


def test_without_a_part_there_is_what_it_held_the_rest_alone_and_each_fill_with_the_photo(decided, outcome):
    tree = Tree(report_html(outcome, ASKED, why=reasons(outcome, ASKED, AGAINST, slow=False)))
    hand = ByHand(decided)
    places = carrying(hand.cells(ASKED))
    part, before = sum(hand.cells(ASKED)[place] for place in places), hand.logits[ASKED]
    rest = [[[value for place, value in enumerate(chain(*one)) if place not in places]] for one in hand.maps]
    ways = {"Ignored by the pooling": ByHand(decided, maps=rest)}
    photos = {fill: changed_photo(outcome.analysis, chosen_of(places), fill) for fill in FILLS}
    for fill, words in TAKEN_OUT.items():
        ways[words.capitalize()] = ByHand(decided, maps=maps_of(decided, photos[fill]))
    first, *rows = table(tree, "Without this part")
    assert first[:2] == ["It holds", signed(part)]
    assert first[2].startswith(
        f"{share(part, hand.cells(ASKED))} of the positive evidence for class {ASKED}; exact, residual ")
    assert rows == [[name, signed(way.logits[ASKED] - before),
                     f"{plain(before)} to {plain(way.logits[ASKED])}; prediction: class {way.answer}, "
                     f"{percent(max(way.shares()))}"] for name, way in ways.items()]
    assert f"the {len(places)} of 16 positions that hold half of the positive evidence" in why_of(tree)
    shown = tree.picture("The photo with that part blurred")
    left, top, right, bottom = map(round, outcome.analysis.framing.rectangles.reshape(-1, 4)[places[0]])
    first, top_row, last, bottom_row = map(round, outcome.analysis.framing.seen)
    seen = np.s_[top_row + 8 : bottom_row - 8, first + 8 : last - 8]  # the rest is hatched, and JPEG smears it
    assert np.abs(shown - np.asarray(photos["blur"], float))[seen].mean() < 3  # as JPEG
    assert np.abs(shown - np.asarray(PHOTO, float))[top:bottom, left:right].mean() > 6


def test_calibrated_are_all_probabilities_under_a_what_if_and_no_logit(decided, outcome):
    chosen = outcome.analysis.under("gmp")
    plainly, mended = (Tree(report_html(chosen, ANSWER, why=reasons(chosen, ANSWER, AGAINST, flag)))
                       for flag in (False, True))
    places = carrying(ByHand(decided, "gmp").cells(ANSWER))
    rows = {flag: table(tree, "Without this part")[2:] for flag, tree in ((False, plainly), (True, mended))}
    for n, fill in enumerate(FILLS):
        changed = changed_photo(outcome.analysis, chosen_of(places), fill)
        hand = ByHand(decided, "gmp", maps=maps_of(decided, changed))
        for flag, factor in ((False, 1.0), (True, FITTED["gmp"])):
            assert rows[flag][n][2].endswith(f"prediction: class {hand.answer}, {percent(max(hand.shares(factor)))}")
        assert rows[False][n][1] == rows[True][n][1]
    for tree, factor in ((plainly, 1.0), (mended, FITTED["gmp"])):
        given = percent(ByHand(decided, "gmp").shares(factor)[ANSWER])
        assert f"Prediction: class {ANSWER} ({given}), ahead of class {AGAINST} (" in why_of(tree)
        assert f"--before: {100 * ByHand(decided, 'gmp').shares(factor)[ANSWER]:.1f}%" in tree.all("div", "changes")[0][
            0]["style"]


def test_what_flips_it_and_what_is_enough_do_so_when_the_photo_is_made_by_hand(decided, outcome, tree):
    text = why_of(tree)
    for title, kept in (("The smallest change that flips it", False), ("The smallest part that is enough", True)):
        count, shown, answer, given = re.search(
            rf"{title}With {'all but ' if kept else ''}(\d+) of 16 positions \((\d+%)\) blurred the prediction "
            rf"is {'still ' if kept else ''}class (\d), (\d+%)\.", text).groups()
        assert shown == percent(int(count) / 16)
        assert (int(answer) == ANSWER) == kept
        # Which positions it is can be seen on the photo: in each square it is the blurred one, or as it was.
        blurred = np.asarray(changed_photo(outcome.analysis, np.ones((4, 4), bool), "blur"), float)
        picture, before = tree.picture(title), np.asarray(PHOTO, float)
        inside = np.zeros((4, 4), bool)
        for (i, j), (left, top, right, bottom) in zip(
                np.ndindex(4, 4), outcome.analysis.framing.rectangles.reshape(-1, 4), strict=True):
            part = np.s_[math.ceil(top):int(bottom), math.ceil(left):int(right)]
            inside[i, j] = np.abs(picture[part] - blurred[part]).mean() < np.abs(picture[part] - before[part]).mean()
        assert inside.sum() == (16 - int(count) if kept else int(count))
        hand = ByHand(decided, maps=maps_of(decided, changed_photo(outcome.analysis, inside, "blur")))
        assert (hand.answer, percent(max(hand.shares()))) == (int(answer), given)


# Changed a little.


def test_each_change_is_a_bar_as_high_as_the_probability_and_marked_where_the_answer_is_another_one(outcome, tree):
    fresh = stability([outcome, *map(outcome.analysis.under, ("gmp", "attention"))], ANSWER)
    expected, names = [], outcome.analysis.network.class_names
    for key in VARIATIONS:
        for under in fresh.under:
            for row in (row for row in under.rows if row.variant.variation == key):
                other = row.answer != under.original.answer
                words = f"{row.variant.label}: {percent(row.probability)}"
                words += f", {names[row.answer]} instead" if other else ""
                words += "" if math.isnan(row.moved) else f", moved by {row.moved:.1f} positions"
                expected.append(({"style": f"--share: {100 * row.probability:.1f}%",
                                "class": "one other" if other else "one"}, words))
    bars = [({"style": attributes["style"], "class": attributes.get("class")}, attributes["title"])
            for attributes, _ in tree.all("span") if attributes.get("class", "").startswith("one")]
    assert bars == expected
    assert any(bar["class"] == "one other" for bar, _ in bars)
    groups = [attributes for attributes, _ in tree.all("div", "changes")]
    assert [group["style"] for group in groups] == [
        f"--before: {100 * under.original.probability:.1f}%" for _ in VARIATIONS for under in fresh.under]
    assert "; ".join(group["aria-label"] for group in groups) == "; ".join(words for _, words in bars)
    for under in fresh.under:
        stays = sum(row.answer == under.original.answer for row in under.rows)
        stayed = f"all {len(under.rows)}" if stays == len(under.rows) else f"{stays} of {len(under.rows)}"
        assert f"{under.name}: The answer stays in {stayed} variants" in why_of(tree)


# What is there to ask.


def test_the_poolings_beside_are_its_own_the_native_one_and_the_two_extremes(decided):
    analysis = analyse(decided, PHOTO)
    for key, beside in (("gap", ["gap", "gmp", "attention"]), ("gmp", ["gmp", "gap", "attention"]),
                        ("lse", ["lse", "gap", "gmp"])):
        result = reasons(analysis.under(key), usual_rival(analysis.under(key), 9))
        assert [item.pooling for item in result.stability.under] == beside
        assert result.contrast.difference == pytest.approx(
            ByHand(decided, key).logits[result.class_index] - ByHand(decided, key).logits[result.rival], abs=1e-4)


def test_what_flips_the_answer_is_about_the_prediction_also_where_another_class_is_shown(outcome):
    result, own = reasons(outcome, ASKED), reasons(outcome, ANSWER)
    assert result.flip.class_index == result.sufficient.class_index == ANSWER
    assert np.array_equal(result.flip.chosen, own.flip.chosen)
    for shown, count in ((result, 1), (own, 0)):
        text = why_of(Tree(report_html(outcome, shown.class_index, why=shown)))
        assert text.count(f"About the prediction, class {ANSWER}.") == count
        assert smallest_sentence(outcome, own.flip) in text


def test_what_was_not_asked_for_is_not_spoken_of(outcome):
    result = reasons(outcome, ANSWER, slow=False)
    text = why_of(Tree(report_html(outcome, ANSWER, why=result)))
    assert not re.search("smallest|Changed a little|Stitched", text)
    assert LEFT_OUT not in text


def test_a_region_is_every_position_from_its_first_to_its_last(outcome):
    result = reasons(outcome, ANSWER, region=(1, 0, 2, 3), slow=False)
    assert result.probe.chosen.tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]
    words = positions_in_words(outcome, ANSWER, result.probe.chosen, region=True)
    assert words == "the 8 of 16 positions from (1, 0) to (2, 3)"
    for region in ((0, 0, 4, 0), (-1, 0, 0, 0), (2, 0, 1, 0), (0, 3, 0, 2)):
        with pytest.raises(ParameterError, match="rows from 0 to 3 and columns from 0 to 3"):
            region_of(outcome, region)


def test_each_search_tells_how_far_it_is(decided):
    reports: dict[str, list[tuple[int, int]]] = {}
    reasons(analyse(decided, PHOTO).under("gmp"), ANSWER,
            progress=lambda what, *far: reports.setdefault(what, []).append(far))
    assert list(reports) == [
        "Looking for the smallest change that flips it", "Looking for the smallest part that is enough",
        "Changing the photo a little", "Shifting the photo"]
    for steps in reports.values():
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == steps[-1][1]


def test_classes_that_do_not_exist_or_are_the_same_are_refused(outcome, make_network):
    for requests, rival in ((4, None), (-1, 0), (0, 4)):
        with pytest.raises(ParameterError, match="no class"):
            report_html(outcome, requests, why=True, rival=rival)
    with pytest.raises(ParameterError, match="two different classes"):
        report_html(outcome, 1, why=True, rival=1)
    one = analyse(make_network(nn.Linear(5, 1), classes=1), PHOTO).under()
    with pytest.raises(MethodError, match="one logit alone"):
        report_html(one, 0, why=True, rival=0)


# Names, and networks of other kinds.


def test_names_of_a_user_stay_text(make_network):
    names = (HOSTILE, HOSTILE + "2", "<i>other</i>", "plain")
    tiny = dataclasses.replace(make_network(deciding_head()), class_names=names, title=HOSTILE)
    page = report_html(analyse(tiny, PHOTO).under(), 0, why=True, rival=1)
    page.encode()
    tree = Tree(page)
    assert {name for name, _, _ in tree.elements}.isdisjoint({"script", "i"})
    assert not [attributes for _, attributes, _ in tree.elements if any(name.startswith("on") for name in attributes)]
    short = HOSTILE[:39] + "…"
    assert f"Why {short} and not {short}" in tree.text("h2")
    assert "<i>other</i>" in why_of(tree)
    assert "\x00" not in page


def test_one_logit_has_no_rival_and_its_own_evidence(make_network):
    network = dataclasses.replace(make_network(linear([[4.0, -3, 2, 5, 1]], [-1.0]), classes=1), activation="sigmoid")
    tree = Tree(report_html(analyse(network, PHOTO).under(), 0, why=True))
    hand, text = ByHand(network), why_of(tree)
    given = 1 / (1 + math.exp(-hand.logits[0]))
    assert tree.text("h2")[1] == "Why class 0"
    assert "One class against the otherTiny has one logit alone, so its class has no rival." in text
    assert f"class 0 ({percent(given)}). " in text
    assert "The channels that decide" not in text
    _, ignored, *_ = table(tree, "Without this part")
    assert re.fullmatch(r"\S+ to \S+; probability: \d+%", ignored[2])
    assert "prediction:" not in text


def test_where_classes_do_not_compete_the_probability_is_the_class_s_own(decided):
    network = dataclasses.replace(decided, activation="sigmoid")
    outcome = analyse(network, PHOTO).under()
    tree = Tree(report_html(outcome, ASKED, why=reasons(outcome, ASKED, AGAINST, slow=False)))
    places = carrying(ByHand(network).cells(ASKED))
    for row, fill in zip(table(tree, "Without this part")[2:], FILLS, strict=True):
        changed = changed_photo(outcome.analysis, chosen_of(places), fill)
        logit = ByHand(network, maps=maps_of(network, changed)).logits[ASKED]
        assert row[2].endswith(f"to {plain(logit)}; probability: {percent(1 / (1 + math.exp(-logit)))}")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_where_nothing_can_be_taken_apart_the_claims_are_tried_on_the_photo(activation):
    network = layered.network(pooled=False, activation=activation)
    outcome = analyse(network, PHOTO).under()
    best = outcome.top(1)[0]
    tree = Tree(report_html(outcome, best.class_index, why=True))
    text = why_of(tree)
    assert f"One class against the other{layered.FLATTENS}" in text
    assert "under each pooling" not in text
    assert "Stitched" not in text
    assert "that hold half of the positive Grad-CAM" in text
    rows = table(tree, "Without this part")
    assert [row[0] for row in rows] == [words.capitalize() for words in TAKEN_OUT.values()]
    chosen = np.array(carrying(outcome.cam("grad_cam", best.class_index).double().flatten().tolist()))
    blurred = analyse(network, changed_photo(outcome.analysis, chosen_of(chosen.tolist()), "blur"))
    after = float(network.layers.logits(blurred.input)[0, best.class_index])
    assert rows[0][1] == signed(after - best.logit)
    what = "probability" if activation == "sigmoid" else "prediction"
    assert rows[0][2].startswith(f"{plain(best.logit)} to {plain(after)}; {what}: ")
    assert "no pooling: The answer" in text


def test_without_positive_evidence_no_part_holds_half_of_it(make_network):
    network = make_network(linear([[-3.0] * 5, [-4.0] * 5, [-4.0] * 5], [1.0, 0.0, 0.0]), classes=3)
    tree = Tree(report_html(analyse(network, PHOTO).under(), 0, why=True))
    text, cells = why_of(tree), ByHand(network).cells(0)
    assert "It has no positive evidence on the photo." in text
    assert "No position favours class 1 over class 0." in text
    assert "the 1 of 16 positions where the evidence is largest" in text
    assert table(tree, "Without this part")[0][1] in (signed(max(cells)), "+0.00")


def test_what_is_not_a_number_is_said_to_be_none(make_network):
    head = nn.Linear(5, 2)
    nn.init.constant_(head.weight, math.nan)
    text = why_of(Tree(report_html(analyse(make_network(head, classes=2), PHOTO).under(), 1, why=True)))
    assert "The probability of class 1 is not a number." in text
    assert "The difference is not a number at 16 of 16 positions." in text
    assert "There is no part of the photo to leave out" in text
    assert not re.search(r"\bnan\b|\binf\b|favours", text)


def test_one_position_alone_cannot_be_left_out_and_is_told_so(make_network):
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3), keepdim=True)

    network = with_backbone(make_network(linear([[9.0, -3, 2], [1.0, 2, 3]], [0.0, 0.0]), classes=2), Mean())
    photo = Image.new("RGB", (96, 96), (255, 90, 30))
    text = why_of(Tree(report_html(analyse(network, photo).under(), 0, why=True)))
    assert "There is only one position, and it holds all the positive evidence." in text
    assert "There is no part of the photo to leave out" in text
    assert "One of 1" not in text
