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

_CONSTANTS = np.linspace(0, 6, 61)  # logits


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
    """Muting the first cause of the list, and other ways to have fewer wrong calls.

    Attributes:
        place: of the planted cause (whose strengths tell the plant best) in the page's list, from 1.
        area: its AUC; first: the AUC of the first cause in the list.
        suspicious: whether the page calls the planted cause suspicious.
        strength: suggested for the first cause.
        before: as trained.
        muted, full: the first cause muted at the suggested strength, and altogether.
        planted: the planted cause muted at the strength that is suggested for it.
        page: as the page does it: the first cause muted at the strength suggested for it when what right photos have is
            given back.
        given_back: the first cause muted altogether, and what it adds in the mean to right photos that have none of it
            added to the class's bias.
        lowered: the class's logit lowered by a constant, which the same half of the photos chooses.
        as_low, as_low_as_page, as_low_as_full, as_low_as_given: the logit set by a constant so that as many photos of
            the class are called so as when muted, by the page, muted altogether, and given back.
        clean_head: a head trained on clean photos.
    """

    place: int
    area: float
    first: float
    suspicious: bool
    strength: float
    before: Numbers
    muted: Numbers
    full: Numbers
    planted: Numbers
    page: Numbers
    given_back: Numbers
    lowered: Numbers
    as_low: Numbers
    as_low_as_page: Numbers
    as_low_as_full: Numbers
    as_low_as_given: Numbers
    clean_head: Numbers


def causes(case: Case, parts: int | None = None) -> Causes:
    """The page's list of causes for the case's class."""
    values, labels = case.values, case.labels[case.called]
    nothing, none = np.zeros(len(values), np.float32), np.arange(len(values))
    table = pa.table({"label_class": labels, "brightness": nothing, "sharpness": nothing, "border": nothing,
                      "path": none.astype(str)})
    return causes_of(Contributions(case.target, None, np.flatnonzero(case.called), values.astype(np.float32), table,
                                   len(values)), parts)


def muting(case: Case, shares: np.ndarray, gives_back: bool = False) -> Muting:
    """Of channels in the row of the case's class; half of the photos, drawn, choose the strength."""
    chooses = np.random.default_rng(2000 + case.seed).random(len(case.labels)) < 0.5
    answers = Answers(np.arange(len(case.labels)), case.pooled, case.logits, case.weight, case.logits.argmax(1),
                      case.labels, chooses, len(case.labels))
    return Muting(answers, shares, case.target, gives_back)


def repair(case: Case, clean: Case) -> Repair:
    """Mute the case's causes; `clean` is the same case with a head that never saw a plant."""
    listed = causes(case).all
    areas = areas_of(case, np.stack([cause.strengths for cause in listed], 1))
    best = int(areas.argmax())
    first, planted = muting(case, listed[0].shares), muting(case, listed[best].shares)
    strength = float(STRENGTHS[first.suggested])
    page = muting(case, listed[0].shares, gives_back=True)
    by_page = page.predictions(float(STRENGTHS[page.suggested]))
    chooses, shown = first.answers.chooses, ~first.answers.chooses
    own = case.labels == case.target
    lacking = own & chooses & case.called & ~first.present
    back = float(first.removed[lacking if lacking.any() else own & chooses].mean())
    muted, given_back = first.predictions(strength), _without(case, first.removed - back)
    chosen = max(_CONSTANTS, key=lambda one: ((_without(case, one) == case.labels)[chooses].mean(), -one))
    full = first.predictions(1)
    made = {
        "before": first.predictions(0), "muted": muted, "full": full,
        "planted": planted.predictions(float(STRENGTHS[planted.suggested])),
        "page": by_page,
        "given_back": given_back, "lowered": _without(case, chosen),
        **{name: _as_low(case, predictions, own & shown) for name, predictions in (
            ("as_low", muted), ("as_low_as_page", by_page), ("as_low_as_full", full), ("as_low_as_given", given_back))},
        "clean_head": (case.pooled @ clean.weight.T + clean.bias).argmax(1),
    }
    return Repair(best + 1, float(areas[best]), float(areas[0]), listed[best].suspicious, strength,
                  **{name: numbers(case, predictions, shown) for name, predictions in made.items()})


def _as_low(case: Case, predictions: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(N,) predictions when a constant takes as many of the class's `own` photos from it as others do.
    """
    kept = int((predictions == case.target)[own].sum())
    leads = np.sort(_leads(case)[own])[::-1]  # of the class over the best other one
    return _without(case, float(leads[kept - 1]) - 1e-6 if kept else np.inf)


def _without(case: Case, logits: float | np.ndarray) -> np.ndarray:
    """(N,) predictions when the class has so many logits less."""
    return np.where(_leads(case) > logits, case.target, _others(case).argmax(1))


def _leads(case: Case) -> np.ndarray:
    return case.logits[:, case.target] - _others(case).max(1)


def _others(case: Case) -> np.ndarray:
    others = case.logits.copy()
    others[:, case.target] = -np.inf
    return others


def numbers(case: Case, predictions: np.ndarray, shown: np.ndarray) -> Numbers:
    """Of predictions (N,) for the test photos, those `shown` (N,) alone."""
    called, own = predictions == case.target, case.labels == case.target
    planted, clean, own_planted, own_clean = (
        float(called[shown & of_class & plant].mean()) for of_class in (~own, own) for plant in (case.planted,
                                                                                                 ~case.planted))
    return Numbers(planted, clean, float((predictions == case.labels)[shown].mean()), own_planted, own_clean)
