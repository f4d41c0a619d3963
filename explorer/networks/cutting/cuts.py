"""The ways to cut a model at its global pooling; each gives the cuts that it finds, likeliest first, unchecked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from explorer.networks.cutting.arrangement import Arrangement, arrangement_of
from explorer.networks.cutting.attention_pooling import AttentionValues, heads_of, is_attention_pool, projection
from explorer.networks.cutting.head_chain import Tape, chain_of, follow
from explorer.networks.cutting.recognition import Recognised, recognise
from explorer.networks.cutting.taps import Call, Taps, logits_of, tensor_of
from explorer.networks.cutting.tracing import Neck, after, before, necks, trace
from explorer.networks.layers import Layers
from explorer.poolings.native import attention_pool
from explorer.poolings.registry import PLACES, Pooling

REACH = 4  # necks on either side of the pooling that are tried


class Cut(NamedTuple):
    """A backbone, a pooling and a head that may be a network's."""

    backbone: nn.Module
    pooling: Pooling
    head: nn.Module


class _Backbone(nn.Module):
    """Part of a model up to its maps, brought to (B, C, H, W), as often as the pooling takes them."""

    def __init__(self, part: nn.Module, arrangement: Arrangement, copies: int = 1) -> None:
        super().__init__()
        self.part = part
        self.arrangement = arrangement
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        # forward, because a graph's own call prints what goes wrong before it raises it
        maps = self.arrangement.maps(self.part.forward(x), x.shape[-2:])
        return maps if self.copies == 1 else maps.repeat(1, self.copies, 1, 1)


