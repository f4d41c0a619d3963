"""A recipe repeats an analysis to the last digit, and says in one sentence why it cannot."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from explorer import POOLINGS, ExplorerError, analyse, load_network, read_image
from explorer.errors import ParameterError
from explorer.export.recipe import MAX_BYTES, RecipeError, read_recipe, recipe, recipe_json, repeat
from explorer.export.record import record_json
from explorer.framing import FRAMINGS
from explorer.poolings import parse_pooling

REPOSITORY = Path(__file__).resolve().parents[2]
ROCKET = REPOSITORY / "assets" / "examples" / "rocket.jpg"
MISSILE = 657


@pytest.fixture(scope="module")
def rocket(network, examples):
    return analyse(network, examples["rocket"], framing="whole", short_side=160)


@pytest.fixture(scope="module")
def written(rocket) -> dict:
    return recipe(rocket.under("gem", p=2.3456789012345), MISSILE, calibrated=True)


def changed(document: dict, name: str, value: object) -> dict:
    """A copy with another value at a dotted name."""
    copy = deepcopy(document)
    *path, last = name.split(".")
    holder = copy
    for part in path:
        holder = holder[part]
    holder[last] = value
    return copy


def without(document: dict, name: str) -> dict:
    copy = changed(document, name, None)
    *path, last = name.split(".")
    holder = copy
    for part in path:
        holder = holder[part]
    del holder[last]
    return copy


def refusal(source: object) -> str:
    with pytest.raises(ParameterError) as caught:
        read_recipe(source)
    sentence = str(caught.value)
    assert isinstance(caught.value, ExplorerError)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


def test_a_recipe_has_what_repeats_the_analysis_and_its_numbers(rocket, written):
    assert written["format"] == 1
    assert written["network"] == {"name": "efficientnet_lite0", "sha256": rocket.network.digest}
    assert (written["image"]["width"], written["image"]["height"]) == (640, 427)
    assert written["framing"] == {"kind": "whole", "short_side": 160}
    assert written["pooling"] == "gem:p=2.3456789012345"
    assert written["class_index"] == MISSILE
    assert written["calibrated"] is True
    assert set(written["versions"]) == {"poolscope", "torch", "timm", "python"}
    maps, head = rocket.feature_maps.double(), rocket.network.head
    p = 2.3456789012345
    logits = head.weight.double() @ maps.pow(p).mean((1, 2)).pow(1 / p) + head.bias.double()
    numbers = written["numbers"]
    assert numbers["logit"] == pytest.approx(float(logits[MISSILE]), abs=1e-4)
    total = numbers["baseline"] + math.fsum(map(math.fsum, numbers["cells"]))
    assert total == pytest.approx(numbers["logit"], abs=1e-4)
    assert [answer["class_index"] for answer in numbers["top"]] == logits.topk(5).indices.tolist()
    assert [answer["logit"] for answer in numbers["top"]] == pytest.approx(logits.topk(5).values.tolist(), abs=1e-3)


def test_writing_and_reading_change_nothing(written, tmp_path):
    text = recipe_json(written)
    file = tmp_path / "recipe.json"
    file.write_text(text)
    assert json.loads(text) == written
    for source in (text, f"\n {text}", text.encode(), b"\xef\xbb\xbf" + text.encode(), file, str(file)):
        assert read_recipe(source) == written


def test_the_record_of_the_numbers_is_a_recipe_too(rocket):
    outcome = rocket.under("topk", share=0.1)
    record = record_json(outcome, MISSILE)
    assert json.loads(record)["class"]["name"] == "missile"
    assert read_recipe(record) == recipe(outcome, MISSILE)


@pytest.mark.parametrize(("framing", "short_side"), [
    ("crop", None), ("crop", 97), ("whole", None), ("whole", 130), ("squash", 160),
])
def test_every_framing_and_size_repeats_exactly(network, examples, framing, short_side):
    for name in ("rocket", "cat"):
        photo = examples[name]
        for image in (photo, photo.rotate(90, expand=True)):
            once = analyse(network, image, framing, short_side)
            again = repeat(recipe(once.under(), MISSILE), network, image)
            assert again.outcome.analysis.framing == once.framing
            assert again.differences == (0, 0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_repeats_exactly(rocket, network, examples, pooling):
    known = POOLINGS[pooling].parameter
    odd = {known.name: known.low + (known.high - known.low) / 7} if known else {}
    outcome = rocket.under(pooling, **odd)
    again = repeat(read_recipe(recipe_json(recipe(outcome, MISSILE))), network, examples["rocket"])
    assert again.outcome.parameters == outcome.parameters
    assert again.class_index == MISSILE
    assert again.calibrated is False
    assert again.differences == (0, 0)
    assert torch.equal(again.outcome.logits, outcome.logits)


@pytest.mark.parametrize("value", [1.0, 3.0, 1 / 3 + 1, 1.0000001, math.pi, 99.999999999999])
def test_a_pooling_is_written_short_and_read_back_to_the_last_digit(value):
    written = POOLINGS["gem"].written(p=value)
    assert parse_pooling(written) == ("gem", {"p": value})
    assert POOLINGS["gem"].written(p=3) == "gem:p=3"
    assert POOLINGS["topk"].written(share=0.1) == "topk:share=0.1"


def test_another_process_repeats_a_recipe_from_its_file(written, tmp_path):
    (tmp_path / "recipe.json").write_text(recipe_json(written))
    script = (
        "import sys; from explorer import load_network, read_image\n"
         "from explorer.export.recipe import read_recipe, repeat\n"
        "recipe = read_recipe(sys.argv[1])\n"
        "print(*repeat(recipe, load_network(recipe['network']['name']), read_image(sys.argv[2])).differences)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, "recipe.json", str(ROCKET)], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, timeout=120, check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert max(map(float, finished.stdout.split())) < 1e-4  # there with as many threads as it likes


def test_differences_are_the_largest_ones_in_either_direction(written, network, examples):
    other = deepcopy(written)
    other["numbers"]["top"][4]["logit"] += 0.5
    other["numbers"]["cells"][2][3] -= 0.25
    differences = repeat(other, network, examples["rocket"]).differences
    assert differences.logits == pytest.approx(0.5)
    assert differences.cells == pytest.approx(0.25)


def test_another_photo_or_network_is_refused_in_one_sentence(written, network, examples):
    with pytest.raises(RecipeError, match=r"another photo: .* 451 x 300, .*, expected \w{12}\.\.\. of 640 x 427\.$"):
        repeat(written, network, examples["cat"])
    one_pixel = examples["rocket"].copy()
    one_pixel.putpixel((5, 5), (1, 2, 3))
    with pytest.raises(RecipeError, match="another photo"):
        repeat(written, network, one_pixel)
    with pytest.raises(RecipeError, match=r"another network: .* has sha256 000000000000\.\.\., expected 5647cc94b3e8"):
        repeat(written, replace(network, digest="0" * 64), examples["rocket"])


def test_a_photo_in_another_file_or_mode_is_the_same_photo(written, network, tmp_path):
    photo = read_image(ROCKET)
    photo.save(tmp_path / "photo.png")
    assert repeat(written, network, read_image(tmp_path / "photo.png")).differences == (0, 0)
    assert repeat(written, network, photo.convert("RGBA")).differences == (0, 0)


@pytest.mark.parametrize(("name", "value", "words"), [
    ("class_index", 1000, "0 to 999"),
    ("numbers.top", [{"class_index": 5000, "logit": 1.0}], "0 to 999"),
    ("numbers.cells", [[1.0]], "1 x 1 positions; expected 5 x 7"),
])
def test_a_recipe_that_does_not_fit_the_network_is_refused(written, network, examples, name, value, words):
    with pytest.raises(ExplorerError, match=words):
        repeat(read_recipe(json.dumps(changed(written, name, value))), network, examples["rocket"])


def test_the_network_of_a_recipe_may_be_unknown_here(written):
    name = read_recipe(json.dumps(changed(written, "network.name", "no_such_network")))["network"]["name"]
    with pytest.raises(ExplorerError, match="no network 'no_such_network'"):
        load_network(name)


@pytest.mark.parametrize(("source", "words"), [
    ("{", "not JSON"),
    (b"", "not JSON"),
    (b"\xff\xfe\x00", "not JSON"),
    ("[1, 2]", "no 'format'"),
    ("{}", "no 'format'"),
    ('{"recipe": 5}', "no 'format'"),
    ('{"format": 2}', "'format' is 2; expected 1"),
    ('{"format": true}', "'format' is True; expected 1"),
    ('{"format": 1}', "no 'network'"),
    ('{"format": ' + "9" * 5000 + "}", "not JSON"),
    ("[" * 200_000, "not JSON"),
    ('{"format": NaN}', "NaN"),
    (b"{" + b" " * MAX_BYTES, "more than 4 MB"),
    ("nowhere.json", "no recipe at 'nowhere.json'"),
    ("a\0b", "no recipe at"),
    (None, "Expected a path"),
], ids=range(16))
def test_what_is_no_recipe_is_refused_in_one_sentence(source, words):
    assert words in refusal(source)


def test_a_file_that_is_too_large_or_a_folder_is_refused(tmp_path):
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (MAX_BYTES + 1))
    assert "more than 4 MB" in refusal(large)
    assert "no recipe at" in refusal(tmp_path)


@pytest.mark.parametrize(("name", "value", "words"), [
    ("network.name", 5, "text"),
    ("network", [], "a network's name and sha256"),
    ("network.name", "x" * 201, "200 letters"),
    ("network.sha256", "abc", "64 hexadecimal digits"),
    ("image.sha256", "Z" * 64, "64 hexadecimal digits"),
    ("image.width", 0, "from 1"),
    ("image.height", 4.5, "whole number"),
    ("framing.kind", "wide", "crop, whole, squash"),
    ("framing.short_side", 0, "1 to 2048"),
    ("framing.short_side", 2049, "1 to 2048"),
    ("framing.short_side", True, "1 to 2048"),
    ("framing.short_side", "224", "1 to 2048"),
    ("preprocessing.size", 0, "from 1 to 2048"),
    ("preprocessing.std", [0, 1, 1], "above 0"),
    ("preprocessing.mean", None, "three numbers"),
    ("preprocessing", 5, "the numbers of a preprocessing"),
    ("preprocessing", {}, "no 'preprocessing.size'"),
    ("activation", "relu", "softmax, sigmoid, none or given"),
    ("activation", [], "softmax, sigmoid, none or given"),
    ("layer", 5, "text"),
    ("layer", "x" * 201, "200 letters"),
    ("pooling", "max", "no pooling 'max'"),
    ("pooling", "gem:p=0", "from 1 to 100"),
    ("pooling", "gem:p=nan", "from 1 to 100"),
    ("pooling", {"key": "gem"}, "text"),
    ("class_index", -1, "from 0"),
    ("class_index", True, "whole number"),
    ("class_index", 1.0, "whole number"),
    ("calibrated", 1, "true or false"),
    ("calibrated", "yes", "true or false"),
    ("versions", "1.0", "names and versions"),
    ("versions.torch", 2, "text"),
    ("numbers.logit", "4", "a number or null"),
    ("numbers.logit", True, "a number or null"),
    ("numbers.baseline", 10**400, "a number or null"),
    ("numbers.cells", [], "rows of numbers"),
    ("numbers.cells", [[]], "1 to 1024 numbers"),
    ("numbers.cells", [[1.0], [1.0, 2.0]], "rows of one length"),
    ("numbers.cells", [[1.0, "x"]], "a number or null"),
    ("numbers.cells", [[0.0]] * 1025, "1 to 1024 rows"),
    ("numbers.top", {}, "a list of at most 100 logits"),
    ("numbers.top", [5], "a class_index and a logit"),
    ("numbers.top", [{}], "no 'numbers.top.0.class_index'"),
    ("numbers.top", [{"class_index": 1, "logit": []}], "a number or null"),
])
def test_a_field_that_is_not_what_it_should_be_is_named(written, name, value, words):
    assert words in refusal(json.dumps(changed(written, name, value)))


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(written, word):
    text = json.dumps(changed(written, "numbers.logit", 7654321.0)).replace("7654321.0", word)
    assert "number" in refusal(text)


@pytest.mark.parametrize("name", [
    "network.sha256", "image.sha256", "framing", "framing.short_side", "pooling", "class_index", "calibrated",
    "versions", "numbers", "numbers.logit", "numbers.cells", "numbers.top",
])
def test_a_missing_field_is_named(written, name):
    assert f"no '{name}" in refusal(json.dumps(without(written, name)))


def test_fields_that_are_not_known_do_not_matter(written, network, examples):
    read = read_recipe(json.dumps({**written, "colour": "red", "preprocessing": {**written["preprocessing"], "x": 1}}))
    assert repeat(read, network, examples["rocket"]).differences == (0, 0)


def test_a_recipe_from_before_preprocessing_and_layers_could_be_chosen_still_repeats(written, network, examples):
    old = without(without(without(written, "preprocessing"), "activation"), "layer")
    assert repeat(read_recipe(json.dumps(old)), network, examples["rocket"]).differences == (0, 0)


def test_the_framings_that_a_recipe_may_have_are_those_that_there_are(written):
    for kind in FRAMINGS:
        assert read_recipe(json.dumps(changed(written, "framing.kind", kind)))["framing"]["kind"] == kind


def test_a_network_whose_numbers_are_not_finite_has_a_recipe_that_repeats(make_network, examples):
    head = nn.Linear(5, 2)
    nn.init.constant_(head.bias, math.inf)
    tiny = make_network(head, classes=2)
    outcome = analyse(tiny, examples["cat"]).under()
    text = recipe_json(recipe(outcome, 1))
    assert "NaN" not in text
    assert "Infinity" not in text
    read = read_recipe(text)
    assert read["numbers"]["logit"] is None
    assert repeat(read, tiny, examples["cat"]).differences == (0, 0)
    read["numbers"]["logit"] = 1.0
    assert repeat(read, tiny, examples["cat"]).differences.logits == math.inf


def test_a_network_of_one_class_has_one_answer_in_its_recipe(make_network, examples):
    tiny = make_network(classes=1)
    written = recipe(analyse(tiny, examples["cat"]).under("gmp"), 0)
    assert len(written["numbers"]["top"]) == 1
    assert repeat(read_recipe(recipe_json(written)), tiny, examples["cat"]).differences == (0, 0)
