"""A head of one's own, rebuilt from its tensors: Linears, BatchNorms and LayerNorms, one after the other.

What has no tensors is in no file: dropout, which does nothing when a network answers, and the activations. Where
nn.Sequential left a number free between two Linears, or names say nothing, one is assumed, and said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from explorer.networks.cutting.head_chain import linear

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU,
    "hardswish": nn.Hardswish, "sigmoid": nn.Sigmoid, "none": nn.Identity,
}
_BESIDE = re.compile(r"(.*[._])?(loss|losses|criterion|metrics?|acc|accuracy|(train|val|valid|test)_\w*)([._].*)?")
_LEAVES = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


class OwnHead(NamedTuple):
    """A head (B, features) to logits (B, outputs), and whether an activation in it was assumed."""

    module: nn.Sequential
    outputs: int
    assumed: bool


class MaximumBesideAverage(nn.Module):
    """(B, C, H, W) to (B, 2 C, 1, 1), or flat (B, 2 C): fastai's AdaptiveConcatPool2d."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.flat = flat

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([x.amax((2, 3), keepdim=True), x.mean((2, 3), keepdim=True)], 1)
        return both.flatten(1) if self.flat else both


def is_beside(key: str) -> bool:
    """Whether a tensor's name says that it is of a loss or a metric, and not of the network."""
    return _BESIDE.fullmatch(key[:200]) is not None


def rebuilt(state: Mapping[str, Tensor], features: int, activation: str) -> OwnHead | None:
    """The head that these tensors are of.

    Args:
        state: all that is not the body's; what is a loss's or a metric's is left out.
        features: length of the pooled vector.
        activation: key of `ACTIVATIONS`, for where one is assumed.

    Returns:
        None where there are none, or they do not follow one another from that length on.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        if not is_beside(key):
            path, _, leaf = key.rpartition(".")
            parts.setdefault(path, {})[leaf] = tensor
    if not parts or any(not leaves.keys() <= _LEAVES for leaves in parts.values()):
        return None
    for paths in (sorted(parts, key=_naturally), list(parts), _fitting(parts, features)):
        if head := _chained([(path, parts[path]) for path in paths], features, activation):
            return head
    return None


def _fitting(parts: Mapping[str, Mapping[str, Tensor]], width: int) -> list[str]:
    """The paths so that each takes what the one before it gives, where neither names nor the file say their order."""
    order: list[str] = []
    rest = sorted(parts, key=_naturally)
    while fitting := next(((path, module) for path in rest if (module := _module(parts[path], width))), None):
        path, module = fitting
        width = module.out_features if isinstance(module, nn.Linear) else width
        rest.remove(path)
        order.append(path)
    return [*order, *rest]


def _naturally(path: str) -> list[tuple[bool, int, str]]:
    return [(not part.isdecimal(), int(part) if part.isdecimal() and len(part) < 10 else 0, part)
            for part in path.split(".")]


def _chained(parts: Sequence[tuple[str, Mapping[str, Tensor]]], width: int, activation: str) -> OwnHead | None:
    modules: list[nn.Module] = []
    assumed, last = False, ""  # the last part's path
    open_linear = False  # whether a Linear stands there that no activation follows yet
    for path, tensors in parts:
        module = _module(tensors, width)
        if module is None:
            return None
        if open_linear and _is_gap(last, path, isinstance(module, nn.Linear)) and not isinstance(module, nn.PReLU):
            modules.append(ACTIVATIONS[activation]())
            assumed, open_linear = True, False
        modules.append(module)
        if isinstance(module, nn.Linear):
            width, open_linear = module.out_features, True
        elif isinstance(module, nn.PReLU):
            open_linear = False
        last = path
    if not any(isinstance(module, nn.Linear) for module in modules):
        return None
    return OwnHead(nn.Sequential(*modules).eval(), width, assumed)


def _is_gap(before: str, after: str, is_linear: bool) -> bool:
    """Whether something without tensors may stand between two parts."""
    (parent, _, number), (other, _, next_number) = before.rpartition("."), after.rpartition(".")
    if parent == other and number.isdecimal() and next_number.isdecimal():
        return int(next_number) > int(number) + 1
    return is_linear  # names that are no numbers: the usual place is before the next Linear, after its norm


def _module(tensors: Mapping[str, Tensor], width: int) -> nn.Module | None:
    """The part that has these tensors and takes a vector of that length."""
    weight, bias = tensors.get("weight"), tensors.get("bias")
    if weight is not None and weight.ndim == 4 and tuple(weight.shape[2:]) == (1, 1):
        weight = weight.flatten(1)
    if weight is not None and weight.ndim == 2 and "running_mean" not in tensors:
        fits = weight.shape[1] == width and (bias is None or bias.shape == weight.shape[:1])
        return linear(weight.float(), None if bias is None else bias.float()) if fits and len(weight) else None
    if weight is not None and weight.shape == (1,) and bias is None:
        return _filled(nn.PReLU(1), tensors)
    if any(tensor.shape != (width,) for key, tensor in tensors.items() if key != "num_batches_tracked"):
        return None
    if "running_mean" in tensors:
        return _filled(nn.BatchNorm1d(width, affine=weight is not None), tensors)
    return None if weight is None else _filled(nn.LayerNorm(width, bias=bias is not None), tensors)


def _filled(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module | None:
    own = module.state_dict()
    if own.keys() - tensors.keys() - {"num_batches_tracked"}:
        return None
    module.load_state_dict(own | {key: tensor for key, tensor in tensors.items() if key != "num_batches_tracked"})
    return module
