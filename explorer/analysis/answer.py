"""What the network answers of one class."""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """One line of a top list; rank 1 is the most probable class."""

    class_index: int
    name: str
    probability: float
    logit: float
    rank: int
