"""Where the object is: its map from stitched ones, its rivals by hand, its share by pixels; and what was measured."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explorer import analyse
from explorer.errors import MethodError, ParameterError, StoppedError
from explorer.framing import Preprocessing
from explorer.questions import measured_maps as measured
from explorer.questions.measured_maps import LIKELY, measured_of, verdict, where_objects_were
from explorer.questions.object_map import SUGGESTED, EvidenceInBox, ObjectMap, evidence_in_box, object_map, unlike
from explorer.questions.stitching import stitched
from tests.explorer.tiny import analysis_of, linear


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


# The map.


def test_it_is_the_stitched_evidence_of_the_class_less_the_mean_of_its_rivals_at_the_larger_size(make_network):
    network = make_network(classes=9)
    result = object_map(analyse(network, noise((150, 100))), 2)
    side = round(SUGGESTED.enlarged * 96 / 24) * 24
    outcome = analyse(network, noise((150, 100)), "crop", result.framing.input_size[0]).under()
    assert abs(min(result.framing.input_size) - side) <= network.preprocessing.stride
    assert result.rivals == unlike(outcome, 2)
    assert result.rivals
    own, *others = (stitched(outcome, index).cells for index in (2, *result.rivals))
    np.testing.assert_allclose(result.cells, own - np.mean(others, 0), atol=1e-5)
    np.testing.assert_allclose(result.framing.rectangles, outcome.analysis.framing.on_grid(*own.shape).rectangles)
    assert result.passes == 17


@pytest.mark.parametrize("framing", ["crop", "whole", "squash"])
def test_the_larger_input_is_of_the_same_part_of_the_photo(framing, make_network):
    analysis = analyse(make_network(), noise((150, 100)), framing)
    seen = object_map(analysis, 0).framing.seen
    assert np.array(seen) == pytest.approx(np.array(analysis.framing.seen), abs=2)


def test_a_network_of_independent_classes_has_no_rivals_and_one_of_one_size_keeps_it(make_network):
    network = dataclasses.replace(make_network(), activation="sigmoid",
                                  preprocessing=Preprocessing(size=96, stride=24, fixed=True))
    analysis = analyse(network, noise((96, 96)))
    result = object_map(analysis, 1)
    assert result.rivals == ()
    assert result.framing.input_size == (96, 96)
    np.testing.assert_allclose(result.cells, stitched(analysis.under(), 1).cells, atol=1e-5)


def test_it_is_remembered_and_stops_when_told_to(make_network):
    analysis = analyse(make_network(), noise((96, 96)))
    with pytest.raises(StoppedError):
        object_map(analysis, 0, stop=lambda: True)
    reports = []
    result = object_map(analysis, 0, lambda *counts: reports.append(counts))
    assert reports[-1] == (16, 16)
    assert object_map(analysis, 0) is result


def test_on_a_photo_of_two_objects_each_is_found_on_its_side(network, examples):
    analysis = analyse(network, examples["cat_and_coffee"])
    middle = examples["cat_and_coffee"].width / 2
    for index, right in ((967, True), (285, False)):
        result = object_map(analysis, index)
        left, _, _, _ = evidence_in_box(analysis.under(), index, result).box
        strongest = result.framing.rectangles.reshape(-1, 4)[result.cells.argmax()]
        assert ((strongest[0] + strongest[2]) / 2 > middle) == right
        assert (left > middle - 20) == right
        assert index not in result.rivals


# The rivals.


def test_rivals_are_the_likeliest_whose_slopes_do_not_point_the_same_way(make_network):
    channels = 100  # two directions are alike from a cosine of 0.2 on
    rows = torch.zeros(6, channels)
    rows[0, 0] = 1
    rows[1, :2] = torch.tensor([3.0, 0.1])  # nearly the same direction
    rows[2, 1] = 5.0
    rows[3, 2] = 2.0
    rows[4, 0], rows[4, 3] = 0.25, 1.0  # cosine 0.24
    rows[5, 0], rows[5, 3] = 0.15, 1.0  # cosine 0.15
    network = make_network(linear(rows.tolist(), [0.0] * 6), classes=6, channels=channels)
    maps = torch.ones(channels, 2, 2)
    outcome = analysis_of(network, maps).under()
    assert outcome.logits.argsort(descending=True).tolist()[:3] == [2, 1, 3]
    assert unlike(outcome, 0, 2) == (2, 3)
    assert unlike(outcome, 0) == (2, 3, 5)


def test_where_all_are_alike_the_likeliest_other_one_is_the_rival(make_network):
    rows = [[1.0] * 100, [2.0] * 99 + [2.1], [3.0] * 100]
    network = make_network(linear(rows, [0.0] * 3), classes=3, channels=100)
    assert unlike(analysis_of(network, torch.ones(100, 2, 2)).under(), 2) == (1,)
    alone = make_network(linear([[1.0, 1.0]], [0.0]), classes=1, channels=2)
    assert unlike(analysis_of(alone, torch.ones(2, 2, 2)).under(), 0) == ()


def test_what_does_not_exist_is_refused(make_network):
    outcome = analyse(make_network(), noise((96, 96))).under()
    for count in (0, -1, 2.0, True):
        with pytest.raises(ParameterError, match="number of rivals"):
            unlike(outcome, 0, count)
    for ask in (lambda: unlike(outcome, 4), lambda: object_map(outcome.analysis, 4)):
        with pytest.raises(ParameterError, match="no class 4"):
            ask()
    without = dataclasses.replace(make_network(), pooling=None, reason="It has none.", head=nn.Identity())
    with pytest.raises(MethodError):
        object_map(analysis_of(without, torch.ones(5, 2, 2)), 0)


# Of the evidence, the share that lies on it.


def test_the_share_inside_the_box_is_counted_pixel_by_pixel(make_network):
    network = make_network(linear([[1.0], [0.0]], [0.0, 0.0]), classes=2, channels=1)
    maps = torch.tensor([[[4.0, -2.0], [1.0, 3.0]]])
    analysis = analysis_of(network, maps)  # the photo of 96 x 96 px in four positions of 48
    fine = np.zeros((8, 8))
    fine[2:5, 1:6] = 1.0
    places = analysis.framing.on_grid(8, 8)
    looked = evidence_in_box(analysis.under(), 0, ObjectMap((1,), fine, places, 17))
    assert looked.box == (12, 24, 72, 60)
    held, area = np.repeat(np.repeat(np.maximum(maps[0].numpy(), 0), 48, 0), 48, 1), np.zeros((96, 96), bool)
    area[24:60, 12:72] = True
    assert looked.evidence == pytest.approx(held[area].sum() / held.sum())
    assert looked.area == pytest.approx(area.mean())


def test_without_anything_positive_there_is_no_box_or_no_share(make_network):
    network = make_network(linear([[-1.0], [0.0]], [0.0, 0.0]), classes=2, channels=1)
    analysis = analysis_of(network, torch.ones(1, 2, 2))
    places = analysis.framing
    assert evidence_in_box(analysis.under(), 0, ObjectMap((), -np.ones((2, 2)), places, 17)) is None
    assert evidence_in_box(analysis.under(), 0, ObjectMap((), np.eye(2), places, 17)) == EvidenceInBox(
        (0, 0, 48, 48), None, 0.25)


# What was measured.


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Put other numbers in the place of the measured ones."""
    def put(network, gains: dict, objects: dict | None = None) -> None:
        file = tmp_path / "faithfulness.json"
        file.write_text(json.dumps({network.digest: {"photos": 40, "gains": gains, "objects": objects or {}}}))
        monkeypatch.setattr(measured, "FILE", file)
        measured._written.cache_clear()

    yield put
    measured._written.cache_clear()


