"""Which architecture of torchvision or timm a checkpoint is of: filled with its weights, or the nearest ones named."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from explorer.checks import checked_key
from explorer.errors import NetworkError
from explorer.networks.loading.blueprints import Blueprint, Unfilled, build, droppable_keys, new_module
from explorer.networks.loading.catalogue import entries, same_names, same_shapes, siblings
from explorer.networks.loading.checkpoint import Checkpoint
from explorer.networks.loading.files import one_line
from explorer.networks.loading.known_networks import Known, identify, timm_architectures, torchvision_names
from explorer.networks.loading.layouts import EXPORTING, readings
from explorer.networks.loading.matching import (
    BY_ORDER,
    Match,
    best_reading,
    is_counter,
    matched,
    mismatch,
    shapes_of,
    share_of,
    takes_grey,
)
from explorer.networks.loading.own_head import ACTIVATIONS, MaximumBesideAverage
from explorer.networks.loading.renames import is_tensorflows
from explorer.wording import listed

ADVICE = (f" Where the network is at hand as model, {EXPORTING} writes a file that needs no architecture.")
_MOST_TRIED = 6  # architectures that are built and held against a file
_LEAST = 0.5  # of the names and shapes must agree in a guess
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
_POOLS = ("avgpool", "global_pool")
_BUILT: dict[str, dict[str, tuple[int, ...]]] = {}  # by name


class ArchitectureError(NetworkError):
    """A checkpoint is of another architecture than the one named, or none was named.

    Attributes:
        nearest: names of architectures that it may be of, the likeliest first.
    """

    def __init__(self, message: str, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest


def fill(checkpoint: Checkpoint, architecture: str | None, title: str, head_activation: str = "relu") -> Blueprint:
    """The architecture with the checkpoint's weights, its number of classes, and its head where that is one's own.

    Where no name is shared, but as many tensors of the same shapes stand in the same order, they are taken in that
    order, and the origin says so. What had to be chosen or assumed is in the blueprint's cautions.

    Args:
        checkpoint: as read.
        architecture: a name as `known_networks.identify` takes it; None is the one that has just these tensors.
        title: of the file, for sentences.
        head_activation: key of `own_head.ACTIVATIONS`, for what stands between two Linears of an own head.

    Raises:
        ArchitectureError: it does not fit, or none has these tensors.
        NetworkError: there is no such architecture.
        ParameterError: there is no such activation.
    """
    checked_key(head_activation, ACTIVATIONS, "head_activation")
    if architecture:
        usual = _usual(checkpoint, architecture)
        if match := matched(checkpoint, usual, head_activation):
            return _filled(checkpoint, usual, match, head_activation)
    proposed = proposals(checkpoint)
    for name in proposed[:_MOST_TRIED]:
        if architecture and not _same_word(name, usual.known.architecture):
            continue  # what a person named is replaced only by its namesake of the other source
        other = _usual(checkpoint, name)
        if match := matched(checkpoint, other, head_activation):
            return _filled(checkpoint, other, match, head_activation)
    if not architecture:
        nearest = _nearest(checkpoint)  # what was proposed was tried
        guess = f"it looks like {nearest[0]}" if nearest else "it resembles none that torchvision or timm has"
        raise ArchitectureError(f"The file {title} holds weights alone and does not say of which network; expected "
                                f"the name of its architecture: {guess}.{'' if nearest else ADVICE}", nearest)
    fitting = next((name for name in proposed[:_MOST_TRIED] if not _same_word(name, usual.known.architecture)
                    and _fits(checkpoint, name, head_activation)), None)
    nearest = (fitting,) if fitting else tuple(
        name for name in _nearest(checkpoint) if not _same_word(name, usual.known.architecture))
    guess = f" It looks like {nearest[0]}." if nearest else ""
    raise ArchitectureError(f"The file {title} is not of the architecture {usual.known.name}: "
                            f"{_reason(checkpoint, usual)}{guess}{ADVICE}", nearest)


def _fits(checkpoint: Checkpoint, name: str, activation: str) -> bool:
    return matched(checkpoint, _usual(checkpoint, name), activation) is not None


def _usual(checkpoint: Checkpoint, name: str) -> Blueprint:
    """The architecture as it is made without a checkpoint, for grey images where the file's is."""
    with Unfilled():
        tensorflow = is_tensorflows(checkpoint.state, identify(name).name)
        usual = build(name, tensorflow=tensorflow)
        model_state = usual.module.state_dict()
        _, state = best_reading(checkpoint.state, model_state)
        return build(name, grey=True, tensorflow=tensorflow) if takes_grey(state, model_state) else usual


