"""Poolings: several side by side, two of them compared channel by channel, one along its parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from plotly.graph_objects import Figure

from explorer import figures
from explorer.analysis import Analysis, Outcome
from explorer.poolings import PoolingChoice
from explorer.questions.comparison import Difference, largest_differences, path
from explorer.sections.answers import answer_sentence, badge
from explorer.sections.nodes import el
from explorer.sections.parts import Row, table
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.controls import in_step
from explorer.ui.maps import evidence_map, layer_caption, looks_map
from explorer.ui.pages.answers import answers, what_if_note
from explorer.ui.pooling_choice import parameter_slider
from explorer.ui.present import talk, talk_about_evidence
from explorer.ui.region import photo_panel
from explorer.ui.session.page_cache import drawn
from explorer.ui.session.session import Session
from explorer.wording import RARE, Name, is_rare, listed, percent, plain, share_word, shortened, signed

TALLEST = 210  # px of a photo in a row of them


def poolings_headline(outcomes: Sequence[Outcome], calibrated: bool) -> None:
    """Whether the poolings agree on the answer, and how probable it is under each."""
    native = outcomes[0].analysis.under()
    if native.analysis.network.activation == "sigmoid":
        _headline_of_several_answers(native, outcomes, calibrated)
        return
    firsts = [(outcome, outcome.top(1, calibrated)[0]) for outcome in outcomes]
    answer = native.top(1)[0]
    word, others = share_word(answer.probability), [one for one in firsts if one[1].class_index != answer.class_index]
    if not others:
        shares = "; ".join(f"{outcome.name}: {percent(first.probability)}" for outcome, first in firsts)
        panels.headline(["They agree on ", Name(shortened(answer.name)), "."], f"Its {word} under {shares}.")
        return
    shares = "; ".join(f"{outcome.name}: {shortened(first.name)}, {percent(first.probability)}"
                       for outcome, first in firsts)
    outcome, first = others[0]
    panels.headline([f"Under {native.name} the prediction is ", Name(shortened(answer.name)),
                     f", under {outcome.name} ", Name(shortened(first.name)), "."], f"{shares}.")


def _headline_of_several_answers(native: Outcome, outcomes: Sequence[Outcome], calibrated: bool) -> None:
    """With a sigmoid any number of classes may be present: the native answer, and which poolings differ from it."""
    def present(outcome: Outcome) -> set[int]:
        return set((outcome.probabilities(calibrated) > 0.5).nonzero()[:, 0].tolist())

    different = [outcome.name for outcome in outcomes if present(outcome) != present(native)]
    lead = "The other poolings agree." if len(outcomes) > 1 else ""
    if different:
        lead = f"Under {', '.join(different)} other classes are above 50%."
    first, *rest = answer_sentence(native, calibrated)
    panels.headline([f"Under {native.name}, {first[0].lower()}{first[1:]}", *rest], lead)


def heads(session: Session, outcomes: Sequence[Outcome], calibrated: bool) -> None:
    """The name of each pooling, whether the head was trained with it, and its parameter as a slider."""
    for place, (column, outcome) in enumerate(zip(st.columns(len(outcomes), gap="small"), outcomes, strict=True)):
        with column:
            board(el("div", el("h3", outcome.name), badge(outcome, calibrated), class_="head"), key=f"head_{place}")
            _parameter(session, outcome, place)


def _parameter(session: Session, outcome: Outcome, place: int) -> None:
    def move(choice: PoolingChoice) -> None:
        chosen = list(session.choices.poolings)
        chosen[place] = choice
        if len(set(chosen)) == len(chosen):  # a pooling does not stand beside itself
            session.choose(poolings=tuple(chosen))

    if not parameter_slider(outcome, f"slider_{place}_{outcome.pooling}", move):
        panels.note("no parameter", key=f"no_parameter_{place}", style="caption")


def rows_of_maps(session: Session, outcomes: Sequence[Outcome], class_index: int) -> None:
    """Where each pooling looks, and the evidence that it keeps; each row on one scale."""
    analysis, name = outcomes[0].analysis, outcomes[0].analysis.network.class_names[class_index]
    maps = [looks_map(outcome, class_index, outcome.name) for outcome in outcomes]
    photo_panel(session, analysis, maps, key="looks", name="Where each pooling looks", across=len(outcomes),
                tallest=TALLEST, toolbar=False, heading="Where it looks",
                aside=f"pooling weights, averaged over channels by how much they contribute to {name}")
    maps = [evidence_map(outcome, class_index, title=outcome.name) for outcome in outcomes]
    photo_panel(session, analysis, maps, key="evidence", name=f"Evidence for {name}", across=len(outcomes),
                tallest=TALLEST, main=True, heading=f"Evidence for {name}", aside=layer_caption(analysis))


def answers_panel(session: Session, outcomes: Sequence[Outcome], class_index: int) -> None:
    """The top 5 of each with rank changes; a click shows that class under all of them."""
    calibrated, native = session.choices.calibrated, outcomes[0].analysis.under()
    board(el("div", answers(outcomes, native, class_index, calibrated, session.choices.marked),
             el("p", what_if_note(native.analysis, calibrated), class_="note"), class_="stack"),
          key="answers", on_pick=lambda picked: session.choose(class_index=picked[1]))


def pair_choice(session: Session, outcomes: Sequence[Outcome]) -> tuple[Outcome, Outcome]:
    """Which two are compared channel by channel."""
    places = session.choices.pair
    if max(places) >= len(outcomes) or places[0] == places[1]:
        places = (0, 1)
    names, count = [outcome.name for outcome in outcomes], len(outcomes)
    for n, column in enumerate(st.columns(2, gap="small")):
        def choose(place: int | None, n: int = n) -> None:
            if place == places[1 - n]:
                session.choose(pair=places[::-1])
            elif place in range(count):  # the browser may still offer a pooling that is gone
                session.choose(pair=(place, places[1]) if n == 0 else (places[0], place))

        column.selectbox(("Compare", "with")[n], range(count), format_func=names.__getitem__,
                         **in_step(session, f"pair{n}", places[n], choose, index=places[n]))
    return outcomes[places[0]], outcomes[places[1]]


def scatter_panel(session: Session, one: Outcome, other: Outcome, class_index: int) -> None:
    """Both pooled vectors, a point a channel; a click opens the channel's card."""
    chosen = session.choices.channel

    def draw() -> Figure:
        difference = (one.evidence(class_index).channels - other.evidence(class_index).channels).numpy()
        figure = figures.scatter(one.pooled.numpy(), other.pooled.numpy(), difference, one.name, other.name, chosen,
                                 one.analysis.network.unit)
        return figure.update_layout(height=360)

    def clicked() -> None:
        points = st.session_state["scatter"]["selection"]["points"]
        if points:
            channel = points[0]["customdata"]
            session.choose(channel=int(channel[0] if isinstance(channel, (list, tuple)) else channel))

    panels.chart(drawn(one, ("scatter", other.choice, class_index, chosen), draw), key="scatter", on_select=clicked)


