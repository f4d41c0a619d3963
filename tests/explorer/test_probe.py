"""A part of the photo: what it holds, what is said when it is ignored, and what once it is gone; each derived again."""

from __future__ import annotations

import dataclasses
import gc
import math
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import POOLINGS, analyse
from explorer.errors import ParameterError
from explorer.framing import frame
from explorer.networks.calibration import Calibration
from explorer.poolings.native import CATAVGMAX, CATMAXAVG, attention_pool
from explorer.questions.edited_photo import FILLS, changed_photo
from explorer.questions.probe import HeldEvidence, disagreement_sentence, kind_of_disagreement, probe
from tests.explorer import layered
from tests.explorer import second_derivations as again
from tests.explorer.tiny import analysis_of, heads, linear, random_maps, with_backbone

SETTINGS = [*((key, ()) for key in POOLINGS), ("gem", (8.0,)), ("topk", (0.5,))]


def numbers(key: str, values: tuple[float, ...]) -> tuple[dict[str, float], tuple[float, ...]]:
    """A setting as a pooling takes it, and as its second derivation does."""
    parameter = POOLINGS[key].parameter
    if parameter is None:
        return {}, ()
    values = values or (parameter.default,)
    return {parameter.name: values[0]}, values


def left_of(maps: Tensor, chosen: np.ndarray) -> again.Maps:
    """What is left of maps (C, H, W), each as a single row of plain numbers."""
    return [[[float(value) for value, out in zip(one.flatten(), chosen.ravel(), strict=True) if not out]]
            for one in maps.double()]


def chosen_of(rows: int, columns: int, *places: tuple[int, int]) -> np.ndarray:
    chosen = np.zeros((rows, columns), bool)
    for place in places:
        chosen[place] = True
    return chosen


def ignoring(outcome, chosen: np.ndarray) -> Tensor:
    """(classes,): the logits when the pooling ignores the positions."""
    return torch.tensor([probe(outcome, index, chosen, ()).own.ignoring.classes[0].logit
                         for index in range(len(outcome.logits))])


def held(outcome, index: int, chosen: np.ndarray) -> HeldEvidence:
    return probe(outcome, index, chosen, ()).held


