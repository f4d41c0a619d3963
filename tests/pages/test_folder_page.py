"""The page of a folder: what it shows of a run, how its photos are chosen and opened, and what it never opens."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from explorer.errors import ParameterError
from explorer.folder import Run, scan
from explorer.folder.index import Index
from explorer.folder.selection import Selection
from explorer.ui.session import open_runs
from explorer.ui.session.arguments import _given
from explorer.ui.session.choices import Choices
from explorer.ui.session.link import as_query, read
from explorer.ui.session.open_runs import drop_in_folder
from tests.pages.boards import boards, components, control, notices
from tests.pages.clicks import follow, pick, use, wait_for

FOLDER, WHY = "pages/5_Folder.py", "pages/4_Why.py"
EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
LABELS = {"astronaut.jpg": "space shuttle", "cat.jpg": "tiger cat", "coffee.jpg": "espresso", "rocket.jpg": "missile"}


def clear() -> None:
    _given.cache_clear()
    open_runs._of_server.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run over the examples, four of them with a label; the astronaut's is not what the network predicts."""
    where = tmp_path_factory.mktemp("folder")
    shutil.copytree(EXAMPLES, where / "photos")
    scan("efficientnet_lite0", where / "photos", where / "run", LABELS, framing="squash")
    return where


@pytest.fixture
def started(monkeypatch, folder):
    """The app as it was started with that run."""
    monkeypatch.setattr("sys.argv", ["app.py", "--run", str(folder / "run")])
    clear()
    yield
    clear()


@pytest.fixture
def index(folder) -> Index:
    return Index(Run.open(folder / "run"))


@pytest.fixture
def answers(index) -> dict[str, int]:
    """By path, as an outcome has them."""
    return {row["path"]: row["answer"] for row in index.run.query("SELECT path, answer FROM rows").to_pylist()}


def wall(page) -> dict:
    return components(page, "photos")["photo_wall"]


def test_without_a_run_one_click_shows_one_over_the_examples(open_page):
    clear()
    page = open_page(FOLDER)
    assert "python -m explorer folder PHOTOS --out RUN" in boards(page)["folder_how"].text
    page.button(key="try_examples").click().run()
    wait_for(page, lambda: "matrix" in boards(page))
    assert page.query_params["run"] == "examples"
    assert "of 48 photos are wrong" in boards(page)["headline"].text
    assert wall(page)["total"] == 48
    assert not page.exception


def test_a_run_is_shown_in_numbers_that_its_rows_have(started, open_page, index):
    page = open_page(FOLDER)
    rows = index.run.query("SELECT answer, label_class FROM rows WHERE label_class IS NOT NULL").to_pylist()
    wrong = sum(row["answer"] != row["label_class"] for row in rows)
    assert f"{wrong} of 4 photos are wrong" in boards(page)["headline"].text
    assert "accuracy" in boards(page)["glance"].text
    assert wall(page)["total"] == 6
    first = wall(page)["sheets"]["0"]["captions"][0]
    names = index.run.recipe["network"]["class_names"]
    surest = max((row for row in index.run.query("SELECT * FROM rows").to_pylist()
                  if row["label_class"] not in (None, row["answer"])), key=lambda row: row["probability"])
    assert first[0].startswith(names[surest["answer"]])
    assert first[1:3] == [f"label: {names[surest['label_class']]}", True]


def test_a_click_in_the_matrix_or_on_a_class_shows_its_photos_and_a_second_one_shows_all(
    started, open_page, index, answers
):
    page, answer = open_page(FOLDER), answers["astronaut.jpg"]
    shuttle = index.run.recipe["network"]["class_names"].index("space shuttle")
    pick(page, "matrix", ["pair", shuttle, answer])
    assert wall(page)["total"] == 1
    assert (page.query_params["label"], page.query_params["predicted"]) == (str(shuttle), str(answer))
    assert "1 of 1 photos of space shuttle" in boards(page)["sign_off"].text
    pick(page, "matrix", ["pair", shuttle, answer])
    assert wall(page)["total"] == 6
    pick(page, "classes", ["label", shuttle])
    assert wall(page)["total"] == 1
    control(page, "outcome").set_value("right").run()
    assert "No photo is in this selection" in boards(page)["no_photos"].text


