"""How little must change before the answer does: the photo is changed a little, and the network asked again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from explorer.analysis import Analysis, Outcome
from explorer.arrays import to_array
from explorer.errors import ParameterError, StoppedError
from explorer.poolings import parse_pooling
from explorer.progress import Progress, Stop
from explorer.questions.location import Place, distance, place_of
from explorer.questions.variations import Box, Value, Variant, variants_of, varied
from explorer.wording import number_word, percent, shortened

TOP = 5  # classes of the photo as it is that are followed under each pooling

# What is found.


@dataclass(frozen=True, eq=False)
class Row:
    """What the network says of one variant under one pooling; arrays are (classes followed,).

    Attributes:
        variant: which; None is the photo as it is.
        answer: the class with the largest logit.
        stays: whether the answer is that of the photo as it is, see `stability`.
        probability, logit, rank: of the class that was asked for; rank 1 is the most probable.
        place: of what speaks for that class; None where nothing does.
        moved: how far the place lies from that of the photo as it is, in positions; NaN where there is none.
        probabilities, logits: float64, of the classes that are followed.
        ranks: int, likewise.
    """

    variant: Variant | None
    answer: int
    stays: bool
    probability: float
    logit: float
    rank: int
    place: Place | None
    moved: float
    probabilities: np.ndarray
    logits: np.ndarray
    ranks: np.ndarray


class Summary(NamedTuple):
    """Several variants under one pooling.

    Of `variants` the answer `stays` in so many; `changes` are the rows of the others. The class's probability lies
    between `lowest` and `highest`, the photo as it is included. Its place moves by at most `farthest` positions; NaN
    where there is none.
    """

    stays: int
    variants: int
    changes: tuple[Row, ...]
    lowest: float
    highest: float
    farthest: float


@dataclass(frozen=True, eq=False)
class Under:
    """One pooling's answers.

    Attributes:
        pooling, name, label: of the outcome: key, for people, "native", "trained" or "what-if".
        multiplier: what the logits were multiplied with for the probabilities; 1 unless asked for and fitted.
        original: the photo as it is.
        rows: one a variant, in the order of `Stability.variants`.
    """

    pooling: str
    name: str
    label: str
    multiplier: float
    original: Row
    rows: tuple[Row, ...]

    def of(self, variation: str | None = None) -> tuple[Row, ...]:
        """The rows of one variation; of all without one."""
        return tuple(row for row in self.rows if variation in (None, row.variant.variation))

    def summary(self, variation: str | None = None) -> Summary:
        """Of one variation, or of all."""
        rows = self.of(variation)
        changes = tuple(row for row in rows if not row.stays)
        probabilities = [row.probability for row in (self.original, *rows)]
        moved = [row.moved for row in rows if not math.isnan(row.moved)]
        return Summary(len(rows) - len(changes), len(rows), changes, min(probabilities), max(probabilities),
                       max(moved, default=math.nan))


@dataclass(frozen=True, eq=False)
class Stability:
    """What little changes of a photo do to the answer.

    Attributes:
        class_index: the class that was asked for.
        classes: that class, the first five of the photo as it is under each pooling, and every class that becomes the
            answer, in this order.
        names: of these.
        one_by_one: whether the answer is about the class alone, see `stability`.
        place_by: how places were found: "evidence", or "grad_cam" where the answer cannot be taken apart.
        variants: what was tried.
        under: one a pooling, in the order asked for.
    """

    class_index: int
    classes: tuple[int, ...]
    names: tuple[str, ...]
    one_by_one: bool
    place_by: str
    variants: tuple[Variant, ...]
    under: tuple[Under, ...]

    def name(self, class_index: int) -> str:
        """Of a class that is followed."""
        return self.names[self.classes.index(class_index)]


# Asking.


def stability(
    of: Analysis | Outcome | Sequence[Outcome],
    class_index: int,
    poolings: Sequence[str] | None = None,
    variations: Iterable[str] | Mapping[str, Sequence[Value]] | None = None,
    calibrated: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Stability:
    """How the answers and the evidence's place move, per pooling, when the photo is changed a little.

    Each variant costs one forward pass, whatever the number of poolings; they are run one at a time, because that is
    not slower and no network answers otherwise. Where classes exclude each other the answer stays when the class with
    the largest logit does, whatever class was asked for. Where each class is asked by itself (a sigmoid, or a single
    logit), it stays when the class asked for stays on its side of one half.

    Args:
        of: an analysis, or an outcome or several of one: the same poolings with the same parameters are asked.
        class_index: the class whose probability and place are followed.
        poolings: of an analysis, such as "gmp" or "gem:p=4"; None is the network's own, and the only choice where the
            answer cannot be taken apart. There the place is that of Grad-CAM's positive part.
        variations: keys of VARIATIONS, or values by key; None is each at its usual values.
        calibrated: whether fitted multipliers are applied, where there are any.
        progress: is told (variants done, variants in all) after each.
        stop: is asked before each.

    Raises:
        ParameterError: no such class, pooling or variation, a value outside its range, or outcomes of several photos.
        MethodError: a pooling is named where none can be exchanged, or no gradient can be asked for.
        StoppedError: told to stop.
    """
    outcomes = _outcomes(of, poolings)
    analysis = outcomes[0].analysis
    analysis.network.check_class(class_index)
    variants = variants_of(analysis, variations)
    asked = [_asked(outcome, class_index, analysis.framing.seen, analysis, calibrated) for outcome in outcomes]
    answers = [[each] for each in asked]  # per pooling: of the photo as it is, then of each variant
    for done, variant in enumerate(variants, 1):
        if stop is not None and stop():
            raise StoppedError(f"Stopped after {done - 1} of {len(variants)} variants.")
        changed, shows = varied(analysis, variant)
        for outcome, found in zip(outcomes, answers, strict=True):
            again = changed.under(outcome.pooling, **outcome.parameters) if changed.has_evidence else changed.under()
            found.append(_asked(again, class_index, shows, analysis, calibrated))
        if progress is not None:
            progress(done, len(variants))
    one_by_one = analysis.network.activation == "sigmoid" or len(analysis.network.class_names) == 1
    classes = _followed(class_index, answers)
    return Stability(
        class_index=class_index, classes=classes, names=tuple(analysis.network.class_names[each] for each in classes),
        one_by_one=one_by_one, place_by="evidence" if analysis.has_evidence else "grad_cam", variants=variants,
        under=tuple(_under(outcome, found, variants, classes, one_by_one, calibrated)
                    for outcome, found in zip(outcomes, answers, strict=True)),
    )


# Saying it.


def stability_sentence(found: Stability, under: Under, variation: str | None = None) -> str:
    """For example "The answer stays in 23 of 26 variants; a shift of 12 px to the right makes it bobsled."

    Args:
        found: from `stability`.
        under: one of its poolings.
        variation: of that one alone; None is of all.

    Of several changes the least is named: that with the smallest share of its variation's largest.
    """
    summary = under.summary(variation)
    who = f"The answer for {shortened(found.name(found.class_index))}" if found.one_by_one else "The answer"
    stays, total, others = summary.stays, summary.variants, len(summary.changes) - 1
    if not total:
        return "Nothing was varied."
    if not summary.changes:
        return f"{who} stays in {'the one variant' if total == 1 else f'all {total} variants'}."
    least = min(summary.changes, key=lambda row: _share_of_largest(row.variant, found.variants))
    becomes = (f"brings it to {percent(least.probability)}" if found.one_by_one else
               f"makes it {shortened(found.name(least.answer))}")
    too = f", and {number_word(others)} other{'s change' if others > 1 else ' changes'} it too" if others else ""
    stay = "does not stay" if total == 1 else f"stays in {stays or 'none'} of {total} variants"
    return f"{who} {stay}; {least.variant.label} {becomes}{too}."


def movement_sentence(under: Under, variation: str | None = None) -> str:
    """For example "Its probability lies between 12% and 45%, and its evidence moves by at most 1.3 positions."

    "Its" is the class's that was asked for; of one variation, or of all.
    """
    summary = under.summary(variation)
    lowest, highest = percent(summary.lowest), percent(summary.highest)
    likely = f"stays at {lowest}" if lowest == highest else f"lies between {lowest} and {highest}"
    if math.isnan(summary.farthest):
        return f"Its probability {likely}."
    return f"Its probability {likely}, and its evidence moves by at most {summary.farthest:.1f} positions."


def _share_of_largest(variant: Variant, variants: Sequence[Variant]) -> float:
    largest = max(each.size for each in variants if each.variation == variant.variation)
    return variant.size / largest if largest else 0.0


# Reading.


class _Asked(NamedTuple):
    """One outcome, reduced to what is kept: (all classes,) float64, and the place of the class."""

    logits: np.ndarray
    probabilities: np.ndarray
    place: Place | None


def _outcomes(of: Analysis | Outcome | Sequence[Outcome], poolings: Sequence[str] | None) -> list[Outcome]:
    if isinstance(of, Analysis):
        if poolings is None:
            return [of.under()]
        if isinstance(poolings, str) or not poolings:
            raise ParameterError(f"The poolings are {poolings!r:.60}; expected at least one in a list.")
        return [of.under(key, **parameters) for key, parameters in map(parse_pooling, poolings)]
    outcomes = [of] if isinstance(of, Outcome) else list(of)
    if poolings is not None or not outcomes or any(each.analysis is not outcomes[0].analysis for each in outcomes):
        raise ParameterError("Expected an analysis and its poolings, or at least one outcome, all of one analysis.")
    return outcomes


def _asked(outcome: Outcome, class_index: int, shows: Box, original: Analysis, calibrated: bool) -> _Asked:
    if outcome.analysis.has_evidence:
        cells = outcome.evidence(class_index).cells
    else:
        cells = outcome.cam("grad_cam", class_index)
    return _Asked(to_array(outcome.logits), to_array(outcome.probabilities(calibrated)),
                  place_of(to_array(cells), shows, original))


def _followed(class_index: int, answers: list[list[_Asked]]) -> tuple[int, ...]:
    first = [int(each) for asked in answers for each in np.argsort(-asked[0].logits, kind="stable")[:TOP]]
    become = [int(each.logits.argmax()) for asked in answers for each in asked]
    return tuple(dict.fromkeys([class_index, *first, *become]))


def _under(
    outcome: Outcome, answers: list[_Asked], variants: Sequence[Variant], classes: tuple[int, ...], one_by_one: bool,
    calibrated: bool,
) -> Under:
    def row(variant: Variant | None, asked: _Asked) -> Row:
        logits, probabilities = asked.logits[list(classes)], asked.probabilities[list(classes)]
        ranks = 1 + (asked.logits > logits[:, None]).sum(1)
        return Row(
            variant=variant, answer=int(asked.logits.argmax()), stays=said(asked) == said(original),
            probability=float(probabilities[0]), logit=float(logits[0]), rank=int(ranks[0]), place=asked.place,
            moved=distance(asked.place, original.place), probabilities=probabilities, logits=logits, ranks=ranks,
        )

    def said(asked: _Asked) -> int | bool:
        return bool(asked.probabilities[classes[0]] > 0.5) if one_by_one else int(asked.logits.argmax())

    original = answers[0]
    return Under(
        pooling=outcome.pooling, name=outcome.name, label=outcome.label,
        multiplier=(outcome.multiplier or 1.0) if calibrated else 1.0, original=row(None, original),
        rows=tuple(row(variant, asked) for variant, asked in zip(variants, answers[1:], strict=True)),
    )
