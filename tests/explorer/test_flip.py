"""The fewest positions that matter: beside every set there is on tiny grids, and on real photos."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explorer import analyse
from explorer.errors import MethodError, ParameterError, StoppedError
from explorer.framing import Preprocessing, frame
from explorer.questions import position_search as searching
from explorer.questions.edited_photo import changed_photo
from explorer.questions.flip import cut_out, smaller_and_smaller, smallest_flip, smallest_sufficient
from tests.explorer import layered
from tests.explorer.tiny import linear, with_backbone

# Every set there is.


def tiny(make_network, side: int, seed: int, pooling: str = "gap", fill: str = "mean", activation: str = "softmax",
         classes: int = 4):
    """An outcome on `side` x `side` positions, with the head's zero between what the photo and what nothing of it says.

    So what is said of the photo is not what is said of the photo without anything: the answer, and every class's side
    of 0. How far between depends on the seed.
    """
    network = make_network(classes=classes, channels=8, seed=seed)
    network.head.weight.data *= 6
    network = dataclasses.replace(network, preprocessing=Preprocessing(size=24 * side, crop_ratio=1.0, stride=24),
                                  activation=activation)
    outcome = analyse(network, photo(side, seed)).under(pooling)
    every = EverySet(outcome, fill)
    near = (0.15, 0.5, 0.85)[seed % 3]
    network.head.bias.data -= torch.tensor(near * every.logits[0] + (1 - near) * every.logits[-1], dtype=torch.float32)
    return analyse(network, photo(side, seed)).under(pooling)


def photo(side: int, seed: int) -> Image.Image:
    """Noise, which a network that is not trained sees more in than in what is flat."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24 * side, 24 * side, 3), dtype=np.uint8))


class EverySet:
    """The logits of a photo of tiny(...) without each set of its positions, each put together pixel by pixel."""

    def __init__(self, outcome, fill: str) -> None:
        analysis = outcome.analysis
        self.grid = analysis.framing.grid
        numbers = np.arange(2 ** (self.grid[0] * self.grid[1]))
        out = (numbers[:, None] >> np.arange(self.grid[0] * self.grid[1]) & 1).astype(bool).reshape(-1, *self.grid)
        before = np.asarray(analysis.image, dtype=np.float64)
        after = np.asarray(changed_photo(analysis, np.ones(self.grid, bool), fill), dtype=np.float64)
        pixels = np.where(out.repeat(24, 1).repeat(24, 2)[..., None], after, before) / 255
        own = analysis.network.preprocessing
        inputs = torch.tensor((pixels - own.mean) / own.std, dtype=torch.float32).permute(0, 3, 1, 2).contiguous()
        with torch.no_grad():
            maps = analysis.network.backbone(inputs)
            self.logits = analysis.network.head(outcome._pool(maps)).double().numpy()

    def without(self, taken: np.ndarray) -> np.ndarray:
        """(classes,)"""
        return self.logits[int((taken.ravel() * 2 ** np.arange(taken.size)).sum())]

    def fewest(self, does) -> int | None:
        """The smallest number of positions, of any, that does it: all sets are tried, small ones first."""
        for size in range(self.grid[0] * self.grid[1] + 1):
            for places in combinations(range(self.grid[0] * self.grid[1]), size):
                chosen = np.zeros(self.grid, bool)
                chosen.ravel()[list(places)] = True
                if does(chosen):
                    return size
        return None


def one_less(chosen: np.ndarray):
    for place in np.argwhere(chosen):
        fewer = chosen.copy()
        fewer[tuple(place)] = False
        yield fewer


CASES = [(2, 0, "gmp", "blur"), (2, 1, "gap", "mean"), (3, 1, "gmp", "blur"), (3, 2, "gap", "mean"),
         (3, 3, "gap", "mean")]


def flip(outcome, index: int | None = None, **options):
    """The smallest flip of a class, or of the answer."""
    return smallest_flip(outcome, int(outcome.logits.argmax()) if index is None else index, **options)


def sufficient(outcome, index: int | None = None, **options):
    return smallest_sufficient(outcome, int(outcome.logits.argmax()) if index is None else index, **options)


