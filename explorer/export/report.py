"""The summary of an analysis: one HTML file that reads and prints without a server, a connection or a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from explorer import render
from explorer.analysis import Analysis, Outcome
from explorer.export.recipe import recipe, recipe_json
from explorer.export.strict_json import versions
from explorer.framing import FRAMINGS
from explorer.networks import Network
from explorer.questions.intervention import Intervention
from explorer.questions.reasons import Reasons, reasons
from explorer.sections.answers import (
    answer_sentence,
    badge,
    is_calibrated,
    trained_in_words,
    truth_sentence,
    with_names,
)
from explorer.sections.nodes import DOCUMENT_STYLE, STYLE, Node, Raw, data_uri, el
from explorer.sections.parts import OVERLAY_SIDE, facts, figure, maps_shape, note, scale_of, section, unseen
from explorer.sections.why import why_section
from explorer.wording import evidence_sentence, number_word, percent

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_PHOTO_SIDE = 1200  # px at most: twice what it has on the page
_STYLES = (STYLE, DOCUMENT_STYLE, Path(__file__).with_suffix(".css"))
_HEADS = {"affine": "affine: its evidence is exact", "nonlinear": "not affine: its evidence is integrated",
          "none": "cannot be run alone: there is no evidence"}
_ACTIVATIONS = {"softmax": "by softmax: one class excludes the others",
                "sigmoid": "by sigmoid: each class has its own, independent of the others",
                "none": "in a unit of their own, as of a regression", "given": "as the network gives them"}


def report_html(
    outcome: Outcome, class_index: int, calibrated: bool = False, rival: int | None = None,
    why: bool | Reasons = False, more: Sequence[Node] = (), truth: int | None = None,
) -> str:
    """One self-contained HTML document: the prediction, the evidence for a class, and what it takes to repeat both.

    Without evidence it says why, and Grad-CAM takes its place. Other classes and poolings are on live pages.

    Args:
        outcome: from `analysis.under(...)`.
        class_index: whose evidence is shown.
        calibrated: multiply the logits of what-ifs by their fitted number before the probabilities are taken.
        rival: the class to compare with in the section on why; None is the likeliest other one.
        why: whether there is such a section: it takes some hundred forward passes, or none when given `Reasons`.
        more: further sections, after that one.
        truth: the class that the photo is truly of, where that is known; `Reasons` have their own.

    Raises:
        ParameterError: there is no such class.
        MethodError: there is a rival, and the network has one logit alone.
    """
    analysis = outcome.analysis
    name = analysis.network.class_names[analysis.network.check_class(class_index)]
    given = reasons(outcome, class_index, rival, calibrated, truth=truth) if why is True else why
    truth = given.truth if given else truth
    sections = [
        _photo_and_map(outcome, class_index),
        why_section(given) if given else None, *more,
        el("div", _framing(analysis), _network(analysis), class_="halves"),
        _recipe(outcome, class_index, calibrated),
    ]
    return document(f"{name}, {outcome.class_map(class_index).source}",
                    _header(outcome, class_index, calibrated, truth), sections)


def document(title: str, header: Node, sections: Iterable[Node | None]) -> str:
    """One HTML document that reads alone, with the versions that made it at its foot."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", *(Raw(style.read_text(encoding="utf-8")) for style in _STYLES)),
    )
    footer = " · ".join(f"{what} {version}" for what, version in versions().items())
    body = el("body", header, el("main", *sections), el("footer", footer))
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en').markup()}\n"


def _header(outcome: Outcome, class_index: int, calibrated: bool, truth: int | None) -> Node:
    """The prediction, what the evidence that is shown amounts to, which answer is shown if not that one, the truth."""
    native, change = outcome.analysis.under(), outcome.analysis.change
    first, *others = native.top(2)
    answer = outcome.answer(class_index, calibrated)
    is_prediction = class_index == first.class_index and outcome.label == "native"
    runner_up = ""
    if others and is_prediction:  # under a sigmoid classes do not compete: none is a runner-up
        after = "Runner-up" if outcome.analysis.network.activation == "softmax" else "Next"
        runner_up = f" {after}: {others[0].name}, {percent(others[0].probability)}."
    return el(
        "header",
        el("p", f"PoolScope · {outcome.analysis.network.title}", class_="name"),
        el("h1", *with_names(answer_sentence(native))),
        el("p", f"Changed: {Intervention.parse(change).words}.") if change else None,
        el("p", _places(outcome, class_index, "" if is_prediction else answer.name) + runner_up, class_="lead"),
        None if is_prediction else el(
            "p", f"Shown here: {answer.name}, {outcome.class_map(class_index).source}: {percent(answer.probability)}, "
                 f"rank {answer.rank} ", badge(outcome, calibrated)),
        note(_what_if(outcome, calibrated)) if outcome.label == "what-if" else None,
        None if truth is None else el("p", truth_sentence(outcome, truth, calibrated)),
    )


