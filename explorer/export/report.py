"""An analysis as one HTML file that reads without a server, a network connection or a script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from explorer import render
from explorer.analysis import Analysis, Answer, Outcome
from explorer.export import files as export
from explorer.export.recipe import recipe, recipe_json
from explorer.framing import FRAMINGS
from explorer.sections import without_evidence as plain
from explorer.sections.evidence import channels, compared, maps, votes
from explorer.sections.nodes import Node, Raw, data_uri, el
from explorer.sections.parts import (
    OVERLAY_SIDE,
    PHOTO_SIDE,
    badge,
    facts,
    figure,
    maps_shape,
    scale_of,
    section,
    unseen,
)
from explorer.sections.reasons import Reasons, reasons
from explorer.sections.why import WHY_STYLE, why_section
from explorer.wording import evidence_sentence, number_word, percent

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = Path(__file__).with_suffix(".css")

Section = tuple[str, Sequence[str]]


def report_html(
    outcome: Outcome,
    class_index: int,
    calibrated: bool = False,
    classes: Sequence[int] | None = None,
    poolings: Sequence[str] | None = None,
    extra: Sequence[Section] = (),
    rival: int | None = None,
    why: bool | Reasons = False,
) -> str:
    """One self-contained HTML document: the answer, the evidence, and what it takes to repeat both.

    Where the answer cannot be taken apart it says why, and Grad-CAM takes the place of evidence.

    Args:
        outcome: from `analysis.under(...)`.
        class_index: whose evidence is taken apart.
        calibrated: multiply the logits of what-ifs by their fitted number before the probabilities are taken.
        classes: whose evidence is compared; None is the native pooling's best three, and `class_index`.
        poolings: under which, as `parse_pooling` reads them; None is the native one, GAP, GMP, attention and the
            outcome's own. Where none can be exchanged they are left out.
        extra: further sections before the recipe, each a title and paragraphs of plain text.
        rival: the class to compare with in the section on why; None is the likeliest other one.
        why: whether there is such a section: it takes some hundred forward passes, or none with what `reasons` found.

    Raises:
        ParameterError: there is no such class or pooling.
        MethodError: there is a rival, and the network has one logit alone.
    """
    analysis = outcome.analysis
    name = analysis.network.class_names[analysis.network.check_class(class_index)]
    if classes is None:
        classes = list(dict.fromkeys([*(answer.class_index for answer in analysis.under().top(3)), class_index]))
    found = _reasons(outcome, class_index, rival, calibrated) if why is True else why or None
    sections = [
        _photo(outcome, class_index),
        why_section(found) if found else None,
        _answers(outcome, class_index, calibrated),
        *_looked_at(outcome, class_index, calibrated, classes, poolings),
        el("div", _framing(analysis), _network(analysis), class_="halves"),
        *(section(title, *(el("p", text) for text in paragraphs)) for title, paragraphs in extra),
        _recipe(outcome, class_index, calibrated),
    ]
    styles = (_STYLE, WHY_STYLE) if found else (_STYLE,)
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{name}, {_where(outcome)}"),
        el("style", *(Raw(style.read_text(encoding="utf-8")) for style in styles)),
    )
    versions = " · ".join(f"{what} {version}" for what, version in export.versions().items())
    body = el("body", _header(outcome, class_index, calibrated), el("main", *sections), el("footer", versions))
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en').markup()}\n"


def _reasons(outcome: Outcome, class_index: int, rival: int | None, calibrated: bool) -> Reasons:
    return outcome.remember(("reasons", class_index, rival, calibrated),
                            lambda: reasons(outcome, class_index, rival, calibrated))


def _where(outcome: Outcome) -> str:
    return f"under {outcome.name}" if outcome.analysis.has_evidence else outcome.analysis.layer_name


def _looked_at(
    outcome: Outcome, class_index: int, calibrated: bool, classes: Sequence[int], poolings: Sequence[str] | None
) -> list[Node]:
    """What is shown of several classes and channels."""
    analysis = outcome.analysis
    if not analysis.has_evidence:
        return [plain.cams(outcome, classes), plain.channels(analysis)]
    return [
        maps(analysis, classes, compared(outcome, poolings), calibrated),
        el("div", votes(outcome, class_index), channels(outcome, class_index), class_="halves"),
    ]


def _header(outcome: Outcome, class_index: int, calibrated: bool) -> Node:
    """What the network says, what the evidence that is shown amounts to, and what was asked for if it is not that."""
    native = outcome.analysis.under()
    first, second = [*native.top(2), None][:2]
    asked = outcome.answer(class_index, calibrated)
    is_answer, is_native = class_index == first.class_index, outcome.label == "native"
    what = ("it" if is_answer else asked.name) + ("" if is_native else f" under {outcome.name}")
    plainly = is_answer and is_native
    # Each class of a sigmoid is asked by itself: none is run up.
    after = "Runner-up" if outcome.analysis.network.activation == "softmax" else "Next"
    runner_up = f" {after}: {second.name}, {percent(second.probability)}." if second and plainly else ""
    return el(
        "header",
        el("p", f"PoolScope · {outcome.analysis.network.title}", class_="name"),
        el("h1", "It says ", el("span", first.name), f", with {percent(first.probability)}."),
        el("p", _carriers(outcome, class_index, what) + runner_up, class_="lead"),
        None if plainly else el(
            "p", f"Shown here: {asked.name}{f' under {outcome.name}' if outcome.analysis.has_evidence else ''}, with "
                 f"{percent(asked.probability)} at rank {asked.rank} ", badge(outcome, calibrated)),
    )


def _carriers(outcome: Outcome, class_index: int, what: str) -> str:
    if not outcome.analysis.has_evidence:
        return outcome.analysis.no_evidence_reason
    cells = outcome.evidence(class_index).cells.numpy()
    wrong = int((~np.isfinite(cells)).sum())
    if wrong:
        return f"The evidence is not a number at {number_word(wrong)} of {cells.size} positions."
    return evidence_sentence(cells, what)


def _photo(outcome: Outcome, class_index: int) -> Node:
    """The photo, and beside it the evidence for the class on a scale of its own."""
    analysis, drawn = outcome.analysis, export.shown(outcome, class_index)
    scale = render.Scale.signed(drawn.cells.numpy())
    name, (width, height) = analysis.network.class_names[class_index], analysis.framing.photo_size
    painted = analysis.overlay(drawn.cells, scale, long_side=OVERLAY_SIDE)
    return section(
        f"Where the evidence for {name} lies" if analysis.has_evidence else drawn.name,
        el("div",
            figure(render.jpeg(analysis.preview(PHOTO_SIDE)[0], 82), "The photo", f"The photo, {width} × {height} px"),
            figure(render.jpeg(painted, 82),
                   f"The photo with {'the evidence' if analysis.has_evidence else drawn.kind} for {name} laid over it",
                   el("strong", f"{name}, {_where(outcome)}"), *(el("span", words) for words in drawn.account),
                   el("span", maps_shape(analysis) + unseen(analysis)), scale_of(scale, drawn)),
            class_="pair"),
    )


def _answers(outcome: Outcome, class_index: int, calibrated: bool) -> Node:
    """The top 5 under each pooling, a table each."""
    native = outcome.analysis.under()
    if not outcome.analysis.has_evidence:
        return section("What it says", el("p", outcome.analysis.no_evidence_reason, class_="note"),
                       el("div", _answers_under(native, class_index, calibrated), class_="answers"))
    others = export.trained_in_words(native.analysis.network)
    trained = f"; {others} have heads of their own, trained with them" if others else ""
    note = (f"The head was trained with {native.name}{trained}; under any other pooling the answer is a what-if. " +
            ("A calibrated one has its logits multiplied by one fitted number, which changes no rank."
             if calibrated else "The probabilities of what-ifs are as the head gives them, and mostly too sure."))
    tables = (_answers_under(each, class_index, calibrated) for each in outcome.under_each_pooling())
    return section("What it says under each pooling", el("p", note, class_="note"),
                   el("div", *tables, class_="answers"))


def _answers_under(outcome: Outcome, class_index: int, calibrated: bool) -> Node:
    heads = el("tr", *(el("th", words, scope="col") for words in ("", "class", "probability")))
    return el(
        "table",
        el("caption", el("strong", outcome.name), " ", badge(outcome, calibrated)),
        el("thead", heads),
        el("tbody", *(_answer(answer, class_index) for answer in outcome.top(5, calibrated))),
    )


def _answer(answer: Answer, class_index: int) -> Node:
    share = 100 * answer.probability if np.isfinite(answer.probability) else 0
    return el(
        "tr", el("td", str(answer.rank)), el("td", answer.name, style={"--share": f"{share:.2f}%"}),
        el("td", percent(answer.probability)), class_="shown" if answer.class_index == class_index else "",
    )


def _framing(analysis: Analysis) -> Node:
    framing = analysis.framing
    left, top, right, bottom = (round(edge) for edge in framing.seen)
    return section("What the network saw", facts({
        "Framing": f"{framing.kind}: {FRAMINGS[framing.kind]}",
        "Photo": f"{framing.photo_size[0]} × {framing.photo_size[1]} px",
        "Of it": f"{left} to {right} px across, {top} to {bottom} px down",
        "Input": f"{framing.input_size[0]} × {framing.input_size[1]} px",
        "Positions": f"{framing.grid[0]} rows × {framing.grid[1]} columns",
    }.items()))


def _network(analysis: Analysis) -> Node:
    network, parameters = analysis.network, dict(analysis.network.pooling_parameters)
    kind = {"affine": "affine: its evidence is exact", "nonlinear": "not affine: its evidence is integrated",
            "none": "cannot be asked alone: there is no evidence"}
    activation = {"softmax": "by softmax: one class excludes the others",
                  "sigmoid": "by sigmoid: each class is asked by itself"}
    return section("The network", facts({
        "Network": f"{network.title} ({network.origin})",
        "Weights, sha256": network.digest,
        "Looked at": maps_shape(analysis),
        "Pooling": network.pooling.label(**parameters) if network.pooling else network.reason,
        "Head": kind[network.head_kind],
        **({"Heads trained beside it": f"with {others}"} if (others := export.trained_in_words(network)) else {}),
        "Probabilities": activation[network.activation],
        "Classes": f"{len(network.class_names):,}",
    }.items()))


def _recipe(outcome: Outcome, class_index: int, calibrated: bool) -> Node:
    """What repeats all this: to read, to keep, and to run."""
    text = recipe_json(recipe(outcome, class_index, calibrated))
    link = el("a", "Keep it as recipe.json", href=data_uri(text.encode("ascii"), "application/json"),
               download="recipe.json")
    return section(
        "The recipe",
        el("p", link, "; with the same photo this command repeats what stands here, and says how far it is off:",
            class_="note"),
        el("p", el("code", "python -m explorer photo.jpg --recipe recipe.json --report")),
        el("pre", text, tabindex="0"),
    )
