"""Why, without a browser: what each question shows, against numpy; bad links, stops, and what cannot be asked."""

from __future__ import annotations

import functools
import io
import json
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from explorer import analyse
from explorer.errors import StoppedError
from explorer.framing import frame
from explorer.questions.cases import CASES
from explorer.ui import downloads
from explorer.ui.pages.why import stability_panel as stable
from explorer.ui.pages.why import trust_panel
from explorer.wording import percent, plain, signed
from tests.pages.boards import boards, components, control, is_plain_sentence, notices, number, viewers
from tests.pages.clicks import pick, use

WHY = "pages/4_Why.py"
HELMET, BOBSLED, SHUTTLE = 560, 450, 812
POOLINGS = ("gap", "gmp", "gem", "lse", "topk", "mixed", "softpool", "attention")


def done(page, key: str, patience: float = 120):
    """The page once a long computation has put that board there; the browser asks it again and again likewise."""
    end = time.monotonic() + patience
    while key not in boards(page):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.2)
        page.run()
        assert not page.exception
    return boards(page)[key]


# The head.


def test_the_question_is_of_the_answer_and_its_runner_up_and_the_summary_is_made_from_numbers(open_page, measured):
    page, seen = open_page(WHY), measured()
    first, second = seen.best(2)
    assert (first, second) == (HELMET, BOBSLED)
    head = boards(page)["headline"]
    assert head.one("h1").text == "Why football helmet and not bobsled?"
    shares, cells = seen.probabilities(), seen.cells(first)
    assert f"Prediction: football helmet ({percent(shares[first])}), ahead of bobsled ({percent(shares[second])})." in (
        head.text)
    running = np.cumsum(np.sort(np.maximum(cells, 0), axis=None)[::-1]) / cells[cells > 0].sum()
    count = int((running < 0.5).sum()) + 1
    assert ("One", "Two", "Three", "Four", "Five", "Six", "Seven")[count - 1] + " of 49 positions" in head.text
    assert f"hold {percent(running[count - 1])} of the positive evidence" in head.text
    difference = seen.paid(first) - seen.paid(second)
    rising = np.cumsum(np.sort(np.maximum(difference, 0))[::-1])
    assert f"{int((rising < rising[-1] / 2).sum()) + 1} of 1,280 channels hold half" in head.text
    logits = seen.logits()
    assert f"It is {plain(logits[first] - logits[second])} logits ahead of bobsled" in head.text


def test_each_number_of_the_summary_leads_to_where_it_comes_from(open_page):
    page = open_page(WHY)
    numbers = boards(page)["headline"].all("button")
    assert len(numbers) >= 6
    assert {item.pick for item in numbers} <= {"against", "without", "stable"}
    pick(page, "headline", "without")
    assert page.query_params["ask"] == "without"
    assert "probed" in boards(page)


def test_without_the_strongest_positions_the_prediction_is_the_summary_s(open_page, network, examples):
    seen = analyse(network, examples["astronaut"])
    cells = seen.under().evidence(HELMET).cells.numpy()
    order = np.argsort(-cells, axis=None)
    count = int((np.cumsum(np.sort(np.maximum(cells, 0), axis=None)[::-1]) < cells[cells > 0].sum() / 2).sum()) + 1
    photo = examples["astronaut"].copy()
    blurred = photo.filter(ImageFilter.GaussianBlur(0.5 * 448 / 7))
    for place in order[:count]:
        row, column = divmod(int(place), 7)
        box = (32 + column * 64, 32 + row * 64, 96 + column * 64, 96 + row * 64)
        photo.paste(blurred.crop(box), box)
    shares = network(frame(photo, network.preprocessing)[0]).softmax(1)[0]
    says = f"With them blurred the prediction is {network.class_names[int(shares.argmax())]} "
    assert f"{says}({percent(float(shares.max()))})" in boards(open_page(WHY))["headline"].text


def test_another_rival_is_chosen_by_a_chip_and_the_two_are_turned_around(open_page):
    page = open_page(WHY)
    chips = boards(page)["rivals"].all("chip")
    assert [item.attributes["aria-pressed"] for item in chips].count("true") == 1
    pick(page, "rivals", chips[2].pick)
    assert page.query_params["rival"] == str(chips[2].pick)
    pick(page, "rivals", "turn")
    assert (page.query_params["class"], page.query_params["rival"]) == (str(chips[2].pick), str(HELMET))
    assert "and not football helmet?" in boards(page)["headline"].text


