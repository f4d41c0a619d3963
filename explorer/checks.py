"""Checks of arguments: whole numbers, numbers and keys, each with one plain sentence of what was expected."""

from __future__ import annotations

import math
from collections.abc import Collection

from explorer.errors import ParameterError


def is_whole(value: object) -> bool:
    """Whether it is an int, as True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a finite int or float, as True and False are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -math.inf < value < math.inf


def checked_whole(value: int, low: int, high: int | None, name: str) -> int:
    """The value itself, or a ParameterError when it is not a whole number from `low` to `high` (None: without end)."""
    if not is_whole(value) or value < low or (high is not None and value > high):
        allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ParameterError(f"The {name} is {value!r:.40}; expected a whole number {allowed}.")
    return value


def checked_number(value: float, low: float, high: float, name: str) -> float:
    """The value as a float, or a ParameterError when it is not a number from `low` to `high`."""
    if not is_number(value) or not low <= value <= high:
        raise ParameterError(f"The {name} is {value!r:.40}; expected a number from {low:g} to {high:g}.")
    return float(value)


def checked_share(value: float, name: str) -> float:
    """The value itself, or a ParameterError when it is not a number above 0, up to 1."""
    if not is_number(value) or not 0 < value <= 1:
        raise ParameterError(f"The {name} is {value!r:.40}; expected a number above 0, up to 1.")
    return value


def checked_key(value: str, keys: Collection[str], name: str) -> str:
    """The value itself, or a ParameterError when it is not one of the keys."""
    if value not in keys:
        raise ParameterError(f"There is no {name} {value!r:.40}; expected one of {', '.join(keys)}.")
    return value
