"""CLIP's attention pooling: derived again with einsum from its own weights, and its evidence summed by hand."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from timm.layers import AttentionPool2d, RotAttentionPool2d
from torch import Tensor, nn
from torch.nn import functional

from explorer import analyse
from explorer.networks.cutting.attention_pooling import AttentionValues, is_attention_pool, projection
from explorer.poolings.native import attention_pool
from tests.explorer.own_models import CHANNELS, CLASSES, Does, Small, apart, inputs, network_of, seeded, worst

PHOTO = Image.effect_noise((90, 110), 90).convert("RGB")
HEADS, WIDTH, OUT = 2, 8, 6


class OpenAIAttentionPool2d(nn.Module):
    """As in openai/CLIP's model.py, from its description: positions and their mean, embedded; the mean asks."""

    def __init__(self, side: int, width: int, heads: int, out: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(side ** 2 + 1, width) / width ** 0.5)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.c_proj = nn.Linear(width, out)
        self.num_heads = heads

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).permute(2, 0, 1)
        x = torch.cat([x.mean(0, keepdim=True), x], 0)
        x = x + self.positional_embedding[:, None, :].to(x.dtype)
        x, _ = functional.multi_head_attention_forward(
            query=x[:1], key=x, value=x, embed_dim_to_check=x.shape[-1], num_heads=self.num_heads,
            q_proj_weight=self.q_proj.weight, k_proj_weight=self.k_proj.weight, v_proj_weight=self.v_proj.weight,
            in_proj_weight=None, in_proj_bias=torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias]),
            bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0, out_proj_weight=self.c_proj.weight,
            out_proj_bias=self.c_proj.bias, use_separate_proj_weight=True, training=self.training, need_weights=False)
        return x.squeeze(0)


def _lively(pool: nn.Module) -> nn.Module:
    """Large weights, so that the heads do not look everywhere alike."""
    for item in pool.parameters():
        nn.init.normal_(item, std=0.7)
    return pool


POOLS = {
    "timm": lambda: AttentionPool2d(CHANNELS, 8, OUT, embed_dim=WIDTH, num_heads=HEADS),
    "timm, apart": lambda: AttentionPool2d(CHANNELS, 8, OUT, embed_dim=WIDTH, num_heads=HEADS, qkv_separate=True),
    "timm, no projection": lambda: AttentionPool2d(CHANNELS, 8, 0, embed_dim=WIDTH, num_heads=HEADS),
    "timm, wider": lambda: AttentionPool2d(CHANNELS, 8, OUT, embed_dim=2 * WIDTH, num_heads=4),
    "rotary": lambda: RotAttentionPool2d(CHANNELS, OUT, 8, embed_dim=WIDTH, num_heads=HEADS),
    "OpenAI": lambda: OpenAIAttentionPool2d(8, WIDTH, HEADS, OUT),
}


def pool_of(name: str) -> nn.Module:
    return seeded(lambda: _lively(POOLS[name]()))


def maps(rows: int = 8, columns: int = 8, batch: int = 2) -> Tensor:
    return torch.randn(batch, CHANNELS, rows, columns, generator=torch.Generator().manual_seed(11)).relu()


