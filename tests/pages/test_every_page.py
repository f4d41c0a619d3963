"""What holds on every page: it is what its link says, whatever came before, whatever the photo and the network."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import analyse
from explorer.ui import frame
from explorer.ui import page as page_module
from explorer.wording import percent, plain
from tests.browser.uploads import encode
from tests.explorer.tiny import analysis_of, linear
from tests.pages.arithmetic import softmax
from tests.pages.boards import boards, components, control, figures, is_plain_sentence, notices, viewers
from tests.pages.clicks import follow, pick, upload, use

EXPLORE, CHANNELS, POOLS, MAPS, WHY, LESSONS, METHOD = PAGES = (
    "app.py", "pages/1_Feature_maps.py", "pages/2_Poolings.py", "pages/3_Activation_maps.py", "pages/4_Why.py",
    "pages/6_Lessons.py", "pages/7_Method.py")
TITLES = dict(zip(PAGES, ("Explore", "Feature maps", "Poolings", "Activation maps", "Why", "Lessons", "Method"),
                  strict=True))
VIEWER = {EXPLORE: "evidence", CHANNELS: "channel_map", POOLS: "evidence", MAPS: "grid", WHY: "against"}
ESPRESSO, TENCH = 967, 0
EVERYWHERE = {"network": "efficientnet_lite0", "example": "coffee", "class": "0", "pooling": "gem:p=4",
              "framing": "squash", "size": "160", "calibrated": "0", "region": "1,0,3,2"}
OWN = {
    EXPLORE: {}, METHOD: {},
    CHANNELS: {"rank": "spread", "show": "paying", "channel": "437", "beside": "12"},
    POOLS: {"channel": "437", "poolings": "gmp,lse:r=2", "pair": "1,0", "path": "mixed"},
    WHY: {"rival": "7", "poolings": "gmp,lse:r=2"},
    LESSONS: {"lesson": "2", "settings": "window:3,keeps:average"},
    MAPS: {"poolings": "gmp,lse:r=2", "classes": "0,7", "maps": "evidence", "box": "55"},
}
# Each page after each other one, once.
TOUR = [PAGES[int(n)] for n in "0102030405061213141516232425263435364546560"]


def everything(page) -> dict:
    """All that components and figures of a page were given, but how long the forward pass took."""
    given = {f"{kind} {key}": data for kind in ("board", "viewer", "wall", "slider", "source")
             for key, data in components(page, kind).items() if key != "examples"}
    return given | {f"figure {item.key}": item.proto.spec for item in page.get("plotly_chart")}


def link_of(path: str) -> dict[str, str]:
    usual = {"maps": "evidence"}
    return EVERYWHERE | {name: text for name, text in OWN[path].items() if usual.get(name) != text}


# Links and the way between pages.


@pytest.mark.parametrize("path", PAGES)
def test_a_link_to_a_page_is_kept_as_it_is(path, open_page):
    page = open_page(path, **link_of(path))
    assert not page.exception
    assert notices(page) == []
    assert page.query_params == link_of(path)


def test_each_page_has_its_own_link_and_is_what_a_newcomer_with_that_link_sees_in_any_order(open_page):
    page, fresh = open_page(EXPLORE, **link_of(EXPLORE)), {path: open_page(path, **link_of(path)) for path in PAGES}
    for path in (CHANNELS, POOLS, MAPS, WHY, LESSONS):  # choose what each page has to choose
        follow(page.switch_page(path), link_of(path))
    for path in TOUR:
        page.switch_page(path).run()
        assert not page.exception, path
        assert notices(page) == [], path
        assert page.query_params == link_of(path), path
        assert everything(page) == everything(fresh[path]), path


def test_a_photo_of_ones_own_goes_along_to_every_page(open_page, examples, network):
    page = upload(open_page(EXPLORE), encode(examples["cat"].crop((0, 0, 250, 250))))
    answer, photo = page.query_params["class"], page.query_params["photo"]
    for path in TOUR[1:10]:
        page.switch_page(path).run()
        assert not page.exception
        assert (page.query_params["photo"], page.query_params["class"]) == (photo, answer)
        if path in VIEWER:
            assert viewers(page)[VIEWER[path]]["size"] == [250, 250]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_itself_and_leads_to_the_others(path, open_page):
    page = open_page(path)
    assert [item.proto.label for item in page.get("page_link")] == [
        "Explore", "Feature maps", "Poolings", "Activation maps", "Why", "Folder", "Lessons", "Method"]
    assert [item.pick for item in boards(page)["examples"].all("button")] == [
        "astronaut", "cat_and_coffee", "cat", "coffee", "photographer", "rocket"]


@pytest.mark.parametrize("path", PAGES)
def test_each_bad_part_of_a_link_has_its_own_sentence_and_the_page_is_the_usual_one(path, open_page):
    bad = {"pooling": "median", "framing": "zoom", "size": "7", "calibrated": "x", "network": "y", "region": "5",
           "example": "dog", "class": "x"}
    page, usual = open_page(path, **bad), open_page(path)
    assert not page.exception
    assert len(notices(page)) == len(bad)
    assert all(is_plain_sentence(sentence) for sentence in notices(page))
    assert page.query_params == usual.query_params
    page.run()
    assert notices(page) == []
    assert everything(page) == everything(usual)


# The viewer's own part of the link.


@pytest.mark.parametrize("path", [EXPLORE, METHOD])
def test_what_the_viewer_wrote_into_the_link_stays_there_while_other_things_are_chosen(path, open_page):
    page = open_page(path, view="o60_s1")
    assert page.query_params["view"] == "o60_s1"
    page.query_params["view"] = "o35_m560.gap"  # the browser wrote it, without a word to Python
    pick(page, "examples", "cat")
    assert page.query_params["view"] == "o35_m560.gap"
    assert page.query_params["example"] == "cat"
    del page.query_params["view"]  # and took it away again
    control(page, "framing").set_value("squash").run()
    assert "view" not in page.query_params
    assert page.query_params["framing"] == "squash"


@pytest.mark.parametrize("path", [EXPLORE, METHOD])
def test_what_the_viewer_cannot_have_written_is_dropped_without_a_word(path, open_page):
    page = open_page(path, view="<script>alert(1)</script>", pooling="gmp")
    assert not page.exception
    assert notices(page) == []
    assert "view" not in page.query_params
    assert page.query_params["pooling"] == "gmp"


def test_what_the_viewer_wrote_goes_along_to_another_page(open_page):
    page = open_page(EXPLORE, view="o60")
    page.query_params = {}  # as a page's own link has it
    page.switch_page(MAPS).run()
    assert page.query_params["view"] == "o60"


# A place on the photo.


@pytest.mark.parametrize(("path", "part_alone"), [*((path, True) for path in VIEWER), (EXPLORE, False)])
def test_a_click_on_the_photo_is_in_the_link_and_outlined(path, part_alone, open_page):
    page = open_page(path)
    use(page, VIEWER[path], "region", {"positions": [2, 3, 4, 5], "map": None, "pixels": [0, 0, 1, 1]}, part_alone)
    assert not page.exception
    assert page.query_params["region"] == "2,3,4,5"
    assert viewers(page)[VIEWER[path]]["region"] == [2, 3, 4, 5]
    fresh = everything(open_page(path, **page.query_params))
    assert {key: data for key, data in fresh.items() if key in everything(page)} == everything(page)


@pytest.mark.parametrize("path", [EXPLORE, MAPS])
def test_what_a_place_gives_to_the_class_is_said_below(path, open_page, measured):
    page, seen = open_page(path, example="coffee", region="2,3,4,5"), measured("coffee")
    cells = seen.cells(ESPRESSO)
    inside = cells[2:5, 3:6]
    part = inside[inside > 0].sum() / cells[cells > 0].sum()
    assert boards(page)["place"].one("h3").text == "Positions (2, 3) to (4, 5)"
    assert boards(page)["place"].all("p")[0].text == (
        f"+{inside.sum():.2f} logits for espresso under GAP, with {percent(part)} of the positive evidence.")


def test_under_another_pooling_a_place_gives_something_else(open_page, measured):
    page, seen = open_page(EXPLORE, example="coffee", region="2,3,4,5", pooling="gmp"), measured("coffee")
    stated = boards(page)["place"].all("p")[0].text
    assert stated.startswith(f"+{seen.cells(ESPRESSO, 'gmp')[2:5, 3:6].sum():.2f} logits for espresso under GMP, ")


@pytest.mark.parametrize(("path", "region"), [
    (EXPLORE, "0,0,7,0"), (CHANNELS, "0,0,0,7"), (POOLS, "6,6,7,7"), (MAPS, "99999999,0,99999999,0"), (WHY, "0,0,7,0")])
def test_a_place_outside_the_maps_is_dropped(path, region, open_page):
    page = open_page(path, region=region)
    assert not page.exception
    assert "place" not in boards(page)
    assert [viewer["region"] for viewer in viewers(page).values()] == [None] * len(viewers(page))
    assert "region" not in page.query_params


@pytest.mark.parametrize("path", [EXPLORE, MAPS])
def test_a_place_that_smaller_maps_do_not_have_is_dropped(path, open_page):
    page = open_page(path, region="5,5,6,6")
    control(page, "size").set_value(96).run()
    assert not page.exception
    assert viewers(page)[VIEWER[path]]["grid"] == {"rows": 3, "columns": 3}
    assert viewers(page)[VIEWER[path]]["region"] is None
    assert "region" not in page.query_params


def test_another_photo_has_no_place_chosen(open_page):
    page = pick(open_page(EXPLORE, region="1,1,2,2"), "examples", "cat")
    assert "region" not in page.query_params
    assert "place" not in boards(page)


def test_a_map_that_the_whole_page_shall_follow_is_chosen_and_stands_in_the_link(open_page, measured):
    page, seen = open_page(EXPLORE, example="cat"), measured("cat")
    third = seen.best(3)[2]
    expected = viewers(page)["evidence"].maps[f"{third}.softpool"].pick
    use(page, "evidence", "pick", expected, part_alone=True)
    assert (page.query_params["class"], page.query_params["pooling"]) == (str(third), "softpool")
    assert viewers(page)["evidence"]["chosen"] == f"{third}.softpool"
    assert next(iter(viewers(page)["evidence"].maps)).startswith(f"{third}.")


@pytest.fixture
def runs(monkeypatch) -> list[str]:
    """What ran: the sidebar, the story of a page."""
    ran: list[str] = []
    navigation, trouble = frame._navigation, page_module.trouble
    monkeypatch.setattr(frame, "_navigation", lambda: (ran.append("sidebar"), navigation()))
    monkeypatch.setattr(page_module, "trouble", lambda outcome: (ran.append("story"), trouble(outcome))[1])
    return ran


def test_a_click_runs_only_what_it_concerns_and_that_once(runs, open_page):
    page = open_page(EXPLORE, example="cat")
    for event, value, expected in (
            ("region", {"positions": [1, 1, 2, 2]}, []),
            ("pick", viewers(page)["evidence"].chosen.pick, ["story"]),
            ("present", True, ["story"])):
        runs.clear()
        use(page, "evidence", event, value, part_alone=True)
        assert not page.exception
        assert runs == expected, event
    runs.clear()
    use(page, "stage", "present", False, part_alone=True)
    assert runs == ["sidebar", "story"]


# What the sidebar says about the input's size.


@pytest.mark.parametrize("path", [EXPLORE, METHOD])
def test_the_sidebar_says_what_another_size_of_the_input_does(path, open_page, measured):
    page = open_page(path, example="cat_and_coffee", size="160")
    lines = boards(page)["size_change"].texts("p")
    for line, side, grid in zip(lines, (224, 160), ("7 × 7", "5 × 5"), strict=True):
        seen = measured("cat_and_coffee", "crop", side)
        first = seen.best(1)[0]
        assert line == f"{side} px, {grid} positions: {seen.names[first]}, {percent(seen.probabilities()[first])}"
    control(page, "size").set_value(224).run()
    assert "size_change" not in boards(page)


def test_the_note_on_the_size_is_of_the_framing_that_is_chosen(open_page, measured):
    page = open_page(example="rocket", framing="whole", size="96")
    for line, side in zip(boards(page)["size_change"].texts("p"), (224, 96), strict=True):
        seen = measured("rocket", "whole", side)
        rows, columns = seen.maps.shape[1:]
        assert rows != columns
        assert line == (f"{side} px, {rows} × {columns} positions: {seen.names[seen.best(1)[0]]}, "
                        f"{percent(seen.probabilities().max())}")


# Extreme photos.


@pytest.mark.parametrize(("path", "size"), [
    *((path, (20_000, 1)) for path in VIEWER), (EXPLORE, (1, 1)), (POOLS, (3, 2)), (MAPS, (1, 20_000))])
def test_a_photo_of_extreme_shape_is_shown_with_finite_numbers(path, size, open_page, examples, measured):
    photo = examples["coffee"].resize(size)
    page, seen = upload(open_page(path), encode(photo)), measured(photo)
    assert not page.exception
    assert notices(page) == []
    assert page.query_params["class"] == str(seen.best(1)[0])
    for viewer in viewers(page).values():
        assert viewer["size"] == list(size)
        assert all(np.isfinite(shown.values).all() for shown in viewer.maps.values())
    assert figures(page) or path in (EXPLORE, MAPS, WHY)


@pytest.mark.parametrize(("path", "side", "grid"), [
    *((path, 96, (3, 18)) for path in VIEWER), (POOLS, 640, (20, 120))])
def test_a_panorama_is_shown_whole(path, side, grid, open_page, examples):
    photo = examples["coffee"].resize((720, 120))
    page = upload(open_page(path, framing="whole", size="96"), encode(photo))
    if side != 96:
        control(page, "size").set_value(side).run(timeout=120)
    assert not page.exception
    assert notices(page) == []
    viewer = viewers(page)[VIEWER[path]]
    assert viewer["grid"] == {"rows": grid[0], "columns": grid[1]}
    assert viewer["seen"] == [0, 0, 720, 120]
    assert all(shown.values.shape == grid for shown in viewer.maps.values())


def test_a_panorama_too_long_to_be_shown_whole_is_cropped_with_one_sentence(open_page, examples):
    page = upload(open_page(MAPS, framing="whole", size="640"), encode(examples["coffee"].resize((840, 120))))
    (sentence,) = notices(page)
    assert is_plain_sentence(sentence)
    assert page.query_params["framing"] == "crop"
    assert viewers(page)["grid"]["grid"] == {"rows": 20, "columns": 20}


def test_a_panorama_that_fits_at_the_chosen_size_alone_is_shown(open_page, examples):
    # Whole at 96 px it is 96 x 9600 px; at the network's own 224 px it would be more than is allowed.
    page = upload(open_page(framing="whole", size="96"), encode(examples["coffee"].resize((2000, 20))))
    assert not page.exception
    assert page.query_params["framing"] == "whole"
    assert viewers(page)["evidence"]["grid"] == {"rows": 3, "columns": 300}


@pytest.mark.parametrize(("path", "colour"), [
    *((path, "black") for path in VIEWER), (EXPLORE, "white"), (POOLS, (118, 118, 118))])
def test_a_photo_of_one_colour_is_shown_with_its_numbers(path, colour, open_page, measured):
    photo = Image.new("RGB", (64, 48), colour)
    page, seen = upload(open_page(path), encode(photo)), measured(photo)
    first = seen.best(1)[0]
    assert not page.exception
    assert page.query_params["class"] == str(first)
    shown = next(iter(viewers(page)[VIEWER[path]].maps.values()))
    expected = seen.maps[int(shown.id.partition(".")[2])] if path == CHANNELS else seen.cells(first)
    if path == WHY:  # against the runner-up
        expected = expected - seen.cells(seen.best(2)[1])
    np.testing.assert_allclose(shown.values, expected, atol=2e-5 + shown.step)


# Other networks.


def tiny_pages(open_page):
    for path in PAGES:
        page = open_page(path)
        assert not page.exception, path
        everything(page)  # JSON that a browser can read
        yield path, page
    yield "cams", open_page(MAPS, maps="cams", methods="grad_cam,eigen_cam")
    yield "votes", open_page(MAPS, maps="votes")


def test_one_position_and_one_channel_are_enough(open_page, put, make_network):
    put(analysis_of(make_network(linear([[2.0], [1.0]], [0.0, 0.5]), 2, channels=1), torch.tensor([[[3.0]]])))
    for path, page in tiny_pages(open_page):
        assert not page.exception, path
        assert notices(page) == [], path
    page = open_page(EXPLORE)
    share = softmax(np.array([2 * 3, 1 * 3 + 0.5]))[0]
    assert boards(page)["headline"].one("h1").text == f"Prediction: class 0, {percent(share)}."
    assert viewers(page)["evidence"].chosen.lines == ["logit 6.00 = 0.00 baseline + 6.00 evidence"]
    assert viewers(page)["evidence"].chosen.values.tolist() == [[6.0]]


def test_a_network_of_one_class_is_shown_without_a_runner_up(open_page, put, make_network):
    put(analysis_of(make_network(linear([[1.0, -1.0]], [0.25]), 1, channels=2), torch.ones(2, 2, 2)))
    for path, page in tiny_pages(open_page):
        assert not page.exception, path
    assert "Runner-up" not in boards(open_page(EXPLORE))["headline"].text
    assert viewers(open_page(EXPLORE))["evidence"].chosen.lines[0] == "logit 0.25 = 0.25 baseline + 0.00 evidence"


def test_a_head_that_is_not_affine_is_integrated_and_the_badge_says_so(open_page, put, make_network, examples):
    torch.manual_seed(2)
    head = nn.Sequential(nn.Linear(5, 6), nn.Hardswish(), nn.Linear(6, 4))
    analysis = analyse(make_network(head), examples["cat"], "crop", 96)
    put(analysis)
    for path, page in tiny_pages(open_page):
        assert not page.exception, path
    page = open_page(EXPLORE)
    shown = viewers(page)["evidence"].chosen
    with torch.no_grad():
        logits, empty = head(analysis.feature_maps.mean((1, 2))[None])[0], head(torch.zeros(1, 5))[0]
    first = int(logits.argmax())
    assert page.query_params["class"] == str(first)
    assert shown.badge.startswith("integrated, residual ")
    assert shown.values.sum() + float(empty[first]) == pytest.approx(float(logits[first]), abs=0.01)
    assert shown.lines[0].startswith(f"logit {plain(float(logits[first]))} = {plain(float(empty[first]))} baseline + ")


def test_a_class_name_is_text_and_never_markup(open_page, put, make_network):
    hostile = "<img src=x onerror=alert(1)> **bold** $x$ %{y}"
    network = make_network(linear([[1.0, 2.0], [0.0, 0.0]], [0.0, 0.0]), 2)
    object.__setattr__(network, "class_names", (hostile, "other"))
    put(analysis_of(network, torch.ones(2, 2, 2)))
    for path, page in tiny_pages(open_page):
        assert not page.exception, path
        for kind in ("markdown", "html", "title", "caption"):
            assert not any("<img" in str(item.value) for item in page.get(kind)), path
        for item in page.get("plotly_chart"):
            assert "<img" not in item.proto.spec, path
            assert "%{y} " not in json.dumps(json.loads(item.proto.spec)["data"]), path
    assert viewers(open_page(EXPLORE))["evidence"].chosen.facets[0] == hostile


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_said_on_every_page_and_break_none(bad, open_page, put, make_network):
    maps = torch.ones(2, 3, 3)
    maps[0, 1, 2] = bad
    put(analysis_of(make_network(linear([[1.0, 2.0], [0.0, 1.0]], [0.0, 0.0]), 2), maps))
    for path, page in tiny_pages(open_page):
        assert not page.exception, path
        assert [sentence for sentence in notices(page) if "NaN or infinite" in sentence], path
        everything(page)
        page.run()
        assert [sentence for sentence in notices(page) if "NaN or infinite" in sentence], "as long as it is so"


def test_maps_of_nothing_but_zeros_leave_the_baseline(open_page, put, make_network):
    put(analysis_of(make_network(linear([[1.0, 2.0], [0.0, 1.0]], [0.75, 0.0]), 2), torch.zeros(2, 3, 3)))
    for path, page in tiny_pages(open_page):
        assert not page.exception, path
        assert notices(page) == [], path
    page = open_page(EXPLORE)
    assert viewers(page)["evidence"].chosen.lines[0] == "logit 0.75 = 0.75 baseline + 0.00 evidence"
    assert not viewers(page)["evidence"].chosen.values.any()
    looks = viewers(open_page(POOLS))["looks"].maps
    assert looks["looks.gap"].values.sum() == pytest.approx(1)
