"""Would the answer be the same without this part of the photo? Three numbers side by side, none of which is another.

Some positions hold an exact share of a class's logit. The pooling may ignore them: the rest of the feature maps is
pooled afresh, and each of them has still seen much of the photo. Or they are taken out of the photo itself, and the
network runs again: then the other positions change too, and what fills the gap has evidence as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from explorer.analysis import Analysis, Answer, Outcome
from explorer.analysis.memory import remembered
from explorer.arrays import to_array
from explorer.errors import ExplorerError, ParameterError
from explorer.questions.edited_photo import FILLS, analysed_again, changed_photo, checked
from explorer.questions.evidence_place import holding_half
from explorer.wording import plain, shortened, signed

Region = tuple[int, int, int, int]  # first row and column, last row and column of some positions, from 0

_APART = 0.5  # logits: a change and evidence that differ by less are called alike
_APART_SHARE = 0.5  # of the larger of the two: likewise
_CAUSE = 0.25  # of that difference: what accounts for less is not named
_STILL = 0.005  # logits: a change that is written as 0.00
_HOLDS_WEIGHTS = "attention_pool"  # the pooling whose feature maps hold its own weights, which sum to 1 over positions


class HeldEvidence(NamedTuple):
    """What some positions hold of a class's logit.

    Attributes:
        logits: the sum of their evidence, signed.
        total: that of all positions: logit = baseline + total + residual.
        positive_share, negative_share: of all positive and of all negative evidence, 0 to 1; 0 without any.
        exact, residual: of the evidence.
    """

    logits: float
    total: float
    positive_share: float
    negative_share: float
    exact: bool
    residual: float


class Answers(NamedTuple):
    """One state's answers: the most probable class, and the classes that are watched, in `Probe.classes`' order."""

    top: Answer
    classes: tuple[Answer, ...]


@dataclass(frozen=True, eq=False)
class PoolingAnswers:
    """The answers under one pooling.

    Attributes:
        outcome: under that pooling, of the photo as it is.
        calibrated: whether its probabilities are of logits times the fitted number; the logits never are.
        before: of the photo as it is.
        ignoring: when the pooling ignores the positions; None without evidence.
        after: once they are taken out of the photo, by fill.
    """

    outcome: Outcome
    calibrated: bool
    before: Answers
    ignoring: Answers | None
    after: Mapping[str, Answers]


class Disagreement(NamedTuple):
    """Evidence held beside what taking out changes, under one pooling with one fill; all in logits of the class.

    Attributes:
        fill: key of FILLS.
        kind: "none" when they are alike, "more" or "less" when the change is larger or smaller than the evidence,
            "opposite" when it goes the other way.
        held: evidence of the positions before.
        drop: what the logit loses; negative when it gains.
        inside: evidence of the positions once they are taken out: that of what fills the gap.
        outside: evidence that the other positions lose.
        sentence: all this in words.
    """

    fill: str
    kind: str
    held: float
    drop: float
    inside: float
    outside: float
    sentence: str


@dataclass(frozen=True, eq=False)
class Probe:
    """Some positions of a photo: what they hold, the answers without them in the pooling, and without them at all.

    It keeps numbers alone; the changed photos are made again by `photo`.

    Attributes:
        outcome, class_index, chosen: what was probed; chosen is (H, W) bool.
        classes: class indices that are watched: the one probed, the top 5 before, every new answer, and any further.
        held: their share of the class's logit under the outcome's pooling; None without evidence.
        rows: every pooling there is, in the registry's order; one alone without evidence.
        disagreements: for each fill, whether the logit changes by what the positions held; none without evidence.
    """

    outcome: Outcome
    class_index: int
    chosen: np.ndarray
    classes: tuple[int, ...]
    held: HeldEvidence | None
    rows: tuple[PoolingAnswers, ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def own(self) -> PoolingAnswers:
        """The row of the outcome's own pooling."""
        return next(row for row in self.rows if row.outcome is self.outcome)

    def photo(self, fill: str, long_side: int | None = None) -> Image.Image:
        """The photo without the positions, at its own size as the network saw it, or shrunk to look at."""
        return changed_photo(self.outcome.analysis, self.chosen, fill, long_side)


def region_of(outcome: Outcome, region: Region) -> np.ndarray:
    """(H, W) bool of a region. Raises ParameterError for another grid's."""
    (rows, columns), (top, left, bottom, right) = outcome.analysis.framing.grid, region
    if not (0 <= top <= bottom < rows and 0 <= left <= right < columns):
        raise ParameterError(f"The region is {','.join(map(str, region))}; expected first row, first column, last row "
                             f"and last column, rows from 0 to {rows - 1} and columns from 0 to {columns - 1}.")
    chosen = np.zeros((rows, columns), dtype=bool)
    chosen[top : bottom + 1, left : right + 1] = True
    return chosen


