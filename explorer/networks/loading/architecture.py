"""Which architecture of torchvision or timm a checkpoint is of: filled with its weights, or the nearest ones named."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from explorer.errors import NetworkError
from explorer.networks.loading.blueprints import Blueprint, Unfilled, build, droppable_keys, new_module
from explorer.networks.loading.checkpoint import Checkpoint, readings
from explorer.networks.loading.files import one_line
from explorer.networks.loading.known_networks import identify, timm_architectures, torchvision_names

Shapes = Mapping[str, tuple[int, ...]]
# Names of tensors that one family alone has, and that family's names; the first that matches counts.
_FAMILIES = (
    (r"patch_embed\..*|.*attn\.qkv\.weight", r"vit|deit|swin|beit|eva|cait|xcit|twins|pvt|coat|maxvit|mvit|hiera|volo"),
    (r"conv_stem\.weight", r"efficientnet|mobilenet|mnasnet|mixnet|lcnet|tinynet|fbnet|ghostnet|spnas|semnas|hardcore"),
    (r"features\.\d+\.\d+\.block\..*|features\.\d+\.block\..*", r"efficientnet|convnext|mobilenet"),
    (r"features\.denseblock\d+\..*", r"densenet"),
    (r"stages\.\d+\.blocks\.\d+\.(conv_dw|dwconv)\..*", r"convnext|edgenext"),
    (r"stages\.\d+\..*", r"regnet|convnext|repvgg|nf_|resnetv2|poolformer|metaformer|levit"),
    (r"layer\d\.\d+\.conv\d\.weight", r"res|wide_|seresnet|skresnet|ecaresnet|gluon|ssl|swsl"),
    (r"features\.\d+\.(squeeze|expand)\w*\..*", r"squeezenet"),
    (r"Mixed_\w+\..*|inception\w+\..*", r"inception|googlenet"),
    (r"stage\d\.\d+\.branch\d\..*", r"shufflenet"),
)
_BUILT: dict[str, dict[str, tuple[int, ...]]] = {}  # by name


class ArchitectureError(NetworkError):
    """A checkpoint is of another architecture than the one named, or none was named.

    Attributes:
        nearest: names of architectures that it may be of, the likeliest first.
    """

    def __init__(self, message: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest


def fill(checkpoint: Checkpoint, architecture: str | None, title: str) -> Blueprint:
    """The architecture with the checkpoint's weights and its number of classes.

    Where no name is shared, but as many tensors of the same shapes stand in the same order, they are taken in that
    order, and the origin says so.

    Args:
        checkpoint: as read.
        architecture: a name as `known_networks.identify` takes it; None raises the error that names the nearest.
        title: of the file, for sentences.

    Raises:
        ArchitectureError: it does not fit, or no architecture was named.
        NetworkError: there is no such architecture.
    """
    if not architecture:
        nearest = _nearest(checkpoint)
        guess = f"it looks like {nearest[0]}" if nearest else "it resembles none that torchvision or timm has"
        raise ArchitectureError(f"The file {title} holds weights alone and does not say of which network; expected "
                                f"the name of its architecture: {guess}.", nearest)
    with Unfilled():
        usual = build(architecture)
        model_state = usual.module.state_dict()
        prefixes, state = best_reading(checkpoint.state, model_state)
        grey = takes_grey(state, model_state)
        if grey:
            usual = build(architecture, grey=True)
            model_state = usual.module.state_dict()
        droppable = droppable_keys(usual.known)
        state = {key: tensor for key, tensor in state.items() if not key.startswith(droppable)}
        by_order = _in_order(state, model_state)
        state = by_order or state
        classes = classes_in(state, model_state)
        blueprint = usual if classes in (None, usual.outputs) else build(architecture, classes, grey)
    if wrong := mismatch(state, blueprint.module.state_dict()):
        nearest = _nearest(checkpoint)
        guess = f" It looks like {nearest[0]}." if nearest and nearest[0] != usual.known.name else ""
        raise ArchitectureError(f"The file {title} is not of the architecture {usual.known.name}: {wrong}{guess}",
                                nearest)
    named = blueprint.module.state_dict()  # and not a new dict: some modules read in it which version the names are of
    named.update(state)
    blueprint.module.load_state_dict(named, strict=False)
    opened = [*checkpoint.opened, *prefixes, *(["names matched by order alone"] if by_order else [])]
    return replace(
        blueprint, module=blueprint.module.eval(), digest=checkpoint.digest,
        origin=f"your file, {usual.known.name}" + (f" ({', '.join(opened)})" if opened else ""),
    )


def _in_order(state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors under the architecture's names, when no name agrees and all shapes do, one after the other.

    The last layer's number of classes may differ.
    """
    theirs = {key: tensor for key, tensor in state.items() if not _is_counter(key)}
    names = [key for key in model_state if not _is_counter(key)]
    if set(theirs) & set(names) or len(theirs) != len(names):
        return None
    for last, (key, tensor) in enumerate(zip(names, theirs.values(), strict=True), 3 - len(names)):
        shape = model_state[key].shape
        if tensor.shape != shape and not (last > 0 and tensor.shape[1:] == shape[1:]):
            return None
    return dict(zip(names, theirs.values(), strict=True))


def _nearest(checkpoint: Checkpoint) -> tuple[str, ...]:
    names = [*(f"torchvision/{name}" for name in torchvision_names()),
             *(f"timm/{name}" for name in timm_architectures())]
    return nearest_architectures(checkpoint.state, names)


