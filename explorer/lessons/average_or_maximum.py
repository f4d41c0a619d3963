"""Lesson 7: average or maximum. An object on a ground, small or large, once or often, under GAP, GMP and GeM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explorer.analysis import Analysis, Outcome, analyse
from explorer.analysis.memory import Memory
from explorer.errors import StoppedError
from explorer.framing import frame
from explorer.images import digest
from explorer.lessons.checks import number, whole
from explorer.lessons.scenes import COUNTS, SMALLEST_SCALE, cut_out, ground_of, largest_scale, object_box, scene_of
from explorer.networks import Network
from explorer.poolings import POOLINGS
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import BATCH
from explorer.render import Box

STEPS = 10
MOST_STEPS = 48
_KEPT = 6  # paths whose feature maps are kept, about 10 MB each: moving a slider of GeM runs no network


class Said(NamedTuple):
    """What a pooling says of the class in one scene.

    Attributes:
        key, name, label: of the pooling; "native", "trained" or "what-if".
        logit, probability, rank: of the class.
        margin: logits by which it is ahead of the best other class (below 0: behind); infinite where it is alone.
    """

    key: str
    name: str
    label: str
    logit: float
    probability: float
    rank: int
    margin: float


@dataclass(frozen=True, eq=False)
class Scene:
    """An object on a ground, and what the network says of it.

    Attributes:
        photo: the scene, a square; analysis: of it.
        box: where the object was cut out, in px of the photo it was taken from.
        share: of the scene's area that the objects cover.
        said: under GAP, GMP and GeM with the chosen p.
    """

    photo: Image.Image
    analysis: Analysis
    box: Box
    share: float
    said: tuple[Said, Said, Said]


@dataclass(frozen=True, eq=False)
class Growing:
    """The object from small to large; arrays of numbers are (3, n) float64: GAP, GMP and GeM, at n scales.

    Attributes:
        scales: (n,), long side of each object as a share of the scene's side, at equal ratios.
        keys, names, labels: of the three poolings.
        logits, probabilities, ranks, margins: of the class, as in `Said`.
        empty: what is said of the ground without the object.
        risen: logits again, as a share of the way from the empty ground to the pooling's own largest logit: at most 1,
            below 0 where it says less than of the empty ground. So poolings whose logits are of different sizes can be
            held side by side. NaN for one that no scale raises.
        half_way: (3,), the smallest scale at which half of that way is reached, by straight lines over the logarithm
            of the scale; NaN likewise.
    """

    scales: np.ndarray
    keys: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    logits: np.ndarray
    probabilities: np.ndarray
    ranks: np.ndarray
    margins: np.ndarray
    empty: tuple[Said, Said, Said]
    risen: np.ndarray
    half_way: np.ndarray


@dataclass(frozen=True)
class Setting:
    """What the scenes of an analysis are made of.

    Attributes:
        class_index: the class that is asked about.
        ground: key of `explorer.lessons.scenes.GROUNDS`.
        count: how many objects: 1, 4 or 9.
        box: where to cut the object out, in photo px; None is where the evidence for the class finds it.
        others: the photos of a cluttered ground.
        side: of the scene and of the input, in px; None is `usual_side`.
    """

    class_index: int
    ground: str = "plain"
    count: int = 1
    box: Box | None = None
    others: tuple[Image.Image, ...] = ()
    side: int | None = None


def usual_side(network: Network) -> int:
    """Twice the side that the network was trained on, as far as it takes that: up to 640 px, or its own alone.

    On a scene of the training size every position sees most of the scene, and poolings hardly part. On a larger one
    an object as large as in training leaves many positions to the ground.
    """
    own, largest = network.preprocessing.size, network.preprocessing.sides[1]
    return max(own, min(2 * own, largest))


def average_or_maximum(
    analysis: Analysis, setting: Setting, scale: float = 0.5, p: float = 3.0, calibrated: bool = False
) -> Scene:
    """One scene, in one forward pass.

    Args:
        analysis: of the photo that the object is cut out of.
        setting: see `Setting`; the scene is as large as the input.
        scale: long side of each object as a share of the scene's side, 0.05 to 1 / sqrt(count).
        p: of GeM, 1 (GAP of maps that are not negative) to 100.
        calibrated: probabilities with the fitted number of each what-if, where there is one.

    Raises:
        ParameterError: what is outside its range.
        MethodError: the answer cannot be taken apart, or no box is given and nothing speaks for the class.
    """
    parts = _Parts(analysis, setting)
    POOLINGS["gem"].resolve({"p": p})
    photo = scene_of(parts.ground, parts.piece, scale, setting.count)
    found = analyse(analysis.network, photo, "squash", parts.side)
    # Measured, not reckoned from the scale: an object may be thin, and its pixels are whole.
    white = scene_of(Image.new("L", photo.size), Image.new("L", parts.piece.size, 255), scale, setting.count)
    return Scene(
        photo, found, parts.box, float((np.asarray(white) > 0).mean()),
        tuple(_said(found.under(key, **own), setting.class_index, calibrated) for key, own in _three(p)),
    )


def growing(
    analysis: Analysis, setting: Setting, p: float = 3.0, steps: int = STEPS, calibrated: bool = False,
    progress: Progress | None = None, stop: Stop | None = None,
) -> Growing:
    """The object at `steps` scales from 0.05 to 1 / sqrt(count), and the ground without it.

    Poolings part where the object is small in its scene, but large enough to be known. The feature maps are
    remembered, so that another p runs no network.

    Args:
        analysis, setting, p, calibrated: see `average_or_maximum`.
        steps: 2 to 48; each is a forward pass, in batches.
        progress: is told (scenes done, scenes in all) after each batch.
        stop: is asked before each batch.

    Raises as `average_or_maximum`, and StoppedError when told to stop.
    """
    POOLINGS["gem"].resolve({"p": p})
    whole(steps, 2, MOST_STEPS, "number of scales")
    parts = _Parts(analysis, setting)
    # Clipped: rounding must not carry an end out of the valid range.
    ends = SMALLEST_SCALE, largest_scale(setting.count)
    scales = np.clip(np.geomspace(*ends, steps), *ends)
    kept = analysis.remember("growing objects", lambda: Memory(_KEPT))
    maps = kept((parts.key, steps), lambda: _maps(parts, scales, progress, stop))
    rows = [_asked(analysis.network, maps, key, own, setting.class_index, calibrated) for key, own in _three(p)]
    empty = tuple(row[0] for row in rows)
    numbers = {name: np.array([[getattr(said, name) for said in row[1:]] for row in rows], dtype=np.float64)
               for name in ("logit", "probability", "rank", "margin")}
    risen = _risen(numbers["logit"], np.array([[said.logit] for said in empty]))
    return Growing(
        scales, *(tuple(getattr(said, name) for said in empty) for name in ("key", "name", "label")),
        *numbers.values(), empty=empty, risen=risen,
        half_way=np.array([_first_reaching(0.5, row, scales) for row in risen]),
    )


def repeated(
    analysis: Analysis, setting: Setting, scale: float = 0.3, p: float = 3.0, calibrated: bool = False
) -> tuple[Scene, ...]:
    """The object once, four and nine times at the same scale, 0.05 to 1 / 3: three forward passes.

    The setting's own count is not read. Raises as `average_or_maximum`.
    """
    number(scale, SMALLEST_SCALE, largest_scale(COUNTS[-1]), "scale")
    return tuple(average_or_maximum(analysis, replace(setting, count=count), scale, p, calibrated) for count in COUNTS)


def _risen(logits: np.ndarray, empty: np.ndarray) -> np.ndarray:
    way = logits.max(1, keepdims=True) - empty
    return (logits - empty) / np.where(way > 0, way, np.nan)


def _first_reaching(share: float, risen: np.ndarray, scales: np.ndarray) -> float:
    reached = np.flatnonzero(risen >= share)
    if not reached.size:
        return float("nan")
    first = int(reached[0])
    if first == 0:
        return float(scales[0])
    before, after = risen[first - 1 : first + 1]
    start, stop = np.log(scales[first - 1 : first + 1])
    return float(np.exp(start + (share - before) / (after - before) * (stop - start)))


def _three(p: float) -> tuple[tuple[str, dict[str, float]], ...]:
    return ("gap", {}), ("gmp", {}), ("gem", {"p": p})


class _Parts:
    """What a setting comes to on a photo: its ground, the piece that is pasted, and a key that tells it from others."""

    def __init__(self, analysis: Analysis, setting: Setting) -> None:
        analysis.require_evidence()
        largest_scale(setting.count)
        analysis.network.check_class(setting.class_index)
        self.network = analysis.network
        self.setting = setting
        self.side = usual_side(self.network) if setting.side is None else setting.side
        if self.side != self.network.preprocessing.size:
            whole(self.side, *self.network.preprocessing.sides, "side of the scene")
        self.box = setting.box or object_box(analysis.under(), setting.class_index)
        self.piece = cut_out(analysis.image, self.box)
        self.ground = ground_of(setting.ground, analysis.image, self.side, setting.others)
        self.key = setting.count, digest(self.ground), tuple(self.box)

    def input(self, scale: float) -> Tensor:
        """(channels, h, w): the network's input of one scene."""
        photo = scene_of(self.ground, self.piece, scale, self.setting.count)
        return frame(photo, self.network.preprocessing, "squash", self.side)[0][0]