@pytest.mark.parametrize(("side", "seed", "pooling", "fill"), CASES)
def test_a_flip_flips_no_position_of_it_can_be_put_back_and_none_is_missed(make_network, side, seed, pooling, fill):
    outcome = tiny(make_network, side, seed, pooling, fill, classes=2 + 2 * (seed % 2))
    answer, every = int(outcome.logits.argmax()), EverySet(outcome, fill)

    def flips(taken: np.ndarray) -> bool:
        return int(every.without(taken).argmax()) != answer

    result = flip(outcome, fill=fill, most=1.0)
    best = every.fewest(flips)
    assert flips(result.chosen)
    assert not any(map(flips, one_less(result.chosen)))
    assert best <= result.chosen.sum() <= best + 1
    logits = every.without(result.chosen)
    assert (result.after.class_index, result.after.rank) == (int(logits.argmax()), 1)
    assert result.after.logit == pytest.approx(float(logits.max()), abs=1e-4)
    assert result.class_after.logit == pytest.approx(float(logits[answer]), abs=1e-4)


@pytest.mark.parametrize(("side", "seed", "pooling", "fill"), CASES)
def test_what_is_enough_is_enough_and_no_position_of_it_can_be_spared(make_network, side, seed, pooling, fill):
    outcome = tiny(make_network, side, seed, pooling, fill, classes=2 + 2 * (seed % 2))
    answer, every = int(outcome.logits.argmax()), EverySet(outcome, fill)

    def enough(kept: np.ndarray) -> bool:
        return int(every.without(~kept).argmax()) == answer

    result = sufficient(outcome, fill=fill)
    assert enough(result.chosen)
    assert not any(map(enough, one_less(result.chosen)))
    assert every.fewest(enough) <= result.chosen.sum() <= every.fewest(enough) + 1
    assert (result.after.class_index, result.class_after.rank) == (answer, 1)


@pytest.mark.parametrize(("classes", "seed"), [(1, 0), (3, 1), (3, 4)])
def test_a_class_that_is_asked_by_itself_flips_where_its_logit_crosses_zero(make_network, classes, seed):
    outcome = tiny(make_network, 3, seed, activation="sigmoid", classes=classes)
    every = EverySet(outcome, "mean")
    for index in range(classes):
        was = float(outcome.logits[index]) > 0

        def flips(taken: np.ndarray, index: int = index, was: bool = was) -> bool:
            return (every.without(taken)[index] > 0) != was

        result, best = flip(outcome, index, fill="mean", most=1.0), every.fewest(flips)
        assert (result.before.probability > 0.5) == was
        assert flips(result.chosen)
        assert not any(map(flips, one_less(result.chosen)))
        assert best <= result.chosen.sum() <= best + 1
        assert result.after == result.class_after
        assert result.after.class_index == index
        assert (result.after.probability > 0.5) != was
        kept = sufficient(outcome, index, fill="mean")
        assert not flips(~kept.chosen)
        assert all(flips(~fewer) for fewer in one_less(kept.chosen))


class Texture(nn.Module):
    """(B, 3, h, w) to (B, 1, h / 24, w / 24): how far pixels are from their position's mean."""

    def forward(self, x: Tensor) -> Tensor:
        mean = nn.functional.avg_pool2d(x, 24).repeat_interleave(24, 2).repeat_interleave(24, 3)
        return nn.functional.avg_pool2d((x - mean).abs(), 24).mean(1, keepdim=True)


AMOUNTS = np.array([[30, 80, 10], [50, 90, 70], [20, 40, 60]])


def textured(make_network, least: float):
    """Chequered positions of these amounts; "class 0" is ahead by their sum less `least`."""
    chequers = np.indices((72, 72)).sum(0) % 2 * 2 - 1
    pixels = 124 + chequers * AMOUNTS.repeat(24, 0).repeat(24, 1)
    image = Image.fromarray(pixels[..., None].repeat(3, 2).astype(np.uint8))
    own = Preprocessing(size=72, crop_ratio=1.0, stride=24)
    of_one = float(np.mean([1 / (255 * item) for item in own.std]))
    network = make_network(linear([[9 / of_one], [0.0]], [-least, 0.0]), classes=2, channels=1)
    return analyse(dataclasses.replace(with_backbone(network, Texture()), preprocessing=own), image).under()


