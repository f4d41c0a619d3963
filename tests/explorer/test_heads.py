"""Heads trained on frozen feature maps: what they answer, what they learn, and what is shipped."""

from __future__ import annotations

import json
import math

import pytest
import torch
from heads_by_hand import gap_of, gated_of, gem_of, gmp_of, learned_attention_of, multi_query_of, windows_of
from hypothesis import given
from hypothesis import strategies as st
from tiny import random_maps
from torch.nn import functional

from assets.make.train_heads import quantise, save_head, save_sample, train_heads
from explorer.errors import NetworkError, ParameterError, StoppedError
from explorer.heads import (
    KINDS,
    Budget,
    Sample,
    read_card,
    read_heads,
    sample,
    summaries,
    training_runs,
)
from explorer.heads.head_files import HEADS
from explorer.heads.training import Photos, fit
from explorer.poolings.learned import KEYS, learned_attention, multi_query, pooling_with

QUICK = Budget(epochs=30, every=5)


def train(maps, labels, kinds=tuple(KINDS), *, validation=0.2, seed=0, **options):
    """The heads of those kinds, trained; a share of each class's photos, drawn with the seed, validates."""
    if isinstance(validation, float):
        share, validation = validation, torch.zeros(len(labels), dtype=torch.bool)
        generator = torch.Generator().manual_seed(seed)
        for index in range(int(labels.max()) + 1):
            photos = torch.nonzero(labels == index).flatten()
            order = torch.randperm(len(photos), generator=generator)
            validation[photos[order[:max(1, round(share * len(photos)))]]] = True
    return train_heads(maps, labels, kinds, validation=validation, **options)


def random_head(kind, shape=(4, 3, 5), classes=3, seed=0):
    """A head in which everything has some value, as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    head = KINDS[kind](shape, classes).eval().requires_grad_(False)
    for name, parameter in head.named_parameters():
        parameter.copy_(torch.tensor(2.3) if name == "p" else torch.randn(parameter.shape, generator=generator))
    return head


def pooled(head, maps):
    """(N, D) of feature maps (N, C, H, W)."""
    return head.pool(head.prepare(maps))


def pooled_by_hand(head, maps):
    """The pooled vector of maps (C, H, W), from the definition."""
    rows, columns = maps.shape[1:]
    if head.kind == "pyramid":
        return [math.fsum(float(channel[i, j]) for i, j in window) / len(window)
                for window in windows_of(rows, columns) for channel in maps.double()]
    return {
        "gap": lambda: gap_of(maps), "gmp": lambda: gmp_of(maps), "side_by_side": lambda: gap_of(maps) + gmp_of(maps),
        "gem": lambda: gem_of(maps, float(head.p)), "attention": lambda: learned_attention_of(maps, head.query),
        "multi_query": lambda: multi_query_of(maps, head.queries),
        "gated": lambda: gated_of(maps, head.gate.weight[0], float(head.gate.bias)),
        "flatten": lambda: maps.double().flatten().tolist(),
    }[head.kind]()


def told_apart(count=12, rows=3, columns=3, seed=0):
    """Two classes of maps (2 * count, 2, H, W) with equal averages: class 1 has one strong position in channel 0."""
    generator = torch.Generator().manual_seed(seed)
    maps = 0.05 * torch.rand(2 * count, 2, rows, columns, generator=generator)
    for n in range(2 * count):
        place = int(torch.randint(rows * columns, (), generator=generator))
        strong = torch.zeros(rows * columns)
        strong[place] = 1.0
        maps[n, 0] += strong.view(rows, columns) if n >= count else torch.full((rows, columns), 1 / (rows * columns))
    return maps, torch.arange(2 * count) // count


@pytest.fixture(scope="module")
def trained():
    """All kinds, trained for a moment on feature maps that tell three classes apart a little."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(45) % 3
    maps = torch.randn(45, 4, 3, 5, generator=generator).relu()
    maps[torch.arange(45), labels] += 0.4 * torch.rand(45, 3, 5, generator=generator)
    return maps, labels, train(maps, labels, validation=0.2, budget=QUICK, seed=3)