def probed_positions(outcome: Outcome, class_index: int) -> np.ndarray | None:
    """(H, W) bool: the positions that hold half of the positive evidence, or the strongest one where none do or all.

    None where there is no map, or no number on it, or one position alone.
    """
    try:
        cells = outcome.class_map(class_index).array
    except ExplorerError:
        return None
    if cells.size == 1 or not np.isfinite(cells).any():
        return None
    chosen = holding_half(cells)
    if chosen is None or chosen.all():
        chosen = np.zeros(cells.shape, dtype=bool)
        chosen.flat[int(np.where(np.isfinite(cells), cells, -np.inf).argmax())] = True
    return chosen


@remembered
def answers_without_half(outcome: Outcome, class_index: int) -> dict[bool, tuple[Answer, Answer]]:
    """The class's answer and the prediction without the positions that hold half of its positive evidence, blurred.

    By whether probabilities are calibrated. Empty without evidence, and where no positions hold half of it, or all do.
    """
    if not outcome.analysis.has_evidence:
        return {}
    cells = outcome.class_map(class_index).array
    chosen = holding_half(cells) if np.isfinite(cells).all() else None
    if chosen is None or chosen.all():
        return {}
    again = outcome.on(analysed_again(outcome.analysis, changed_photo(outcome.analysis, chosen)))
    return {flag: (again.answer(class_index, flag), again.top(1, flag)[0]) for flag in (False, True)}


def probe(
    outcome: Outcome, class_index: int, chosen: np.ndarray, fills: Sequence[str] = tuple(FILLS), *,
    calibrated: bool = False, watched: Sequence[int] = (),
) -> Probe:
    """Answer everything about some positions: one forward pass for each fill.

    Without evidence there are only the answers to the changed photos.

    Args:
        outcome: under any pooling.
        chosen: (H, W) bool, at least one position and not all.
        fills: keys of FILLS.
        calibrated: whether probabilities under a what-if pooling are of logits times the fitted number, where there
            is one.
        watched: further classes whose answers are wanted.

    Raises ParameterError for a class or fill that does not exist, and positions that cannot be probed.
    """
    analysis = outcome.analysis
    analysis.network.check_class(class_index)
    chosen = checked(analysis, chosen).copy()
    if not chosen.any() or chosen.all():
        raise ParameterError(f"{'All' if chosen.all() else 'None'} of the {chosen.size} positions are chosen; expected "
                             "at least one that is and one that is not.")
    again = {fill: analysed_again(analysis, changed_photo(analysis, chosen, fill)) for fill in fills}
    rest = _rest(analysis, chosen) if analysis.has_evidence else None
    states = [outcome, *(outcome.on(changed) for changed in (rest, *again.values()) if changed)]
    classes = tuple(dict.fromkeys([class_index, *(answer.class_index for answer in outcome.top()),
                                   *(state.top(1)[0].class_index for state in states), *watched]))
    rows = tuple(_row(row, rest, again, classes, calibrated) for row in outcome.under_each_pooling())
    return Probe(
        outcome, class_index, chosen, classes, _held(outcome, class_index, chosen) if rest else None, rows,
        tuple(_disagreement(outcome, outcome.on(changed), class_index, chosen, fill)
              for fill, changed in again.items() if rest))


def _rest(analysis: Analysis, chosen: np.ndarray) -> Analysis:
    """The positions that are not chosen, in a row: the same analysis as far as poolings and the head go.

    A share of positions, as Top-k has it, is then one of those that are left, and attention asks with their average.
    """
    left = analysis.feature_maps[:, torch.from_numpy(~chosen)]
    own = analysis.network.pooling
    if own is not None and own.key == _HOLDS_WEIGHTS:
        # A softmax over fewer positions is the same weights over the sum of what is left of them. The maps that hold
        # them are those to which the pooling gives no weight.
        weights = ~own.weights(analysis.feature_maps, **analysis.network.pooling_parameters).flatten(1).any(1)
        left[weights] /= left[weights].sum(1, keepdim=True)
    return Analysis(analysis.network, analysis.image, analysis.framing.on_grid(1, left.shape[1]), analysis.input,
                    left[:, None], 0.0)


