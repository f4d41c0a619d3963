"""The poolings of trained heads a second time, in plain loops and float64: one pooled vector of maps (C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def channels_of(maps: Tensor) -> list[list[float]]:
    """Each channel's positions, row by row."""
    return maps.double().flatten(1).tolist()


def gap_of(maps: Tensor) -> list[float]:
    return [math.fsum(channel) / len(channel) for channel in channels_of(maps)]


def gmp_of(maps: Tensor) -> list[float]:
    return [max(channel) for channel in channels_of(maps)]


def gem_of(maps: Tensor, p: float) -> list[float]:
    return [(math.fsum(max(value, 0.0) ** p for value in channel) / len(channel)) ** (1 / p)
            for channel in channels_of(maps)]


def looks_of(maps: Tensor, query: Sequence[float]) -> list[float]:
    """The share of each position under a query."""
    channels = channels_of(maps)
    agreements = [math.fsum(float(q) * channel[n] for q, channel in zip(query, channels, strict=True))
                  for n in range(len(channels[0]))]
    exponentials = [math.exp(agreement - max(agreements)) for agreement in agreements]
    return [item / math.fsum(exponentials) for item in exponentials]


def learned_attention_of(maps: Tensor, query: Sequence[float]) -> list[float]:
    looks = looks_of(maps, query)
    return [math.fsum(look * value for look, value in zip(looks, channel, strict=True))
            for channel in channels_of(maps)]


def multi_query_of(maps: Tensor, queries: Sequence[Sequence[float]]) -> list[float]:
    """Query by query: its looks, and of its own channels what they keep. The first queries have one channel more."""
    channels, pooled = channels_of(maps), []
    for m, query in enumerate(queries):
        share, more = divmod(len(channels), len(queries))
        first = m * share + min(m, more)
        looks = looks_of(maps, query)
        for k in range(first, first + share + (1 if m < more else 0)):
            pooled.append(math.fsum(look * value for look, value in zip(looks, channels[k], strict=True)))
    return pooled


def gate_of(maps: Tensor, weight: Sequence[float], bias: float) -> float:
    """GAP's share of the mix."""
    opening = math.fsum(float(v) * mean for v, mean in zip(weight, gap_of(maps), strict=True)) + bias
    return 1 / (1 + math.exp(-opening))


def gated_of(maps: Tensor, weight: Sequence[float], bias: float) -> list[float]:
    share = gate_of(maps, weight, bias)
    return [share * mean + (1 - share) * largest for mean, largest in zip(gap_of(maps), gmp_of(maps), strict=True)]


def windows_of(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """The five windows of the pyramid on a grid: all of it, and its quarters, which overlap where a side is odd."""
    def halves(length: int) -> list[range]:
        return [range(math.ceil(length / 2)), range(length // 2, length)]

    return [[(i, j) for i in range(rows) for j in range(columns)],
            *([(i, j) for i in vertical for j in horizontal] for vertical in halves(rows)
              for horizontal in halves(columns))]