@pytest.fixture(scope="module")
def shipped():
    return sample()


# What a head answers.


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_definitions(kind):
    head = random_head(kind)
    for maps in (random_maps(4, 3, 5, seed=1), random_maps(4, 3, 5, seed=2), torch.zeros(4, 3, 5)):
        vector = pooled_by_hand(head, maps)
        for index, logit in enumerate(head(maps[None])[0].tolist()):
            weights = head.linear.weight[index].double().tolist()
            by_hand = math.fsum(w * y for w, y in zip(weights, vector, strict=True)) + float(head.linear.bias[index])
            assert logit == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("kind", KEYS)
def test_a_head_pools_as_the_pooling_that_is_read_from_its_file(kind):
    """Training pools from what was prepared, and GeM from active positions alone; one channel here is silent."""
    head = random_head(kind)
    maps = torch.stack([random_maps(4, 3, 5, seed=seed) for seed in range(6)])
    maps[2, 1] = 0
    pooling, parameters = pooling_with(kind, head.state_dict())
    assert torch.allclose(head.pool(head.prepare(maps)), pooling.value(maps, **parameters), atol=1e-5)


def test_shuffled_positions_change_the_answers_that_know_of_place_and_no_others():
    maps = random_maps(4, 3, 5, seed=9)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    shuffled = maps.flatten(1)[:, order].view(4, 3, 5)
    for kind in KINDS:
        head = random_head(kind)
        moved = float((head(maps[None]) - head(shuffled[None])).abs().max())
        assert (moved > 0.01) if kind in ("pyramid", "flatten") else (moved < 1e-5)


def test_only_flatten_refuses_another_grid_with_torchs_own_error():
    for kind in KINDS:
        if kind == "flatten":
            with pytest.raises(RuntimeError, match="cannot be multiplied"):
                random_head(kind)(random_maps(4, 4, 6)[None])
        else:
            assert random_head(kind)(random_maps(4, 6, 7)[None]).shape == (1, 3)


def test_parameters_are_as_many_as_the_literature_counts(trained):
    """Of 4 channels on 3 x 5 positions and 3 classes."""
    assert {kind: sum(one.numel() for one in head.module.parameters()) for kind, head in trained[2].items()} == {
        "gap": 15, "gmp": 15, "gem": 16, "attention": 19, "multi_query": 31, "gated": 20, "side_by_side": 27,
        "pyramid": 63, "flatten": 183,
    }


# Training.


def test_the_numbers_are_those_of_the_head_that_is_kept(trained):
    maps, labels, heads = trained
    for head in heads.values():
        logits = head.module(maps).double()
        right = (logits.argmax(1) == labels).double()
        loss = functional.cross_entropy(logits, labels, reduction="none")
        # Which photos validated is told by the numbers: nine of them, three a class, the same for all kinds.
        total = 36 * head.kept.train_loss + 9 * head.kept.validation_loss
        assert float(loss.sum()) == pytest.approx(total, rel=1e-4)
        total = 36 * head.kept.train_accuracy + 9 * head.kept.validation_accuracy
        assert float(right.sum()) == pytest.approx(total, abs=1e-4)


def test_each_number_is_of_its_own_photos():
    maps, labels = told_apart()
    held_out = torch.arange(24) % 4 == 0
    head = train(maps, labels, ["gmp"], validation=held_out, budget=QUICK)["gmp"]
    kept = head.kept
    for photos, accuracy, loss in ((~held_out, kept.train_accuracy, kept.train_loss),
                                   (held_out, kept.validation_accuracy, kept.validation_loss)):
        logits = head.module(maps[photos])
        assert loss == pytest.approx(float(functional.cross_entropy(logits, labels[photos])), rel=1e-5)
        assert accuracy == pytest.approx(float((logits.argmax(1) == labels[photos]).float().mean()))


def test_gap_learns_nothing_where_only_the_maximum_tells_and_gmp_everything():
    maps, labels = told_apart()
    heads = train(maps, labels, ["gap", "gmp"], validation=0.25)
    assert heads["gap"].kept.validation_accuracy < 0.9
    assert heads["gmp"].kept.validation_accuracy == 1.0


