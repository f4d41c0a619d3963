"""A copy of a network of which a part has lost what it learned: its weights are drawn anew."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from explorer.analysis import Analysis, Outcome
from explorer.analysis.memory import remembered
from explorer.errors import MethodError
from explorer.networks.cutting.taps import Taps, own_copy
from explorer.networks.layers import Layers
from explorer.networks.network import Network

PARTS = MappingProxyType({
    "head": "what follows the maps: they stay, under a head that knows nothing",
    "backbone": "what leads to the maps: others, of a backbone that knows nothing, under the same head",
})


def redrawn(outcome: Outcome, part: str, seed: int) -> Outcome:
    """The outcome of a copy of the network whose head or backbone is drawn anew; the network itself stays as it is.

    Each weight is drawn from the normal distribution with its own tensor's mean and standard deviation: new, at the
    scale that the others expect. (Shuffled, a tensor of two numbers would often stay as it is.) Batch normalisation of
    maps goes by this photo's statistics in what is drawn anew, as in training: the ones it has kept are of maps that
    are no more. The copy lives as long as the outcome.

    Args:
        outcome: its pooling stays.
        part: key of PARTS. Where nothing is pooled, or a layer is looked at: what follows those maps, or leads there.
        seed: of the drawing; the same gives the same weights.

    Raises MethodError where nothing but the network's parts is known, or the part has no weights.
    """
    analysis, network = outcome.analysis, outcome.analysis.network
    maps = analysis.feature_maps
    if not analysis.has_evidence:
        names: Collection[str] = _part_by_layer(analysis, part)
        layers = copy.deepcopy(network.layers)
        _draw(_whole_model(network, layers), names, part, seed)
        network = replace(network, layers=layers)
        if part == "backbone":
            maps = layers.maps(analysis.input, analysis.layer_key)[0]
    elif part == "head":
        head = own_copy(outcome.head)
        _draw(head, {name for name, _ in head.named_parameters()}, part, seed)
        network = _with_head(network, outcome.pooling, head)
    else:
        backbone = own_copy(network.backbone)
        in_head = {id(weights) for weights in network.head.parameters()}  # a backbone may be the whole model, cut short
        names = {name for name, weights in network.backbone.named_parameters() if id(weights) not in in_head}
        _draw(backbone, names, part, seed)
        network = replace(network, backbone=backbone)
        with torch.no_grad():
            maps = backbone(analysis.input)[0]
    return outcome.on(Analysis(network, analysis.image, analysis.framing, analysis.input, maps, analysis.seconds,
                               analysis.layer))


def drawn_anew(weights: Tensor, seed: int, number: int) -> Tensor:
    """Of the same shape: from the normal distribution with the tensor's mean and standard deviation.

    Args:
        seed: of the drawing.
        number: of the tensor in its part, so that no two are drawn alike.
    """
    generator = torch.Generator().manual_seed(1_000_003 * seed + number)
    noise = torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    return weights.mean() + weights.std(correction=0) * noise


def _draw(module: nn.Module, names: Collection[str], part: str, seed: int) -> None:
    """Draw the weights of those names anew, in place of the copy's."""
    chosen = [weights for name, weights in module.named_parameters() if name in names]
    # Tensors of equal numbers stay as they are.
    if not any(weights.numel() > 1 and not torch.equal(weights.amin(), weights.amax()) for weights in chosen):
        raise MethodError(f"The {part} has no weights that could be drawn anew.")
    own = {id(weights) for weights in chosen}
    for number, weights in enumerate(chosen):
        if weights.numel() > 1:
            weights.data = drawn_anew(weights.detach(), seed, number)
    for inner in list(module.modules()):
        if isinstance(inner, _BatchNorm) and any(id(weights) in own for weights in inner.parameters(recurse=False)):
            _go_by_this_photo(inner)
        if isinstance(inner, fx.GraphModule):  # where a tracer went into a normalisation, it is a function call
            for node in inner.graph.nodes:
                node.target = _batch_norm if node.target is functional.batch_norm else node.target
            inner.recompile()


def _has_statistics(maps: Tensor) -> bool:
    return maps.ndim == 4 and maps.numel() > maps.shape[1]


def _go_by_this_photo(norm: _BatchNorm) -> None:
    """Let a batch normalisation go by the statistics of what it is given."""
    module: nn.Module = norm
    forward = module.forward

    def run(maps: Tensor) -> Tensor:
        norm.training = _has_statistics(maps)
        return forward(maps)

    norm.momentum = 0.0  # the statistics that it has kept stay
    module.forward = run


def _batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:
    """`functional.batch_norm`, by the statistics of what it is given."""
    return functional.batch_norm(input, running_mean, running_var, weight, bias,
                                 training or _has_statistics(input), 0.0, eps)


def _with_head(network: Network, pooling: str, head: nn.Module) -> Network:
    """The network with another head under the pooling of that key."""
    if pooling not in network.trained:
        return replace(network, head=head)
    return replace(network, trained={**network.trained, pooling: network.trained[pooling]._replace(head=head)})


def _part_by_layer(analysis: Analysis, part: str) -> frozenset[str]:
    """Names of the whole model's weights that the layer's maps depend on, or of all others."""
    model, below = _whole_model(analysis.network, analysis.network.layers), _read_below(analysis)
    return frozenset(name for name, _ in model.named_parameters() if (name in below) == (part == "backbone"))


def _whole_model(network: Network, layers: Layers) -> nn.Module:
    if layers.model is None:
        raise MethodError(f"Of {network.title} nothing but its parts is known, so what leads to a layer cannot be told "
                          "from what follows it.")
    return layers.model


@remembered
def _read_below(analysis: Analysis) -> frozenset[str]:
    """Names of the weights that the maps depend on: those that a gradient of the maps reaches."""
    layers, x = analysis.network.layers, analysis.input
    taps = Taps(own_copy(_whole_model(analysis.network, layers)))
    weights = dict(taps.model.requires_grad_().named_parameters())
    with torch.enable_grad():
        output = taps.until(x, analysis.layer_key).output
        maps = layers.of(analysis.layer_key).arrangement.maps(output, (x.shape[-2], x.shape[-1]))
    gradients = torch.autograd.grad(maps.sum(), list(weights.values()), allow_unused=True)
    return frozenset(name for name, gradient in zip(weights, gradients, strict=True) if gradient is not None)
