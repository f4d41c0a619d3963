"""The likeliest classes under several poolings side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from explorer.analysis import NO_POOLING, Analysis, Answer, Outcome
from explorer.poolings import PoolingChoice
from explorer.sections.answers import badge, trained_in_words
from explorer.sections.nodes import Node, el
from explorer.ui.session.session import Session
from explorer.wording import percent, within_sentence


def follow_answer(session: Session, picked: Sequence[Any]) -> None:
    """Show the pooling and the class of the answer that was clicked; without poolings, the class."""
    pooling, class_index = picked
    changes = {} if pooling == NO_POOLING else {"pooling": PoolingChoice.parse(pooling)}
    session.choose(class_index=class_index, **changes)


def answers(
    outcomes: Sequence[Outcome], shown: Outcome, class_index: int, calibrated: bool, marked: Sequence[int] = ()
) -> Node:
    """A column of five answers for each outcome, and those of the `marked` true class.

    The one `shown` is pressed; a click gives its pooling and class.
    """
    pressed = str(shown.choice), class_index
    columns = [_column(outcome, pressed, calibrated, marked) for outcome in outcomes]
    return el("div", *columns, class_="answers", style={"--columns": str(len(columns))})


def _column(outcome: Outcome, pressed: tuple[str, int], calibrated: bool, marked: Sequence[int]) -> Node:
    analysis = outcome.analysis
    title = outcome.name if analysis.has_evidence else analysis.network.title
    best = outcome.top(5, calibrated)
    missing = set(marked) - {answer.class_index for answer in best}
    rows = [_answer(outcome, answer, pressed, answer.class_index in marked)
            for answer in (*best, *(outcome.answer(index, calibrated) for index in missing))]
    return el("div", el("div", el("h3", title), badge(outcome, calibrated), class_="head stacked"), *rows,
              class_="column")


def _answer(outcome: Outcome, answer: Answer, pressed: tuple[str, int], is_true: bool) -> Node:
    pick = str(outcome.choice), answer.class_index
    return el(
        "button",
        el("span", answer.name, class_="name", title=answer.name),
        el("span", "true" if answer.rank <= 5 else f"rank {answer.rank:,}", class_="change", title="The true class")
        if is_true else
        None if outcome.label == "native" else _rank_change(outcome.analysis, answer),
        el("span", percent(answer.probability), class_="number"),
        el("div", class_="bar", style={"--share": f"{answer.probability * 100:.2f}%"}),
        pick=list(pick), type="button", class_="answer", aria_pressed=str(pick == pressed).lower(),
        data_key=f"{pick[0]}-{pick[1]}",
    )


def _rank_change(analysis: Analysis, answer: Answer) -> Node | None:
    """How many ranks the class moved from its place under the native pooling."""
    before = analysis.under().answer(answer.class_index).rank
    if before == answer.rank:
        return None
    arrow = "▲" if before > answer.rank else "▼"
    change = "new" if before > 5 else f"{arrow}{abs(before - answer.rank)}"
    return el("span", change, class_="change", title=f"Rank {before} under the native pooling")


def what_if_note(analysis: Analysis, calibrated: bool) -> str:
    """What the badges "what-if" and "trained" mean here."""
    native, others = within_sentence(analysis.under().name), trained_in_words(analysis.network)
    text = f"The head was trained for {native}. Under another pooling the answer is a what-if"
    if others:
        text = (f"The head was trained for {native}; {others} have their own heads, trained with them. Under "
                "another pooling, or with another parameter, the answer is a what-if")
    if analysis.network.activation == "none":
        return f"{text}."
    if not analysis.network.calibration.multipliers:
        return text + " and may be overconfident: no number was fitted for this network."
    return text + (", its logits multiplied by one number fitted on central crops of 224 px: no rank changes."
                   if calibrated else " and overconfident: calibrate it in the sidebar.")
