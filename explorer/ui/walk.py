"""The line over a page that shows a photo of a run: where it stands in the selection, and the way on and back."""

from __future__ import annotations

from typing import Any

import streamlit as st

from explorer.folder.selection import OUTCOMES, SORTS
from explorer.sections.nodes import el
from explorer.ui.components.board import board
from explorer.ui.components.library import handler, hidden, part
from explorer.ui.session.items import step, walk_of
from explorer.ui.session.link import as_query
from explorer.ui.session.session import Session
from explorer.wording import shortened

FOLDER = "pages/5_Folder.py"
_keys = part("keys", "<div></div>")


def walk_line(session: Session, class_index: int) -> None:
    """Show it where the photo is of a run; the arrow keys walk too. `class_index` is shown now, for the link back."""
    walk = walk_of(session)
    if walk is None:
        return
    chosen, photos, names = session.choices, len(walk.numbers), walk.index.run.recipe["network"]["class_names"]
    kinds = [OUTCOMES[chosen.outcome].name.lower()] if chosen.outcome != "all" else []
    kinds += [f"{words} {shortened(names[index], 30)}" for words, index in
              (("label", chosen.label), ("predicted", chosen.predicted)) if index is not None and index < len(names)]
    where = "not among the" if walk.place is None else f"{walk.place + 1:,} of"
    words = ", ".join([f"{where} {photos:,}", *kinds, SORTS[chosen.sort].name.lower()])

    def pick(picked: Any) -> None:
        if picked == "folder":
            st.switch_page(FOLDER, query_params=as_query(chosen, class_index, "Folder"))
        step(session, int(picked))

    at = -1 if walk.place is None else walk.place
    board(el("div",
             el("button", "‹", type="button", pick=-1, class_="chip", data_key="walk-back", aria_label="Photo before",
                disabled="disabled" if at == 0 else None),
             el("span", words),
             el("button", "›", type="button", pick=1, class_="chip", data_key="walk-on", aria_label="Next photo",
                disabled="disabled" if at == photos - 1 else None),
             el("button", "Back to the folder", type="button", pick="folder", class_="chip", data_key="walk-folder"),
             class_="chips walk"), key="walk", on_pick=pick)
    hidden(_keys, {"stage": False, "walk": True}, key="walk_keys",
           on_walk_change=handler("walk_keys_source", "walk", lambda steps: step(session, int(steps))))