def test_gem_moves_towards_the_maximum_where_only_that_tells():
    maps, labels = told_apart()
    head = train(maps, labels, ["gem"], validation=0.25)["gem"]
    assert float(head.module.p) > 1.5
    assert head.kept.validation_accuracy == 1.0


def test_p_never_leaves_its_range():
    """Class 1 is spread over all positions, class 0 concentrated: the smallest p, the average, tells most."""
    maps, labels = told_apart()
    mean = maps.mean((2, 3), keepdim=True).expand_as(maps).clone()
    head = train(torch.where(labels.view(-1, 1, 1, 1) == 1, 2 * mean, maps), labels, ["gem"], validation=0.25)
    assert 1 <= float(head["gem"].module.p) <= 100


def test_the_query_finds_the_positions_that_tell():
    """Channel 2 marks one position; there alone channels 0 and 1 tell the classes apart, elsewhere they are noise."""
    generator = torch.Generator().manual_seed(5)
    maps, labels = torch.rand(60, 3, 4, 4, generator=generator), torch.arange(60) % 2
    maps[:, 2] = 0
    places = torch.randint(16, (60,), generator=generator)
    flat, photos = maps.flatten(2), torch.arange(60)
    flat[photos, 2, places], flat[photos, 0, places], flat[photos, 1, places] = 1.0, labels.float(), 1.0 - labels
    heads = train(maps, labels, ["gap", "attention"], validation=0.3,
                        budget=Budget(epochs=400, patience=None, weight_decay=0))
    weights = learned_attention(heads["attention"].module.query).weights(maps)[:, 0].flatten(1)
    assert float((weights.argmax(1) == places).float().mean()) == 1.0
    assert heads["attention"].kept.validation_loss < 0.7 * heads["gap"].kept.validation_loss


def test_queries_that_start_alike_learn_to_look_at_different_places():
    """Channel 4 marks one position and channel 5 another; channels 0 and 1 tell at the first, 2 and 3 at the second."""
    generator = torch.Generator().manual_seed(6)
    maps, labels = torch.rand(80, 6, 4, 4, generator=generator), torch.arange(80) % 2
    first = torch.randint(16, (80,), generator=generator)
    second, flat, photos = (first + 5) % 16, maps.flatten(2), torch.arange(80)
    flat[:, 4:] = 0
    for marks, place, channels in ((4, first, (0, 1)), (5, second, (2, 3))):
        flat[photos, marks, place] = 1.0
        for channel, sign in zip(channels, (labels, 1 - labels), strict=True):
            flat[photos, channel, place] = sign.float()
    heads = train(maps, labels, ["gap", "multi_query"], validation=0.3,
                  budget=Budget(epochs=400, patience=None, weight_decay=0))
    weights = multi_query(heads["multi_query"].module.queries).weights(maps).flatten(2)
    for channel, place in ((0, first), (2, second)):
        assert float((weights[:, channel].argmax(1) == place).float().mean()) > 0.95
    assert heads["multi_query"].kept.validation_loss < heads["gap"].kept.validation_loss


@pytest.mark.parametrize("tells", ["average", "maximum"])
def test_the_gate_opens_for_what_tells(tells):
    maps, labels = told_apart(24)
    if tells == "average":  # the same maximum for all, and twice the average for class 1
        maps = torch.where(labels.view(-1, 1, 1, 1) == 1, 0.9, 0.3) * torch.ones_like(maps)
        maps[:, :, 0, 0] = 1.0
    head = train(maps, labels, ["gated"], validation=0.25, budget=Budget(epochs=400, patience=None))["gated"]
    shares = head.module.gate(maps.mean((2, 3))).sigmoid()
    assert ((shares > 0.55) if tells == "average" else (shares < 0.45)).all()


