"""What patches write into a class token: derived again block by block, in float64, from each model's own weights."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from PIL import Image
from timm.layers import AttentionPoolLatent
from timm.models.coat import CoaT
from timm.models.crossvit import CrossVit
from timm.models.mvitv2 import MultiScaleVit, MultiScaleVitCfg
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import VisionTransformer

from explorer import analyse
from explorer.framing import Preprocessing
from explorer.networks import Network
from tests.explorer.own_models import CLASSES, apart, inputs, network_of, seeded, worst

PHOTO = Image.effect_noise((32, 32), 90).convert("RGB")


class ByHand(nn.Module):
    """A transformer as a person writes it: two blocks with softmax written out, 16 patches, a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.one, self.two = nn.ModuleList([nn.LayerNorm(12), nn.LayerNorm(12)]), nn.ModuleList(
            [nn.Linear(12, 36), nn.Linear(12, 36)])
        self.out = nn.ModuleList([nn.Linear(12, 12), nn.Linear(12, 12)])
        self.mlp = nn.ModuleList([nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12))
                                  for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        for norm, qkv, out, mlp in zip(self.one, self.two, self.out, self.mlp, strict=True):
            query, key, value = qkv(norm(x)).unflatten(-1, (3, 2, 6)).permute(2, 0, 3, 1, 4)
            looks = torch.softmax(query @ key.mT / 6 ** 0.5, -1)
            x = x + out((looks @ value).transpose(1, 2).flatten(2))
            x = x + mlp(x)
        return self.head(self.norm(x)[:, 0])


def lively(make):
    """A model whose attention is not even and whose layer scales are not nearly zero."""
    model = seeded(make)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        for name, weight in model.named_parameters():
            if "gamma" in name:
                weight.uniform_(0.5, 1.5)
            elif name.endswith(("qkv.weight", "attn.q.weight", "attn.k.weight", "attn.v.weight", "kv.weight")):
                weight.normal_(std=0.4)
            elif name.endswith(("token", "latent")):
                weight.normal_()
        if isinstance(getattr(model, "head", None), nn.Linear):
            model.head.weight.normal_()
    return model


def small(name: str, **named: object):
    return lambda: timm.create_model(name, img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3,
                                     num_classes=CLASSES, **named)


MODELS = {
    "by hand": ByHand,
    "vit": small("vit_tiny_patch16_224"),
    "vit, layer scale and registers": small("vit_small_patch14_reg4_dinov2", init_values=1.0),
    "deit3": small("deit3_small_patch16_224"),
    "cait": small("cait_xxs24_224"),
    "deit, distilled": small("deit_tiny_distilled_patch16_224"),
}


def _looks(query: Tensor, key: Tensor) -> Tensor:
    """(heads, tokens) of the first query."""
    product = torch.einsum("hd,hnd->hn", query[:, 0], key) / key.shape[-1] ** 0.5
    return product.exp() / product.exp().sum(-1, keepdim=True)


def _write(block: nn.Module, attention: nn.Module, tokens: Tensor, heads: int, scale: Tensor) -> Tensor:
    """(tokens, C): what each wrote into the first token, through the attention's projection and a layer scale."""
    normed = tokens[0]
    if hasattr(attention, "qkv"):
        query, key, value = attention.qkv(normed).unflatten(-1, (3, heads, -1)).permute(1, 2, 0, 3)
    else:  # CaiT's class attention
        query, key, value = (one(normed).unflatten(-1, (heads, -1)).transpose(0, 1)
                             for one in (attention.q, attention.k, attention.v))
    per_head = _looks(query, key)[..., None] * value
    rows = attention.proj.weight.unflatten(1, (heads, -1))
    return torch.einsum("hnd,ohd->no", per_head, rows) * scale


@torch.no_grad()
def _by_hand(model: nn.Module, x: Tensor) -> Tensor:
    """(classes, positions): the evidence, all in float64."""
    model, x = copy.deepcopy(model).double(), x.double()
    if isinstance(model, ByHand):
        writes, token = _of_own(model, x)
        return _through(model.norm, model.head, token, writes[1:])
    tokens = model._pos_embed(model.patch_embed(x)) if hasattr(model, "_pos_embed") else (
        model.patch_embed(x) + model.pos_embed)
    total = 0
    for block in model.blocks:
        if hasattr(model, "_pos_embed"):
            scale = getattr(block.ls1, "gamma", torch.ones(()))
            total = total + _write(block, block.attn, block.norm1(tokens), 3, scale)
        tokens = block(tokens)
    if hasattr(model, "blocks_token_only"):
        token = model.cls_token
        for block in model.blocks_token_only:
            both = block.norm1(torch.cat([token, tokens], 1))
            total = total + _write(block, block.attn, both, 3, block.gamma_1)
            token = block(tokens, token)
        tokens = token
    part = 0.5 if hasattr(model, "head_dist") else 1  # the answers of a class and a distillation token are averaged
    return part * _through(model.norm, model.head, tokens[0, 0], total[getattr(model, "num_prefix_tokens", 1):])


