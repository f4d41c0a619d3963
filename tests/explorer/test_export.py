"""What is written down can be read back, adds up, and lies in the right place."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import POOLINGS, analyse
from explorer.export.arrays import arrays_npz
from explorer.export.pictures import overlay_png
from explorer.export.record import numbers
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.sections.answers import label

TRIPOD, MISSILE = 872, 657
DEEP_RED = np.array([0xB2, 0x18, 0x2B])  # the scale's last colour, the last but one of ColorBrewer's RdBu


@pytest.fixture(scope="module")
def photographer(network, examples):
    return analyse(network, examples["photographer"])


@pytest.fixture(scope="module")
def rocket(network, examples):
    return analyse(network, examples["rocket"], framing="whole", short_side=160)


def read_arrays(outcome, class_index: int) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(arrays_npz(outcome, class_index)), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def as_strict_json(outcome, class_index: int) -> dict:
    """The record after a file of strict JSON, which has no NaN and no Infinity."""
    return json.loads(json.dumps(numbers(outcome, class_index), allow_nan=False))


def gap_evidence(analysis, class_index: int) -> np.ndarray:
    """Of the bundled network, whose head is one Linear: weight times feature maps, over the number of positions."""
    maps = analysis.feature_maps.numpy().astype(np.float64)
    slopes = analysis.network.head.weight[class_index].numpy().astype(np.float64)
    return np.einsum("k,kij->ij", slopes, maps) / maps[0].size


def gmp_evidence(analysis, class_index: int) -> np.ndarray:
    """Each channel's weight times maximum, paid to the position of the maximum."""
    maps, slopes = analysis.feature_maps.numpy(), analysis.network.head.weight[class_index].numpy()
    cells = np.zeros(maps.shape[1:])
    for slope, one in zip(slopes, maps, strict=True):
        at_peak = np.argwhere(one == one.max())
        for i, j in at_peak:
            cells[i, j] += slope * one.max() / len(at_peak)
    return cells