@pytest.mark.parametrize("link", [{"rival": "99999"}, {"rival": "-1"}, {"rival": "x"}, {"ask": "nonsense"},
                                  {"truth": "99999"}, {"truth": "x"}])
def test_a_bad_part_of_a_link_is_one_sentence(link, open_page):
    page = open_page(WHY, **link)
    assert not page.exception
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence)
    assert boards(page)["headline"].one("h1").text == "Why football helmet and not bobsled?"


def test_a_class_is_never_compared_with_itself(open_page):
    page = open_page(WHY, rival=str(HELMET), **{"class": str(HELMET)})
    assert not page.exception
    assert boards(page)["headline"].one("h1").text == "Why football helmet and not bobsled?"


def test_any_class_may_be_the_rival_and_stands_among_the_rivals(open_page):
    page = open_page(WHY)
    pick(page, "rival", SHUTTLE)
    assert not page.exception
    assert page.query_params["rival"] == str(SHUTTLE)
    assert boards(page)["headline"].one("h1").text == "Why football helmet and not space shuttle?"
    pressed = [item.text for item in boards(page)["rivals"].all("chip") if item.attributes["aria-pressed"] == "true"]
    assert pressed == ["space shuttle"]
    search = components(page, "class_search")["rival"]
    assert (search["class"], search["without"]) == (SHUTTLE, int(page.query_params["class"]))


def test_the_true_class_is_marked_once_and_offered_with_its_rank_and_logit_before_and_after(open_page, measured):
    page, seen = open_page("app.py"), measured()
    pick(page, "truth", SHUTTLE).run()
    assert page.query_params["truth"] == str(SHUTTLE)
    logits, share = seen.logits(), percent(seen.probabilities()[SHUTTLE])
    rank = 1 + int((logits > logits[SHUTTLE]).sum())
    words = (f"True class: space shuttle, rank {rank} ({share}, logit {plain(logits[SHUTTLE])}), "
             f"{plain(logits.max() - logits[SHUTTLE])} logits behind football helmet.")
    assert words in boards(page)["headline"].text
    assert [item.text for item in boards(page)["answers"].all("answer") if f"rank {rank}" in item.text]
    page = open_page(WHY, truth=str(SHUTTLE), ask="without", region="2,2,3,3")
    head = boards(page)["headline"]
    assert head.one("h1").text == "Why football helmet and not space shuttle?"
    assert words in head.text
    assert "space shuttle, the true class" in boards(page)["rivals"].texts("chip")
    (table,) = (item for item in boards(page)["probed"].all("ruled") if "The true class" in item.text)
    row = table.all("tr")[1]
    assert row.texts("th") + row.texts("td") == ["as it is", str(rank), share, plain(logits[SHUTTLE])]
    assert len(table.all("tr")) == 6


# A against B.


@pytest.mark.parametrize("pooling", ["gap", "gmp", "gem:p=4", "attention"])
def test_the_map_is_the_evidence_of_one_less_that_of_the_other_and_sums_to_the_difference(pooling, open_page, measured):
    page, seen = open_page(WHY, pooling=pooling, rival=str(BOBSLED), **{"class": str(HELMET)}), measured()
    shown = viewers(page)["against"].chosen
    expected = seen.cells(HELMET, pooling) - seen.cells(BOBSLED, pooling)
    np.testing.assert_allclose(shown.values, expected, atol=2e-4 + shown.step)
    logits = seen.logits(pooling)
    assert shown.lines[0].startswith(f"{signed(logits[HELMET] - logits[BOBSLED])} = ")
    assert shown.badge.startswith("exact, residual ")


