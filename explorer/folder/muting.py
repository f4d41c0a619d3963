"""Muting: channels damped in the head's row of one class, or of all, and what that changes over the photos of a run."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from explorer.errors import MethodError
from explorer.folder.contributions import evenly, pooled_vectors
from explorer.folder.index import Index
from explorer.folder.parts import present
from explorer.networks import Network
from explorer.networks.head import before_last_linear

STRENGTHS = np.round(np.linspace(0, 1, 21), 2)  # 0 changes nothing, 1 takes the channels' shares out altogether
MOST_PHOTOS = 20_000  # that are answered anew; of more, as many evenly spread
_BATCH = 1000
_JUST = 1e-5  # below a photo's lead: it keeps its class


@dataclass(frozen=True, eq=False)
class Answers:
    """What the head's last Linear gets and gives, for many photos of a run.

    Attributes:
        numbers: (N,) of the photos in the index.
        inputs: (N, C) float32, what the last Linear gets.
        logits: (N, classes) float32, of the pooled vectors as the rows hold them, in half precision.
        weight: (classes, C) float32, of the last Linear.
        rows: (N,) int64, the answers that the rows hold.
        labels: (N,) int64, -1 where there is none.
        has_bias: whether the last Linear has a bias.
        chooses: (N,) bool: the half of the photos by which a strength is chosen, drawn by their paths.
        photos: how many there are of which these were taken.
    """

    numbers: np.ndarray
    inputs: np.ndarray
    logits: np.ndarray
    weight: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    chooses: np.ndarray
    photos: int
    has_bias: bool = True


@torch.no_grad()
def answers_of(index: Index, most: int = MOST_PHOTOS) -> Answers:
    """The answers of a run's photos, ready to be changed.

    Raises MethodError where no class's weights of single channels can be damped, see `last_linear`; RunError where no
    photo has a pooled vector.
    """
    before, linear = last_linear(index.run.network)
    numbers = index.query("SELECT rowid AS number FROM rows WHERE answer IS NOT NULL ORDER BY rowid")[
        "number"].to_numpy()
    taken = evenly(numbers, most)
    pooled, table, has = pooled_vectors(index, taken, ("path", "answer", "label_class"))
    inputs = np.concatenate([_input(before, torch.from_numpy(pooled[n : n + _BATCH])).numpy()
                             for n in range(0, len(pooled), _BATCH)])
    bias = 0 if linear.bias is None else linear.bias.detach().numpy()
    weight = linear.weight.detach().numpy()
    labels = table["label_class"].fill_null(-1).to_numpy().astype(np.int64)
    chooses = np.array([zlib.crc32(path.encode()) & 1 == 0 for path in table["path"].to_pylist()])
    return Answers(taken[has], inputs, inputs @ weight.T + bias, weight, table["answer"].to_numpy().astype(np.int64),
                   labels, chooses, len(numbers), linear.bias is not None)


class Changed(NamedTuple):
    """Photos with another prediction, those that become wrong first and those that become right last.

    Attributes:
        numbers: (n,) in the index; predictions: (n,) their new classes.
        broken, mended: how many become wrong, and right.
    """

    numbers: np.ndarray
    predictions: np.ndarray
    broken: int
    mended: int


class ClassChange(NamedTuple):
    """Of a class: how many photos are labelled with it, and how many of these are right before and after."""

    class_index: int
    photos: int
    before: int
    after: int


class Bar(NamedTuple):
    """What a constant taken off a class's logit does: `logits` taken off, and then `calls` and `all` as in a curve.

    Muting may keep more photos of the class than there were; the constant is negative then.
    """

    logits: float
    calls: float
    all: float


@dataclass(frozen=True, eq=False)
class Muting:
    """Some channels, damped by their shares times a strength from 0 to 1.

    Attributes:
        answers: of the photos.
        shares: (C,) of each channel, 0 to 1.
        class_index: in whose row of weights; None for all.
        gives_back: whether what right photos without the cause have of it all the same is given back to the bias:
            else muting is mostly a higher bar for the class (docs/causes.md).
    """

    answers: Answers
    shares: np.ndarray
    class_index: int | None
    gives_back: bool = True

    @cached_property
    def removed(self) -> np.ndarray:
        """(N,) logits that full strength takes off the class, or (N, classes) off all of them."""
        shares = self.shares[: self.answers.inputs.shape[1]]
        weight = self.answers.weight if self.class_index is None else self.answers.weight[self.class_index]
        return self.answers.inputs @ (shares * weight).T

    @cached_property
    def given_back(self) -> np.ndarray:
        """() or (classes,) logits that full strength adds to the bias again: the mean of `removed` over right photos
        of the class, of the choosing half, that do not have the cause; 0 without any, or where it is not wanted."""
        answers = self.answers
        usual = (answers.rows == answers.labels) & ~self.present & answers.chooses
        if self.class_index is not None:
            usual &= answers.labels == self.class_index
        if not (self.gives_back and answers.has_bias and usual.any()):
            return np.zeros(self.removed.shape[1:], np.float32)
        return self.removed[usual].mean(0)

    def predictions(self, strength: float) -> np.ndarray:
        """(N,) int64: the classes with the largest logits.

        A photo whose prediction is not changed keeps the one of its row, which was computed in full precision.
        """
        predictions = self._predictions(strength)
        return np.where(predictions == self._before, self.answers.rows, predictions)

    def _predictions(self, strength: float) -> np.ndarray:
        if self.class_index is None:
            return (self.answers.logits - np.float32(strength) * (self.removed - self.given_back)).argmax(1)
        own = self.answers.logits[:, self.class_index] - np.float32(strength) * (self.removed - self.given_back)
        return self._against_others(own)

    def _against_others(self, own: np.ndarray) -> np.ndarray:
        """(N,): the class where its logit `own` is the largest, else the best other one."""
        other, best = self._others
        assert self.class_index is not None
        return np.where((own > best) | ((own == best) & (self.class_index < other)), self.class_index, other)

    @cached_property
    def _before(self) -> np.ndarray:
        return self.answers.logits.argmax(1)

    @cached_property
    def _others(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) the best class but this one, and its logit."""
        logits = self.answers.logits.copy()
        logits[:, self.class_index] = -np.inf
        other = logits.argmax(1)
        return other, logits[np.arange(len(other)), other]

    @cached_property
    def curve(self) -> dict[str, np.ndarray]:
        """By strength (of STRENGTHS), shares of the photos with a label that are right: of `all`; of the half that
        `chooses` the strength and the half that is `shown`; of those that have the cause, `with`, and of those
        `without`; of the photos `of` the class; and `calls`, the number of wrong photos that are called the class.

        Without photos of a kind, NaN. With class_index None, `of` and `calls` are of all photos that are wrong now.
        """
        answers, judged = self.answers, self.answers.labels >= 0
        of_class = judged if self.class_index is None else answers.labels == self.class_index
        groups = {"all": judged, "chooses": judged & answers.chooses, "shown": judged & ~answers.chooses,
                  "with": judged & self.present, "without": judged & ~self.present, "of": of_class}
        made: dict[str, list[float]] = {name: [] for name in (*groups, "calls")}
        for strength in STRENGTHS:
            predictions = self.predictions(float(strength))
            right = predictions == answers.labels
            for name, group in groups.items():
                made[name].append(float(right[group].mean()) if group.any() else np.nan)
            called = judged if self.class_index is None else judged & (predictions == self.class_index)
            made["calls"].append(float((called & ~right).sum()))
        return {name: np.array(values) for name, values in made.items()}

    def changed(self, place: int) -> Changed:
        """The photos whose prediction is another one at a place of STRENGTHS."""
        before, new, labels = self.answers.rows, self.predictions(float(STRENGTHS[place])), self.answers.labels
        places = np.flatnonzero(new != before)
        kind = np.where(before == labels, 0, np.where(new == labels, 2, 1))[places]
        places = places[np.argsort(kind, kind="stable")]
        return Changed(self.answers.numbers[places], new[places], int((kind == 0).sum()), int((kind == 2).sum()))

    def by_class(self, place: int) -> list[ClassChange]:
        """The classes that have other right photos than before, at a place of STRENGTHS; the largest losses first."""
        labels, changed = self.answers.labels, []
        before, after = self.answers.rows == labels, self.predictions(float(STRENGTHS[place])) == labels
        for label in np.unique(labels[(before != after) & (labels >= 0)]):
            of_it = labels == label
            changed.append(ClassChange(int(label), int(of_it.sum()), int(before[of_it].sum()), int(after[of_it].sum())))
        return sorted(changed, key=lambda one: (one.after - one.before, one.class_index))

    def bar(self, place: int) -> Bar | None:
        """The largest constant that keeps as many photos of the class right as muting at a place of STRENGTHS does.

        None where all classes are muted, or no photo is labelled with the class.
        """
        labels = self.answers.labels
        if self.class_index is None or not (labels == self.class_index).any():
            return None
        own = self.answers.logits[:, self.class_index]
        leads = np.sort((own - self._others[1])[labels == self.class_index])[::-1]
        kept = round(self.curve["of"][place] * len(leads))
        logits = float(leads[kept - 1] - _JUST * max(1, abs(leads[kept - 1])) if kept else leads[0] + 1)
        predictions = self._against_others(own - np.float32(logits))
        judged, right = labels >= 0, predictions == labels
        called = predictions == self.class_index
        return Bar(logits, float((judged & ~right & called).sum()), float(right[judged].mean()))

    @cached_property
    def present(self) -> np.ndarray:
        """(N,) bool: the photos that have what is muted, see `explorer.folder.parts.present`."""
        removed = self.removed if self.class_index is not None else \
            self.removed[np.arange(len(self.removed)), self.answers.rows]
        return present(removed, None if self.class_index is None else self.answers.rows == self.class_index)

    @property
    def suggested(self) -> int:
        """The place in STRENGTHS of the weakest strength under which most photos of the choosing half are right."""
        right = self.curve["chooses"]
        return 0 if np.isnan(right).any() else int(right.argmax())


def last_linear(network: Network) -> tuple[list[nn.Module], nn.Linear]:
    """The head's last weights, and what comes before them.

    Raises MethodError where the network has no pooling, or its head mixes channels before its last weights.
    """
    if network.pooling is None:
        raise MethodError(network.reason)
    parts = before_last_linear(network.head)
    if parts is None:
        raise MethodError("The head of this network mixes channels before its last weights, so no channel can be muted "
                          "in the weights of one class; expected a head that ends in a single Linear.")
    if parts[1].out_features < 2:
        raise MethodError("The network has a single output, so muting moves no photo to another class; expected one "
                          "of at least two classes.")
    return parts


def _input(before: list[nn.Module], pooled: Tensor) -> Tensor:
    for module in before:
        pooled = module(pooled)
    return pooled
