"""Sentences made from numbers, and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from explorer.arrays import fewest_holding, positive_part

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MOST_NAMED = 4  # classes in one sentence
_ROUNDING = 2.0**-20  # of a number, eight times what single precision may round it by
_SPREAD = 0.34  # of the strongest positions, as a share of the map's side; a uniform map has 0.41


@dataclass(frozen=True)
class StrongestHalf:
    """The fewest positions that hold half of the positive evidence for a class.

    Attributes:
        count, total: how many, of how many positions.
        share: of the positive evidence that they hold, 0.5 to 1.
        place: where they lie, in words.
    """

    count: int
    total: int
    share: float
    place: str


def strongest_half(cells: np.ndarray) -> StrongestHalf | None:
    """The positions that hold at least half of the positive evidence (H, W); None when nothing is positive."""
    positive = positive_part(cells)
    strongest, share = fewest_holding(positive, 0.5)
    if not strongest.size:
        return None
    return StrongestHalf(strongest.size, positive.size, share, _place(positive, strongest))


def _place(positive: np.ndarray, chosen: np.ndarray) -> str:
    """Where on the map the chosen positions lie, by thirds."""
    rows, columns = np.unravel_index(chosen, positive.shape)
    share = positive.ravel()[chosen] / positive.ravel()[chosen].sum()
    y = (rows + 0.5) / positive.shape[0]
    x = (columns + 0.5) / positive.shape[1]
    middle_y, middle_x = float((share * y).sum()), float((share * x).sum())
    spread = np.sqrt((share * ((y - middle_y) ** 2 + (x - middle_x) ** 2)).sum())
    if spread > _SPREAD:
        return "spread over the photo"
    vertical = ("upper", "", "lower")[min(2, int(middle_y * 3))]
    horizontal = ("left", "", "right")[min(2, int(middle_x * 3))]
    if not vertical and not horizontal:
        return "in the middle"
    if vertical and horizontal:
        return f"at the {vertical} {horizontal}"
    return f"at the {'top' if vertical == 'upper' else 'bottom'}" if vertical else f"on the {horizontal}"


def evidence_sentence(cells: np.ndarray, of: str = "") -> str:
    """For example "Six of 49 positions, at the lower right, hold 53% of the positive evidence."

    Args:
        cells: (H, W) evidence.
        of: what the evidence is for, such as "tench under GMP"; "" leaves it out.
    """
    evidence, half = f"evidence for {of}" if of else "evidence", strongest_half(cells)
    if half is None:
        return f"There is no positive {evidence}: all of it is negative or zero."
    if half.total == 1:
        return f"There is only one position, and it holds all of the positive {evidence}."
    verb = "holds" if half.count == 1 else "hold"
    place = half.place if half.count > 1 or half.place != "spread over the photo" else "in the middle"
    return (f"{number_word(half.count).capitalize()} of {half.total} positions, {place}, {verb} "
            f"{percent(half.share)} of the positive {evidence}.")


class Value(float):
    """A number in the place of a probability that is none: a network's value, as it is, such as an age in years."""


def share_word(share: float) -> str:
    """"probability", or "value" of a `Value`: what the number of an answer is called."""
    return "value" if isinstance(share, Value) else "probability"


class Name(str):
    """A name within a sentence that is given in parts, to be set apart from its other words."""


def answer_parts(likeliest: Sequence[tuple[str, float]], activation: str, classes: int, above: int) -> list[str]:
    """The answer in one sentence, its names as `Name`: "Prediction: cat, 93%." or "Above 50%: cat (93%) and dog (60%)."

    Args:
        likeliest: names and probabilities, the most probable first; at least one.
        activation: "sigmoid" when each class is answered alone; with any other one class excludes the others.
        classes: how many there are.
        above: how many of them have a probability above one half; used for "sigmoid" alone.
    """
    name, share = likeliest[0]
    if activation != "sigmoid" or (classes == 1 and above):
        return ["Prediction: ", Name(shortened(name)), f", {percent(share)}."]
    if classes == 1:
        return ["Prediction: not ", Name(shortened(name)), f", which has {percent(share)}."]
    if not above:
        return [f"None of {classes:,} classes is above 50%; the closest is ", Name(shortened(name)),
                f", {percent(share)}."]
    named = likeliest[:min(above, _MOST_NAMED)]
    joints = [", "] * (len(named) - 1) + [f" and {above - len(named)} more." if above > len(named) else "."]
    if above == len(named) > 1:
        joints[-2] = " and "
    parts = ["Above 50%: "]
    for (name, share), joint in zip(named, joints, strict=True):
        parts += [Name(shortened(name)), f" ({percent(share)}){joint}"]
    return parts


def class_answer(name: str, probability: float, rank: int, activation: str) -> str:
    """The answer for one class, without a full stop: "Prediction: cat, 93%" or "Rank 3: dog, 2%"."""
    if activation == "sigmoid":
        return f"{'Above' if probability > 0.5 else 'Not above'} 50%: {name}, {percent(probability)}"
    return f"{'Prediction' if rank == 1 else f'Rank {rank}'}: {name}, {percent(probability)}"


