"""`python -m explorer`: a table to read, files to keep, and one sentence for everything that cannot be done."""

from __future__ import annotations

import html
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import squeezenet1_1

from explorer import POOLINGS, __main__
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.wording import percent

REPOSITORY = Path(__file__).resolve().parents[2]
ASTRONAUT = REPOSITORY / "assets" / "examples" / "astronaut.jpg"
GOLDEN_RETRIEVER, FOOTBALL_HELMET = 207, 560
QUICK = ("--size", "96")  # where the numbers do not matter


@pytest.fixture
def run(network, monkeypatch, tmp_path, capsys):
    """Run the command in a fresh folder, on the network that is already loaded: (exit code, stdout, stderr)."""
    monkeypatch.setattr("explorer.terminal.options.load_from_options", lambda _: network)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = __main__.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def refusal(outcome: tuple[int, str, str]) -> str:
    """The one sentence on stderr, after checking that it is all there is."""
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert re.fullmatch(r"[^\n]+\.\n", err), err
    assert "Traceback" not in err
    return err.strip()


def cells_of(out: str) -> list[list[str]]:
    """The lines of the tables as cells: whatever two or more spaces divide."""
    return [re.split(r"\s{2,}", line.strip()) for line in tables_of(out)]


def tables_of(out: str) -> list[str]:
    """The lines of the tables, from below the first empty line to the class's account."""
    lines = out.splitlines()
    return [line for line in lines[3:next(n for n, line in enumerate(lines) if ": probability " in line)] if line]


def test_the_table_shows_the_top_five_under_each_pooling_as_the_record_has_them(run, tmp_path):
    code, out, err = run(ASTRONAUT)
    assert (code, err) == (0, "")
    top = json.loads((tmp_path / "astronaut.json").read_text())["top"]
    assert [item["key"] for item in top] == list(POOLINGS)
    table = cells_of(out)
    for start in range(0, len(table), 8):
        names, labels, _, *rows = table[start:start + 8]
        assert names == [item["name"] for item in top[:len(names)]]
        assert labels == [item["label"] for item in top[:len(names)]]
        for n, row in enumerate(rows):
            answers = [item["classes"][n] for item in top[:len(names)]]
            assert row == [cell for answer in answers
                           for cell in (str(n + 1), answer["name"], percent(answer["probability"]))]
        top = top[len(names):]
    assert top == []


def test_what_ifs_that_are_not_calibrated_are_said_not_to_be(run):
    sentence = "What-ifs have the head's own probabilities, mostly overconfident; --calibrated mends them"
    assert sentence in run(ASTRONAUT)[1]
    assert sentence not in run(ASTRONAUT, "--calibrated")[1]


def test_an_option_of_the_live_page_without_one_and_a_folder_are_one_sentence(run, tmp_path):
    assert refusal(run(ASTRONAUT, "--without-photo")) == "--without-photo is of the live page; expected --live too."
    assert refusal(run(tmp_path)).endswith("; expected one photo, or python -m explorer folder.")


def test_the_table_is_aligned_and_fits_a_terminal(run):
    out = run(ASTRONAUT)[1]
    lines = tables_of(out)
    for start in range(0, len(lines), 8):
        assert len({tuple(match.end() for match in re.finditer("%", line)) for line in lines[start + 3:start + 8]}) == 1
    assert max(map(len, out.splitlines()[1:])) <= 120


def test_where_the_true_class_stands_is_printed_and_in_the_summary(run, tmp_path, network):
    arguments = (ASTRONAUT, *QUICK, "--report", "--pooling", "gmp")
    out = run(*arguments, "--truth", "Golden Retriever")[1]
    with np.load(tmp_path / "astronaut_arrays.npz") as arrays:
        logits = arrays["logits"].astype(np.float64)
    rank, behind = 1 + int((logits > logits[GOLDEN_RETRIEVER]).sum()), logits.max() - logits[GOLDEN_RETRIEVER]
    share = np.exp(-behind) / np.exp(logits - logits.max()).sum()
    sentence = (f"True class: golden retriever, rank {rank} ({percent(share)}, logit {logits[GOLDEN_RETRIEVER]:.2f}), "
                f"{behind:.2f} logits behind {network.class_names[int(logits.argmax())]}.")
    assert sentence in out.splitlines()
    assert html.escape(sentence).replace("-", "−") in (tmp_path / "astronaut_report.html").read_text()
    assert "True class" not in run(*arguments)[1]
    assert "near it: golden retriever (207)" in refusal(run(ASTRONAUT, *QUICK, "--truth", "golden retriver"))


