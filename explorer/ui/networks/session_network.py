"""A session's networks: which is shown, and what of the choices it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from explorer.analysis import Analysis
from explorer.errors import ExplorerError, NetworkError
from explorer.networks import BUNDLED, Network
from explorer.networks.loading.load import ASSUMED_PREPROCESSING
from explorer.poolings import PoolingChoice
from explorer.progress import Progress
from explorer.questions.intervention import Intervention
from explorer.ui.session.arguments import GIVEN, print_wrong
from explorer.ui.session.cache import network_named
from explorer.ui.session.choices import FEWEST, OF_A_NETWORK, OF_A_PHOTO, OWN_FILE, Choices, sizes_of
from explorer.ui.session.session import Fitted, Session
from explorer.wording import shortened


class MissingFileError(NetworkError):
    """A network from a person's own file that this session does not hold."""


def network_of(session: Session, name: str, progress: Progress | None = None) -> Network:
    """The network of that name in this session, as it was edited there. Raises ExplorerError."""
    network = session.own.get(name)
    if network is None:
        if name.startswith(OWN_FILE):
            raise MissingFileError(
                "Your network left the memory, which keeps the last two of your files: drop its file in again."
                if name in session.own else
                "Your network was lost on reload: drop its file in again." if name in session.held else
                "The link is of a network from a file that was dropped in elsewhere and never leaves its session: drop "
                "it in again to see the same page.")
        network = network_named(name, progress)
    edited = session.edited.get(name)
    if edited is None:
        return network
    answered = (caution for caution in network.cautions if not caution.startswith(ASSUMED_PREPROCESSING))
    return replace(network, preprocessing=edited, cautions=tuple(answered))


def network_in_use(session: Session, requested: frozenset[str], progress: Progress | None = None) -> Network:
    """The network that is chosen, with every other choice made to fit it.

    Where it cannot be loaded a notice says why, and the last good one stays. `requested` are the names of the choices
    that a link makes.
    """
    failures: list[ExplorerError] = []
    for name in dict.fromkeys([session.choices.network, session.good, *BUNDLED]):
        try:
            network = network_of(session, name, progress)
        except ExplorerError as error:
            failures.append(error)
            continue
        if failures:
            if session.choices.network == GIVEN:
                print_wrong(str(failures[0]))
            session.notices += [str(failures[0]), f"{shortened(network.title, 60)} is shown."]
            # What a link asks of that network says nothing about this one, and is kept for it.
            lost = session.choices
            if requested:
                session.by_network.setdefault(lost.network, {key: getattr(lost, key) for key in OF_A_NETWORK})
            session.by_network.setdefault(name, OF_A_PHOTO | {"channel": None, "beside": None, "layer": ""})
            session.choose(network=name)
        fit(session, network, requested)
        return network
    raise failures[0]


def second_network(session: Session, progress: Progress | None = None) -> Network | None:
    """The network beside the one in use; where it cannot be loaded a notice says why, and it is cleared."""
    name = session.choices.against
    if not name:
        return None
    try:
        return network_of(session, name, progress)
    except ExplorerError as error:
        clear_second(session, str(error))
        return None


def clear_second(session: Session, reason: str) -> None:
    """No other network is beside the one in use any more, and why."""
    session.notices += [reason, "No other network is beside it."]
    session.choose(against="")


def title_in_use(session: Session, name: str) -> str:
    """A network's title; its name in links where it cannot be loaded. A file's title is a user's own text."""
    try:
        return network_of(session, name).title
    except ExplorerError:
        return name


# Making the choices fit.