def gains(random: tuple, uniform: tuple, insertion: float = 0.1) -> dict:
    ways = {"random": random, "uniform": uniform, "centre": random}
    return {name: {"between": numbers, "deletion": numbers,
                   "insertion": [insertion if name == "uniform" else 0.1, 0, 0]} for name, numbers in ways.items()}


@pytest.mark.parametrize(("random", "uniform", "insertion", "words"), [
    ([0.21, 0.01, 0.0001], [0.3, 0.02, 0.0001], 0.1,
     "Over 40 photos it beats both: +0.21 ± 0.01 on random and +0.30 ± 0.02 on uniform in the area between the two "
     "curves."),
    ([0.21, 0.01, 0.0001], [0.3, 0.02, 0.0001], -0.1,
     "Over 40 photos it beats both: +0.21 ± 0.01 on random and +0.30 ± 0.02 on uniform in the area between the two "
     "curves. At insertion alone uniform removal does better."),
    ([0.21, 0.01, 0.0001], [0.01, 0.02, 0.6], 0.1,
     "Over 40 photos it beats random removal and does not beat uniform removal: +0.21 ± 0.01 on random and +0.01 ± "
     "0.02 on uniform in the area between the two curves."),
    ([-0.21, 0.01, 0.0001], [-0.3, 0.02, 0.0001], 0.1,
     "Over 40 photos it beats neither: −0.21 ± 0.01 on random and −0.30 ± 0.02 on uniform in the area between the two "
     "curves."),
])
def test_whether_a_map_beats_its_controls_is_said_as_it_came_out(random, uniform, insertion, words, network, written):
    written(network, {"it": gains(random, uniform, insertion)})
    assert verdict(network, "it") == words
    assert verdict(network, "another") == "Over many photos another has not been measured."


def test_of_another_network_nothing_is_said(make_network, network):
    other = make_network()
    assert measured_of(other) is None
    assert verdict(other, "evidence under GAP") == "Over many photos this network's maps have not been measured."
    assert where_objects_were(other) == "Whether it finds objects has not been measured for this network."


def test_what_was_measured_of_the_bundled_network_is_there_and_the_suggestion_holds(network):
    known = measured_of(network)
    assert known.photos >= 100
    for kinds in known.gains["evidence under GAP"]["random"].values():
        assert kinds.mean > 0
        assert kinds.p <= LIKELY
    for result in known.objects.values():
        suggested, plain = result["suggested"]["together"], result["evidence"]["together"]
        assert suggested[0] - plain[0] > 0, "else something else is to be suggested"
    coco = known.objects["coco"]
    assert f"{coco['suggested']['pointing'][0]:.0%}" in where_objects_were(network)
