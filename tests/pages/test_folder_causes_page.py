"""The causes of a class on the page Folder: cards, muting, the photos that would change, and the repaired network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from explorer.folder import scan
from explorer.folder.causes import causes_of
from explorer.folder.channel_names import name_channel
from explorer.folder.contributions import contributions_to
from explorer.folder.exemplars import exemplars, same_cause
from explorer.folder.index import Index
from explorer.folder.muting import STRENGTHS, Muting, answers_of
from explorer.ui.session import open_runs
from explorer.ui.session.arguments import _given
from tests.pages.boards import boards, components, control, decoded, notices
from tests.pages.clicks import pick, use, wait_for
from tests.planted import ROCKET

FOLDER = "pages/5_Folder.py"


def clear() -> None:
    _given.cache_clear()
    open_runs._of_server.clear()


@pytest.fixture
def started(monkeypatch, planted):
    """The app as it was started with the planted run."""
    monkeypatch.setattr("sys.argv", ["app.py", "--run", str(planted.run.path)])
    clear()
    yield
    clear()


@pytest.fixture(scope="module")
def index(planted):
    return Index(planted.run)


@pytest.fixture(scope="module")
def causes(index):
    return causes_of(contributions_to(index, ROCKET))


def open_causes(open_page, **link):
    page = open_page(FOLDER, part="causes", **link)
    wait_for(page, lambda: "causes" in boards(page))
    return page


def test_the_class_that_is_most_often_wrong_is_shown_with_a_card_for_each_cause(started, open_page, causes):
    page = open_causes(open_page)
    assert "Causes of rocket" in boards(page)["causes"].text
    assert "60 photos are called rocket, 30 of them wrong, 30 right." in boards(page)["causes_lead"].text
    cards = boards(page)["causes"].all("ruled")
    assert len(cards) == len(causes.all)
    for n, (card, cause) in enumerate(zip(cards, causes.all, strict=True), 1):
        assert card.text.startswith(f"Cause {n}")
        assert ("more common in wrong photos" in card.text) == cause.suspicious
        photos = [button.pick[1] for button in card.all("button") if button.pick[0] == "photo"]
        strongest = [int(causes.contributions.numbers[place]) for place in cause.strongest[:5]]
        assert photos == [strongest[0], *strongest], "the first one stands before them without its map"
        channels = [button.pick[1] for button in card.all("button") if button.pick[0] == "channel"]
        assert channels == cause.channels[:6].tolist()


def test_a_causes_pictures_are_red_where_its_evidence_is(started, open_page):
    page = open_causes(open_page)
    shot = boards(page)["causes"].all("ruled")[0].all("shot")[1]
    picture = np.asarray(decoded(shot.one("img").attributes["src"]), float)
    red = picture[..., 0] - picture[..., 1:].max(-1)
    assert (red > 30).mean() > 0.05
    assert (picture[..., 2] - picture[..., 0] > 30).mean() < 0.02, "nothing of a positive part is blue"


def test_muting_shows_every_strengths_numbers_and_the_photos_that_would_change(started, open_page, index, causes):
    page = open_causes(open_page)
    pick(page, "causes", ["mute", 0])
    pick(page, "causes", ["mute", 1])
    assert page.query_params["muted"] == "0,1"
    muting = Muting(answers_of(index), np.clip(causes.all[0].shares + causes.all[1].shares, 0, 1), ROCKET)
    slider = components(page, "muting")["muting"]
    assert slider["place"] == slider["suggested"] == muting.suggested
    assert slider["groups"][0]["values"] == pytest.approx(muting.curve["all"].tolist())
    new = muting.predictions(float(STRENGTHS[muting.suggested]))
    changed = np.flatnonzero(new != muting.answers.rows)
    wall = components(page, "photos")["flipped"]
    assert wall["total"] == len(changed)
    captions = wall["sheets"]["0"]["captions"]
    assert sorted(caption[3] for caption in captions) == sorted(
        index.table(muting.answers.numbers[changed], ("path",))["path"].to_pylist())
    assert all(caption[1].startswith("→ ") for caption in captions)
    labels = {row.class_index: row for row in muting.by_class(muting.suggested)}
    assert labels
    assert len(boards(page)["muted_classes"].all("tr")) == 1 + len(labels)
    use(page, "muting", "strength", 20)
    assert page.query_params["strength"] == "20"
    assert components(page, "muting")["muting"]["place"] == 4
    control(page, "everywhere").set_value(True).run()
    assert "for all classes" in boards(page)["muted"].text
    pick(page, "causes", ["mute", 0])
    pick(page, "causes", ["mute", 1])
    assert "muted" not in boards(page)
    assert not page.exception


def test_the_repaired_network_stands_beside_the_original_and_its_files_are_there(started, open_page):
    page = open_causes(open_page, muted="0,1")
    assert [button.label for button in page.get("download_button")] == [
        "Repaired network, .safetensors", "Recipe, JSON", "Report, HTML"]
    page.button(key="use_repaired").click().run()
    assert page.query_params["against"].startswith("file-")
    assert any("second one now" in sentence for sentence in notices(page))
    page.switch_page("app.py").run()
    assert not page.exception
    assert "repaired" in json.dumps([board.text for board in boards(page).values()])


def test_a_link_to_more_causes_than_there_are_mutes_none(started, open_page):
    page = open_causes(open_page, muted="9", parts="3")
    assert "muted" not in boards(page)
    assert len(boards(page)["causes"].all("ruled")) == 3
    assert not page.exception


def test_a_run_in_which_no_class_has_enough_photos_says_so(open_page, monkeypatch, tmp_path, planted):
    few = sorted((planted.run.photos / "cat").glob("*.png"))[:6]
    alone = scan("efficientnet_lite0", few, tmp_path / "run", poolings=[])
    monkeypatch.setattr("sys.argv", ["app.py", "--run", str(alone.path)])
    clear()
    page = open_page(FOLDER, part="causes")
    assert "No class is the prediction of 8 photos or more" in boards(page)["no_causes"].text
    assert not page.exception
    clear()


def wait_for_board(page, name):
    wait_for(page, lambda: name in boards(page))
    assert not page.exception
    return boards(page)[name]


def test_from_a_photo_the_photos_of_the_same_cause_are_one_click_away(started, open_page, index, causes):
    page = open_causes(open_page)
    photo = int(causes.contributions.numbers[int(causes.all[0].strongest[0])])
    pick(page, "causes", ["photo", photo])
    page.switch_page("pages/4_Why.py").run()
    label = index.table([photo], ("label_class",))["label_class"][0].as_py()
    assert page.query_params["truth"] == str(label), "though the network is another one than before"
    shots = wait_for_board(page, "same_cause_photos").all("shot")
    expected = same_cause(index, photo, ROCKET, 6)
    assert [shot.all("button")[0].pick for shot in shots] == [one.number for one in expected]
    assert [shot.text[:4] for shot in shots] == [f"{one.cosine:.2f}" for one in expected]
    before = page.query_params["item"]
    pick(page, "same_cause_photos", expected[0].number)
    assert page.query_params["item"] != before


def test_a_channel_of_a_cause_opens_among_the_feature_maps_with_the_photos_it_contributes_to(
    started, open_page, index, causes
):
    page = open_causes(open_page)
    channel = int(causes.all[0].channels[0])
    pick(page, "causes", ["channel", channel])
    page.switch_page("pages/1_Feature_maps.py").run()
    assert page.query_params["channel"] == str(channel)
    shots = wait_for_board(page, "exemplars").all("shot")
    contributing, silent = exemplars(index, channel, 6)
    assert [shot.all("button")[0].pick for shot in shots] == [one.number for one in [*contributing, *silent]]
    assert shots[0].text.startswith(f"+{contributing[0].contribution:.2f} to ")
    page.text_input(key=f"channel_name_{channel}").set_value("green discs").run()
    assert not page.exception
    page.switch_page(FOLDER).run()
    assert f"{channel} green discs" in [button.text for button in wait_for_board(page, "causes").all("button")]
    name_channel(index.run, channel, "")
