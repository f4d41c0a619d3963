"""A row: what one forward pass over one photo leaves, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from explorer.analysis import Analysis, Outcome
from explorer.arrays import to_array
from explorer.poolings import PoolingChoice
from explorer.questions.comparison import fewest_positions

BEST = 5  # classes
CHANNELS = 32  # with the largest contributions, of either sign
_ANALYSED = 512  # px: the side at which sharpness is measured, so that sizes compare
_FLOATS, _HALVES, _WHOLES = pa.list_(pa.float32()), pa.list_(pa.float16()), pa.list_(pa.int32())


class Column(NamedTuple):
    """One column of a run's rows, and what its numbers count."""

    name: str
    kind: pa.DataType
    meaning: str


COLUMNS = (
    Column("path", pa.string(), "of the photo, from the run's folder, with /"),
    Column("bytes", pa.int64(), "of the file"),
    Column("modified", pa.int64(), "time of its last change, ns since 1970"),
    Column("label", pa.string(), "as it was given; null without one"),
    Column("label_class", pa.int32(), "the class that the label means; null where no class does"),
    Column("error", pa.string(), "why the photo has no answer, one sentence, and then all from answer on is null; "
                                 "null where it has one"),
    Column("width", pa.int32(), "px, upright"),
    Column("height", pa.int32(), "px, upright"),
    Column("brightness", pa.float32(), "mean of its greys, 0 black to 1 white"),
    Column("sharpness", pa.float32(), f"variance of the Laplacian of its greys (0 to 1), at most {_ANALYSED} px long"),
    Column("answer", pa.int32(), "the class with the largest logit, under the network's own pooling"),
    Column("logit", pa.float32(), "of the answer"),
    Column("probability", pa.float32(), "of the answer; null of a network whose numbers are values"),
    Column("baseline", pa.float32(), "of the answer's logit: what no position adds"),
    Column("residual", pa.float32(), "logit - baseline - sum of the evidence"),
    Column("classes", _WHOLES, f"the {BEST} classes with the largest logits, the answer first"),
    Column("logits", _FLOATS, "of these"),
    Column("probabilities", _FLOATS, "of these; null as above"),
    Column("label_logit", pa.float32(), "of the label's class"),
    Column("label_probability", pa.float32(), "of the label's class"),
    Column("label_rank", pa.int32(), "of the label's class; 1 is the answer"),
    Column("grid", _WHOLES, "rows and columns of the feature maps"),
    Column("seen", _FLOATS, "left, top, right and bottom of the part of the photo that the network saw, px"),
    Column("evidence", _HALVES, "for the answer, one number a position, row by row, in logits; null without evidence"),
    Column("label_evidence", _HALVES, "for the label's class, likewise"),
    Column("border", pa.float32(), "share of the answer's positive evidence at the outermost positions"),
    Column("middle", pa.float32(), "share of it within the middle half of the height and of the width"),
    Column("spread", pa.float32(), "share of all positions that hold 80% of it, the fewest"),
    Column("channels", _WHOLES, f"the {CHANNELS} with the largest contributions to the answer, of either sign"),
    Column("contributions", _HALVES, "of these, in logits"),
    Column("pooled", _HALVES, "the pooled vector"),
    Column("pooling_classes", _WHOLES, "the answer under each of the run's poolings, in their order"),
    Column("pooling_probabilities", _FLOATS, "of these, calibrated where a multiplier was fitted; null as above"),
)
SCHEMA = pa.schema([(column.name, column.kind) for column in COLUMNS])


def look_of(image: Image.Image) -> dict[str, Any]:
    """Width, height, brightness and sharpness of a photo."""
    grey = image.convert("L")
    grey.thumbnail((_ANALYSED, _ANALYSED), Image.Resampling.BOX)
    levels = np.asarray(grey)
    laplacian = cv2.Laplacian(levels, cv2.CV_16S, borderType=cv2.BORDER_REPLICATE)
    return {"width": image.width, "height": image.height, "brightness": float(levels.mean() / 255),
            "sharpness": float(laplacian.astype(np.float32).var() / 255 ** 2)}


