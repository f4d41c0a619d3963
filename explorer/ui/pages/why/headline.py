"""The head of the page: the summary, the class to compare with, the question, and cases to begin with."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import streamlit as st

from explorer.analysis import Analysis, Outcome
from explorer.errors import ExplorerError
from explorer.questions.cases import CASES, FRAMING, NETWORK
from explorer.questions.reasons import usual_rival
from explorer.sections.answers import truth_sentence
from explorer.sections.nodes import Node, el
from explorer.sections.summary import Part, summary
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.components.class_search import class_search
from explorer.ui.controls import in_step
from explorer.ui.pooling_choice import pooling_choice
from explorer.ui.session.choices import QUESTIONS
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session
from explorer.wording import shortened

RIVALS = 6  # classes to compare with, beside any in the link
BY_GRADIENTS = ("without", "flip", "trust", "stable")  # questions that need no evidence


def rival_of(session: Session, outcome: Outcome, class_index: int) -> int | None:
    """The class to compare with: the one chosen, else the true one, else the likeliest other one; None without any."""
    chosen = session.choices
    return usual_rival(outcome, class_index, chosen.truth) if chosen.rival in (None, class_index) else chosen.rival


def questions(analysis: Analysis) -> dict[str, str]:
    """The questions that can be answered for a network, by key, with their names."""
    several = len(analysis.network.class_names) > 1
    return {key: name for key, name in QUESTIONS.items()
            if (analysis.has_evidence or key in BY_GRADIENTS) and (several or key != "against")}


def why_headline(session: Session, outcome: Outcome, class_index: int, rival: int | None) -> None:
    """The question, and the summary in plain words; a click on a number leads to where it comes from."""
    names, calibrated = outcome.analysis.network.class_names, session.choices.calibrated
    try:
        sentences = drawn(outcome, ("summary", class_index, rival, calibrated),
                                     lambda: summary(outcome, class_index, rival, calibrated))
    except ExplorerError as error:
        sentences = [[Part(str(error))]]
    title: list[Node | str] = ["Why ", el("span", shortened(names[class_index]), class_="says")]
    if rival is not None:
        title += [" and not ", el("span", shortened(names[rival]), class_="says")]
    there = questions(outcome.analysis)
    words = [node for sentence in sentences for node in (*_sentence(sentence, there), " ")]
    board(el("div", el("h1", *title, "?"), el("p", *words, class_="lead"),
             *(el("p", truth_sentence(outcome, truth, calibrated), class_="lead") for truth in session.choices.marked),
             _what_to_look_at(session, class_index, rival), class_="headline"),
          key="headline", on_pick=lambda ask: session.choose(ask=ask))


def _sentence(parts: Sequence[Part], there: Collection[str]) -> list[Node | str]:
    """A number in brackets stays on the line of the name before it: a browser would break beside any button."""
    nodes, left = list[Node | str](), list(parts)
    while left:
        part = left.pop(0)
        if part.text.endswith(" (") and len(left) > 1 and left[1].text.startswith(")"):
            number, after = left.pop(0), left.pop(0)
            nodes += [part.text[:-2], el("span", " (", _part(number, there), ")", class_="together")]
            left.insert(0, after._replace(text=after.text[1:]))
        else:
            nodes.append(_part(part, there))
    return nodes


def _part(part: Part, there: Collection[str]) -> Node | str:
    if part.source in there:
        return el("button", part.text, pick=part.source, type="button", class_="link",
                  title=f"Where this number comes from: {QUESTIONS[part.source]}")
    return el("strong", part.text) if part.name else part.text


def choices(session: Session, outcome: Outcome, class_index: int, rival: int | None) -> str:
    """Let the pooling, the rival and the question be chosen; the question, else the first that can be answered."""
    there = questions(outcome.analysis)
    question = session.choices.ask if session.choices.ask in there else next(iter(there))
    if rival is not None:
        _rivals(session, outcome, class_index, rival)
    search, under, cases = st.columns([43, 43, 14], gap="small", vertical_alignment="bottom")
    with search:
        if rival is not None:
            _rival_search(session, outcome.analysis.network.class_names, class_index, rival)
    with under:
        if outcome.analysis.has_evidence:
            pooling_choice(session, outcome.analysis)
    with cases:
        _cases(session)
    st.segmented_control("Question", list(there), format_func=there.__getitem__, width="stretch",
                         label_visibility="collapsed", **in_step(session, "ask", question, default=question))
    return question


def _cases(session: Session) -> None:
    """Photos to learn the page from, each opened by one click."""
    rows = [el("button", el("span", case.title, class_="name"), pick=key, type="button", class_="network",
               data_key=f"case-{key}") for key, case in CASES.items()]
    with st.popover("Cases", width="stretch"):
        board(el("div", *rows, class_="networks"), key="cases", on_pick=session.show_case)


def _what_to_look_at(session: Session, class_index: int, rival: int | None) -> Node | None:
    """The two sentences of the case that is shown as it was meant."""
    chosen = session.choices
    for key, case in CASES.items():
        if (chosen.example == (case.example or key) and (class_index, rival) == (case.class_index, case.rival)
                and (chosen.network, chosen.framing) == (NETWORK, FRAMING)):
            return el("p", " ".join(case.look), class_="note")
    return None


def _rivals(session: Session, outcome: Outcome, class_index: int, rival: int) -> None:
    """The true class and the likeliest ones to compare with."""
    names, marked = outcome.analysis.network.class_names, session.choices.marked
    likely = [answer.class_index for answer in outcome.top(RIVALS + 1)]
    candidates = [index for index in dict.fromkeys([rival, *marked, *likely]) if index != class_index][:RIVALS]
    candidates.sort(key=lambda index: -float(outcome.logits[index]))
    chips = [panels.chip(names[index] + ", the true class" * (index in marked), index, index == rival,
                         key=f"rival-{index}") for index in candidates]
    turn = el("button", "Swap the two", pick="turn", type="button", class_="link", data_key="turn")

    def pick(picked: int | str) -> None:
        if picked == "turn":
            session.choose(class_index=rival, rival=class_index)
        else:
            session.choose(rival=picked)

    board(panels.chips("Against", [*chips, turn]), key="rivals", on_pick=pick)


def _rival_search(session: Session, names: Sequence[str], class_index: int, rival: int) -> None:
    """Any class but the one shown may be the rival; it then is a chip too."""
    class_search(names, "rival", "Against any class", lambda picked: session.choose(rival=picked), value=rival,
                 without=class_index)
