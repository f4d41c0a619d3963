"""What the first visitor of a process sees while torch is imported: the page's outline, and what is happening.

It imports nothing but Streamlit, and pages import it before all else.
"""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

_PLACE = "poolscope_skeleton"
_HEAVY = "explorer.ui.frame"  # imports torch, timm and all the rest
_OUTLINE = """
<div class="skeleton" role="status">
  <p>PoolScope starts: the first visit after a start loads torch, which takes some seconds.</p>
  <div><span></span><span></span></div>
</div>
"""


def show_skeleton(title: str) -> None:
    """Draw the outline where the page's modules are not imported yet; `clear_skeleton` takes it away."""
    st.set_page_config(page_title=f"{title} · PoolScope", layout="wide", initial_sidebar_state="auto")
    place = st.empty()
    if not hasattr(sys.modules.get(_HEAVY), "frame"):  # not imported, or another visitor's run is importing it
        with place.container():
            st.html(Path(__file__).parent / "page.css")
            st.html(_OUTLINE)
        st.session_state[_PLACE] = place


def clear_skeleton() -> None:
    """The page has something to show."""
    if _PLACE in st.session_state:
        st.session_state.pop(_PLACE).empty()
