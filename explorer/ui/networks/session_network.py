"""A session's networks: which is shown, what of the choices it has, and its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from explorer.analysis import Analysis
from explorer.errors import ExplorerError
from explorer.framing import Preprocessing
from explorer.networks import BUNDLED, Network
from explorer.poolings import POOLINGS, PoolingChoice
from explorer.progress import Progress
from explorer.sections.nodes import Node, el
from explorer.ui.session.arguments import GIVEN, tell
from explorer.ui.session.cache import network_named, still_here
from explorer.ui.session.choices import FEWEST, Choices, sizes_of
from explorer.ui.session.network_cache import LeftError
from explorer.ui.session.session import Fitted, Session
from explorer.wording import shortened, within_sentence

FOUND = {
    "known": "known beforehand", "traced": "found by tracing",
    "watched": "found by watching a pass", "named": "cut after the layer that was named",
}
_SILENT = (nn.Flatten, nn.Dropout, nn.Identity)  # parts of a head that say nothing about its kind
_MOST_NAMED = 3  # parts of a head
_TOLD: set[str] = set()  # sentences that the terminal has heard


def network_in_use(current: Session, progress: Progress | None = None) -> Network:
    """The network that is chosen, with every other choice made to fit it.

    One that cannot be had is answered with a sentence, and the last good one stays.
    """
    if current.own:
        still_here(current.token)
    name = current.choices.network
    try:
        network = network_named(current.wanted(name), progress)
    except ExplorerError as error:
        network = _instead(current, name, error, progress)
    fit(current, network)
    return network


def _instead(current: Session, name: str, error: ExplorerError, progress: Progress | None) -> Network:
    if name == GIVEN and str(error) not in _TOLD:
        _TOLD.add(str(error))
        tell(str(error))
    sentence = why_gone(current, name) if isinstance(error, LeftError) else str(error)
    for good in dict.fromkeys([current.good, *BUNDLED]):
        if good == name:
            continue
        try:
            network = network_named(current.wanted(good), progress)
        except ExplorerError:
            continue
        current.notices += [sentence, f"{shortened(network.title, 60)} is shown."]
        current.choose(network=good)
        return network
    raise error


def why_gone(current: Session, name: str) -> str:
    """Why a person's own network is not there, and what to do."""
    if name in current.own:
        return "Your network left the memory because others needed the room: drop its file in again."
    return ("The link is of a network from a file that was dropped in elsewhere and never leaves its session: drop it "
            "in again to see the same page.")


def second_network(current: Session, progress: Progress | None = None) -> Network | None:
    """The network beside the one in use; one that cannot be had is answered with a sentence and let go of."""
    name = current.choices.against
    if not name:
        return None
    try:
        return network_named(current.wanted(name), progress)
    except ExplorerError as error:
        sentence = why_gone(current, name) if isinstance(error, LeftError) else str(error)
        current.notices += [sentence, "No other network is beside it."]
        current.choose(against="")
        return None


# Making the choices fit.


def fit(current: Session, network: Network) -> None:
    """Let go of choices that the network does not have; a sentence says so where a link asked for them."""
    chosen, before, asked, title = current.choices, current.fitted, current.asked, shortened(network.title, 60)
    size = network.preprocessing.size
    is_new = (before.name, before.size) != (chosen.network, size)
    if is_new:
        native, changes = _own_pooling(network, before.native), _of_another(chosen, before, network, asked)
    else:
        native, changes = before.native, {}
    now = replace(chosen, **changes)

    def cannot(name: str, wanted: object, instead: object) -> None:
        changes[name] = instead
        if name in asked:
            current.notices.append(f"The link asks for {name} “{str(wanted)[:40]}”, which {title} does not have; "
                                   f"{instead or 'its final feature maps'} {'are' if not instead else 'is'} shown.")

    if now.size is not None and now.size not in sizes_of(network.preprocessing):
        cannot("size", now.size, size)
    elif now.size is None:
        changes["size"] = size
    if now.layer and now.layer not in {layer.key for layer in network.layers.all}:
        cannot("layer", now.layer, "")
    if network.pooling is not None:
        if now.pooling.key in network.poolings:
            changes["pooling"] = now.pooling.among(network.poolings)
        else:
            cannot("pooling", now.pooling, native)
        different = dict.fromkeys(choice.among(network.poolings) for choice in now.poolings)
        if len(different) < FEWEST and "poolings" in asked:
            text = ",".join(map(str, now.poolings))[:40]
            current.notices.append(f"The link asks for poolings “{text}”, which are one and the same; the usual are "
                                   "shown.")
            different = dict.fromkeys(Choices.poolings)
        changes["poolings"] = _side_by_side(tuple(different), network, native)
    if network.preprocessing.fixed and now.framing == "whole" and "framing" not in asked:
        changes["framing"] = "crop"
    if now.against == now.network:
        changes["against"] = ""
    changes = {name: value for name, value in changes.items() if value != getattr(chosen, name)}
    if changes:
        current.choices = replace(chosen, **changes)
    if is_new:
        current.fitted = Fitted(chosen.network, size, native, network.class_names)
    current.asked = frozenset()


