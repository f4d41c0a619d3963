"""The numbers of the pages a second time, in numpy and float64, from feature maps (C, H, W) and a Linear's numbers.

Nothing of the package is imported here. A pooling is spelt as in a link: "gmp", "gem:p=4".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Measured:
    """What an example or a photo gave: feature maps (C, H, W), and the head's weights, biases and class names."""

    maps: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...]

    def logits(self, spelling: str = "gap") -> np.ndarray:
        """(classes,)"""
        return self.weight @ pooled(self.maps, spelling) + self.bias

    def best(self, count: int, spelling: str = "gap") -> list[int]:
        """The likeliest classes, best first."""
        return np.argsort(-self.logits(spelling), kind="stable")[:count].tolist()

    def rank(self, index: int, spelling: str = "gap") -> int:
        """The class's place, from 1."""
        logits = self.logits(spelling)
        return 1 + int((logits > logits[index]).sum())

    def probabilities(self, spelling: str = "gap", factor: float = 1.0) -> np.ndarray:
        """(classes,); what-ifs may be mended by a factor."""
        return softmax(self.logits(spelling) * factor)

    def paid(self, index: int, spelling: str = "gap") -> np.ndarray:
        """(C,) logits: weight times pooled value."""
        return self.weight[index] * pooled(self.maps, spelling)

    def cells(self, index: int, spelling: str = "gap") -> np.ndarray:
        """(H, W) logits."""
        return evidence(self.maps, self.weight[index], spelling)


USUAL = {"gem": 3.0, "lse": 3.0, "topk": 0.2, "mixed": 0.5, "attention": 0.1}


def softmax(values: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(values - values.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def pooled(maps: np.ndarray, spelling: str = "gap") -> np.ndarray:
    """(C,), from the definitions."""
    key, parameter = _spelt(spelling)
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    if key == "gap":
        return flat.mean(1)
    if key == "gmp":
        return flat.max(1)
    if key == "gem":
        return (np.maximum(flat, 0) ** parameter).mean(1) ** (1 / parameter)
    if key == "lse":
        return np.log(np.exp(parameter * flat).mean(1)) / parameter
    if key == "topk":
        count = max(1, int(parameter * flat.shape[1] + 0.5))
        return np.sort(flat, 1)[:, -count:].mean(1)
    if key == "mixed":
        return parameter * flat.max(1) + (1 - parameter) * flat.mean(1)
    return (weights(maps, spelling) * maps).sum((1, 2))


def weights(maps: np.ndarray, spelling: str = "gap") -> np.ndarray:
    """(C, H, W); times the maps, summed over positions, they give `pooled`."""
    key, parameter = _spelt(spelling)
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    count = flat.shape[1]
    if key == "gap":
        result = np.full_like(flat, 1 / count)
    elif key == "gmp":
        result = _shared(flat == flat.max(1, keepdims=True))
    elif key == "gem":
        positive, mean = np.maximum(flat, 0), pooled(maps, spelling)[:, None]
        silent = mean == 0
        result = np.where(silent, 1.0, (positive / np.where(silent, 1, mean)) ** (parameter - 1)) / count
    elif key == "lse":
        points, shares = np.polynomial.legendre.leggauss(200)
        result = sum(share / 2 * softmax((point + 1) / 2 * parameter * flat)
                    for point, share in zip(points, shares, strict=True))
    elif key == "topk":
        kept = max(1, int(parameter * count + 0.5))
        least = np.sort(flat, 1)[:, [-kept]]
        above, tied = flat > least, flat == least
        result = (above + _shared(tied) * (kept - above.sum(1, keepdims=True))) / kept
    elif key == "mixed":
        result = parameter * _shared(flat == flat.max(1, keepdims=True)) + (1 - parameter) / count
    elif key == "softpool":
        result = softmax(flat)
    else:
        query = flat.mean(1)
        cosines = query @ flat / (np.linalg.norm(query) * np.linalg.norm(flat, axis=0))
        result = np.broadcast_to(softmax(cosines / parameter), flat.shape)
    return result.reshape(maps.shape)


def _spelt(spelling: str) -> tuple[str, float]:
    key, _, setting = spelling.partition(":")
    return key, float(setting.partition("=")[2]) if setting else USUAL.get(key, 0.0)


def _shared(chosen: np.ndarray) -> np.ndarray:
    return chosen / chosen.sum(1, keepdims=True)


def evidence(maps: np.ndarray, row: np.ndarray, spelling: str = "gap") -> np.ndarray:
    """(H, W) logits for a class whose weights are `row`."""
    return np.einsum("k,kij,kij->ij", row.astype(np.float64), weights(maps, spelling), maps.astype(np.float64))


def looks(maps: np.ndarray, row: np.ndarray, spelling: str) -> np.ndarray:
    """(H, W) that sums to 1: each channel's weights, as shares, averaged by what the channel contributes."""
    item = weights(maps, spelling)
    shares = item / item.sum((1, 2), keepdims=True)
    return np.average(shares, axis=0, weights=np.abs(row * pooled(maps, spelling)))


def fewest_carrying(values: np.ndarray, share: float) -> tuple[int, float]:
    """How many of the largest positive numbers carry at least that share of their sum, and how much they carry."""
    falling = sorted((float(value) for value in np.ravel(values) if value > 0), reverse=True)
    total, running = sum(falling), 0.0
    for count, value in enumerate(falling, 1):
        running += value
        if running >= share * total * (1 - 1e-9):
            return count, running / total
    raise AssertionError("nothing is positive")


def flood(cells: np.ndarray, share: float) -> set[tuple[int, int]]:
    """The largest set of positions with at least that share of the maximum that hang together by their edges."""
    strong = {(int(i), int(j)) for i, j in np.argwhere(cells >= share * cells.max())}
    best: set[tuple[int, int]] = set()
    while strong:
        region, border = set(), [strong.pop()]
        while border:
            i, j = border.pop()
            region.add((i, j))
            for near in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if near in strong:
                    strong.remove(near)
                    border.append(near)
        if (len(region), sum(cells[place] for place in region)) > (len(best), sum(cells[place] for place in best)):
            best = region
    return best


def enlarged(cells: np.ndarray, side: int) -> np.ndarray:
    """Bilinear between the centres of positions, and their value beyond the outermost ones."""
    def along(values: np.ndarray) -> np.ndarray:
        at = (np.arange(side) + 0.5) / side * len(values) - 0.5
        return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], 1)

    return along(along(cells).T).T


def box_around(places: set[tuple[int, int]], seen: Sequence[float], grid: tuple[int, int]) -> list[float]:
    """Left, top, right, bottom in photo pixels of positions that divide evenly what the network saw."""
    left, top, right, bottom = seen
    wide, high = (right - left) / grid[1], (bottom - top) / grid[0]
    rows, columns = [i for i, _ in places], [j for _, j in places]
    return [left + min(columns) * wide, top + min(rows) * high,
            left + (max(columns) + 1) * wide, top + (max(rows) + 1) * high]
