"""What every lesson's panel is given, and what a panel is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from explorer.analysis import Analysis, Outcome
from explorer.ui.session.session import Session


@dataclass(frozen=True)
class Scene:
    """What a lesson is about.

    Attributes:
        session: this person's session.
        analysis: of the photo that is chosen.
        outcome: under the pooling that is chosen.
        class_index: the class shown.
    """

    session: Session
    analysis: Analysis
    outcome: Outcome
    class_index: int

    @property
    def presenting(self) -> bool:
        """Whether it is on a projector: a picture that can be read from the last row."""
        return self.session.presenting

    def at_desk(self, *details: Any) -> tuple[Any, ...]:
        """These parts, or none of them in a talk."""
        return () if self.presenting else details

    @property
    def class_name(self) -> str:
        """Of the class shown."""
        return self.analysis.network.class_names[self.class_index]


@dataclass(frozen=True)
class Control:
    """One control of a lesson. It has few values, so that a link and a test can name them all.

    Attributes:
        name: in links, lower-case letters.
        label: for people.
        values: all of them, in order; in links each is written as text: letters, digits, "_.+-".
        default: one of them.
        words: what a value is called.
        ordered: True for a slider; else buttons, or a list where there are many values.
        width: of its column, beside the others'.
    """

    name: str
    label: str
    values: tuple[Any, ...]
    default: Any
    words: Callable[[Any], str] = str
    ordered: bool = True
    width: int = 1


class LessonPanel(Protocol):
    """A lesson on the page: a module with these two functions. Either may raise an ExplorerError, which is shown."""

    def controls(self, scene: Scene) -> tuple[Control, ...]:
        """What there is to choose."""

    def draw(self, scene: Scene, chosen: dict[str, Any]) -> str:
        """Draw the lesson with the chosen value of each control, by its name.

        Returns what to notice: one sentence made from the numbers that are shown; "" until there are any.
        """