def test_a_photo_opens_as_the_run_saw_it_with_its_true_class_and_the_arrows_walk_on(
    started, open_page, index, answers
):
    page = open_page(FOLDER, sort="path")
    names = index.run.recipe["network"]["class_names"]
    use(page, "photo_wall", "photo", 0)
    assert page.query_params["item"] == "astronaut.jpg"
    assert page.query_params["framing"] == "squash"
    assert page.query_params["truth"] == str(names.index("space shuttle"))
    page.switch_page(WHY).run()  # where the browser is by now
    assert "1 of 6, by path" in boards(page)["walk"].text
    assert f"Why {names[answers['astronaut.jpg']]} and not" in boards(page)["headline"].text
    use(page, "walk_keys_source", "walk", -1)
    assert page.query_params["item"] == "astronaut.jpg", "there is none before the first"
    use(page, "walk_keys_source", "walk", 1)
    assert page.query_params["item"] == "cat.jpg"
    assert page.query_params["truth"] == str(names.index("tiger cat"))
    pick(page, "walk", "folder")
    page.switch_page(FOLDER).run()
    assert wall(page)["chosen"] == 1
    assert page.query_params["sort"] == "path"


def test_a_walk_passes_over_photos_that_cannot_be_read_and_says_so(started, open_page, folder):
    page = open_page(WHY, run="run", item="astronaut.jpg", sort="path")
    gone = [folder / "photos" / name for name in ("cat.jpg", "cat_and_coffee.jpg")]
    try:
        for path in gone:
            path.rename(path.with_suffix(".hidden"))
        use(page, "walk_keys_source", "walk", 1)
        assert page.query_params["item"] == "coffee.jpg"
        assert any("2 photos were passed over" in sentence for sentence in notices(page))
        use(page, "walk_keys_source", "walk", -1)
        assert page.query_params["item"] == "astronaut.jpg"
    finally:
        for path in gone:
            path.with_suffix(".hidden").rename(path)


def test_the_selection_is_made_into_a_live_page_in_a_job_and_then_saved(started, open_page):
    page = open_page(FOLDER)
    page.button(key="make_live_page").click().run()
    wait_for(page, lambda: any(button.proto.label == "Save the live page" for button in page.get("download_button")))
    assert not page.exception
    page.selectbox(key=next(box.key for box in page.selectbox if box.label == "Photos")).select("wrong").run()
    assert page.button(key="make_live_page").label == "Live page, HTML"


def test_two_runs_of_one_name_have_titles_that_differ(monkeypatch, open_page, folder, tmp_path):
    shutil.copytree(folder / "run", tmp_path / "run")
    monkeypatch.setattr("sys.argv", ["app.py", "--run", str(folder / "run"), "--run", str(tmp_path / "run")])
    clear()
    page = open_page(FOLDER)
    clear()
    assert len(set(control(page, "run").options)) == len(control(page, "run").options) >= 2
    assert "squash" in control(page, "run").options[0]


def test_a_link_to_a_photo_of_a_run_opens_it_in_a_new_session(started, open_page):
    page = open_page(WHY, run="run", item="cat.jpg", outcome="right", framing="crop")
    assert notices(page) == []
    assert page.query_params["item"] == "cat.jpg"
    assert ", right, sure and wrong first" in boards(page)["walk"].text
    follow(page, {"example": "coffee"})
    assert "walk" not in boards(page)


@pytest.mark.parametrize(("run", "item", "words"), [
    ("run", "../run/run.json", "has no photo"), ("run", "/etc/passwd", "has no photo"), ("other", "cat.jpg", "other")])
