"""A slider for a pooling's parameter that acts while it is dragged."""

from __future__ import annotations

from collections.abc import Callable

from explorer.poolings import Parameter
from explorer.ui.components.library import handler, part

_slider = part(
    "slider", '<label><span></span><input type="range" min="0" max="200" step="1"><output></output></label>'
)


def slider(parameter: Parameter, value: float, label: str, key: str, on_value: Callable[[float], None]) -> None:
    """Show a parameter's value over its usual range, or over its whole range when the value lies outside.

    `on_value` gets each new value before the page runs again.
    """
    low, high = parameter.usual
    if not low <= value <= high:
        low, high = parameter.low, parameter.high
    data = {"name": parameter.name, "value": value, "usual": parameter.default, "low": low, "high": high,
            "logarithmic": parameter.logarithmic, "label": label, "explanation": parameter.explanation}
    _slider(data=data, key=key, on_value_change=handler(key, "value", lambda value: on_value(float(value))))
