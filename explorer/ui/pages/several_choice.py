"""Choices of several things that stand side by side: poolings, CAM methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from explorer import CAM_METHODS
from explorer.analysis import Analysis
from explorer.poolings import PoolingChoice
from explorer.ui.controls import in_step
from explorer.ui.pooling_choice import poolings_in_words
from explorer.ui.session.choices import FEWEST, MOST
from explorer.ui.session.session import Session
from explorer.ui.without_pooling import methods_offered, shown_methods
from explorer.wording import number_word


def poolings_choice(session: Session, analysis: Analysis) -> None:
    """Two to four of the poolings that the network offers."""
    chosen = session.choices.poolings
    taken = {choice.key for choice in chosen}
    options = [*map(str, chosen), *(key for key in analysis.network.poolings if key not in taken)]
    _several(session, "poolings", "Poolings side by side, two to four", options, list(map(str, chosen)), FEWEST,
             "poolings", poolings_in_words(analysis, options).__getitem__,
             lambda picked: session.choose(poolings=tuple(map(PoolingChoice.parse, picked)), pair=(0, 1)))


def methods_choice(session: Session, analysis: Analysis) -> None:
    """One to four CAM methods."""
    _several(session, "methods", "Methods", methods_offered(analysis), list(shown_methods(session, analysis)), 1,
             "CAM methods", lambda key: CAM_METHODS[key].name,
             lambda picked: session.choose(methods=tuple(picked)))


def _several(
    session: Session, name: str, label: str, options: Sequence[str], chosen: list[str], fewest: int, what: str,
    words: Callable[[str], str], choose: Callable[[list[str]], None],
) -> None:
    """Choose from `fewest` to MOST of the options; any other number is refused with a notice."""
    def change(picked: list[str]) -> None:
        if fewest <= len(picked) <= MOST:
            choose(picked)
        else:
            session.notices.append(f"{number_word(fewest).capitalize()} to {number_word(MOST)} {what} stand side by "
                                   "side; the last ones stay.")

    st.multiselect(label, options, max_selections=MOST, format_func=words,
                   **in_step(session, name, chosen, change, default=chosen))
