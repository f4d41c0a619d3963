"""How long causes and their muting take, on arrays that are made up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from explorer.folder.causes import causes_of
from explorer.folder.contributions import Contributions
from explorer.folder.muting import Answers, Muting

CHANNELS, PARTS, ROUNDS = 1280, 7, 5


def speeds(photos: int = 10_000, classes: int = 1000, called: int = 1000) -> list[tuple[str, float, float, float]]:
    """What is timed, the seconds of its median round, of its longest, and the seconds wanted."""
    draw = np.random.default_rng(0)
    contributions = _contributions(draw, called)
    inputs = draw.gamma(0.5, 0.6, (photos, CHANNELS)).astype(np.float32)
    weight = draw.normal(0, 0.05, (classes, CHANNELS)).astype(np.float32)
    logits = inputs @ weight.T
    rows, chooses = logits.argmax(1), draw.random(photos) < 0.5
    labels = np.where(draw.random(photos) < 0.8, rows, draw.integers(0, classes, photos))
    answers = Answers(np.arange(photos), inputs, logits, weight, rows, labels, chooses, photos)
    shares = (draw.random(CHANNELS) < 0.1).astype(np.float32)
    target = int(np.bincount(rows).argmax())
    moved = Muting(answers, shares, target)
    moved.predictions(0.5)  # the first position of the slider; the others follow
    strengths = iter(np.tile(np.linspace(0, 1, 21), 9))
    return [
        (f"causes of {called:,} photos x {CHANNELS:,} channels, number of parts chosen",
         *_timed(lambda: causes_of(contributions)), 2.0),
        (f"the same, {PARTS} parts", *_timed(lambda: causes_of(contributions, PARTS)), 2.0),
        (f"another cause muted, over {photos:,} photos and {classes:,} classes: the whole curve and the suggestion",
         *_timed(lambda: Muting(answers, shares, target).suggested), 0.1),
        ("the slider moved: which photos are right and called so", *_timed(
            lambda: moved.predictions(float(next(strengths))), 50), 0.1),
        ("muted in all classes: the whole curve", *_timed(lambda: Muting(answers, shares, None).suggested, 2), 2.0),
    ]


def _contributions(draw: np.random.Generator, photos: int) -> Contributions:
    """Ten overlapping parts and noise, a fifth of them wrong."""
    parts = draw.gamma(0.3, 1, (10, CHANNELS)) * (draw.random((10, CHANNELS)) < 0.3)
    values = draw.gamma(1, 1, (photos, 10)) @ parts / 300 + draw.gamma(0.5, 0.004, (photos, CHANNELS))
    values = (values * np.where(draw.random(CHANNELS) < 0.6, 1, -1)).astype(np.float32)
    numbers = np.arange(photos)
    table = pa.table({"label_class": (draw.random(photos) < 0.2).astype(int), "brightness": draw.random(photos),
                      "sharpness": draw.random(photos), "border": draw.random(photos), "path": numbers.astype(str)})
    return Contributions(0, None, numbers, values, table, photos)


def _timed(act: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        act()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), max(times)