def shortened(name: str, most: int = 80) -> str:
    """A name that may be of any length, cut at `most` characters with an ellipsis."""
    return name if len(name) <= most else f"{name[:most - 1].rstrip()}…"


def within_sentence(name: str) -> str:
    """A name that is not first in its sentence: "learned attention", but "GeM" and "GAP beside GMP" as they are."""
    return name[:1].lower() + name[1:] if name[1:] == name[1:].lower() else name


def listed(names: Sequence[str]) -> str:
    """"GMP, GeM and gated mix"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def number_word(number: int) -> str:
    """Up to twelve in words, then in digits."""
    return _WORDS[number] if 0 <= number < len(_WORDS) else str(number)


def percent(share: float) -> str:
    """"16%", "0.4%", "<0.1%"; never "100%" for what is not certain. A `Value` as it is: "57.30"."""
    if isinstance(share, Value):
        return plain(share)
    if not np.isfinite(share):
        return "not a number"
    if share >= 0.995:
        return "100%" if share == 1 else ">99%"
    if share >= 0.0095:
        return f"{share * 100:.0f}%"
    return f"{share * 100:.1f}%" if share >= 0.0005 else ("0%" if share == 0 else "<0.1%")


RARE = 0.001  # a probability below it has no curve: it would lie on the axis


def is_rare(probability: float) -> bool:
    """Whether a probability is below RARE; a `Value` is none, however small."""
    return not isinstance(probability, Value) and probability < RARE


def evenness(shares: np.ndarray) -> list[str]:
    """That shares are level, or nearly: the most at a position less than a twentieth above the least; else nothing."""
    low, high = float(shares.min()), float(shares.max())
    if not (shares.size > 1 and low > 0 and high <= 1.05 * low):
        return []
    if high <= 1.0001 * low:
        return ["uniform: all positions alike"]
    return [f"nearly uniform: {low * 100:.2f}% to {high * 100:.2f}% at each position"]


def rate_in_words(left: int, lately: int, seconds: float) -> str:
    """"55 a second, 160 s left", of what was done lately in so many seconds; "" for the first second."""
    if seconds < 1 or lately < 1:
        return ""
    rate = lately / seconds
    return f"{rate:.3g} a second, {left / rate:,.0f} s left"


def signed(value: float) -> str:
    """"+0.41", "−0.03": two decimals and a true minus sign; "not a number" for one that is not finite."""
    return f"{value:+z.2f}".replace("-", "−") if np.isfinite(value) else "not a number"


def plain(value: float) -> str:
    """"4.04", "−0.03"; "not a number" for one that is not finite."""
    return f"{value:z.2f}".replace("-", "−") if np.isfinite(value) else "not a number"


def sum_sentence(logit: float, baseline: float, evidence: float, what: str = "logit") -> str:
    """"logit 4.04 = baseline 0.01 + evidence 4.03"; `what` is what adds up."""
    evidence = second_part(logit, baseline, evidence)
    sign = "−" if evidence < 0 else "+"
    return f"{what} {plain(logit)} = baseline {plain(baseline)} {sign} evidence {plain(abs(evidence))}"


def second_part(total: float, first: float, second: float) -> float:
    """The second of two parts of a total, such that the three add up in the digits that are printed.

    It differs from `second` by rounding alone; where something else is missing from the sum it is `second` itself.
    """
    left = round(total, 2) - round(first, 2) if np.isfinite([total, first]).all() else second
    return left if abs(left - second) < 0.0151 else second


def written_directly(logit: float, evidence: float) -> str:
    """"patches wrote 0.07 of it directly into the class token (44%)": the share may be negative, or above 100%."""
    share = f" ({evidence / logit:.0%})".replace("-", "−") if abs(logit) >= 0.005 else ""  # logits: not 0.00 as written
    return f"patches wrote {plain(evidence)} of it directly into the class token{share}"


def exactness(exact: bool, residual: float, logits: ArrayLike = ()) -> str:
    """"exact, residual 2e-6" or "integrated, residual 0.003"; "not exact" where more than rounding is left over.

    Args:
        exact: whether the decomposition is an identity.
        residual: what it leaves over.
        logits: of the network. Single precision rounds a logit of 40,000 by 0.004: up to eight roundings of the largest
            are no error. Below 5,000 or so the bound is 0.005, the digits that are printed.
    """
    size, values = abs(residual), np.abs(np.asarray(logits, np.float64))
    rounding = _ROUNDING * values[np.isfinite(values)].max(initial=0.0)
    kind = "integrated" if not exact else "exact" if size < max(0.005, rounding) else "not exact"
    if not np.isfinite(size):
        return f"{kind}, residual not a number"
    mantissa, _, exponent = f"{size:.0e}".partition("e")
    text = f"{size:.1g}" if size >= 1e-3 or size == 0 else f"{mantissa}e{int(exponent)}"
    return f"{kind}, residual {text}"