def _row(
    outcome: Outcome, rest: Analysis | None, again: Mapping[str, Analysis], classes: Sequence[int], calibrated: bool
) -> PoolingAnswers:
    def answers(state: Outcome) -> Answers:
        return Answers(state.top(1, calibrated)[0], tuple(state.answer(index, calibrated) for index in classes))

    return PoolingAnswers(
        outcome, calibrated and outcome.multiplier is not None, before=answers(outcome),
        ignoring=answers(outcome.on(rest)) if rest else None,
        after=MappingProxyType({fill: answers(outcome.on(changed)) for fill, changed in again.items()}),
    )


def _held(outcome: Outcome, class_index: int, chosen: np.ndarray) -> HeldEvidence:
    evidence = outcome.evidence(class_index)
    cells = to_array(evidence.cells)
    positive, negative = np.maximum(cells, 0), np.minimum(cells, 0)
    return HeldEvidence(float(cells[chosen].sum()), float(cells.sum()), _share(positive, chosen),
                        _share(negative, chosen), evidence.exact, evidence.residual)


def _share(values: np.ndarray, chosen: np.ndarray) -> float:
    total = values.sum()
    return float(values[chosen].sum() / total) + 0.0 if total else 0.0  # not -0.0


# What positions hold, and what taking them out changes.


def _disagreement(outcome: Outcome, changed: Outcome, index: int, chosen: np.ndarray, fill: str) -> Disagreement:
    """Under evidence that adds up, the logit's loss is what the positions held, less what fills the gap, plus what all
    others lose. The two differ by more than _APART logits and _APART_SHARE of the larger one, or are called alike."""
    before, after = (to_array(state.evidence(index).cells) for state in (outcome, changed))
    held, inside = float(before[chosen].sum()), float(after[chosen].sum())
    outside = float((before - after)[~chosen].sum())
    drop = outcome.answer(index).logit - changed.answer(index).logit
    network = outcome.analysis.network
    name = network.class_names[index]
    return Disagreement(fill, kind_of_disagreement(held, drop), held, drop, inside, outside,
                        disagreement_sentence(held, drop, inside, outside, name, fill,
                                              network.unit, network.number))


def kind_of_disagreement(held: float, drop: float) -> str:
    """"none", "more", "less" or "opposite", see Disagreement; "none" too where a number is not finite."""
    largest = max(abs(held), abs(drop))
    if not abs(drop - held) > max(_APART, _APART_SHARE * largest):
        return "none"
    if held * drop < 0 and min(abs(held), abs(drop)) >= _STILL:
        return "opposite"
    return "more" if abs(drop) > abs(held) else "less"


TAKEN_OUT = MappingProxyType({"blur": "blurred", "mean": "filled with the mean colour", "inpaint": "painted over"})
_VERDICTS = MappingProxyType({
    "none": ": about what it holds.", "more": ": more than it holds.", "less": ": less than it holds.",
    "opposite": ": the opposite way.",
})


def disagreement_sentence(held: float, drop: float, inside: float, outside: float, name: str, fill: str,
                          unit: str = "logits", number: str = "logit") -> str:
    """For example "This part holds 2.10 logits of evidence for tiger cat. Once it is blurred, the logit falls by...".

    The numbers are in `unit`, see Disagreement; `name` is the class's.
    """
    side = "against" if held < 0 else "for"
    opening = (f"This part holds {plain(abs(held))} {unit} of evidence {side} {shortened(name)}. Once it is "
               f"{TAKEN_OUT[fill]}, the {number}")
    if not np.isfinite(held) or not np.isfinite(drop):
        return f"{opening} is not to be compared: not all numbers are finite."
    kind = kind_of_disagreement(held, drop)
    causes = _causes(drop - held, inside, outside) if kind != "none" else []
    return " ".join([f"{opening} {_moves(drop)}{_VERDICTS[kind]}", *causes])


def _causes(difference: float, inside: float, outside: float) -> list[str]:
    """What accounts for the difference between the logit's loss and the evidence, a sentence each, the largest first.

    What is lost outside adds to the loss, and evidence inside takes from it.
    """
    parts = [
        (outside, f"The other positions {'lose' if outside > 0 else 'gain'} {plain(abs(outside))}: each sees a large "
                  "area of the photo, this part too."),
        (-inside, f"The filling itself has evidence {'for' if inside > 0 else 'against'} the class, "
                  f"{signed(inside)}."),
    ]
    return [sentence for size, sentence in sorted(parts, key=lambda part: -abs(part[0]))
            if size * difference > 0 and abs(size) >= _CAUSE * abs(difference)]


def _moves(drop: float) -> str:
    return f"{'falls' if drop > 0 else 'rises'} by {plain(abs(drop))}" if abs(drop) >= _STILL else "does not change"
