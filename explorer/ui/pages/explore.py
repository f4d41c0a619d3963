"""The panels that pages are made of: each takes outcomes and draws one board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from explorer import CAM_METHODS
from explorer.analysis import CAM_INSTEAD, Analysis, Answer, Outcome
from explorer.analysis.outcome import NO_POOLING
from explorer.poolings import PoolingChoice
from explorer.sections.answers import answer_in_parts, set_apart, trained_in_words
from explorer.sections.channels import top_channels
from explorer.sections.nodes import Node, el
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Look, Stack, stack, viewer
from explorer.ui.maps import cam_map, evidence_maps, name_in_links
from explorer.ui.region import viewer_handlers
from explorer.ui.session.session import Session
from explorer.wording import carriers_sentence, percent, shortened

CLASSES_BY_GRADIENT = 3  # whose CAMs are at hand: each costs a pass back through what follows the layer


def headline(analysis: Analysis, outcome: Outcome, class_index: int, named: bool = False) -> None:
    """What it says, in one line, and what the map shown amounts to, in another; `named` where there is another."""
    parts = answer_in_parts(analysis.under())
    if named:
        parts[0] = parts[0].replace("It", shortened(analysis.network.title, 40), 1)
    board(
        el("div", el("h1", *set_apart(parts)),
           el("p", _lead(analysis, outcome, class_index), class_="lead"), class_="headline"),
        key="headline",
    )


def _lead(analysis: Analysis, outcome: Outcome, class_index: int) -> str:
    first, second = [*analysis.under().top(2), None][:2]
    name = shortened(analysis.network.class_names[class_index])
    if not analysis.has_evidence:
        return (f"{CAM_METHODS[CAM_INSTEAD].name} shows where it looks for {name}, by gradients at the "
                f"{analysis.layer_name}: a scale without a unit, from 1 against it to 1 for it.")
    what = "it" if class_index == first.class_index else name
    if outcome.label != "native":
        what += f" under {outcome.name}"
    sentence = carriers_sentence(outcome.evidence(class_index).cells.numpy(), what)
    if second is None or analysis.network.activation == "sigmoid":  # each class is asked by itself: none is second
        return sentence
    return f"{sentence} Runner-up: {shortened(second.name)}, {percent(second.probability)}."


def evidence_panel(
    current: Session, analysis: Analysis, outcome: Outcome, class_index: int, limit: float | None = None
) -> None:
    """The photo in the viewer, with the evidence of the likeliest classes under every pooling to choose from.

    Where the answer cannot be taken apart, a CAM by gradients of some classes. `limit` is the end of the scale in
    logits, where it is shared with another network.
    """
    chosen, count = current.choices, 5 if analysis.has_evidence else CLASSES_BY_GRADIENT
    classes = list(dict.fromkeys([class_index, *(answer.class_index for answer in analysis.under().top(count))]))

    def draw() -> Stack:
        if analysis.has_evidence:
            maps = evidence_maps(outcome.under_each_pooling(), classes, chosen.calibrated)
            return stack([replace(each, limit=limit) for each in maps] if limit else maps)
        return stack([cam_map(outcome, CAM_INSTEAD, index) for index in classes])

    def follow(picked: list) -> None:
        follow_answer(current, picked)

    by_parts, shown = analysis.has_evidence, outcome.choice if analysis.has_evidence else CAM_INSTEAD
    viewer(
        analysis, current.photo.digest, outcome.remember(("explore", *classes, chosen.calibrated, limit), draw),
        key="evidence", name="Evidence on the photo" if by_parts else "Where it looks, by gradients",
        chosen=f"{class_index}.{name_in_links(shown)}",
        look=Look(main=True, facets=(("Class", ""), ("Pooling", ", under ") if by_parts else ("CAM method", ", by ")),
                  region=current.choices.region, handlers=viewer_handlers(current, pick=follow)),
    )


def follow_answer(current: Session, picked: Sequence[Any]) -> None:
    """Show the pooling and the class that were picked; where no pooling can be chosen, the class."""
    pooling, class_index = picked
    changes = {} if pooling == NO_POOLING else {"pooling": PoolingChoice.parse(pooling)}
    current.choose(class_index=class_index, **changes)


def answers_and_channels(
    outcomes: Sequence[Outcome], shown: Outcome, class_index: int, calibrated: bool, on_pick: Callable[[Any], None]
) -> None:
    """The top 5 under several poolings side by side, and the channels that pay for the class shown.

    A click on an answer gives `on_pick` its pooling and class, one on a channel "channel" and its number.
    """
    board(
        el(
            "div",
            answers(outcomes, shown, class_index, calibrated),
            el("p", what_if_note(shown.analysis, calibrated), class_="note") if shown.analysis.has_evidence else None,
            top_channels(shown, class_index),
            class_="stack",
        ),
        key="answers",
        on_pick=on_pick,
    )


def answers(outcomes: Sequence[Outcome], shown: Outcome, class_index: int, calibrated: bool) -> Node:
    """A column of five answers for each outcome; a click gives its pooling and class."""
    native = shown.analysis.under()
    columns = [_answers_of(outcome, native, (shown.choice, class_index), calibrated) for outcome in outcomes]
    return el("div", *columns, class_="answers", style={"--columns": str(len(columns))})


def what_if_note(analysis: Analysis, calibrated: bool) -> str:
    """What the badges "what-if" and "trained" mean here."""
    native, others = analysis.under().name, trained_in_words(analysis.network)
    note = f"The head was trained for {native}. Under another pooling the answer is a what-if"
    if others:
        note = (f"The head was trained for {native}; {others} have heads of their own, trained with them. Under "
                "another pooling, or with another parameter, the answer is a what-if")
    if not analysis.network.calibration.multipliers:
        return note + " and may be far too sure of itself: no number was fitted for this network."
    return note + (", its logits multiplied by one number fitted on central crops of 224 px: no rank changes."
                   if calibrated else " and far too sure of itself: calibrate it in the sidebar.")


def _answers_of(outcome: Outcome, native: Outcome, shown: tuple[PoolingChoice, int], calibrated: bool) -> Node:
    rows = [_answer(outcome, answer, native, shown) for answer in outcome.top(5, calibrated)]
    own = outcome.name if outcome.analysis.has_evidence else outcome.analysis.network.title
    return el(
        "div",
        el("div", el("h3", own), badge(outcome, calibrated), class_="head stacked"),
        *rows,
        class_="column",
    )


def badge(outcome: Outcome, calibrated: bool) -> Node:
    """The label as it stands beside a pooling's name: green where the head was trained with it."""
    return el("span", label(outcome, calibrated), class_="badge" if outcome.label == "what-if" else "badge native")


