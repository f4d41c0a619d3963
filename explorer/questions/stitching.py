"""Evidence finer than the grid: the input is moved by parts of a position, and the evidence of each place averaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import sub

import numpy as np
import torch
from torch import Tensor

from explorer.analysis import Analysis, Outcome
from explorer.arrays import to_array
from explorer.checks import checked_whole
from explorer.progress import Progress, Stop
from explorer.questions.contrast import check_pair, minus

MOST_STEPS = 8  # 64 forward passes


@dataclass(frozen=True, eq=False)
class StitchedEvidence:
    """Evidence averaged over shifts of the photo, on a grid finer than the feature maps'.

    logit = baseline + cells.sum() + outside + residual, each of them a mean over the shifts. With a rival each is of
    the class minus the rival's. n is steps * steps, arrays are float64 unless they say otherwise.

    Attributes:
        class_index, rival: the class, and the other one or None.
        steps: into how many fine cells a position is divided along each side.
        cells: (H * steps, W * steps), logits of each fine cell: about 1 / steps ** 2 of a position's.
        coverage: (H * steps, W * steps), above 0, up to 1: the share of the runs in which the fine cell was within the
            input. Half a position from the edges inwards it is below 1, so that cells there are smaller and tell less
            finely where; cells / coverage are not smaller, but do not add up.
        outside: logits that fell on the repeated edges.
        baseline: mean baseline.
        logit: mean logit.
        logits: (n,), of each shift.
        shifts: (n, 2) int, down and to the right, in input px.
        residual: what the parts leave over, computed and not assumed.
        exact: whether every decomposition is an identity.
    """

    class_index: int
    rival: int | None
    steps: int
    cells: np.ndarray
    coverage: np.ndarray
    outside: float
    baseline: float
    logit: float
    logits: np.ndarray
    shifts: np.ndarray
    residual: float
    exact: bool


def stitched(
    outcome: Outcome, class_index: int, rival: int | None = None, steps: int = 4, progress: Progress | None = None,
    stop: Stop | None = None,
) -> StitchedEvidence:
    """Evidence for a class on a grid `steps` times finer than the feature maps', under the outcome's pooling.

    The network's input is moved by all pairs of multiples of a position's side / steps, rounded to whole px: from half
    a position up and left to nearly half a position down and right, or the same both ways where steps is odd (half a
    position either way would be the same grid twice). What enters at an edge is that edge's pixels repeated. Each
    run's evidence is spread evenly over each position's rectangle where it lies on the unmoved input, and averaged over
    the runs. Remembered.

    Args:
        outcome: of any pooling.
        rival: None for the class's own evidence, else that of the class minus that of the rival.
        steps: 1 (the plain evidence) to 8; steps * steps inputs are run, in batches. Where a position has fewer px
            than that, rounded shifts repeat.
        progress, stop: after and before each batch of inputs, see `explorer.progress`.

    Raises:
        ParameterError: no such class, the same class twice, or steps outside its range.
        MethodError: there is no evidence, or a rival is named where there is one logit alone.
        StoppedError: `stop` returned True.
    """
    outcome.analysis.require_evidence()
    if rival is None:
        outcome.analysis.network.check_class(class_index)
    else:
        check_pair(outcome, class_index, rival)
    checked_whole(steps, 1, MOST_STEPS, "number of steps")
    return outcome.results(("stitched", class_index, rival, steps),
                           lambda: _stitched(outcome, class_index, rival, steps, progress, stop))


def _stitched(
    outcome: Outcome, class_index: int, rival: int | None, steps: int, progress: Progress | None, stop: Stop | None
) -> StitchedEvidence:
    shifts, outside, exact = Shifts(outcome.analysis, steps), 0.0, True
    coverage = shifts.coverage()
    cells, logits, baselines = np.zeros_like(coverage), [], []
    for shift, run in shifts.runs(outcome, progress, stop):
        evidences = run.evidences([class_index] if rival is None else [class_index, rival])
        own = reduce(minus, (to_array(evidence.cells) for evidence in evidences))
        placed = shifts.placed(own, shift)
        cells += placed / len(shifts.all)
        outside += (float(own.sum()) - float(placed.sum())) / len(shifts.all)
        logits.append(reduce(sub, (evidence.logit for evidence in evidences)))
        baselines.append(reduce(sub, (evidence.baseline for evidence in evidences)))
        exact = exact and all(evidence.exact for evidence in evidences)
    logit, baseline = float(np.mean(logits)), float(np.mean(baselines))
    return StitchedEvidence(
        class_index=class_index, rival=rival, steps=steps, cells=cells, coverage=coverage,
        outside=outside, baseline=baseline, logit=logit, logits=np.array(logits), shifts=np.array(shifts.all),
        residual=logit - baseline - float(cells.sum()) - outside, exact=exact,
    )


class Shifts:
    """The input moved by parts of a position, and where the moved positions lie on the input that is not moved.

    Attributes:
        all: pairs of shifts down and to the right, in whole px.
        down, right: by shift, (H * steps, H) and (W * steps, W) float64: how much of each position lies on each fine
            cell once it is moved back, along one side. A column sums to 1, less what lies beyond the input's edges.
    """

    def __init__(self, analysis: Analysis, steps: int) -> None:
        self._steps = steps
        (height, width), (rows, columns) = analysis.input.shape[-2:], analysis.framing.grid
        down, right = _shifts(height / rows, steps), _shifts(width / columns, steps)
        self.down = {shift: _shares(height, rows, steps, shift) for shift in down}
        self.right = {shift: _shares(width, columns, steps, shift) for shift in right}
        self.all = list(product(down, right))  # rounded shifts may be level: each is counted as often as it comes

    def placed(self, cells: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
        """(H * steps, W * steps): the cells (H, W) of the moved input, moved back."""
        return self.down[shift[0]] @ cells @ self.right[shift[1]].T

    def coverage(self) -> np.ndarray:
        """(H * steps, W * steps): the share of the runs in which each fine cell was within the input."""
        # A fine cell holds 1 / steps of a position's side: as often as that is its share, it was within the input.
        return self._steps ** 2 * np.mean([np.outer(self.down[down].sum(1), self.right[right].sum(1))
                                           for down, right in self.all], 0)

    def runs(
        self, outcome: Outcome, progress: Progress | None = None, stop: Stop | None = None
    ) -> Iterator[tuple[tuple[int, int], Outcome]]:
        """Each shift with the outcome of the input moved by it, run in batches. Raises StoppedError by `stop`."""
        analysis = outcome.analysis
        for batch in analysis.network.engine.batches(self.all, analysis.input, "inputs", progress, stop):
            inputs = torch.cat([moved(analysis.input, *shift) for shift in batch])
            for shift, x, feature_maps in zip(batch, inputs, analysis.network.engine(inputs), strict=True):
                run = Analysis(analysis.network, analysis.image, analysis.framing, x[None], feature_maps, 0.0)
                yield shift, run.under(outcome.pooling, **outcome.parameters)


def _shifts(side: float, steps: int) -> list[int]:
    """Whole px, rising: multiples of a position's side / steps, so that positions' edges fall on fine cells' edges."""
    return [round((n - steps // 2) * side / steps) for n in range(steps)]


def _shares(length: int, count: int, steps: int, shift: int) -> np.ndarray:
    """(count * steps, count): see `Shifts.down`."""
    side, fine = length / count, length / (count * steps)
    positions = np.arange(count) * side - shift
    cells = np.arange(count * steps)[:, None] * fine
    overlap = np.minimum(positions + side, cells + fine) - np.maximum(positions, cells)
    return overlap.clip(0) / side


def moved(x: Tensor, down: int, right: int) -> Tensor:
    """(1, channels, h, w): an input moved by whole px, the edges repeated where nothing is left."""
    rows, columns = ((torch.arange(length) - by).clamp(0, length - 1)
                     for length, by in zip(x.shape[-2:], (down, right), strict=True))
    return x[..., rows[:, None], columns]