def _places(outcome: Outcome, class_index: int, name: str) -> str:
    shown = outcome.class_map(class_index)
    if not shown.unit:
        return shown.account[1]
    wrong = int((~np.isfinite(shown.array)).sum())
    if wrong:
        return f"The evidence is not a number at {number_word(wrong)} of {shown.array.size} positions."
    return evidence_sentence(shown.array, name if outcome.label == "native" else f"{name} under {outcome.name}")


def _what_if(outcome: Outcome, calibrated: bool) -> str:
    """What a what-if is, and how far to trust its probabilities."""
    network = outcome.analysis.network
    own = network.trained.get(outcome.pooling)
    trained = own.pooling.label(**own.parameters) if own else outcome.analysis.under().name
    trust = (", its logits multiplied by one fitted number, which changes no rank" if is_calibrated(outcome, calibrated)
             else "" if network.activation == "none" else ", and its probabilities are mostly overconfident")
    return f"The head was trained with {trained}; under {outcome.name} the answer is a what-if{trust}."


def _photo_and_map(outcome: Outcome, class_index: int) -> Node:
    """The photo, and beside it the map of the class on a scale of its own."""
    analysis, drawn = outcome.analysis, outcome.class_map(class_index)
    scale = render.Scale.signed(drawn.array)
    width, height = analysis.framing.photo_size
    photo = render.jpeg(analysis.preview(_PHOTO_SIDE)[0], 82)
    painted = render.jpeg(analysis.overlay(drawn.cells, scale, long_side=OVERLAY_SIDE), 82)
    return section(drawn.name, el(
        "div",
        figure(photo, "The photo", f"The photo, {width} × {height} px"),
        figure(painted, f"{drawn.name}, laid over the photo",
               el("strong", f"{analysis.network.class_names[class_index]}, {drawn.source}"),
               *(el("span", words) for words in drawn.account),
               el("span", maps_shape(analysis) + unseen(analysis)), scale_of(scale, drawn)),
        class_="pair"))


def _numbers(network: Network) -> str:
    """What its answers come with."""
    return "Values" if network.activation == "none" else "Probabilities"


def _framing(analysis: Analysis) -> Node:
    framing = analysis.framing
    left, top, right, bottom = (round(edge) for edge in framing.seen)
    return section("What the network saw", facts({
        "Framing": f"{framing.kind}: {FRAMINGS[framing.kind]}",
        "Photo": f"{framing.photo_size[0]} × {framing.photo_size[1]} px",
        "Part of it seen": f"{left} to {right} px across, {top} to {bottom} px down",
        "Input": f"{framing.input_size[0]} × {framing.input_size[1]} px",
        "Positions": f"{framing.grid[0]} rows × {framing.grid[1]} columns",
    }.items()))


def _network(analysis: Analysis) -> Node:
    network, parameters = analysis.network, dict(analysis.network.pooling_parameters)
    others = trained_in_words(network)
    return section("The network", facts({
        "Network": f"{network.title} ({network.origin})",
        "Weights, sha256": network.digest,
        "Maps": maps_shape(analysis),
        "Pooling": network.pooling.label(**parameters) if network.pooling else network.reason,
        "Head": _HEADS[network.head_kind],
        **({"Heads also trained": f"with {others}"} if others else {}),
        _numbers(network): _ACTIVATIONS[network.activation],
        "Classes": f"{len(network.class_names):,}",
    }.items()))


def _recipe(outcome: Outcome, class_index: int, calibrated: bool) -> Node:
    """What repeats all this: to keep, and to run."""
    text = recipe_json(recipe(outcome, class_index, calibrated))
    link = el("a", "Keep it as recipe.json", href=data_uri(text.encode("ascii"), "application/json"),
              download="recipe.json")
    return section(
        "The recipe",
        el("p", link, "; with the same photo this command repeats what stands here, and reports how far it is off:",
           class_="note"),
        el("p", el("code", "python -m explorer photo.jpg --recipe recipe.json --report")),
    )