def _of_own(model: ByHand, x: Tensor) -> tuple[Tensor, Tensor]:
    tokens, total = torch.cat([model.token, model.patch(x).flatten(2).mT], 1), 0
    for n in range(2):
        query, key, value = model.two[n](model.one[n](tokens))[0].unflatten(-1, (3, 2, 6)).permute(1, 2, 0, 3)
        rows = model.out[n].weight.unflatten(1, (2, -1))
        total = total + torch.einsum("hn,hnd,ohd->no", _looks(query, key), value, rows)
        every = torch.softmax(torch.einsum("hqd,hnd->hqn", query, key) / 6 ** 0.5, -1)
        mixed = torch.einsum("hqn,hnd,ohd->qo", every, value, rows) + model.out[n].bias
        tokens = tokens + mixed
        tokens = tokens + model.mlp[n](tokens)
    return total, tokens[0, 0]


def _through(norm: nn.LayerNorm, head: nn.Linear, token: Tensor, writes: Tensor) -> Tensor:
    """(classes, positions): the final norm's mean and spread are those of the whole token."""
    centred = writes - writes.mean(1, keepdim=True)
    return head.weight @ (centred * norm.weight / (token.var(unbiased=False) + norm.eps).sqrt()).T


@pytest.mark.parametrize("name", MODELS)
def test_the_evidence_is_what_each_patch_wrote_into_the_class_token_in_every_block(name):
    model = lively(MODELS[name])
    network = network_of(model)
    assert (network.pooling.key, network.head_kind, network.cut) == ("class_token", "affine", "followed")
    analysis = analyse(network, PHOTO)
    expected = _by_hand(model, analysis.input)
    logits = model(analysis.input)[0].detach()
    for index in range(CLASSES):
        evidence = analysis.under().evidence(index)
        cells = expected[index].reshape(4, 4)
        assert float(cells.abs().max()) > 0.01
        torch.testing.assert_close(evidence.cells.double(), cells, atol=1e-5, rtol=1e-4)
        assert evidence.exact
        assert evidence.baseline + float(evidence.cells.sum()) == pytest.approx(float(logits[index]), abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_of_a_network_with_a_class_token_give_its_logits(name):
    model = lively(MODELS[name])
    network = network_of(model)
    with torch.no_grad():
        assert worst(apart(network, inputs(batch=3)), model(inputs(batch=3))) <= 1e-5


def test_torchs_own_attention_is_followed_too():
    model = seeded(lambda: VisionTransformer(32, 8, 2, 2, 12, 20, num_classes=CLASSES))
    nn.init.normal_(model.heads.head.weight)
    network = network_of(model)
    assert network.pooling.key == "class_token"
    analysis = analyse(network, PHOTO)
    model = copy.deepcopy(model).double()
    with torch.no_grad():
        tokens, total = model._process_input(analysis.input.double()), 0
        tokens = torch.cat([model.class_token, tokens], 1) + model.encoder.pos_embedding
        for layer in model.encoder.layers:
            own, normed = layer.self_attention, layer.ln_1(tokens)[0]
            query, key, value = functional.linear(normed, own.in_proj_weight, own.in_proj_bias).unflatten(
                -1, (3, 2, 6)).permute(1, 2, 0, 3)
            total = total + torch.einsum("hn,hnd,ohd->no", _looks(query, key), value,
                                         own.out_proj.weight.unflatten(1, (2, -1)))
            tokens = layer(tokens)
        expected = _through(model.encoder.ln, model.heads.head, tokens[0, 0], total[1:])
    for index in range(CLASSES):
        torch.testing.assert_close(analysis.under().evidence(index).cells.double(), expected[index].reshape(4, 4),
                                   atol=1e-5, rtol=1e-4)


def _pooled(attention: nn.Module, tokens: Tensor, kind: int) -> Tensor:
    """(heads, tokens, D): MViT's queries, keys or values, pooled over their neighbours but for the class token's."""
    row = attention.qkv(tokens)[0].unflatten(-1, (3, 2, -1))[:, kind].transpose(0, 1)
    pool, norm = ((attention.pool_q, attention.norm_q), (attention.pool_k, attention.norm_k),
                  (attention.pool_v, attention.norm_v))[kind]
    if pool is not None:
        row = torch.cat([row[:, :1], pool(row[:, 1:].mT.unflatten(2, (8, 8))).flatten(2).mT], 1)
    return row if norm is None else norm(row)


def test_mvits_class_token_is_decomposed_over_the_grid_that_its_attention_reads():
    model = lively(lambda: MultiScaleVit(
        MultiScaleVitCfg(depths=(2,), embed_dim=24, num_heads=2, use_cls_token=True, stride_q=((1, 1),),
                         stride_kv=((2, 2),), stride_kv_adaptive=None), img_size=(32, 32), num_classes=CLASSES))
    nn.init.normal_(model.head.fc.weight)
    network = network_of(model)
    assert network.pooling.key == "class_token"
    analysis = analyse(network, PHOTO)
    model, total = copy.deepcopy(model).double(), 0
    with torch.no_grad():
        tokens, _ = model.patch_embed(analysis.input.double())
        tokens = torch.cat([model.cls_token, tokens], 1)
        for block in model.stages[0].blocks:
            query, key, value = (_pooled(block.attn, block.norm1(tokens), kind) for kind in range(3))
            rows = block.attn.proj.weight.unflatten(1, (2, -1))
            total = total + torch.einsum("hn,hnd,ohd->no", _looks(query, key), value, rows)
            tokens, _ = block(tokens, (8, 8))
        expected = _through(model.norm, model.head.fc, tokens[0, 0], total[1:])
    for index in range(CLASSES):
        torch.testing.assert_close(analysis.under().evidence(index).cells.double(), expected[index].reshape(4, 4),
                                   atol=1e-5, rtol=1e-4)


def test_a_bias_of_relative_positions_counts_in_where_the_class_token_looks():
    model = lively(lambda: VisionTransformerRelPos(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=CLASSES, class_token=True,
        global_pool="token", rel_pos_type="bias"))
    for block in model.blocks:
        nn.init.normal_(block.attn.rel_pos.relative_position_bias_table)
    network = network_of(model)
    assert network.pooling.key == "class_token"
    analysis = analyse(network, PHOTO)
    model, total = copy.deepcopy(model).double(), 0
    with torch.no_grad():
        tokens = torch.cat([model.cls_token, model.patch_embed(analysis.input.double())], 1)
        for block in model.blocks:
            own = block.attn
            query, key, value = own.qkv(block.norm1(tokens)[0]).unflatten(-1, (3, 3, 8)).permute(1, 2, 0, 3)
            product = torch.einsum("hd,hnd->hn", query[:, 0], key) / 8 ** 0.5 + own.rel_pos.get_bias()[0, :, 0]
            looks = product.exp() / product.exp().sum(-1, keepdim=True)
            wrote = torch.einsum("hn,hnd,ohd->no", looks, value, own.proj.weight.unflatten(1, (3, -1)))
            total = total + wrote * block.ls1.gamma
            tokens = block(tokens)
        expected = _through(model.norm, model.head, tokens[0, 0], total[1:])
    for index in range(CLASSES):
        torch.testing.assert_close(analysis.under().evidence(index).cells.double(), expected[index].reshape(4, 4),
                                   atol=1e-5, rtol=1e-4)


def test_coats_factorised_attention_is_followed_in_its_last_stage():
    model = lively(lambda: CoaT(img_size=128, patch_size=4, num_classes=CLASSES, embed_dims=(8, 16, 24, 32),
                                serial_depths=(1, 1, 1, 2), num_heads=8, mlp_ratios=(2, 2, 2, 2)))
    network = Network.from_module(model, Preprocessing(size=128))
    assert (network.pooling.key, network.head_kind) == ("class_token", "affine")
    analysis, stage, total = analyse(network, PHOTO), {}, 0
    model = copy.deepcopy(model).double()
    model.serial_blocks4[0].register_forward_pre_hook(lambda _, given: stage.update(tokens=given[0]))
    with torch.no_grad():
        logits = model(analysis.input.double())[0]
        tokens = stage["tokens"]
        for block in model.serial_blocks4:
            own = block.factoratt_crpe
            normed = block.norm1(block.cpe(tokens, (4, 4)))[0]
            query, key, value = own.qkv(normed).unflatten(-1, (3, 8, 4)).permute(1, 2, 0, 3)
            shares = key.exp() / key.exp().sum(1, keepdim=True)  # of the positions, for each number of a key
            looks = torch.einsum("hd,hnd->hn", query[:, 0], shares) / 4 ** 0.5
            total = total + torch.einsum("hn,hnd,ohd->no", looks, value, own.proj.weight.unflatten(1, (8, -1)))
            tokens = block(tokens, (4, 4))
        expected = _through(model.norm4, model.head, tokens[0, 0], total[1:])
    assert float(expected.abs().max()) > 0.01
    for index in range(CLASSES):
        evidence = analysis.under().evidence(index)
        torch.testing.assert_close(evidence.cells.double(), expected[index].reshape(4, 4), atol=1e-5, rtol=1e-4)
        assert evidence.baseline + float(evidence.cells.sum()) == pytest.approx(float(logits[index]), abs=1e-4)


@pytest.mark.parametrize(("make", "size"), [
    (lambda: CrossVit(img_size=48, img_scale=(1, 1), patch_size=(8, 16), num_classes=CLASSES, embed_dim=(12, 24),
                      depth=((1, 1, 0),), num_heads=(2, 2), mlp_ratio=(2, 2, 1)), 48),
    (lambda: CoaT(img_size=64, patch_size=4, num_classes=CLASSES, embed_dims=(16, 16, 16, 16),
                  serial_depths=(1, 1, 1, 1), parallel_depth=1, num_heads=8, mlp_ratios=(2, 2, 2, 2)), 64),
], ids=["crossvit", "coat"])
def test_a_network_with_several_class_tokens_is_not_said_to_flatten(make, size):
    reason = Network.from_module(seeded(make), Preprocessing(size=size)).reason
    assert "class tokens of several branches or stages" in reason


def test_a_model_that_changes_the_first_patch_alone_has_no_class_token():
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch, self.mix, self.head = nn.Conv2d(3, 12, 8, stride=8), nn.Linear(12, 12), nn.Linear(12, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patch(x).flatten(2).mT
            return self.head((x + self.mix(x))[:, 0])

    assert network_of(seeded(First)).pooling is None


class Latent(nn.Module):
    """Patches, SigLIP's attention pooling and a Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, stride=8)
        self.pool = AttentionPoolLatent(12, num_heads=3, norm_layer=nn.LayerNorm)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.patch(x).flatten(2).mT))


def test_siglips_pooling_is_an_attention_whose_values_and_weights_are_derived_by_hand():
    model = lively(Latent)
    network = network_of(model)
    assert (network.pooling.key, network.pooling.name) == ("attention_pool", "Trained attention")
    with torch.no_grad():
        assert worst(apart(network, inputs(batch=3)), model(inputs(batch=3))) <= 1e-5
        x = inputs()
        tokens, pool = model.patch(x).flatten(2).mT[0], model.pool
        query = pool.q(pool.latent[0]).unflatten(-1, (3, 4)).transpose(0, 1)
        key, value = pool.kv(tokens).unflatten(-1, (2, 3, 4)).permute(1, 2, 0, 3)
        maps = network.backbone(x)[0]
        torch.testing.assert_close(maps[12:].flatten(1), _looks(query, key), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(maps[:12].flatten(1), value.transpose(1, 2).flatten(0, 1), atol=1e-6, rtol=1e-5)


def test_the_evidence_of_siglips_pooling_adds_up_through_its_mlp():
    analysis = analyse(network_of(lively(Latent)), PHOTO)
    for index in range(CLASSES):
        evidence = analysis.under().evidence(index)
        assert abs(evidence.residual) < 1e-3


def test_how_much_the_patches_wrote_directly_is_said():
    outcome = analyse(network_of(lively(ByHand)), PHOTO).under()
    evidence = outcome.evidence(0)
    share = round(float(evidence.cells.sum()) / evidence.logit * 100)
    assert "directly into the class token" in outcome.class_map(0).account[1]
    assert f"({share}%)".replace("-", "−") in outcome.class_map(0).account[1]
    assert outcome.analysis.under("gmp").direct_share(0) == ()


def test_gap_of_what_was_written_into_a_class_token_is_its_own_pooling_and_no_what_if():
    network = network_of(lively(ByHand))
    analysis = analyse(network, PHOTO)
    own, average = analysis.under(), analysis.under("gap")
    torch.testing.assert_close(average.logits, own.logits)
    assert (average.label, average.under_in_words) == ("native", "")
    assert average.direct_share(0) == own.direct_share(0) != ()
    assert {analysis.under(key).label for key in network.poolings if key not in ("class_token", "gap")} == {"what-if"}
    assert analysis.under("gmp").direct_share(0) == ()