def differences_panel(session: Session, one: Outcome, other: Outcome, class_index: int) -> None:
    """The channels on which the two differ most for the class."""
    name = one.analysis.network.class_names[class_index]
    titles = ("channel", one.name, other.name, "difference")
    board(
        el(
            "div",
            el("h3", f"The channels on which they differ most for {name}"),
            table(titles, map(_difference, largest_differences(one, other, class_index, 8)), numbers={1, 2, 3}),
            el("p", f"Contributions in {one.analysis.network.unit}. A click opens the channel's card.",
               class_="caption"),
            class_="channels differences",
        ),
        key="differences",
        on_pick=lambda channel: session.choose(channel=channel),
    )


def _difference(row: Difference) -> Row:
    return Row((f"channel {row.channel}",
                el("span", signed(row.contribution_a), title=f"pooled {plain(row.pooled_a)}"),
                el("span", signed(row.contribution_b), title=f"pooled {plain(row.pooled_b)}"),
                el("strong", signed(row.difference))), pick=row.channel)


def path_panel(session: Session, analysis: Analysis, class_index: int) -> None:
    """The likeliest classes as a pooling's parameter goes from one end to the other."""
    chosen, poolings = session.choices, analysis.network.poolings
    parameters = {key: f"{pooling.name}: {pooling.parameter.name}" for key, pooling in poolings.items()
                  if pooling.parameter}
    st.segmented_control("The path along a parameter", list(parameters), format_func=parameters.__getitem__,
                         **in_step(session, "path", chosen.path, default=chosen.path))
    native = analysis.under()
    likeliest = [answer.class_index for outcome in (native, analysis.under("gap"), analysis.under("gmp"))
                 for answer in outcome.top(3)]
    classes = list(dict.fromkeys([class_index, *likeliest]))[:6]
    curves = path(analysis, chosen.path, classes, chosen.calibrated)
    names = [analysis.network.class_names[index] for index in classes]
    drawn_here = [n for n in range(len(classes))
                  if not is_rare(analysis.network.probability(curves.probabilities[:, n].max()))]
    shown = [dict(choice.parameters) for choice in chosen.poolings if choice.key == chosen.path]
    at = shown[0].get(curves.parameter.name, curves.parameter.default) if shown else None
    figure = drawn(analysis,
        ("path figure", chosen.path, *classes, curves.calibrated, at),
        lambda: figures.path(curves.values, curves.probabilities[:, drawn_here], [names[n] for n in drawn_here],
                             curves.parameter.name,
                             curves.parameter.logarithmic, at, *curves.ends,
                             analysis.network.activation != "none").update_layout(height=320),
    )
    panels.chart(figure, key="path_figure")
    word = share_word(native.answer(classes[0]).probability)
    if curves.calibrated:
        probabilities = (f"are calibrated all along; {native.name}'s own answer, which never is, gives {names[0]} "
                         f"{percent(native.answer(classes[0]).probability)}")
    else:
        missing = ": not every value of this parameter has a fitted number" if chosen.calibrated else ""
        probabilities = f"are the head's own, not calibrated{missing}"
    below = listed([name for n, name in enumerate(names) if n not in drawn_here])
    rare = f" Below {percent(RARE)} all along, and without a curve: {below}." if below else ""
    numbers = "Probabilities" if word == "probability" else "Values"
    panels.note(f"{curves.parameter.name}: {curves.parameter.explanation}. {numbers} {probabilities}.{rare}",
                key="path_note")