def test_training_stops_early_and_keeps_the_epoch_with_the_smallest_validation_loss():
    """The labels are drawn by lot: what is learned by heart can only harm on other photos."""
    generator = torch.Generator().manual_seed(0)
    maps, labels = torch.rand(40, 30, 2, 2, generator=generator), torch.randint(2, (40,), generator=generator)
    heads = {patience: train(maps, labels, ["flatten"], budget=Budget(patience=patience, every=4))["flatten"]
             for patience in (20, None)}
    early, whole = heads[20], heads[None]
    assert early.kept == min(early.history, key=lambda look: look.validation_loss)
    assert early.history[-1].epoch == early.kept.epoch + 20 < 200
    assert whole.history[-1].epoch == whole.kept.epoch == 200
    assert whole.history[:len(early.history)] == early.history
    assert whole.kept.validation_loss > early.kept.validation_loss
    assert whole.kept.train_loss < early.kept.train_loss


def test_all_kinds_begin_alike_and_nothing_is_drawn_by_lot(trained):
    maps, labels, heads = trained
    for head in heads.values():
        assert head.history[0].epoch == 0
        assert head.history[0].train_loss == pytest.approx(math.log(3))
    again = train(maps, labels, validation=0.2, budget=QUICK, seed=3)
    assert all(again[kind].history == head.history for kind, head in heads.items())
    other = train(maps, labels, ["gap"], validation=0.2, budget=QUICK, seed=4)["gap"]
    assert other.history != heads["gap"].history


def test_a_kind_trained_alone_is_the_same_as_among_others(trained):
    maps, labels, heads = trained
    alone = train(maps, labels, ["attention"], validation=0.2, budget=QUICK, seed=3)["attention"]
    assert torch.equal(alone.module.query, heads["attention"].module.query)


def test_the_size_of_the_maps_changes_nothing_but_the_weights():
    """That is what finding the learning rate from the pooled vectors is for."""
    maps, labels = told_apart()
    for kind in ("gap", "gmp", "pyramid", "flatten"):
        one, ten = (train(factor * maps, labels, [kind], validation=0.25, budget=QUICK)[kind]
                    for factor in (1, 10))
        assert one.kept.validation_loss == pytest.approx(ten.kept.validation_loss, rel=1e-3)
        assert torch.allclose(one.module.linear.weight, 10 * ten.module.linear.weight, rtol=1e-2, atol=1e-4)


def test_training_works_without_gradients_and_changes_nothing_that_it_is_given():
    maps, labels = told_apart()
    before = maps.clone()
    with torch.no_grad():
        head = train(maps, labels, ["gated"], budget=QUICK)["gated"]
    assert torch.equal(maps, before)
    assert head.kept.train_loss < head.history[0].train_loss
    assert not head.module.training
    assert not any(parameter.requires_grad for parameter in head.module.parameters())


def test_silent_maps_train_to_nothing_that_is_not_a_number():
    maps, labels = told_apart()
    maps[::2, 1] = 0
    for given_maps in (maps, torch.zeros_like(maps)):
        for head in train(given_maps, labels, budget=Budget(epochs=10, patience=None)).values():
            assert math.isfinite(head.kept.train_loss)
            assert all(torch.isfinite(parameter).all() for parameter in head.module.parameters())


def test_what_is_learned_starts_at_the_average():
    maps = random_maps(4, 3, 5)
    for kind in ("gem", "attention", "multi_query"):
        assert pooled(KINDS[kind]((4, 3, 5), 3), maps[None])[0].tolist() == pytest.approx(gap_of(maps))
    halfway = [(mean + largest) / 2 for mean, largest in zip(gap_of(maps), gmp_of(maps), strict=True)]
    assert pooled(KINDS["gated"]((4, 3, 5), 3), maps[None])[0].tolist() == pytest.approx(halfway)


def steps_of(kind, epochs, **more):
    """The head of a kind after that many steps on the maps that were told apart, and its mean pooled magnitude."""
    maps, labels = told_apart()
    held_out = torch.arange(24) % 4 == 0
    head = train(maps, labels, [kind], validation=held_out, budget=Budget(epochs, None, step=0.5, **more))[kind]
    start = KINDS[kind](maps.shape[1:], 2)
    return head.module, float(pooled(start, maps[~held_out]).detach().abs().sum(1).mean())


