"""Heads trained from the Folder page: in the background, in words, and as the network of all pages."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.folder import Run, scan
from explorer.folder.heads import heads_one_by_one
from explorer.heads import Budget
from explorer.sections.heads_on_run import heads_section
from explorer.ui.pages.folder import heads
from explorer.ui.session import cache, open_runs
from explorer.ui.session.arguments import _given
from tests.pages.boards import boards, notices
from tests.pages.clicks import pick, use, wait_for

FOLDER = "pages/5_Folder.py"


def clear() -> None:
    _given.cache_clear()
    open_runs._of_server.clear()
    open_runs._index.clear()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    where = tmp_path_factory.mktemp("heads")
    for place, label in enumerate(("dark", "light")):
        (where / "photos" / label).mkdir(parents=True)
        for number in range(16):
            noise = np.random.default_rng(50 * place + number).integers(0, 60, (96, 110, 3), dtype=np.uint8)
            Image.fromarray(noise + np.uint8(150 * place)).save(where / "photos" / label / f"{number}.png")
    return scan("efficientnet_lite0", where / "photos", where / "run", poolings=[])


@pytest.fixture
def started(monkeypatch, run):
    """The app as it was started with that run; two kinds of heads are trained, quickly."""
    monkeypatch.setattr("sys.argv", ["app.py", "--run", str(run.path)])
    monkeypatch.setattr(heads, "heads_one_by_one", partial(
        heads_one_by_one, kinds=["gap", "gmp", "flatten"], budget=Budget(epochs=10, patience=None, every=5)))
    clear()
    yield
    clear()


def tags_of(node) -> set[str]:
    return {node.tag}.union(*(tags_of(child) for child in node.elements))


def test_the_table_is_of_tags_that_the_page_draws(run):
    board = (Path(open_runs.__file__).parents[1] / "components" / "board.js").read_text(encoding="utf-8")
    drawn = set(re.findall(r'"(\w+)"', board.partition("const TAGS")[2].partition(";")[0]))
    result = heads_one_by_one(run, ["gap"], ["ce"], budget=Budget(epochs=2, patience=None))
    assert tags_of(heads_section(next(result))) <= drawn


def test_a_click_trains_heads_beside_the_page_and_another_one_makes_them_its_network(started, open_page, run):
    page = open_page(FOLDER, part="heads")
    assert "Which pooling for these photos?" in boards(page)["heads_about"].text
    page.button(key="train_heads").click().run()
    assert not page.exception
    pick(page, "truth", 7)  # the page is used meanwhile
    wait_for(page, lambda: "use_heads_ce" in [button.key for button in page.button])
    text = boards(page)["heads"].text
    for words in ("2 labels of photos", "GMP", "Flatten", "one against all", "95% interval"):
        assert words in text
    other = open_page(FOLDER, part="heads")
    assert "heads" in boards(other), "sessions share what was trained"
    page.button(key="use_heads_bce").click().run()
    assert page.query_params["network"].startswith("file-")
    assert any("is the network of all pages now" in sentence for sentence in notices(page))
    page.switch_page("pages/2_Poolings.py").run()
    assert not page.exception
    assert {"light", "dark"} & set(" ".join(drawn.text for drawn in boards(page).values()).split())


def test_the_app_starts_with_a_folder_of_heads_and_shows_a_run_by_it(open_page, run, tmp_path, monkeypatch):
    *_, result = heads_one_by_one(run, ["gap", "gem"], ["bce"], budget=Budget(epochs=5, patience=None))
    folder = str(result.save(tmp_path / "network"))
    again = scan(folder, run.photos, tmp_path / "run", poolings=[])
    monkeypatch.setattr("sys.argv", ["app.py", "--network", folder, "--run", str(again.path)])
    clear()
    try:
        page = open_page()
        assert not page.exception
        assert page.query_params["network"] == "given"
        assert "trained on photos" in " ".join(drawn.text for drawn in boards(page).values())
        page = open_page(FOLDER)
        use(page, "photo_wall", "photo", 0)
        assert page.query_params["network"] == "given"
        assert not page.exception
    finally:
        clear()
        cache.clear()


def test_photos_without_labels_give_a_sentence(started, open_page, tmp_path, monkeypatch, run):
    alone = scan("efficientnet_lite0", run.photos / "dark", tmp_path / "run", poolings=[])
    monkeypatch.setattr("sys.argv", ["app.py", "--run", str(alone.path)])
    clear()
    page = open_page(FOLDER, part="heads")
    page.button(key="train_heads").click().run()
    wait_for(page, lambda: "heads_error" in boards(page))
    assert "no photo with a label; expected at least two labels" in boards(page)["heads_error"].text
    assert not page.exception