def photo(seed: int = 0, size: tuple[int, int] = (130, 100)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


# Ignored by the pooling.


@pytest.mark.parametrize(("key", "values"), SETTINGS)
def test_ignoring_positions_is_pooling_the_others_afresh(make_network, key, values):
    maps = random_maps(5, 3, 4, seed=2)
    network = make_network()
    named, plain = numbers(key, values)
    chosen = chosen_of(3, 4, (1, 2), (2, 3), (0, 1))
    pooled = again.pooled(key, left_of(maps, chosen), *plain)
    expected = again.linear(network.head.weight.double().tolist(), network.head.bias.double().tolist(), pooled)
    result = ignoring(analysis_of(network, maps).under(key, **named), chosen)
    assert result.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("key", ["gap", "topk"])
def test_so_it_is_on_a_photo_in_the_bundled_network(network, examples, key):
    analysis = analyse(network, examples["cat"])
    chosen = np.zeros((7, 7), bool)
    chosen[2:5, 1:4] = True
    named, plain = numbers(key, ())
    pooled = np.array(again.pooled(key, left_of(analysis.feature_maps, chosen), *plain))
    linear_head = next(module for module in network.head.modules() if isinstance(module, nn.Linear))
    expected = linear_head.weight.double().numpy() @ pooled + linear_head.bias.double().numpy()
    result = ignoring(analysis.under(key, **named), chosen).numpy()
    np.testing.assert_allclose(result, expected, atol=2e-4)
    assert np.abs(result - analysis.under(key, **named).logits.numpy()).max() > 0.1


@pytest.mark.parametrize(("key", "values"), [("gmp", ()), ("attention", ())])
def test_ignoring_all_but_one_position_leaves_what_it_says_by_itself(network, examples, key, values):
    analysis = analyse(network, examples["coffee"])
    shown = analysis.under().vote_logits()
    outcome = analysis.under(key, **numbers(key, values)[0])
    for place in ((0, 0), (3, 4)):
        torch.testing.assert_close(ignoring(outcome, ~chosen_of(7, 7, place)).float(), shown[:, place[0], place[1]],
                                   atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("head", heads().values(), ids=heads())
def test_so_it_is_with_any_head_and_negative_maps(make_network, head):
    maps = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(4))
    analysis = analysis_of(make_network(head), maps)
    for key in ("gap", "gem", "softpool"):
        # GeM takes what is negative as 0.
        vector = maps[:, 1, 2].clamp_min(0) if key == "gem" else maps[:, 1, 2]
        with torch.no_grad():
            expected = head(vector[None])[0]
        result = ignoring(analysis.under(key), ~chosen_of(2, 3, (1, 2)))
        torch.testing.assert_close(result.float(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("pooling", "first"), [(CATAVGMAX, "gap"), (CATMAXAVG, "gmp")])
def test_average_and_maximum_side_by_side_are_those_of_the_rest(make_network, pooling, first):
    maps = random_maps(6, 3, 3)
    network = dataclasses.replace(make_network(nn.Linear(6, 4), channels=6), pooling=pooling)
    chosen = chosen_of(3, 3, (0, 2), (1, 1))
    rest = left_of(maps, chosen)
    pooled = [*again.pooled(first, rest[:3]), *again.pooled("gmp" if first == "gap" else "gap", rest[3:])]
    expected = again.linear(network.head.weight.double().tolist(), network.head.bias.double().tolist(), pooled)
    assert ignoring(analysis_of(network, maps).under(), chosen).tolist() == pytest.approx(expected, abs=1e-5)


def attentive(make_network) -> tuple[object, Tensor, Tensor]:
    """An analysis under a trained attention of two heads over two values each, the values, and what is asked."""
    generator = torch.Generator().manual_seed(6)
    values, requests = torch.randn(4, 2, 3, generator=generator), 2 * torch.randn(2, 2, 3, generator=generator)
    looks = torch.softmax(requests.flatten(1), 1).unflatten(1, (2, 3))
    head = nn.Linear(6, 4)
    network = dataclasses.replace(make_network(head, channels=6), pooling=attention_pool(2, 4))
    return analysis_of(network, torch.cat([values, looks])), values, requests


@pytest.mark.parametrize("places", [[(0, 2), (1, 1)], [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]])
def test_a_trained_attention_looks_at_the_rest_with_a_softmax_over_the_rest(make_network, places):
    analysis, values, requests = attentive(make_network)
    chosen = chosen_of(2, 3, *places)
    pooled = []
    for k in range(4):
        left = [(float(v), math.exp(float(a))) for v, a, out in zip(
            values[k].flatten(), requests[k // 2].flatten(), chosen.ravel(), strict=True) if not out]
        pooled.append(sum(v * e for v, e in left) / sum(e for _, e in left))
    head = analysis.network.head
    expected = again.linear(head.weight.double().tolist(), head.bias.double().tolist(), [*pooled, 0.0, 0.0])
    before = analysis.feature_maps.clone()
    assert ignoring(analysis.under(), chosen).tolist() == pytest.approx(expected, abs=1e-5)
    assert torch.equal(analysis.feature_maps, before)


def test_positions_that_cannot_be_ignored_are_refused(make_network):
    outcome = analysis_of(make_network(), random_maps()).under()
    everything = np.ones((3, 4), bool)
    for chosen, message in ((everything, "All of the 12 positions are chosen"),
                            (~everything, "None of the 12 positions are chosen"),
                            (np.ones((2, 2), bool), r"shape \(2, 2\)"), (everything * 1.0, "of float64")):
        with pytest.raises(ParameterError, match=message):
            probe(outcome, 0, chosen)


# What they hold.


def test_held_by_hand(make_network):
    maps = torch.tensor([[[4.0, 0.0], [8.0, 0.0]], [[0.0, 2.0], [0.0, 6.0]]])
    analysis = analysis_of(make_network(linear([[1.0, -2.0]], [0.5]), classes=1, channels=2), maps)
    # Under GAP the positions hold 1, -1, 2 and -3.
    result = held(analysis.under(), 0, np.array([[True, True], [False, False]]))
    assert result == HeldEvidence(0.0, -1.0, pytest.approx(1 / 3), 0.25, True, pytest.approx(0, abs=1e-6))
    result = held(analysis.under(), 0, np.array([[True, False], [True, False]]))
    assert result[:4] == (3.0, -1.0, 1.0, 0.0)
    assert math.copysign(1, result.negative_share) == 1
    # Under GMP one position of each channel is all there is: 8 and -12.
    assert held(analysis.under("gmp"), 0, np.array([[False, False], [True, False]]))[:4] == (8.0, -4.0, 1.0, 0.0)


@pytest.mark.parametrize("key", ["gap", "lse"])
def test_a_part_and_the_rest_hold_all_there_is(network, examples, key):
    outcome = analyse(network, examples["rocket"]).under(key)
    index = outcome.top(1)[0].class_index
    chosen = np.zeros((7, 7), bool)
    chosen[1:6, 2:5] = True
    part, rest = held(outcome, index, chosen), held(outcome, index, ~chosen)
    evidence = outcome.evidence(index)
    assert part.logits + rest.logits == pytest.approx(part.total)
    assert evidence.baseline + part.total + part.residual == pytest.approx(float(outcome.logits[index]), abs=1e-4)
    assert part.positive_share + rest.positive_share == pytest.approx(1)
    assert part.exact == (key != "lse")


# All of it, under every pooling.


def by_hand(network, key: str, named: dict[str, float], image: Image.Image) -> np.ndarray:
    """Logits of a photo: framed, through the backbone, pooled and through the head."""
    with torch.no_grad():
        maps = network.backbone(frame(image, network.preprocessing)[0])[0]
        return network.head(POOLINGS[key].value(maps, **named)[None])[0].double().numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def test_the_table_holds_what_is_said_under_each_pooling_before_ignoring_and_after(make_network):
    network = make_network(classes=7)
    outcome = analyse(network, photo()).under("gem", p=5)
    chosen = chosen_of(4, 4, (1, 1), (1, 2), (3, 0))
    result = probe(outcome, 6, chosen)
    assert [row.outcome.pooling for row in result.rows] == list(POOLINGS)
    assert result.own.outcome.parameters == {"p": 5.0}
    assert result.classes[0] == 6
    assert len(set(result.classes)) == len(result.classes) >= 5
    photos = {fill: changed_photo(outcome.analysis, chosen, fill) for fill in FILLS}
    for row in result.rows:
        named = dict(row.outcome.parameters)
        under = outcome.analysis.under(row.outcome.pooling, **named)
        expected = {fill: by_hand(network, row.outcome.pooling, named, image) for fill, image in photos.items()}
        ways = [(row.before, by_hand(network, row.outcome.pooling, named, photo())),
                (row.ignoring, ignoring(under, chosen).double().numpy()),
                *((row.after[fill], expected[fill]) for fill in FILLS)]
        for shown, logits in ways:
            assert shown.top.class_index == logits.argmax()
            assert shown.top.rank == 1
            for index, answer in zip(result.classes, shown.classes, strict=True):
                assert (answer.class_index, answer.name) == (index, f"class {index}")
                assert answer.logit == pytest.approx(logits[index], abs=1e-5)
                assert answer.probability == pytest.approx(softmax(logits)[index], abs=1e-5)
                assert answer.rank == 1 + (logits > logits[index]).sum()
        assert not row.calibrated
    own = by_hand(network, "gem", {"p": 5.0}, photo())[6]
    for fill, disagreement in zip(FILLS, result.disagreements, strict=True):
        lost = own - by_hand(network, "gem", {"p": 5.0}, photos[fill])[6]
        assert (disagreement.fill, disagreement.drop) == (fill, pytest.approx(lost, abs=1e-5))
        assert np.array_equal(np.asarray(result.photo(fill)), np.asarray(photos[fill]))


def test_what_the_answer_becomes_is_among_the_classes(network, examples):
    outcome = analyse(network, examples["astronaut"]).under()
    chosen = np.zeros((7, 7), bool)
    chosen[3:, 4:] = True
    result = probe(outcome, 0, chosen, ("mean",))
    assert result.classes[:2] == (0, outcome.top(1)[0].class_index)
    assert {result.own.ignoring.top.class_index, result.own.after["mean"].top.class_index} <= set(result.classes)


def test_calibrated_are_probabilities_of_what_if_poolings_and_nothing_else(make_network):
    network = dataclasses.replace(make_network(), calibration=Calibration({"gmp": ((0.0, 0.25),)}))
    outcome = analyse(network, photo()).under()
    chosen = chosen_of(4, 4, (0, 0))
    plain, mended = (probe(outcome, 1, chosen, ("blur",), calibrated=flag) for flag in (False, True))
    assert [row.outcome.pooling for row in mended.rows if row.calibrated] == ["gmp"]
    for one, other in zip(plain.rows, mended.rows, strict=True):
        for a, b in ((one.before, other.before), (one.ignoring, other.ignoring),
                     (one.after["blur"], other.after["blur"])):
            assert [item.logit for item in a.classes] == [item.logit for item in b.classes]
            # All four classes are watched.
            logits = np.array([item.logit for item in sorted(b.classes)])
            expected = softmax(logits * (0.25 if other.outcome.pooling == "gmp" else 1))
            assert [item.probability for item in sorted(b.classes)] == pytest.approx(expected.tolist(), abs=1e-5)
            assert b.top.probability == pytest.approx(expected.max(), abs=1e-5)


def test_it_takes_one_forward_pass_a_fill(make_network):
    network = make_network()
    outcome = analyse(network, photo()).under()
    before = network.backbone.calls
    probe(outcome, 0, chosen_of(4, 4, (0, 0)))
    assert network.backbone.calls - before == 3


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_without_a_pooling_there_is_what_the_network_says_of_the_changed_photos(activation):
    network = layered.network(pooled=False, activation=activation)
    outcome = analyse(network, layered.photo()).under()
    chosen = chosen_of(4, 4, (2, 2), (2, 3))
    result = probe(outcome, 2, chosen)
    assert (result.held, len(result.rows), result.own.ignoring, result.disagreements) == (None, 1, None, ())
    for fill in FILLS:
        x = frame(changed_photo(outcome.analysis, chosen, fill), network.preprocessing)[0]
        logits = network.layers.logits(x)[0].double()
        goal = torch.sigmoid(logits) if activation == "sigmoid" else torch.softmax(logits, 0)
        for answer in result.own.after[fill].classes:
            assert answer.probability == pytest.approx(float(goal[answer.class_index]), abs=1e-5)


def test_what_does_not_exist_is_refused(make_network):
    outcome = analyse(make_network(), photo()).under()
    chosen = chosen_of(4, 4, (0, 0))
    with pytest.raises(ParameterError, match="no class 4"):
        probe(outcome, 4, chosen)
    with pytest.raises(ParameterError, match="no fill 'black'"):
        probe(outcome, 0, chosen, ("blur", "black"))


def test_the_probe_keeps_its_own_positions(make_network):
    chosen = chosen_of(4, 4, (0, 0))
    result = probe(analyse(make_network(), photo()).under(), 0, chosen, ())
    chosen[:] = True
    assert result.chosen.sum() == 1


# Whether evidence and change agree.


class Context(nn.Module):
    """(B, 3, h, w) to (B, 1, 4, 4): how bright each position is, plus a share of how bright the photo is."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        bright = nn.functional.adaptive_avg_pool2d(x.mean(1, keepdim=True), 4)
        return bright + self.share * bright.mean((2, 3), keepdim=True)


def seen_through(make_network, share: float) -> object:
    """Of a photo with four bright positions in a grey one, by a network whose positions see more or less of it all."""
    pixels = np.full((96, 96, 3), 124, np.uint8)
    pixels[24:72, 24:72] = 250
    network = with_backbone(make_network(linear([[16.0]], [0.0]), classes=1, channels=1), Context(share))
    return analyse(network, Image.fromarray(pixels), "squash").under()


MIDDLE = chosen_of(4, 4, (1, 1), (1, 2), (2, 1), (2, 2))


@pytest.mark.parametrize(("share", "kind"), [(0.0, "none"), (8.0, "more"), (-0.6, "less"), (-1.2, "opposite")])
def test_what_other_positions_see_of_a_part_tells_how_far_the_logit_falls(make_network, share, kind):
    outcome = seen_through(make_network, share)
    maps = outcome.analysis.feature_maps[0].double().numpy()
    result = probe(outcome, 0, MIDDLE, ("mean", "inpaint")).disagreements
    assert [item.fill for item in result] == ["mean", "inpaint"]
    painted = result[1]
    # Painted over, the photo is grey all over: each position is what a grey one is, and 16 / 16 of it is evidence.
    grey = (maps[0, 0] - share * maps.mean() / (1 + share)) * (1 + share)
    assert painted.held == pytest.approx(maps[1:3, 1:3].sum(), abs=1e-4)
    near = 0.1 * (1 + abs(share))  # painting drifts by a grey level or two
    assert painted.inside == pytest.approx(4 * grey, abs=near)
    assert painted.outside == pytest.approx(maps.sum() - maps[1:3, 1:3].sum() - 12 * grey, abs=3 * near)
    assert painted.drop == pytest.approx(maps.sum() - 16 * grey, abs=4 * near)
    if share == 0:
        assert [item.outside for item in result] == pytest.approx([0, 0], abs=1e-4)
    for item in result:
        assert item.drop == pytest.approx(item.held - item.inside + item.outside, abs=1e-3)
    assert painted.kind == kind


@pytest.mark.parametrize("key", ["gap", "lse"])
def test_the_loss_is_what_was_held_less_what_stands_there_plus_what_others_lose(network, examples, key):
    outcome = analyse(network, examples["cat"]).under(key)
    chosen = np.zeros((7, 7), bool)
    chosen[1:4, 2:5] = True
    result = probe(outcome, 281, chosen, ("blur",))
    (item,) = result.disagreements
    assert item.drop == pytest.approx(item.held - item.inside + item.outside, abs=2e-3)
    assert item.held == result.held.logits


@pytest.mark.parametrize(("held_", "drop", "kind"), [
    (0.0, 0.5, "none"), (0.0, -0.51, "more"), (4.0, 2.0, "none"), (4.0, 1.9, "less"), (-2.0, -4.1, "more"),
    (-1.0, 0.2, "opposite"), (0.2, -0.2, "none"), (1.0, -0.001, "less"), (math.nan, 1.0, "none"),
])
def test_they_disagree_beyond_half_a_logit_and_half_of_the_larger(held_, drop, kind):
    assert kind_of_disagreement(held_, drop) == kind


@pytest.mark.parametrize(("numbers_", "fill", "sentence"), [
    ((3.19, 2.79, 0.44, 0.05), "blur",
     "This part holds 3.19 logits of evidence for cat. Once it is blurred, the logit falls by 2.79: about what it "
     "holds."),
    ((2.1, 4.9, 0.2, 3.0), "mean",
     "This part holds 2.10 logits of evidence for cat. Once it is filled with the mean colour, the logit falls by "
     "4.90: more than it holds. The other positions lose 3.00: each sees a large area of the photo, this part too."),
    ((3.0, 0.5, 1.5, -1.0), "inpaint",
     "This part holds 3.00 logits of evidence for cat. Once it is painted over, the logit falls by 0.50: less than "
     "it holds. The filling itself has evidence for the class, +1.50. The other positions gain 1.00: each sees "
     "a large area of the photo, this part too."),
    ((-2.0, -4.5, 2.5, 0.0), "blur",
     "This part holds 2.00 logits of evidence against cat. Once it is blurred, the logit rises by 4.50: more than it "
     "holds. The filling itself has evidence for the class, +2.50."),
    ((1.0, -1.0, 1.9, -0.1), "blur",
     "This part holds 1.00 logits of evidence for cat. Once it is blurred, the logit rises by 1.00: the opposite way. "
     "The filling itself has evidence for the class, +1.90."),
    ((1.0, 0.0, 1.0, 0.0), "blur",
     "This part holds 1.00 logits of evidence for cat. Once it is blurred, the logit does not change: less than it "
     "holds. The filling itself has evidence for the class, +1.00."),
    ((0.5, 2.5, -1.9, 0.1), "blur",
     "This part holds 0.50 logits of evidence for cat. Once it is blurred, the logit falls by 2.50: more than it "
     "holds. The filling itself has evidence against the class, −1.90."),
    ((math.nan, 1.0, 0.0, 0.0), "blur",
     "This part holds not a number logits of evidence for cat. Once it is blurred, the logit is not to be compared: "
     "not all numbers are finite."),
])
def test_the_sentence_says_whether_they_agree_and_what_accounts_for_it(numbers_, fill, sentence):
    assert disagreement_sentence(*numbers_, "cat", fill) == sentence


# What it keeps.


def retained(*roots: object) -> int:
    """Bytes of pictures, tensors, arrays and bytes that these objects keep alive."""
    seen: dict[int, object] = {}
    waiting, total = list(roots), 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (type, types.ModuleType, types.FunctionType)):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, Image.Image):
            total += thing.width * thing.height * len(thing.getbands())
        elif isinstance(thing, Tensor):
            total += thing.untyped_storage().nbytes()
        elif isinstance(thing, np.ndarray):
            total += thing.nbytes
        elif isinstance(thing, bytes):
            total += len(thing)
        waiting += gc.get_referents(thing)
    return total


def test_boxes_of_a_large_photo_keep_no_photos(make_network):
    """Sixteen boxes of a photo of 4000 x 3000 px may keep 250 MB; here four of one of 2000 x 1500."""
    outcome = analyse(make_network(), photo(size=(2000, 1500))).under()
    before, boxes = retained(outcome), []
    for n in range(4):
        boxes.append(probe(outcome, 0, chosen_of(4, 4, (n, n))))
        assert boxes[-1].photo("mean", 400).size == (400, 300)
    assert retained(outcome, *boxes) - before < 250e6 / 4 / 4