@pytest.mark.parametrize(("class_index", "rival"), [(HELMET, BOBSLED), (BOBSLED, HELMET)])
def test_the_strongest_position_of_a_difference_is_the_one_that_adds_most_to_it_also_for_a_class_that_is_behind(
    class_index, rival, open_page, measured
):
    page, seen = open_page(WHY, rival=str(rival), **{"class": str(class_index)}), measured()
    shown = viewers(page)["against"].chosen
    cells = seen.cells(class_index) - seen.cells(rival)
    total = float(np.subtract(*seen.logits()[[class_index, rival]]))
    assert (total > 0) == (class_index == HELMET)
    place = np.unravel_index((cells * np.sign(total)).argmax(), cells.shape)
    assert tuple(shown.mark) == place
    words = f"strongest position ({place[0]}, {place[1]}): {signed(cells[place])} logits towards football helmet"
    assert shown.caption.endswith(words)


def test_the_difference_under_each_pooling_stands_beside_the_photo_and_a_click_follows_it(open_page, measured):
    page, seen = open_page(WHY, rival=str(BOBSLED), **{"class": str(HELMET)}), measured()
    rows = [row for row in boards(page)["account"].all("tr") if row.pick]
    assert [item.pick[1] for item in rows] == list(POOLINGS)
    for row, key in zip(rows, POOLINGS, strict=True):
        logits = seen.logits(key)
        difference, prediction = row.texts("td")
        assert difference == signed(logits[HELMET] - logits[BOBSLED])
        assert prediction.startswith(f"{seen.names[int(logits.argmax())]}, ")
        assert [button.text for button in row.all("button")] == row.texts("th"), "the keyboard reaches it"
    pick(page, "account", rows[1].pick)
    assert page.query_params["pooling"] == "gmp"
    assert any(shown.id == "parting" for shown in viewers(page)["against"].maps.values())


def test_the_channels_that_decide_are_those_whose_contributions_differ_most(open_page, measured):
    page, seen = open_page(WHY, rival=str(BOBSLED), **{"class": str(HELMET)}), measured()
    difference = seen.paid(HELMET) - seen.paid(BOBSLED)
    expected = np.argsort(-np.abs(difference), kind="stable")[:6]
    tiles = boards(page)["account"].all("tile")
    assert [item.pick for item in tiles] == [["channel", int(channel)] for channel in expected]
    assert [item.texts("strong")[1] for item in tiles] == [signed(difference[channel]) for channel in expected]


# Without this part.


def test_the_three_numbers_of_a_box_are_its_evidence_and_what_is_said_without_it(open_page, measured):
    page, seen = open_page(WHY, ask="without", region="4,3,6,5", **{"class": str(HELMET)}), measured()
    ways = {row.one("th").text: row for row in boards(page)["probed"].all("tr") if row.all("td")}
    assert ways["It holds"].one("strong").text == signed(seen.cells(HELMET)[4:7, 3:6].sum())
    rest = np.ones((7, 7), bool)
    rest[4:7, 3:6] = False
    logits = seen.weight @ seen.maps[:, rest].mean(1) + seen.bias
    before, after = seen.logits()[HELMET], logits[HELMET]
    assert ways["Ignored by the pooling"].one("strong").text == signed(after - before)
    assert f"prediction: {seen.names[int(logits.argmax())]}, " in ways["Ignored by the pooling"].text
    assert {"Blurred", "Filled with the mean colour", "Painted over"} <= set(ways)
    assert len(boards(page)["probed"].all("img")) == 3


def test_a_box_that_is_dragged_is_asked_about_and_cleared(open_page):
    page = open_page(WHY, ask="without")
    assert "6 of 49 positions that hold half" in boards(page)["probed"].text
    use(page, "without", "region", {"positions": [0, 0, 1, 1], "map": None, "pixels": [0, 0, 1, 1]})
    assert page.query_params["region"] == "0,0,1,1"
    assert "the 4 of 49 positions from (0, 0) to (1, 1)" in boards(page)["probed"].text
    pick(page, "clear_box", "clear")
    assert "region" not in page.query_params


# What takes a while.


def test_what_flips_it_is_found_beside_the_page_and_shown(open_page):
    page = open_page(WHY, ask="flip")
    result = done(page, "flips")
    assert "the prediction is" in result.text
    assert "the prediction is still football helmet" in result.text
    assert len(result.all("img")) == 4


