"""Explore without a browser: what links, controls and uploads lead to, in words and numbers."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explorer import POOLINGS, analyse
from explorer.poolings import PoolingChoice, parse_pooling
from explorer.ui.maps import evidence_map
from explorer.wording import evidence_sentence, percent, plain, signed
from tests.browser.uploads import broken, encode
from tests.pages import arithmetic
from tests.pages.boards import Shown, boards, components, control, decoded, is_plain_sentence, notices, number, viewers
from tests.pages.clicks import follow, pick, upload, use

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


def shown(page) -> Shown:
    """The map that the viewer begins with."""
    return viewers(page)["evidence"].chosen


def title(page) -> str:
    """What stands over the viewer at first: the map's facets, each with the words before it."""
    viewer = viewers(page)["evidence"]
    return "".join(facet["before"] + value for facet, value in zip(viewer["facets"], viewer.chosen.facets, strict=True))


def photo(page):
    """The photo that the page was given for its viewers."""
    return decoded(components(page, "source")["photo"]["photo"]["src"])


# What is shown at first.


def test_the_page_opens_on_the_astronaut_without_an_exception(open_page, network, examples):
    page = open_page()
    first, second = analyse(network, examples["astronaut"]).under().top(2)
    assert not page.exception
    assert notices(page) == []
    head = boards(page)["headline"]
    assert head.one("says").text == first.name
    assert head.one("h1").text.endswith(f" {percent(first.probability)}.")
    assert head.one("lead").text.endswith(f" Runner-up: {second.name}, {percent(second.probability)}.")
    assert page.query_params == {**LINK, "class": str(first.class_index)}


def test_three_columns_hold_the_top_five_that_the_package_computes(open_page, network, examples, factor):
    page, analysis = open_page(), analyse(network, examples["astronaut"])
    outcomes = [analysis.under(key) for key in ("gap", "gmp", "attention")]
    assert answers(page) == {outcome.name: expected(outcome) for outcome in outcomes}
    labels = [column.one("badge").text for column in boards(page)["answers"].all("column")]
    assert labels == ["native", *(f"what-if, calibrated × {factor(key):.2f}" for key in ("gmp", "attention"))]


@pytest.mark.parametrize("pooling", ["gap", "lse", "topk:share=0.5"])
def test_the_account_of_the_logit_adds_up_under(pooling, open_page, network, examples):
    page = open_page(pooling=pooling)
    key, parameters = parse_pooling(pooling)
    evidence = analyse(network, examples["astronaut"]).under(key, **parameters).evidence(
        int(page.query_params["class"]))
    (account,) = shown(page).lines
    assert account.startswith(f"logit {plain(evidence.logit)} = {plain(evidence.baseline)} baseline + ")
    # What is left over is rounding or a small quadrature error: another one on another processor.
    kind, residual = re.fullmatch(r"(exact|integrated), residual (\S+)", shown(page).badge).groups()
    assert kind == ("exact" if evidence.exact else "integrated")
    assert float(residual) < (1e-5 if evidence.exact else 1e-3)
    logit, baseline, total = (number(item) for item in re.findall(r"−?\d+\.\d\d", account))
    assert logit == pytest.approx(baseline + total, abs=1e-9)
    assert total == pytest.approx(float(shown(page).values.sum()), abs=0.0151 + 49 * shown(page).step)


def test_a_class_without_positive_evidence_has_no_strongest_position(network, examples):
    head = deepcopy(network.head)
    head.weight[TENCH] = -head.weight[TENCH].abs()
    against = evidence_map(analyse(replace(network, head=head), examples["coffee"]).under(), TENCH)
    assert against.mark is None
    assert against.caption.startswith("No position has positive evidence · ")
    assert against.lines[1] == "all evidence for this class is negative"


def test_the_strongest_position_and_the_ends_of_the_legend_are_those_of_the_evidence(open_page, network, examples):
    page = open_page(example="coffee")
    analysis = analyse(network, examples["coffee"])
    cells = analysis.under().evidence(ESPRESSO).cells.numpy()
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    assert shown(page).caption == (f"Strongest position ({row}, {column}): {signed(cells.max())} logits · "
                                   "final feature maps, 1,280 × 7 × 7")
    assert shown(page).mark == [row, column]
    assert shown(page).kind == "signed"
    assert (shown(page).unit, shown(page).unitName) == ("logits", "logits")
    # The legend ends at the largest magnitude of the maps on the same scale: of all classes under this pooling.
    alike = [item for item in viewers(page)["evidence"].maps.values() if item.scale == shown(page).scale]
    assert [item.id for item in alike] == [f"{answer.class_index}.gap" for answer in analysis.under().top(5)]
    assert [item.limit for item in alike] == [None] * 5
    most = max(float(analysis.under().evidence(answer.class_index).cells.abs().max())
               for answer in analysis.under().top(5))
    assert max(np.abs(item.values).max() for item in alike) == pytest.approx(most, abs=shown(page).step)