def _filled(checkpoint: Checkpoint, usual: Blueprint, match: Match, activation: str) -> Blueprint:
    known = usual.known
    grey = len(usual.preprocessing.mean) == 1
    with Unfilled():
        blueprint = usual if match.classes in (None, usual.outputs) else build(
            known.name, match.classes, grey, usual.tensorflow)
    named = blueprint.module.state_dict()  # and not a new dict: some modules read in it which version the names are of
    named.update({key: tensor for key, tensor in match.state.items() if not is_counter(key)})
    blueprint.module.load_state_dict(named, strict=False)
    outputs, names = blueprint.outputs, blueprint.class_names
    if match.head:
        _put(blueprint.module, match, known.name)
        names, outputs = names if match.head.outputs == outputs else None, match.head.outputs
    if checkpoint.class_names and len(checkpoint.class_names) == outputs:
        names = checkpoint.class_names
    opened = (*checkpoint.opened, *match.opened)
    others = () if checkpoint.made_with.get("architecture") else _siblings(known)
    # The weights as they are in the module now, which its network keeps anyway.
    taken, ours = replace(checkpoint, state={}), blueprint.module.state_dict()
    again = replace(match, state={key: ours[key] for key in match.state if key in ours})
    return replace(
        blueprint, module=blueprint.module.eval(), digest=checkpoint.digest, outputs=outputs, class_names=names,
        classifies=blueprint.classifies or match.head is not None,
        cautions=(*checkpoint.cautions, *_cautions(others, match, activation)),
        siblings={name: partial(_as, name, grey, taken, again, activation) for name in others},
        origin=f"your file, {known.name}" + (f" ({', '.join(opened)})" if opened else ""),
    )


def _as(name: str, grey: bool, checkpoint: Checkpoint, match: Match, activation: str) -> Blueprint:
    """The same weights as another architecture's."""
    with Unfilled():
        usual = build(name, grey=grey)
    return _filled(checkpoint, usual, match, activation)


def _siblings(known: Known) -> list[str]:
    """The architectures with the same tensors, those of the same word first."""
    others = [entry.name for entry in siblings(f"{known.source}/{known.architecture}")]
    return sorted(others, key=lambda name: not _same_word(name, known.architecture))


def _put(module: nn.Module, match: Match, name: str) -> None:
    """The person's head in the place of the architecture's last layer, or after it."""
    if match.beside:
        path = next((path for path, _ in module.named_modules() if path.rpartition(".")[2] in _POOLS), None)
        if path is None:
            raise NetworkError(f"The file's head takes the maximum and the average side by side, and {name} has no "
                               f"pooling of its own to put there.{ADVICE}")
        pool = module.get_submodule(path)
        module.set_submodule(path, MaximumBesideAverage(isinstance(getattr(pool, "flatten", None), nn.Flatten)))
    parent, _, name = match.root.rpartition(".")
    place, head = module.get_submodule(parent), match.head
    assert head is not None
    own = getattr(place, name)
    before = own if match.follows else nn.Identity() if isinstance(own, nn.Linear) else nn.Flatten(1)
    setattr(place, name, nn.Sequential(before, *head.module))


def _cautions(others: Sequence[str], match: Match, activation: str) -> Iterator[str]:
    """Sentences on what no file says, and what was done about it."""
    if others:
        yield (f"Architecture: {listed(others[:3])}{' and others' if len(others) > 3 else ''} "
               f"{'have' if len(others) > 1 else 'has'} tensors of the same names and shapes and compute"
               f"{'' if len(others) > 1 else 's'} something else with them; no file says which one it is of.")
    if match.head and match.head.assumed:
        yield (f"Head: {activation} is assumed between its Linears, because no file says what stands there; "
               "head_activation, or the page's choice of that name, changes it.")
    if match.beside:
        yield ("Pooling: the head takes twice as many numbers as there are channels: maximum and average side by side, "
               "the maximum first, are assumed, as fastai puts them.")
    if BY_ORDER in match.opened:
        yield "Names: the file has others than the architecture; tensors were matched by their order and shapes."
    if match.unused:
        yield f"Not used: {listed([one_line(key) for key in match.unused[:3]])}" + (
            f" and {len(match.unused) - 3:,} further tensors of the file." if len(match.unused) > 3 else ".")


