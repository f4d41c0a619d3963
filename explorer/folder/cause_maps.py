"""Pictures of what some channels alone do on a photo: the evidence of a cause, and where a channel contributes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from explorer import render
from explorer.analysis import Analysis, Outcome, analyse
from explorer.arrays import to_array
from explorer.errors import ImageError
from explorer.folder.causes import Causes
from explorer.folder.run import Run
from explorer.images import read_image
from explorer.progress import Progress, Stop, in_batches

_WHERE = 0.5  # of its maximum: from there on a channel is taken to contribute


def analysis_of(run: Run, path: str) -> Analysis:
    """A photo of a run, analysed anew, framed as there. Raises ImageError where it cannot be read any more."""
    framing = run.recipe["framing"]
    return analyse(run.network, read_image(run.photos / path), framing["kind"], framing["short_side"])


@torch.no_grad()
def cells_of(outcome: Outcome, shares: np.ndarray, class_index: int, rival: int | None = None) -> np.ndarray:
    """(H, W), logits: the evidence for a class that a share of each channel holds; its sum is the cause's strength.

    Args:
        shares: (C,), from 0 to 1.
        rival: a class whose evidence is taken off.
    """
    slopes = outcome.evidence(class_index).slopes
    if rival is not None:
        slopes = slopes - outcome.evidence(rival).slopes
    kept = outcome.weights * outcome.analysis.feature_maps
    return to_array(torch.einsum("c,chw->hw", slopes * torch.from_numpy(np.asarray(shares, np.float32)), kept))


class CauseMap(NamedTuple):
    """A photo that has much of a cause.

    Attributes:
        place: among the photos of the contributions.
        photo: small; seen: the box on it that the network saw, in its pixels.
        cells: (H, W), what the cause adds, in logits.
    """

    place: int
    photo: Image.Image
    seen: render.Box
    cells: np.ndarray


def strongest_maps(
    run: Run, causes: Causes, most: int, side: int, progress: Progress | None = None, stop: Stop | None = None
) -> list[list[CauseMap]]:
    """For each cause the photos that have most of it, at most `side` px long, with its map.

    A photo that cannot be read any more is left out. Raises StoppedError where `stop` returned True.
    """
    made = causes.contributions
    strongest = [cause.strongest[:most].tolist() for cause in causes.all]
    maps: dict[tuple[int, int], CauseMap] = {}
    every = sorted({place for places in strongest for place in places})
    for (place,) in in_batches(every, 1, "photos", progress, stop):
        try:
            analysis = analysis_of(run, made.table["path"][place].as_py())
        except ImageError:
            continue
        outcome, shown = analysis.under(), small(analysis, side)
        maps |= {(n, place): CauseMap(place, *shown, cells_of(outcome, cause.shares, made.class_index, made.rival))
                 for n, cause in enumerate(causes.all) if place in strongest[n]}
    return [[maps[n, place] for place in places if (n, place) in maps] for n, places in enumerate(strongest)]


def small(analysis: Analysis, side: int) -> tuple[Image.Image, render.Box]:
    """The photo at most `side` px long, and the box on it that the network saw."""
    return render.shrink(analysis.image, analysis.framing.seen, side)


def masked_picture(analysis: Analysis, channel: int, side: int) -> Image.Image:
    """The photo in its colours where a channel is at least half of its maximum, and elsewhere grey and pale; RGB."""
    photo, seen = small(analysis, side)
    maps = to_array(analysis.feature_maps[channel])
    most = maps.max()
    where = (maps >= _WHERE * most) if most > 0 else np.zeros_like(maps, bool)
    pale = Image.blend(render.ground(photo, seen), Image.new("RGB", photo.size, "white"), 0.55)
    left, top, right, bottom = (round(edge) for edge in seen)
    mask = Image.fromarray((where * 255).astype(np.uint8))
    mask = mask.resize((right - left, bottom - top), Image.Resampling.NEAREST)
    pale.paste(photo.convert("RGB").crop((left, top, right, bottom)), (left, top), mask)
    return pale