def row_of(analysis: Analysis, poolings: Sequence[PoolingChoice], label_class: int | None = None) -> dict[str, Any]:
    """What the network answers, and where the evidence lies: the columns from `answer` on, by name.

    Args:
        analysis: of the photo.
        poolings: whose answers are noted as well.
        label_class: index of the class that the photo is of, where that is known.
    """
    outcome = analysis.under()
    best = outcome.top(BEST)
    shares = analysis.network.activation != "none"
    row: dict[str, Any] = {
        "answer": best[0].class_index, "logit": best[0].logit, "probability": best[0].probability if shares else None,
        "classes": [answer.class_index for answer in best], "logits": [answer.logit for answer in best],
        "probabilities": [answer.probability for answer in best] if shares else None,
        "grid": list(analysis.framing.grid), "seen": list(analysis.framing.seen),
    }
    if label_class is not None:
        own = outcome.answer(label_class)
        row |= {"label_logit": own.logit, "label_probability": own.probability if shares else None,
                "label_rank": own.rank}
    if not analysis.has_evidence:
        return row
    others = _under_others(analysis, poolings, shares) if poolings else {}
    return row | _evidence(outcome, best[0].class_index, label_class) | others


def _evidence(outcome: Outcome, answer: int, label_class: int | None) -> dict[str, Any]:
    evidence, *label = outcome.evidences([answer] if label_class is None else [answer, label_class])
    cells, channels = to_array(evidence.cells), to_array(evidence.channels)
    largest = np.argsort(-np.abs(channels), kind="stable")[:CHANNELS]
    return {
        "baseline": evidence.baseline, "residual": evidence.residual,
        "evidence": _half(cells), "label_evidence": _half(to_array(label[0].cells)) if label else None,
        **places(cells),
        "channels": largest.astype(np.int32), "contributions": _half(channels[largest]),
        "pooled": _half(to_array(outcome.pooled)),
    }


def places(cells: np.ndarray) -> dict[str, float | None]:
    """Where the positive evidence of a map (H, W) lies, as shares of it from 0 to 1; None where there is none.

    `border`: at the outermost positions. `middle`: within the middle half of the height and of the width, where a
    position that lies half inside counts by half. `spread`: the share of all positions that hold 80% of it.
    """
    positive = np.where(cells > 0, cells, 0).astype(np.float64)
    if not (total := positive.sum()) > 0 or not np.isfinite(total):
        return {"border": None, "middle": None, "spread": None}
    down, across = map(_within_middle_half, cells.shape)
    inner, middle = positive[1:-1, 1:-1].sum(), down @ positive @ across
    return {"border": float(1 - inner / total), "middle": float(middle / total),
            "spread": fewest_positions(positive) / cells.size}


def _within_middle_half(length: int) -> np.ndarray:
    """(length,): how much of each position lies between a quarter and three quarters of the way."""
    first = np.arange(length)
    return np.clip(np.minimum(first + 1, 0.75 * length) - np.maximum(first, 0.25 * length), 0, 1)


@torch.no_grad()
def _under_others(analysis: Analysis, poolings: Sequence[PoolingChoice], shares: bool) -> dict[str, Any]:
    """One product for all that share a head: its weights are read once, which is what takes the time."""
    outcomes = [analysis.under(choice.key, **dict(choice.parameters)) for choice in poolings]
    logits: dict[int, Tensor] = {}
    for head in {id(outcome.head): outcome.head for outcome in outcomes}.values():
        sharing = [n for n, outcome in enumerate(outcomes) if outcome.head is head]
        logits |= dict(zip(sharing, head(torch.stack([outcomes[n].pooled for n in sharing])), strict=True))
    factors = torch.tensor([outcome.multiplier or 1.0 for outcome in outcomes])
    calibrated = torch.stack([logits[n] for n in range(len(outcomes))]) * factors[:, None]
    best = calibrated.max(1)
    probabilities = analysis.network.probabilities(calibrated, 1).gather(1, best.indices[:, None])[:, 0]
    return {"pooling_classes": best.indices.tolist(),
            "pooling_probabilities": probabilities.tolist() if shares else None}


def _half(values: np.ndarray) -> np.ndarray:
    """float16; beyond its range the largest that it holds, as infinity would spoil every sum over photos."""
    largest = float(np.finfo(np.float16).max)
    return np.clip(values.ravel(), -largest, largest).astype(np.float16)