@pytest.mark.parametrize("pooling", ["gmp", "gem:p=7", "lse", "attention"])
def test_the_map_on_the_photo_is_the_evidence_as_numpy_computes_it_under(pooling, open_page, network, examples):
    page = open_page(example="coffee", pooling=pooling)
    maps = analyse(network, examples["coffee"]).feature_maps.numpy()
    expected_cells = arithmetic.evidence(maps, network.head.weight[ESPRESSO].numpy(), pooling)
    assert shown(page).id == f"{ESPRESSO}.{pooling.replace(':', '-').replace('=', '')}"
    np.testing.assert_allclose(shown(page).values, expected_cells, atol=2e-5 + shown(page).step)


def test_the_viewer_holds_the_likeliest_classes_under_every_pooling_and_each_is_the_right_one(
    open_page, network, examples
):
    page = open_page(example="cat", pooling="gem:p=7", **{"class": str(TENCH)})
    analysis = analyse(network, examples["cat"])
    classes = [TENCH, *(answer.class_index for answer in analysis.under().top(5))]
    spellings = {key: "gem:p=7" if key == "gem" else key for key in POOLINGS}
    result = viewers(page)["evidence"].maps
    assert set(result) == {f"{index}.{spelling.replace(':', '-').replace('=', '')}"
                          for index in classes for spelling in spellings.values()}
    assert len(result) == 6 * 8
    for index in classes:
        for key, spelling in spellings.items():
            item = result[f"{index}.{spelling.replace(':', '-').replace('=', '')}"]
            outcome = analysis.under(key, **({"p": 7} if key == "gem" else {}))
            evidence = outcome.evidence(index)
            assert item.facets == [network.class_names[index], outcome.name]
            assert item.pick == [spelling, index]
            np.testing.assert_allclose(item.values, evidence.cells.numpy(), atol=item.step)
            assert item.lines[0].startswith(f"logit {plain(evidence.logit)} = {plain(evidence.baseline)} baseline + ")


def test_the_viewer_knows_the_photo_and_the_part_of_it_that_the_network_saw(open_page, network, examples):
    page = open_page(example="rocket")
    viewer, framing = viewers(page)["evidence"], analyse(network, examples["rocket"]).framing
    assert viewer["size"] == list(examples["rocket"].size)
    assert viewer["seen"] == pytest.approx(framing.seen)
    assert viewer["grid"] == {"rows": 7, "columns": 7}
    assert viewer["photo"] == components(page, "source")["photo"]["photo"]["key"]


def test_six_channels_contribute_most_and_their_products_are_their_contributions(open_page, network, examples):
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


def test_a_click_on_a_channel_opens_its_card_among_the_feature_maps(open_page, measured):
    page, seen = open_page(example="coffee", pooling="gmp"), measured("coffee")
    channel = boards(page)["answers"].all("tile")[2].pick[1]
    assert channel == int(np.argsort(-seen.paid(ESPRESSO, "gmp"), kind="stable")[2])
    pick(page, "answers", ["channel", channel])
    assert not page.exception
    assert boards(page)["card"].one("h3").text == f"Channel {channel}"
    assert page.query_params == {**LINK, "example": "coffee", "class": str(ESPRESSO), "pooling": "gmp",
                                 "channel": str(channel)}
    page.switch_page("app.py").run()
    assert "answers" in boards(page), "the way back is open"
    assert "channel" not in page.query_params


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
    assert answers(page) == {item.name: expected(item, False)
                             for item in (analysis.under("gap"), analysis.under("gmp"), outcome)}
    assert shown(page).lines[0].startswith(f"logit {plain(evidence.logit)} =")
    assert evidence_sentence(evidence.cells.numpy(), f"tench under {outcome.name}") in boards(page)["headline"].text
    assert title(page) == f"tench, under {outcome.name}"
    assert control(page, "pooling").value == "gem"
    assert control(page, "framing").value == "whole"
    assert control(page, "size").value == 256
    assert control(page, "calibrated").value is False


