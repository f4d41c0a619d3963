"""All questions about why a class is predicted, asked once: for the summary, the terminal and the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.progress import Progress, Stop
from explorer.questions.contrast import Contrast, DecidingChannel, check_pair, contrast, deciding_channels
from explorer.questions.flip import SmallestSet, smallest_flip, smallest_sufficient
from explorer.questions.probe import Probe, Region, answers_without_half, probe, probed_positions, region_of
from explorer.questions.stability import Stability, stability
from explorer.questions.stitching import StitchedEvidence, stitched

LEFT_OUT = "It was not asked for."
_BESIDE, _MOST_BESIDE = ("gmp", "attention"), 3  # poolings whose stability stands beside the outcome's, and how many


@dataclass(frozen=True, eq=False)
class Reasons:
    """The answers; None or empty where `missing` has the reason, by the attribute's name.

    Attributes:
        outcome, class_index, rival: the question, under which pooling; no rival where there is one class alone.
        calibrated: whether probabilities under what-ifs are of logits times the fitted number.
        contrasts: the two classes under each pooling, in the order of `outcome.under_each_pooling()`.
        deciding: the channels that add most to the difference under the outcome's own pooling.
        probe: of the positions in `region`, or else of those that hold half of the positive evidence.
        region: first row and column, last row and column of the positions that were chosen; None for none.
        truth: the class that the photo is truly of, where that is known; the probe has its answers too.
        flip, sufficient: the smallest changes that flip the prediction, and that keep it; of independent classes, the
            class. The prediction may be another class than `class_index`.
        stability: of the prediction under the outcome's pooling and some others.
        stitched: evidence of the class against its rival, or of the class alone, from shifts of the photo.
        missing: by name, one sentence why there is none.
    """

    outcome: Outcome
    class_index: int
    rival: int | None
    calibrated: bool
    contrasts: tuple[Contrast, ...]
    deciding: tuple[DecidingChannel, ...]
    probe: Probe | None
    region: Region | None
    truth: int | None
    flip: SmallestSet | None
    sufficient: SmallestSet | None
    stability: Stability | None
    stitched: StitchedEvidence | None
    missing: Mapping[str, str]

    @property
    def contrast(self) -> Contrast | None:
        """Under the outcome's own pooling."""
        outcomes = self.outcome.under_each_pooling()
        return self.contrasts[outcomes.index(self.outcome)] if self.contrasts else None


def reasons(
    outcome: Outcome, class_index: int, rival: int | None = None, calibrated: bool = False,
    region: Region | None = None, slow: bool = True, progress: Callable[[str, int, int], None] | None = None,
    stop: Stop | None = None, truth: int | None = None,
) -> Reasons:
    """Ask why this class and not that one, in every way there is.

    Args:
        outcome: under any pooling, or of a network without one.
        rival: None is `usual_rival`.
        calibrated: whether probabilities under what-ifs are of logits times the fitted number.
        region: first row and column, last row and column of the positions to leave out, counted from 0 and all four
            included; None is those that hold half of the positive evidence.
        slow: whether to ask what takes more than a few forward passes: flip, sufficient, stability and stitched.
        progress: gets (what is being computed, steps done, steps in all); `stop` is asked before each step.
        truth: the class that the photo is truly of, where that is known.

    Raises:
        ParameterError: a class does not exist, the two are the same, or the region is not of this grid.
        MethodError: there is a rival, and the network has one logit alone.
        StoppedError: `stop` returned True.
    """
    for index in (class_index, *(() if truth is None else (truth,))):
        outcome.analysis.network.check_class(index)
    if rival is None:
        rival = usual_rival(outcome, class_index, truth)
    else:
        check_pair(outcome, class_index, rival)
    chosen = region_of(outcome, region) if region else probed_positions(outcome, class_index)
    answers_without_half(outcome, class_index)  # remembered: the summary has a sentence on it
    missing: dict[str, str] = {}

    def ask(name: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except MethodError as error:
            missing[name] = str(error)
            return None

    def ask_slowly(name: str, what: str, question: Callable[[Progress | None], Any]) -> Any:
        if not slow:
            missing[name] = LEFT_OUT
            return None
        return ask(name, lambda: question(progress and (lambda done, total: progress(what, done, total))))

    contrasts: tuple[Contrast, ...] = ask("contrasts", lambda: _contrasts(outcome, class_index, rival)) or ()
    probed = ask("probe", lambda: _probe(outcome, class_index, chosen, calibrated, truth))
    if probed and not probed.disagreements:
        missing["disagreements"] = outcome.analysis.no_evidence_reason
    return Reasons(
        outcome, class_index, rival, calibrated, contrasts,
        tuple(deciding_channels(outcome, class_index, rival)) if contrasts and rival is not None else (),
        probed, region, truth,
        ask_slowly("flip", "Looking for the smallest change that flips it", lambda progress: smallest_flip(
            outcome, predicted(outcome, class_index), calibrated=calibrated, progress=progress, stop=stop)),
        ask_slowly("sufficient", "Looking for the smallest part that is enough", lambda progress: smallest_sufficient(
            outcome, predicted(outcome, class_index), calibrated=calibrated, progress=progress, stop=stop)),
        ask_slowly("stability", "Changing the photo a little", lambda progress: stability(
            _beside(outcome), class_index, calibrated=calibrated, progress=progress, stop=stop)),
        ask_slowly("stitched", "Shifting the photo", lambda progress: stitched(
            outcome, class_index, rival, progress=progress, stop=stop)),
        MappingProxyType(missing),
    )


def usual_rival(outcome: Outcome, class_index: int, truth: int | None = None) -> int | None:
    """The true class, where that is known and another one, else the likeliest other one; None without any."""
    if truth not in (None, class_index):
        return truth
    return next((answer.class_index for answer in outcome.top(2) if answer.class_index != class_index), None)


def _contrasts(outcome: Outcome, class_index: int, rival: int | None) -> tuple[Contrast, ...]:
    outcome.analysis.require_evidence()
    rival = check_pair(outcome, class_index, rival)
    return tuple(contrast(one, class_index, rival) for one in outcome.under_each_pooling())


def _probe(
    outcome: Outcome, class_index: int, chosen: np.ndarray | None, calibrated: bool, truth: int | None
) -> Probe:
    if chosen is None:
        raise MethodError("There is no part of the photo to leave out: the network sees it as one position, or nothing "
                          "says where it looks.")
    return probe(outcome, class_index, chosen, calibrated=calibrated, watched=() if truth is None else (truth,))


def predicted(outcome: Outcome, class_index: int) -> int:
    """The class that flips and smallest parts are about: the prediction; of independent classes the class itself."""
    return class_index if outcome.analysis.network.activation == "sigmoid" else outcome.top(1)[0].class_index


def _beside(outcome: Outcome) -> list[Outcome]:
    """The outcome and those that its stability is compared with."""
    there = {one.pooling: one for one in outcome.under_each_pooling()}
    keys = dict.fromkeys([outcome.pooling, outcome.analysis.under().pooling, *_BESIDE])
    return [there[key] for key in keys if key in there][:_MOST_BESIDE]