def nearest_architectures(state: Mapping[str, Tensor], names: Sequence[str], seconds: float = 5.0) -> tuple[str, ...]:
    """The three architectures whose tensors agree best with a state dict's by name and shape, the best first.

    Args:
        state: as read; each of its `readings` is compared.
        names: of the architectures to compare with, as `identify` takes them; likely ones are tried first.
        seconds: after which no further one is built; those that were built before stay known and cost nothing.

    Returns:
        Their names; architectures that share nothing or cannot be built are left out.
    """
    shapes = [_shapes(reading) for reading in readings(state).values()]
    end = time.monotonic() + seconds
    shares: dict[str, float] = {}
    for name in _likely_first(state, names):
        if name not in _BUILT and time.monotonic() < end:
            _BUILT[name] = _shapes_of(name)
        if _BUILT.get(name):
            shares[name] = max(_share(shape, _BUILT[name]) for shape in shapes)
    return tuple(sorted((name for name in shares if shares[name] > 0), key=lambda name: -shares[name])[:3])


def _likely_first(state: Mapping[str, Tensor], names: Sequence[str]) -> list[str]:
    """The same names, those of families that use the state dict's kind of names first, else in their order."""
    keys = [key for reading in readings(state).values() for key in reading]
    for pattern, family in _FAMILIES:
        if any(re.fullmatch(pattern, key) for key in keys if len(key) < 200):
            return sorted(names, key=lambda name: re.search(family, name) is None)
    return list(names)


def best_reading(
    state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Of `readings`, the one that fits this architecture best; the names as they are when two are alike."""
    ours = _shapes(model_state)  # max takes the first of equals
    return max(readings(state).items(), key=lambda reading: _share(_shapes(reading[1]), ours))


def classes_in(state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> int | None:
    """How many classes a state dict was made for: the length of what differs from the architecture in length alone.

    Args:
        state: named like the architecture's.
        model_state: of the architecture with any number of classes.

    Returns:
        The number; the architecture's own when nothing differs; None when that does not tell it (something else
        differs in length too, or the last layer is missing).
    """
    last = _classifier(model_state)
    if last is None or last not in state or not _differs_in_length_alone(state[last].shape, model_state[last].shape):
        return None
    theirs, ours = {state[last].shape[0]}, model_state[last].shape[0]
    for key in set(state) & set(model_state):
        if state[key].shape != model_state[key].shape:
            if not _differs_in_length_alone(state[key].shape, model_state[key].shape) or (
                    model_state[key].shape[0] != ours):
                return None
            theirs.add(state[key].shape[0])
    return theirs.pop() if len(theirs) == 1 else None


def takes_grey(state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict's first convolution takes one channel where the architecture's takes three."""
    key = next((key for key, tensor in model_state.items() if tensor.ndim == 4), None)
    if key is None or key not in state or model_state[key].shape[1] != 3:
        return False
    return state[key].shape == (len(model_state[key]), 1, *model_state[key].shape[2:])


def mismatch(state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> str | None:
    """One sentence on the first tensors that do not fit, whatever the number of classes; None when all fit.

    For example "12 tensors do not fit: fc.weight is missing, head.weight is not in the architecture, conv1.weight has
    the shape (64, 1, 7, 7) and not (64, 3, 7, 7)."
    """
    free = set() if classes_in(state, model_state) is None else {
        key for key in set(state) & set(model_state)
        if _differs_in_length_alone(state[key].shape, model_state[key].shape)}
    reasons = [f"{one_line(key)} is missing" for key in model_state if key not in state and not _is_counter(key)]
    extra = [f"{one_line(key)} is not in the architecture" for key in state
             if key not in model_state and not _is_counter(key)]
    shaped = [f"{one_line(key)} has the shape {_shape(state[key])} and not {_shape(model_state[key])}"
              for key in model_state if key in state and key not in free
              and state[key].shape != model_state[key].shape]
    count = len(reasons) + len(extra) + len(shaped)
    if not count:
        return None
    # One of each kind first: a list of missing names alone hides that the file has them under other names.
    examples = [group[n] for n in range(3) for group in (shaped, reasons, extra) if n < len(group)][:3]
    verb = "1 tensor does not fit" if count == 1 else f"{count:,} tensors do not fit"
    return f"{verb}: {', '.join(examples)}{', and others' if count > len(examples) else ''}."


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")  # a count of training steps, absent from old files


def _differs_in_length_alone(theirs: Sequence[int], ours: Sequence[int]) -> bool:
    return len(theirs) == len(ours) > 0 and tuple(theirs[1:]) == tuple(ours[1:])


def _classifier(model_state: Mapping[str, Tensor]) -> str | None:
    """The last matrix, or 1 x 1 convolution, of the architecture: its first length is the number of classes."""
    matrices = [key for key, tensor in model_state.items() if key.endswith("weight") and (
        tensor.ndim == 2 or (tensor.ndim == 4 and tuple(tensor.shape[2:]) == (1, 1)))]
    return matrices[-1] if matrices else None


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items() if not _is_counter(key)}


def _shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            return _shapes(new_module(identify(name)).state_dict())
    except Exception:  # whatever a constructor that wants real numbers raises: it is not compared with
        return {}


def _share(theirs: Shapes, ours: Shapes) -> float:
    """Tensors of the same name and, but for their first length, shape; as a share of all names of both."""
    same = sum(ours.get(key, (None,))[1:] == shape[1:] and len(ours[key]) == len(shape)
               and (ours[key] == shape or len(shape) < 4 or shape[2:] == (1, 1))
               for key, shape in theirs.items() if key in ours)
    exact = sum(ours.get(key) == shape for key, shape in theirs.items())
    union = len(theirs) + len(ours) - sum(key in ours for key in theirs)
    return (same + exact) / (2 * union) if union else 0.0
