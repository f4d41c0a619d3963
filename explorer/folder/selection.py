"""Which photos of a run are looked at, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from explorer.checks import checked_key

SURE = 0.5  # probability of the answer from which it counts as sure


class Sort(NamedTuple):
    """An order: its name, and the SQL of what is sorted by."""

    name: str
    order: str


class Outcome(NamedTuple):
    """A kind of photos: its name, the SQL condition that holds for them, and whether it takes a second run."""

    name: str
    where: str
    of_two: bool = False


SORTS = {
    # The surest of the wrong ones come first, and after the wrong ones the least sure of the right ones.
    "wrong": Sort("Sure and wrong first",
                  "CASE WHEN answer != label_class THEN probability ELSE -probability END DESC"),
    "unsure": Sort("Least sure first", "probability ASC"),
    "border": Sort("Evidence at the border first", "border DESC"),
    "disagree": Sort("Poolings disagree first", "others DESC, probability ASC"),
    "spread": Sort("Widest evidence first", "spread DESC"),
    "narrow": Sort("Narrowest evidence first", "spread ASC"),
    "dark": Sort("Darkest first", "brightness ASC"),
    "blurred": Sort("Least sharp first", "sharpness ASC"),
    "small": Sort("Smallest first", "pixels ASC"),
    "path": Sort("By path", ""),
}
OUTCOMES = {
    "all": Outcome("All", "TRUE"),
    "wrong": Outcome("Wrong", "answer != label_class"),
    "right": Outcome("Right", "answer = label_class"),
    "sure_wrong": Outcome("Sure and wrong", f"answer != label_class AND probability >= {SURE}"),
    "unsure_right": Outcome("Unsure and right", f"answer = label_class AND probability < {SURE}"),
    "unjudged": Outcome("No known label", "label_class IS NULL AND error IS NULL"),
    "unreadable": Outcome("No answer", "error IS NOT NULL"),
    "mended": Outcome("Right here, wrong there", "answer = label_class AND other_answer != label_class", True),
    "broken": Outcome("Wrong here, right there", "answer != label_class AND other_answer = label_class", True),
    "differ": Outcome("Other prediction there", "answer != other_answer", True),
}


@dataclass(frozen=True)
class Selection:
    """Some of a run's photos in an order.

    Attributes:
        sort: a key of SORTS.
        outcome: a key of OUTCOMES.
        label: the class of their label; None for any.
        predicted: the class that they were answered with; None for any.

    Raises ParameterError: there is no such order or outcome.
    """

    sort: str = "wrong"
    outcome: str = "all"
    label: int | None = None
    predicted: int | None = None

    def __post_init__(self) -> None:
        checked_key(self.sort, SORTS, "order")
        checked_key(self.outcome, OUTCOMES, "outcome")

    @property
    def where(self) -> tuple[str, list[Any]]:
        """The SQL condition, and its parameters."""
        conditions, parameters = [OUTCOMES[self.outcome].where], []
        for column, class_index in (("label_class", self.label), ("answer", self.predicted)):
            if class_index is not None:
                conditions.append(f"{column} = ?")
                parameters.append(class_index)
        return " AND ".join(conditions), parameters
