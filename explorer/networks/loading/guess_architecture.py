"""Which architecture a state dict belongs to, told by the names and shapes of its tensors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explorer.networks.loading.archive import shown
from explorer.networks.loading.checkpoint import Candidate, candidates

Shapes = Mapping[str, tuple[int, ...]]
# What a family's tensors are called that no other's are, in the order in which it is asked.
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
_built: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}  # by who builds it and its name


@dataclass(frozen=True)
class Guess:
    """An architecture and the share, 0..1, of its tensors (by name and shape, the last layer aside) that fit."""

    name: str
    share: float


def nearest_architectures(state: Mapping[str, Tensor], names: Sequence[str], build: Callable[[str], nn.Module], *,
                          most: int = 3, seconds: float = 5.0) -> tuple[Guess, ...]:
    """The known architectures whose tensors agree best with a state dict's, the best first.

    Args:
        state: as read; each of its `candidates` is compared.
        names: of the architectures to compare with; likely ones are tried first.
        build: makes one by name; it is called under `torch.device("meta")`, so without numbers.
        most: how many are given.
        seconds: after which no further one is built; those that were built before stay known and cost nothing.

    Returns:
        At most `most` guesses that share anything; architectures that cannot be built are left out.
    """
    shapes = [_shapes(candidate.state) for candidate in candidates(state)]
    end, found = time.monotonic() + seconds, []
    for name in likely_first(state, names):
        key = f"{build.__module__}.{build.__qualname__}", name
        if key not in _built and time.monotonic() < end:
            _built[key] = _shapes_of(name, build)
        if _built.get(key):
            found.append(Guess(name, max(_share(shape, _built[key]) for shape in shapes)))
    return tuple(sorted((guess for guess in found if guess.share > 0), key=lambda guess: -guess.share)[:most])


def likely_first(state: Mapping[str, Tensor], names: Sequence[str]) -> list[str]:
    """The same names, those of families that use the state dict's kind of names first, else in their order."""
    keys = list(candidates(state)[-1].state) + list(state)
    for pattern, family in _FAMILIES:
        if any(re.fullmatch(pattern, key) for key in keys if len(key) < 200):
            return sorted(names, key=lambda name: re.search(family, name) is None)
    return list(names)


def best_candidate(state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> Candidate:
    """The way to read the names that fits this architecture best; the names as they are when two are alike."""
    wanted = _shapes(model_state)
    return max(candidates(state), key=lambda candidate: (_share(_shapes(candidate.state), wanted),
                                                         -len(candidate.opened)))


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


def mismatch(state: Mapping[str, Tensor], model_state: Mapping[str, Tensor], most: int = 3) -> str | None:
    """One sentence on the first tensors that do not fit, whatever the number of classes; None when all fit.

    For example "12 tensors do not fit: fc.weight is missing, head.weight is not in the architecture, conv1.weight has
    the shape (64, 1, 7, 7) and not (64, 3, 7, 7)."
    """
    free = set() if classes_in(state, model_state) is None else {
        key for key in set(state) & set(model_state)
        if _differs_in_length_alone(state[key].shape, model_state[key].shape)}
    reasons = [f"{shown(key)} is missing" for key in model_state if key not in state and not _is_counter(key)]
    extra = [f"{shown(key)} is not in the architecture" for key in state
             if key not in model_state and not _is_counter(key)]
    shaped = [f"{shown(key)} has the shape {_shape(state[key])} and not {_shape(model_state[key])}"
              for key in model_state if key in state and key not in free
              and state[key].shape != model_state[key].shape]
    count = len(reasons) + len(extra) + len(shaped)
    if not count:
        return None
    # One of each kind first: a list of missing names alone hides that they are only called otherwise.
    told = [group[n] for n in range(most) for group in (shaped, reasons, extra) if n < len(group)][:most]
    verb = "1 tensor does not fit" if count == 1 else f"{count:,} tensors do not fit"
    return f"{verb}: {', '.join(told)}{', and others' if count > len(told) else ''}."


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


def _shapes_of(name: str, build: Callable[[str], nn.Module]) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            return _shapes(build(name).state_dict())
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
