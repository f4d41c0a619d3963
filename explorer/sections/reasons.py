"""Everything that can be asked about why, asked once, for a report, a terminal and a record to tell alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from explorer.analysis import Answer, Outcome
from explorer.errors import ExplorerError, MethodError, ParameterError
from explorer.export.files import shown
from explorer.questions.contrast import Contrast, DecidingChannel, check_pair, contrast, deciding_channels
from explorer.questions.flip import Flip, SmallestSet, Sufficient, smallest_flip, smallest_sufficient
from explorer.questions.probe import Answers, Disagreement, Probe, probe
from explorer.questions.stability import Stability, stability
from explorer.questions.stitching import StitchedEvidence, stitched
from explorer.sections.summary import Part, carrying, summary
from explorer.wording import evidence_sentence, number_word, percent, shortened, strongest_half

Told = Callable[[str, int, int], None]  # what is done, and so many of so many of it
BESIDE = ("gmp", "attention")  # poolings whose stability is told beside the outcome's and the native one's
MOST_BESIDE = 3
LEFT_OUT = "It was not asked for."


@dataclass(frozen=True, eq=False)
class Reasons:
    """What was found; None or empty where `missing` has the reason, by the attribute's name.

    Attributes:
        outcome, class_index, rival: what was asked, under which pooling; no rival where there is one class alone.
        calibrated: whether probabilities under what-ifs are of logits times the fitted number.
        summary: sentences in parts.
        contrasts: the two classes under each pooling, in the order of `outcome.under_each_pooling()`.
        deciding: the channels that add most to the difference under the outcome's own pooling.
        probe: of the positions that were chosen, or else of those that carry half of what speaks for the class.
        chosen: whether the positions were chosen.
        disagreements: what the positions hold beside what taking them out changes, by fill.
        flip, sufficient: the smallest changes that make the answer another one, and that keep it.
        stability: of the answer under the outcome's pooling and some others.
        stitched: evidence of the class against its rival, or of the class alone, from shifts of the photo.
        missing: by name, one sentence why there is none.
    """

    outcome: Outcome
    class_index: int
    rival: int | None
    calibrated: bool
    summary: Sequence[Sequence[Part]]
    contrasts: tuple[Contrast, ...]
    deciding: tuple[DecidingChannel, ...]
    probe: Probe | None
    chosen: bool
    disagreements: tuple[Disagreement, ...]
    flip: Flip | None
    sufficient: Sufficient | None
    stability: Stability | None
    stitched: StitchedEvidence | None
    missing: Mapping[str, str]

    @property
    def contrast(self) -> Contrast | None:
        """Under the outcome's own pooling."""
        return next((each for one, each in zip(self.outcome.under_each_pooling(), self.contrasts, strict=False)
                     if one is self.outcome), None)

    @property
    def names(self) -> tuple[str, str | None]:
        """Of the class and of its rival."""
        names = self.outcome.analysis.network.class_names
        return names[self.class_index], None if self.rival is None else names[self.rival]


