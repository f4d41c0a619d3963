"""What muting a cause does to wrong calls, to accuracy and to the class, beside a head that never saw the plant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from benchmarks.causes.cases import Case
from benchmarks.causes.methods import areas_of
from explorer.folder.causes import Causes, causes_of
from explorer.folder.contributions import Contributions
from explorer.folder.muting import STRENGTHS, Answers, Muting


class Numbers(NamedTuple):
    """Of the half of the test photos that no strength was chosen by.

    Attributes:
        planted, clean: share of other classes' photos with and without the plant that are called the class.
        accuracy: of all photos.
        own_planted, own_clean: share of the class's photos, with and without the plant, that are called so.
    """

    planted: float
    clean: float
    accuracy: float
    own_planted: float
    own_clean: float


class Repair(NamedTuple):
    """Muting the first cause of the list, and the planted one.

    Attributes:
        place: of the planted cause (whose strengths tell the plant best) in the page's list, from 1.
        area: its AUC; first: the AUC of the first cause in the list.
        suspicious: whether the page calls the planted cause suspicious, and `others` how many others.
        strength: suggested for the first cause.
        before, muted, full, planted, clean_head: without muting; the first cause muted at the suggested strength, and
            altogether; the planted cause muted at its suggested strength; the head trained on clean photos.
    """

    place: int
    area: float
    first: float
    suspicious: bool
    others: int
    strength: float
    before: Numbers
    muted: Numbers
    full: Numbers
    planted: Numbers
    clean_head: Numbers


def causes(case: Case, parts: int | None = None) -> Causes:
    """The page's list of causes for the case's class."""
    values, labels = case.values, case.labels[case.called]
    nothing, none = np.zeros(len(values), np.float32), np.arange(len(values))
    table = pa.table({"label_class": labels, "answer": np.full(len(values), case.target),
                      "logit": case.logits[case.called, case.target],
                      "brightness": nothing, "sharpness": nothing, "border": nothing, "path": none.astype(str)})
    return causes_of(Contributions(case.target, None, np.flatnonzero(case.called), values.astype(np.float32),
                                   case.pooled[case.called], table, len(values)), parts)


def muting(case: Case, shares: np.ndarray) -> Muting:
    """Of channels in the row of the case's class; half of the photos, drawn, choose the strength."""
    chooses = np.random.default_rng(2000 + case.seed).random(len(case.labels)) < 0.5
    answers = Answers(np.arange(len(case.labels)), case.pooled, case.logits, case.weight, case.logits.argmax(1),
                      case.labels, chooses, len(case.labels))
    return Muting(answers, shares, case.target)


def repair(case: Case, clean: Case) -> Repair:
    """Mute the case's causes; `clean` is the same case with a head that never saw a plant."""
    listed = causes(case).all
    areas = areas_of(case, np.stack([cause.strengths for cause in listed], 1))
    best = int(areas.argmax())
    first, planted = muting(case, listed[0].shares), muting(case, listed[best].shares)
    strength = float(STRENGTHS[first.suggested])
    shown = ~first.answers.chooses
    return Repair(
        best + 1, float(areas[best]), float(areas[0]), listed[best].suspicious,
        sum(cause.suspicious for cause in listed) - listed[best].suspicious, strength,
        before=numbers(case, first.predictions(0), shown), muted=numbers(case, first.predictions(strength), shown),
        full=numbers(case, first.predictions(1), shown),
        planted=numbers(case, planted.predictions(float(STRENGTHS[planted.suggested])), shown),
        clean_head=numbers(case, (case.pooled @ clean.weight.T + clean.bias).argmax(1), shown))


def numbers(case: Case, predictions: np.ndarray, shown: np.ndarray) -> Numbers:
    """Of predictions (N,) for the test photos, those `shown` (N,) alone."""
    called, own = predictions == case.target, case.labels == case.target
    return Numbers(*(float(called[shown & group].mean()) for group in (~own & case.planted, ~own & ~case.planted)),
                   float((predictions == case.labels)[shown].mean()),
                   *(float(called[shown & group].mean()) for group in (own & case.planted, own & ~case.planted)))
