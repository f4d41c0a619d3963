"""Photos of a run on one live page: the first of those selected, in their order, with the numbers of their rows."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.__main__ import main
from explorer.errors import ImageError, RunError, StoppedError
from explorer.folder import Run, scan
from explorer.folder.index import Index
from explorer.folder.selection import Selection
from explorer.live.run_page import run_page
from explorer.networks.loading.options import Options

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
LABELS = {"astronaut.jpg": "space shuttle", "cat.jpg": "tiger cat", "coffee.jpg": "espresso"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run over the examples and a file that is no photo."""
    where = tmp_path_factory.mktemp("folder")
    shutil.copytree(EXAMPLES, where / "photos")
    (where / "photos" / "broken.jpg").write_bytes(b"no photo")
    (where / "labels.csv").write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in LABELS.items()))
    scan(Options(), where / "photos", where / "run", LABELS, short_side=96)
    return where


@pytest.fixture
def index(folder) -> Index:
    return Index(Run.open(folder / "run"))


def names_of(text: str) -> list[str]:
    (about,) = re.findall('id="about">(.*?)</script>', text)
    return [photo["name"] for photo in json.loads(about)["photos"]]


def paths(index: Index, numbers: np.ndarray) -> list[str]:
    return index.table(numbers, ["path"])["path"].to_pylist()


def test_the_photos_are_in_the_order_of_the_selection(index):
    numbers = index.select(Selection("unsure", "all"))
    made = run_page(index, numbers)
    assert names_of(made.text) == [path for path in paths(index, numbers) if path != "broken.jpg"]
    assert (made.photos, made.left_out) == (6, 1)
    assert names_of(run_page(index, numbers[2:4]).text) == paths(index, numbers[2:4])


def test_they_are_framed_as_in_the_run(index):
    made = run_page(index, index.select(Selection("path", "all")))
    (photo,) = re.findall('id="photo-0">(.*?)</script>', made.text)
    assert json.loads(photo)["input"] == [96, 96]


def test_beyond_24_photos_the_first_are_taken_and_the_others_counted(tmp_path):
    (tmp_path / "photos").mkdir()
    for n in range(26):
        Image.new("RGB", (40, 40), (9 * n, 0, 255 - 9 * n)).save(tmp_path / "photos" / f"{n:02}.png")
    scan("efficientnet_lite0", tmp_path / "photos", tmp_path / "run", short_side=96)
    index = Index(Run.open(tmp_path / "run"))
    made = run_page(index, index.select(Selection("path", "all")))
    assert names_of(made.text) == [f"{n:02}.png" for n in range(24)]
    assert (made.photos, made.left_out) == (24, 2)


def test_nothing_to_show_is_said_in_a_sentence(index):
    with pytest.raises(RunError, match="No photo is selected"):
        run_page(index, np.array([], np.int64))
    with pytest.raises(ImageError):
        run_page(index, np.array([index.number_of("broken.jpg")]))


def test_it_says_how_far_it_is_and_can_be_stopped(index):
    counted: list[tuple[int, int]] = []
    numbers = index.select(Selection("path", "right"))
    run_page(index, numbers, progress=lambda done, total: counted.append((done, total)))
    assert counted == [(n + 1, len(numbers)) for n in range(len(numbers))]
    with pytest.raises(StoppedError):
        run_page(index, numbers, stop=lambda: True)


def test_the_command_writes_the_page_of_its_selection(folder, tmp_path, monkeypatch, capsys, index):
    monkeypatch.chdir(tmp_path)
    arguments = ["folder", str(folder / "photos"), "--out", str(folder / "run"), "--labels", str(folder / "labels.csv"),
                 "--size", "96", "--live", "pages/wrong.html", "--select", "wrong", "--without-photo"]
    assert main(arguments) == 0
    wrong = paths(index, index.select(Selection("wrong", "wrong")))
    assert "astronaut.jpg" in wrong
    text = Path("pages/wrong.html").read_text(encoding="utf-8")
    assert names_of(text) == wrong
    assert "image/jpeg" not in text
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"Wrote pages/wrong.html, with {len(wrong)} photo")
    assert last.endswith("sure and wrong first")


def test_the_command_says_how_many_photos_are_left_out(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["folder", str(folder / "photos"), "--out", str(folder / "run"), "--labels",
                 str(folder / "labels.csv"), "--size", "96", "--live", "all.html", "--sort", "unsure"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Wrote all.html, with 6 photos, least sure first; 1 more was selected, which is past the first 24 or could not "
        "be read")
