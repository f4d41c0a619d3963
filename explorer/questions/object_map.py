"""Where the object is: of all maps that were measured, the one that finds it best (docs/faithfulness.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from explorer.analysis import Analysis, Outcome, analyse
from explorer.arrays import positive_part, to_array
from explorer.checks import checked_whole
from explorer.framing import Framing
from explorer.progress import Progress, Stop
from explorer.questions.evidence_box import locate
from explorer.questions.probe import Region
from explorer.questions.stitching import Shifts

_LIKELIEST = 50  # classes among which rivals are looked for


class ObjectMapSettings(NamedTuple):
    """How an object is best found, as docs/faithfulness.md measured it for the bundled network.

    Attributes:
        rivals: evidence of the class less the mean evidence of so many others, the likeliest that are unlike it.
        steps: stitched from steps * steps shifts of the input, see `explorer.questions.stitching`.
        enlarged: the input's short side, as a multiple of the size that the network was trained on; under its own
            pooling.
    """

    rivals: int
    steps: int
    enlarged: float


SUGGESTED = ObjectMapSettings(rivals=5, steps=4, enlarged=384 / 224)


@dataclass(frozen=True, eq=False)
class ObjectMap:
    """Where the object is.

    Attributes:
        rivals: the classes that it is set against; none in a network whose classes do not compete.
        cells: (H, W) float64, logits: evidence of the class less the mean evidence of the rivals, a mean over shifts
            of the input. Its strongest place is the best guess.
        framing: of the larger input, on the grid of the cells; `framing.seen` is that of the first analysis.
        passes: inputs that were run.
    """

    rivals: tuple[int, ...]
    cells: np.ndarray
    framing: Framing
    passes: int


def object_map(
    analysis: Analysis, class_index: int, progress: Progress | None = None, stop: Stop | None = None
) -> ObjectMap:
    """Where the object of a class is on the part of the photo that the analysis sees, by `SUGGESTED`. Remembered.

    On the bundled network's photos this found objects better than its evidence does, docs/faithfulness.md says by how
    much. A network that takes its own size alone runs at that; one of independent classes has no rivals.

    Args:
        analysis: of a photo; its framing counts, its input size does not.
        progress, stop: after and before each batch of inputs, see `explorer.progress`.

    Raises:
        ParameterError: no such class.
        MethodError: there is no evidence.
        FramingError: the photo is too long for the larger input, see `explorer.framing.frame`.
        StoppedError: `stop` returned True.
    """
    analysis.require_evidence()
    analysis.network.check_class(class_index)
    return analysis.results(("object map", class_index), lambda: _object_map(analysis, class_index, progress, stop))


class EvidenceInBox(NamedTuple):
    """How much of the evidence lies where the object seems to be.

    Attributes:
        box: left, top, right, bottom in photo px: a person's own, or the one around the object
            (`explorer.questions.evidence_box.locate`).
        evidence: the share of the class's positive evidence that lies in the box; None without any.
        area: the share of what the network sees that the box covers.
    """

    box: tuple[float, float, float, float]
    evidence: float | None
    area: float


def evidence_in_box(
    outcome: Outcome, class_index: int, object_map: ObjectMap, region: Region | None = None
) -> EvidenceInBox | None:
    """How much of an outcome's evidence for a class lies in the box around its object; None where there is no box.

    A position that lies partly in the box counts with that part. With a region the box is around its positions.

    Raises ParameterError for a class that does not exist, MethodError without evidence.
    """
    cells = to_array(outcome.evidence(class_index).cells)
    rectangles = outcome.analysis.framing.rectangles
    if region is not None:
        top, left, bottom, right = region
        box = (float(rectangles[top, left, 0]), float(rectangles[top, left, 1]),
               float(rectangles[bottom, right, 2]), float(rectangles[bottom, right, 3]))
    else:
        located = locate(object_map.cells, object_map.framing.rectangles)
        if located is None:
            return None
        box = (located.left, located.top, located.right, located.bottom)
    shared = [np.minimum(rectangles[..., n + 2], box[n + 2]) - np.maximum(rectangles[..., n], box[n]) for n in (0, 1)]
    sides = [rectangles[..., n + 2] - rectangles[..., n] for n in (0, 1)]
    covered = np.prod(np.clip(shared, 0, None), 0) / np.prod(sides, 0)
    positive = positive_part(cells)
    share = float((positive * covered).sum() / positive.sum()) if positive.any() else None
    return EvidenceInBox(box, share, float(covered.mean()))


def unlike(outcome: Outcome, class_index: int, count: int = SUGGESTED.rivals) -> tuple[int, ...]:
    """The likeliest other classes that are unlike this one: against "tiger cat" nothing is left of an "Egyptian cat".

    Two classes are alike when the cosine of their slopes at the pooled vector (`Evidence.slopes`) exceeds that of two
    directions drawn at random by two standard deviations: 2 over the root of the number of channels.

    Args:
        outcome: under any pooling.
        count: how many, at least 1.

    Returns: at most `count` of the 50 likeliest, the likeliest first. Where all are alike the likeliest other class;
    nothing where there is none, or where classes do not compete (a sigmoid).

    Raises ParameterError for a class that does not exist or a count below 1, MethodError without evidence.
    """
    analysis = outcome.analysis
    analysis.require_evidence()
    analysis.network.check_class(class_index)
    checked_whole(count, 1, None, "number of rivals")
    if analysis.network.activation == "sigmoid":
        return ()
    likeliest = [answer.class_index for answer in outcome.top(_LIKELIEST + 1)]
    others = [index for index in likeliest if index != class_index][:_LIKELIEST]
    if not others:
        return ()
    own, *slopes = (evidence.slopes.double() for evidence in outcome.evidences([class_index, *others]))
    cosines = torch.nn.functional.cosine_similarity(torch.stack(slopes), own[None])
    limit = 2 / len(own) ** 0.5
    rivals = [other for other, cosine in zip(others, cosines.tolist(), strict=True) if not cosine > limit]
    return tuple(rivals[:count] or others[:1])


def _object_map(analysis: Analysis, class_index: int, progress: Progress | None, stop: Stop | None) -> ObjectMap:
    """Evidence of the class less the mean of its rivals', averaged over shifts as `stitched` does it."""
    large = analyse(analysis.network, analysis.image, analysis.framing.kind, _short_side(analysis))
    outcome, shifts = large.under(), Shifts(large, SUGGESTED.steps)
    cells = np.zeros_like(shifts.coverage())
    rivals = unlike(outcome, class_index)
    for shift, run in shifts.runs(outcome, progress, stop):
        own, *others = (to_array(evidence.cells) for evidence in run.evidences([class_index, *rivals]))
        cells += shifts.placed(own - sum(others) / max(len(others), 1), shift) / len(shifts.all)
    rows, columns = cells.shape
    return ObjectMap(rivals, cells, large.framing.on_grid(rows, columns), 1 + len(shifts.all))


def _short_side(analysis: Analysis) -> int:
    """The suggested one, a multiple of the stride, as near as the network takes it."""
    preprocessing = analysis.network.preprocessing
    if preprocessing.fixed:
        return preprocessing.size
    largest = preprocessing.sides[1]
    steps = min(round(SUGGESTED.enlarged * preprocessing.size / preprocessing.stride), largest // preprocessing.stride)
    return max(preprocessing.size, steps * preprocessing.stride)