def by_hand(pool: nn.Module, feature_maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Attention (B, heads, 1 + N) of the first token, values (B, heads, 1 + N, d) and the pooled answer (B, out)."""
    tokens = feature_maps.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    if isinstance(pool, OpenAIAttentionPool2d):
        tokens = tokens + pool.positional_embedding
        parts, last = (pool.q_proj, pool.k_proj, pool.v_proj), pool.c_proj
    else:
        tokens = tokens + pool.pos_embed
        parts, last = (pool.q, pool.k, pool.v), pool.proj
    if parts[0] is None:
        weights, biases = pool.qkv.weight.chunk(3), pool.qkv.bias.chunk(3)
    else:
        weights, biases = [item.weight for item in parts], [item.bias for item in parts]
    query, key, value = (
        (torch.einsum("bnc,dc->bnd", tokens, weight) + bias).unflatten(-1, (pool.num_heads, -1))
        for weight, bias in zip(weights, biases, strict=True))
    product = torch.einsum("bhd,bnhd->bhn", query[:, 0], key) / query.shape[-1] ** 0.5
    attention = product.exp() / product.exp().sum(-1, keepdim=True)
    pooled = torch.einsum("bhn,bnhd->bhd", attention, value).flatten(1)
    answer = pooled if isinstance(last, nn.Identity) else pooled @ last.weight.T + last.bias
    return attention, value.transpose(1, 2), answer


@pytest.mark.parametrize("name", [name for name in POOLS if name != "rotary"])
@torch.no_grad()
def test_the_derivation_by_hand_is_the_modules_own(name):
    pool = pool_of(name)
    torch.testing.assert_close(by_hand(pool, maps())[2], pool(maps()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in POOLS if name != "rotary"])
@torch.no_grad()
def test_values_and_weights_are_the_softmax_and_the_values_derived_by_hand(name):
    pool = pool_of(name)
    attention, value, _ = by_hand(pool, maps())
    heads, positions = pool.num_heads, 64
    got = AttentionValues(pool)(maps())
    looks = got[:, -heads:].flatten(2)
    # The token that asks is the mean: what it looks at itself is shared by all positions.
    torch.testing.assert_close(looks, attention[..., 1:] + attention[..., :1] / positions, atol=1e-6, rtol=1e-5)
    assert float(looks.amax(-1).max()) > 3 / positions  # they do look somewhere
    excess = value[:, :, :1] - value[:, :, 1:].mean(2, keepdim=True)
    expected = value[:, :, 1:] + attention[..., :1, None] * excess
    torch.testing.assert_close(got[:, :-heads].flatten(2), expected.transpose(2, 3).flatten(1, 2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "size"), [
    *((name, (8, 8)) for name in POOLS), ("timm", (5, 11)), ("timm", (1, 8)), ("rotary", (3, 3))])
@torch.no_grad()
def test_weighted_values_projected_are_the_modules_answer_at_any_size(name, size):
    pool = pool_of(name)
    assert is_attention_pool(pool)
    assert int(pool.num_heads) == pool.num_heads
    prepared = AttentionValues(pool)(maps(*size))
    last = projection(pool, pool.num_heads)
    pooling = attention_pool(pool.num_heads, last.in_features - pool.num_heads)
    torch.testing.assert_close(prepared[:, -pool.num_heads:].sum((2, 3)), torch.ones(2, pool.num_heads))
    torch.testing.assert_close(last(pooling.value(prepared)), pool(maps(*size)), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close((pooling.weights(prepared) * prepared).sum((2, 3)), pooling.value(prepared))


def test_the_weights_look_and_are_not_looked_at():
    pooling = attention_pool(2, 4)
    prepared = torch.rand(6, 2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = pooling.value(prepared)
    assert value[4:].tolist() == [0.0, 0.0]
    gradient = torch.autograd.grad(value.sum(), prepared)[0]
    assert float(gradient[4:].abs().max()) == 0
    torch.testing.assert_close(gradient[:4], prepared.detach()[4:].repeat_interleave(2, 0))


@pytest.mark.parametrize(("weights", "expected"), [
    ([[[1.0, 0.0]], [[0.0, 1.0]]], [3.0, 5.0, 8.0, -4.0]), ([[[0.5, 0.5]], [[0.25, 0.75]]], [3.5, 6.0, 7.75, -3.0])])
def test_two_heads_average_their_own_halves_of_the_values_by_hand(weights, expected):
    values = torch.tensor([[[3.0, 4.0]], [[5.0, 7.0]], [[7.0, 8.0]], [[0.0, -4.0]]])
    prepared = torch.cat([values, torch.tensor(weights)])
    assert attention_pool(2, 4).value(prepared).tolist() == [*expected, 0.0, 0.0]


NETWORKS = [name for name in POOLS if name != "OpenAI"]


def _network(name: str, head: nn.Module | None = None) -> tuple[nn.Module, object]:
    width = 2 * WIDTH if "wider" in name else OUT if "projection" not in name else WIDTH
    width = OUT if "wider" in name else width
    model = seeded(lambda: Small(_lively(POOLS[name]()), head or nn.Linear(width, CLASSES)))
    return model, network_of(model)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_pools_so_is_cut_there_and_gives_its_logits(name):
    model, network = _network(name)
    assert (network.pooling.key, network.head_kind) == ("attention_pool", "affine")
    assert network.poolings["attention_pool"] is network.pooling is network.pooling_of("attention_pool")
    for x in (inputs(batch=3), inputs(40, 56)):
        with torch.no_grad():
            assert worst(apart(network, x), model(x)) <= 1e-5


@pytest.mark.parametrize("name", ["timm", "timm, apart", "timm, wider"])
def test_its_evidence_is_what_attention_derived_by_hand_lays_on_each_position(name):
    model, network = _network(name)
    analysis = analyse(network, PHOTO)
    with torch.no_grad():
        logits, feature_maps = model(analysis.input)[0], model.maps(analysis.input)
        attention, value, _ = by_hand(model.pool, feature_maps)
    looks = attention[0, :, 1:] + attention[0, :, :1] / 64
    values = value[0, :, 1:] + attention[0, :, :1, None] * (value[0, :, :1] - value[0, :, 1:].mean(1, keepdim=True))
    rows = (model.fc.weight @ model.pool.proj.weight).detach().unflatten(1, (model.pool.num_heads, -1))
    shift = (model.fc.weight @ model.pool.proj.bias + model.fc.bias).detach()
    for index in range(CLASSES):
        evidence = analysis.under().evidence(index)
        cells = torch.einsum("hd,hn,hnd->n", rows[index], looks, values).unflatten(0, (8, 8))
        torch.testing.assert_close(evidence.cells, cells, atol=1e-4, rtol=1e-3)
        assert evidence.exact
        assert evidence.baseline == pytest.approx(float(shift[index]), abs=1e-5)
        assert evidence.baseline + float(evidence.cells.sum()) == pytest.approx(float(logits[index]), abs=1e-4)


def test_a_nonlinear_head_behind_it_is_cut_too():
    model, network = _network("timm", nn.Sequential(nn.Linear(OUT, 7), nn.ReLU(), nn.Linear(7, CLASSES)))
    assert (network.pooling.key, network.head_kind) == ("attention_pool", "nonlinear")
    with torch.no_grad():
        assert worst(apart(network, inputs(batch=2)), model(inputs(batch=2))) <= 1e-5


def test_the_pools_own_projection_may_be_the_last_step():
    model = seeded(lambda: Small(_lively(AttentionPool2d(CHANNELS, 8, 5, embed_dim=WIDTH, num_heads=HEADS)),
                                 nn.Identity()))
    network = network_of(model)
    assert len(network.class_names) == 5
    with torch.no_grad():
        assert worst(apart(network, inputs()), model(inputs())) <= 1e-5


def test_modules_that_pool_otherwise_are_not_taken_for_it():
    assert not is_attention_pool(AttentionPool2d(CHANNELS, 8, OUT, embed_dim=WIDTH, num_heads=HEADS, pool_type=""))
    assert not is_attention_pool(nn.MultiheadAttention(8, 2))
    assert not is_attention_pool(Does(torch.relu))


@pytest.mark.parametrize("last", [True, False])
def test_a_network_with_openais_own_module_is_cut(last):
    pool = POOLS["OpenAI"]
    model = seeded(lambda: Small(_lively(pool()), nn.Identity() if last else nn.Linear(OUT, CLASSES)))
    assert network_of(model).pooling.key == "attention_pool"


def test_a_network_with_openais_own_module_takes_its_own_size_alone():
    assert network_of(seeded(lambda: Small(POOLS["OpenAI"](), nn.Identity()))).preprocessing.fixed