def test_what_flips_it_and_how_far_to_trust_it_show_a_first_look_that_says_so_and_then_the_whole(open_page):
    for ask, key, words in (("flip", "flips", "A first look"), ("trust", "trust", "A first look, in 4 steps")):
        page = open_page(WHY, ask=ask, example="rocket")
        assert words in done(page, f"{key}_so_far").text
        assert key not in boards(page)
        assert "A first look" not in done(page, key).text
        assert f"{key}_so_far" not in boards(page)


def test_a_class_below_a_tenth_of_a_percent_has_a_sentence_in_place_of_curves_and_bars(open_page):
    page = open_page(WHY, ask="trust", **{"class": "7"})
    words = (r"The probability of cock is <0\.1% with all of the photo and at most 0\.\d% with any part of it: "
             r"there are no")
    assert re.search(words, done(page, "trust").text)
    assert not page.get("plotly_chart")
    page = open_page(WHY, ask="stable", **{"class": "7"})
    result = done(page, "stable")
    assert "below 0.1% before and after every change: there are no bars to draw." in result.text
    assert not result.all("changes")


def test_a_long_computation_is_stopped_and_started_again(open_page, monkeypatch):
    calls = []

    def slow(*args, progress, stop, **options):
        calls.append(1)
        while not stop():
            time.sleep(0.01)
        raise StoppedError("Stopped.")

    monkeypatch.setattr(stable, "stability", slow)
    page = open_page(WHY, ask="stable", example="rocket")
    (button,) = (item for item in page.button if item.label == "Stop")
    button.click().run()
    assert not page.exception
    (again,) = (item for item in page.button if item.label == "Start again")
    assert any("Stopped before it was done." in board.text for board in boards(page).values())
    count = len(calls)
    page.run()
    assert len(calls) == count, "it stays stopped"
    again.click().run()
    end = time.monotonic() + 10
    while len(calls) == count and time.monotonic() < end:
        time.sleep(0.05)
        page.run()
    assert len(calls) > count


def test_stability_is_shown_for_each_pooling_and_each_kind_of_change(open_page):
    page = open_page(WHY, ask="stable", poolings="gap,gmp")
    result = done(page, "stable")
    assert "GAP: The answer " in result.text
    bars = result.all("changes")
    assert len(bars) % 6 == 0
    assert all(node.attributes["role"] == "img" for node in bars)


def test_each_bar_of_a_change_has_its_number_and_a_foot_that_says_whether_the_prediction_changes(open_page):
    bars = done(open_page(WHY, ask="stable"), "stable").all("one")
    titles = [bar.attributes["title"] for bar in bars]
    assert [f"{bar.text}%" for bar in bars] == [re.search(r": (\S+%)", title)[1] for title in titles]
    assert ["other" in bar.node["class"] for bar in bars] == ["instead" in title for title in titles]
    assert any(float(bar.text.strip("<")) < 2 for bar in bars), "the test wants a bar too low for a hatch to be seen"


def test_stitched_evidence_stands_beside_the_evidence_as_it_is_on_one_scale(open_page, measured):
    page, seen = open_page(WHY, ask="finer", rival=str(BOBSLED), **{"class": str(HELMET)}), measured()
    done(page, "finer_note")
    coarse, fine, tips, _ = viewers(page)["finer"].maps.values()
    assert coarse.values.shape == fine.values.shape == (28, 28)
    assert coarse.scale == fine.scale
    cells = seen.cells(HELMET)
    np.testing.assert_allclose(coarse.values.reshape(7, 4, 7, 4).sum((1, 3)), cells, atol=1e-4 + 16 * coarse.step)
    against = cells - seen.cells(BOBSLED)
    np.testing.assert_allclose(tips.values.reshape(7, 4, 7, 4).sum((1, 3)), against, atol=1e-4 + 16 * tips.step)