def test_a_first_step_is_as_long_as_the_budget_says():
    """AdamW's first step is its rate, whatever the gradient; a bias is a number in logits, and so is the step."""
    for kind in KINDS:
        head, size = steps_of(kind, 1)
        assert head.linear.weight.abs().flatten().tolist() == pytest.approx([0.5 / size] * head.linear.weight.numel(),
                                                                            rel=1e-3)
    assert steps_of("gmp", 1)[0].linear.bias.abs().amax() <= 0.5


def test_what_pools_learns_at_rates_of_its_own():
    """It has no gradient until the Linear has moved, so its first step is AdamW's second: (0.1 / 0.19) over
    sqrt(0.001 / 0.001999) of the rate."""
    share = (0.1 / 0.19) / math.sqrt(0.001 / 0.001999)
    attention, size = steps_of("attention", 2)
    assert float(attention.query.abs().amax()) == pytest.approx(share * 0.5 / size / math.sqrt(2), rel=1e-3)
    assert float(steps_of("gem", 2)[0].p) == pytest.approx(1 + share * 0.02, rel=1e-3)


def test_decay_shrinks_weights_by_the_same_share_in_all_kinds_and_biases_not_at_all():
    """In the second step; before the first all are 0."""
    for kind in KINDS:
        first, with_decay, without = (steps_of(kind, epochs, weight_decay=decay)[0].linear
                                      for epochs, decay in ((1, 0.0), (2, 0.2), (2, 0.0)))
        lost = without.weight - with_decay.weight
        assert torch.allclose(lost, 0.5 * 0.2 * first.weight, rtol=1e-2, atol=1e-6)
        assert torch.equal(without.bias, with_decay.bias)


def test_progress_rises_to_the_end_also_when_training_stops_early():
    maps, labels = told_apart()
    reports = []
    train(maps, labels, ["gap", "gmp"], budget=Budget(epochs=60, patience=5, every=5),
                progress=lambda done, total: reports.append((done, total)))
    assert reports == sorted(reports)
    assert reports[-1] == (120, 120)
    assert (60, 120) in reports


def test_one_against_all_is_torchs_binary_cross_entropy_of_every_class_alone():
    """Two epochs of the same AdamW by hand, on pooled vectors of three classes."""
    generator = torch.Generator().manual_seed(3)
    maps, labels = torch.rand(9, 4, 1, 1, generator=generator), torch.arange(9) % 3
    photos = Photos(KINDS["gap"].prepare(maps), labels)
    trained = fit(KINDS["gap"]((4, 1, 1), 3), photos, photos, Budget(2, None, weight_decay=0), loss="bce")
    vectors = maps[:, :, 0, 0]
    weight, bias = torch.zeros(3, 4, requires_grad=True), torch.zeros(3, requires_grad=True)
    rate = 1 / float(vectors.sum(1).mean())
    optimiser = torch.optim.AdamW([{"params": [weight], "lr": rate}, {"params": [bias], "lr": 1.0}], weight_decay=0)
    for _ in range(2):
        optimiser.zero_grad()
        total = sum(functional.binary_cross_entropy_with_logits(
            vectors[n] @ weight[c] + bias[c], torch.tensor(1.0 if labels[n] == c else 0.0))
            for n in range(9) for c in range(3))
        (total / 27).backward()
        optimiser.step()
    assert torch.allclose(trained.module.linear.weight, weight.detach(), atol=1e-4)
    assert torch.allclose(trained.module.linear.bias, bias.detach(), atol=1e-4)
    assert trained.history[0].train_loss == pytest.approx(math.log(2), abs=1e-6)
    with pytest.raises(ParameterError, match="expected one of ce, bce"):
        fit(KINDS["gap"]((4, 1, 1), 3), photos, photos, loss="hinge")


