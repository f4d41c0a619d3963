"""How stable the answer is: the photo is changed a little, and the network run again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from explorer.analysis import Outcome
from explorer.arrays import to_array
from explorer.errors import ParameterError
from explorer.progress import Progress, Stop, in_batches
from explorer.questions.evidence_place import Place, distance, place_of
from explorer.questions.variations import AS_IT_IS, Value, Variant, variants_of, varied
from explorer.render import Box
from explorer.wording import number_word, percent, share_word, shortened


@dataclass(frozen=True, eq=False)
class VariantAnswer:
    """The answer to one variant under one pooling.

    Attributes:
        variant: which; AS_IT_IS is the photo as it is.
        answer: the class with the largest logit.
        stays: whether the answer is that of the photo as it is, see `stability`.
        probability, logit, rank: of the class that is followed; rank 1 is the most probable.
        place: the centre of that class's positive evidence; None without any.
        moved: how far the place lies from that of the photo as it is, in positions; NaN where there is none.
    """

    variant: Variant
    answer: int
    stays: bool
    probability: float
    logit: float
    rank: int
    place: Place | None
    moved: float


@dataclass(frozen=True, eq=False)
class PoolingStability:
    """The answers under one pooling.

    Attributes:
        pooling, name, label: of the outcome: key, for people, "native", "trained" or "what-if".
        multiplier: what the logits were multiplied with for the probabilities; 1 unless calibrated and fitted.
        original: the photo as it is.
        rows: one a variant, in the order of `Stability.variants`.
    """

    pooling: str
    name: str
    label: str
    multiplier: float
    original: VariantAnswer
    rows: tuple[VariantAnswer, ...]


@dataclass(frozen=True, eq=False)
class Stability:
    """What little changes of a photo do to the answer.

    Attributes:
        class_index: the class that is followed.
        class_names: of the network, one a class.
        independent: whether the answer is about that class alone, see `stability`.
        place_by: how places were found: "evidence", or "grad_cam" without evidence.
        variants: what was tried.
        under: one a pooling, in their order.
    """

    class_index: int
    class_names: tuple[str, ...]
    independent: bool
    place_by: str
    variants: tuple[Variant, ...]
    under: tuple[PoolingStability, ...]


def stability(
    outcomes: Sequence[Outcome],
    class_index: int,
    values: Mapping[str, Sequence[Value]] | None = None,
    calibrated: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Stability:
    """How the answers and the evidence's place move, per pooling, when the photo is changed a little.

    Each variant costs one forward pass, whatever the number of poolings; they are run one at a time, because that is
    not slower and no network answers otherwise. Where classes exclude each other the answer stays when the class with
    the largest logit does, whatever class is followed. Where classes are independent (a sigmoid, or a single logit), it
    stays when the class followed stays on its side of one half.

    Args:
        outcomes: at least one, all of one analysis: their poolings and parameters are compared. Without evidence the
            place is that of Grad-CAM's positive part.
        class_index: the class whose probability and place are followed.
        values: what is tried, by keys of VARIATIONS; None is each at its usual values.
        calibrated: whether fitted multipliers are applied, where there are any.
        progress, stop: after and before each variant, see `explorer.progress`.

    Raises:
        ParameterError: no such class, or outcomes of several photos.
        MethodError: no gradient can be computed.
        StoppedError: `stop` returned True.
    """
    if not outcomes or any(other.analysis is not outcomes[0].analysis for other in outcomes):
        raise ParameterError("Expected at least one outcome, all of one analysis.")
    analysis = outcomes[0].analysis
    network = analysis.network
    network.check_class(class_index)
    variants = variants_of(analysis, values)
    independent = network.activation != "none" and (network.activation == "sigmoid" or len(network.class_names) == 1)

    def answer_to(variant: Variant, changed: Outcome, shows: Box, before: VariantAnswer | None) -> VariantAnswer:
        _, _, probability, logit, rank = changed.answer(class_index, calibrated)
        answer = int(to_array(changed.logits).argmax())
        place = place_of(changed.class_map(class_index).array, shows, analysis)
        stays = before is None or ((probability > 0.5) == (before.probability > 0.5) if independent else
                                   answer == before.answer)
        return VariantAnswer(variant, answer, stays, probability, logit, rank, place,
                             distance(place, before.place if before else place))

    originals = [answer_to(AS_IT_IS, outcome, analysis.framing.seen, None) for outcome in outcomes]
    rows: list[list[VariantAnswer]] = [[] for _ in outcomes]
    for (variant,) in in_batches(variants, 1, "variants", progress, stop):
        changed, shows = varied(analysis, variant)
        for outcome, original, own in zip(outcomes, originals, rows, strict=True):
            own.append(answer_to(variant, outcome.on(changed), shows, original))
    return Stability(
        class_index=class_index, class_names=network.class_names, independent=independent,
        place_by="evidence" if analysis.has_evidence else "grad_cam", variants=variants,
        under=tuple(
            PoolingStability(outcome.pooling, outcome.name, outcome.label,
                             (outcome.multiplier or 1.0) if calibrated else 1.0, original, tuple(own))
            for outcome, original, own in zip(outcomes, originals, rows, strict=True)),
    )


# In words.


def stability_sentence(stability: Stability, under: PoolingStability) -> str:
    """For example "The answer stays in 23 of 26 variants; a shift of 12 px to the right makes it bobsled."

    Of several changes the least is named: that with the smallest share of its variation's largest. "" where the
    network gives a single value, which is no answer that could change.
    """
    alone, names = stability.independent, stability.class_names
    who = f"The answer for {shortened(names[stability.class_index])}" if alone else "The answer"
    changes, total = [row for row in under.rows if not row.stays], len(under.rows)
    stays, others = total - len(changes), len(changes) - 1
    if not total:
        return "Nothing was varied."
    if len(names) == 1 and not alone:
        return ""
    if not changes:
        return f"{who} stays in {'the one variant' if total == 1 else f'all {total} variants'}."
    least = min(changes, key=lambda row: _share_of_largest(row.variant, stability.variants))
    becomes = f"brings it to {percent(least.probability)}" if alone else f"makes it {shortened(names[least.answer])}"
    too = f", and {number_word(others)} other{'s change' if others > 1 else ' changes'} it too" if others else ""
    stay = "does not stay" if total == 1 else f"stays in {stays or 'none'} of {total} variants"
    return f"{who} {stay}; {least.variant.label} {becomes}{too}."


def movement_sentence(stability: Stability, under: PoolingStability) -> str:
    """For example "Its probability lies between 12% and 45%, and its evidence moves by at most 1.3 positions."

    "Its" is the followed class's, which is named where it is not the answer.
    """
    followed = stability.class_index
    word = share_word(under.original.probability)
    whose = (f"Its {word}" if stability.independent or under.original.answer == followed else
             f"The {word} of {shortened(stability.class_names[followed])}")
    probabilities = [row.probability for row in (under.original, *under.rows)]
    moved = [row.moved for row in under.rows if not math.isnan(row.moved)]
    lowest, highest = percent(min(probabilities)), percent(max(probabilities))
    likely = f"stays at {lowest}" if lowest == highest else f"lies between {lowest} and {highest}"
    if not moved:
        return f"{whose} {likely}."
    return f"{whose} {likely}, and its evidence moves by at most {max(moved):.1f} positions."


def _share_of_largest(variant: Variant, variants: Sequence[Variant]) -> float:
    largest = max(other.size for other in variants if other.variation == variant.variation)
    return variant.size / largest if largest else 0.0
