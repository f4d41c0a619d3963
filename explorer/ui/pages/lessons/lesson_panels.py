"""Which panel draws which lesson."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from explorer.ui.pages.lessons import (
    attention_and_gate,
    box_and_mask,
    head_costs,
    input_sizes,
    maps_to_one_number,
    pasted_scenes,
    pooled_sentences,
    shuffled_positions,
    sliding_window,
    training_heads,
)
from explorer.ui.pages.lessons.scene import LessonPanel

PANELS: Mapping[int, LessonPanel] = MappingProxyType({
    1: maps_to_one_number, 2: sliding_window, 3: head_costs, 4: input_sizes, 5: training_heads, 6: shuffled_positions,
    7: pasted_scenes, 8: attention_and_gate, 9: box_and_mask, 10: pooled_sentences,
})