def test_how_much_of_the_evidence_lies_where_the_object_is(open_page, measured, network, examples):
    page, seen = open_page(WHY, ask="object", **{"class": str(HELMET)}), measured()
    stated = done(page, "object_share").text
    evidence, where = viewers(page)["object_evidence"].maps, viewers(page)["object_map"].maps
    shown = next(iter(evidence.values()))
    np.testing.assert_allclose(shown.values, seen.cells(HELMET), atol=1e-4 + shown.step)
    box = shown.box
    assert box == next(iter(where.values())).box
    held = np.repeat(np.repeat(np.maximum(seen.cells(HELMET), 0), 32, 0), 32, 1)
    left, top, right, bottom = analyse(network, examples["astronaut"]).framing.seen
    xs, ys = (low + (np.arange(224) + 0.5) / 224 * (high - low) for low, high in ((left, right), (top, bottom)))
    within = np.outer((ys >= box[1]) & (ys < box[3]), (xs >= box[0]) & (xs < box[2]))
    share, area = held[within].sum() / held.sum(), within.mean()
    reports = [float(item) / 100 for item in re.findall(r"(\d+)%", stated)[:2]]
    assert reports == pytest.approx([share, area], abs=0.015)
    assert f"{share / area:.1f} times its share of the photo" in stated


def test_a_box_dragged_on_the_photo_is_the_one_in_which_the_evidence_is_counted(open_page, measured):
    page = open_page(WHY, ask="object", region="5,3,6,5", **{"class": str(HELMET)})
    stated = done(page, "object_share").text
    positive = np.maximum(measured().cells(HELMET), 0)
    held, area = positive[5:7, 3:6].sum() / positive.sum(), 6 / 49
    assert f"{percent(held)} lies in the box, which is {percent(area)} of what the network sees" in stated
    assert "around the positions that you chose" in stated
    pick(page, "object_share", "clear")
    assert "largest region above 20%" in boards(page)["object_share"].text


# Other networks.


def test_where_nothing_can_be_taken_apart_the_questions_that_need_no_evidence_are_asked(open_page):
    page = open_page(WHY, layer="blocks.4")
    assert not page.exception
    assert "gradients" in boards(page)["headline"].text
    assert control(page, "ask").value == "without"
    ways = [row.one("th").text for row in boards(page)["probed"].all("tr") if row.all("td")]
    assert ways == ["Blurred", "Filled with the mean colour", "Painted over"]


# Cases.


@pytest.mark.parametrize("key", list(CASES))
def test_a_case_opens_with_one_click_as_it_was_meant_and_says_what_to_look_at(key, open_page):
    page = open_page(WHY, example="cat", framing="squash", pooling="gmp", ask="without")
    pick(page, "cases", key)
    page.run()
    assert not page.exception
    assert notices(page) == []
    case, link = CASES[key], page.query_params
    assert (link["class"], link["rival"], link["framing"], link["pooling"]) == (
        str(case.class_index), str(case.rival), "crop", "gap")
    assert boards(page)["headline"].one("note").text == " ".join(case.look)
    shown = open_page(WHY, **link)
    assert notices(shown) == []
    assert boards(shown)["headline"].text == boards(page)["headline"].text


# Files.


def test_the_difference_on_the_screen_is_what_the_files_hold_and_they_bear_the_photo_and_the_question(
    files, open_page, measured, network, examples
):
    open_page(WHY, rival=str(SHUTTLE))
    seen, stem = measured(), "astronaut_why-against_football-helmet-space-shuttle_gap"
    difference = seen.cells(HELMET) - seen.cells(SHUTTLE)
    live = "astronaut_why-against_football-helmet_gap.live.html"  # of the class alone
    assert set(files) == {f"{stem}.{ending}" for ending in ("png", "svg", "npz", "json")} | {live}
    svg = files[f"{stem}.svg"]()
    assert "Evidence for football helmet against space shuttle, under GAP" in svg
    titles = re.findall(r"Position \(\d+, \d+\) of 7 × 7: (\S+) logits", svg)
    np.testing.assert_allclose([number(text) for text in titles], difference.ravel(), atol=1e-3)
    record = json.loads(files[f"{stem}.json"]())
    np.testing.assert_allclose(record["why"]["contrast"]["cells"], difference, atol=1e-4)
    assert record["why"]["rival"]["name"] == "space shuttle"
    picture = np.asarray(Image.open(io.BytesIO(files[f"{stem}.png"]())), int)
    expected = analyse(network, examples["astronaut"]).overlay(torch.from_numpy(difference).float())
    assert np.abs(picture - np.asarray(expected, int)).max() <= 2


