"""The eight poolings over the tokens of a sentence, and two sentences compared: each token's share of their similarity.

A sentence's token vectors (T, D) are feature maps (D, 1, T): tokens are the positions, and each of the D numbers is a
channel. The comparison is the cosine of two pooled vectors, and it is decomposed like a logit. With y = sum over
tokens t of w_t * F_t, token t of the first sentence adds (w_t * F_t) . y2 / (|y1| |y2|) to the cosine, signed.

Token vectors are signed, about half of their numbers below 0. GeM alone counts those as 0 (`CLAMPING`). So under GeM
no cosine is below 0 and no token can lower the similarity; `clamped` is the share of numbers concerned. LSE
takes signed numbers as they are, but its weights come from a quadrature: its shares add up to it, see `residual`.
The others are exact. Maxima of signed numbers are mostly above 0, so under GMP, and less so under poolings near it, any
two sentences are alike to some degree: compare a cosine with that of two sentences with nothing in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from explorer.errors import ParameterError
from explorer.poolings import pooling_of

CLAMPING = frozenset({"gem"})
_NOTHING = 1e-9  # of the longest token vector: a pooled vector that is shorter is what rounding left of zero


@dataclass(frozen=True, eq=False)
class Sentence:
    """A sentence as its token vectors.

    Raises ParameterError when there is no token, a token without its vector, or a number that is not finite.

    Attributes:
        text: as it was written.
        tokens: (T,) what the model reads, in order: pieces of words ("##" goes on with the piece before) and, where
            the model has them, its own marks of beginning and end, "[CLS]" and "[SEP]", which it pools like the rest.
        vectors: (T, D) float64, read-only, signed.
        origin: where the vectors come from, for people.
    """

    text: str
    tokens: tuple[str, ...]
    vectors: np.ndarray
    origin: str

    def __post_init__(self) -> None:
        vectors = np.array(self.vectors, dtype=np.float64)
        if not self.tokens or vectors.size == 0:
            raise ParameterError("The sentence is empty; expected at least one token.")
        if vectors.ndim != 2 or len(vectors) != len(self.tokens):
            raise ParameterError(f"The sentence has {len(self.tokens)} tokens and vectors of shape {vectors.shape}; "
                                 "expected one row for each token.")
        if not np.isfinite(vectors).all():
            raise ParameterError("A token vector has a number that is not finite.")
        vectors.setflags(write=False)
        object.__setattr__(self, "vectors", vectors)

    @property
    def feature_maps(self) -> Tensor:
        """(D, 1, T) float64: tokens as positions."""
        return torch.from_numpy(self.vectors.T[:, None].copy())


@dataclass(frozen=True, eq=False)
class Pooled:
    """A sentence under one pooling; arrays are float64.

    Attributes:
        sentence: what was pooled.
        label: the pooling for people, "GeM, p = 3".
        vector: (D,) pooled vector.
        parts: (T, D) pooling weights times token vectors; over tokens they add up to the pooled vector.
        looks: (T,) how much each token counts: its pooling weight as a share of its channel's, averaged over channels.
            Adds up to 1. A channel without weight (GeM's, where all is below 0) is left out.
        clamped: share of the sentence's numbers that the pooling counts as 0, 0..1.
        exact: whether the parts are exact (False: from a quadrature).
    """

    sentence: Sentence
    label: str
    vector: np.ndarray
    parts: np.ndarray
    looks: np.ndarray
    clamped: float
    exact: bool


@dataclass(frozen=True, eq=False)
class Similarity:
    """Two sentences under one pooling, and their cosine decomposed; arrays are float64.

    The shares say what the sum is made of, with the pooling weights held: not what would be without a token.

    Attributes:
        first, second: each pooled, with T1 and T2 tokens.
        cosine: of the two pooled vectors, -1..1.
        shares: (T1,) and (T2,): what each token of either sentence adds, signed. Each adds up to the cosine.
        pairs: (T1, T2): what each pair of tokens adds, signed; adds up to the cosine, its rows to the first sentence's
            shares and its columns to the second's. Under GAP: F1_s . F2_t / (T1 T2 |y1| |y2|).
        residual: what shares or pairs miss of the cosine, where they miss most.
    """

    first: Pooled
    second: Pooled
    cosine: float
    shares: tuple[np.ndarray, np.ndarray]
    pairs: np.ndarray
    residual: float

    @property
    def label(self) -> str:
        """The pooling, for people."""
        return self.first.label

    @property
    def exact(self) -> bool:
        """Whether the shares are exact (False: to a quadrature)."""
        return self.first.exact

    @property
    def clamped(self) -> float:
        """Share of both sentences' numbers that the pooling counts as 0, 0..1."""
        sizes = [pooled.sentence.vectors.size for pooled in (self.first, self.second)]
        return float(np.average([self.first.clamped, self.second.clamped], weights=sizes))

    @property
    def note(self) -> str:
        """One sentence where the pooling counts negative numbers as 0, else ""."""
        if self.clamped == 0:
            return ""
        return (f"Under {self.label}, numbers below 0 count as 0, and {self.clamped:.0%} of the token vectors' numbers "
                "are: so the cosine cannot be below 0, and no token can lower the similarity.")

    @property
    def origin(self) -> str:
        """Which vectors these are, for people."""
        return "; ".join(dict.fromkeys(pooled.sentence.origin for pooled in (self.first, self.second)))


def pool(sentence: Sentence, pooling: str = "gap", **parameters: float) -> Pooled:
    """A sentence's token vectors under one of the eight poolings. The order of the tokens does not matter.

    Raises ParameterError when there is no such pooling, or its parameter is unknown or out of range.
    """
    chosen = pooling_of(pooling)
    feature_maps = sentence.feature_maps
    weights = chosen.weights(feature_maps, **parameters).squeeze(1).T.numpy()  # (T, D)
    return Pooled(
        sentence=sentence, label=chosen.label(**parameters),
        vector=chosen.value(feature_maps, **parameters).numpy(),
        parts=weights * sentence.vectors, looks=_looks(weights),
        clamped=float((sentence.vectors < 0).mean()) if pooling in CLAMPING else 0.0, exact=chosen.exact,
    )


def compare(first: Sentence, second: Sentence, pooling: str = "gap", **parameters: float) -> Similarity:
    """The cosine of two sentences' pooled vectors, decomposed over the tokens of each and over their pairs.

    Raises:
        ParameterError: no such pooling, a bad parameter, token vectors of different lengths, or a pooled vector that
            is zero and so has no direction (token vectors that are all zero or cancel; under GeM, all below 0).
    """
    sizes = [sentence.vectors.shape[1] for sentence in (first, second)]
    if sizes[0] != sizes[1]:
        raise ParameterError(f"The sentences' token vectors have {sizes[0]} and {sizes[1]} numbers; expected as many.")
    one, other = (pool(sentence, pooling, **parameters) for sentence in (first, second))
    lengths = _length(one) * _length(other)
    cosine = float(one.vector @ other.vector / lengths)
    shares = one.parts @ other.vector / lengths, other.parts @ one.vector / lengths
    pairs = one.parts @ other.parts.T / lengths
    missed = [cosine - float(part.sum()) for part in (*shares, pairs)]
    return Similarity(one, other, cosine, shares, pairs, residual=max(missed, key=abs))


def _looks(weights: np.ndarray) -> np.ndarray:
    sums = weights.sum(0)
    counted = sums > 0
    if not counted.any():
        return np.full(len(weights), 1 / len(weights))
    return (weights[:, counted] / sums[counted]).mean(1)


def _length(pooled: Pooled) -> float:
    """Euclidean, of the pooled vector. Raises ParameterError when it is zero up to rounding."""
    length = float(np.linalg.norm(pooled.vector))
    if not length > _NOTHING * float(np.linalg.norm(pooled.sentence.vectors, axis=1).max()):
        raise ParameterError(f"Under {pooled.label} the pooled vector of {pooled.sentence.text!r:.60} is zero, which "
                             "has no direction to compare; expected token vectors that leave something.")
    return length
