"""Which poolings a network offers: its own and those that can take its place, or none and the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import streamlit as st

from explorer.analysis import Analysis, Outcome
from explorer.poolings import PoolingChoice
from explorer.ui import panels
from explorer.ui.components.slider import slider
from explorer.ui.controls import in_step
from explorer.ui.session.session import Session

# Poolings whose answers stand side by side on Explore, the native one first.
BESIDE = ("gap", "gmp", "attention")
LEARNED = {"attention": "learned_attention"}  # what takes the place of one of them where it was trained


def outcome_of(analysis: Analysis, choice: PoolingChoice) -> Outcome:
    """The outcome under a pooling; the network's own where it does not offer that one, or none at all."""
    if analysis.has_evidence and choice.key in analysis.network.poolings:
        return analysis.under(choice.key, **dict(choice.parameters))
    return analysis.under()


def outcomes_of(analysis: Analysis, choices: Iterable[PoolingChoice]) -> list[Outcome]:
    """An outcome for each pooling, without repetition; the only one there is where none can be exchanged."""
    outcomes = [outcome_of(analysis, choice) for choice in choices]
    return list({outcome.choice: outcome for outcome in outcomes}.values())


def beside_each_other(analysis: Analysis, shown: Outcome) -> list[Outcome]:
    """Outcomes under three poolings: the native one, two more, and among them the one that is shown."""
    three = outcomes_of(analysis, [analysis.under().choice, *map(PoolingChoice, usually_beside(analysis))])[:3]
    return three if shown.choice in [outcome.choice for outcome in three] else [*three[:2], shown]


def usually_beside(analysis: Analysis) -> tuple[str, ...]:
    """Keys of the poolings that stand beside each other unless others are chosen."""
    trained = analysis.network.trained
    return tuple(LEARNED[key] if LEARNED.get(key) in trained else key for key in BESIDE)


def pooling_choice(session: Session, analysis: Analysis) -> None:
    """Choose any pooling that the network offers, and its parameter; where there is none to choose, why."""
    if not analysis.has_evidence:
        st.selectbox("Pooling", [analysis.under().name], disabled=True, key="no_pooling")
        panels.note(analysis.no_evidence_reason, key="why_not")
        return
    chosen = outcome_of(analysis, session.choices.pooling).choice
    options = [str(chosen) if chosen.key == key else key for key in analysis.network.poolings]
    words = poolings_in_words(analysis, options)

    def choose(text: str | None) -> None:
        if text is not None:
            session.choose(pooling=PoolingChoice.parse(text))

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Pooling", options, format_func=words.__getitem__,
                     **in_step(session, "pooling", str(chosen), choose, index=options.index(str(chosen))))
        parameter_slider(outcome_of(analysis, chosen), f"parameter_{chosen.key}",
                         lambda choice: session.choose(pooling=choice))


def parameter_slider(outcome: Outcome, key: str, on_choice: Callable[[PoolingChoice], None]) -> bool:
    """The parameter of an outcome's pooling, on a slider that acts while it is dragged; whether there is one."""
    poolings = outcome.analysis.network.poolings
    parameter = poolings[outcome.pooling].parameter
    if parameter is None:
        return False
    slider(parameter, outcome.parameters[parameter.name], f"{outcome.name}: {parameter.name}", key,
           lambda value: on_choice(PoolingChoice.of(outcome.pooling, {parameter.name: value}, poolings)))
    return True


def poolings_in_words(analysis: Analysis, texts: Iterable[str]) -> dict[str, str]:
    """"GeM, p = 3" for "gem", and so on."""
    choices = {text: PoolingChoice.parse(text) for text in texts}
    return {text: analysis.network.pooling_of(choice.key).label(**dict(choice.parameters))
            for text, choice in choices.items()}