def test_the_native_pooling_and_the_what_ifs_are_marked(run):
    for options, label in (((), "what-if"), (("--calibrated",), r"what-if, calibrated × 0\.\d\d".replace("×", "x"))):
        labels = [cell for row in cells_of(run(ASTRONAUT, *QUICK, *options)[1]) for cell in row
                  if cell.startswith(("native", "what-if"))]
        assert labels[0] == "native"
        assert all(re.fullmatch(label, cell) for cell in labels[1:])
        assert len(labels) == 8


def test_three_files_are_written_and_named_on_the_last_lines(run, tmp_path):
    out = run(ASTRONAUT)[1]
    names = {"astronaut_overlay.png", "astronaut_arrays.npz", "astronaut.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert {line.removeprefix("Wrote ") for line in out.splitlines() if line.startswith("Wrote ")} == names
    assert Image.open(tmp_path / "astronaut_overlay.png").size == (512, 512)
    with np.load(tmp_path / "astronaut_arrays.npz", allow_pickle=False) as arrays:
        assert arrays["feature_maps"].shape == (1280, 7, 7)
        assert arrays["class_index"] == FOOTBALL_HELMET


def test_the_options_reach_the_computation(run, tmp_path):
    code, out, _ = run(ASTRONAUT, "--pooling", "gem:p=4", "--class", GOLDEN_RETRIEVER, "--framing", "whole",
                       "--size", 160, "--calibrated", "--out", tmp_path / "new" / "folder")
    assert code == 0
    record = json.loads((tmp_path / "new" / "folder" / "astronaut.json").read_text())
    assert record["pooling"]["key"] == "gem"
    assert record["pooling"]["parameters"] == {"p": 4}
    assert record["pooling"]["calibrated"] is True
    assert record["class"]["index"] == GOLDEN_RETRIEVER
    assert record["framing"]["kind"] == "whole"
    assert record["framing"]["input_size"] == [160, 160]
    assert "GeM, p = 4" in out
    assert "GeM, p = 3" not in out


def test_the_account_of_the_class_adds_up(run, tmp_path):
    out = run(ASTRONAUT, "--pooling", "gmp", "--class", GOLDEN_RETRIEVER)[1]
    account = out.split("\n\n")[-2]
    assert account.startswith("golden retriever (207) under GMP (what-if): probability ")
    logit, baseline, sign, evidence, kind, residual = re.search(
        r"logit (\S+) = baseline (\S+) ([+-]) evidence (\S+); (exact|integrated), residual (\S+)", account
    ).groups()
    assert float(baseline) + float(sign + evidence) == pytest.approx(float(logit), abs=0.016)
    assert kind == "exact"
    assert abs(float(residual)) < 1e-4
    recorded = json.loads((tmp_path / "astronaut.json").read_text())["class"]
    assert float(logit) == pytest.approx(recorded["logit"], abs=6e-3)


def test_lse_is_said_to_be_integrated(run):
    assert "; integrated, residual " in run(ASTRONAUT, *QUICK, "--pooling", "lse:r=2")[1]


@pytest.mark.parametrize("name", ["golden retriever", "Golden Retriever", "GOLDEN RETRIEVER", "207"])
def test_a_class_is_found_by_index_by_name_and_in_other_capitals(run, name):
    assert "golden retriever (207) under GAP (native)" in run(ASTRONAUT, *QUICK, "--class", name)[1]


def test_an_exact_name_wins_over_one_in_other_capitals(run):
    assert "\ncardigan (474) under" in run(ASTRONAUT, *QUICK, "--class", "cardigan")[1]
    assert "\nCardigan (264) under" in run(ASTRONAUT, *QUICK, "--class", "Cardigan")[1]


def test_a_name_that_means_two_classes_is_answered_with_both(run):
    sentence = refusal(run(ASTRONAUT, "--class", "CARDIGAN"))
    assert "Cardigan (264)" in sentence
    assert "cardigan (474)" in sentence


@pytest.mark.parametrize(("wrong", "near"), [
    ("cat", "tiger cat (282)"), ("goldn retriver", "golden retriever (207)"), ("espreso", "espresso (967)"),
])
def test_a_class_that_does_not_exist_is_answered_with_up_to_five_near_ones(run, wrong, near):
    sentence = refusal(run(ASTRONAUT, "--class", wrong))
    assert near in sentence
    assert 1 <= len(re.findall(r"\(\d+\)", sentence)) <= 5


@pytest.mark.parametrize(("arguments", "words"), [
    (["--class", "qqqqqqqq"], "no class called 'qqqqqqqq'"),
    (["--class", ""], "no class called ''"),
    (["--class", "1000"], "0 to 999"),
    (["--class", "-1"], "0 to 999"),
    (["--class", "9" * 5000], "no class called '999"),
    (["--pooling", "max"], "no pooling 'max'"),
    (["--pooling", ""], "no pooling ''"),
    (["--pooling", "gem:p=0.5"], "from 1 to 100"),
    (["--pooling", "gem:p=nan"], "from 1 to 100"),
    (["--pooling", "gem:r=2"], "expected p"),
    (["--pooling", "gem:4"], "gem:p=4"),
    (["--pooling", "gem:"], "gem:p=4"),
    (["--pooling", "gmp:p=2"], "no parameter"),
    (["--framing", "wide"], "crop, whole, squash"),
    (["--size", "20"], "96 to 640"),
    (["--size", "big"], "whole number"),
    (["--size", "1e3"], "whole number"),
    (["--colour"], "--colour"),
    (["--out"], "--out"),
    (["second.jpg"], "second.jpg"),
])
def test_a_wrong_option_is_answered_with_one_sentence(run, tmp_path, arguments, words):
    assert words in refusal(run(ASTRONAUT, *arguments))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_photo_is_answered_with_one_sentence(run):
    assert "photo" in refusal(run())
    assert "nowhere.jpg" in refusal(run("nowhere.jpg"))


def test_a_network_that_is_not_bundled_is_answered_with_those_that_are(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    code = __main__.main([str(ASTRONAUT), "--network", "resnet50"])
    out, err = capsys.readouterr()
    assert "efficientnet_lite0" in refusal((code, out, err))


def test_a_file_that_is_no_photo_is_answered_with_one_sentence(run, tmp_path):
    (tmp_path / "note.jpg").write_text("not a photo")
    (tmp_path / "cut.jpg").write_bytes(ASTRONAUT.read_bytes()[:5000])
    assert "photo" in refusal(run("note.jpg"))
    assert "photo" in refusal(run("cut.jpg"))
    assert "photo" in refusal(run(tmp_path))


def test_a_folder_that_cannot_be_written_is_answered_with_one_sentence(run, tmp_path):
    (tmp_path / "taken").write_text("a file")
    assert "taken" in refusal(run(ASTRONAUT, *QUICK, "--out", tmp_path / "taken"))
    assert "taken" in refusal(run(ASTRONAUT, *QUICK, "--out", tmp_path / "taken" / "below"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_answered_with_one_sentence(run, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "closed" in refusal(run(ASTRONAUT, *QUICK, "--out", tmp_path / "closed"))


def test_the_photo_itself_is_never_replaced(run, tmp_path):
    photo = tmp_path / "astronaut.json"
    photo.write_bytes(ASTRONAUT.read_bytes())
    assert "replace" in refusal(run(photo, *QUICK))
    assert photo.read_bytes() == ASTRONAUT.read_bytes()


@pytest.mark.parametrize("name", [
    "two words.jpg", "<b>bold & 100%s{0}<b>.jpg", "naïve 猫.jpg", "no ending", "a.b.c.jpg", ".hidden",
    "line\nbreak\x1b[31m.jpg",
])
def test_a_photo_with_an_odd_name_is_written_beside_it_under_its_stem(run, tmp_path, name):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / name).write_bytes(ASTRONAUT.read_bytes())
    code, out, _ = run(folder / name, *QUICK, "--out", folder)
    assert code == 0
    stem = Path(name).stem
    assert {path.name for path in folder.iterdir()} == {
        name, f"{stem}_overlay.png", f"{stem}_arrays.npz", f"{stem}.json",
    }
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2 + 1 + 8 * 3 + 2 + 1 + 3 + 1 + 3


def test_letters_that_the_terminal_lacks_are_escaped(run, tmp_path, monkeypatch):
    (tmp_path / "猫.jpg").write_bytes(ASTRONAUT.read_bytes())
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run("猫.jpg", *QUICK)[0] == 0
    assert b"\\u732b.jpg: 512 x 512 px" in terminal.buffer.getvalue()


RECIPE = ("--pooling", "gem:p=2.3456789", "--class", GOLDEN_RETRIEVER, "--framing", "whole", "--size", "130",
          "--calibrated", "--out", "first")


def test_a_record_repeats_as_a_recipe_with_the_same_table_and_files(run, tmp_path):
    _, first, _ = run(ASTRONAUT, *RECIPE)
    code, again, err = run(ASTRONAUT, "--recipe", "first/astronaut.json", "--out", "again")
    assert (code, err) == (0, "")
    lines = again.replace("again/", "first/").splitlines()
    lines.remove("Repeats the recipe: largest difference 0 logits")
    assert lines == first.splitlines()
    for ending in ("_overlay.png", "_arrays.npz", ".json"):
        name = f"astronaut{ending}"
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_recipe_whose_numbers_differ_says_so_and_with_which_versions(run, tmp_path):
    run(ASTRONAUT, *QUICK)
    record = json.loads((tmp_path / "astronaut.json").read_text())
    record["recipe"]["numbers"]["cells"][0][0] += 0.5
    record["recipe"]["versions"]["torch"] = "1.0\x1b[31m"
    (tmp_path / "other.json").write_text(json.dumps(record["recipe"]))
    code, out, _ = run(ASTRONAUT, "--recipe", "other.json")
    assert code == 0
    (line,) = (line for line in out.splitlines() if "recipe" in line)
    assert line.startswith("Differs from the recipe: largest difference 0.5 logits (made with torch 1.0?[31m, timm ")
    assert f"; here torch {torch.__version__}, " in line


def test_a_recipe_of_another_photo_or_network_is_answered_with_one_sentence(run, tmp_path, monkeypatch, network):
    run(ASTRONAUT, *QUICK)
    assert "another photo" in refusal(run(ASTRONAUT.with_name("cat.jpg"), "--recipe", "astronaut.json"))
    assert not (tmp_path / "cat.json").exists()
    monkeypatch.setattr("explorer.terminal.options.load_from_options", lambda _: replace(network, digest="f" * 64))
    sentence = refusal(run(ASTRONAUT, "--recipe", "astronaut.json", "--out", "again"))
    assert "another network" in sentence
    assert "expected 5647cc94b3e8" in sentence


def test_a_recipe_of_an_unknown_network_is_answered_with_those_that_are_known(run, tmp_path, monkeypatch):
    run(ASTRONAUT, *QUICK)
    record = json.loads((tmp_path / "astronaut.json").read_text())
    record["recipe"]["network"]["name"] = "resnet50"
    (tmp_path / "other.json").write_text(json.dumps(record))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert "efficientnet_lite0" in refusal(run(ASTRONAUT, "--recipe", "other.json"))


def test_what_is_no_recipe_is_answered_with_one_sentence(run, tmp_path):
    (tmp_path / "note.json").write_text("not JSON")
    assert "not JSON" in refusal(run(ASTRONAUT, "--recipe", "note.json"))
    assert "no recipe at 'nowhere.json'" in refusal(run(ASTRONAUT, "--recipe", "nowhere.json"))
    assert "no recipe" in refusal(run(ASTRONAUT, "--recipe", ""))
    assert "no recipe at '{}'" in refusal(run(ASTRONAUT, "--recipe", "{}"))


@pytest.mark.parametrize("option", [
    ("--pooling", "gmp"), ("--class", "1"), ("--framing", "crop"), ("--size", "224"),
    ("--network", "efficientnet_lite0"), ("--calibrated",), ("--change", "k1x0"),
])
def test_a_recipe_and_what_it_fixes_are_not_given_together(run, option):
    run(ASTRONAUT, *QUICK)
    sentence = refusal(run(ASTRONAUT, "--recipe", "astronaut.json", "--out", "again", *option))
    assert f"leave out {option[0]}, or --recipe" in sentence


def test_a_recipe_of_a_file_asks_for_the_file_and_repeats_with_it(tmp_path, monkeypatch, capsys):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = squeezenet1_1(num_classes=3)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, tmp_path / "my.safetensors")
    (tmp_path / "classes.txt").write_text("daisy\nrose\ntulip\n")
    monkeypatch.chdir(tmp_path)
    own = ["--network", "squeezenet1_1", "--checkpoint", "my.safetensors", "--classes", "classes.txt"]
    assert __main__.main([str(ASTRONAUT), *own, *QUICK]) == 0
    assert "daisy" in capsys.readouterr().out
    assert __main__.main([str(ASTRONAUT), "--recipe", "astronaut.json", "--out", "again"]) == 2
    assert "--checkpoint" in capsys.readouterr().err
    assert __main__.main([str(ASTRONAUT), "--recipe", "astronaut.json", "--out", "again", *own]) == 0
    assert "Repeats the recipe" in capsys.readouterr().out


def test_the_recipe_itself_is_never_replaced(run, tmp_path):
    run(ASTRONAUT, *QUICK)
    before = (tmp_path / "astronaut.json").read_bytes()
    assert "would replace the recipe" in refusal(run(ASTRONAUT, "--recipe", "astronaut.json"))
    assert (tmp_path / "astronaut.json").read_bytes() == before


def test_a_summary_is_written_when_it_is_asked_for(run, tmp_path):
    code, out, _ = run(ASTRONAUT, *QUICK, "--report", "--class", GOLDEN_RETRIEVER)
    assert code == 0
    assert out.splitlines()[-1] == "Wrote astronaut_report.html"
    text = (tmp_path / "astronaut_report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "golden retriever" in text
    run(ASTRONAUT, "--recipe", "astronaut.json", "--report", "--out", "again")
    assert (tmp_path / "again" / "astronaut_report.html").read_text(encoding="utf-8") == text


def state_of(page: Path) -> dict:
    """What a live page shows first."""
    (text,) = re.findall('id="about">(.*?)</script>', page.read_text(encoding="utf-8"))
    return json.loads(text)["state"]


def test_a_live_page_is_written_beside_the_other_files(run, tmp_path):
    code, out, _ = run(ASTRONAUT, *QUICK, "--live", "--out", "there")
    assert code == 0
    assert out.splitlines()[-1] == "Wrote there/astronaut_live.html"
    assert state_of(tmp_path / "there" / "astronaut_live.html") == {
        "c": None, "pooling": None, "parameter": None, "calibrated": False, "change": ""}


def test_a_live_page_has_a_name_of_its_own_and_begins_with_what_was_chosen(run, tmp_path):
    code, out, _ = run(ASTRONAUT, *QUICK, "--pooling", "gem:p=4", "--class", "golden retriever", "--calibrated",
                       "--without-photo", "--live", "pages/mine.html")
    assert code == 0
    assert out.splitlines()[-1] == "Wrote pages/mine.html"
    page = tmp_path / "pages" / "mine.html"
    assert state_of(page) == {
        "c": GOLDEN_RETRIEVER, "pooling": "gem", "parameter": 4, "calibrated": True, "change": ""}
    assert "image/jpeg" not in page.read_text(encoding="utf-8")


def test_a_recipe_makes_its_live_page(run, tmp_path):
    run(ASTRONAUT, *QUICK, "--pooling", "gmp", "--class", GOLDEN_RETRIEVER)
    code, _, _ = run(ASTRONAUT, "--recipe", "astronaut.json", "--live", "--out", "again")
    assert code == 0
    state = state_of(tmp_path / "again" / "astronaut_live.html")
    assert (state["c"], state["pooling"]) == (GOLDEN_RETRIEVER, "gmp")


def test_a_change_is_what_a_live_page_begins_with_and_its_maps_are_the_unchanged_ones(run, tmp_path):
    maps = []
    for change in ("k684x0_p1.2", ""):
        assert run(ASTRONAUT, *QUICK, *(["--change", change] if change else []), "--live")[0] == 0
        assert state_of(tmp_path / "astronaut_live.html")["change"] == change
        maps += re.findall('"maps":(\\{.*?\\})', (tmp_path / "astronaut_live.html").read_text(encoding="utf-8"))
    assert maps[0] == maps[1]


def test_a_live_page_is_never_written_over_a_photo(run, tmp_path):
    assert "ends in .html, got 'cat.jpg'" in refusal(run(ASTRONAUT, *QUICK, "--live", "cat.jpg"))
    photo = tmp_path / "photo.html"
    photo.write_bytes(ASTRONAUT.read_bytes())
    assert "would replace the photo" in refusal(run(photo, *QUICK, "--live", "photo.html"))
    assert photo.read_bytes() == ASTRONAUT.read_bytes()


def test_numbers_that_are_not_finite_are_written_and_said(run, monkeypatch, make_network):
    head = nn.Linear(5, 2)
    nn.init.constant_(head.weight, float("nan"))
    monkeypatch.setattr("explorer.terminal.options.load_from_options", lambda _: make_network(head, classes=2))
    code, out, err = run(ASTRONAUT, "--class", "1", "--report")
    assert (code, err) == (0, "")
    assert "residual not a number" in out


class TinyBackbone(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x.abs(), 32)


def test_long_wide_and_odd_class_names_break_neither_lines_nor_columns(run, monkeypatch):
    torch.manual_seed(0)
    names = ("a" * 200, "猫" * 30, "line\nbreak\x1b[31m")
    tiny = Network(
        name="tiny", title="Tiny", backbone=TinyBackbone(), pooling=POOLINGS["gap"], class_names=names,
        head=nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3)), preprocessing=Preprocessing(),
        digest="0" * 64, origin="a test",
    )
    monkeypatch.setattr("explorer.terminal.options.load_from_options", lambda _: tiny)
    code, out, _ = run(ASTRONAUT, "--class", "2")
    assert code == 0
    assert "\x1b" not in out
    assert max(len(line) + line.count("猫") for line in out.splitlines()[1:]) <= 120
    rows = [line for line in tables_of(out) if re.match(r"  \d ", line)]
    ends = {tuple(match.end() + line[:match.end()].count("猫") for match in re.finditer("%", line)) for line in rows}
    assert len(ends) <= 4
    assert "integrated" in out


def test_the_help_names_every_pooling_and_option(capsys):
    with pytest.raises(SystemExit) as end:
        __main__.main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for word in (*POOLINGS, "--pooling", "--class", "--framing", "--size", "--network", "--calibrated", "--out",
                 "--recipe", "--report", "gem:p=4", "crop", "whole", "squash"):
        assert word in text


def test_it_runs_as_a_command_from_another_folder(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "explorer", str(ASTRONAUT), "--pooling", "gmp", "--class", "207", "--out", "results"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=120,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "golden retriever (207) under GMP (what-if)" in finished.stdout
    assert {path.name for path in (tmp_path / "results").iterdir()} == {
        "astronaut_overlay.png", "astronaut_arrays.npz", "astronaut.json",
    }