@pytest.mark.parametrize("example", ["astronaut", "cat_and_coffee", "rocket"])
def test_a_link_to_an_example_shows_it(example, open_page, network, examples):
    page = open_page(example=example)
    analysis = analyse(network, examples[example])
    assert answers(page)["GAP"] == expected(analysis.under())
    marked = [thumbnail.pick for thumbnail in boards(page)["examples"].all("button")
              if thumbnail.attributes["aria-pressed"] == "true"]
    assert marked == [example]
    width, height = photo(page).size
    assert width / height == pytest.approx(analysis.image.width / analysis.image.height, rel=0.01)


def test_a_link_to_a_framing_shows_it(open_page, network, examples):
    page = open_page(example="rocket", framing="squash", size="96")
    assert answers(page)["GAP"] == expected(analyse(network, examples["rocket"], "squash", 96).under())


def test_a_class_outside_the_top_five_is_named_in_the_headline(open_page, network, examples):
    page = open_page(example="cat", **{"class": str(ESPRESSO)})
    cells = analyse(network, examples["cat"]).under().evidence(ESPRESSO).cells.numpy()
    assert boards(page)["headline"].one("lead").text.startswith(evidence_sentence(cells, "espresso"))
    assert pressed(page) == []


HTML = "<img src=x onerror=alert(1)>"
BAD = [
    {"pooling": HTML}, {"framing": "zoom"}, {"size": "223"}, {"calibrated": "perhaps"}, {"network": "../../assets"},
    {"example": "../../etc/passwd"}, {"photo": "0123456789ab"}, {"class": "5000"}, {"class": "9" * 40}, {"class": "²"},
    {"pooling": "x" * 5000},
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
    assert notices(page.run()) == [], "the sentence is shown once"


def test_each_bad_part_of_a_link_has_its_own_sentence_and_the_good_parts_are_obeyed(open_page):
    page = open_page(example="cat", pooling="median", framing="whole", size="7", **{"class": "x"})
    assert not page.exception
    assert len(notices(page)) == 3
    assert all(is_plain_sentence(sentence) for sentence in notices(page))
    assert page.query_params["example"] == "cat"
    assert page.query_params["framing"] == "whole"
    assert (page.query_params["pooling"], page.query_params["size"]) == ("gap", "224")


def test_what_can_be_downloaded_is_of_the_class_and_pooling_that_are_shown(files, open_page, measured, examples):
    page = open_page(example="coffee", pooling="gem:p=5", calibrated="0", **{"class": str(TENCH)})
    seen = measured("coffee")
    assert len(page.get("download_button")) == len(files) == 6
    endings = r"\.(png|svg|npz|json|html|live\.html)"
    assert all(re.fullmatch("coffee_explore_tench_gem-p-5" + endings, name) for name in files)
    by_kind = {name.partition("gem-p-5.")[2]: make() for name, make in files.items()}
    assert re.search(r'"pooling": ?"gem", ?"parameter": ?5', by_kind["live.html"])
    assert Image.open(io.BytesIO(by_kind["png"])).size == examples["coffee"].size
    arrays = np.load(io.BytesIO(by_kind["npz"]))
    cells = seen.cells(TENCH, "gem:p=5")
    assert any(arrays[name].shape == (7, 7) and np.allclose(arrays[name], cells, atol=1e-4) for name in arrays.files)
    assert plain(seen.logits("gem:p=5")[TENCH]) in text(by_kind["html"])
    assert "tench" in json.dumps(json.loads(by_kind["json"]))
    assert "<svg" in text(by_kind["svg"])


def text(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode()


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
    assert shown(page).lines[0].startswith(f"logit {plain(outcome.evidence(ESPRESSO).logit)} =")
    assert shown(page).badge.startswith("integrated")


def test_a_pooling_of_the_three_columns_leaves_the_columns_as_they_are(open_page):
    page = open_page()
    before = answers(page)
    control(page, "pooling").set_value("gmp").run()
    assert answers(page) == before
    assert pressed(page) == [["gmp", int(page.query_params["class"])]]


def test_any_class_can_be_searched_by_its_name(open_page, network, examples):
    page = open_page(example="cat")
    (names,) = {tuple(data["names"]["names"]) for data in components(page, "source").values() if "names" in data}
    assert names == tuple(network.class_names)
    pick(page, "class", names.index("Cardigan")).run()
    assert page.query_params["class"] == str(names.index("Cardigan"))
    garment = names.index("cardigan")
    pick(page, "class", garment).run()
    logit = analyse(network, examples["cat"]).under().evidence(garment).logit
    assert page.query_params["class"] == str(garment)
    assert shown(page).lines[0].startswith(f"logit {plain(logit)} =")


@pytest.mark.parametrize(("pooling", "calibrated"), [("gap", "1"), ("gmp", "1"), ("gmp", "0")])
def test_the_search_has_the_logit_of_every_class_under_the_pooling_shown(
    pooling, calibrated, open_page, network, examples, factor
):
    page = open_page(example="cat", pooling=pooling, calibrated=calibrated)
    sources = components(page, "source")
    answers, shown_here = sources["answers"]["answers"], sources["shown"]["shown"]
    assert shown_here == {"class": int(page.query_params["class"]), "answers": answers["key"]}
    logits = np.frombuffer(zlib.decompress(base64.b64decode(answers["logits"]["data"])), "<f4")
    np.testing.assert_allclose(logits, analyse(network, examples["cat"]).under(pooling).logits.numpy(), rtol=1e-6)
    assert answers["factor"] == (factor("gmp") if (pooling, calibrated) == ("gmp", "1") else 1)
    assert answers["under"] == ("Under GMP, what-if" if pooling == "gmp" else "")


@pytest.mark.parametrize("name", ["app.py", "pages/1_Feature_maps.py", "pages/4_Why.py"])
def test_a_pooling_with_a_parameter_has_a_slider_that_acts_wherever_it_is_chosen(name, open_page):
    assert not components(open_page(name), "slider")
    page = open_page(name, pooling="gem:p=3")
    assert components(page, "slider")["parameter_gem"]["value"] == 3
    use(page, "parameter_gem", "value", 4.5)
    assert not page.exception
    assert page.query_params["pooling"] == "gem:p=4.5"
    assert components(page, "slider")["parameter_gem"]["value"] == 4.5


def test_the_true_class_is_marked_and_can_be_cleared(open_page):
    page = open_page()
    pick(page, "truth", TENCH).run()
    assert page.query_params["truth"] == str(TENCH)
    pick(page, "truth", -1).run()
    assert "truth" not in page.query_params


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
    assert "1,280 × 14 × 14" in shown(page).caption
    assert shown(page).values.shape == (14, 14)
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


def test_the_viewers_sentences_follow_the_choice_of_calibration(open_page, measured, factor):
    page, seen = open_page(example="cat"), measured("cat")
    first = seen.best(1)[0]
    for calibrated, multiplier in ((True, factor("gmp")), (False, 1.0), (True, factor("gmp"))):
        if control(page, "calibrated").value is not calibrated:
            control(page, "calibrated").set_value(calibrated).run()
        says = viewers(page)["evidence"].maps[f"{first}.gmp"].says
        assert f"{percent(seen.probabilities('gmp', multiplier)[first])} under GMP, a what-if." in says


def test_no_probability_is_shown_as_certain(open_page, measured):
    # Of thousands of classes one is never certain; but single precision rounds 0.99999999 to 1.
    assert 0.999 < measured("coffee").probabilities("gmp").max() < 1
    page = open_page(example="coffee", calibrated="0")
    assert answers(page)["GMP"][0] == ("espresso", ">99%")


def test_the_class_follows_the_answer_until_one_is_chosen(open_page, network, examples):
    page = open_page()
    page.session_state["poolscope"].show_example("coffee")
    page.run()
    assert page.query_params["class"] == str(ESPRESSO)
    pick(page, "class", TENCH).run()
    control(page, "framing").set_value("squash").run()
    assert page.query_params["class"] == str(TENCH)
    page.session_state["poolscope"].show_example("cat")
    page.run()
    top = analyse(network, examples["cat"], "squash").under().top(1)[0]
    assert page.query_params["class"] == str(top.class_index)


def test_widgets_show_what_a_pick_elsewhere_chose(open_page):
    page = open_page()
    page.session_state["poolscope"].choose(pooling=PoolingChoice("softpool"), class_index=TENCH)
    page.run()
    assert control(page, "pooling").value == "softpool"
    assert title(page) == "tench, under SoftPool"


def test_what_is_chosen_before_the_browser_knows_of_the_last_url_is_not_undone(open_page):
    # Two quick clicks: the second one still comes with the URL from before the first.
    page = open_page()
    before = dict(page.query_params)
    control(page, "pooling").set_value("gmp").run()
    page.query_params = dict(before)
    pick(page, "class", TENCH).run()
    assert page.query_params == {**before, "pooling": "gmp", "class": str(TENCH)}
    assert pressed(page) == []
    assert follow(page, before).query_params == before, "the Back button"


def test_a_control_keeps_its_identity_while_it_is_used_and_loses_it_when_changed_elsewhere(open_page):
    # Else what a browser still holds of its old value would be taken for a choice; see tests/browser.
    page = open_page()
    key = control(page, "pooling").key
    control(page, "pooling").set_value("gmp").run()
    pick(page, "class", TENCH).run()
    assert control(page, "pooling").key == key
    page.session_state["poolscope"].choose(pooling=PoolingChoice("attention"))
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
    opened = open_page(page)
    upload(opened, encode(examples["cat"]))
    other = "pages/7_Method.py" if page == "app.py" else "app.py"
    if page != "app.py":
        opened.switch_page("app.py").run()
        other = page
    control(opened, "pooling").set_value("gmp").run()
    pick(opened, "class", TENCH).run()
    control(opened, "framing").set_value("whole").run()
    control(opened, "size").set_value(160).run()
    control(opened, "calibrated").set_value(False).run()
    before, link = answers(opened), dict(opened.query_params)
    opened.switch_page(other).run()
    assert not opened.exception
    assert opened.query_params == link
    opened.switch_page("app.py").run()
    assert not opened.exception
    assert notices(opened) == []
    assert opened.query_params == link
    assert answers(opened) == before
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


def test_a_link_back_to_an_uploaded_photo_returns_to_it(open_page, network, examples):
    page = upload(open_page(), encode(examples["cat"]))
    control(page, "pooling").set_value("gmp").run()
    link, before = dict(page.query_params), answers(page)
    page.session_state["poolscope"].show_example("coffee")
    page.run()
    assert page.query_params["example"] == "coffee"
    follow(page, link)
    assert notices(page) == []
    assert page.query_params == link
    assert answers(page) == before


def test_a_link_to_a_photo_is_obeyed_once_the_photo_is_uploaded(open_page, examples):
    there = upload(open_page(), encode(examples["cat"]))
    pick(there, "class", TENCH).run()
    control(there, "pooling").set_value("gmp").run()
    here = open_page(**there.query_params)
    assert len(notices(here)) == 1
    assert here.query_params["example"] == "astronaut"
    assert here.query_params["class"] == "560", "a class of one photo says nothing about another"
    upload(here, encode(examples["cat"]))
    assert notices(here) == []
    assert here.query_params == there.query_params
    assert viewers(here)["evidence"].data == viewers(there)["evidence"].data


def test_another_photo_than_the_links_is_shown_with_its_own_answer(open_page, examples):
    here = open_page(photo="0123456789ab", **{"class": str(TENCH)})
    upload(here, encode(examples["coffee"]))
    assert here.query_params["class"] == str(ESPRESSO)


def test_an_upload_clears_the_class_and_shows_the_answer(open_page, examples):
    page = upload(open_page(**{"class": str(TENCH)}), encode(examples["coffee"]))
    assert page.query_params["class"] == str(ESPRESSO)


def test_a_photo_of_twelve_bits_shows_its_window_and_lets_it_be_changed(open_page):
    ramp = np.tile(np.arange(0, 4096, 16, dtype=np.uint16), (200, 1))
    page = upload(open_page(), encode(Image.fromarray(ramp)), "ct.png")
    black, white = (page.number_input(key=f"window_{name}") for name in ("black", "white"))
    assert (black.value, white.value) == (0, 4095)
    session = page.session_state["poolscope"]
    before = np.asarray(session.photo.image)[0, :, 0]
    assert np.unique(before).size > 250
    white.set_value(2048.0).run()
    after = np.asarray(page.session_state["poolscope"].photo.image)[0, :, 0]
    assert not page.exception
    assert (after[128:] == 255).all()
    assert after[64] == round(1024 * 255 / 2048)
    assert page.number_input(key="window_white").value == 2048


@pytest.mark.parametrize("kind", ["empty", "cut short", "bomb"])
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


def test_the_uploader_takes_what_the_package_reads_or_has_a_sentence_for(open_page):
    kinds = {kind.lstrip(".").lower() for kind in open_page().file_uploader(key="upload").allowed_type}
    assert kinds == {"jpg", "jpeg", "png", "webp", "avif", "heic", "heif", "bmp", "tif", "tiff", "gif", "dcm"}


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1)])
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
        assert "not a number" not in board.text, key
    for item in viewers(page)["evidence"].maps.values():
        assert np.isfinite(item.values).all(), item.id
        assert "not a number" not in " ".join([*item.lines, item.badge, item.caption]), item.id


def test_a_photo_of_one_colour_is_analysed(open_page):
    page = upload(open_page(), encode(Image.new("RGB", (64, 64), "black")))
    assert not page.exception
    assert [len(column) for column in answers(page).values()] == [5, 5, 5]
