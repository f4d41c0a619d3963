"""Lesson 7: average or maximum. An object on a ground, small or large, once or often, under GAP, GMP and GeM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explorer.analysis import Analysis, Outcome, analyse
from explorer.analysis.memory import MemoryByOwner
from explorer.arrays import to_array
from explorer.framing import frame
from explorer.images import digest
from explorer.lessons.scenes import SMALLEST_SCALE, cut_out, ground_of, largest_scale, object_box, scene_of
from explorer.networks import Network
from explorer.poolings import POOLINGS
from explorer.progress import Progress, Stop
from explorer.render import Box

STEPS = 10
_memory = MemoryByOwner(6)  # paths of feature maps, about 10 MB each: another p of GeM runs no network


@dataclass(frozen=True, eq=False)
class Scene:
    """An object on a ground, and the network's answers.

    Attributes:
        analysis: of the scene, a square photo.
        outcomes: of it, under GAP, GMP and GeM with the chosen p.
        box: where the object was cut out, in px of the photo it was taken from.
        share: of the scene's area that the objects cover.
    """

    analysis: Analysis
    outcomes: tuple[Outcome, ...]
    box: Box
    share: float


@dataclass(frozen=True, eq=False)
class Growth:
    """The object from small to large, under GAP, GMP and GeM, at n = STEPS scales; arrays are float64.

    Attributes:
        scales: (n,), long side of each object as a share of the scene's side, at equal ratios.
        names: of the three poolings.
        empty: (3,), the class's logit for the ground without the object.
        risen: (3, n), the class's logit as a share of the way from `empty` to the pooling's own largest logit: at most
            1, below 0 where it is less than for the empty ground. So poolings whose logits are of different sizes can
            be held side by side. NaN for one that no scale raises.
        half_way: (3,), the smallest scale at which half of that way is reached, by straight lines over the logarithm
            of the scale; NaN likewise.
    """

    scales: np.ndarray
    names: tuple[str, ...]
    empty: np.ndarray
    risen: np.ndarray
    half_way: np.ndarray


@dataclass(frozen=True)
class Setting:
    """What the scenes of an analysis are made of.

    Attributes:
        class_index: the class.
        ground: key of `explorer.lessons.scenes.GROUNDS`.
        count: how many objects: 1, 4 or 9.
        box: where to cut the object out, in photo px; None is around the strongest evidence for the class.
        others: the photos of a cluttered ground.
    """

    class_index: int
    ground: str = "plain"
    count: int = 1
    box: Box | None = None
    others: tuple[Image.Image, ...] = ()


def side_of_scenes(network: Network) -> int:
    """Twice the side that the network was trained on, at most 640 px; its own side where it takes no other.

    On a scene of the training size every position sees most of the scene, and poolings hardly differ. On a larger one
    an object as large as in training leaves many positions to the ground.
    """
    own, largest = network.preprocessing.size, network.preprocessing.sides[1]
    return max(own, min(2 * own, largest))


def average_or_maximum(analysis: Analysis, setting: Setting, scale: float = 0.5, p: float = 3.0) -> Scene:
    """One scene, in one forward pass.

    Args:
        analysis: of the photo that the object is cut out of.
        setting: see `Setting`; the scene is as large as the input.
        scale: long side of each object as a share of the scene's side, 0.05 to 1 / sqrt(count).
        p: of GeM, 1 (GAP of maps that are not negative) to 100.

    Raises:
        ParameterError: what is outside its range.
        MethodError: the answer cannot be decomposed, or no box is given and the class has no positive evidence.
    """
    parts, poolings = _SceneParts(analysis, setting), _poolings(p)
    in_scene = analyse(analysis.network, parts.scene(scale), "squash", parts.side)
    # Measured, not reckoned from the scale: an object may be thin, and its pixels are whole.
    white = scene_of(Image.new("L", parts.ground.size), Image.new("L", parts.piece.size, 255), scale, setting.count)
    outcomes = tuple(in_scene.under(key, **parameters) for key, parameters in poolings)
    return Scene(in_scene, outcomes, parts.box, float((np.asarray(white) > 0).mean()))


def lead(outcome: Outcome, class_index: int) -> float:
    """A class's logit less the largest of another class; infinite where it is the only class."""
    logits = outcome.logits
    others = torch.cat([logits[:class_index], logits[class_index + 1 :]])
    return float(logits[class_index]) - float(others.max()) if len(others) else float("inf")