def _maps(parts: _Parts, scales: np.ndarray, progress: Progress | None, stop: Stop | None) -> Tensor:
    """(1 + n, C, H, W): the feature maps of the ground alone, and of each scale."""
    total, found = 1 + len(scales), []
    for start in range(0, total, BATCH):
        if stop is not None and stop():
            raise StoppedError(f"Stopped after {start} of {total} scenes.")
        wanted = scales[max(0, start - 1) : start - 1 + BATCH].tolist()
        if not start:  # by itself, in words where the network refuses the size
            found.append(analyse(parts.network, parts.ground, "squash", parts.side).feature_maps[None])
        with torch.no_grad():
            found.append(parts.network.backbone(torch.stack([parts.input(scale) for scale in wanted])))
        if progress is not None:
            progress(min(start + BATCH, total), total)
    return torch.cat(found)


def _said(outcome: Outcome, class_index: int, calibrated: bool) -> Said:
    answer = outcome.answer(class_index, calibrated)
    return Said(outcome.pooling, outcome.name, outcome.label, answer.logit, answer.probability, answer.rank,
                float(_margins(outcome.logits[None], class_index)[0]))


@torch.no_grad()
def _asked(
    network: Network, maps: Tensor, key: str, parameters: dict[str, float], class_index: int, calibrated: bool
) -> list[Said]:
    """What a pooling says of each of n feature maps (n, C, H, W)."""
    pooling = network.pooling_of(key)
    resolved = pooling.resolve(parameters)
    factor = (network.multiplier(key, resolved) or 1.0) if calibrated else 1.0
    logits = network.head_under(key)(pooling.value(maps, **resolved))
    own = logits[:, class_index]
    columns = (own, network.probabilities(logits * factor, 1)[:, class_index], 1 + (logits > own[:, None]).sum(1),
               _margins(logits, class_index))
    name, label = pooling.label(**resolved), network.label(key, resolved)
    return [Said(key, name, label, *numbers) for numbers in zip(*(each.tolist() for each in columns), strict=True)]


def _margins(logits: Tensor, class_index: int) -> Tensor:
    """(n,): how far the class is ahead of the best other one."""
    others = logits.clone()
    others[:, class_index] = -torch.inf
    return logits[:, class_index] - others.amax(1)