def reasons(
    outcome: Outcome, class_index: int, rival: int | None = None, calibrated: bool = False,
    region: tuple[int, int, int, int] | None = None, slow: bool = True, told: Told | None = None,
) -> Reasons:
    """Ask why this class and not that one, in every way there is.

    Args:
        outcome: under any pooling, or what a network without one says.
        class_index: the class.
        rival: None is the likeliest other one.
        calibrated: whether probabilities under what-ifs are of logits times the fitted number.
        region: first row and column, last row and column of the positions to leave out, counted from 0 and all four
            included; None is those that carry half of what speaks for the class.
        slow: whether to ask what takes more than a few forward passes: flip, sufficient, stability and stitched.
        told: is told how far each of these is.

    Raises:
        ParameterError: a class does not exist, the two are the same, or the region is not of this grid.
        MethodError: there is a rival, and the network has one logit alone.
    """
    if rival is None:
        outcome.analysis.network.check_class(class_index)
        rival = likeliest_other(outcome, class_index)
    else:
        check_pair(outcome, class_index, rival)
    missing: dict[str, str] = {}
    chosen = region_of(outcome, region) if region else _carrying(outcome, class_index)

    def told_of(what: str) -> Callable[[int, int], None] | None:
        return None if told is None else lambda done, total: told(what, done, total)

    def ask(name: str, question: Callable[[], Any], nothing: Any = None) -> Any:
        try:
            return question()
        except MethodError as error:
            missing[name] = str(error)
            return nothing

    def ask_slowly(name: str, question: Callable[[], Any]) -> Any:
        if slow:
            return ask(name, question)
        missing[name] = LEFT_OUT
        return None

    contrasts = ask("contrasts", lambda: _contrasts(outcome, class_index, rival), ())
    deciding = tuple(deciding_channels(outcome, class_index, rival)) if contrasts else ()
    probed = ask("probe", lambda: _probe(outcome, class_index, chosen, calibrated))
    return Reasons(
        outcome, class_index, rival, calibrated, summary(outcome, class_index, rival, calibrated), contrasts, deciding,
        probed, region is not None,
        ask("disagreements", lambda: _disagreements(probed), ()) if probed else (),
        ask_slowly("flip", lambda: smallest_flip(
            outcome, _answer(outcome, class_index), calibrated=calibrated,
            progress=told_of("Looking for the smallest change that flips it"))),
        ask_slowly("sufficient", lambda: smallest_sufficient(
            outcome, _answer(outcome, class_index), calibrated=calibrated,
            progress=told_of("Looking for the smallest part that is enough"))),
        ask_slowly("stability", lambda: stability(
            _beside(outcome), class_index, calibrated=calibrated, progress=told_of("Changing the photo a little"))),
        ask_slowly("stitched", lambda: stitched(
            outcome, class_index, rival, progress=told_of("Shifting the photo"))),
        MappingProxyType(missing),
    )


def likeliest_other(outcome: Outcome, class_index: int) -> int | None:
    """The class with the largest logit but for that one; None where there is no other."""
    return next((each.class_index for each in outcome.top(2) if each.class_index != class_index), None)


def region_of(outcome: Outcome, region: tuple[int, int, int, int]) -> np.ndarray:
    """(H, W) bool of first row and column, last row and column. Raises ParameterError for another grid's."""
    (rows, columns), (top, left, bottom, right) = outcome.analysis.framing.grid, region
    if not (0 <= top <= bottom < rows and 0 <= left <= right < columns):
        raise ParameterError(f"The region is {','.join(map(str, region))}; expected first row, first column, last row "
                             f"and last column, rows from 0 to {rows - 1} and columns from 0 to {columns - 1}.")
    chosen = np.zeros((rows, columns), dtype=bool)
    chosen[top : bottom + 1, left : right + 1] = True
    return chosen


# In words.


def positions_in_words(found: Reasons) -> str:
    """What the probe leaves out: "the 6 of 49 positions that carry half of what speaks for it"."""
    chosen = found.probe.chosen
    rows, columns = np.nonzero(chosen)
    count = f"{int(chosen.sum())} of {chosen.size} positions"
    if found.chosen:
        return f"the {count} from row {rows.min()}, column {columns.min()} to row {rows.max()}, column {columns.max()}"
    drawn, by = shown(found.outcome, found.class_index), found.probe.held is None
    if strongest_half(drawn.cells.detach().numpy()) is None:
        return f"the {count} where {drawn.name if by else 'its evidence'} is largest"
    verb = "carries" if chosen.sum() == 1 else "carry"
    return f"the {count} that {verb} half of what {f'is positive in {drawn.name}' if by else 'speaks for it'}"


def sides_in_words(found: Reasons, mine: str, other: str) -> list[str]:
    """Where what speaks for each of the two rather than for the other lies, a sentence each; or that there is none."""
    cells = found.contrast.cells
    wrong = int((~np.isfinite(cells)).sum())
    if wrong:
        return [f"The difference is not a number at {number_word(wrong)} of {cells.size} positions."]
    return [evidence_sentence(side, speaks) if strongest_half(side) else f"Nothing on the photo speaks for {speaks}."
            for side, speaks in ((cells, f"{mine} rather than {other}"), (-cells, f"{other} rather than {mine}"))]


