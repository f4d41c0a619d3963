"""What is chosen from a run's rows, in which order, as pictures and as files: by Python's own sorting and pixels."""

from __future__ import annotations

import io
import json
import random
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyarrow import csv

from explorer.errors import ParameterError, RunError
from explorer.export import folder_files
from explorer.export.folder_files import contact_sheet, rows_csv, rows_parquet, summary_html
from explorer.folder import Run, scan
from explorer.folder.fiftyone_dataset import to_fiftyone
from explorer.folder.index import Index, newest_shards
from explorer.folder.sample import CHANGES, draw_sample
from explorer.folder.selection import OUTCOMES, SORTS, Selection
from explorer.folder.sheets import sheet, tile
from explorer.folder.summary import class_pairs, evidence_limit, mean_evidence
from explorer.sections.folder import confusion_matrix
from tests.explorer.test_folder import draw

COUNT = 60


def made_up(number: int, classes: int = 4) -> dict:
    """A row that no photo gave; some have no label, no answer or no evidence."""
    chance = random.Random(int(number))
    row = {"path": f"{number % 7}/{number:03d}.png", "bytes": 1, "modified": 1, "width": 40 + number, "height": 30,
           "brightness": chance.random(), "sharpness": chance.random(), "label": None, "label_class": None}
    if number % 5:
        row |= {"label": "x", "label_class": chance.randrange(classes)}
    if number % 11 == 0:
        return row | {"error": "It is damaged."}
    evidence = [chance.gauss(0, 1) for _ in range(6)]
    row |= {"answer": chance.randrange(classes), "probability": chance.random(), "logit": 1.0,
            "border": chance.random(), "middle": chance.random(), "spread": chance.random(),
            "grid": [2, 3], "evidence": evidence,
            "seen": [0, 0, 40 + number, 30], "label_probability": chance.random(),
            "pooling_classes": [chance.randrange(classes) for _ in range(3)]}
    return row


def written(path, network, rows, per_shard: int = 25) -> Run:
    """A run with these rows and no others."""
    draw(path.parent / "photos", 1)
    run = scan(network, path.parent / "photos", path)
    for shard in run.store.shards():
        shard.unlink()
    for first in range(0, len(rows), per_shard):
        run.store.write(rows[first:first + per_shard])
    return run


@pytest.fixture
def run(tmp_path, make_network) -> Run:
    return written(tmp_path / "run", make_network(), [made_up(number) for number in range(COUNT)])


ORDERS = {
    "wrong": lambda row: -row["probability"] if row["label_class"] not in (None, row["answer"]) else row["probability"],
    "unsure": lambda row: row["probability"],
    "border": lambda row: -row["border"],
    "disagree": lambda row: (-sum(one != row["answer"] for one in row["pooling_classes"]), row["probability"]),
    "spread": lambda row: -row["spread"],
    "narrow": lambda row: row["spread"],
    "dark": lambda row: row["brightness"],
    "blurred": lambda row: row["sharpness"],
    "small": lambda row: row["width"] * row["height"],
    "path": lambda row: 0,
}


@pytest.mark.parametrize("sort", SORTS)
def test_each_order_is_the_one_that_python_sorts_into(sort, run):
    rows = {number: made_up(number) for number in range(COUNT)}
    order = Index(run).select(Selection(sort)).tolist()
    needs_answer = sort in ("wrong", "unsure", "border", "disagree", "spread", "narrow")
    known = [number for number in rows if "answer" in rows[number] or not needs_answer]
    assert order[:len(known)] == sorted(known, key=lambda number: ORDERS[sort](rows[number])), sort
    assert sorted(order) == list(rows), "photos that have no such number come last, and none is lost"


CONDITIONS = {
    "all": lambda row: True,
    "wrong": lambda row: row["label_class"] is not None and "answer" in row and row["answer"] != row["label_class"],
    "right": lambda row: "answer" in row and row["answer"] == row["label_class"],
    "sure_wrong": lambda row: CONDITIONS["wrong"](row) and row["probability"] >= 0.5,
    "unsure_right": lambda row: CONDITIONS["right"](row) and row["probability"] < 0.5,
    "unjudged": lambda row: row["label_class"] is None and "answer" in row,
    "unreadable": lambda row: "error" in row,
}


@pytest.mark.parametrize("outcome", CONDITIONS)
def test_each_outcome_and_class_keeps_the_photos_for_which_it_holds(outcome, run):
    index = Index(run)
    for label, predicted in ((None, None), (2, None), (None, 1), (3, 0)):
        chosen = index.select(Selection("path", outcome, label, predicted)).tolist()
        assert chosen == [number for number in range(COUNT) if CONDITIONS[outcome](row := made_up(number))
                          and label in (None, row["label_class"]) and predicted in (None, row.get("answer"))]
    assert set(CONDITIONS) | {key for key, outcome in OUTCOMES.items() if outcome.of_two} == set(OUTCOMES)