def test_a_stop_ends_it_at_once():
    maps, labels = told_apart()
    head, checks = KINDS["gmp"](maps.shape[1:], 2), []
    photos = Photos(head.prepare(maps), labels)
    with pytest.raises(StoppedError, match="after 7 of 200 epochs of GMP"):
        fit(head, photos, photos, stop=lambda: len(checks) == 7 or checks.append(0))


@pytest.mark.parametrize(("change", "words"), [
    ({"maps": torch.zeros(24, 2, 9)}, r"\(24, 2, 9\)"),
    ({"labels": torch.zeros(23, dtype=torch.long)}, r"labels \(23,\)"),
    ({"labels": torch.arange(24) % 2 * 2}, "Class 1 has 0 photos to train on"),
    ({"labels": torch.arange(24).clamp_max(1)}, "Class 0 has 0 photos to train on"),
    ({"kinds": ["gap", "max"]}, "'max'"),
    ({"kinds": []}, "none"),
    ({"validation": torch.zeros(24, dtype=torch.bool)}, "0 to validate on"),
    ({"validation": torch.ones(24, dtype=torch.bool)}, "0 photos to train on"),
    ({"validation": torch.zeros(3, dtype=torch.bool)}, r"validation \(3,\)"),
])
def test_what_cannot_be_trained_on_is_refused(change, words):
    maps, labels = told_apart()
    with pytest.raises(ParameterError, match=words):
        train(**{"maps": maps, "labels": labels, "budget": QUICK, "validation": torch.arange(24) % 4 == 0} | change)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"patience": 0}, {"every": 1.5}, {"step": 0.0},
                                   {"weight_decay": -1.0}, {"step": math.nan}])
def test_a_budget_that_cannot_be_is_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong)).replace("_", " ")):
        Budget(**wrong)


def test_maps_that_do_not_fit_a_head_are_refused(trained):
    for head in trained[2].values():
        with pytest.raises(ParameterError):
            head.module(torch.zeros(1, 5, 3, 5))
        with pytest.raises(ParameterError):
            head.module(torch.zeros(4, 3, 5))


# Rounding.


@given(st.integers(0, 100), st.integers(1, 255))
def test_rounding_is_off_by_half_a_step_at_most(seed, steps):
    maps = 6 * torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    rounded = quantise(maps, steps)
    assert rounded.scale == pytest.approx(float(maps.amax()) / steps)
    assert float((rounded.floats() - maps).abs().max()) <= rounded.scale / 2 + 1e-5
    again = quantise(rounded.floats(), steps, rounded.scale * steps)
    assert torch.equal(again.codes, rounded.codes)


def test_rounding_by_hand():
    maps = torch.tensor([0.0, 0.24, 0.26, 1.0, 7.0]).view(1, 5, 1, 1)
    rounded = quantise(maps, 4, 2.0)
    assert rounded.codes.flatten().tolist() == [0, 0, 1, 2, 4]
    assert rounded.floats().flatten().tolist() == [0.0, 0.0, 0.5, 1.0, 2.0]
    assert not quantise(torch.zeros(1, 1, 1, 1)).floats().any()


@pytest.mark.parametrize("make", [
    lambda: quantise(torch.tensor([[[[-1.0]]]])), lambda: quantise(torch.tensor([[[[math.nan]]]])),
    lambda: quantise(torch.ones(1, 1, 1, 1), 256), lambda: quantise(torch.ones(1, 1, 1, 1), 0),
])
def test_what_cannot_be_rounded_is_refused(make):
    with pytest.raises(ParameterError):
        make()


# Overfitting.


def small_sample(swapped=False):
    """Twelve photos a class to train on and four to validate on; swapped: those have the other class's label."""
    maps, labels = told_apart(16)
    held_out = torch.arange(32) % 4 == 0
    labels = torch.where(held_out, 1 - labels, labels) if swapped else labels
    return Sample(quantise(maps), labels, held_out, ("even", "strong"), tuple(map(str, range(32))))


def of(result, kind, size):
    """The summary of a kind at a size."""
    return next(summary for summary in result if (summary.kind, summary.size) == (kind, size))


