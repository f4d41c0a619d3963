"""Explore: the answer in one line, the evidence on the photo, the answers under several poolings, the top channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from explorer import CAM_METHODS
from explorer.analysis import CAM_INSTEAD, Analysis, Outcome
from explorer.sections.answers import answer_sentence, truth_sentence
from explorer.sections.channels import top_channels
from explorer.sections.nodes import el
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.viewer import Stack, stack
from explorer.ui.downloads import files_hold
from explorer.ui.maps import class_facets, class_maps, name_in_links
from explorer.ui.pages.answers import answers, follow_answer, what_if_note
from explorer.ui.region import photo_panel
from explorer.ui.session.choices import Choices
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session
from explorer.wording import evidence_sentence, percent, shortened

CLASSES_BY_GRADIENT = 3  # whose CAMs are at hand: each costs a pass back through what follows the layer


def headline(session: Session, outcome: Outcome, class_index: int, named: bool = False) -> None:
    """The answer, what the map amounts to, and where the true class stands; `named` beside a second network."""
    analysis, calibrated = outcome.analysis, session.choices.calibrated
    title = answer_sentence(analysis.under())
    if named:
        title[0] = f"{shortened(analysis.network.title, 40)}: {title[0].removeprefix('Prediction: ')}"
    panels.headline(title, _lead(session, outcome, class_index),
                    *(truth_sentence(outcome, truth, calibrated) for truth in session.choices.marked))


def _lead(session: Session, outcome: Outcome, class_index: int) -> str:
    analysis = outcome.analysis
    likeliest = analysis.under().top(2)
    name = shortened(analysis.network.class_names[class_index])
    if not analysis.has_evidence:
        return (f"{CAM_METHODS[CAM_INSTEAD].name} shows where it looks for {name}, by gradients at the "
                f"{analysis.layer_name}: a scale without a unit, from −1 (against it) to 1 (for it).")
    of = "" if class_index == likeliest[0].class_index else name
    if outcome.label != "native":
        of = f"{name} under {outcome.name}"
    sentence = evidence_sentence(outcome.evidence(class_index).cells.numpy(), of)
    calibrated = session.choices.calibrated
    if class_index not in (answer.class_index for answer in outcome.top(5, calibrated)):
        answer = outcome.answer(class_index, calibrated)
        sentence += f" Its rank is {answer.rank:,}, with {percent(answer.probability)}."
    if len(likeliest) == 1 or analysis.network.activation == "sigmoid":  # sigmoid classes do not compete
        return sentence
    return f"{sentence} Runner-up: {shortened(likeliest[1].name)}, {percent(likeliest[1].probability)}."


def evidence_panel(
    session: Session, analysis: Analysis, outcome: Outcome, class_index: int, limit: float | None = None
) -> None:
    """The photo in the viewer, with the evidence for the likeliest classes under every pooling to choose from.

    Without evidence, Grad-CAM of some classes. `limit` is the end of the scale in logits, where it is shared with
    another network.
    """
    calibrated, by_pooling = session.choices.calibrated, analysis.has_evidence
    count, shown = (5, str(outcome.choice)) if by_pooling else (CLASSES_BY_GRADIENT, CAM_INSTEAD)
    likeliest = [answer.class_index for answer in analysis.under().top(count)]
    classes = list(dict.fromkeys([class_index, *likeliest, *session.choices.marked]))

    def draw() -> Stack:
        return stack(class_maps(outcome.under_each_pooling(), classes, calibrated, limit))

    photo_panel(
        session, analysis, drawn(outcome, ("explore", *classes, calibrated, limit), draw),
        key="evidence", name="Evidence on the photo" if by_pooling else "Where it looks, by gradients",
        chosen=f"{class_index}.{name_in_links(shown)}", pick=lambda picked: follow_answer(session, picked), main=True,
        facets=class_facets(analysis), files=files_hold(outcome, class_index),
    )


def answers_and_channels(
    outcomes: Sequence[Outcome], shown: Outcome, class_index: int, chosen: Choices, on_pick: Callable[[Any], None]
) -> None:
    """The top 5 under several poolings side by side, and the top contributing channels of the class shown.

    A click on an answer gives `on_pick` its pooling and class, one on a channel "channel" and its number.
    """
    channels = drawn(shown, ("top channels", class_index), lambda: top_channels(shown, class_index))
    note = what_if_note(shown.analysis, chosen.calibrated) if shown.analysis.has_evidence else None
    board(el("div", answers(outcomes, shown, class_index, chosen.calibrated, chosen.marked),
             note and el("p", note, class_="note"), channels, class_="stack"), key="answers", on_pick=on_pick)
