"""Heads that compare directions: evidence with the vector's norm held, by hand in float64; and computed weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from explorer import analyse
from tests.explorer.own_models import CHANNELS, CLASSES, Small, inputs, network_of, seeded, worst

PHOTO = Image.effect_noise((32, 32), 90).convert("RGB")
SCALE = 12.0


class Cosine(nn.Module):
    """SCALE times the cosine of a pooled vector with each class's direction, in the words of one library or another."""

    def __init__(self, ask: Callable[[Cosine, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(CLASSES, CHANNELS)), nn.Parameter(torch.tensor(SCALE))
        self.ask = ask

    def forward(self, x: Tensor) -> Tensor:
        return self.ask(self, x.mean((2, 3)))


ASK: dict[str, Callable[[Cosine, Tensor], Tensor]] = {
    "normalize": lambda own, x: SCALE * functional.linear(functional.normalize(x), functional.normalize(own.weight)),
    "written out": lambda own, x: own.scale * ((x / x.norm(dim=-1, keepdim=True))
                                               @ (own.weight / own.weight.norm(dim=-1, keepdim=True)).t()),
    "arcface": lambda own, x: functional.linear(
        functional.normalize(x, dim=-1), functional.normalize(own.weight)).clamp(-1, 1) * own.scale,
    "temperature": lambda own, x: torch.mm(functional.normalize(x), functional.normalize(own.weight).t()) / (1 / SCALE),
}


@pytest.mark.parametrize("name", ASK)
def test_a_cosine_head_is_exact_with_its_norm_held(name):
    model = seeded(lambda: Small(Cosine(ASK[name]), nn.Identity()))
    network = network_of(model)
    assert network.head_kind == "affine"
    analysis = analyse(network, PHOTO)
    with torch.no_grad():
        maps, weight = model.maps(analysis.input)[0].double(), model.pool.weight.double()
        directions = weight / (weight ** 2).sum(1, keepdim=True).sqrt()
        length = (maps.mean((1, 2)) ** 2).sum().sqrt()
        expected = SCALE * torch.einsum("ck,kij->cij", directions, maps) / length / maps[0].numel()
        logits = model(analysis.input)[0]
    for index in range(CLASSES):
        evidence = analysis.under().evidence(index)
        assert evidence.exact
        torch.testing.assert_close(evidence.cells.double(), expected[index], atol=1e-5, rtol=1e-4)
        assert float(evidence.cells.sum()) + evidence.baseline == pytest.approx(float(logits[index]), abs=1e-4)
        assert evidence.baseline == pytest.approx(0, abs=1e-6)


def test_a_clamp_that_does_more_than_round_is_no_cosines():
    model = seeded(lambda: Small(Cosine(lambda own, x: functional.linear(x, own.weight).clamp(-1, 1)), nn.Identity()))
    assert network_of(model).head_kind == "nonlinear"


def test_a_constant_added_to_logits_is_in_the_baseline():
    model = seeded(lambda: Small(Cosine(lambda own, x: x @ own.weight.t() + torch.arange(float(CLASSES)) - 2),
                                 nn.Identity()))
    network = network_of(model)
    assert network.head_kind == "affine"
    outcome = analyse(network, PHOTO).under()
    assert [outcome.evidence(n).baseline for n in range(CLASSES)] == pytest.approx([n - 2 for n in range(CLASSES)])


COMPUTED = {
    "spectral norm": spectral_norm, "weight norm": weight_norm,
    "spectral norm, parametrized": parametrizations.spectral_norm,
    "weight norm, parametrized": parametrizations.weight_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("name", COMPUTED)
def test_weights_that_are_computed_at_each_call_are_copied_as_they_are(name):
    def make() -> nn.Module:
        return Small(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
                     COMPUTED[name](nn.Linear(CHANNELS, CLASSES)))
    model = seeded(make)
    model.train()(inputs(batch=2))
    model.eval()
    network = network_of(model)
    assert (network.pooling.key, network.head_kind) == ("gap", "affine")
    with torch.no_grad():
        assert worst(network(inputs(batch=3)), model(inputs(batch=3))) <= 1e-5
    before = [weight.clone() for weight in model.parameters()]
    network(inputs())
    assert all(torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))
    assert all(weight.requires_grad for weight in model.parameters())