def reddest(picture: Image.Image, box: tuple[int, int, int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """The part of the box, divided evenly, whose middle is most like the scale's red end."""
    pixels = np.asarray(picture, dtype=np.float64)
    left, top, right, bottom = box
    distance = np.empty(grid)
    for i, j in np.ndindex(grid):
        y0, y1 = (top + (bottom - top) * (i + part) / grid[0] for part in (0.2, 0.8))
        x0, x1 = (left + (right - left) * (j + part) / grid[1] for part in (0.2, 0.8))
        patch = pixels[round(y0) : round(y1), round(x0) : round(x1)].reshape(-1, 3)
        distance[i, j] = np.linalg.norm(patch - DEEP_RED, axis=1).mean()
    return np.unravel_index(distance.argmin(), grid)


@pytest.mark.parametrize(("pooling", "by_hand"), [("gap", gap_evidence), ("gmp", gmp_evidence)])
def test_the_overlay_is_reddest_where_the_evidence_is_largest_in_the_middle_of_a_square_photo(
    network, examples, pooling, by_hand
):
    pale = analyse(network, examples["photographer"].point(lambda value: 128 + value // 4))  # no black coat
    picture = Image.open(io.BytesIO(overlay_png(pale.under(pooling), TRIPOD)))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (512, 512))
    evidence = by_hand(pale, TRIPOD)
    assert evidence.max() == np.abs(evidence).max(), "the test wants a photo whose strongest evidence is for the class"
    # 224 of 256 px: the centre's 448 px of 512.
    assert reddest(picture, (32, 32, 480, 480), (7, 7)) == np.unravel_index(evidence.argmax(), (7, 7))


@pytest.mark.parametrize(("pooling", "by_hand"), [("gap", gap_evidence), ("gmp", gmp_evidence)])
def test_the_overlay_is_reddest_where_the_evidence_is_largest_on_a_whole_wide_photo(rocket, pooling, by_hand):
    picture = Image.open(io.BytesIO(overlay_png(rocket.under(pooling), MISSILE)))
    assert picture.size == (640, 427)
    evidence = by_hand(rocket, MISSILE)
    assert evidence.shape == (5, 7)
    # Under GMP two neighbours are as good as tied, and the photo under them decides which one is redder.
    assert evidence[reddest(picture, (0, 0, 640, 427), (5, 7))] >= 0.95 * evidence.max()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_arrays_add_up_under_every_pooling(rocket, pooling):
    arrays = read_arrays(rocket.under(pooling), MISSILE)
    sums = {name: values.astype(np.float64) for name, values in arrays.items()}
    head = rocket.network.head
    tolerance = 1e-3 if pooling == "lse" else 1e-4
    kept = (sums["pooling_weights"] * sums["feature_maps"]).sum((1, 2))
    assert kept == pytest.approx(sums["pooled"], abs=tolerance)
    logits = head.weight.numpy().astype(np.float64) @ sums["pooled"] + head.bias.numpy()
    assert logits == pytest.approx(sums["logits"], abs=1e-4)
    logit = logits[MISSILE]
    assert sums["baseline"] + sums["cells"].sum() == pytest.approx(logit, abs=tolerance)
    assert sums["baseline"] + sums["channels"].sum() == pytest.approx(logit, abs=tolerance)
    assert sums["channels"] == pytest.approx(head.weight[MISSILE].numpy() * sums["pooled"], abs=1e-5)


def test_the_arrays_have_the_shapes_and_types_that_are_promised(rocket):
    arrays = read_arrays(rocket.under("attention"), MISSILE)
    assert {name: values.shape for name, values in arrays.items()} == {
        "feature_maps": (1280, 5, 7), "pooling_weights": (1280, 5, 7), "pooled": (1280,), "logits": (1000,),
        "cells": (5, 7), "channels": (1280,), "baseline": (), "rectangles": (5, 7, 4), "seen": (4,),
        "class_index": (), "photo_size": (2,), "input_shape": (4,),
    }
    whole = {"class_index", "photo_size", "input_shape"}
    assert all(values.dtype == (np.int64 if name in whole else np.float32) for name, values in arrays.items())
    assert arrays["class_index"] == MISSILE
    assert arrays["input_shape"].tolist() == [1, 3, 160, 224]
    assert arrays["photo_size"].tolist() == [640, 427]


def test_the_rectangles_divide_what_was_seen_in_photo_pixels(rocket):
    rectangles = read_arrays(rocket.under(), MISSILE)["rectangles"]
    assert rectangles[0, 0] == pytest.approx([0, 0, 640 / 7, 85.4], abs=1e-3)
    assert rectangles[4, 6] == pytest.approx([640 * 6 / 7, 341.6, 640, 427], abs=1e-3)


def test_the_same_computation_gives_the_same_files_and_numbers(photographer, network, examples):
    again = analyse(network, examples["photographer"])
    for write in (overlay_png, arrays_npz, numbers):
        assert write(photographer.under("gem"), TRIPOD) == write(again.under("gem"), TRIPOD)


def test_the_record_says_what_was_computed(photographer, network):
    record = as_strict_json(photographer.under("gem", p=4), TRIPOD)
    assert record == numbers(photographer.under("gem", p=4), TRIPOD)
    assert record["network"]["name"] == "efficientnet_lite0"
    assert record["network"]["sha256"].startswith("5647cc94b3e82b37")
    assert record["network"]["head"] == "affine"
    assert (record["image"]["width"], record["image"]["height"]) == (512, 512)
    assert len(record["image"]["sha256"]) == 64
    assert record["framing"] == {
        "kind": "crop", "input_size": [224, 224], "seen": [32, 32, 480, 480], "grid": [7, 7], "channels": 1280,
    }
    assert record["pooling"]["key"] == "gem"
    assert record["pooling"]["parameters"] == {"p": 4}
    assert record["pooling"]["label"] == "what-if"
    assert record["class"]["index"] == TRIPOD
    assert record["class"]["name"] == "tripod"
    assert record["class"]["exact"] is True
    assert set(record["versions"]) == {"poolscope", "torch", "timm", "python"}


def test_the_records_evidence_adds_up_to_its_logit(photographer):
    result = numbers(photographer.under(), TRIPOD)["class"]
    assert np.array(result["cells"]) == pytest.approx(gap_evidence(photographer, TRIPOD), abs=1e-5)
    assert result["evidence"] == pytest.approx(math.fsum(map(math.fsum, result["cells"])), abs=1e-6)
    assert result["baseline"] + result["evidence"] + result["residual"] == pytest.approx(result["logit"], abs=1e-9)
    assert abs(result["residual"]) <= 1e-4


def test_the_record_tops_eight_poolings_with_the_chosen_ones_parameter(photographer):
    top = numbers(photographer.under("gem", p=4), TRIPOD)["top"]
    assert [item["key"] for item in top] == ["gap", "gmp", "gem", "lse", "topk", "mixed", "softpool", "attention"]
    assert [item["label"] for item in top] == ["native"] + ["what-if"] * 7
    parameters = {item["key"]: item["parameters"] for item in top}
    assert parameters["gem"] == {"p": 4}
    assert parameters["lse"] == {"r": 3}
    maps, head = photographer.feature_maps.double(), photographer.network.head
    pooled = maps.pow(4).mean((1, 2)).pow(1 / 4)
    logits = head.weight.double() @ pooled + head.bias.double()
    best = logits.topk(5).indices.tolist()
    listed = next(item for item in top if item["key"] == "gem")["classes"]
    assert [answer["index"] for answer in listed] == best
    assert [answer["rank"] for answer in listed] == [1, 2, 3, 4, 5]
    assert [answer["logit"] for answer in listed] == pytest.approx(logits[best].tolist(), abs=1e-3)
    assert [answer["probability"] for answer in listed] == pytest.approx(logits.softmax(0)[best].tolist(), abs=1e-4)


def test_calibration_changes_the_probabilities_of_what_ifs_and_says_where(photographer):
    plain = numbers(photographer.under("gmp"), TRIPOD)
    mended = numbers(photographer.under("gmp"), TRIPOD, calibrated=True)
    assert [item["calibrated"] for item in plain["top"]] == [False] * 8
    assert [item["calibrated"] for item in mended["top"]] == [False] + [True] * 7
    assert mended["top"][0] == plain["top"][0]
    assert mended["top"][0]["multiplier"] is None
    assert mended["class"]["logit"] == plain["class"]["logit"]
    multiplier = mended["pooling"]["multiplier"]
    logits = photographer.under("gmp").logits.double() * multiplier
    assert mended["class"]["probability"] == pytest.approx(float(logits.softmax(0)[TRIPOD]), rel=1e-4)
    assert mended["class"]["probability"] < plain["class"]["probability"]


def test_a_label_says_whether_calibration_was_asked_for_and_fitted(photographer, make_network, examples):
    labels = [label(photographer.under(key), calibrated)
              for key in ("gap", "gmp") for calibrated in (False, True)]
    assert labels == ["native", "native", "what-if", "what-if, calibrated"]
    assert label(analyse(make_network(), examples["cat"]).under("gmp"), True) == "what-if"  # nothing was fitted


class TinyBackbone(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x.abs(), 32)


def tiny_network(head: nn.Module, names: tuple[str, ...]) -> Network:
    return Network(
        name="tiny", title="Tiny", backbone=TinyBackbone(), pooling=POOLINGS["gap"], head=head, class_names=names,
        preprocessing=Preprocessing(), digest="0" * 64, origin="a test",
    )


def test_a_number_that_is_not_finite_is_null_and_the_json_stays_strict(examples):
    head = nn.Linear(3, 2)
    nn.init.constant_(head.bias, math.inf)
    outcome = analyse(tiny_network(head, ("this", "that")), examples["cat"]).under("gmp")
    record = as_strict_json(outcome, 1)
    assert record["class"]["logit"] is None
    assert record["class"]["probability"] is None
    assert np.isfinite(record["class"]["cells"]).all()


def test_a_head_that_is_not_affine_is_recorded_as_integrated_and_odd_names_survive(examples):
    torch.manual_seed(0)
    names = ("naïve", "猫\n<b>", "\udcff")
    head = nn.Sequential(nn.Linear(3, 8), nn.Hardswish(), nn.Linear(8, 3))
    outcome = analyse(tiny_network(head, names), examples["cat"]).under()
    record = as_strict_json(outcome, 1)
    assert record["network"]["head"] == "nonlinear"
    assert record["class"]["exact"] is False
    assert record["class"]["name"] == names[1]
    assert {answer["name"] for answer in record["top"][0]["classes"]} == set(names)
