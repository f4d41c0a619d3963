"""Ways to cut a model at its global pooling: trace it, watch one run, or follow what is written into a class token.

They give likely cuts, still unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from explorer.networks.cutting.arrangement import Arrangement, Backbone, arrangement_of
from explorer.networks.cutting.attention_pooling import (
    AttentionValues,
    TokenValues,
    after_attention,
    is_attention_pool,
    projection,
)
from explorer.networks.cutting.direct_writes import DirectWrites, head_of_token
from explorer.networks.cutting.head_chain import Tape, chain_of, follow
from explorer.networks.cutting.recognition import Recognised, recognise
from explorer.networks.cutting.taps import Taps, UpTo, logits_of, tensor_of
from explorer.networks.cutting.tracing import Neck, after, before, necks, trace
from explorer.networks.head import BesideMaps
from explorer.networks.layers import Layers
from explorer.poolings.native import CLASS_TOKEN, attention_pool
from explorer.poolings.registry import Pooling
from explorer.poolings.values import PLACES

REACH = 4  # necks on either side of the pooling that are tried
_CLASS_TOKEN = re.compile(r"(^|\.)(cls|class)_?(token|embedding)\w*$")


class Cut(NamedTuple):
    """A backbone, a pooling and a head that may together be the network."""

    backbone: nn.Module
    pooling: Pooling
    head: nn.Module


class _Head(nn.Module):
    """A model from its pooled vector on, which it may expect in another shape, such as (B, C, 1, 1)."""

    def __init__(self, part: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.part = part
        self.shape = shape

    def forward(self, pooled: Tensor) -> Tensor:
        return logits_of(self.part.forward(pooled.reshape(len(pooled), *self.shape)), len(pooled))


def by_tracing(model: nn.Module, example: Tensor) -> Iterator[Cut]:
    """Cuts at the necks of the model's graph."""
    try:
        traced = trace(model, example)
        row = necks(traced, example)
    except Exception:  # a model's Python may do anything while it is traced: then there is no cut here
        return
    yield from _attention_pools(traced, row, example.shape[-2:])
    for maps, pooled in _pairs(row):
        arrangement = arrangement_of(maps.value, example.shape[-2:])
        if arrangement is None:
            continue
        try:
            recognised = _between(traced, maps, pooled, arrangement, example.shape[-2:])
            if recognised is None:
                continue
            head = _plain(_Head(after(traced, pooled.node), tuple(pooled.value.shape[1:])), pooled.value.flatten(1))
        except ValueError:
            continue
        backbone = Backbone(before(traced, maps.node), arrangement, recognised.copies)
        yield Cut(backbone, recognised.pooling, head)


def _between(
    traced: fx.GraphModule, maps: Neck, pooled: Neck, arrangement: Arrangement, size: Sequence[int]
) -> Recognised | None:
    """The pooling that leads from one neck to another, recognised on random maps: the example's may be nearly constant.

    Random maps are negative too, and a root of them is not a number: positive maps come second.
    """
    part, generator = after(traced, maps.node, pooled.node), torch.Generator().manual_seed(0)
    for draw in (torch.randn, torch.rand):
        random_maps = draw(maps.value.shape, generator=generator)
        try:
            with torch.no_grad():
                vector = part.forward(random_maps.clone())
        except Exception:  # a model's Python may refuse numbers in any way
            continue
        if recognised := recognise(arrangement.maps(random_maps, size), vector.flatten(1)):
            return recognised
    return None


def _pairs(row: list[Neck]) -> Iterator[tuple[Neck, Neck]]:
    """Maps and the vector pooled from them, the closest first."""
    flat: list[int] = []
    # From the end, as long as there are vectors: a vector with maps behind it is not the pooled one.
    for n in range(len(row) - 1, -1, -1):
        value = row[n].value
        if not isinstance(value, Tensor) or not (value.ndim == 1 or _is_vector(value)):
            break
        if value.ndim > 1:  # a last squeeze may leave a single logit without its dimension
            flat.insert(0, n)
    if not flat:
        return
    spatial = [n for n in range(flat[0]) if isinstance(row[n].value, Tensor)][-REACH:]
    for n in reversed(spatial):
        for m in flat[:REACH]:
            yield row[n], row[m]


def _is_vector(value: Tensor) -> bool:
    return value.ndim >= 2 and value.flatten(1).shape[1] == max(value.shape[1:])


def _plain(head: nn.Module, pooled: Tensor) -> nn.Module:
    """The head as a chain of plain modules where that gives the same logits; else the head itself."""
    try:
        chain = chain_of(head, pooled)
    except Exception:  # its Python may do anything, and it can be used as it is
        return head
    if chain is None:
        return head
    with torch.no_grad():
        other = pooled + torch.randn(3, *pooled.shape[1:], generator=torch.Generator().manual_seed(0))[: len(pooled)]
        same = torch.allclose(chain(other), head(other), rtol=1e-5, atol=1e-6)
    return chain if same else head


def _attention_pools(traced: fx.GraphModule, row: list[Neck], size: Sequence[int]) -> Iterator[Cut]:
    """Cuts at a module that pools by attention, reads one neck and is the next."""
    modules = dict(traced.named_modules())
    for maps, pooled in pairwise(row):
        pool = modules.get(str(pooled.node.target)) if pooled.node.op == "call_module" else None
        if pool is None or not is_attention_pool(pool):
            continue
        arrangement = arrangement_of(maps.value, size) if maps.value.ndim == 3 else Arrangement()
        if arrangement is None:
            continue
        heads, part = int(pool.num_heads), before(traced, maps.node)
        output = projection(pool, heads)
        rest = _Head(after(traced, pooled.node), tuple(pooled.value.shape[1:]))
        backbone = TokenValues(part, arrangement, pool) if arrangement.kind == "tokens" else nn.Sequential(
            Backbone(part, Arrangement()), AttentionValues(pool))
        yield Cut(backbone, attention_pool(heads, output.in_features - heads),
                  nn.Sequential(output, *after_attention(pool), _plain(rest, pooled.value.flatten(1))))