class _Head(nn.Module):
    """Part of a model from its pooled vector on, which it takes in a shape of its own, such as (B, C, 1, 1)."""

    def __init__(self, part: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.part = part
        self.shape = shape

    def forward(self, pooled: Tensor) -> Tensor:
        return logits_of(self.part.forward(pooled.reshape(len(pooled), *self.shape)), len(pooled))


def by_tracing(model: nn.Module, example: Tensor) -> Iterator[Cut]:
    """Cuts at the necks of the model's graph."""
    try:
        traced = trace(model, is_attention_pool)
        found = necks(traced, example)
    except Exception:  # a model's Python may do anything while it is traced: then this is not the way
        return
    yield from _attention_pools(traced, found)
    for maps, pooled in _pairs(found):
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
        backbone = _Backbone(before(traced, maps.node), arrangement, recognised.copies)
        yield Cut(backbone, recognised.pooling, head)


def _between(
    traced: fx.GraphModule, maps: Neck, pooled: Neck, arrangement: Arrangement, size: tuple[int, int]
) -> Recognised | None:
    """Which pooling leads from one neck to another, told on random maps: the example's may be all but constant.

    Random maps are negative too, which a root may not bear; positive ones come second.
    """
    part, generator = after(traced, maps.node, pooled.node), torch.Generator().manual_seed(0)
    for draw in (torch.randn, torch.rand):
        given = draw(maps.value.shape, generator=generator)
        try:
            with torch.no_grad():
                got = part.forward(given.clone())
        except Exception:  # a model's Python may refuse numbers in any way
            continue
        if recognised := _recognise(arrangement.maps(given, size), got):
            return recognised
    return None


def _pairs(found: list[Neck]) -> Iterator[tuple[Neck, Neck]]:
    """Maps and the vector pooled from them, the closest first."""
    flat = []
    for n in range(len(found) - 1, -1, -1):  # a vector between maps is not the pooled one: from the end, vectors alone
        value = found[n].value
        if not isinstance(value, Tensor) or not (value.ndim == 1 or _is_vector(value)):
            break
        if value.ndim > 1:  # a last squeeze may leave a single logit without its dimension
            flat.insert(0, n)
    if not flat:
        return
    spatial = [n for n in range(flat[0]) if isinstance(found[n].value, Tensor)][-REACH:]
    for n in reversed(spatial):
        for m in flat[:REACH]:
            yield found[n], found[m]


def _is_vector(value: Tensor) -> bool:
    return value.ndim >= 2 and value.flatten(1).shape[1] == max(value.shape[1:])


def _recognise(maps: Tensor, pooled: Tensor) -> Recognised | None:
    """None too where all that are known agree on the example, as on maps of one position."""
    return recognise(maps, pooled.flatten(1)) if maps.shape[2] * maps.shape[3] > 1 else None


def _plain(head: nn.Module, pooled: Tensor) -> nn.Module:
    """The head as a chain of plain modules, wherever that gives the same; else as it is."""
    try:
        chain = chain_of(head, pooled)
    except Exception:  # its Python may do anything, and it serves as it is
        return head
    if chain is None:
        return head
    with torch.no_grad():
        other = pooled + torch.randn(3, *pooled.shape[1:], generator=torch.Generator().manual_seed(0))[: len(pooled)]
        same = torch.allclose(chain(other), head(other), rtol=1e-5, atol=1e-6)
    return chain if same else head


def _attention_pools(traced: fx.GraphModule, found: list[Neck]) -> Iterator[Cut]:
    """Where a module that pools by attention reads one neck and is the next."""
    modules = dict(traced.named_modules())
    for maps, pooled in pairwise(found):
        pool = modules.get(str(pooled.node.target)) if pooled.node.op == "call_module" else None
        if pool is not None and is_attention_pool(pool):
            backbone = _Backbone(before(traced, maps.node), Arrangement())
            rest = _Head(after(traced, pooled.node), tuple(pooled.value.shape[1:]))
            yield _attended(backbone, pool, rest, pooled.value.flatten(1))


def _attended(backbone: nn.Module, pool: nn.Module, rest: nn.Module, pooled: Tensor) -> Cut:
    heads = heads_of(pool)
    first = projection(pool, heads)
    values = AttentionValues(pool)
    return Cut(nn.Sequential(backbone, values), attention_pool(heads, first.in_features - heads),
               nn.Sequential(first, _plain(rest, pooled)))


class _Features(nn.Module):
    """timm's own half of a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)


class _Rest(nn.Module):
    """timm's other half."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_head(x)


def by_timm(model: nn.Module, example: Tensor) -> Iterator[Cut]:
    """Cuts inside `forward_head`, after `forward_features`."""
    if not (hasattr(model, "forward_features") and hasattr(model, "forward_head")):
        return
    features, rest = _Features(model), _Rest(model)
    with torch.no_grad():
        maps = features(example)
    arrangement = arrangement_of(maps, example.shape[-2:])
    if arrangement is None:
        return
    for cut in by_tracing(rest, maps):
        inner = arrangement_of(cut.backbone(maps), example.shape[-2:])
        if inner is not None:
            yield Cut(nn.Sequential(features, cut.backbone), cut.pooling, cut.head)
    with torch.no_grad(), Tape() as tape:
        logits = rest(maps)
    yield from _on_tape(tape, arrangement.maps(maps, example.shape[-2:]), logits,
                        lambda copies: _Backbone(features, arrangement, copies))


class _Until(nn.Module):
    """A model up to one of its modules."""

    def __init__(self, taps: Taps, key: str) -> None:
        super().__init__()
        self.model = taps.model
        self.taps = taps
        self.key = key

    def forward(self, x: Tensor) -> Tensor:
        return self.taps.until(x, self.key).output.clone()


class _Into(nn.Module):
    """A model up to what one of its modules is given."""

    def __init__(self, taps: Taps, key: str) -> None:
        super().__init__()
        self.model = taps.model
        self.taps = taps
        self.key = key

    def forward(self, x: Tensor) -> Tensor:
        return self.taps.until(x, self.key).arguments[0].clone()


def by_watching(model: nn.Module, example: Tensor, layer: str | None = None) -> Iterator[Cut]:
    """Cuts after a module of which what was pooled is seen in one run, the last first; or after the one named."""
    taps = Taps(model)
    with torch.no_grad(), Tape() as tape:
        calls, answer = taps.watch(example, keep=True)
    logits, tried = tensor_of(answer), 0
    for call in reversed(calls):
        if layer is None and is_attention_pool(call.module):
            yield from _attended_on_tape(taps, tape, call, logits)
        arrangement = arrangement_of(call.kept, example.shape[-2:]) if layer in (None, call.key) else None
        if arrangement is None:
            continue
        tried += 1
        if tried > 3 * REACH:
            return
        maps = arrangement.maps(call.kept, example.shape[-2:])
        yield from _on_tape(tape, maps, logits,
                            lambda copies, key=call.key, how=arrangement: _Backbone(_Until(taps, key), how, copies))


def _attended_on_tape(taps: Taps, tape: Tape, call: Call, logits: Tensor) -> Iterator[Cut]:
    made = max((n for n, step in enumerate(tape.steps) if step.output is call.output), default=-1)
    rest = follow(tape.steps[made + 1:], call.output, logits)
    if rest is not None and call.arguments:
        backbone = _Backbone(_Into(taps, call.key), Arrangement())
        yield _attended(backbone, call.module, rest, call.output)


def _on_tape(
    tape: Tape, maps: Tensor, logits: Tensor, backbone: Callable[[int], nn.Module]
) -> Iterator[Cut]:
    """Cuts at the vectors on the tape that are these maps, pooled, and lead to the logits."""
    for n, step in enumerate(tape.steps):
        if step.output.ndim < 2 or not _is_vector(step.output) or len(step.output) != len(maps):
            continue
        recognised = _recognise(maps, step.output)
        after_relu = None if recognised else _recognise(maps.relu(), step.output)  # one that is no module
        head = follow(tape.steps[n + 1:], step.output, logits) if recognised or after_relu else None
        if head is not None and recognised:
            yield Cut(backbone(recognised.copies), recognised.pooling, head)
        elif head is not None and after_relu:
            yield Cut(nn.Sequential(backbone(after_relu.copies), nn.ReLU()), after_relu.pooling, head)


def silent_at_the_end(model: nn.Module, example: Tensor) -> bool:
    """Whether the last maps are constant on an example, so that every pooling gives the same of them."""
    layers = Layers(model, example)
    if not layers.all:
        return False
    maps = layers.maps(example, layers.all[-1].key)
    return torch.equal(maps.amax(PLACES), maps.amin(PLACES))


def seen_at_the_end(model: nn.Module, example: Tensor, difference: float | None = None) -> str:
    """One sentence: what a network does instead of a global pooling that is known.

    Args:
        model: of its own, see `own_copy`.
        example: an input.
        difference: the least that parts which were tried differed by from the model, as a share of its largest logit.
    """
    layers = Layers(model, example).all
    if not layers:
        return ("The network has no feature maps that could be found: no module of its upper levels gives channels at "
                "positions, so there is nothing to pool or to look at.")
    last = layers[-1]
    shape = " × ".join(f"{length:,}" for length in last.shape)
    if last.arrangement.kind == "tokens" and last.arrangement.prefix:
        return (f"The network reads its answer from a class token and not from a pooling of its {shape} patch tokens, "
                "so no other pooling can take its place.")
    wide = [module.in_features for module in model.modules() if isinstance(module, nn.Linear)
            and module.in_features > last.shape[0] and module.in_features % last.shape[0] == 0]
    if wide:
        return (f"The network flattens its {shape} feature maps into {wide[0]:,} numbers instead of pooling them, so "
                "no other pooling can take its place.")
    if difference is not None:
        return (f"Cut at what looks like a global pooling of its {shape} feature maps, the network's parts differ from "
                f"it by {difference:.0e} of its largest logit (expected at most 1e-05), so it does more than that.")
    return (f"After its {shape} feature maps the network does something else than a global pooling that is known "
            "(average, maximum, their mix or both, GeM, SoftPool, CLIP's attention), so no other can take its place.")
