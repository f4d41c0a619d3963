"""The files of `python -m explorer why`: pictures, arrays and a record of what comes out when it is computed again."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer import POOLINGS, analyse
from explorer.networks import Network
from explorer.questions.contrast import contrast, deciding_channels
from explorer.questions.edited_photo import FILLS
from explorer.questions.flip import smallest_flip, smallest_sufficient
from explorer.questions.probe import probe
from explorer.questions.stability import stability
from explorer.questions.stitching import stitched
from tests.explorer.by_hand import (
    AGAINST,
    ASKED,
    CALIBRATION,
    PHOTO,
    ByHand,
    carrying,
    chosen_of,
    deciding_head,
    maps_of,
)
from tests.explorer.why_command import QUICK_FILES, SLOW_FILES, ran, recorded, refusal, started

SEEN = (22, 6, 106, 90)  # px of the photo: the middle square, 0.875 of the short side


@pytest.fixture(autouse=True)
def photo(tmp_path, monkeypatch) -> str:
    """A small photo in a fresh folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    PHOTO.save("photo.png")
    return "photo.png"


@pytest.fixture(scope="module")
def decided(make_network) -> Network:
    """Four classes that differ by some logits, and fitted numbers for two what-ifs."""
    return dataclasses.replace(make_network(deciding_head()), calibration=CALIBRATION)


@pytest.fixture(scope="module")
def whole(decided, tmp_path_factory) -> tuple[str, Path]:
    """All that there is to ask, once: what was printed, and the folder with the files."""
    folder = tmp_path_factory.mktemp("whole")
    PHOTO.save(folder / "photo.png")
    code, out, err = started(decided, "why", folder / "photo.png", "--report", "--out", folder / "out")
    assert (code, err) == (0, "")
    return out, folder / "out"


def test_nothing_is_written_unless_it_is_asked_for(decided, tmp_path):
    assert "Wrote" not in ran(decided, "--quick")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_the_files_are_written_where_they_were_asked_for_and_are_named(decided, whole, tmp_path):
    out, folder = whole
    names = QUICK_FILES | SLOW_FILES | {"photo_why_report.html"}
    assert {path.name for path in folder.iterdir()} == names
    assert {Path(line.removeprefix("Wrote ")).name for line in out.splitlines() if line.startswith("Wrote ")} == names
    assert {Image.open(path).size for path in folder.glob("*.png")} == {PHOTO.size}
    ran(decided, "--quick", "--report")
    assert {path.name for path in tmp_path.iterdir()} == QUICK_FILES | {"photo_why_report.html", "photo.png"}
    ran(decided, "--quick", "--out", "new/below")
    assert {path.name for path in (tmp_path / "new" / "below").iterdir()} == QUICK_FILES


def test_the_report_is_of_the_same_reasons(decided, whole):
    folder = whole[1]
    text = (folder / "photo_why_report.html").read_text(encoding="utf-8")
    record = recorded(folder)
    for sentence in (*record["why"]["summary"], record["why"]["flip"]["sentence"],
                     *(item["sentence"] for item in record["why"]["stability"]["under"])):
        assert sentence in text
    ran(decided, "--quick", "--class", ASKED, "--against", AGAINST, "--report", "--out", "again")
    assert f"Why class {ASKED} and not class {AGAINST}" in Path("again/photo_why_report.html").read_text()


def test_the_overlay_is_reddest_towards_the_class_and_bluest_towards_the_other_one(decided):
    grey = PHOTO.convert("L").convert("RGB")
    grey.save("photo.png")
    ran(decided, "--quick", "--class", 1, "--against", AGAINST, "--framing", "squash", "--out", "out")
    # Of these two what speaks for the class itself lies elsewhere.
    hand = ByHand(decided, maps=maps_of(decided, grey, "squash"))
    apart = hand.apart(1, AGAINST)
    assert np.argmax(apart) != np.argmax(hand.cells(1))
    result = recorded("out")["why"]["contrast"]
    assert result["evidence"] == pytest.approx(sum(apart), abs=1e-4)
    for side, values in (("for_class", apart), ("for_rival", [-value for value in apart])):
        assert result["half"][side]["positions"] == len(carrying(values))
    with Image.open("out/photo_why_overlay.png") as drawn:
        pixels = np.asarray(drawn, float)
    redness = (pixels[..., 0] - pixels[..., 2]).reshape(4, 24, 4, 32).mean((1, 3)).ravel()
    most, least = int(np.argmax(apart)), int(np.argmin(apart))
    assert apart[most] > 0 > apart[least]
    assert (int(redness.argmax()), int(redness.argmin())) == (most, least)
    assert redness[most] > 20 > -20 > redness[least]


