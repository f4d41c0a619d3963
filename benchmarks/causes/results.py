"""What was measured, before it is written."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from benchmarks.causes.cases import Case
from benchmarks.causes.habit import Habit
from benchmarks.causes.methods import METHODS, RULES, Quality, ceiling, quality
from benchmarks.causes.muted import Repair, repair
from explorer.folder.causes import Causes

USED = 0.1  # a head uses a plant that takes so many more of the other classes' photos to the class
RULED = "causes, 6 parts"  # what rules are compared on


@dataclass(frozen=True, eq=False)
class OfCase:
    """A head that was trained on planted photos.

    Attributes:
        use: of other classes' photos with the plant and of those without, the share called the class.
        called, wrong: photos called the class.
        ceiling: AUC of a method that knows the plant.
        methods, rules: by name.
        repair: what muting does.
    """

    use: tuple[float, float]
    called: int
    wrong: int
    ceiling: float
    methods: dict[str, Quality]
    rules: dict[str, Quality]
    repair: Repair

    @property
    def used(self) -> bool:
        """Whether the head calls other classes' photos so because of the plant."""
        return self.use[0] - self.use[1] >= USED


def of_case(case: Case, clean: Case) -> OfCase:
    """All that is measured of a case; `clean` has the head that never saw a plant."""
    return OfCase(case.use, int(case.called.sum()), int(case.wrong.sum()), ceiling(case),
                  {name: quality(case, method) for name, method in METHODS.items()},
                  {rule: quality(case, METHODS[RULED], rule) for rule in RULES}, repair(case, clean))


@dataclass(eq=False)
class Results:
    """All of it.

    Attributes:
        speeds: what is timed, median and longest seconds, and seconds wanted.
        cases: by plant and rate, one a seed.
        unplanted: by class, one a seed: heads that never saw a plant.
        rises: (classes,) mean logits that characters add, and `carton`, the class that is looked at.
        habits: one a draw.
    """

    speeds: list[tuple[str, float, float, float]]
    cases: dict[tuple[str, float], list[OfCase]] = field(default_factory=dict)
    unplanted: dict[str, list[tuple[Case, Causes]]] = field(default_factory=dict)
    rises: np.ndarray | None = None
    carton: int = 0
    habits: list[Habit] = field(default_factory=list)

    @property
    def used(self) -> list[OfCase]:
        """The cases in which the head used the plant."""
        return [one for of_seeds in self.cases.values() for one in of_seeds if one.used]


def summary(qualities: list[Quality]) -> list[str]:
    """Of one method or rule over many cases: parts, best AUC, first AUC with its standard error, places, seconds."""
    parts, best, place, first, seconds = (np.array(column, float) for column in zip(*qualities, strict=True))
    error = first.std(ddof=1) / len(first) ** 0.5
    return [f"{parts.mean():.1f}", f"{best.mean():.3f}", f"{first.mean():.3f} ± {error:.3f}",
            f"{(first >= 0.8).mean():.0%}", f"{(place == 1).mean():.0%}", f"{(place <= 2).mean():.0%}",
            f"{seconds.mean():.2f}"]


