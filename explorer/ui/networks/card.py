"""The network in words: its card in the sidebar, and the layers to look at."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from explorer.analysis import Analysis
from explorer.framing import Framing, Preprocessing
from explorer.networks import Network
from explorer.networks.head import BesideMaps
from explorer.poolings import POOLINGS
from explorer.sections.nodes import Node, el
from explorer.ui.session.session import Session
from explorer.wording import exactness, within_sentence

HOW_CUT = {
    "known": "known beforehand", "traced": "found by tracing",
    "watched": "found by watching a pass", "named": "cut after the layer that was named",
    "followed": "found by following what is written into the class token",
}
_ANSWERS = {"none": "values", "given": "probabilities"}  # others are what logits go through
_SILENT = (nn.Flatten, nn.Dropout, nn.Identity, BesideMaps)  # parts of a head that say nothing about its kind
_MOST_NAMED = 3  # parts of a head, or siblings
SIBLING = "sibling "  # what a button for one picks begins so


def card(session: Session, analysis: Analysis) -> Node:
    """What the network is, what its input must be, and how exact its evidence is."""
    network, (channels, rows, columns) = analysis.network, analysis.feature_maps.shape
    pooling = POOLINGS.get(network.pooling.key, network.pooling) if network.pooling else None
    maps = f"{channels:,} × {rows} × {columns}"
    through = [f"{analysis.layer_name}, {maps}", "…"] if analysis.layer else [maps]
    one, many = ("value", "values") if network.activation == "none" else ("class", "classes")
    through += [pooling.label(**network.pooling_parameters), head_in_words(network.head)] if pooling else []
    answers = _ANSWERS.get(network.activation, network.activation)
    return el(
        "div",
        el("div", el("h2", "Network"), _badge(analysis), class_="head"),
        el("strong", network.title, title=network.title),
        el("p", f"{parameters_in_words(network.parameters)} · {network.origin}"),
        el("p", " → ".join([*through, f"{len(network.class_names):,} {many}"
                            if len(network.class_names) != 1 else f"one {one}"])),
        el("p", _poolings_trained(network)) if network.trained else None,
        el("p", f"pooling {HOW_CUT[network.cut]}, {answers}" if pooling
           else f"{network.reason} Its answer: {answers}."),
        *(el("p", caution, class_="note") for caution in network.cautions),
        *(el("p", el("button", f"Compare with {name}", pick=SIBLING + name, type="button", class_="link", data_key=name,
                     title="The same weights as that architecture, beside this one on this photo"))
          for name in list(network.siblings)[:_MOST_NAMED]),
        el("p", preprocessing_in_words(network.preprocessing, analysis.framing)
           + (" · edited" if session.choices.network in session.edited else "")),
        el("p", f"{'forward pass to this layer' if analysis.layer else 'one forward pass'} by {analysis.engine}, "
                f"{analysis.seconds * 1000:.0f} ms"),
        class_="card",
    )


def _poolings_trained(network: Network) -> str:
    """"poolings trained: GAP, GMP, learned attention"."""
    poolings = (network.pooling, *(head.pooling for head in network.trained.values()))
    names = [pooling.name for pooling in poolings if pooling]
    return f"poolings trained: {', '.join(map(within_sentence, names))}"


def _badge(analysis: Analysis) -> Node:
    """How exact evidence is: as the badge of the answer's map says, where there is one."""
    network = analysis.network
    if network.pooling is None:
        return el("span", "no pooling", class_="badge")
    kind = "exact" if network.head_kind == "affine" and network.pooling.exact else "integrated"
    if analysis.has_evidence:
        outcome = analysis.under()
        evidence = outcome.evidence(outcome.top(1)[0].class_index)
        kind = exactness(evidence.exact, evidence.residual, outcome.logits).partition(",")[0]
    left = {"exact": "rounding", "integrated": "the error of a quadrature"}.get(kind, "more than rounding")
    return el("span", kind, class_="badge native" if kind == "exact" else "badge",
              title=f"Evidence adds up to the {network.number} but for {left}")


def parameters_in_words(count: int) -> str:
    """"4.7 M parameters"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit} parameters"
    return f"{count} parameters"


def head_in_words(head: nn.Module) -> str:
    """"Linear", "LayerNorm2d, Linear": the kinds of its parts."""
    kinds = [type(part).__name__ for part in head.modules()
             if next(part.children(), None) is None and not isinstance(part, _SILENT)]
    if not kinds:
        return "no head"
    return ", ".join(kinds[:_MOST_NAMED]) + ("…" if len(kinds) > _MOST_NAMED else "")


def preprocessing_in_words(wants: Preprocessing, framing: Framing) -> str:
    """"224 px from a short side of 256, bicubic, mean 0.485 0.456 0.406, std 0.229 0.224 0.225": as this photo was."""
    def numbers(values: tuple[float, ...]) -> str:
        return " ".join(f"{value:.3f}" for value in (values if len(set(values)) > 1 else values[:1]))

    grey = ", in grey" if wants.channels == 1 else ", blue first (BGR)" if wants.order == "bgr" else ""
    side, size = min(framing.input_size), " × ".join(map(str, framing.input_size))
    how = {"crop": f"{side} px from a short side of {int(side / wants.crop_ratio)}",
           "whole": f"{size} px, the whole photo", "squash": f"{size} px, squashed"}[framing.kind]
    usual = "" if side == wants.size else f" (its own size is {wants.size} px)"
    return f"{how}{usual}, {wants.interpolation}{grey}, mean {numbers(wants.mean)}, std {numbers(wants.std)}"


def layers_in_words(network: Network) -> Mapping[str, str]:
    """The layers to look at: key to title, the final feature maps ("") first."""
    shapes = {layer.key: " × ".join(f"{length:,}" for length in layer.shape) for layer in network.layers.all}
    return {"": "final feature maps"} | {key: f"{key} · {shape}" for key, shape in reversed(shapes.items())}
