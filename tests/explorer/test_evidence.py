"""Evidence: logits decomposed, and added up again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import nn

from explorer import POOLINGS, analyse, read_image
from explorer.evidence import decompose
from explorer.framing import FRAMINGS
from explorer.networks.head import head_kind, hold
from tests.explorer import second_derivations as again

LARGEST_RESIDUAL = {key: 1e-3 if key == "lse" else 1e-4 for key in POOLINGS}


# The identity on twenty photos, under every pooling and framing.


def drawn_photos(examples: dict[str, Image.Image]) -> dict[str, Image.Image]:
    """Fourteen photos besides the examples: gradients, shapes, noise, and pieces of the examples."""
    generator = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 400)
    shapes = Image.new("RGB", (500, 320), (30, 90, 160))
    pen = ImageDraw.Draw(shapes)
    pen.ellipse((60, 40, 240, 220), fill=(230, 200, 40))
    pen.rectangle((300, 150, 450, 300), fill=(200, 40, 60))
    pen.polygon([(250, 20), (330, 120), (180, 120)], fill=(245, 245, 245))
    stripes = np.zeros((240, 600, 3), np.uint8)
    stripes[:, ::20] = stripes[:, 1::20] = 255
    pasted = examples["coffee"].copy()
    pasted.paste(examples["astronaut"].resize((200, 200)), (30, 60))
    collage = Image.new("RGB", (512, 512))
    for n, name in enumerate(("cat", "coffee", "rocket", "photographer")):
        collage.paste(examples[name].resize((256, 256)), (256 * (n % 2), 256 * (n // 2)))
    return {
        "black": Image.new("RGB", (300, 200)),
        "white": Image.new("RGB", (200, 300), "white"),
        "one pixel": Image.new("RGB", (1, 1), (120, 20, 200)),
        "ramp": Image.fromarray(np.stack([np.tile(ramp, (250, 1))] * 3, -1).astype(np.uint8)),
        "cross ramp": Image.fromarray(
            np.stack([np.tile(ramp, (400, 1)), np.tile(ramp[:, None], (1, 400)), np.full((400, 400), 90)], -1)
            .astype(np.uint8)
        ),
        "shapes": shapes,
        "stripes": Image.fromarray(stripes),
        "noise": Image.fromarray(generator.integers(0, 256, (260, 260, 3), dtype=np.uint8)),
        "coarse noise": Image.fromarray(generator.integers(0, 256, (12, 18, 3), dtype=np.uint8)).resize((360, 240)),
        "face": examples["astronaut"].crop((150, 0, 330, 240)),
        "mirrored": ImageOps.mirror(examples["cat"]),
        "upside down": ImageOps.flip(examples["rocket"]),
        "pasted": pasted,
        "collage": collage,
    }


Residuals = dict[tuple[str, str, str], float]


def measured(network, photos: dict[str, Image.Image]) -> Iterator[tuple[tuple[str, str, str], float]]:
    """((pooling, framing, photo), the largest |baseline + sum of evidence - logit|) over nine classes each."""
    for photo, image in photos.items():
        for framing in FRAMINGS:
            analysis = analyse(network, image, framing)
            for pooling in POOLINGS:
                outcome = analysis.under(pooling)
                classes = [answer.class_index for answer in outcome.top(5)] + [0, 207, 478, 999]
                # Not the logit that the evidence carries, but the head's own answer to the pooled vector.
                with torch.no_grad():
                    logits = network.head(outcome.pooled[None])[0]
                worst = 0.0
                for result in outcome.evidences(classes):
                    assert result.logit == pytest.approx(float(logits[result.class_index]), abs=1e-4)
                    left = float(logits[result.class_index]) - result.baseline - float(result.cells.double().sum())
                    assert result.residual == pytest.approx(left, abs=1e-4)
                    worst = max(worst, abs(left))
                yield (pooling, framing, photo), worst


@pytest.fixture(scope="module")
def residuals(network, examples) -> Residuals:
    photos = {**examples, **drawn_photos(examples)}
    assert len(photos) == 20
    return dict(measured(network, photos))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_baseline_and_evidence_give_the_logit_on_twenty_photos_in_three_framings(residuals, pooling):
    result = {key: residual for key, residual in residuals.items() if key[0] == pooling}
    assert len(result) == 60
    worst = max(result, key=result.get)
    assert result[worst] <= LARGEST_RESIDUAL[pooling], worst


def test_baseline_and_evidence_give_the_logit_on_twenty_real_photos(network):
    folder = os.environ.get("POOLSCOPE_PHOTOS")
    if not folder:
        pytest.skip("set POOLSCOPE_PHOTOS to a folder of photos")
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    chosen = paths[:: max(1, len(paths) // 20)][:20]
    assert len(chosen) == 20, f"{folder} holds {len(paths)} photos; expected at least 20"
    for key, residual in measured(network, {path.name: read_image(path) for path in chosen}):
        assert residual <= LARGEST_RESIDUAL[key[0]], key


@pytest.mark.parametrize("pooling", [key for key in POOLINGS if POOLINGS[key].parameter])
def test_the_identity_holds_at_both_ends_of_the_parameter(network, examples, pooling):
    known = POOLINGS[pooling].parameter
    for image in (examples["cat"], examples["rocket"]):
        analysis = analyse(network, image)
        for number in (known.low, known.high):
            outcome = analysis.under(pooling, **{known.name: number})
            for result in outcome.evidences([answer.class_index for answer in outcome.top(5)]):
                left = result.logit - result.baseline - float(result.cells.double().sum())
                assert abs(left) <= LARGEST_RESIDUAL[pooling], number


@pytest.mark.parametrize("pooling", ["gmp", "lse"])
def test_baseline_and_channels_give_the_logit(network, examples, pooling):
    outcome = analyse(network, examples["cat_and_coffee"]).under(pooling)
    for result in outcome.evidences([answer.class_index for answer in outcome.top(5)]):
        assert result.channels.shape == (1280,)
        assert float(result.channels.double().sum()) + result.baseline == pytest.approx(result.logit, abs=1e-4)
        torch.testing.assert_close(result.channels, result.slopes * outcome.pooled)


# Against the second derivation, and by hand.


def random_head(channels=5, classes=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    matrix, bias = torch.randn(classes, channels, generator=generator), torch.randn(classes, generator=generator)
    head = nn.Linear(channels, classes)
    head.load_state_dict({"weight": matrix, "bias": bias})
    return head.requires_grad_(False), matrix.double().tolist(), bias.double().tolist()


def random_maps(channels=5, rows=3, columns=4, seed=2):
    maps = torch.randn(channels, rows, columns, generator=torch.Generator().manual_seed(seed)) * 2
    maps[0] = 0
    maps[1] = maps[1].relu()
    return maps


def evidence_of(maps, pooling, head, classes, **parameters):
    pooled = POOLINGS[pooling].value(maps, **parameters)
    kept = POOLINGS[pooling].weights(maps, **parameters) * maps
    return decompose(kept, pooled, head(pooled[None])[0], head, classes, POOLINGS[pooling].exact)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_evidence_agrees_with_the_second_derivation(pooling):
    head, matrix, bias = random_head()
    maps = random_maps()
    plain = maps.double().tolist()
    parameter = (POOLINGS[pooling].parameter.default,) if POOLINGS[pooling].parameter else ()
    weights, vector = again.pooling_weights(pooling, plain, *parameter), again.pooled(pooling, plain, *parameter)
    for result in evidence_of(maps, pooling, head, [3, 0, 2]):
        row = matrix[result.class_index]
        expected = torch.tensor(again.evidence(plain, weights, vector, row))
        torch.testing.assert_close(result.cells, expected, rtol=1e-4, atol=2e-5)
        contributions = torch.tensor([a * y for a, y in zip(row, vector, strict=True)])
        torch.testing.assert_close(result.channels, contributions, rtol=1e-4, atol=1e-5)
        assert result.baseline == pytest.approx(bias[result.class_index], abs=1e-5)
        assert result.logit == pytest.approx(again.linear(matrix, bias, vector)[result.class_index], abs=1e-5)
        assert result.exact is (pooling != "lse")


def test_evidence_on_a_tiny_network_by_hand():
    maps = torch.tensor([[[1.0, 3.0]], [[2.0, 0.0]]])
    head = nn.Linear(2, 2).requires_grad_(False)
    head.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.5]]))
    head.bias.copy_(torch.tensor([0.5, -0.25]))

    first, second = evidence_of(maps, "gap", head, [0, 1])  # y = (2, 1)
    assert (first.logit, first.baseline, first.residual) == (4.5, 0.5, 0.0)
    assert first.cells.tolist() == [[2.5, 1.5]]
    assert first.channels.tolist() == [2.0, 2.0]
    assert first.slopes.tolist() == [1.0, 2.0]
    assert (second.logit, second.baseline, second.residual) == (-1.75, -0.25, 0.0)
    assert second.cells.tolist() == [[0.0, -1.5]]
    assert second.channels.tolist() == [-2.0, 0.5]

    strongest = evidence_of(maps, "gmp", head, [0])[0]  # y = (3, 2)
    assert (strongest.logit, strongest.residual) == (7.5, 0.0)
    assert strongest.cells.tolist() == [[4.0, 3.0]]
    assert strongest.channels.tolist() == [3.0, 4.0]


def test_under_gap_and_a_linear_the_evidence_is_zhous_map_over_the_positions(network, examples):
    analysis = analyse(network, examples["coffee"])
    for answer in analysis.under("gap").top(3):
        row = network.head.weight[answer.class_index].double()
        zhou = torch.einsum("k,kij->ij", row, analysis.feature_maps.double())
        result = analysis.under("gap").evidence(answer.class_index)
        torch.testing.assert_close(result.cells.double(), zhou / 49, rtol=1e-5, atol=1e-6)


def test_a_silent_channel_gives_no_evidence_and_no_nan():
    head, _, _ = random_head()
    for pooling in POOLINGS:
        result = evidence_of(torch.zeros(5, 3, 3), pooling, head, [1])[0]
        assert result.cells.abs().max() == 0
        assert result.channels.abs().max() == 0
        assert result.logit == pytest.approx(result.baseline, abs=1e-5)


def test_what_gem_clamps_away_gives_no_evidence():
    head, _, _ = random_head()
    maps = random_maps()
    maps[:, 0, 0] = -1.0
    cells = evidence_of(maps, "gem", head, [2])[0].cells
    assert cells[0, 0] == 0
    assert cells.abs().max() > 0


# Heads of other kinds.


def normalised(module):
    """A normalisation with weights that are not 1 and 0."""
    generator = torch.Generator().manual_seed(7)
    for name in ("weight", "bias", "running_mean"):
        if isinstance(getattr(module, name, None), torch.Tensor):
            getattr(module, name).data.copy_(torch.randn(getattr(module, name).shape, generator=generator))
    if isinstance(module, nn.BatchNorm1d):
        module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return module


def affine_heads():
    torch.manual_seed(3)
    return {
        "Linear without bias": nn.Linear(5, 4, bias=False),
        "LayerNorm, Linear": nn.Sequential(normalised(nn.LayerNorm(5)), nn.Linear(5, 4)),
        "LayerNorm without parameters": nn.Sequential(nn.LayerNorm(5, elementwise_affine=False), nn.Linear(5, 4)),
        "BatchNorm1d, Linear": nn.Sequential(normalised(nn.BatchNorm1d(5)), nn.Linear(5, 4)),
        "BatchNorm1d without parameters": nn.Sequential(normalised(nn.BatchNorm1d(5, affine=False)), nn.Linear(5, 4)),
        "Flatten, Dropout, Linear": nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(5, 4)),
        "two Linears": nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 4, bias=False)),
        "nested": nn.Sequential(nn.Identity(), nn.Sequential(nn.Linear(5, 6), normalised(nn.LayerNorm(6))),
                                nn.Dropout(), nn.Linear(6, 4)),
        "ends with BatchNorm1d": nn.Sequential(nn.Linear(5, 4), normalised(nn.BatchNorm1d(4))),
        "only LayerNorm": normalised(nn.LayerNorm(5)),
        "Identity": nn.Identity(),
    }


AFFINE = affine_heads()


@pytest.mark.parametrize(("name", "pooling"), [*((name, "gmp") for name in AFFINE), ("nested", "lse")])
def test_an_affine_head_is_decomposed_exactly(name, pooling):
    head = AFFINE[name].eval().requires_grad_(False)
    assert head_kind(head) == "affine"
    maps = random_maps()
    for result in evidence_of(maps, pooling, head, [3, 1]):
        left = result.logit - result.baseline - float(result.cells.double().sum())
        assert abs(left) <= (1e-3 if pooling == "lse" else 5e-5)
        assert result.residual == pytest.approx(left, abs=1e-5)
        assert float(result.channels.sum()) + result.baseline == pytest.approx(result.logit, abs=5e-5)
        assert result.exact is (pooling != "lse")


@pytest.mark.parametrize("name", [name for name in AFFINE if "LayerNorm" not in name and name != "nested"])
def test_an_affine_heads_slopes_and_baseline_are_its_answers_differences(name):
    head = AFFINE[name].eval().double().requires_grad_(False)
    pooled = torch.randn(5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    slopes, baselines = hold(head, pooled, [2, 0])
    at_zero = head(torch.zeros(1, 5, dtype=torch.float64))[0]
    at_units = head(torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(baselines, at_zero[[2, 0]])
    torch.testing.assert_close(slopes, (at_units - at_zero).T[[2, 0]])
    head.float()


def test_a_layer_norm_is_held_at_the_pooled_vector():
    head = AFFINE["LayerNorm, Linear"].eval()
    norm, linear = head
    pooled = torch.randn(5, generator=torch.Generator().manual_seed(6))
    mean = float(pooled.sum()) / 5
    spread = (sum((float(y) - mean) ** 2 for y in pooled) / 5 + norm.eps) ** 0.5
    slopes, baselines = hold(head, pooled, [1])
    for k in range(5):
        assert float(slopes[0, k]) == pytest.approx(float(linear.weight[1, k] * norm.weight[k]) / spread, rel=1e-5)
    shift = sum(float(linear.weight[1, k] * (norm.bias[k] - norm.weight[k] * mean / spread)) for k in range(5))
    assert float(baselines[0]) == pytest.approx(shift + float(linear.bias[1]), abs=1e-5)
    assert float(slopes[0] @ pooled + baselines[0]) == pytest.approx(float(head(pooled[None])[0, 1]), abs=1e-5)


class HalfOfIt(nn.Sequential):
    """A Sequential in name that does something else."""

    def forward(self, y):
        return super().forward(y) / 2


@pytest.mark.parametrize("head", [
    nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4)), nn.Sequential(nn.Linear(5, 4), nn.Sigmoid()),
    HalfOfIt(nn.Linear(5, 4)),
], ids=["ReLU", "Sigmoid", "a Sequential with its own forward"])
def test_any_other_head_is_nonlinear_and_integrated(head):
    head = head.eval().requires_grad_(False)
    assert head_kind(head) == "nonlinear"
    for result in evidence_of(random_maps(), "gap", head, [0, 3]):
        assert result.exact is False
        assert result.baseline == pytest.approx(float(head(torch.zeros(1, 5))[0, result.class_index]), abs=1e-5)
        left = result.logit - result.baseline - float(result.cells.double().sum())
        assert abs(left) <= 1e-2
        assert result.residual == pytest.approx(left, abs=1e-5)


def hardswish_head(channels=5, hidden=9, classes=4, seed=11):
    torch.manual_seed(seed)
    head = nn.Sequential(nn.Linear(channels, hidden), nn.Hardswish(), nn.Linear(hidden, classes))
    head[0].weight.data *= 4
    return head.requires_grad_(False)


def test_a_nonlinear_heads_slopes_agree_with_a_very_fine_independent_integration():
    head = hardswish_head()
    maps = random_maps().abs()
    first, last = head[0], head[2]
    for pooling in ("gap", "gmp"):
        vector = again.pooled(pooling, maps.double().tolist())
        for result in evidence_of(maps, pooling, head, [0, 2]):
            expected = again.hardswish_head_slopes(
                first.weight.double().tolist(), first.bias.double().tolist(),
                last.weight[result.class_index].double().tolist(), vector,
            )
            torch.testing.assert_close(result.slopes, torch.tensor(expected), rtol=0, atol=5e-3)
            through = torch.nn.functional.hardswish(first.bias.double()) @ last.weight[result.class_index].double()
            assert result.baseline == pytest.approx(float(through + last.bias[result.class_index]), abs=1e-5)
            assert result.exact is False
            assert abs(result.logit - result.baseline - float(result.cells.double().sum())) <= 1e-2


@pytest.mark.parametrize("seed", [0, 7, 13, 29])
def test_nonlinear_heads_leave_a_residual_of_at_most_a_hundredth(seed):
    head, maps = hardswish_head(seed=seed), random_maps(seed=seed).abs()
    for pooling in ("gap", "gmp"):
        for result in evidence_of(maps, pooling, head, [0, 1, 2, 3]):
            assert abs(result.logit - result.baseline - float(result.cells.double().sum())) <= 1e-2


def test_a_head_as_large_as_mobilenets_leaves_a_residual_of_at_most_a_hundredth():
    torch.manual_seed(12)
    head = nn.Sequential(nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1280, 1000))
    head[0].weight.data *= 3  # hidden units on both sides of the bends at -3 and 3
    head[3].weight.data *= 3
    head = head.eval().requires_grad_(False)
    maps = torch.randn(960, 7, 7, generator=torch.Generator().manual_seed(13)).relu() * 2
    for result in evidence_of(maps, "gap", head, list(range(0, 1000, 100))):
        assert abs(result.residual) <= 1e-2


@pytest.mark.parametrize("size", [0.05, 5.0, 30.0])
def test_a_head_that_normalises_first_and_is_not_affine_adds_up_too(size):
    # All that a normalisation does happens next to the zero vector: 256 nodes along the ray leave up to 0.8 logits.
    torch.manual_seed(0)
    head = nn.Sequential(nn.LayerNorm(96, eps=1e-6), nn.Linear(96, 192), nn.GELU(), nn.LayerNorm(192),
                         nn.Linear(192, 7)).eval().requires_grad_(False)
    maps = torch.randn(96, 3, 4, generator=torch.Generator().manual_seed(4)) * size
    pooled = maps.mean((1, 2))
    logits = head(pooled[None])[0]
    for result in decompose(maps / 12, pooled, logits, head, list(range(7)), True):
        assert not result.exact
        assert abs(result.residual) <= 3e-3
        left = float(logits[result.class_index]) - result.baseline - float(result.cells.double().sum())
        assert result.residual == pytest.approx(left, abs=1e-5)
