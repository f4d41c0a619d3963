"""The answer and its reasons in plain words, made from numbers alone; each number says where it is from.

No sentence names what lies at a place on the photo: the page shows the place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from explorer.analysis import Answer, Outcome
from explorer.analysis.memory import remembered
from explorer.questions.contrast import Contrast, contrast
from explorer.questions.edited_photo import analysed_again, changed_photo
from explorer.questions.evidence_place import border_evidence, border_sentence
from explorer.wording import number_word, percent, plain, shortened, strongest_half

FILL = "blur"


class Part(NamedTuple):
    """A stretch of a sentence.

    Attributes:
        text: as it reads.
        source: which question the number in it answers: "against", "without", "stable"; "" for words.
        name: whether it is the name of a class.
    """

    text: str
    source: str = ""
    name: bool = False


def summary(outcome: Outcome, class_index: int, rival: int | None, calibrated: bool = False) -> list[list[Part]]:
    """Sentences, each in parts: what it says, where that lies, what it says without it, what decides against the rival.

    One forward pass, for the photo without the positions that carry the answer.

    Args:
        outcome: under which pooling.
        class_index, rival: A and B; a rival of None is left out, as in a network with one class.
        calibrated: whether probabilities are of logits times the fitted number.

    Raises ParameterError for a class that does not exist, or a rival that is the class itself.
    """
    said = [_says(outcome, class_index, rival, calibrated)]
    if not outcome.analysis.has_evidence:
        return [*said, [Part(f"{outcome.analysis.no_evidence_reason} So nothing here is in logits: places are found by "
                             "gradients, and every claim is tried on the photo.")]]
    cells = outcome.evidence(class_index).cells.double().numpy()
    said.append(_lies(cells))
    sound = bool(np.isfinite(cells).all())
    if sound and (chosen := carrying(cells)) is not None and not chosen.all():
        said.append(_without(outcome, class_index, chosen, calibrated))
    if rival is not None:
        said.append(_decides(outcome, contrast(outcome, class_index, rival)))
    if sound and (border := border_evidence(cells)).gathered:
        said.append([Part(border_sentence(border), "stable")])
    return said


def carrying(cells: np.ndarray) -> np.ndarray | None:
    """(H, W) bool: the fewest positions that carry half of what is positive on a map; None when nothing is."""
    found = strongest_half(cells)
    if found is None:
        return None
    positive = np.maximum(np.nan_to_num(np.asarray(cells, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0), 0)
    chosen = np.zeros(positive.size, dtype=bool)
    chosen[np.argsort(-positive, axis=None, kind="stable")[:found.count]] = True
    return chosen.reshape(positive.shape)


def as_text(sentences: Sequence[Sequence[Part]]) -> str:
    """The summary as plain text."""
    return " ".join("".join(part.text for part in sentence) for sentence in sentences)


def _named(answer: Answer) -> list[Part]:
    share = percent(answer.probability)
    return [Part(shortened(answer.name), name=True), Part(" ("), Part(share, "against"), Part(")")]


def _says(outcome: Outcome, class_index: int, rival: int | None, calibrated: bool) -> list[Part]:
    asked = outcome.answer(class_index, calibrated)
    under = f" {outcome.under_in_words}" if outcome.under_in_words else ""
    if not math.isfinite(asked.probability):
        return [Part("What it says of "), Part(shortened(asked.name), name=True), Part(f" is not a number{under}.")]
    if outcome.analysis.network.activation == "sigmoid":
        verb = "It finds " if outcome.logits[class_index] > 0 else "It does not find "
        beside = [] if rival is None else [Part("; beside it "), *_named(outcome.answer(rival, calibrated))]
        return [Part(verb), *_named(asked), *beside, Part(f"{under}.")]
    other = None if rival is None else outcome.answer(rival, calibrated)
    if asked.rank == 1:
        first = [Part("It says ")]
        beside = ", level with " if other is not None and other.logit == asked.logit else ", ahead of "
    else:
        first, beside = [Part("It has at "), Part(f"rank {asked.rank}", "against"), Part(" ")], ", beside "
    others = [] if other is None else [Part(beside), *_named(other)]
    return [*first, *_named(asked), *others, Part(f"{under}.")]


def _lies(cells: np.ndarray) -> list[Part]:
    wrong, found = int((~np.isfinite(cells)).sum()), strongest_half(cells)
    if wrong:
        return [Part("Its evidence is not a number at "),
                Part(f"{number_word(wrong)} of {cells.size} positions", "against"), Part(".")]
    if found is None:
        return [Part("Nothing on the photo speaks for it: all its evidence is negative or zero.")]
    if found.total == 1:
        return [Part("There is one position alone, and it carries all that speaks for it.")]
    verb = "carries" if found.count == 1 else "carry"
    return [Part(f"{number_word(found.count).capitalize()} of {found.total} positions", "against"),
            Part(f", {found.place}, {verb} "), Part(percent(found.share), "against"), Part(" of what speaks for it.")]


def _without(outcome: Outcome, class_index: int, chosen: np.ndarray, calibrated: bool) -> list[Part]:
    """What is said of the photo without the positions that carry the answer."""
    analysis = outcome.analysis
    after, instead = _answers_without(outcome, class_index, chosen.tobytes())[calibrated]
    before = outcome.answer(class_index, calibrated)
    it = "them" if chosen.sum() > 1 else "it"
    opening = Part(f"With {it} blurred out of the photo ")
    if analysis.network.activation == "sigmoid" or before.rank > 1 or not math.isfinite(after.probability):
        return [opening, Part("it is given "), Part(percent(after.probability), "without"), Part(".")]
    if after.rank == 1:
        return [opening, Part("it still says so ("), Part(percent(after.probability), "without"), Part(").")]
    return [opening, Part("it says "), Part(shortened(instead.name), name=True), Part(" ("),
            Part(percent(instead.probability), "without"), Part(").")]


@remembered
def _answers_without(outcome: Outcome, class_index: int, chosen: bytes) -> dict[bool, tuple[Answer, Answer]]:
    """The answer for the class, and the network's, on the photo without these positions; by whether calibrated."""
    positions = np.frombuffer(chosen, bool).reshape(outcome.analysis.framing.grid)
    changed = outcome.on(analysed_again(outcome.analysis, changed_photo(outcome.analysis, positions, FILL)))
    return {calibrated: (changed.answer(class_index, calibrated), changed.top(1, calibrated)[0])
            for calibrated in (False, True)}


def _decides(outcome: Outcome, found: Contrast) -> list[Part]:
    """How many channels it takes to decide between the two."""
    names, difference = outcome.analysis.network.class_names, found.difference
    other = Part(shortened(names[found.rival]), name=True)
    if not (math.isfinite(difference) and np.isfinite(found.channels).all()):
        return [Part("How far it is from "), other, Part(" is not a number.")]
    pair = (found.class_index, found.rival) if difference >= 0 else (found.rival, found.class_index)
    rather = " rather than ".join(shortened(names[index]) for index in pair)
    side = np.maximum(found.channels if difference >= 0 else -found.channels, 0)
    running = np.cumsum(np.sort(side)[::-1])
    if not running[-1] > 0:
        return [Part(f"No channel speaks for {rather}.")]
    count = int(np.searchsorted(running / running[-1], 0.5 - 1e-9)) + 1
    by = [Part("level with ")] if not difference else [
        Part(f"{plain(abs(difference))} logits", "against"), Part(f" {'ahead of' if difference > 0 else 'behind'} ")]
    return [Part("It is "), *by, other, Part("; "), Part(f"{count:,} of {len(side):,} channels", "against"),
            Part(f" {'carries' if count == 1 else 'carry'} half of what speaks for {rather}.")]