def _reason(checkpoint: Checkpoint, usual: Blueprint) -> str:
    """Which tensors do not fit, in a sentence."""
    model_state, dropped = usual.module.state_dict(), droppable_keys(usual.known)
    _, state = best_reading(checkpoint.state, model_state)
    state = {key: tensor for key, tensor in state.items() if not key.startswith(dropped)}
    wrong = mismatch(state, model_state) or "its head is not one that follows this architecture."
    if not checkpoint.ordered and not set(state) & set(model_state):
        wrong += " No name agrees, and a safetensors file does not keep the order of its tensors to go by."
    return wrong


def proposals(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The architectures whose tensors these are, heads aside, by the catalogue; those that the file names first."""
    states = list(readings(checkpoint.state).values())
    names = [entry.name for reading in states for entry in same_names(shapes_of(reading))]
    names = names or [entry.name for entry in same_shapes(shapes_of(checkpoint.state))]
    named = [hint.strip().lower().rpartition("/")[2] for hint in checkpoint.hints]
    if not names:
        names = [hint for hint in named if f"timm/{hint.partition('.')[0]}" in _catalogued()
                 or f"torchvision/{hint}" in _catalogued()]
    return tuple(sorted(dict.fromkeys(names), key=lambda name: (
        name.rpartition("/")[2] not in {hint.partition(".")[0] for hint in named},
        not any(_same_word(name, hint) for hint in named))))


def _catalogued() -> frozenset[str]:
    return frozenset(entry.name for entry in entries())


def _same_word(name: str, other: str) -> bool:
    """Whether two names differ in the source, the weights' tag or the framework that it was trained in alone."""
    def word(text: str) -> str:
        return text.rpartition("/")[2].partition(".")[0].removeprefix("tf_")

    return word(name) == word(other)


def _nearest(checkpoint: Checkpoint) -> tuple[str, ...]:
    names = [*(f"torchvision/{name}" for name in torchvision_names()),
             *(f"timm/{name}" for name in timm_architectures())]
    return nearest_architectures(checkpoint.state, names, least=_LEAST)


def nearest_architectures(
    state: Mapping[str, Tensor], names: Sequence[str], seconds: float = 5.0, least: float = 0.0
) -> tuple[str, ...]:
    """The three architectures whose tensors agree best with a state dict's by name and shape, the best first.

    Args:
        state: as read; each of its `readings` is compared.
        names: of the architectures to compare with, as `identify` takes them; likely ones are tried first.
        seconds: after which no further one is built; those that were built before stay known and cost nothing.
        least: share of agreeing names and shapes that one must exceed.

    Returns:
        Their names; architectures that share nothing or cannot be built are left out.
    """
    shapes = [shapes_of(reading) for reading in readings(state).values()]
    end = time.monotonic() + seconds
    shares: dict[str, float] = {}
    for name in _likely_first(state, names):
        if name not in _BUILT and time.monotonic() < end:
            _BUILT[name] = _shapes_by_name(name)
        if _BUILT.get(name):
            shares[name] = max(share_of(shape, _BUILT[name]) for shape in shapes)
    return tuple(sorted((name for name in shares if shares[name] > least), key=lambda name: -shares[name])[:3])


def _likely_first(state: Mapping[str, Tensor], names: Sequence[str]) -> list[str]:
    """The same names, those of families that use the state dict's kind of names first, else in their order."""
    keys = [key for reading in readings(state).values() for key in reading]
    for pattern, family in _FAMILIES:
        if any(re.fullmatch(pattern, key) for key in keys if len(key) < 200):
            return sorted(names, key=lambda name: re.search(family, name) is None)
    return list(names)


def _shapes_by_name(name: str) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            return shapes_of(new_module(identify(name)).state_dict())
    except Exception:  # whatever a constructor that wants real numbers raises: it is not compared with
        return {}


