"""The sentences at the top of Why: the prediction and its reasons; each number says which question it comes from.

No sentence names what lies at a place on the photo: the page shows the place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from explorer.analysis import Answer, Outcome
from explorer.arrays import fewest_holding, positive_part
from explorer.questions.contrast import Contrast, contrast
from explorer.questions.evidence_place import border_evidence, border_sentence
from explorer.questions.probe import answers_without_half
from explorer.wording import number_word, percent, plain, share_word, shortened, strongest_half


class Part(NamedTuple):
    """A stretch of a sentence.

    Attributes:
        text: as it reads.
        source: the question that the number in it answers: "against", "without", "stable"; "" for words.
        name: whether it is the name of a class.
    """

    text: str
    source: str = ""
    name: bool = False


def summary(outcome: Outcome, class_index: int, rival: int | None, calibrated: bool = False) -> list[list[Part]]:
    """Sentences in parts: the prediction, where its evidence lies, the prediction without that, what decides.

    One forward pass, for the photo without the positions that hold half of the positive evidence.

    Args:
        outcome: under which pooling.
        class_index, rival: the class and its rival; None without one, as in a network with one class.
        calibrated: whether probabilities are of logits times the fitted number.

    Raises ParameterError for a class that does not exist, or a rival that is the class itself.
    """
    sentences = [_prediction(outcome, class_index, rival, calibrated)]
    if not outcome.analysis.has_evidence:
        return [*sentences, [Part(f"{outcome.analysis.no_evidence_reason} So places are located by gradients, in "
                                  "no unit, and every claim is tested on the photo.")]]
    cells = outcome.class_map(class_index).array
    sentences.append(_places(cells))
    if answers := answers_without_half(outcome, class_index):
        sentences.append(_without(outcome, class_index, calibrated, *answers[calibrated]))
    if rival is not None:
        sentences.append(_deciding(outcome, contrast(outcome, class_index, rival)))
    if np.isfinite(cells).all() and (border := border_evidence(cells)).gathered:
        sentences.append([Part(border_sentence(border), "stable")])
    return sentences


def as_text(sentences: Sequence[Sequence[Part]]) -> str:
    """The summary as plain text."""
    return " ".join("".join(part.text for part in sentence) for sentence in sentences)


def _named(answer: Answer) -> list[Part]:
    share = percent(answer.probability)
    return [Part(shortened(answer.name), name=True), Part(" ("), Part(share, "against"), Part(")")]


def _against(answer: Answer, other: Answer | None) -> str:
    """How an answer stands to another one, by their logits."""
    if other is None or other.logit == answer.logit:
        return ", level with "
    return ", ahead of " if answer.logit > other.logit else ", behind "


def _prediction(outcome: Outcome, class_index: int, rival: int | None, calibrated: bool) -> list[Part]:
    answer = outcome.answer(class_index, calibrated)
    other = None if rival is None else outcome.answer(rival, calibrated)
    under = f" {outcome.under_in_words}" if outcome.under_in_words else ""
    if not math.isfinite(answer.probability):
        return [Part(f"The {share_word(answer.probability)} of "), Part(shortened(answer.name), name=True),
                Part(f" is not a number{under}.")]
    if outcome.analysis.network.activation == "sigmoid":
        first = [Part(f"{'Above' if outcome.logits[class_index] > 0 else 'Not above'} 50%: ")]
        beside = ", beside "
    elif answer.rank == 1:
        first = [Part("Prediction: ")]
        beside = _against(answer, other)
    else:
        first, beside = [Part(f"Rank {answer.rank}", "against"), Part(": ")], _against(answer, other)
    others = [] if other is None else [Part(beside), *_named(other)]
    return [*first, *_named(answer), *others, Part(f"{under}.")]


def _places(cells: np.ndarray) -> list[Part]:
    wrong, half = int((~np.isfinite(cells)).sum()), strongest_half(cells)
    if wrong:
        return [Part("Its evidence is not a number at "),
                Part(f"{number_word(wrong)} of {cells.size} positions", "against"), Part(".")]
    if half is None:
        return [Part("It has no positive evidence on the photo.")]
    if half.total == 1:
        return [Part("There is only one position, and it holds all the positive evidence.")]
    verb = "holds" if half.count == 1 else "hold"
    return [Part(f"{number_word(half.count).capitalize()} of {half.total} positions", "against"),
            Part(f", {half.place}, {verb} "), Part(percent(half.share), "against"), Part(" of the positive evidence.")]


def _without(outcome: Outcome, class_index: int, calibrated: bool, after: Answer, instead: Answer) -> list[Part]:
    """The prediction for the photo without the positions that hold half of the positive evidence."""
    before, half = outcome.answer(class_index, calibrated), strongest_half(outcome.class_map(class_index).array)
    opening = f"With {'them' if half and half.count > 1 else 'it'} blurred "
    activation = outcome.analysis.network.activation
    if activation in ("sigmoid", "none") or before.rank > 1 or not math.isfinite(after.probability):
        return [Part(f"{opening}its {share_word(after.probability)} is "),
                Part(percent(after.probability), "without"), Part(".")]
    if after.rank == 1:
        return [Part(f"{opening}the prediction stays ("), Part(percent(after.probability), "without"), Part(").")]
    return [Part(f"{opening}the prediction is "), Part(shortened(instead.name), name=True), Part(" ("),
            Part(percent(instead.probability), "without"), Part(").")]


def _deciding(outcome: Outcome, contrast: Contrast) -> list[Part]:
    """How far apart the two are, and how many channels it takes to decide between them."""
    names, difference = outcome.analysis.network.class_names, contrast.difference
    other = Part(shortened(names[contrast.rival]), name=True)
    if not (math.isfinite(difference) and np.isfinite(contrast.channels).all()):
        return [Part("How far it is from "), other, Part(" is not a number.")]
    pair = (contrast.class_index, contrast.rival) if difference >= 0 else (contrast.rival, contrast.class_index)
    over = " over ".join(shortened(names[index]) for index in pair)
    deciding, _ = fewest_holding(positive_part(contrast.channels if difference >= 0 else -contrast.channels), 0.5)
    count = len(deciding)
    if not count:
        return [Part(f"No channel favours {over}.")]
    by = [Part("level with ")] if not difference else [
        Part(f"{plain(abs(difference))} {outcome.analysis.network.unit}", "against"),
        Part(f" {'ahead of' if difference > 0 else 'behind'} ")]
    channels = f"{count:,} of {len(contrast.channels):,} channels"
    return [Part("It is "), *by, other, Part("; "), Part(channels, "against"),
            Part(f" hold{'s' if count == 1 else ''} half of the evidence for {over}.")]