@pytest.mark.parametrize(("page", "link", "viewer", "words"), [
    ("app.py", {"class": str(BOBSLED), "pooling": "gmp"}, "evidence",
     "Files hold: Evidence for bobsled, under GMP, after what is changed in Intervene."),
    (WHY, {"rival": str(SHUTTLE)}, "against", "Files hold: Evidence for football helmet against space shuttle, under "
                                              "GAP. Arrays are of football helmet alone."),
])
def test_files_say_which_map_they_hold_also_where_the_viewer_shows_another(page, link, viewer, words, open_page):
    page = open_page(page, **link)
    assert boards(page)["files_hold"].text == words
    assert viewers(page)[viewer]["files"] == words.replace(", after what is changed in Intervene", "")


def test_contours_that_the_viewer_draws_are_in_the_files(files, open_page, network, examples):
    analysis = analyse(network, examples["astronaut"])
    cells = analysis.under().evidence(HELMET).cells
    page = open_page("app.py")
    for lined in (True, False):
        assert viewers(page)["evidence"]["lined"] is not lined
        use(page, "evidence", "contours", int(lined))
        assert viewers(page)["evidence"]["lined"] is lined
        make = {name.rpartition(".")[2]: make for name, make in files.items()}
        picture = np.asarray(Image.open(io.BytesIO(make["png"]())), int)
        assert np.abs(picture - np.asarray(analysis.overlay(cells, lined=lined), int)).max() <= 2
        assert ("lines around 25%, 50%, 75% of the positive evidence" in make["svg"]()) == lined


def summaries_of(files) -> list:
    """What makes them; a live page is no summary."""
    return [make for name, make in files.items() if name.endswith(".html") and not name.endswith(".live.html")]


def test_a_summary_holds_what_was_asked_shows_how_far_it_is_and_can_be_stopped(files, open_page, monkeypatch):
    monkeypatch.setattr(downloads, "reasons", functools.partial(downloads.reasons, slow=False))
    monkeypatch.setattr(trust_panel, "METHODS", ("grad_cam",))
    monkeypatch.setattr(trust_panel, "PARTS", ("head",))
    page = open_page(WHY, ask="object", example="cat", truth=str(SHUTTLE))
    done(page, "object_share")
    control(page, "ask").set_value("trust").run()
    page.button(key="make_summary").click().run()
    page.button(key="summary_stop").click().run()
    assert "Stopped before it was done." in boards(page)["summary_stopped"].text
    page.button(key="summary_again").click().run()
    end = time.monotonic() + 240
    while not (summary := summaries_of(files)):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.2)
        page.run()
        assert not page.exception
    text = summary[0]()
    for words in ("True class: space shuttle, rank ", "and not space shuttle", "Object or background",
                  "lies in the box", "How far to trust it", "random, a control", "of the photo removed",
                  "Does it depend on what the network learned?"):
        assert words in text, words


def test_the_numbers_of_why_are_of_the_box_that_is_chosen_when_they_are_clicked(files, open_page):
    page = open_page(WHY, ask="without", example="cat")
    (numbers,) = (make for name, make in files.items() if name.endswith(".json"))
    assert json.loads(numbers())["why"]["probe"]["chosen"] is False
    page.session_state["poolscope"].choose(region=(2, 2, 3, 4))  # as a box that is dragged does, without the page's run
    assert json.loads(numbers())["why"]["probe"]["chosen"] is True


def test_the_numbers_of_explore_have_the_true_class(files, open_page, measured):
    open_page("app.py", truth=str(SHUTTLE))
    (numbers,) = (make() for name, make in files.items() if name.endswith(".json"))
    assert json.loads(numbers)["truth"]["rank"] == measured().rank(SHUTTLE)


def test_the_summary_of_explore_says_where_the_true_class_stands(files, open_page, measured):
    open_page("app.py", truth=str(SHUTTLE))
    (summary,) = summaries_of(files)
    assert f"True class: space shuttle, rank {measured().rank(SHUTTLE)} (" in summary()


def test_the_user_s_own_photo_gives_its_files_its_name(files, open_page, examples):
    page, data = open_page("app.py"), io.BytesIO()
    examples["cat"].save(data, "PNG")
    page.session_state["poolscope"].show_upload(data.getvalue(), "My Cat, 2.heic")
    page.run()
    assert {name.partition("_explore_")[0] for name in files} >= {"my-cat-2"}