def growing(
    analysis: Analysis, setting: Setting, p: float = 3.0, progress: Progress | None = None, stop: Stop | None = None
) -> Growth:
    """The object at STEPS scales from 0.05 to 1 / sqrt(count), and the ground without it; one forward pass for each.

    Poolings differ where the object is small in its scene, but large enough to be recognised. The feature maps are
    remembered, so that another p runs no network.

    Args:
        analysis, setting, p: see `average_or_maximum`.
        progress: called with scenes done and scenes in all, after each batch.
        stop: checked before each batch.

    Raises as `average_or_maximum`, and StoppedError when `stop` returns True.
    """
    parts, poolings = _SceneParts(analysis, setting), _poolings(p)
    # Clipped: rounding must not carry an end out of the valid range.
    ends = SMALLEST_SCALE, largest_scale(setting.count)
    scales = np.clip(np.geomspace(*ends, STEPS), *ends)
    maps = _memory(analysis, parts.key, lambda: _maps(parts, scales, progress, stop))
    network = analysis.network
    logits = np.stack([_logits(network, maps, key, own, setting.class_index) for key, own in poolings])
    empty, logits = logits[:, :1], logits[:, 1:]
    way = logits.max(1, keepdims=True) - empty
    risen = (logits - empty) / np.where(way > 0, way, np.nan)
    return Growth(
        scales, tuple(network.pooling_of(key).label(**own) for key, own in poolings), empty[:, 0], risen,
        np.array([_first_reaching(0.5, row, scales) for row in risen]),
    )


def _first_reaching(share: float, risen: np.ndarray, scales: np.ndarray) -> float:
    reached = np.flatnonzero(risen >= share)
    if not reached.size:
        return float("nan")
    around = slice(max(reached[0] - 1, 0), reached[0] + 1)
    return float(np.exp(np.interp(share, risen[around], np.log(scales[around]))))


def _poolings(p: float) -> tuple[tuple[str, dict[str, float]], ...]:
    return ("gap", {}), ("gmp", {}), ("gem", POOLINGS["gem"].resolve({"p": p}))


class _SceneParts:
    """The ground and the pasted piece that a setting makes of a photo, and a key that no other setting has."""

    def __init__(self, analysis: Analysis, setting: Setting) -> None:
        analysis.require_evidence()
        largest_scale(setting.count)
        analysis.network.check_class(setting.class_index)
        self.network, self.side, self.count = analysis.network, side_of_scenes(analysis.network), setting.count
        self.box = setting.box or object_box(analysis.under(), setting.class_index)
        self.piece = cut_out(analysis.image, self.box)
        self.ground = ground_of(setting.ground, analysis.image, self.side, setting.others)
        self.key = setting.count, digest(self.ground), tuple(self.box)

    def scene(self, scale: float) -> Image.Image:
        return scene_of(self.ground, self.piece, scale, self.count)

    def input(self, scale: float) -> Tensor:
        """(channels, h, w): the network's input of one scene."""
        return frame(self.scene(scale), self.network.preprocessing, "squash", self.side)[0][0]


def _maps(parts: _SceneParts, scales: np.ndarray, progress: Progress | None, stop: Stop | None) -> Tensor:
    """(1 + n, C, H, W): the feature maps of the ground alone, and of each scale."""
    # The ground is analysed, so that a network which refuses the size does so in words.
    ground, engine = analyse(parts.network, parts.ground, "squash", parts.side), parts.network.engine
    maps = [ground.feature_maps[None]]
    for batch in engine.batches(scales.tolist(), ground.input, "scenes", progress, stop):
        maps.append(engine(torch.stack([parts.input(scale) for scale in batch])))
    return torch.cat(maps)


@torch.no_grad()
def _logits(
    network: Network, maps: Tensor, key: str, parameters: dict[str, float], class_index: int
) -> np.ndarray:
    """(n,) float64: the class's logit for each of n feature maps (n, C, H, W) under a pooling."""
    return to_array(network.head_under(key)(network.pooling_of(key).value(maps, **parameters))[:, class_index])