def test_the_full_rows_come_in_the_order_that_was_asked_for_and_a_path_has_its_number(run):
    index, numbers = Index(run), [59, 3, 27, 26, 0]
    assert [row["path"] for row in index.rows(numbers)] == [made_up(number)["path"] for number in numbers]
    np.testing.assert_allclose(index.rows([8])[0]["evidence"], made_up(8)["evidence"], atol=2e-3)
    assert [index.number_of(made_up(number)["path"]) for number in numbers] == numbers
    assert index.number_of("nowhere.png") is None
    assert index.rows([]) == []


def test_an_index_is_of_the_rows_that_there_were_and_more_rows_are_seen_to_have_come(run):
    index, before = Index(run), newest_shards(run)
    run.store.write([made_up(100)])
    assert len(index) == COUNT
    assert newest_shards(run) != before
    assert len(Index(run)) == COUNT + 1


def test_a_run_without_rows_has_no_index(run):
    for shard in run.store.shards():
        shard.unlink()
    with pytest.raises(RunError, match="no rows yet"):
        Index(run)


def test_two_runs_are_compared_photo_by_photo_and_class_by_its_name(run, tmp_path, make_network):
    turned = replace(make_network(seed=1), class_names=("class 3", "class 2", "class 1", "class 0"))
    rows = []
    for number in range(10, COUNT):
        row = made_up(number)
        if "answer" in row:
            row["answer"] = 3 - (row["answer"] ^ 1 if number % 3 == 0 else row["answer"])
        rows.append(row)
    other = written(tmp_path / "b" / "run", turned, rows, 20)
    index = Index(run, other)
    assert len(index) == COUNT, "photos that the other run does not have stay"
    for outcome, holds in {
        "differ": lambda here, there: here != there,
        "mended": lambda here, there, label: here == label != there,
        "broken": lambda here, there, label: there == label != here,
    }.items():
        expected = []
        for number in range(10, COUNT):
            row = made_up(number)
            label = row["label_class"]
            if "answer" not in row or (label is None and outcome != "differ"):
                continue
            here, there = row["answer"], row["answer"] ^ 1 if number % 3 == 0 else row["answer"]
            if holds(here, there) if outcome == "differ" else holds(here, there, label):
                expected.append(number)
        assert index.select(Selection("path", outcome)).tolist() == expected, outcome


def test_an_order_or_outcome_that_does_not_exist_is_refused():
    with pytest.raises(ParameterError, match="order"):
        Selection("best")
    with pytest.raises(ParameterError, match="outcome"):
        Selection(outcome="odd")


# Pictures.


def test_a_tile_is_a_grey_photo_with_its_evidence_where_it_lies_and_a_hatch_where_the_network_saw_nothing(run):
    (run.photos / "wide.png").unlink(missing_ok=True)
    Image.new("RGB", (400, 200), (10, 200, 10)).save(run.photos / "wide.png")
    row = made_up(1) | {"path": "wide.png", "width": 400, "height": 200, "seen": [100, 0, 300, 200], "grid": [2, 2],
                        "evidence": [0, 1, 0, -1], "error": None}
    picture = tile(run, row, 100, limit=1.0)
    pixels = np.asarray(picture, int)
    assert picture.size == (100, 50)
    red, blue = pixels[12, 62], pixels[37, 62]
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60
    assert np.ptp(pixels[12, 37]) <= 2, "no evidence: the photo in grey"
    assert pixels[:, :20].std() > 3, "hatched"
    assert tile(run, row | {"path": "gone.png"}, 100, 1.0).size == (100, 100)
    assert tile(run, row | {"evidence": None}, 100, 1.0).size == (100, 50)


def test_a_sheet_has_each_tile_in_the_middle_of_its_square():
    pictures = [Image.new("RGB", (10, 4), (n, 0, 0)) for n in range(1, 6)]
    whole = np.asarray(sheet(pictures, 10, 3))
    assert whole.shape == (20, 30, 3)
    for n in range(5):
        row, column = divmod(n, 3)
        square = whole[row * 10:row * 10 + 10, column * 10:column * 10 + 10, 0]
        assert (square[3:7] == n + 1).all()
        assert (square[:3] == 255).all()
        assert (square[7:] == 255).all()


def test_the_scale_of_a_wall_ends_where_all_but_one_in_twenty_maps_do(run):
    largest = [max(map(abs, row["evidence"])) for number in range(COUNT) if "evidence" in (row := made_up(number))]
    assert evidence_limit(run) == pytest.approx(np.quantile(largest, 0.95), rel=0.01)


