"""What the network predicts: in one sentence, and as the top 5 under each pooling."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.analysis import Answer, Outcome
from explorer.networks import Network
from explorer.sections.nodes import Node, el
from explorer.sections.parts import short, table
from explorer.wording import Name, answer_parts, listed, percent, plain, share_word, within_sentence


def answer_sentence(outcome: Outcome, calibrated: bool = False) -> list[str]:
    """The prediction in one sentence, names as `Name`."""
    network = outcome.analysis.network
    above_half = int((outcome.probabilities(calibrated) > 0.5).sum()) if network.activation == "sigmoid" else 0
    likeliest = [(answer.name, answer.probability) for answer in outcome.top(5, calibrated)]
    return answer_parts(likeliest, network.activation, len(network.class_names), above_half)


def truth_sentence(outcome: Outcome, truth: int, calibrated: bool = False) -> str:
    """Where the class that the photo is truly of stands: its rank, probability and logit, and how far it is behind."""
    answer, first = outcome.answer(truth, calibrated), outcome.top(1, calibrated)[0]
    network = outcome.analysis.network
    numbers = f"{percent(answer.probability)}" + (
        "" if network.activation == "none" else f", logit {plain(answer.logit)}")
    if network.activation == "sigmoid":
        return f"True class: {short(answer.name)}, {numbers}."
    if answer.class_index == first.class_index:
        return f"True class: {short(answer.name)}, which is the prediction ({numbers})."
    return (f"True class: {short(answer.name)}, rank {answer.rank:,} ({numbers}), {plain(first.logit - answer.logit)} "
            f"{network.unit} behind {short(first.name)}.")


def truth_in_short(outcome: Outcome, truth: int, calibrated: bool = False) -> str:
    """The same in one short line for a talk: "True class: tiger cat, rank 3, 11%"."""
    answer = outcome.answer(truth, calibrated)
    rank = "" if outcome.analysis.network.activation == "sigmoid" else f"rank {answer.rank:,}, "
    return f"True class: {short(answer.name)}, {rank}{percent(answer.probability)}"


def with_names(parts: Iterable[Node | str]) -> list[Node | str]:
    """A sentence in parts as nodes, each `Name` underlined."""
    return [el("span", str(part), class_="says") if isinstance(part, Name) else part for part in parts]


def is_calibrated(outcome: Outcome, calibrated: bool) -> bool:
    """Whether calibrating changes anything: never under a pooling that its head was trained with."""
    return calibrated and outcome.multiplier is not None


def label(outcome: Outcome, calibrated: bool) -> str:
    """"native", "trained", "what-if" or "what-if, calibrated"."""
    return f"{outcome.label}, calibrated" if is_calibrated(outcome, calibrated) else outcome.label


def badge(outcome: Outcome, calibrated: bool) -> Node:
    """The label as "what-if, calibrated × 0.31", green where the head was trained with the pooling."""
    text = label(outcome, calibrated)
    if not outcome.analysis.has_evidence:
        text = "the network's own answer"
    elif is_calibrated(outcome, calibrated):
        text += f" × {outcome.multiplier:.2f}"
    elif calibrated and outcome.label == "what-if":
        text += ", no fit"
    return el("span", text, class_="badge" if outcome.label == "what-if" else "badge native")


def named_answer(answer: Answer) -> Node:
    """"tabby, 16%" in a table; the whole name is its title."""
    return el("span", f"{short(answer.name)}, {percent(answer.probability)}", title=answer.name)


def trained_in_words(network: Network) -> str:
    """The poolings beside its own that it has trained heads for: "GMP, GeM and learned attention"; "" for none."""
    return listed([within_sentence(head.pooling.name) for head in network.trained.values()])


def top_answers(outcome: Outcome, calibrated: bool) -> Node:
    """The top 5 under each pooling, a table each; for the terminal, which sets them side by side."""
    return el("div", *(_top(one, calibrated) for one in outcome.under_each_pooling()), class_="answers")


def _top(outcome: Outcome, calibrated: bool) -> Node:
    answers = outcome.top(5, calibrated)
    rows = [(str(answer.rank), short(answer.name), percent(answer.probability)) for answer in answers]
    return table(("rank", "class", share_word(answers[0].probability)), rows, numbers={2},
                 caption=el("caption", el("strong", outcome.name), badge(outcome, calibrated)))