@pytest.mark.parametrize(("least", "out", "enough"), [
    (435, [90], [90, 80, 70, 60, 50, 40, 30, 20]), (255, [90, 80, 70], [90, 80, 70, 60]),
    (5, [90, 80, 70, 60, 50, 40, 30, 20, 10], [90]),
])
def test_what_is_worth_most_is_taken_out_and_brought_in_by_hand(make_network, least, out, enough):
    outcome = textured(make_network, least)
    assert float(outcome.logits[0]) == pytest.approx(450 - least, abs=0.1)
    result = flip(outcome, fill="mean", most=1.0)
    assert result.chosen.sum() == len(out)
    assert 450 - AMOUNTS[result.chosen].sum() < least
    assert sorted(AMOUNTS[result.chosen], reverse=True) == out
    kept = sufficient(outcome, fill="mean")
    assert kept.chosen.sum() == len(enough)
    assert AMOUNTS[kept.chosen].sum() > least
    assert result.class_after.logit == pytest.approx(450 - AMOUNTS[result.chosen].sum() - least, abs=0.1)


@pytest.mark.parametrize(("most", "positions"), [(0.3, None), (3 / 9, 3), (1, 3)])
def test_at_most_that_share_is_taken_out(make_network, most, positions):
    result = flip(textured(make_network, 255), fill="mean", most=most)
    assert result.most == most
    assert (None if result.chosen is None else result.chosen.sum()) == positions


# Real photos.


def changed_pixels(before: Image.Image, after: Image.Image) -> np.ndarray:
    return (np.asarray(before) != np.asarray(after)).any(2)


@pytest.mark.parametrize(("name", "pooling", "fill"), [("astronaut", None, "mean"), ("cat_and_coffee", "gmp", "blur")])
def test_the_network_says_so_of_the_changed_photo(network, examples, name, pooling, fill):
    outcome = analyse(network, examples[name]).under(pooling)
    result = flip(outcome, fill=fill)
    assert result.chosen is not None
    assert result.chosen.sum() <= 24
    changed_to = result.photo()
    stated = analyse(network, changed_to).under(pooling)
    assert stated.top(1)[0].class_index != outcome.top(1)[0].class_index == result.class_index
    assert stated.top(1)[0] == result.after
    assert stated.answer(result.class_index) == result.class_after
    assert result.before == outcome.top(1)[0]
    assert changed_to.size == examples[name].size
    changed = changed_pixels(examples[name], changed_to)
    boxes = outcome.analysis.framing.rectangles
    for place in np.ndindex(7, 7):
        left, top, right, bottom = boxes[place].round().astype(int)
        share = changed[top + 1 : bottom - 1, left + 1 : right - 1].mean()
        assert share > 0.5 if result.chosen[place] else share == 0


def test_what_is_enough_is_so_on_the_changed_photo(network, examples):
    outcome, fill = analyse(network, examples["coffee"], "crop", 128).under(), "mean"
    result = sufficient(outcome, fill=fill)
    assert 0 < result.chosen.sum() < 16
    assert analyse(network, result.photo(), "crop", 128).under().top(1)[0].class_index == result.class_index
    rest = changed_photo(outcome.analysis, ~result.chosen, fill)
    assert not changed_pixels(result.photo(), rest).any()


def test_the_probabilities_are_calibrated_where_asked_for(network, examples):
    outcome = analyse(network, examples["astronaut"], "crop", 128).under("gmp")
    plain, mended = (flip(outcome, fill="mean", calibrated=flag) for flag in (False, True))
    again = analyse(network, mended.photo(), "crop", 128).under("gmp")
    assert np.array_equal(plain.chosen, mended.chosen)
    assert mended.before == outcome.top(1, True)[0] != plain.before
    assert mended.after == again.top(1, True)[0] != plain.after


def test_what_the_photo_does_not_confirm_is_not_returned(make_network, monkeypatch):
    outcome = tiny(make_network, 3, 1)
    plain = flip(outcome, fill="mean", most=1.0)
    calls = []

    def only_many(analysis, chosen, fill):
        calls.append(int(chosen.sum()))
        return changed_photo(analysis, chosen if chosen.sum() >= plain.chosen.sum() + 2 else chosen & False, fill)

    monkeypatch.setattr(searching, "changed_photo", only_many)
    result = flip(outcome, fill="mean", most=1.0)
    assert plain.chosen.sum() in calls
    assert result.chosen is not None
    assert result.chosen.sum() >= plain.chosen.sum() + 2
    assert analyse(outcome.analysis.network, result.photo()).under().top(1)[0].class_index != result.class_index
    monkeypatch.setattr(searching, "changed_photo", lambda analysis, chosen, fill: analysis.image)
    assert flip(outcome, fill="mean", most=1.0).chosen is None


