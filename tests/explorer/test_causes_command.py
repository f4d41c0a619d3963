"""`python -m explorer causes` and `mute`: what they print and write for the planted run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from explorer import analyse, load_network, read_image
from explorer.__main__ import main


@pytest.fixture
def run(planted):
    return str(planted.run.path)


def test_causes_are_printed_with_the_photos_that_have_most_of_them(run, planted, capsys):
    assert main(["causes", run, "--class", "rocket", "--parts", "4"]) == 0
    printed = capsys.readouterr().out
    assert "60 photos are called rocket, 30 of them wrong, 30 right." in printed
    first = next(line for line in printed.splitlines() if line.strip().startswith("cause 1"))
    assert set(first.split()[2:]) <= planted.stickers


def test_causes_as_json_hold_what_the_photos_add_up_to(run, capsys):
    assert main(["causes", run, "--class", "rocket", "--against", "cat", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["class"]["name"], record["rival"]["name"]) == ("rocket", "cat")
    assert sum(cause["share"] for cause in record["causes"]) == pytest.approx(1, abs=0.02)
    extra = [cause["extra"] for cause in record["causes"]]
    assert extra == sorted(extra, reverse=True)


def test_a_muted_head_is_written_with_its_recipe_and_report_and_gives_the_numbers_printed(
    run, planted, capsys, tmp_path
):
    out = tmp_path / "repaired.safetensors"
    assert main(["mute", run, "--class", "rocket", "--cause", "1,2", "--json", "--out", str(out)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["after"]["all"] > record["before"]["all"] + 0.1
    recipe = json.loads(out.with_suffix(".json").read_text())
    assert recipe["strength"] == record["strength"] == record["suggested"]
    assert "Before and after" in out.with_suffix(".html").read_text()
    repaired = load_network(out)
    right = [analyse(repaired, read_image(file), "squash").under().top(1)[0].name == file.parent.name
             for file in sorted(planted.run.photos.glob("*/*.png"))]
    assert len(right) == 90
    assert np.mean(right) == pytest.approx(record["after"]["all"])


def test_single_channels_are_muted_for_all_classes(run, capsys):
    assert main(["mute", run, "--class", "rocket", "--channels", "834,40", "--all-classes", "--strength", "100%"]) == 0
    printed = capsys.readouterr().out
    assert "muted by 100%" in printed
    assert "wrong, photos" in printed


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["causes", "--class", "tulip"], "There is no class called 'tulip'"),
    (["causes", "--class", "rocket", "--parts", "40"], "The number of parts is 40; expected 2 to 10."),
    (["mute", "--class", "rocket", "--cause", "12"], "There is no cause 12; expected 1 to"),
    (["mute", "--class", "rocket", "--channels", "5000"], "There is no channel 5000; expected 0 to 1279."),
    (["mute", "--class", "rocket", "--strength", "140"], "Argument --strength: invalid"),
    (["mute", "--class", "rocket", "--strength", "33"], "Argument --strength: invalid"),
    (["mute", "--class", "rocket", "--strength", "50", "--out", "x.txt"], "cannot be written as '.txt'"),
    (["causes", "--class", "rocket", "--against", "rocket"], "are both 'rocket'; expected two classes."),
])
def test_what_does_not_exist_is_refused_in_one_sentence(run, arguments, sentence, capsys):
    assert main([arguments[0], run, *arguments[1:]]) == 2
    assert sentence in capsys.readouterr().err


def test_the_networks_own_checkpoint_is_not_written_over(run, planted, capsys):
    before = planted.checkpoint.read_bytes()
    assert main(["mute", run, "--class", "rocket", "--strength", "50", "--out", str(planted.checkpoint)]) == 2
    assert "would replace the network's own checkpoint" in capsys.readouterr().err
    assert planted.checkpoint.read_bytes() == before