def label(outcome: Outcome, calibrated: bool) -> str:
    """Whether the head that answers was trained with this pooling, and whether a what-if is calibrated."""
    if not outcome.analysis.has_evidence:
        return "the network's own answer"
    if outcome.label != "what-if" or not calibrated:
        return outcome.label
    return "what-if, calibrated" if outcome.multiplier else "what-if, no fit"


def _answer(outcome: Outcome, answer: Answer, native: Outcome, shown: tuple[PoolingChoice, int]) -> Node:
    change = _rank_change(answer, native.answer(answer.class_index).rank) if outcome.label != "native" else None
    return el(
        "button",
        el("span", answer.name, class_="name", title=answer.name),
        change,
        el("span", percent(answer.probability), class_="number"),
        el("div", class_="bar", style={"--share": f"{answer.probability * 100:.2f}%"}),
        pick=[str(outcome.choice), answer.class_index],
        type="button",
        class_="answer",
        aria_pressed=str((outcome.choice, answer.class_index) == shown).lower(),
        data_key=f"{outcome.choice}-{answer.class_index}",
    )


def _rank_change(answer: Answer, before: int) -> Node | None:
    if before == answer.rank:
        return None
    if before > 5:
        return el("span", "new", class_="change", title=f"Rank {before} under the native pooling")
    arrow = "▲" if before > answer.rank else "▼"
    return el("span", f"{arrow}{abs(before - answer.rank)}", class_="change",
              title=f"Rank {before} under the native pooling")
