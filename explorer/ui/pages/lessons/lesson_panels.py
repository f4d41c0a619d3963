"""Which panel draws which lesson."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from explorer.ui.pages.lessons import (
    any_input_size,
    attention,
    average_or_maximum,
    fewer_parameters,
    from_maps_to_one_number,
    local_and_global,
    lost_place,
    overfitting,
    tokens,
    where_from_maps,
)
from explorer.ui.pages.lessons.scene import LessonPanel

PANELS: Mapping[int, LessonPanel] = MappingProxyType({
    1: from_maps_to_one_number, 2: local_and_global, 3: fewer_parameters, 4: any_input_size, 5: overfitting,
    6: lost_place, 7: average_or_maximum, 8: attention, 9: where_from_maps, 10: tokens,
})
