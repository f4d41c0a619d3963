"""Explore without a browser: what links, controls and uploads lead to, in words and numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from explorer import POOLINGS, analyse
from explorer.framing import FRAMINGS
from explorer.ui.state import EXAMPLES
from explorer.wording import carriers_sentence, exactness, percent, plain, signed
from tests.browser.uploads import broken, encode
from tests.pages.boards import boards, control, is_plain_sentence, notices

ESPRESSO, TIGER_CAT, TENCH = 967, 282, 0
LINK = {"network": "efficientnet_lite0", "example": "astronaut", "pooling": "gap", "framing": "crop", "size": "224",
        "calibrated": "1"}


def answers(page) -> dict[str, list[tuple[str, str]]]:
    """Name and probability of the answers, by the name of their pooling."""
    return {
        column.one("h3").text: [(row.one("name").text, row.one("number").text) for row in column.all("answer")]
        for column in boards(page)["answers"].all("column")
    }


def expected(outcome, calibrated: bool = True) -> list[tuple[str, str]]:
    return [(answer.name, percent(answer.probability)) for answer in outcome.top(5, calibrated)]


def pressed(page) -> list[list]:
    """Pooling and class of the answers that are marked as chosen."""
    return [row.pick for row in boards(page)["answers"].all("answer") if row.attributes["aria-pressed"] == "true"]


def upload(page, data: bytes, name: str = "photo.png", kind: str = "image/png"):
    return page.file_uploader(key="upload").set_value((name, data, kind)).run()


# What is shown at first.


def test_the_page_opens_on_the_astronaut_without_an_exception(open_page, network, examples):
    page = open_page()
    first, second = analyse(network, examples["astronaut"]).under().top(2)
    assert not page.exception
    assert notices(page) == []
    assert boards(page)["headline"].one("h1").text == f"It says {first.name}, with {percent(first.probability)}."
    assert boards(page)["headline"].one("lead").text.endswith(
        f" Runner-up: {second.name}, {percent(second.probability)}.")
    assert page.query_params == {**LINK, "class": str(first.class_index)}


def test_three_columns_hold_the_top_five_that_the_package_computes(open_page, network, examples):
    page, analysis = open_page(), analyse(network, examples["astronaut"])
    outcomes = [analysis.under(key) for key in ("gap", "gmp", "attention")]
    assert answers(page) == {outcome.name: expected(outcome) for outcome in outcomes}
    labels = [column.one("badge").text for column in boards(page)["answers"].all("column")]
    assert labels == ["native", "what-if, calibrated", "what-if, calibrated"]


def test_changes_of_rank_are_marked_against_the_native_answer(open_page, network, examples):
    page, analysis = open_page(), analyse(network, examples["astronaut"])
    native = analysis.under().logits
    marks = 0
    for column, key in zip(boards(page)["answers"].all("column"), ("gap", "gmp", "attention"), strict=True):
        for rank, row in enumerate(column.all("answer"), 1):
            before = 1 + int((native > native[row.pick[1]]).sum())
            shown = [mark.text for mark in row.all("change")]
            if before == rank:
                assert shown == []
            elif before > 5:
                assert shown == ["new"]
            else:
                assert shown == [f"▲{before - rank}" if before > rank else f"▼{rank - before}"]
            assert key != "gap" or shown == []
            marks += len(shown)
    assert marks > 0


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_account_of_the_logit_adds_up_under(pooling, open_page, network, examples):
    page = open_page(pooling=pooling)
    outcome = analyse(network, examples["astronaut"]).under(pooling)
    evidence = outcome.evidence(int(page.query_params["class"]))
    shown = boards(page)["evidence"]
    assert f"logit {plain(evidence.logit)} = {plain(evidence.baseline)} baseline + " in shown.one("sum").text
    assert shown.one("badge").text == exactness(evidence.exact, evidence.residual)
    logit, baseline, total = (
        float(number.replace("−", "-")) for number in re.findall(r"−?\d+\.\d\d", shown.one("sum").text)[:3]
    )
    assert logit == pytest.approx(baseline + total, abs=0.0151)
    assert total == pytest.approx(float(evidence.cells.sum()), abs=0.0051)


def test_the_strongest_position_and_the_ends_of_the_legend_are_those_of_the_evidence(open_page, network, examples):
    shown = boards(open_page(example="coffee"))["evidence"]
    analysis = analyse(network, examples["coffee"])
    cells = analysis.under().evidence(ESPRESSO).cells.numpy()
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    assert f"Strongest position ({row}, {column}): {signed(cells.max())}" in shown.one("caption").text
    assert "final feature maps, 1280 × 7 × 7" in shown.one("caption").text
    limit = np.abs(cells).max()
    assert [end.text for end in shown.one("legend").all("span")] == [signed(-limit), signed(limit), "logits"]
    assert f"row {row + 1}, column {column + 1} of 7 by 7" in shown.one("img").attributes["alt"]


def test_six_channels_pay_most_and_their_products_are_their_contributions(open_page, network, examples):
    page = open_page(example="coffee", pooling="gmp")
    outcome = analyse(network, examples["coffee"]).under("gmp")
    slopes = network.head.weight[ESPRESSO].detach()
    contributions = outcome.analysis.feature_maps.amax((1, 2)) * slopes
    best = contributions.topk(6)
    tiles = boards(page)["answers"].all("tile")
    assert [int(tile.all("strong")[0].text) for tile in tiles] == best.indices.tolist()
    assert [tile.all("strong")[1].text for tile in tiles] == [signed(float(value)) for value in best.values]
    for tile, channel in zip(tiles, best.indices.tolist(), strict=True):
        assert tile.all("caption")[1].text == (
            f"{plain(float(outcome.analysis.feature_maps[channel].max()))} × {plain(float(slopes[channel]))}")


# Links.


def test_a_link_shows_example_class_pooling_framing_size_and_calibration(open_page, network, examples):
    link = {**LINK, "example": "cat_and_coffee", "class": str(TENCH), "pooling": "gem", "framing": "whole",
            "size": "256", "calibrated": "0"}
    page = open_page(**link)
    analysis = analyse(network, examples["cat_and_coffee"], "whole", 256)
    outcome = analysis.under("gem")
    evidence = outcome.evidence(TENCH)
    assert not page.exception
    assert notices(page) == []
    assert page.query_params == link
    assert answers(page) == {each.name: expected(each, False)
                             for each in (analysis.under("gap"), analysis.under("gmp"), outcome)}
    assert f"logit {plain(evidence.logit)} =" in boards(page)["evidence"].text
    assert carriers_sentence(evidence.cells.numpy(), f"tench under {outcome.name}") in boards(page)["headline"].text
    assert boards(page)["evidence"].one("h3").text == f"tench, under {outcome.name}"
    assert control(page, "pooling").value == "gem"
    assert control(page, "framing").value == "whole"
    assert control(page, "size").value == 256
    assert control(page, "calibrated").value is False


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_link_to_an_example_shows_it(example, open_page, network, examples):
    page = open_page(example=example)
    analysis = analyse(network, examples[example])
    assert answers(page)["GAP"] == expected(analysis.under())
    marked = [thumbnail.pick for thumbnail in boards(page)["examples"].all("button")
              if thumbnail.attributes["aria-pressed"] == "true"]
    assert marked == [example]
    width, height = boards(page)["evidence"].image().size
    assert width / height == pytest.approx(analysis.image.width / analysis.image.height, rel=0.01)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_link_to_a_framing_shows_it(framing, open_page, network, examples):
    page = open_page(example="rocket", framing=framing, size="96")
    assert answers(page)["GAP"] == expected(analyse(network, examples["rocket"], framing, 96).under())


def test_a_class_outside_the_top_five_is_named_in_the_headline(open_page, network, examples):
    page = open_page(example="cat", **{"class": str(ESPRESSO)})
    cells = analyse(network, examples["cat"]).under().evidence(ESPRESSO).cells.numpy()
    assert boards(page)["headline"].one("lead").text.startswith(carriers_sentence(cells, "espresso"))
    assert pressed(page) == []


HTML = "<img src=x onerror=alert(1)>"
BAD = [
    {"pooling": "median"}, {"pooling": HTML}, {"pooling": ""}, {"framing": "zoom"}, {"framing": HTML},
    {"size": "223"}, {"size": "-224"}, {"size": "1e3"}, {"size": HTML}, {"calibrated": "perhaps"},
    {"calibrated": HTML}, {"network": "../../assets"}, {"network": HTML}, {"example": "../../etc/passwd"},
    {"example": HTML}, {"example": ""}, {"photo": "0123456789ab"}, {"photo": HTML}, {"class": "5000"},
    {"class": "99999999"}, {"class": "9" * 40}, {"class": "x"}, {"class": "-1"}, {"class": "1.5"}, {"class": "²"},
    {"class": HTML}, {"class": ""}, {"pooling": "x" * 5000},
]


@pytest.mark.parametrize("link", BAD, ids=lambda link: "-".join(f"{name}={value[:24]}" for name, value in link.items()))
def test_a_bad_link_leaves_one_plain_sentence_and_the_default_page(link, open_page, network, examples):
    page = open_page(**link)
    outcome = analyse(network, examples["astronaut"]).under()
    assert not page.exception
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence), sentence
    assert answers(page)["GAP"] == expected(outcome)
    assert page.query_params == {**LINK, "class": str(outcome.top(1)[0].class_index)}
    assert notices(page.run()) == [], "the sentence is said once"


def test_each_bad_part_of_a_link_has_its_own_sentence_and_the_good_parts_are_obeyed(open_page):
    page = open_page(example="cat", pooling="median", framing="whole", size="7", **{"class": "x"})
    assert not page.exception
    assert len(notices(page)) == 3
    assert all(is_plain_sentence(sentence) for sentence in notices(page))
    assert page.query_params["example"] == "cat"
    assert page.query_params["framing"] == "whole"
    assert (page.query_params["pooling"], page.query_params["size"]) == ("gap", "224")


def test_a_name_that_the_app_does_not_know_is_left_alone(open_page):
    page = open_page(utm_source="newsletter", pooling="gmp")
    assert not page.exception
    assert notices(page) == []
    assert page.query_params["pooling"] == "gmp"


# Controls.


def test_another_pooling_changes_the_evidence_the_column_and_the_link(open_page, network, examples):
    page = open_page(example="coffee")
    control(page, "pooling").set_value("lse").run()
    analysis = analyse(network, examples["coffee"])
    outcome = analysis.under("lse")
    assert not page.exception
    assert page.query_params["pooling"] == "lse"
    assert list(answers(page)) == ["GAP", "GMP", outcome.name]
    assert answers(page)[outcome.name] == expected(outcome)
    assert f"logit {plain(outcome.evidence(ESPRESSO).logit)} =" in boards(page)["evidence"].text
    assert "integrated" in boards(page)["evidence"].one("badge").text


def test_a_pooling_of_the_three_columns_leaves_the_columns_as_they_are(open_page):
    page = open_page()
    before = answers(page)
    control(page, "pooling").set_value("gmp").run()
    assert answers(page) == before
    assert pressed(page) == [["gmp", int(page.query_params["class"])]]


def test_any_class_can_be_asked_for_by_its_name(open_page, network, examples):
    page = open_page(example="cat")
    chooser = control(page, "searched")
    assert list(chooser.options) == list(network.class_names)
    chooser.select_index(network.class_names.index("Cardigan")).run()
    wanted = network.class_names.index("Cardigan")
    assert page.query_params["class"] == str(wanted)
    control(page, "searched").select_index(network.class_names.index("cardigan")).run()
    wanted = network.class_names.index("cardigan")
    logit = analyse(network, examples["cat"]).under().evidence(wanted).logit
    assert page.query_params["class"] == str(wanted)
    assert f"logit {plain(logit)} =" in boards(page)["evidence"].text


def test_another_framing_changes_answers_and_link_and_keeps_the_pooling(open_page, network, examples):
    page = open_page(example="rocket", pooling="gmp")
    control(page, "framing").set_value("whole").run()
    analysis = analyse(network, examples["rocket"], "whole")
    assert not page.exception
    assert page.query_params["framing"] == "whole"
    assert page.query_params["pooling"] == "gmp"
    assert answers(page)["GMP"] == expected(analysis.under("gmp"))
    _, rows, across = analysis.feature_maps.shape
    assert across > rows == 7
    assert f"1,280 × {rows} × {across}" in boards(page)["examples"].one("card").text


def test_a_larger_input_gives_more_positions(open_page, network, examples):
    page = open_page(example="coffee")
    control(page, "size").set_value(448).run()
    analysis = analyse(network, examples["coffee"], "crop", 448)
    assert page.query_params["size"] == "448"
    assert "1280 × 14 × 14" in boards(page)["evidence"].text
    assert answers(page)["GAP"] == expected(analysis.under())


def test_calibration_changes_probabilities_of_what_ifs_and_no_rank(open_page, network, examples):
    page = open_page(example="cat")
    mended = answers(page)
    control(page, "calibrated").set_value(False).run()
    raw = answers(page)
    outcome = analyse(network, examples["cat"]).under("gmp")
    assert page.query_params["calibrated"] == "0"
    assert raw["GAP"] == mended["GAP"]
    assert raw["GMP"] == expected(outcome, False)
    assert mended["GMP"] == expected(outcome, True)
    assert raw["GMP"] != mended["GMP"]
    assert [name for name, _ in raw["GMP"]] == [name for name, _ in mended["GMP"]]
    assert [column.one("badge").text for column in boards(page)["answers"].all("column")] == [
        "native", "what-if", "what-if"]


def test_the_class_follows_the_answer_until_one_is_asked_for(open_page, network, examples):
    page = open_page()
    page.session_state["poolscope"].show_example("coffee")
    page.run()
    assert page.query_params["class"] == str(ESPRESSO)
    control(page, "searched").set_value(TENCH).run()
    control(page, "framing").set_value("squash").run()
    assert page.query_params["class"] == str(TENCH)
    page.session_state["poolscope"].show_example("cat")
    page.run()
    top = analyse(network, examples["cat"], "squash").under().top(1)[0]
    assert page.query_params["class"] == str(top.class_index)


def test_widgets_show_what_a_pick_elsewhere_chose(open_page):
    page = open_page()
    page.session_state["poolscope"].choose(pooling="softpool", class_index=TENCH)
    page.run()
    assert control(page, "pooling").value == "softpool"
    assert boards(page)["evidence"].one("h3").text == "tench, under SoftPool"


def test_what_is_chosen_before_the_browser_knows_of_the_last_url_is_not_undone(open_page):
    # Two quick clicks: the second one still comes with the URL from before the first.
    page = open_page()
    before = dict(page.query_params)
    control(page, "pooling").set_value("gmp").run()
    page.query_params = dict(before)
    control(page, "searched").set_value(TENCH).run()
    assert page.query_params == {**before, "pooling": "gmp", "class": str(TENCH)}
    assert pressed(page) == []
    page.query_params = dict(before)
    assert page.run().query_params == before, "without a choice, an earlier URL is the Back button"


def test_a_control_keeps_its_identity_while_it_is_used_and_loses_it_when_changed_elsewhere(open_page):
    # Else what a browser still holds of its old value would be taken for a choice; see tests/browser.
    page = open_page()
    key = control(page, "pooling").key
    control(page, "pooling").set_value("gmp").run()
    control(page, "searched").set_value(TENCH).run()
    assert control(page, "pooling").key == key
    page.session_state["poolscope"].choose(pooling="attention")
    page.run()
    assert control(page, "pooling").key != key
    control(page, "pooling").set_value("gap").run()
    assert page.query_params["pooling"] == "gap"


def test_a_click_on_the_chosen_framing_leaves_it_chosen(open_page):
    page = open_page(framing="squash")
    control(page, "framing").set_value(None).run()
    assert not page.exception
    assert page.query_params["framing"] == "squash"
    assert control(page, "framing").value == "squash"


# Pages.


@pytest.mark.parametrize("page", ["app.py", "pages/7_Method.py"])
def test_photo_class_and_settings_survive_a_page_change(page, open_page, network, examples):
    shown = open_page(page)
    upload(shown, encode(examples["cat"]))
    other = "pages/7_Method.py" if page == "app.py" else "app.py"
    if page != "app.py":
        shown.switch_page("app.py").run()
        other = page
    control(shown, "pooling").set_value("gmp").run()
    control(shown, "searched").set_value(TENCH).run()
    control(shown, "framing").set_value("whole").run()
    control(shown, "size").set_value(160).run()
    control(shown, "calibrated").set_value(False).run()
    before, link = answers(shown), dict(shown.query_params)
    shown.switch_page(other).run()
    assert not shown.exception
    assert shown.query_params == link
    shown.switch_page("app.py").run()
    assert not shown.exception
    assert notices(shown) == []
    assert shown.query_params == link
    assert answers(shown) == before
    assert before["GMP"] == expected(analyse(network, examples["cat"], "whole", 160).under("gmp"), False)


# Uploads.


def test_an_upload_is_analysed_and_named_in_the_link_by_its_digest(open_page, network, examples):
    page = upload(open_page(pooling="gmp"), encode(examples["cat"]))
    assert not page.exception
    assert notices(page) == []
    assert answers(page)["GMP"] == expected(analyse(network, examples["cat"]).under("gmp"))
    assert "example" not in page.query_params
    assert re.fullmatch("[0-9a-f]{12}", page.query_params["photo"])
    assert page.query_params["pooling"] == "gmp"
    assert all(thumbnail.attributes["aria-pressed"] == "false"
               for thumbnail in boards(page)["examples"].all("button"))


def test_a_link_back_to_the_own_photo_returns_to_it(open_page, network, examples):
    page = upload(open_page(), encode(examples["cat"]))
    control(page, "pooling").set_value("gmp").run()
    link, shown = dict(page.query_params), answers(page)
    page.session_state["poolscope"].show_example("coffee")
    page.run()
    assert page.query_params["example"] == "coffee"
    page.query_params = dict(link)
    page.run()
    assert notices(page) == []
    assert page.query_params == link
    assert answers(page) == shown


def test_a_photo_that_a_link_asked_for_is_shown_as_the_link_said_once_it_is_dropped_in(open_page, examples):
    there = upload(open_page(), encode(examples["cat"]))
    control(there, "searched").set_value(TENCH).run()
    control(there, "pooling").set_value("gmp").run()
    here = open_page(**there.query_params)
    assert len(notices(here)) == 1
    assert here.query_params["example"] == "astronaut"
    upload(here, encode(examples["cat"]))
    assert notices(here) == []
    assert here.query_params == there.query_params
    assert boards(here)["evidence"].text == boards(there)["evidence"].text


def test_another_photo_than_the_link_asked_for_is_shown_with_its_own_answer(open_page, examples):
    here = open_page(photo="0123456789ab", **{"class": str(TENCH)})
    upload(here, encode(examples["coffee"]))
    assert here.query_params["class"] == str(ESPRESSO)


def test_an_upload_forgets_the_class_asked_for_and_shows_the_answer(open_page, examples):
    page = upload(open_page(**{"class": str(TENCH)}), encode(examples["coffee"]))
    assert page.query_params["class"] == str(ESPRESSO)


@pytest.mark.parametrize("kind", broken())
def test_a_broken_upload_is_one_sentence_and_the_last_good_photo_stays(kind, open_page, network, examples):
    page = upload(open_page(), encode(examples["cat"]))
    link = dict(page.query_params)
    upload(page, broken()[kind], "broken.png")
    assert not page.exception
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence), sentence
    assert page.query_params == link
    assert answers(page)["GAP"] == expected(analyse(network, examples["cat"]).under())
    control(page, "pooling").set_value("gmp").run()
    assert notices(page) == []
    assert answers(page)["GAP"] == expected(analyse(network, examples["cat"]).under())


def test_the_uploader_takes_no_more_than_the_package_reads(open_page):
    kinds = {kind.lstrip(".").lower() for kind in open_page().file_uploader(key="upload").allowed_type}
    assert kinds == {"jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"}


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000)])
def test_a_photo_of_extreme_shape_is_analysed(size, open_page, examples):
    page = upload(open_page(), encode(examples["coffee"].resize(size)))
    assert not page.exception
    assert notices(page) == []
    assert "photo" in page.query_params


def test_a_framing_that_the_photo_does_not_allow_is_a_sentence_and_the_crop(open_page, examples):
    page = upload(open_page(framing="whole"), encode(examples["coffee"].resize((20_000, 1))))
    assert not page.exception
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence), sentence
    assert page.query_params["framing"] == "crop"
    assert control(page, "framing").value == "crop"


def test_no_two_sessions_share_what_was_chosen(open_page, examples, network):
    one, other = open_page(), open_page()
    upload(one, encode(examples["cat"]))
    control(one, "pooling").set_value("gmp").run()
    other.run()
    assert (other.query_params["example"], other.query_params["pooling"]) == ("astronaut", "gap")
    assert answers(other)["GAP"] == expected(analyse(network, examples["astronaut"]).under())
    assert answers(one)["GAP"] == expected(analyse(network, examples["cat"]).under())


def test_what_is_shown_is_finite(open_page):
    page = open_page(example="photographer", pooling="softpool", framing="squash", size="96")
    for key, board in boards(page).items():
        assert "nan" not in board.text.lower().split(), key
        assert "inf" not in board.text.lower().split(), key


@pytest.mark.parametrize("colour", ["black", "white"])
def test_a_photo_of_one_colour_is_analysed(colour, open_page):
    page = upload(open_page(), encode(Image.new("RGB", (64, 64), colour)))
    assert not page.exception
    assert [len(column) for column in answers(page).values()] == [5, 5, 5]
