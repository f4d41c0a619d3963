"""Checks of what a lesson's controls are set to."""

from __future__ import annotations

import math
from collections.abc import Collection

from explorer.errors import ParameterError


def checked_whole(value: int, low: int, high: int, name: str) -> int:
    """The value itself, or a ParameterError when it is not a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ParameterError(f"The {name} is {value!r:.40}; expected a whole number from {low} to {high}.")
    return value


def checked_number(value: float, low: float, high: float, name: str) -> float:
    """The value as a float, or a ParameterError when it is not a number from `low` to `high`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= value <= high:
        raise ParameterError(f"The {name} is {value!r:.40}; expected a number from {low:g} to {high:g}.")
    return float(value)


def checked_key(value: str, keys: Collection[str], name: str) -> str:
    """The value itself, or a ParameterError when it is not one of the keys."""
    if value not in keys:
        raise ParameterError(f"There is no {name} {value!r:.40}; expected one of {', '.join(keys)}.")
    return value