def test_the_arrays_add_up_to_the_difference_of_the_two_logits(decided, whole):
    _, folder = whole
    own = ByHand(decided)
    first, second = sorted(range(4), key=lambda index: -own.logits[index])[:2]
    with np.load(folder / "photo_why_arrays.npz", allow_pickle=False) as arrays:
        result = dict(arrays)
    assert (result["class_index"], result["rival"]) == (first, second)
    expected = own.logits[first] - own.logits[second]
    assert result["difference"] == pytest.approx(expected, abs=1e-5)
    for parts in ("cells", "channels"):
        assert result["baseline"] + result[parts].sum() == pytest.approx(expected, abs=1e-4)
    assert result["cells"].ravel().tolist() == pytest.approx(own.apart(first, second), abs=1e-5)
    assert result["poolings"].tolist() == list(POOLINGS)
    for n, key in enumerate(POOLINGS):
        hand = ByHand(decided, key)
        expected = hand.logits[first] - hand.logits[second]
        assert result["differences"][n] == pytest.approx(expected, abs=1e-4)
        assert result["baselines"][n] + result["cells_by_pooling"][n].sum() == pytest.approx(expected, abs=2e-3)
    for n, key in enumerate(("gap", "gmp", "attention")):
        assert result["probabilities"][n, 0] == pytest.approx(ByHand(decided, key).shares()[first], abs=1e-5)
    record = recorded(folder)["why"]
    assert result["probabilities"].shape == (3, 1 + len(record["stability"]["under"][0]["variants"]))
    assert result["stitched"].tolist() == record["stitched"]["cells"]
    assert result["probed"].tolist() == chosen_of(carrying(own.cells(first))).tolist()
    assert result["seen"].tolist() == pytest.approx(list(SEEN), abs=1)  # the resized photo has whole px
    assert result["photo_size"].tolist() == [128, 96]


def test_the_record_is_strict_and_holds_what_a_fresh_computation_gives(decided, whole):
    _, folder = whole
    record = recorded(folder)
    result, outcome = record["why"], analyse(decided, PHOTO).under()
    first, second = (answer.class_index for answer in outcome.top(2))
    assert (record["class"]["index"], result["rival"]["index"]) == (first, second)
    assert result["rival"]["probability"] == pytest.approx(ByHand(decided).shares()[second], abs=1e-6)
    one = contrast(outcome, first, second)
    assert result["contrast"]["cells"] == one.cells.tolist()
    assert result["contrast"]["channels"] == [item._asdict() for item in deciding_channels(outcome, first, second)]
    assert result["contrast"]["evidence"] == pytest.approx(one.cells.sum())
    for side, values in (("for_class", one.cells), ("for_rival", -one.cells)):
        places = carrying(values.ravel().tolist())
        half = result["contrast"]["half"][side]
        assert half is None if not places else (half["positions"], half["of"]) == (len(places), 16)
    for key, item in zip(POOLINGS, result["contrasts"], strict=True):
        other = contrast(outcome.analysis.under(key), first, second)
        assert (item["key"], item["difference"], item["cells"]) == (key, other.difference, other.cells.tolist())
        assert item["baseline"] + item["evidence"] + item["residual"] == pytest.approx(item["difference"])
        assert item["answer"]["index"] == ByHand(decided, key).answer
    chosen = chosen_of(carrying(ByHand(decided).cells(first)))
    part = probe(outcome, first, chosen)
    assert list(result["probe"]["held"].values()) == list(part.held)
    assert result["probe"]["held"]["speaks_for"] == part.held.positive_share
    assert result["probe"]["disagreements"] == [item._asdict() for item in part.disagreements]
    for row, item in zip(result["probe"]["under_each_pooling"], part.rows, strict=True):
        for fill in FILLS:
            assert [answer["logit"] for answer in row["after"][fill]["classes"]] == [
                answer.logit for answer in item.after[fill].classes]
    for name, search in (("flip", smallest_flip), ("sufficient", smallest_sufficient)):
        fresh = search(outcome, first)
        assert result[name]["positions"] == fresh.chosen.astype(int).tolist()
        assert (result[name]["passes"], result[name]["verified"]) == (fresh.passes, True)
    changed = stability([outcome, outcome.analysis.under("gmp"), outcome.analysis.under("attention")], first)
    for item, fresh in zip(result["stability"]["under"], changed.under, strict=True):
        assert [row["logit"] for row in item["variants"]] == [row.logit for row in fresh.rows]
        assert [row["answer"] for row in item["variants"]] == [row.answer for row in fresh.rows]
    assert result["stitched"]["cells"] == stitched(outcome, first, second).cells.tolist()
    assert result["why_not"] == {}


@pytest.mark.parametrize("option", [(), ("--pooling", "gem:p=2.3456789", "--class", "3", "--calibrated")])
def test_the_plain_command_takes_the_record_as_a_recipe(decided, option):
    ran(decided, "--quick", "--out", "first", *option)
    code, out, err = started(decided, "photo.png", "--recipe", "first/photo_why.json", "--out", "again")
    assert (code, err) == (0, "")
    assert "Repeats the recipe: largest difference 0 logits" in out
    again, first = json.loads(Path("again/photo.json").read_text()), recorded("first")
    assert again == {name: value for name, value in first.items() if name != "why"}


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_the_photo_itself_is_never_replaced(decided, tmp_path, link):
    before = Path("photo.png").read_bytes()
    link(tmp_path / "photo.png", tmp_path / "photo_why_without_mean.png")
    assert "would replace the photo" in refusal(started(decided, "why", "photo.png", "--quick", "--out", "."))
    assert Path("photo.png").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "photo_why_without_mean.png"}
