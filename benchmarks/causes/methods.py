"""Ways to find what photos called a class share; each gives strengths (n, R), how much of each part a photo has."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import spectral_embedding
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import StandardScaler

from benchmarks.causes.cases import Case
from explorer.folder.parts import decompose

PARTS = 6
_NEIGHBOURS = 10
Method = Callable[[Case], np.ndarray]


class Quality(NamedTuple):
    """How well a method's parts show a plant.

    Attributes:
        parts: how many.
        best: AUC of the part that tells photos with the plant from those without best.
        place: of that part, from 1, by a rule.
        first: AUC of the part in the first place.
        seconds: it took.
    """

    parts: int
    best: float
    place: int
    first: float
    seconds: float


def _causes(parts: int | None) -> Method:
    """explorer.folder.causes; None leaves the number of parts to it."""
    return lambda case: decompose(case.values, parts).strengths(case.values)


def _nmf(case: Case) -> np.ndarray:
    """A photo's own coefficients instead of a fixed share of every channel."""
    coefficients, parts = _factors(case, PARTS)
    return coefficients * parts.sum(1)


def _sharpened(case: Case) -> np.ndarray:
    """Channels shared out by the squares of what each part adds through them."""
    coefficients, parts = _factors(case, PARTS)
    masses = np.square(parts * coefficients.mean(0)[:, None])
    return case.values @ (masses / np.maximum(masses.sum(0), np.finfo(np.float32).tiny)).T


def _with_missing(case: Case) -> np.ndarray:
    """Positive contributions, and beside them how much less than usual speaks against the class.

    For a channel with a negative slope that is the slope's size times what the photo lacks to the 95% mark of the run.
    """
    slopes, pooled = case.weight[case.target], case.pooled[case.called]
    lacking = np.maximum(np.quantile(case.pooled, 0.95, axis=0) - pooled, 0)
    both = np.concatenate([np.maximum(slopes, 0) * pooled, np.maximum(-slopes, 0) * lacking], 1)
    return decompose(both, PARTS).strengths(both)


def _factors(case: Case, parts: int) -> tuple[np.ndarray, np.ndarray]:
    model = NMF(parts, init="nndsvda", max_iter=500, tol=1e-3, random_state=0)
    return model.fit_transform(np.maximum(case.values, 0)), model.components_


def _neural_pca(case: Case) -> np.ndarray:
    """What each principal component adds to the logit: (1 . v) (v . (x - mean)); Neuhaus et al., arXiv:2212.04871."""
    model = PCA(PARTS, random_state=0)
    return model.fit_transform(case.values) * model.components_.sum(1)


def _k_means(case: Case) -> np.ndarray:
    return _margins(np.maximum(case.values, 0))


def _spectral(case: Case) -> np.ndarray:
    """SpRAy: spectral clusters of the evidence maps; Lapuschkin et al. 2019, doi:10.1038/s41467-019-08987-4."""
    near = kneighbors_graph(case.evidence, min(_NEIGHBOURS, len(case.wrong) - 1), include_self=True)
    return _margins(spectral_embedding(0.5 * (near + near.T), n_components=PARTS, random_state=0, drop_first=False))


def _margins(points: np.ndarray) -> np.ndarray:
    """By how much each of the k-means centres is nearer than the nearest other one: above 0 for one's own."""
    distances = KMeans(PARTS, n_init=10, random_state=0).fit(points).transform(points)
    others = np.stack([np.delete(distances, part, 1).min(1) for part in range(PARTS)], 1)
    return others - distances


def _all_positive(case: Case) -> np.ndarray:
    """One part: all that is positive."""
    return np.maximum(case.values, 0).sum(1, keepdims=True)


METHODS: MappingProxyType[str, Method] = MappingProxyType({
    "causes, as the page shows them": _causes(None),
    **{f"causes, {parts} parts": _causes(parts) for parts in (3, 4, 5, 6, 7, 8, 10)},
    "causes, 6 parts, shares sharpened": _sharpened,
    "causes, 6 parts, with negative contributions that are missing": _with_missing,
    "NMF's own coefficients, 6 parts": _nmf,
    "PCA of the contributions (Neural PCA), 6": _neural_pca,
    "k-means of the contributions, 6": _k_means,
    "spectral clusters of the evidence maps (SpRAy), 6": _spectral,
    "all positive contributions as one part": _all_positive,
})


def _logits(case: Case, strengths: np.ndarray) -> np.ndarray:
    return strengths[case.wrong].mean(0) - strengths[~case.wrong].mean(0)


def _standardised(case: Case, strengths: np.ndarray) -> np.ndarray:
    return _logits(case, strengths) / np.maximum(strengths.std(0), 1e-9)


def _mean(case: Case, strengths: np.ndarray) -> np.ndarray:
    return strengths.mean(0)


def _area(case: Case, strengths: np.ndarray) -> np.ndarray:
    return np.array([roc_auc_score(case.wrong, part) for part in strengths.T])


def _changed(case: Case, strengths: np.ndarray) -> np.ndarray:
    others = np.delete(case.logits[case.called], case.target, 1).max(1)
    changed = case.logits[case.called, case.target][:, None] - strengths < others[:, None]
    return changed[case.wrong].mean(0) - changed[~case.wrong].mean(0)


RULES: MappingProxyType[str, Callable[[Case, np.ndarray], np.ndarray]] = MappingProxyType({
    "mean strength of wrong photos less that of right ones, in logits": _logits,
    "the same in standard deviations": _standardised,
    "AUC of its strength, wrong against right": _area,
    "share of wrong calls that end without it, less that of right ones": _changed,
    "mean strength, as in a run without labels": _mean,
})
COMMON = "the same in standard deviations"  # by which methods are compared: their strengths differ in unit


def quality(case: Case, method: Method, rule: str = COMMON) -> Quality:
    """How well a method, whose parts a rule puts in order, shows the case's plant."""
    begin = time.perf_counter()
    strengths = method(case)
    seconds = time.perf_counter() - begin
    areas, extra = areas_of(case, strengths), RULES[rule](case, strengths)
    best = int(areas.argmax())
    return Quality(strengths.shape[1], float(areas[best]), int((extra > extra[best]).sum()) + 1,
                   float(areas[extra.argmax()]), seconds)


def areas_of(case: Case, strengths: np.ndarray) -> np.ndarray:
    """(R,) AUC of each part's strengths (n, R) for photos with the plant against those without."""
    return np.array([roc_auc_score(case.marked, part) for part in strengths.T])


def ceiling(case: Case) -> float:
    """AUC of a logistic regression trained on which photos have the plant (five folds): what a method can reach."""
    scaled = StandardScaler().fit_transform(np.maximum(case.values, 0))
    scores = cross_val_predict(LogisticRegression(C=0.01, max_iter=500), scaled, case.marked, cv=5,
                               method="decision_function")
    return float(roc_auc_score(case.marked, scores))
