"""A box around the strongest evidence."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from explorer.arrays import positive_part
from explorer.checks import checked_share
from explorer.errors import ParameterError


@dataclass(frozen=True, eq=False)
class EvidenceBox:
    """The largest connected region of strong evidence, and the box around it.

    Attributes:
        left, top, right, bottom: of the box, in photo pixels.
        rows, columns: of the box, first and last position (both are inside).
        positions: how many positions the region has; the box may hold more.
        share: of all positive evidence on the map, what lies inside the box: above 0, up to 1.
        component: (H, W) bool, the region itself.
    """

    left: float
    top: float
    right: float
    bottom: float
    rows: tuple[int, int]
    columns: tuple[int, int]
    positions: int
    share: float
    component: np.ndarray


def locate(cells: np.ndarray, rectangles: np.ndarray, threshold: float = 0.2) -> EvidenceBox | None:
    """The box around the largest connected region of positions with at least `threshold` times the maximum.

    After Zhou et al., Learning Deep Features for Discriminative Localization (arXiv:1512.04150), section 3.2: there
    what is above 20% of the maximum of a CAM that was enlarged to the photo, and the box that covers the largest
    connected component. Here positions are taken as they are, four neighbours each; only what is positive counts.

    Args:
        cells: (H, W) evidence or any other map; what is not finite counts as 0.
        rectangles: (H, W, 4) left, top, right, bottom of each position, in photo pixels (`Framing.rectangles`).
        threshold: share of the maximum, above 0, up to 1.

    Returns:
        None when nothing is positive. Of regions with as many positions, the one with the larger sum.

    Raises:
        ParameterError: a threshold outside its range, or arrays that do not fit each other.
    """
    checked_share(threshold, "threshold")
    positive = positive_part(cells)
    if positive.ndim != 2 or np.shape(rectangles) != (*positive.shape, 4):
        raise ParameterError(f"The map has shape {positive.shape} and the rectangles {np.shape(rectangles)}; expected "
                             "(H, W) and (H, W, 4).")
    if not positive.any():
        return None
    component = _largest_region((positive > 0) & (positive >= threshold * positive.max()), positive)
    rows, columns = (np.flatnonzero(component.any(axis)) for axis in (1, 0))
    inside = positive[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    left, top = (float(edge) for edge in rectangles[rows[0], columns[0], :2])
    right, bottom = (float(edge) for edge in rectangles[rows[-1], columns[-1], 2:])
    return EvidenceBox(
        left, top, right, bottom, (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1])),
        positions=int(component.sum()), share=float(inside.sum() / positive.sum()), component=component,
    )


def _largest_region(chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(H, W) bool: the connected region with most positions, then with the largest sum, then the first by row."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(chosen.astype(np.uint8), connectivity=4)
    sizes = statistics[:, cv2.CC_STAT_AREA]
    best = max(range(1, count), key=lambda label: (sizes[label], values[labels == label].sum()))
    return labels == best