# Networks without evidence.


@pytest.mark.parametrize(("pooled", "layer"), [(False, None), (True, "one")])
def test_without_evidence_grad_cam_orders_and_the_model_decides(pooled, layer):
    found_any = 0
    for seed in range(3):
        network, image = layered.network(pooled, seed=seed), layered.photo(seed)
        rest = network.layers.steps.rest
        (rest if pooled else rest[1]).weight *= 30  # or nothing that it sees matters
        outcome = analyse(network, image, layer=layer).under()
        result = flip(outcome, fill="mean", most=1.0)
        if result.chosen is not None:
            found_any += 1
            logits = network.layers.logits(frame(result.photo(), network.preprocessing)[0])[0]
            assert int(logits.argmax()) == result.after.class_index != result.class_index
    assert found_any


# What is told and counted.


class Counting(nn.Module):
    """Another backbone, and how many inputs it was given."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.inputs = backbone, 0

    def forward(self, x: Tensor) -> Tensor:
        self.inputs += len(x)
        return self.backbone(x)


@pytest.mark.parametrize("ask", [flip, sufficient])
def test_passes_are_the_inputs_that_were_run_and_progress_only_grows(make_network, ask):
    network = tiny(make_network, 3, 2).analysis.network
    network = dataclasses.replace(network, backbone=Counting(network.backbone))
    outcome = analyse(network, photo(3, 2)).under()
    before, reports = network.backbone.inputs, []
    result = ask(outcome, fill="mean", progress=lambda *numbers: reports.append(numbers))
    assert result.passes == network.backbone.inputs - before
    done, expected = zip(*reports, strict=True)
    assert list(done) == sorted(done)
    assert len(set(expected)) == 1
    assert done[-1] == expected[-1]


@pytest.mark.parametrize(("enough", "ask"), [(False, flip), (True, sufficient)])
def test_the_sets_on_the_way_do_what_is_said_of_them_and_grow_smaller_until_the_last(make_network, enough, ask):
    outcome = tiny(make_network, 3, 5)  # every set of 4 x 4 positions would take 14 GB
    sets = list(smaller_and_smaller(outcome, outcome.top(1)[0].class_index, enough, "mean"))
    sizes = [int(part.chosen.sum()) for part in sets if part.chosen is not None]
    assert len(sizes) >= 2
    assert sizes == sorted(sizes, reverse=True)
    for part in sets:
        if part.chosen is not None:
            again = outcome.on(analyse(outcome.analysis.network, part.photo()))
            assert (again.top(1)[0].class_index == part.class_index) == enough
    np.testing.assert_array_equal(sets[-1].chosen, ask(outcome, fill="mean").chosen)


@pytest.mark.parametrize("after", [0, 3])
def test_it_stops_when_told(make_network, after):
    outcome = tiny(make_network, 3, 2)
    reports = []
    with pytest.raises(StoppedError):
        flip(outcome, fill="mean", most=1.0, stop=lambda: reports.append(0) or len(reports) > after)
    assert len(reports) == after + 1


def test_an_answer_that_does_not_depend_on_the_photo_is_not_flipped_and_needs_nothing(make_network):
    network = make_network(linear([[0.0] * 5] * 3, [0.0, 2.0, 1.0]), classes=3)
    outcome = analyse(network, photo(4, 0)).under()
    result = flip(outcome)
    assert (result.chosen, result.after, result.class_after) == (None,) * 3
    assert (result.most, result.before.class_index) == (0.5, 1)
    enough = sufficient(outcome)
    assert not enough.chosen.any()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"class_index": 9}, "no class 9"), ({"class_index": "other"}, "expected the answer"),
    ({"fill": "inpaint"}, "no fill 'inpaint'"), ({"most": 0}, "above 0"), ({"most": True}, "above 0"),
])
def test_what_makes_no_sense_is_refused(make_network, arguments, message):
    outcome = analyse(make_network(), photo(4, 0)).under()
    answer = outcome.top(1)[0].class_index
    if arguments.get("class_index") == "other":
        arguments = {"class_index": (answer + 1) % 4}
    for search in (smallest_flip, smallest_sufficient):
        with pytest.raises(ParameterError, match=message):
            search(outcome, **{"class_index": answer} | arguments)


def test_one_class_alone_has_no_other(make_network):
    with pytest.raises(MethodError, match="one class alone"):
        flip(analyse(make_network(classes=1), photo(4, 0)).under())


# The search itself.


def margins_of(does, calls: list):
    def margins(sets):
        calls.extend(map(len, sets))
        return np.array([float(does(set(item))) for item in sets])
    return margins


@pytest.mark.parametrize("needed", [1, 17, 137, 400])
def test_in_a_long_order_the_first_size_is_found_with_few_questions(needed):
    order, calls = list(np.random.default_rng(0).permutation(400)), []
    margins = margins_of(lambda item: 1 if set(order[:needed]) <= item else -1, calls)
    assert next(searching.by_order(margins, order, 400)) == order[:needed]
    assert len(calls) < 100


def test_in_a_short_order_every_size_is_asked_about_until_one_does():
    calls = []
    margins = margins_of(lambda item: 1 if len(item) in (5, 9) else -1, calls)
    result = searching.by_order(margins, list(range(20)), 20)
    assert next(result) == [0, 1, 2, 3, 4]
    assert calls == list(range(1, 17))
    assert [len(item) for item in result] == [9]


def test_thinning_keeps_what_is_needed_and_nothing_else():
    calls = []
    margins = margins_of(lambda item: 1 if {3, 7} <= item or {1, 2, 5} <= item else -1, calls)
    trail = searching.thinned(margins, range(12))
    assert set(trail[0]) in ({3, 7}, {1, 2, 5})
    assert trail[-1] == list(range(12))
    assert [len(item) for item in trail] == sorted(len(item) for item in trail)
    assert len(calls) < 80


def test_measuring_finds_what_works_only_together_with_what_was_taken():
    # Alone 4 and 9 do little and each other position nothing; together they do it.
    def worth(item: set[int]) -> float:
        return -1 + 0.3 * (4 in item) + 0.2 * (9 in item) + 0.6 * (item >= {4, 9})

    result = next(searching.measured(margins_of(worth, []), range(30), 10))
    assert {4, 9} <= set(result)
    assert len(result) <= 4


def test_measuring_takes_one_position_where_one_is_enough():
    assert next(searching.measured(margins_of(lambda item: 1 if 20 in item else -1, []), range(30), 10)) == [20]


def test_measuring_ends_at_the_most_positions_and_goes_on_where_a_set_is_not_wanted():
    nothing = searching.measured(margins_of(lambda item: len(item) - 100.0, []), range(30), 7)
    assert list(nothing) == []
    sizes = [len(item) for item in searching.measured(margins_of(lambda item: len(item) - 2.5, []), range(30), 7)]
    assert sizes == [3, 5, 7]


# To look at.


@pytest.mark.parametrize("long_side", [None, 100])
def test_the_cut_out_is_the_photo_in_the_positions_and_nearly_white_beside_them(network, examples, long_side):
    analysis = analyse(network, examples["coffee"])
    chosen = np.zeros((7, 7), bool)
    chosen[2:4, 3], chosen[6, 6] = True, True
    result = cut_out(analysis, chosen, long_side)
    shown, (left, top, right, bottom) = analysis.preview(long_side)
    assert (result.mode, result.size) == ("RGB", shown.size)
    pixels, before = np.asarray(result).astype(int), np.asarray(shown).astype(int)
    kept = np.zeros(pixels.shape[:2], bool)
    for y, x in np.ndindex(kept.shape):
        i, j = (y + 0.5 - top) / (bottom - top) * 7, (x + 0.5 - left) / (right - left) * 7
        kept[y, x] = 0 <= i < 7 and 0 <= j < 7 and chosen[int(i), int(j)]
    assert (pixels[kept] == before[kept]).all()
    faded = pixels[~kept]
    assert (faded == faded[:, :1]).all()
    assert faded.min() >= 210
    assert faded.std() > 3  # still to be made out
    if long_side is None:
        assert (kept == changed_pixels(analysis.image, changed_photo(analysis, chosen, "mean")))[kept].mean() > 0.95


def test_a_cut_out_of_another_grid_is_refused(network, examples):
    with pytest.raises(ParameterError, match=r"shape \(4, 4\)"):
        cut_out(analyse(network, examples["coffee"]), np.ones((4, 4), bool))
