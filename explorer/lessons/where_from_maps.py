"""Lesson 9: where from maps. A box and a mask from the evidence of a network that was never told where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from explorer.analysis import Analysis, Outcome
from explorer.checks import checked_number
from explorer.questions.evidence_box import EvidenceBox, locate

THRESHOLD = 0.2  # of the CAM paper
LEAST, MOST = 0.01, 1.0


@dataclass(frozen=True, eq=False)
class Segmented:
    """The largest connected region of a smooth map, in pixels of the network's input.

    Attributes:
        mask: (h, w) bool, the region.
        area: share of what the network saw that the mask covers.
        evidence: share of all positive evidence of the smooth map that lies inside the mask.
    """

    mask: np.ndarray
    area: float
    evidence: float


@dataclass(frozen=True, eq=False)
class WhereFromMaps:
    """Where the object of a class lies: a box and a mask from its evidence.

    Attributes:
        box: the region of positions as they are, and the box around it; None without positive evidence.
        segmented: the same of the smooth map; None likewise.
    """

    box: EvidenceBox | None
    segmented: Segmented | None


def where_from_maps(outcome: Outcome, class_index: int, threshold: float = THRESHOLD) -> WhereFromMaps:
    """A box and a mask for a class, after Zhou et al. (arXiv:1512.04150), section 3.2.

    There the CAM is enlarged to the photo, what is above 20% of its maximum is kept, and the box covers the largest
    connected component. Here the map is the evidence under the outcome's pooling, enlarged to the network's input;
    pixels are joined by their four sides.

    Args:
        outcome: of any pooling.
        class_index: the class.
        threshold: share of the map's maximum from which on a place belongs to the class, 0.01 to 1.

    Raises:
        ParameterError: no such class, or a threshold outside its range.
        MethodError: the answer cannot be decomposed.
    """
    outcome.analysis.require_evidence()
    threshold = checked_number(threshold, LEAST, MOST, "threshold")
    framing, cells = outcome.analysis.framing, outcome.evidence(class_index).cells
    return WhereFromMaps(
        locate(cells.numpy(), framing.rectangles, threshold), _segmented(outcome.analysis, cells, threshold),
    )


def _segmented(analysis: Analysis, cells: torch.Tensor, threshold: float) -> Segmented | None:
    finite = torch.nan_to_num(cells.detach().double(), 0.0, 0.0, 0.0)
    size = tuple(analysis.input.shape[-2:])
    smooth = functional.interpolate(finite[None, None], size, mode="bilinear", align_corners=False)[0, 0].numpy()
    located = locate(smooth, analysis.framing.on_grid(*size).rectangles, threshold)
    if located is None:
        return None
    positive, mask = np.maximum(smooth, 0), located.component
    return Segmented(mask, float(mask.mean()), float(positive[mask].sum() / positive.sum()))