def test_the_mean_map_is_that_of_the_photos_of_the_commonest_grid(run):
    run.store.write([made_up(200) | {"grid": [3, 2]}])
    maps = [row["evidence"] for number in range(COUNT) if "evidence" in (row := made_up(number))
            and row["answer"] == row["label_class"]]
    mean, photos = mean_evidence(run, "answer = label_class")
    assert photos == len(maps)
    np.testing.assert_allclose(mean, np.reshape(np.mean(maps, 0), (2, 3)), atol=2e-3)


# What is said of classes, and files.


def test_the_matrix_counts_each_pair_of_label_and_prediction_and_a_click_asks_for_its_photos(run):
    classes, pairs = class_pairs(Index(run), 4)
    expected = {}
    for number in range(COUNT):
        row = made_up(number)
        if "answer" in row and row["label_class"] is not None:
            key = row["label_class"], row["answer"]
            expected[key] = expected.get(key, 0) + 1
    assert {key: photos for key, photos in expected.items() if set(key) <= set(classes)} == pairs
    names = ("a", "<b>", "c", "d")
    drawn = json.dumps(confusion_matrix(Index(run), names, (0, 1)).data())
    for (label, answer), photos in pairs.items():
        assert f'"pick": ["pair", {label}, {answer}]' in drawn
        assert f"{photos:,} of {names[label]} predicted as {names[answer]}" in drawn


def test_rows_leave_as_csv_and_parquet_in_the_order_of_the_selection(run):
    index = Index(run)
    numbers = index.select(Selection("unsure", "wrong"))
    table = pq.read_table(io.BytesIO(rows_parquet(index, numbers)))
    assert table["path"].to_pylist() == [made_up(number)["path"] for number in numbers]
    assert table.schema.names == pq.read_schema(run.store.shards()[0]).names
    plain = csv.read_csv(io.BytesIO(rows_csv(index, numbers)))
    assert plain["path"].to_pylist() == table["path"].to_pylist()
    assert plain["prediction"].to_pylist() == [f"class {made_up(number)['answer']}" for number in numbers]
    assert plain["true_class"].to_pylist() == [f"class {made_up(number)['label_class']}" for number in numbers]


def test_too_many_rows_for_a_file_are_refused_with_the_way_to_them(run, monkeypatch):
    monkeypatch.setattr(folder_files, "MOST_ROWS", 10)
    with pytest.raises(ParameterError, match="60 rows; expected at most 10"):
        rows_csv(Index(run), np.arange(COUNT))


def test_a_summary_reads_alone_and_names_stay_text(run):
    run.recipe["network"]["class_names"][0] = "<script>alert(1)</script>"
    index = Index(run)
    numbers = index.select(Selection())
    page = summary_html(index, numbers, "60 photos")
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert contact_sheet(index, numbers).width == 10 * 206


# Examples.


def test_the_sample_has_each_example_changed_in_each_way_and_the_unchanged_ones_are_right(tmp_path):
    draw_sample(tmp_path / "photos")
    run = scan("efficientnet_lite0", tmp_path / "photos", tmp_path / "run", poolings=[])
    rows = run.query("SELECT path, answer, label_class FROM rows").to_pylist()
    assert len(rows) == 6 * (1 + len(CHANGES))
    assert all(row["answer"] == row["label_class"] for row in rows if "as it is" in row["path"])
    assert any(row["answer"] != row["label_class"] for row in rows)


# FiftyOne, of which a stand-in keeps what it is given: the package needs a database.


def test_a_dataset_of_fiftyone_has_each_map_over_the_whole_photo_where_it_lies(run, monkeypatch):
    class Dataset(list):
        def __init__(self, name):
            self.name = name

        def add_samples(self, samples):
            self += samples

    monkeypatch.setitem(sys.modules, "fiftyone", SimpleNamespace(
        Dataset=Dataset, **dict.fromkeys(("Sample", "Classification", "Heatmap"), SimpleNamespace)))
    row = made_up(1) | {"path": "z.png", "width": 640, "height": 320, "seen": [160, 0, 480, 320], "answer": 2,
                        "label_class": 2, "label": "two", "grid": [2, 2], "evidence": [1, 2, 3, -4]}
    run.store.write([row])
    dataset = to_fiftyone(run, "mine", "answer = label_class")
    rights = [number for number in range(COUNT) if CONDITIONS["right"](made_up(number))]
    assert (dataset.name, len(dataset)) == ("mine", len(rights) + 1)
    sample = dataset[-1]
    assert sample.filepath == str(run.photos / "z.png")
    assert (sample.prediction.label, sample.ground_truth.label) == ("class 2", "class 2")
    expected = np.zeros((32, 64))
    expected[:16, 16:32], expected[:16, 32:48], expected[16:, 16:32], expected[16:, 32:48] = 1, 2, 3, -4
    np.testing.assert_array_equal(sample.evidence.map, expected)
    assert sample.evidence.range == [-evidence_limit(run), evidence_limit(run)]


def test_without_fiftyone_the_way_to_it_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(RunError, match="pip install fiftyone"):
        to_fiftyone(run, "mine")