def formulas(outcomes: Sequence[Outcome]) -> None:
    """The formula and one sentence of each, from the registry."""
    for place, (column, outcome) in enumerate(zip(st.columns(len(outcomes), gap="small"), outcomes, strict=True)):
        pooling = outcome.analysis.network.pooling_of(outcome.pooling)
        with column:
            board(el("div", el("h3", pooling.name), el("p", pooling.explanation), el("p", pooling.source,
                                                                                 class_="caption"), class_="method"),
                  key=f"formula_{place}")
            st.latex(pooling.formula)


def talk_about_poolings(session: Session, outcomes: Sequence[Outcome], class_index: int) -> None:
    """Where each pooling looks and what it keeps, one after the other."""
    analysis, calibrated = outcomes[0].analysis, session.choices.calibrated
    if not analysis.has_evidence:
        talk_about_evidence(session, analysis, outcomes[0], class_index)
        return
    steps = []
    for outcome in outcomes:
        answer, under = outcome.top(1, calibrated)[0], outcome.under_in_words or f"under {outcome.name}"
        name = shortened(analysis.network.class_names[class_index], 40)
        says = f"Prediction {under}: {answer.name}, {percent(answer.probability)}."
        looks = looks_map(outcome, class_index, says=says)
        steps.append(replace(looks, details=f"Where {outcome.name} looks: "
                                            f"{analysis.network.pooling_of(outcome.pooling).explanation}"))
        steps.append(evidence_map(outcome, class_index, scale=str(outcome.choice),
                                  says=f"Evidence for {name} {under}."))
    talk(session, analysis, steps, "What does each pooling keep?")
