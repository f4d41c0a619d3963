"""Which panel teaches which lesson."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from explorer.ui.pages.lessons import (
    attention_panel as attention,
)
from explorer.ui.pages.lessons import (
    located,
    one_number,
    overfit,
    parameters,
    place,
    scenes_pasted,
    sentences_pooled,
    sizes,
    windows,
)
from explorer.ui.pages.lessons.lesson_controls import Control
from explorer.ui.pages.lessons.lesson_page import Scene, Teach

_PANELS = {1: one_number, 2: windows, 3: parameters, 4: sizes, 5: overfit, 6: place, 7: scenes_pasted,
           8: attention, 9: located, 10: sentences_pooled}
TEACH: Mapping[int, Teach] = MappingProxyType({number: panel.teach for number, panel in _PANELS.items()})
CONTROLS: Mapping[int, Callable[[Scene], tuple[Control, ...]]] = MappingProxyType(
    {number: panel.controls for number, panel in _PANELS.items()})
