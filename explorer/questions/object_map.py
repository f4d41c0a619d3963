"""Where the object is: of all maps that were measured, the one that finds it best (docs/faithfulness.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from explorer.analysis import Analysis, Outcome, analyse
from explorer.errors import ParameterError
from explorer.progress import Progress, Stop
from explorer.questions.localisation import locate
from explorer.questions.stitching import Shifts

LOOKED_AT = 50  # of the likeliest classes, among which rivals are looked for


class Suggested(NamedTuple):
    """How to ask a network where an object is, as docs/faithfulness.md found it for the bundled one.

    Attributes:
        rivals: evidence of the class less the mean evidence of so many others, the likeliest that are unlike it.
        steps: stitched from steps * steps shifts of the input, see `explorer.questions.stitching`.
        enlarged: the input's short side, as a multiple of the size that the network was trained on; under its own
            pooling.
    """

    rivals: int
    steps: int
    enlarged: float


SUGGESTED = Suggested(rivals=5, steps=4, enlarged=384 / 224)


@dataclass(frozen=True, eq=False)
class ObjectMap:
    """Where the object is.

    Attributes:
        class_index: the class.
        rivals: the classes that it is set against; none in a network whose classes do not compete.
        cells: (H, W) float64, logits: evidence of the class less the mean evidence of the rivals, a mean over shifts
            of the input. Its strongest place is the best guess.
        rectangles: (H, W, 4) float64, left, top, right, bottom of each place, in photo px.
        analysis: of the photo at the size that was asked, whose `framing.seen` is that of the first analysis.
        passes: inputs that were run.
    """

    class_index: int
    rivals: tuple[int, ...]
    cells: np.ndarray
    rectangles: np.ndarray
    analysis: Analysis
    passes: int


def object_map(
    analysis: Analysis, class_index: int, progress: Progress | None = None, stop: Stop | None = None
) -> ObjectMap:
    """Where the object of a class is on the part of the photo that the analysis sees, as `SUGGESTED` asks. Remembered.

    On the bundled network's photos this found objects better than its evidence does, docs/faithfulness.md says by how
    much. A network that takes its own size alone is asked at that; one of independent classes has no rivals.

    Args:
        analysis: of a photo; its framing counts, its input size does not.
        class_index: the class.
        progress: is told (inputs done, inputs in all) after each batch.
        stop: is asked before each batch.

    Raises:
        ParameterError: no such class.
        MethodError: the answer cannot be taken apart.
        FramingError: the photo is too long for the larger input, see `explorer.framing.frame`.
        StoppedError: told to stop.
    """
    analysis.require_evidence()
    analysis.network.check_class(class_index)
    return analysis.remember(("object map", class_index), lambda: _object_map(analysis, class_index, progress, stop))


class Inside(NamedTuple):
    """How much of the evidence lies where the object seems to be.

    Attributes:
        box: left, top, right, bottom in photo px, around the object (`explorer.questions.localisation.locate`).
        evidence: of what speaks for the class, the share that lies in the box; None where nothing does.
        area: the share of what the network sees that the box covers.
    """

    box: tuple[float, float, float, float]
    evidence: float | None
    area: float


def inside(outcome: Outcome, class_index: int, found: ObjectMap) -> Inside | None:
    """How much of an outcome's evidence for a class lies in the box around its object; None where there is no box.

    A position that lies partly in the box counts with that part.

    Raises ParameterError for a class that does not exist, MethodError where nothing can be taken apart.
    """
    cells = outcome.evidence(class_index).cells.detach().double().numpy()
    located = locate(found.cells, found.rectangles)
    if located is None:
        return None
    box = (located.left, located.top, located.right, located.bottom)
    rectangles = np.asarray(outcome.analysis.framing.rectangles, dtype=np.float64)
    shared = [np.minimum(rectangles[..., n + 2], box[n + 2]) - np.maximum(rectangles[..., n], box[n]) for n in (0, 1)]
    sides = [rectangles[..., n + 2] - rectangles[..., n] for n in (0, 1)]
    covered = np.prod(np.clip(shared, 0, None), 0) / np.prod(sides, 0)
    positive = np.where(np.isfinite(cells), np.maximum(cells, 0), 0)
    share = float((positive * covered).sum() / positive.sum()) if positive.any() else None
    return Inside(box, share, float(covered.mean()))


def unlike(outcome: Outcome, class_index: int, count: int = SUGGESTED.rivals) -> tuple[int, ...]:
    """The likeliest other classes that are unlike this one: against "tiger cat" nothing is left of an "Egyptian cat".

    Two classes are alike when the cosine of their slopes at the pooled vector (`Evidence.slopes`) exceeds that of two
    directions drawn at random by two standard deviations: 2 over the root of the number of channels.

    Args:
        outcome: under any pooling.
        class_index: the class.
        count: how many, at least 1.

    Returns: at most `count` of the 50 likeliest, the likeliest first. Where all are alike the likeliest other class;
    nothing where there is none, or where classes do not compete (a sigmoid).

    Raises ParameterError for a class that does not exist or a count below 1, MethodError where nothing can be taken
    apart.
    """
    analysis = outcome.analysis
    analysis.require_evidence()
    analysis.network.check_class(class_index)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ParameterError(f"The number of rivals is {count!r:.40}; expected a whole number of at least 1.")
    if analysis.network.activation == "sigmoid":
        return ()
    others = [answer.class_index for answer in outcome.top(LOOKED_AT + 1) if answer.class_index != class_index]
    others = others[:LOOKED_AT]
    if not others:
        return ()
    own, *slopes = (each.slopes.double() for each in outcome.evidences([class_index, *others]))
    cosines = torch.nn.functional.cosine_similarity(torch.stack(slopes), own[None])
    limit = 2 / len(own) ** 0.5
    found = [other for other, cosine in zip(others, cosines.tolist(), strict=True) if not cosine > limit]
    return tuple((found or others)[:count if found else 1])


def _object_map(analysis: Analysis, class_index: int, progress: Progress | None, stop: Stop | None) -> ObjectMap:
    large = analyse(analysis.network, analysis.image, analysis.framing.kind, _short_side(analysis))
    outcome = large.under()
    rivals = unlike(outcome, class_index)
    cells, passes = _stitched_against(outcome, class_index, rivals, SUGGESTED.steps, progress, stop)
    return ObjectMap(class_index, rivals, cells, large.framing.on_grid(*cells.shape).rectangles, large, 1 + passes)


def _short_side(analysis: Analysis) -> int:
    """The suggested one, a multiple of the stride, as near as the network takes it."""
    preprocessing = analysis.network.preprocessing
    if preprocessing.fixed:
        return preprocessing.size
    largest = preprocessing.sides[1]
    steps = min(round(SUGGESTED.enlarged * preprocessing.size / preprocessing.stride), largest // preprocessing.stride)
    return max(preprocessing.size, steps * preprocessing.stride)


def _stitched_against(
    outcome: Outcome, class_index: int, rivals: Sequence[int], steps: int, progress: Progress | None, stop: Stop | None
) -> tuple[np.ndarray, int]:
    """(H * steps, W * steps): evidence of a class less the mean of its rivals', as `stitched` averages it; passes."""
    shifts, cells = Shifts(outcome.analysis, steps), 0.0
    for shift, run in shifts.runs(outcome, progress, stop):
        own, *others = (each.cells.double() for each in run.evidences([class_index, *rivals]))
        difference = own - sum(others) / len(others) if others else own
        cells += shifts.placed(difference.numpy(), shift) / len(shifts.all)
    return cells, len(shifts.all)
