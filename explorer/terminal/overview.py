"""The lines at the top of what a command prints: the photo, the network, the class, and its logit decomposed."""

from __future__ import annotations

from explorer.analysis import Outcome
from explorer.questions.intervention import Intervention
from explorer.sections.answers import label, truth_sentence
from explorer.sections.text import cut, printable, typed, wrapped
from explorer.wording import Value, share_word

PROBABILITIES = {"softmax": "probabilities by softmax", "sigmoid": "probabilities by sigmoid",
                 "none": "values in a unit of their own", "given": "probabilities as the network gives them"}
_LONGEST_NAME = 40  # columns


def describe(outcome: Outcome, photo: str) -> list[str]:
    """Lines on the photo, how it became an input, the network with what is looked at in it, and its cautions."""
    analysis, framing = outcome.analysis, outcome.analysis.framing
    width, height = framing.input_size
    shape = " x ".join(str(length) for length in analysis.feature_maps.shape)
    return [
        f"{printable(photo)}: {framing.photo_size[0]} x {framing.photo_size[1]} px, framing {framing.kind}, "
        f"input {width} x {height} px",
        f"{printable(analysis.network.title)} ({printable(analysis.network.origin)}): "
        f"{printable(analysis.layer_name)} {shape}, {PROBABILITIES[analysis.network.activation]}",
        *(f"Caution: {typed(caution)}" for caution in analysis.network.cautions),
    ]


def changed(outcome: Outcome) -> list[str]:
    """What was done to the feature maps; no line where nothing was."""
    change = outcome.analysis.change
    return [f"Changed: {Intervention.parse(change).words}"] if change else []


def name_and_index(outcome: Outcome, class_index: int) -> str:
    """"golden retriever (207)"."""
    return f"{cut(typed(outcome.analysis.network.class_names[class_index]), _LONGEST_NAME)} ({class_index})"


def under(outcome: Outcome, class_index: int, calibrated: bool) -> str:
    """Where the class's map comes from: "under GMP (what-if)", or "final feature maps (native)"."""
    return f"{printable(outcome.class_map(class_index).source)} ({label(outcome, calibrated)})"


def account(outcome: Outcome, class_index: int, calibrated: bool) -> list[str]:
    """Two lines: the class's probability and rank, and how its logit adds up, or why it is not decomposed."""
    answer = outcome.answer(class_index, calibrated)
    digits = 4 if isinstance(answer.probability, Value) else 2
    return [
        f"{name_and_index(outcome, class_index)} {under(outcome, class_index, calibrated)}: "
        f"{share_word(answer.probability)} {answer.probability:.{digits}g}, rank {answer.rank}",
        typed("; ".join(outcome.class_map(class_index).account)),
    ]


def true_class(outcome: Outcome, truth: int | None, calibrated: bool) -> list[str]:
    """Where the class that the photo is truly of stands; no line where it is not known."""
    return [] if truth is None else wrapped(truth_sentence(outcome, truth, calibrated))