def test_summaries_are_the_means_and_deviations_of_their_runs():
    runs = list(training_runs(small_sample(), ["gmp", "flatten"], (4, 2), 3))
    result = summaries(runs)
    assert [(summary.kind, summary.size, summary.seeds) for summary in result] == [
        ("gmp", 2, 3), ("gmp", 4, 3), ("flatten", 2, 3), ("flatten", 4, 3)]
    for summary in result:
        ends = [run.trained.kept for run in runs if (run.kind, run.size) == (summary.kind, summary.size)]
        for name, values in {
            "train_loss": [end.train_loss for end in ends],
            "validation_accuracy": [end.validation_accuracy for end in ends],
            "gap": [end.train_accuracy - end.validation_accuracy for end in ends],
        }.items():
            mean, deviation = getattr(summary, name)
            assert mean == pytest.approx(sum(values) / 3)
            assert deviation == pytest.approx(math.sqrt(sum((value - mean) ** 2 for value in values) / 2))
    assert summaries(runs[:1])[0].gap.deviation == 0.0


def test_validation_photos_are_never_trained_on():
    """Their labels are the wrong ones: who learned from them would answer some of them so."""
    summary, = summaries(training_runs(small_sample(swapped=True), ["gmp"], (12,), 1))
    assert summary.train_accuracy.mean == 1.0
    assert summary.validation_accuracy.mean == 0.0


def test_a_head_on_some_photos_is_the_head_that_training_on_these_alone_gives():
    """All twelve photos of each class are drawn, so the draw is known."""
    given_photos = small_sample()
    run, = training_runs(given_photos, ["gated"], (12,), 1, budget=Budget(epochs=20, patience=None))
    other = train(given_photos.features.floats(), given_photos.labels, ["gated"], validation=given_photos.validation,
                        budget=Budget(epochs=20, patience=None))["gated"]
    assert run.trained.kept.validation_loss == pytest.approx(other.kept.validation_loss, rel=1e-4)


def test_draws_are_the_same_for_all_kinds_and_differ_between_seeds():
    both = list(training_runs(small_sample(), ["gap", "flatten"], (3,), 2, budget=QUICK))
    alone = list(training_runs(small_sample(), ["flatten"], (3,), 2, budget=QUICK))
    assert [run.trained.history for run in both if run.kind == "flatten"] == [run.trained.history for run in alone]
    assert alone[0].trained.history != alone[1].trained.history


def test_the_first_kind_is_there_at_all_sizes_before_another_is_even_prepared(monkeypatch):
    def never(_) -> None:
        raise AssertionError("GeM was prepared")

    monkeypatch.setattr(KINDS["gem"], "prepare", staticmethod(never))
    runs = training_runs(small_sample(), ["gap", "gem"], (4, 2), 1, budget=QUICK)
    assert [(run.kind, run.size) for run in (next(runs), next(runs))] == [("gap", 2), ("gap", 4)]


def test_the_runs_stop_at_a_stop():
    checks = []
    with pytest.raises(StoppedError):
        list(training_runs(small_sample(), ["gap"], (2, 3), 2, stop=lambda: len(checks) > 5 or checks.append(0)))
    assert len(checks) == 6


@pytest.mark.parametrize("wrong", [{"sizes": (13,)}, {"sizes": (0,)}, {"sizes": ()}, {"seeds": 0}, {"kinds": ["x"]}])
def test_sizes_seeds_and_kinds_that_cannot_be_are_refused(wrong):
    with pytest.raises(ParameterError):
        list(training_runs(small_sample(), **wrong))


# What is shipped.


def card_kinds() -> list[str]:
    return list(read_card()["heads"])


def test_the_shipped_numbers_are_those_of_the_shipped_heads_on_the_shipped_sample(shipped):
    card, heads = read_card(), read_heads()
    maps = shipped.features.floats(shipped.validation).double()
    labels = shipped.labels[shipped.validation]
    assert list(heads) == [kind for kind in KINDS if kind != "multi_query"]
    for kind, head in heads.items():
        logits = head.double()(maps)
        shown = card["heads"][kind]["sample"]
        assert float((logits.argmax(1) == labels).double().mean()) == pytest.approx(shown["accuracy"], abs=1e-4)
        assert float(functional.cross_entropy(logits, labels)) == pytest.approx(shown["loss"], abs=1e-3)
        assert sum(parameter.numel() for parameter in head.parameters()) == card["heads"][kind]["parameters"]