def test_a_link_opens_no_photo_that_has_no_row_and_no_run_that_was_not_given(started, open_page, run, item, words):
    page = open_page(WHY, run=run, item=item, **{"class": "3"})
    (sentence,) = notices(page)
    assert words in sentence
    assert page.query_params["example"] == "astronaut", "the last photo stays"
    assert page.query_params["class"] != "3", "a class of a photo that is not here is not shown of another"


def test_a_run_that_the_server_has_not_is_refused_on_its_page(open_page):
    clear()
    page = open_page(FOLDER, run="somewhere")
    assert "“somewhere”" in boards(page)["no_run"].text
    assert not page.exception


def test_a_folder_that_cannot_be_opened_is_one_sentence_and_the_app_goes_on(monkeypatch, open_page, tmp_path):
    monkeypatch.setattr("sys.argv", ["app.py", "--run", str(tmp_path / "nothing")])
    clear()
    page = open_page(FOLDER)
    clear()
    assert "There is no run at" in boards(page)["runs_wrong"].text
    assert page.button(key="try_examples")


def test_a_folder_named_at_the_start_is_scanned_while_the_page_follows(monkeypatch, open_page, folder, tmp_path):
    monkeypatch.setattr("sys.argv", ["app.py", "--folder", str(folder / "photos"), "--run", str(tmp_path / "new")])
    clear()
    page = open_page(FOLDER)
    wait_for(page, lambda: "headline" in boards(page))
    clear()
    assert wall(page)["total"] == 6
    assert len(Index(Run.open(tmp_path / "new"))) == 6


def test_photos_that_are_dropped_in_stay_in_their_folder_whatever_their_names_are(network, tmp_path):
    data, runs = (EXAMPLES / "cat.jpg").read_bytes(), {}
    opened = drop_in_folder(runs, [("pets/cat/1.jpg", data), ("pets/../../../evil.jpg", data), ("/root.jpg", data)],
                            network, "efficientnet_lite0")
    assert list(runs.values()) == [opened]
    end = time.monotonic() + 60
    while not opened.job.ended and time.monotonic() < end:
        time.sleep(0.1)
    assert not opened.job.error
    run = opened.run()
    paths = run.query("SELECT path FROM rows")["path"].to_pylist()
    assert len(paths) == 3
    assert all(".." not in path and (run.photos / path).is_file() for path in paths)
    assert opened.title == "pets"


def test_too_large_a_folder_is_refused_with_the_way_to_open_it(network, monkeypatch):
    monkeypatch.setattr(open_runs, "MOST_DROPPED", 1)
    with pytest.raises(ParameterError, match="start the app with --folder"):
        drop_in_folder({}, [("a.jpg", b"1"), ("b.jpg", b"2")], network, "efficientnet_lite0")


def test_a_selection_is_in_the_link_of_the_folder_and_of_its_photos_and_of_no_other_page():
    chosen = Choices(run="flowers", sort="border", outcome="wrong", label=3, predicted=4)
    for page, item, is_there in (("Folder", "", True), ("Why", "a/b.jpg", True), ("Why", "", False)):
        query = as_query(Choices(**{**vars(chosen), "item": item, "example": "" if item else "cat"}), 0, page)
        assert ("sort" in query) == is_there
        if is_there:
            changes, sentences = read(query, page, Choices())
            assert sentences == []
            assert Choices(**changes).selection == Selection("border", "wrong", 3, 4)
    changes, sentences = read({"sort": "odd", "run": "a/b"}, "Folder", Choices())
    assert len(sentences) == 2
    assert {"sort", "run"}.isdisjoint(changes), "what cannot be read is left as it was"


def test_a_photo_that_is_gone_is_not_opened_and_the_folder_stays(started, open_page, folder):
    hidden = folder / "photos" / "hidden.jpg"
    (folder / "photos" / "cat.jpg").rename(hidden)
    try:
        page = open_page(FOLDER, sort="path")
        use(page, "photo_wall", "photo", 1)
        (sentence,) = notices(page)
        assert "There is no photo at" in sentence
        assert page.query_params["example"] == "astronaut"
        assert wall(page)["total"] == 6
    finally:
        hidden.rename(folder / "photos" / "cat.jpg")