def held_in_words(found: Reasons, name: str) -> str:
    """"50% of what speaks for tabby", of what the probe's positions hold; "" where that is not a number."""
    held = found.probe.held
    if not math.isfinite(held.logits):
        return ""
    side, share = ("for", held.speaks_for) if held.logits >= 0 else ("against", held.speaks_against)
    return f"{percent(share)} of what speaks {side} {name}"


def said_in_words(found: Reasons, said: Answers, longest: int) -> str:
    """"it says tabby, 12%"; of classes that are asked by themselves what it gives the class."""
    if found.outcome.analysis.network.activation == "sigmoid":
        return _given("it gives", said.classes[0], longest)
    return _given("it says", said.top, longest)


def _given(verb: str, answer: Answer, longest: int) -> str:
    return f"{verb} {shortened(answer.name, longest)}, {percent(answer.probability)}"


def smallest_sentence(found: Reasons, smallest: SmallestSet) -> str:
    """For example "With 4 of 49 positions (8%) blurred it says bobsled, 21%."; or that nothing was found."""
    enough, within = isinstance(smallest, Sufficient), "half" if smallest.most == 0.5 else percent(smallest.most)
    if smallest.chosen is None:
        return f"Not found within {within} of the photo."
    count, share = f"{smallest.positions} of {smallest.chosen.size} positions", percent(smallest.share)
    opening = f"With {'all but ' if enough else ''}{count} ({share}) blurred"
    if enough and not smallest.positions:
        opening = "With the whole photo blurred"
    after = f"{shortened(smallest.after.name)}, {percent(smallest.after.probability)}"
    if found.outcome.analysis.network.activation == "sigmoid":
        return f"{opening} it gives {after}."
    return f"{opening} it {'still says' if enough else 'says'} {after}."


# Asking.


def _carrying(outcome: Outcome, class_index: int) -> np.ndarray | None:
    """(H, W) bool: the positions that carry half of what speaks for the class, or the strongest one where none do or
    all; None where there is no map, or no number on it, or one position alone."""
    try:
        cells = shown(outcome, class_index).cells.detach().double().numpy()
    except ExplorerError:
        return None
    if cells.size == 1 or not np.isfinite(cells).any():
        return None
    found = carrying(cells)
    if found is None or found.all():
        found = np.zeros(cells.shape, dtype=bool)
        found.flat[int(np.where(np.isfinite(cells), cells, -np.inf).argmax())] = True
    return found


def _contrasts(outcome: Outcome, class_index: int, rival: int | None) -> tuple[Contrast, ...]:
    outcome.analysis.require_evidence()
    check_pair(outcome, class_index, rival)
    return tuple(contrast(each, class_index, rival) for each in outcome.under_each_pooling())


def _probe(outcome: Outcome, class_index: int, chosen: np.ndarray | None, calibrated: bool) -> Probe:
    if chosen is None:
        raise MethodError("There is no part of the photo to leave out: the network sees it as one position, or nothing "
                          "says where it looks.")
    return probe(outcome, class_index, chosen, calibrated=calibrated)


def _disagreements(probed: Probe) -> tuple[Disagreement, ...]:
    probed.outcome.analysis.require_evidence()
    return probed.disagreements


def _answer(outcome: Outcome, class_index: int) -> int:
    """The class, if it is what the network says; where each class is asked by itself, it says something of all."""
    answer = outcome.top(1)[0]
    if outcome.analysis.network.activation != "sigmoid" and answer.class_index != class_index:
        raise MethodError(f"It says {shortened(answer.name)} here, so there is no answer "
                          f"{shortened(outcome.analysis.network.class_names[class_index])} to change or to keep.")
    return class_index


def _beside(outcome: Outcome) -> list[Outcome]:
    """The outcome and what its stability is compared with."""
    analysis = outcome.analysis
    if not analysis.has_evidence:
        return [outcome]
    there = {each.pooling: each for each in outcome.under_each_pooling()}
    wanted = dict.fromkeys([outcome.pooling, analysis.network.pooling.key, *BESIDE])
    return [there[key] for key in wanted if key in there][:MOST_BESIDE]
