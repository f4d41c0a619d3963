"""A checkpoint's tensors held against an architecture's: under which names they are its own, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from explorer.networks.loading.blueprints import Blueprint, droppable_keys
from explorer.networks.loading.checkpoint import Checkpoint
from explorer.networks.loading.files import one_line
from explorer.networks.loading.layouts import readings
from explorer.networks.loading.own_head import OwnHead, is_beside, rebuilt
from explorer.networks.loading.renames import as_children, hugging_faces

State = Mapping[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]
BY_ORDER = "names matched by order alone"


@dataclass(frozen=True)
class Match:
    """How a checkpoint's tensors are an architecture's.

    Attributes:
        state: under the architecture's names, but for the head at `root` where there is one of one's own.
        opened: what was done to the names.
        classes: how many outputs; None is the architecture's own number.
        head: one of one's own; None is the architecture's.
        root: path of the module in whose place the head stands, or, where `follows`, after which it does.
        beside: whether the head takes the maximum and the average side by side, as fastai's do.
        unused: the tensors of the file that are in none of these.
    """

    state: dict[str, Tensor]
    opened: tuple[str, ...]
    classes: int | None = None
    head: OwnHead | None = None
    root: str = ""
    follows: bool = False
    beside: bool = False
    unused: tuple[str, ...] = ()


def matched(checkpoint: Checkpoint, usual: Blueprint, activation: str) -> Match | None:
    """The checkpoint's tensors as the architecture's; None where they are not.

    Args:
        checkpoint: as read.
        usual: the architecture as it is made without a checkpoint.
        activation: key of `own_head.ACTIVATIONS`, for where one is assumed.
    """
    model_state, dropped = usual.module.state_dict(), droppable_keys(usual.known)
    for opened, reading in _named_readings(checkpoint.state, model_state, usual.known.name):
        state = {key: tensor for key, tensor in reading.items() if not key.startswith(dropped)}
        if mismatch(state, model_state) is None:
            read = {_place(tensor) for tensor in reading.values()}
            unread = {key: tensor for key, tensor in checkpoint.state.items()
                      if not is_counter(key) and _place(tensor) not in read}
            return _followed(Match(state, opened, classes_in(state, model_state)), unread, model_state, activation)
    if checkpoint.ordered and (ordered := _in_order(checkpoint.state, model_state)):
        return Match(ordered, (BY_ORDER,), classes_in(ordered, model_state))
    return _with_own_head(checkpoint, usual, activation)


def _place(tensor: Tensor) -> tuple[int, int]:
    """Which numbers a tensor is of, whatever its shape."""
    return tensor.data_ptr(), tensor.numel()


def _named_readings(state: State, model_state: State, name: str) -> Iterator[tuple[tuple[str, ...], State]]:
    """The readings, the best first, then the same renamed where they have Hugging Face's names."""
    states, ours = readings(state), shapes_of(model_state)
    for opened in sorted(states, key=lambda opened: -share_of(shapes_of(states[opened]), ours)):
        yield opened, states[opened]
        if renamed := hugging_faces(states[opened], model_state, name):
            yield (*opened, "Hugging Face's names"), renamed


def _followed(match: Match, unread: State, model_state: State, activation: str) -> Match:
    """With what stands outside of the architecture: a Linear that follows its own, or tensors that are not used."""
    last = classifier(model_state)
    if last and match.classes and (head := rebuilt(unread, match.classes, activation)):
        return replace(match, head=head, root=last.removesuffix(".weight"), follows=True)
    return replace(match, unused=tuple(key for key in unread if not is_beside(key)))


def _with_own_head(checkpoint: Checkpoint, usual: Blueprint, activation: str) -> Match | None:
    model_state = usual.module.state_dict()
    last = classifier(model_state)
    if last is None or model_state[last].ndim != 2:
        return None
    root = last.removesuffix(".weight")
    while root:
        inside = [key for key in model_state if key.startswith(f"{root}.")]
        features = next(model_state[key].shape[1] for key in inside if model_state[key].ndim == 2)
        body = {key: tensor for key, tensor in model_state.items() if key not in inside}
        for opened, named, rest in _bodies(checkpoint, body, usual):
            for beside in (False, True):
                if head := rebuilt(rest, features * (1 + beside), activation):
                    return Match(named, (*opened, "a head of its own"), None, head, root, beside=beside)
        root = root.rpartition(".")[0]
    return None