def _of_another(chosen: Choices, before: Fitted, network: Network, asked: frozenset[str]) -> dict[str, Any]:
    """What becomes of the choices that were made for another network, but for what a link asks for."""
    native = _own_pooling(network, before.native)
    changes: dict[str, Any] = {"size": network.preprocessing.size, "region": None, "channel": None, "beside": None,
                               "layer": ""}
    if before.name:
        places = {name: index for index, name in enumerate(network.class_names)}

        def same_class(index: int | None) -> int | None:
            known = index is not None and index < len(before.class_names)
            return places.get(before.class_names[index]) if known else None

        changes["class_index"], changes["rival"] = same_class(chosen.class_index), same_class(chosen.rival)
        changes["classes"] = tuple(index for index in map(same_class, chosen.classes) if index is not None)
    if chosen.pooling == before.native or chosen.pooling.key not in network.poolings:
        changes["pooling"] = native
    changes["poolings"] = tuple(dict.fromkeys(native if each == before.native else each for each in chosen.poolings))
    also = asked | ({"class_index"} if "class" in asked else frozenset())
    return {name: value for name, value in changes.items() if name not in also}


def _own_pooling(network: Network, otherwise: PoolingChoice) -> PoolingChoice:
    """Its own pooling."""
    if network.pooling is None:
        return otherwise
    return PoolingChoice.of(network.pooling.key, network.pooling_parameters, network.poolings)


def _side_by_side(
    poolings: tuple[PoolingChoice, ...], network: Network, native: PoolingChoice
) -> tuple[PoolingChoice, ...]:
    kept = [choice for choice in poolings if choice.key in network.poolings]
    for usual in (native, *Choices.poolings):
        if len(kept) < FEWEST and usual not in kept:
            kept.append(usual)
    return tuple(kept)


# The card.


def card(current: Session, analysis: Analysis) -> Node:
    """What the network is, what it wants of its input, and how exact its answers are."""
    network, (channels, rows, columns) = analysis.network, analysis.feature_maps.shape
    pooling = POOLINGS.get(network.pooling.key, network.pooling) if network.pooling else None
    maps = f"{channels:,} × {rows} × {columns}"
    through = [f"{analysis.layer_name}, {maps}", "…"] if analysis.layer else [maps]
    through += [pooling.label(**network.pooling_parameters), head_in_words(network.head)] if pooling else []
    return el(
        "div",
        el("div", el("h2", "Network"), _badge(network), class_="head"),
        el("strong", network.title, title=network.title),
        el("p", f"{parameters_in_words(network.parameters)} · {network.origin}"),
        el("p", " → ".join([*through, f"{len(network.class_names):,} classes"
                            if len(network.class_names) != 1 else "one class"])),
        el("p", _poolings_trained(network)) if network.trained else None,
        el("p", f"pooling {FOUND[network.cut]}, {network.activation}" if pooling
           else f"{network.reason} Its answer: {network.activation}."),
        el("p", preprocessing_in_words(network.preprocessing)
           + (" · edited" if current.choices.network in current.edited else "")),
        el("p", f"{'the way there' if analysis.layer else 'one forward pass'}, {analysis.seconds * 1000:.0f} ms"),
        class_="card",
    )


def _poolings_trained(network: Network) -> str:
    """"poolings trained: GAP, GMP, learned attention"."""
    names = [network.pooling.name, *(each.pooling.name for each in network.trained.values())]
    return f"poolings trained: {', '.join(map(within_sentence, names))}"


def _badge(network: Network) -> Node:
    if network.pooling is None:
        return el("span", "no pooling", class_="badge")
    exact = network.head_kind == "affine" and network.pooling.exact
    return el("span", "exact" if exact else "integrated", class_="badge native" if exact else "badge",
              title="Evidence adds up to the logit but for rounding" if exact else
              "Evidence adds up to the logit but for the error of a quadrature")


def parameters_in_words(count: int) -> str:
    """"4.7 M parameters"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit} parameters"
    return f"{count} parameters"


def head_in_words(head: nn.Module) -> str:
    """"Linear", "LayerNorm2d, Linear": the kinds of its parts."""
    kinds = [type(each).__name__ for each in _leaves(head) if not isinstance(each, _SILENT)]
    if not kinds:
        return "no head"
    return ", ".join(kinds[:_MOST_NAMED]) + ("…" if len(kinds) > _MOST_NAMED else "")


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    return (each for each in module.modules() if next(each.children(), None) is None)


def preprocessing_in_words(wants: Preprocessing) -> str:
    """"224 px from a short side of 256, bicubic, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"."""
    def numbers(values: tuple[float, ...]) -> str:
        return " ".join(f"{value:.3f}" for value in (values if len(set(values)) > 1 else values[:1]))

    grey = ", in grey" if wants.channels == 1 else ""
    return (f"{wants.size} px from a short side of {int(wants.size / wants.crop_ratio)}, {wants.interpolation}{grey}, "
            f"mean {numbers(wants.mean)}, std {numbers(wants.std)}")


def layers_in_words(network: Network) -> Mapping[str, str]:
    """The layers to look at: key to title, the final feature maps ("") first."""
    shapes = {layer.key: " × ".join(f"{length:,}" for length in layer.shape) for layer in network.layers.all}
    return {"": "final feature maps"} | {key: f"{key} · {shape}" for key, shape in reversed(shapes.items())}


def title_in_use(current: Session, name: str) -> str:
    """What a network is called, where it can be had; a file's name is a person's own text."""
    try:
        return network_named(current.wanted(name)).title
    except ExplorerError:
        return name
