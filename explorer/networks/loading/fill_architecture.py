"""A person's checkpoint in an architecture of torchvision or timm: whether it fits, and filled in when it does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from explorer.errors import NetworkError
from explorer.networks.loading.blueprints import Blueprint, Unfilled, build, new_module
from explorer.networks.loading.checkpoint import Checkpoint
from explorer.networks.loading.guess_architecture import best_candidate, classes_in, mismatch, nearest_architectures
from explorer.networks.loading.known_networks import identify, timm_architectures, torchvision_names


class ArchitectureError(NetworkError):
    """A checkpoint is of another architecture than the one named, or none was named.

    Attributes:
        nearest: names of architectures that it may be of, the likeliest first.
    """

    def __init__(self, message: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest


def filled(checkpoint: Checkpoint, architecture: str | None, called: str) -> Blueprint:
    """The architecture with the checkpoint's weights and its number of classes.

    Where no name is shared, but as many tensors of the same shapes stand in the same order, they are taken in that
    order, and the origin says so.

    Args:
        checkpoint: as read.
        architecture: a name as `known_networks.identify` takes it; None asks for one, with a guess.
        called: what to call the file in a sentence.

    Raises:
        ArchitectureError: it does not fit, or no architecture was named.
        NetworkError: there is no such architecture.
    """
    if not architecture:
        nearest = _nearest(checkpoint)
        guess = f"it looks like {nearest[0]}" if nearest else "it resembles none that torchvision or timm has"
        raise ArchitectureError(f"The file {called} holds weights alone and does not say of which network; expected "
                                f"the name of its architecture: {guess}.", nearest)
    with Unfilled():
        usual = build(architecture)
        wanted = usual.module.state_dict()
        candidate = best_candidate(checkpoint.state, wanted)
        state = {key: tensor for key, tensor in candidate.state.items() if not key.startswith(usual.droppable)}
        by_order = _in_order(state, wanted)
        state = by_order or state
        classes = classes_in(state, wanted)
        other = classes not in (None, usual.outputs)
        blueprint = build(architecture, classes) if other else usual
    if wrong := mismatch(state, blueprint.module.state_dict()):
        nearest = _nearest(checkpoint)
        guess = f" It looks like {nearest[0]}." if nearest and nearest[0] != usual.known.name else ""
        raise ArchitectureError(f"The file {called} is not of the architecture {usual.known.name}: {wrong}{guess}",
                                nearest)
    _fill(blueprint.module, state)
    opened = [*checkpoint.opened, *candidate.opened, *(["names matched by order alone"] if by_order else [])]
    return replace(
        blueprint, module=blueprint.module.eval(), digest=checkpoint.digest,
        origin=f"your file, {usual.known.name}" + (f" ({', '.join(opened)})" if opened else ""),
    )


def _in_order(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors under the architecture's names, when no name agrees and all shapes do, one after the other.

    The last layer's number of classes may differ.
    """
    theirs = {key: each for key, each in state.items() if not key.endswith("num_batches_tracked")}
    names = [key for key in wanted if not key.endswith("num_batches_tracked")]
    if set(theirs) & set(names) or len(theirs) != len(names):
        return None
    for last, (key, tensor) in enumerate(zip(names, theirs.values(), strict=True), 3 - len(names)):
        same = tensor.shape == wanted[key].shape
        if not same and not (last > 0 and tensor.shape[1:] == wanted[key].shape[1:]):
            return None
    return dict(zip(names, theirs.values(), strict=True))


def _fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    named = OrderedDict(state)
    named._metadata = module.state_dict()._metadata  # some modules ask which version the names are of
    module.load_state_dict(named, strict=False)


def _nearest(checkpoint: Checkpoint) -> tuple[str, ...]:
    names = [*(f"torchvision/{name}" for name in torchvision_names()),
             *(f"timm/{name}" for name in timm_architectures())]
    found = nearest_architectures(checkpoint.state, names, lambda name: new_module(identify(name)))
    return tuple(guess.name for guess in found)