def fit(session: Session, network: Network, requested: frozenset[str] = frozenset()) -> None:
    """Clear choices that the network does not have; a sentence says so where a link requested them."""
    chosen, before, native = session.choices, session.fitted, session.fitted.native
    if network.pooling is not None:
        native = PoolingChoice.of(network.pooling.key, network.pooling_parameters, network.poolings)
    changes: dict[str, Any] = {}
    if before.name != chosen.network and chosen.network not in session.by_network:
        carried = _carried(chosen, before, network, native)
        changes = {name: value for name, value in carried.items() if name not in requested}
    session.fitted = Fitted(chosen.network, native, network.class_names)
    now = replace(chosen, **changes)

    def refuse(name: str, instead: object, words: str) -> None:
        changes[name] = instead
        if name in requested:
            session.notices.append(f"The link asks for {name} “{str(getattr(now, name))[:40]}”, which "
                                   f"{shortened(network.title, 60)} does not have; {words} shown.")

    sizes, own_size = sizes_of(network.preprocessing), network.preprocessing.size
    if now.size is None:
        changes["size"] = own_size
    elif now.size not in sizes:
        refuse("size", own_size, f"{own_size} is")
    if now.layer and now.layer not in {layer.key for layer in network.layers.all}:
        refuse("layer", "", "its final feature maps are")
    if network.pooling is not None:
        if now.pooling.key in network.poolings:
            changes["pooling"] = now.pooling.among(network.poolings)
        else:
            refuse("pooling", native, f"{native} is")
        changes["poolings"] = _side_by_side(session, now.poolings, network, native, "poolings" in requested)
    if network.preprocessing.fixed and now.framing == "whole" and "framing" not in requested:
        changes["framing"] = "crop"
    if now.against == now.network:
        changes["against"] = ""
    session.choices = replace(now, **changes)


def _carried(chosen: Choices, before: Fitted, network: Network, native: PoolingChoice) -> dict[str, Any]:
    """What becomes of the choices that were made for another network: classes go by their names."""
    carried: dict[str, Any] = {"size": None, "region": None, "channel": None, "beside": None, "layer": "",
                               "change": ""}
    if before.name:
        places = {name: index for index, name in enumerate(network.class_names)}
        same: dict[int | None, int] = {
            index: places[name] for index, name in enumerate(before.class_names) if name in places}
        carried |= {name: same.get(getattr(chosen, name)) for name in ("class_index", "truth", "rival")}
        carried["classes"] = tuple(same[index] for index in chosen.classes if index in same)
    if chosen.pooling == before.native or chosen.pooling.key not in network.poolings:
        carried["pooling"] = native
    replacement = {before.native: native}
    carried["poolings"] = tuple(dict.fromkeys(replacement.get(choice, choice) for choice in chosen.poolings))
    return carried


def _side_by_side(
    session: Session, chosen: tuple[PoolingChoice, ...], network: Network, native: PoolingChoice, is_requested: bool
) -> tuple[PoolingChoice, ...]:
    """Of the poolings chosen those that the network offers, with usual ones where those are too few."""
    different = tuple(dict.fromkeys(choice.among(network.poolings) for choice in chosen))
    if len(different) < FEWEST and is_requested:
        text = ",".join(map(str, chosen))[:40]
        session.notices.append(f"The link asks for poolings “{text}”, which are one and the same; the usual are shown.")
        different = Choices.poolings
    kept = [choice for choice in different if choice.key in network.poolings]
    for usual in (native, *Choices.poolings):
        if len(kept) < FEWEST and usual not in kept:
            kept.append(usual)
    return tuple(kept)


def check_choices(session: Session, analysis: Analysis) -> None:
    """Clear choices that these maps and classes do not have; a sentence says so where only a link can ask for them."""
    chosen, changes = session.choices, dict[str, Any]()
    channels, rows, columns = analysis.feature_maps.shape
    classes = len(analysis.network.class_names)
    if chosen.region and (chosen.region[2] >= rows or chosen.region[3] >= columns):
        changes["region"] = None
    for name in ("channel", "beside"):
        channel = getattr(chosen, name)
        if channel is not None and channel >= channels:
            changes[name] = None
            session.notices.append(f"There is no channel {channel}; expected a whole number from 0 to {channels - 1}.")
    if chosen.change and analysis.has_evidence:  # at a layer it waits
        try:
            Intervention.parse(chosen.change).check(analysis.feature_maps.shape)
        except ExplorerError as error:
            changes["change"] = ""
            session.notices.append(f"{error} The feature maps are shown unchanged.")
    if chosen.class_index is not None:
        try:
            analysis.network.check_class(chosen.class_index)
        except ExplorerError as error:
            changes["class_index"] = None
            session.notices.append(f"{error} The answer is shown.")
    for name, words in (("rival", "compares with"), ("truth", "marks as true")):
        index = getattr(chosen, name)
        if index is not None and index >= classes:
            changes[name] = None
            session.notices.append(f"The link {words} class {index}, which does not exist; expected a number from 0 to "
                                   f"{classes - 1}.")
    if any(index >= classes for index in chosen.classes):
        changes["classes"] = tuple(index for index in chosen.classes if index < classes)
        session.notices.append("The link asks for a class that does not exist; expected numbers from 0 to "
                               f"{classes - 1}.")
    if changes:
        session.choose(**changes)