def test_the_sample_is_balanced_small_and_traceable(shipped):
    card = read_card()
    assert shipped.features.codes.shape[1:] == torch.Size(card["feature_maps"])
    for part, chosen in (("train", ~shipped.validation), ("val", shipped.validation)):
        counts = torch.bincount(shipped.labels[chosen])
        assert counts.tolist() == [card["sample"]["photos_a_class"][part]] * len(shipped.class_names)
    assert len(set(shipped.photos)) == len(shipped.photos) == len(shipped.labels)
    assert (HEADS / card["sample"]["file"]).stat().st_size < 8_000_000
    assert max(path.stat().st_size for path in HEADS.glob("*.safetensors")) < 1_000_000


def test_what_rounding_loses_is_written_down_and_less_than_a_percent():
    lost = read_card()["sample"]["quantisation"]
    for kind in card_kinds():
        assert lost[kind]["exact"] - lost[kind]["rounded"] < 0.01


def test_the_heads_are_as_good_as_was_asked_for_or_the_card_says_by_what_they_are_short():
    card = read_card()
    reached = {kind: about["validation"]["accuracy"] for kind, about in card["heads"].items()}
    for kind, least in {"gap": 0.90, "gmp": 0.87, "gem": 0.90, "attention": 0.88}.items():
        assert (reached[kind] >= least) != (kind in card["short"])
        assert reached[kind] >= least - 0.005


def test_flatten_learns_more_by_heart_than_gap(shipped):
    result = summaries(training_runs(shipped, ["gap", "flatten"], (5, 10), 2,
                                    budget=Budget(epochs=40, patience=None, every=40)))
    for size in (5, 10):
        gap, flatten = of(result, "gap", size), of(result, "flatten", size)
        assert flatten.gap.mean > gap.gap.mean
        assert flatten.validation_loss.mean - flatten.train_loss.mean > gap.validation_loss.mean - gap.train_loss.mean


def test_heads_and_samples_come_back_from_their_files(tmp_path):
    head, some = random_head("gated", (2, 3, 3), 2), small_sample()
    path = tmp_path / "flowers_gated.safetensors"
    files = {"gated": {"file": path.name, "sha256": save_head(head, path)}}
    sha256 = save_sample(some, tmp_path / "sample.npz")
    card = {"heads": files, "classes": ["even", "strong"], "feature_maps": [2, 3, 3],
            "sample": {"file": "sample.npz", "sha256": sha256}}
    (tmp_path / "flowers.json").write_text(json.dumps(card))
    maps = random_maps(2, 3, 3)[None]
    assert torch.allclose(read_heads(tmp_path)["gated"](maps), head(maps), atol=1e-2)
    again = sample(tmp_path)
    assert torch.equal(again.features.codes, some.features.codes)
    assert again.features.scale == some.features.scale
    assert again.class_names == some.class_names
    assert again.photos == some.photos
    assert torch.equal(again.labels, some.labels)
    assert torch.equal(again.validation, some.validation)
    (tmp_path / "sample.npz").write_bytes(b"not a sample")
    with pytest.raises(NetworkError, match=r"sample\.npz.*exchanged"):
        sample(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(NetworkError, match=r"flowers_gated\.safetensors.*exchanged"):
        read_heads(tmp_path)
    (tmp_path / "flowers.json").write_text(json.dumps(card | {"heads": {"gap": files["gated"] | {"sha256": None}}}))
    with pytest.raises(NetworkError, match=r"flowers_gated\.safetensors is damaged"):
        read_heads(tmp_path)
    (tmp_path / "flowers.json").write_text("[]")
    with pytest.raises(NetworkError, match="damaged"):
        read_heads(tmp_path)