def by_watching(model: nn.Module, example: Tensor, layer: str | None = None) -> Iterator[Cut]:
    """Cuts after a module whose pooled maps are seen in one run, the last module first; or after the named layer.

    For models whose Python asks for numbers, which torch.fx cannot trace: Hugging Face's ResNet and ConvNeXT compare
    the input's number of channels with their own, other models check that their maps are finite.
    """
    taps = Taps(model)
    with torch.no_grad(), Tape() as tape:
        calls, answer = taps.watch(example, keep=True)
    logits, tries = tensor_of(answer), 0
    for call in reversed(calls):
        arrangement = arrangement_of(call.kept, example.shape[-2:]) if layer in (None, call.key) else None
        if arrangement is None:
            continue
        tries += 1
        if tries > 3 * REACH:
            return
        maps = arrangement.maps(call.kept, example.shape[-2:])
        for recognised, head, relu in _pooled_on_tape(tape, maps, logits):
            backbone = Backbone(UpTo(taps, call.key), arrangement, recognised.copies)
            yield Cut(nn.Sequential(backbone, nn.ReLU()) if relu else backbone, recognised.pooling, head)


def _pooled_on_tape(tape: Tape, maps: Tensor, logits: Tensor) -> Iterator[tuple[Recognised, nn.Module, bool]]:
    """The pooling of these maps to a vector on the tape, the head from there to the logits, and whether a ReLU that is
    no module comes before the pooling."""
    for n, step in enumerate(tape.steps):
        if step.output.ndim < 2 or not _is_vector(step.output) or len(step.output) != len(maps):
            continue
        for relu in (False, True):
            recognised = recognise(maps.relu() if relu else maps, step.output.flatten(1))
            if recognised is None:
                continue
            head = follow(tape.steps[n + 1:], step.output, logits)
            if head is not None:
                yield recognised, head, relu
            break


def by_class_token(model: nn.Module, example: Tensor) -> Iterator[Cut]:
    """The cut of a model that reads its answer from a class token."""
    try:
        head = head_of_token(model, example[:1])
    except Exception:  # a model's Python may do anything when it is followed: then there is no cut here
        return
    if head is not None:
        backbone = DirectWrites(model, centred=bool(len(head)) and isinstance(head[0], nn.LayerNorm))
        yield Cut(backbone, CLASS_TOKEN, nn.Sequential(BesideMaps(), *head))


def has_constant_maps(model: nn.Module, example: Tensor) -> bool:
    """Whether the last maps are constant on an example, so that every pooling gives the same of them."""
    layers = Layers(model, example)
    if not layers.all:
        return False
    maps = layers.maps(example, layers.all[-1].key)
    return torch.equal(maps.amax(PLACES), maps.amin(PLACES))


def reason_without_pooling(model: nn.Module, example: Tensor, difference: float | None = None) -> str:
    """One sentence: what a network does instead of a known global pooling.

    Args:
        model: an `own_copy`.
        example: an input.
        difference: the smallest difference of any cut from the model, as a share of its largest logit; None without.
    """
    layers = Layers(model, example).all
    if not layers:
        return ("The network has no feature maps that could be found: no module of its upper levels gives channels at "
                "positions, so there is nothing to pool or to look at.")
    last = layers[-1]
    shape = " × ".join(f"{length:,}" for length in last.shape)
    tokens = sum(bool(_CLASS_TOKEN.search(name)) for name, _ in model.named_parameters())
    if tokens > 1:
        return ("The network reads its answer from class tokens of several branches or stages, which make no single "
                "vector that its patches wrote, so no pooling can take its place.")
    if last.arrangement.kind == "tokens" and last.arrangement.prefix:
        return (f"The network reads its answer from a class token and not from a pooling of its {shape} patch tokens, "
                "so no other pooling can take its place.")
    if tokens:
        return ("The network reads its answer from a class token, whose attention is none that can be followed to "
                f"single positions of its {shape} feature maps, so no pooling can take its place.")
    wide = _first_width_after(model, example, last.key)
    if wide > last.shape[0] and wide % last.shape[0] == 0:
        return (f"The network flattens its {shape} feature maps into {wide:,} numbers instead of pooling them, so "
                "no other pooling can take its place.")
    if difference is not None:
        return (f"Cut at what looks like a global pooling of its {shape} feature maps, the network's parts differ from "
                f"it by {difference:.0e} of its largest logit (expected at most 1e-05), so it does more than that.")
    return (f"After its {shape} feature maps the network does something else than a global pooling that is known "
            "(average, maximum, their mix or both, GeM, SoftPool, CLIP's attention), so no other can take its place.")


@torch.no_grad()
def _first_width_after(model: nn.Module, example: Tensor, key: str) -> int:
    """How many numbers the first Linear takes that runs on vectors after that layer; 0 without one."""
    calls, _ = Taps(model).watch(example)
    ends = [n for n, call in enumerate(calls) if call.key == key]
    return next((call.module.in_features for call in calls[max(ends, default=0) + 1:] if isinstance(
        call.module, nn.Linear) and getattr(call.arguments[0], "ndim", 0) == 2), 0)
