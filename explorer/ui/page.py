"""What a page is given: this person's session, the analysis of their photo, and what follows from their choices."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import streamlit as st

from explorer.analysis import Analysis, Outcome
from explorer.questions.soundness import trouble
from explorer.ui import panels
from explorer.ui.components.class_search import put_answers
from explorer.ui.pooling_choice import outcome_of
from explorer.ui.session.choices import Choices
from explorer.ui.session.server import tend
from explorer.ui.session.session import Session
from explorer.ui.session.url import write_url

STORY = "story"  # the key of the fragment that a page draws in: a click in it leaves the sidebar as it is


@dataclass(frozen=True)
class Page:
    """One page as it stands: what is chosen is read anew whenever it is used.

    Attributes:
        session, analysis: whose, and of what.
        sidebar: what the sidebar shows, see `sidebar_of`.
    """

    session: Session
    analysis: Analysis
    sidebar: Hashable

    @property
    def choices(self) -> Choices:
        """What is chosen now."""
        return self.session.choices

    @property
    def class_index(self) -> int:
        """The class whose evidence is shown: the one chosen, else the answer."""
        chosen = self.choices.class_index
        return self.analysis.under().top(1)[0].class_index if chosen is None else chosen

    @property
    def outcome(self) -> Outcome:
        """The answer under the pooling chosen."""
        return outcome_of(self.analysis, self.choices.pooling)

    def show(self, story: Callable[[], None], talk: Callable[[], None] | None = None) -> None:
        """Draw the page, in a fragment: the story, or for a talk the viewer alone."""

        @st.fragment(key=STORY)
        def draw() -> None:
            tend()
            session, class_index = self.session, self.class_index
            if sidebar_of(session) != self.sidebar:
                st.rerun()
            write_url(session, class_index)
            if not session.presenting:  # a talk has no search
                put_answers(self.outcome, class_index, session.choices.calibrated)
            wrong = trouble(self.analysis.under())
            panels.alert(*session.take_notices(), *([wrong] if wrong else []), key="notices")
            (talk if talk and session.presenting else story)()
            write_url(session, class_index)
            panels.alert(*session.take_notices(), key="late_notices")

        draw()


def sidebar_of(session: Session) -> Hashable:
    """What the sidebar and the analysis hang on: when it changes, the whole page must run again."""
    chosen = session.choices
    return (session.photo.digest, session.presenting, chosen.network, chosen.against, chosen.framing, chosen.size,
            chosen.layer, chosen.calibrated)
