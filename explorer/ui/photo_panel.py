"""The page's photo with maps on it, which answers to a click as on every page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from explorer.analysis import Analysis
from explorer.ui.components.viewer import Look, Map, Stack, stack, viewer
from explorer.ui.region import viewer_handlers
from explorer.ui.session.session import Session


def photo_panel(
    session: Session, analysis: Analysis, maps: Sequence[Map] | Stack, key: str, name: str, *, chosen: str = "",
    pick: Callable[[Any], None] | None = None, **look: Any,
) -> None:
    """Show maps on the photo.

    Args:
        key: of the element; name: for a screen reader.
        chosen: the id of the map to begin with, where one is shown at a time.
        pick: shows a map's class and pooling on the whole page.
        look: more of `Look`.
    """
    viewer(analysis, session.photo.digest, maps if isinstance(maps, Stack) else stack(maps), key=key, name=name,
           chosen=chosen, look=Look(region=session.choices.region, handlers=viewer_handlers(session, pick), **look))