def _bodies(
    checkpoint: Checkpoint, body: State, usual: Blueprint
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor], dict[str, Tensor]]]:
    """The body's tensors under the architecture's names, found under others, with all that is left of the file."""
    def parted(opened: tuple[str, ...], named: State) -> Iterator[tuple]:
        if all(key in named and named[key].shape == body[key].shape for key in body if not is_counter(key)):
            taken = {key: named[key] for key in body if key in named}
            own = {_place(tensor) for tensor in taken.values()}
            dropped = {_place(tensor) for key, tensor in named.items() if key.startswith(droppable_keys(usual.known))}
            yield opened, taken, {key: tensor for key, tensor in checkpoint.state.items()
                                  if _place(tensor) not in own | dropped and not (is_counter(key) and key not in body)}

    for opened, reading in _named_readings(checkpoint.state, usual.module.state_dict(), usual.known.name):
        yield from parted(opened, reading)
        for children in as_children(reading, usual.module):
            yield from parted((*opened, "children by number"), children)
    names = [key for key in body if not is_counter(key)]
    theirs = [key for key, tensor in checkpoint.state.items() if tensor.ndim or tensor.is_floating_point()]
    if checkpoint.ordered and not set(names) & set(theirs):
        yield from parted((BY_ORDER,), dict(zip(names, map(checkpoint.state.__getitem__, theirs), strict=False)))


def best_reading(
    state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Of `readings`, the one that fits this architecture best; the names as they are when two are alike."""
    ours = shapes_of(model_state)  # max takes the first of equals
    return max(readings(state).items(), key=lambda reading: share_of(shapes_of(reading[1]), ours))


def classes_in(state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> int | None:
    """How many classes a state dict was made for: the length of what differs from the architecture in length alone.

    Args:
        state: named like the architecture's.
        model_state: of the architecture with any number of classes.

    Returns:
        The number; the architecture's own when nothing differs; None when that does not tell it (something else
        differs in length too, or the last layer is missing).
    """
    last = classifier(model_state)
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
    reasons = [f"{one_line(key)} is missing" for key in model_state if key not in state and not is_counter(key)]
    extra = [f"{one_line(key)} is not in the architecture" for key in state
             if key not in model_state and not is_counter(key)]
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


def _in_order(state: Mapping[str, Tensor], model_state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors under the architecture's names, when no name agrees and all shapes do, one after the other.

    The last layer's number of classes may differ.
    """
    theirs = {key: tensor for key, tensor in state.items() if tensor.ndim or tensor.is_floating_point()}  # no counters
    names = [key for key in model_state if not is_counter(key)]
    if set(theirs) & set(names) or len(theirs) != len(names):
        return None
    for last, (key, tensor) in enumerate(zip(names, theirs.values(), strict=True), 3 - len(names)):
        shape = model_state[key].shape
        if tensor.shape != shape and not (last > 0 and tensor.shape[1:] == shape[1:]):
            return None
    return dict(zip(names, theirs.values(), strict=True))


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")  # a count of training steps, absent from old files


def _differs_in_length_alone(theirs: Sequence[int], ours: Sequence[int]) -> bool:
    return len(theirs) == len(ours) > 0 and tuple(theirs[1:]) == tuple(ours[1:])


def classifier(model_state: Mapping[str, Tensor]) -> str | None:
    """The last matrix, or 1 x 1 convolution, of the architecture: its first length is the number of classes."""
    matrices = [key for key, tensor in model_state.items() if key.endswith("weight") and (
        tensor.ndim == 2 or (tensor.ndim == 4 and tuple(tensor.shape[2:]) == (1, 1)))]
    return matrices[-1] if matrices else None


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items() if not is_counter(key)}


def share_of(theirs: Shapes, ours: Shapes) -> float:
    """Tensors of the same name and, but for their first length, shape; as a share of all names of both."""
    same = sum(ours.get(key, (None,))[1:] == shape[1:] and len(ours[key]) == len(shape)
               and (ours[key] == shape or len(shape) < 4 or shape[2:] == (1, 1))
               for key, shape in theirs.items() if key in ours)
    exact = sum(ours.get(key) == shape for key, shape in theirs.items())
    union = len(theirs) + len(ours) - sum(key in ours for key in theirs)
    return (same + exact) / (2 * union) if union else 0.0
