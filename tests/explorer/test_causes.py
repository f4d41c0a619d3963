"""Causes: contributions of many photos, the parts that they share, muting, repaired heads and exemplars."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import mannwhitneyu

from explorer import analyse, load_network, read_image
from explorer.errors import MethodError, NetworkError, ParameterError, RunError
from explorer.folder import scan, train_heads
from explorer.folder.cause_maps import analysis_of, cells_of, masked_picture
from explorer.folder.causes import causes_of, difference
from explorer.folder.channel_names import channel_names, name_channel
from explorer.folder.contributions import contributions_to, evenly
from explorer.folder.exemplars import exemplars, same_cause
from explorer.folder.index import Index
from explorer.folder.muting import STRENGTHS, Answers, Muting, answers_of, last_linear
from explorer.folder.parts import decompose
from explorer.folder.repair import checkpoint_bytes, damped, endings, recipe_of_repair, repaired_state
from explorer.folder.run import Run
from explorer.heads import Budget
from explorer.networks.layers import Layers
from explorer.networks.loading.load import look_into
from explorer.networks.loading.options import Options
from tests.planted import ROCKET


@pytest.fixture(scope="module")
def index(planted):
    return Index(planted.run)


@pytest.fixture(scope="module")
def causes(index):
    return causes_of(contributions_to(index, ROCKET))


def paths_of(index, numbers):
    return index.table(numbers, ("path",))["path"].to_pylist()


# Contributions.


def test_contributions_are_those_of_one_photo_analysed_alone(planted, index):
    made = contributions_to(index, ROCKET)
    for place in (0, 17, len(made.values) - 1):
        evidence = analysis_of(planted.run, made.table["path"][place].as_py()).under().evidence(ROCKET)
        expected = evidence.channels.numpy()
        assert np.abs(made.values[place] - expected).max() <= 1e-3 * np.abs(expected).max()
        assert made.values[place].sum() + evidence.baseline == pytest.approx(evidence.logit, abs=0.01)


def test_contributions_to_a_lead_are_the_difference_of_two_classes(index):
    ahead, own, other = (contributions_to(index, *which).values
                         for which in ((ROCKET, 0), (ROCKET,), (0, None)))
    numbers = contributions_to(index, ROCKET).numbers
    other = contributions_to(index, 0, numbers=numbers).values
    assert np.allclose(ahead, own - other, atol=1e-5)


def test_wrong_and_right_are_by_the_label_alone(planted, index):
    made = contributions_to(index, ROCKET)
    folders = [path.partition("/")[0] for path in made.table["path"].to_pylist()]
    assert made.right.tolist() == [folder == "rocket" for folder in folders]
    assert made.wrong.tolist() == [folder != "rocket" for folder in folders]


def test_a_class_that_is_never_predicted_is_refused_in_a_sentence(index):
    with pytest.raises(RunError, match="No photo of the run is called 'cat' and has evidence"):
        contributions_to(index, 0, numbers=[])


def test_of_many_photos_some_are_taken_evenly():
    assert evenly(np.arange(5), 5).tolist() == [0, 1, 2, 3, 4]
    assert evenly(np.arange(101), 5).tolist() == [0, 25, 50, 75, 100]


@pytest.fixture(scope="module", params=["normed", "nonlinear"])
def other_head(request, planted, tmp_path_factory):
    """A run of 24 of the photos by a head whose slopes differ from photo to photo."""
    draw, bundled = torch.Generator().manual_seed(0), load_network("efficientnet_lite0")
    parts = [torch.nn.LayerNorm(1280), torch.nn.Linear(1280, 3)] if request.param == "normed" else [
        torch.nn.Linear(1280, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3)]
    with torch.no_grad():
        for part in parts:
            part.weight.copy_(torch.randn(part.weight.shape, generator=draw) / 20) if hasattr(part, "weight") else None
    network = replace(bundled, head=torch.nn.Sequential(*parts), class_names=("cat", "coffee", "rocket"),
                      digest=request.param, calibration=type(bundled.calibration)({}))
    photos = [photo for name in network.class_names for photo in sorted((planted.run.photos / name).glob("*"))[:8]]
    return Index(scan(network, photos, tmp_path_factory.mktemp(request.param) / "run", framing="squash"))


def test_contributions_of_a_head_with_slopes_of_each_photo_are_those_of_the_photo_alone(other_head):
    made = contributions_to(other_head, 1, numbers=range(0, 24, 5))
    for place, path in enumerate(made.table["path"].to_pylist()):
        evidence = analysis_of(other_head.run, path).under().evidence(1)
        expected = evidence.channels.numpy()
        assert np.abs(made.values[place] - expected).max() <= 5e-3 * np.abs(expected).max()


def test_exemplars_of_a_head_with_slopes_of_each_photo_are_those_of_the_photos_alone(other_head):
    paths = other_head.table(np.arange(24), ("path",))["path"].to_pylist()
    adds = []
    for path in paths:
        outcome = analysis_of(other_head.run, path).under()
        adds.append(float(outcome.evidence(outcome.top(1)[0].class_index).channels[40]))
    contributing, _ = exemplars(other_head, 40, most=3)
    expected = sorted((value for value in adds if value > 0), reverse=True)[:3]
    assert [one.contribution for one in contributing] == pytest.approx(expected, rel=0.02, abs=1e-4)


def test_a_normed_head_is_muted_as_its_own_weights_say_and_a_mixing_one_is_refused(other_head):
    if "ReLU" in repr(other_head.run.network.head):
        with pytest.raises(MethodError, match="mixes channels before its last weights"):
            answers_of(other_head)
        return
    shares = np.linspace(0, 1, 1280, dtype=np.float32)
    muting = Muting(answers_of(other_head), shares, 1, gives_back=False)
    head = deepcopy(other_head.run.network.head)
    head[1].weight[1] *= 1 - 0.5 * torch.from_numpy(shares)
    pooled = torch.tensor(other_head.table(muting.answers.numbers, ("pooled",))["pooled"].to_pylist())
    own = muting.answers.logits[:, 1] - 0.5 * muting.removed
    assert own == pytest.approx(head(pooled)[:, 1].numpy(), abs=1e-4)


# Parts.


def test_parts_that_use_channels_of_their_own_are_recovered():
    rng = np.random.default_rng(0)
    truth = np.kron(np.eye(5), np.ones(20))  # five parts of 20 channels each
    values = rng.gamma(0.5, 1, (80, 5)) @ truth * rng.uniform(0.9, 1.1, (80, 100))
    made = decompose(values.astype(np.float32))
    assert len(made.shares) == 5
    groups = made.shares.reshape(5, 5, 20)
    assert (groups.mean(2).max(0) > 0.9).all(), "each group of channels belongs to one part"
    assert len(set(groups.mean(2).argmax(0).tolist())) == 5


def test_what_parts_hold_adds_up_to_the_contributions_of_the_channels_they_share(causes):
    values, shares = causes.contributions.values, causes.parts.shares
    assert shares.min() >= 0
    total = shares.sum(0)
    assert np.allclose(total[total > 0], 1, atol=1e-5)
    held = sum(cause.strengths for cause in causes.all)
    positive = np.maximum(values, 0).sum(1)
    assert np.allclose(held, values[:, total > 0].sum(1), atol=1e-3)
    assert (np.abs(held - positive) < 0.03 * positive).all(), "99% of all positive contributions are shared out"
    assert sum(cause.share for cause in causes.all) == pytest.approx(1, abs=0.02)


def test_the_same_photos_give_the_same_causes(causes):
    again = causes_of(causes.contributions)
    for one, other in zip(causes.all, again.all, strict=True):
        assert np.allclose(one.shares, other.shares, atol=1e-4)


def test_the_planted_sticker_is_the_first_cause(planted, causes):
    carries = np.array([path in planted.stickers for path in causes.contributions.table["path"].to_pylist()])
    strengths = causes.all[0].strengths
    auc = mannwhitneyu(strengths[carries], strengths[~carries]).statistic / (carries.sum() * (~carries).sum())
    assert auc > 0.9
    assert causes.all[0].suspicious
    assert [cause.extra for cause in causes.all] == sorted((cause.extra for cause in causes.all), reverse=True)


def test_a_causes_numbers_are_those_of_its_photos(causes):
    cause, made = causes.all[0], causes.contributions
    assert cause.extra == pytest.approx(
        cause.strengths[made.wrong].mean() - cause.strengths[made.right].mean(), rel=1e-5)
    assert cause.common.wrong == pytest.approx(
        sum(cause.present & made.wrong) / sum(made.wrong))
    assert cause.added.sum() == pytest.approx(cause.mean, rel=0.01)
    assert np.all(np.diff(cause.strengths[cause.strongest]) <= 0)
    assert sum(count for _, count in cause.labels) == cause.present.sum()


def test_causes_of_a_lead_are_parts_of_the_lead(index):
    causes = causes_of(contributions_to(index, ROCKET, 0), parts=3)
    assert len(causes.all) == 3
    assert causes.contributions.rival == 0


def test_too_few_photos_and_impossible_numbers_of_parts_are_refused(index, causes):
    few = contributions_to(index, ROCKET, numbers=contributions_to(index, ROCKET).numbers[:5])
    with pytest.raises(RunError, match="5 photos are called this class; expected at least 8"):
        causes_of(few)
    with pytest.raises(ParameterError, match="number of parts is 99; expected 2 to 10"):
        causes_of(causes.contributions, parts=99)


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe 1998, table II: 56/70 against 48/80, method 10.
    made = difference(56, 70, 48, 80)
    assert made.wrong - made.right == pytest.approx(0.2)
    assert (made.low, made.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_wilsons_bounds_are_where_the_score_test_just_rejects():
    made = difference(9, 40, 0, 10**9)
    share, z = 9 / 40, 1.959964

    def off(p):
        return abs(abs(share - p) / math.sqrt(p * (1 - p) / 40) - z)

    low = minimize_scalar(off, bounds=(0.01, share), method="bounded", options={"xatol": 1e-9}).x
    high = minimize_scalar(off, bounds=(share, 0.9), method="bounded", options={"xatol": 1e-9}).x
    assert (made.low, made.high) == pytest.approx((low, high), abs=1e-4)


# Maps.


def test_a_causes_map_sums_to_its_strength_and_lies_on_the_sticker(planted, causes):
    made, cause = causes.contributions, causes.all[0]
    place = int(cause.strongest[0])
    outcome = analysis_of(planted.run, made.table["path"][place].as_py()).under()
    cells = cells_of(outcome, cause.shares, ROCKET)
    assert cells.sum() == pytest.approx(cause.strengths[place], rel=2e-3)
    parts = sum(cells_of(outcome, one.shares, ROCKET) for one in causes.all)
    evidence = outcome.evidence(ROCKET)
    rest = cells_of(outcome, 1 - causes.parts.shares.sum(0), ROCKET)
    assert np.allclose(parts + rest, evidence.cells.numpy(), atol=1e-4)


def test_a_masked_photo_keeps_its_colours_only_where_the_channel_is_strong(planted, causes):
    made, channel = causes.contributions, int(causes.all[0].channels[0])
    analysis = analysis_of(planted.run, made.table["path"][int(causes.all[0].strongest[0])].as_py())
    pixels = np.asarray(masked_picture(analysis, channel, 140), float)
    colour = (pixels.max(2) - pixels.min(2)).reshape(7, 20, 7, 20).mean((1, 3))
    maps = analysis.feature_maps[channel].numpy()
    assert colour[maps < 0.5 * maps.max()].max() < 1
    assert colour[maps >= 0.5 * maps.max()].mean() > 10


# Muting.


def tiny_answers() -> Answers:
    """Three photos, two channels, two classes: logits (2, 1), (0, 1), (3, 1)."""
    inputs = np.array([[2, 1], [0, 1], [3, 1]], np.float32)
    logits = inputs.copy()
    return Answers(np.arange(3), inputs, logits, np.eye(2, dtype=np.float32), logits.argmax(1),
                   np.array([1, 1, 0]), np.array([True, True, False]), 3)


def test_damping_the_first_channel_flips_photos_where_their_lead_is_used_up():
    muting = Muting(tiny_answers(), np.array([1.0, 0.0], np.float32), 0, gives_back=False)
    assert muting.predictions(0).tolist() == [0, 1, 0]
    assert muting.predictions(0.45).tolist() == [0, 1, 0]  # 1.1 against 1
    assert muting.predictions(0.55).tolist() == [1, 1, 0]  # 0.9 against 1
    assert muting.predictions(0.7).tolist() == [1, 1, 1]  # 0.6, 0.9 against 1
    assert muting.curve["chooses"].tolist() == [0.5] * 10 + [0.5] + [1.0] * 10
    assert STRENGTHS[muting.suggested] == pytest.approx(0.55)
    assert muting.curve["shown"][11] == 1
    assert muting.curve["calls"].tolist() == [1.0] * 11 + [0.0] * 10


def test_what_right_photos_without_the_cause_have_of_it_is_given_back():
    # Logits of the class (3, 0.1, 2) against 1, of which the first channel holds 2, 0.1 and 0.9; the second photo is of
    # the other class. Of the class and right without the cause, which begins near 1, is the third photo alone.
    inputs = np.array([[2, 1, 1], [0.1, 0, 1], [0.9, 1.1, 1]], np.float32)
    weight = np.array([[1, 1, 0], [0, 0, 1]], np.float32)
    logits = inputs @ weight.T
    answers = Answers(np.arange(3), inputs, logits, weight, logits.argmax(1), np.array([0, 1, 0]), np.ones(3, bool), 3)
    muting = Muting(answers, np.array([1, 0, 0], np.float32), 0)
    assert muting.present.tolist() == [True, False, False]
    assert muting.given_back == pytest.approx(0.9)
    assert muting.predictions(1.0).tolist() == [0, 1, 0]  # 3 - 2 + 0.9, 0.1 - 0.1 + 0.9 and 2 - 0.9 + 0.9 against 1
    answers = replace(answers, logits=answers.logits - np.array([[0.95, 0]], np.float32))
    assert Muting(answers, np.array([1, 0, 0], np.float32), 0, gives_back=False).predictions(1.0).tolist() == [1, 1, 1]


def test_a_bar_is_the_constant_that_keeps_as_many_photos_of_the_class():
    # Leads of the class: 3, 1 and 0.4 (its own photos), 2 and 0.2 (others).
    logits = np.array([[4, 1], [2, 1], [1.4, 1], [3, 1], [1.2, 1]], np.float32)
    answers = Answers(np.arange(5), logits, logits, np.eye(2, dtype=np.float32), logits.argmax(1),
                      np.array([0, 0, 0, 1, 1]), np.ones(5, bool), 5)
    muting = Muting(answers, np.array([0.3, 0], np.float32), 0, gives_back=False)
    assert muting.curve["of"][-1] == pytest.approx(2 / 3)  # 2.8, 1.4 and 0.98 against 1
    bar = muting.bar(len(STRENGTHS) - 1)
    assert bar.logits == pytest.approx(1, abs=1e-4)
    assert (bar.calls, bar.all) == (1, pytest.approx(3 / 5))
    assert muting.bar(0).logits == pytest.approx(0.4, abs=1e-4), "as far as all of them stay"


def test_classes_are_listed_whose_photos_become_right_or_wrong(index, causes):
    both = np.clip(causes.all[0].shares + causes.all[1].shares, 0, 1)
    muting = Muting(answers_of(index), both, ROCKET)
    place = len(STRENGTHS) - 1
    new, labels = muting.predictions(1.0), muting.answers.labels
    expected = {}
    for label in range(3):
        before = sum(answer == label for answer in muting.answers.rows[labels == label])
        after = sum(answer == label for answer in new[labels == label])
        if before != after:
            expected[label] = (int((labels == label).sum()), before, after)
    assert expected
    assert {one.class_index: tuple(one)[1:] for one in muting.by_class(place)} == expected
    assert muting.by_class(0) == []


@pytest.mark.parametrize("class_index", [ROCKET, None])
def test_muted_predictions_are_those_of_the_head_with_its_weights_changed(index, causes, class_index):
    answers = answers_of(index)
    shares = causes.all[0].shares
    muting = Muting(answers, shares, class_index, gives_back=False)
    pooled = index.table(answers.numbers, ("pooled",))["pooled"].to_pylist()
    linear = index.run.network.head[0]
    for strength in (0.0, 0.35, 1.0):
        weight = linear.weight.numpy().copy()
        for row in range(3):
            if class_index in (None, row):
                weight[row] *= 1 - strength * shares
        expected = (np.array(pooled, np.float32) @ weight.T + linear.bias.numpy()).argmax(1)
        assert np.array_equal(muting.predictions(strength), expected)


def test_muting_the_sticker_mends_photos_and_its_price_is_counted(index, causes):
    both = np.clip(causes.all[0].shares + causes.all[1].shares, 0, 1)
    muting = Muting(answers_of(index), both, ROCKET)
    curve = muting.curve
    assert muting.suggested > 0
    assert curve["shown"][muting.suggested] > curve["shown"][0] + 0.1
    assert curve["calls"][muting.suggested] < curve["calls"][0] / 2
    labels, predictions = muting.answers.labels, muting.predictions(float(STRENGTHS[muting.suggested]))
    assert curve["all"][muting.suggested] == pytest.approx((predictions == labels).mean())
    assert curve["of"][muting.suggested] == pytest.approx((predictions == ROCKET)[labels == ROCKET].mean())


def test_a_head_that_mixes_channels_cannot_be_muted():
    network = load_network("efficientnet_lite0")
    mixed = replace(network, head=torch.nn.Sequential(torch.nn.Linear(1280, 64), torch.nn.ReLU(),
                                                      torch.nn.Linear(64, 1000)))
    with pytest.raises(MethodError, match="mixes channels before its last weights"):
        last_linear(mixed)
    normed = replace(network, head=torch.nn.Sequential(torch.nn.LayerNorm(1280), network.head))
    assert last_linear(normed)[1] is network.head


# Repair.


def test_a_damped_row_is_the_old_one_times_what_is_left():
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert damped(weight, np.array([1.0, 0.5]), 0.5, 1).tolist() == [[1, 2], [1.5, 3]]
    assert damped(weight, np.array([1.0, 0.5]), 1.0, None).tolist() == [[0, 1], [0, 2]]
    assert weight.tolist() == [[1, 2], [3, 4]]


def test_a_repaired_network_is_saved_loaded_and_gives_the_pages_logits(planted, index, causes, tmp_path):
    strength, muting = 0.6, Muting(answers_of(index), causes.all[0].shares, ROCKET)
    assert muting.given_back > 0
    file = tmp_path / "repaired.safetensors"
    file.write_bytes(checkpoint_bytes(planted.run, repaired_state(planted.run.network, muting, strength)))
    repaired = load_network(file)
    assert repaired.class_names == planted.run.network.class_names
    assert repaired.preprocessing == planted.run.network.preprocessing
    assert not [caution for caution in repaired.cautions if "rchitecture" in caution or "reprocessing" in caution]
    for place in range(0, 90, 15):
        path = paths_of(index, [muting.answers.numbers[place]])[0]
        new = analyse(repaired, read_image(planted.run.photos / path), "squash").under().logits.numpy()
        old = analysis_of(planted.run, path).under().logits.numpy()
        assert new[ROCKET] == pytest.approx(
            old[ROCKET] - strength * (muting.removed[place] - muting.given_back), abs=2e-3)
        assert np.allclose(new[:ROCKET], old[:ROCKET], atol=1e-4)
        assert new.argmax() == muting.predictions(strength)[place]


def test_a_repaired_file_says_what_it_is_and_a_damaged_note_is_refused(planted, index, causes):
    state = repaired_state(planted.run.network, Muting(answers_of(index), causes.all[0].shares, None), 1.0)
    data = checkpoint_bytes(planted.run, state)
    contents = look_into(data, "repaired.safetensors")
    assert contents.class_names == planted.run.network.class_names
    assert contents.preprocessing == planted.run.network.preprocessing
    assert contents.sentences[-1] == "Its preprocessing is in the file."
    damaged = data.replace(b'\\"crop_ratio\\": 0.875', b'\\"crop_ratio\\": 8.875')
    assert damaged != data
    with pytest.raises(NetworkError, match="metadata does not say what PoolScope made it with"):
        look_into(damaged, "repaired.safetensors")


def test_a_repaired_network_of_trained_heads_is_loaded_by_its_backbones_architecture(planted, tmp_path):
    heads = train_heads(planted.run, kinds=["gap"], losses=["ce"], budget=Budget(epochs=20, patience=None, every=10))
    heads.save(tmp_path / "heads")
    run = scan(Options(network=str(tmp_path / "heads")), planted.run.photos, tmp_path / "run", framing="squash")
    muting = Muting(answers_of(Index(run)), np.ones(1280, np.float32), 0, gives_back=False)
    (tmp_path / "repaired.safetensors").write_bytes(checkpoint_bytes(run, repaired_state(run.network, muting, 1.0)))
    repaired = load_network(tmp_path / "repaired.safetensors")
    assert repaired.class_names == run.network.class_names
    photo = read_image(next((planted.run.photos / "cat").glob("*.png")))
    old, new = (analyse(network, photo, "squash").under().logits for network in (run.network, repaired))
    assert float(new[0]) == pytest.approx(float(run.network.head.bias[0]), abs=1e-4), "the row of weights is empty"
    assert torch.allclose(new[1:], old[1:], atol=1e-4)


def test_a_repaired_network_in_torchs_format_holds_the_same_tensors(planted, index, causes, tmp_path):
    state = repaired_state(planted.run.network, Muting(answers_of(index), causes.all[0].shares, ROCKET), 0.5)
    (tmp_path / "repaired.pth").write_bytes(checkpoint_bytes(planted.run, state, ".pth"))
    there = torch.load(tmp_path / "repaired.pth", weights_only=True)
    assert there.keys() == state.keys()
    assert all(torch.equal(there[name], state[name]) for name in state)
    assert endings(planted.run) == [".safetensors"]


def test_of_a_network_without_a_state_dict_there_is_a_sentence(planted, index, causes):
    parts_alone = replace(planted.run.network, layers=Layers())
    with pytest.raises(MethodError, match="no state dict to write the head into"):
        repaired_state(parts_alone, Muting(answers_of(index), causes.all[0].shares, ROCKET), 1.0)


def test_a_recipe_of_a_repair_is_json_with_the_factor_of_every_channel(planted, index, causes):
    shares = causes.all[0].shares
    muting = Muting(answers_of(index), shares, ROCKET)
    recipe = json.loads(json.dumps(recipe_of_repair(planted.run, muting, 0.5, {"before": 0.6})))
    assert recipe["bias"] == pytest.approx(0.5 * float(muting.given_back), abs=1e-5)
    assert recipe["class"] == {"index": ROCKET, "name": "rocket"}
    channel = int(shares.argmax())
    assert recipe["factors"][str(channel)] == pytest.approx(1 - 0.5 * shares[channel], abs=1e-6)
    assert len(recipe["factors"]) == np.count_nonzero(shares)


# Neighbours and exemplars, by brute force.


def test_photos_of_the_same_cause_are_the_nearest_by_brute_force(index):
    made = contributions_to(index, ROCKET)
    for place in range(50):
        cosines = [float(np.dot(made.values[place], row) / np.linalg.norm(made.values[place]) / np.linalg.norm(row))
                   for row in made.values]
        expected = sorted((number for number in range(len(cosines)) if number != place), key=lambda n: -cosines[n])[:6]
        similar = same_cause(index, int(made.numbers[place]), most=6)
        assert [one.number for one in similar] == [int(made.numbers[n]) for n in expected]
        assert [one.cosine for one in similar] == pytest.approx([cosines[n] for n in expected], abs=1e-4)


def test_exemplars_are_the_photos_that_brute_force_finds(index):
    rows = index.table(np.arange(len(index)), ("pooled", "answer")).to_pylist()
    weight = index.run.network.head[0].weight.numpy()
    values = np.array([weight[row["answer"]] * np.array(row["pooled"], np.float32) for row in rows])
    pooled = np.array([row["pooled"] for row in rows], np.float32)
    for channel in range(0, 1280, 26):
        contributing, silent = exemplars(index, channel, most=5)
        order = [n for n in sorted(range(90), key=lambda n: -values[n, channel]) if values[n, channel] > 0][:5]
        assert [one.number for one in contributing] == order
        assert [one.contribution for one in contributing] == pytest.approx(values[order, channel].tolist(), rel=1e-4)
        unused = [n for n in sorted(range(90), key=lambda n: -pooled[n, channel])
                  if abs(values[n, channel]) < 0.05 * abs(values[:, channel]).max() and pooled[n, channel] > 0][:5]
        assert [one.number for one in silent] == unused


def test_a_channel_has_the_name_that_a_person_gave_it_and_no_other(tmp_path):
    run = Run(tmp_path, {})
    assert channel_names(run) == {}
    name_channel(run, 12, "  green   discs ")
    name_channel(run, 3, "fur")
    assert channel_names(run) == {3: "fur", 12: "green discs"}
    name_channel(run, 12, "")
    assert channel_names(run) == {3: "fur"}
    with pytest.raises(ParameterError, match="The name has 41 letters; expected at most 40"):
        name_channel(run, 3, "x" * 41)
    (tmp_path / "channel_names.json").write_text("[1, 2")
    assert channel_names(run) == {}


def test_a_channel_that_does_not_exist_is_refused(index):
    with pytest.raises(ParameterError, match="channel"):
        exemplars(index, 1280)


def test_a_run_whose_network_is_another_one_says_so(planted):
    with pytest.raises(RunError, match="expected the run's own network"):
        Run.open(planted.run.path, load_network("efficientnet_lite0"))
