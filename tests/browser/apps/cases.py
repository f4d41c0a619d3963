"""Maps made up for tests: numbers that no photo need give, and names that nobody should have."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import nn

from explorer import POOLINGS, Analysis
from explorer.framing import Framing, Preprocessing
from explorer.networks import Network
from explorer.ui.components.viewer import Look, Map
from tests.explorer.tiny import analysis_of as analysis_of_maps
from tests.explorer.tiny import linear

HOSTILE = "<img src=x onerror=alert(1)>"
GROUND = (118, 118, 118)
SIZE, SEEN, GRID = (900, 600), (150.0, 0.0, 750.0, 600.0), (6, 6)


def analysis(size: tuple[int, int] = SIZE, seen: tuple[float, ...] = SEEN, grid: tuple[int, int] = GRID) -> Analysis:
    """What a viewer asks of one: an even photo, and where the positions lie on it."""
    network = SimpleNamespace(unit="logits", digest="0" * 64)
    photo, framing = Image.new("RGB", size, GROUND), Framing("crop", size, size, seen, grid)
    return Analysis(network, photo, framing, None, None, 0.0)


@cache
def live() -> Analysis:
    """Three channels of 2 x 2 positions and three classes, with names that nobody should have."""
    network = Network(
        name="tiny", title=HOSTILE, backbone=nn.Identity(), pooling=POOLINGS["gap"],
        class_names=(HOSTILE, "cat", "dog"),
        head=linear([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [0.5, 0.5, 0.5]], [0.25, -0.5, 0.0]),
        preprocessing=Preprocessing(size=96), digest="1" * 64, origin="untrained")
    return analysis_of_maps(network, torch.tensor(
        [[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.5], [1.0, 0.5]], [[8.0, 0.0], [0.0, 0.0]]]))


def spread(low: float, high: float, seed: int, grid: tuple[int, int] = GRID) -> np.ndarray:
    """Numbers from low to high, evenly, in an order without order."""
    values = np.linspace(low, high, grid[0] * grid[1])
    return np.random.default_rng(seed).permutation(values).reshape(grid)


def labels(count: int) -> np.ndarray:
    """Each position one of so many labels, all of them in turn."""
    return (np.arange(GRID[0] * GRID[1]) % count).reshape(GRID).astype(float)


STRONG, WEAK, AGAINST = spread(-4, 9, 1), spread(-0.5, 1.5, 2), spread(-3, -0.1, 3)
ODD = np.where(np.arange(36).reshape(GRID) % 5 == 0, np.nan, spread(-2, 2, 4))
SHARES = spread(0, 0.08, 5)


def signed(name: str, values: np.ndarray, scale: str = "all", **more: object) -> Map:
    return Map(name, values, f"Evidence for {name}", facets=(name, "GAP"), title=name, scale=scale, aside="evidence",
               lines=(f"the map called {name}",), caption="nothing is pointed at", **more)


def _of_labels(count: int) -> Map:
    return Map(f"labels{count}", labels(count), f"{count} labels", kind="labels", unit="", unit_name="",
               title=f"{count} labels", legend=tuple(f"label {n}" for n in range(count)))


ONE_AT_A_TIME = Look(main=True, facets=(("Class", ""), ("Pooling", ", under ")), caption="nothing is pointed at")
CASES: dict[str, tuple[list[Map], Look]] = {
    "one": ([signed("strong", STRONG), signed("weak", WEAK), signed("against", AGAINST, "its own"),
             signed("odd", ODD, "odd"), signed("nothing", np.zeros(GRID), "nothing")], ONE_AT_A_TIME),
    "many": ([signed("strong", STRONG, mark=(0, 0)), signed("weak", WEAK, box=(250.0, 100.0, 450.0, 300.0)),
              Map("shares", SHARES, "Shares", kind="positive", unit="share", unit_name="of the weight",
                  title="shares")], Look(across=3, main=True, heading="Three maps")),
    "poolings": ([signed("strong", STRONG, factor=0.25), signed("weak", WEAK)],
                 Look(across=2, main=True, heading="Under two poolings")),
    "labels": ([_of_labels(count) for count in range(2, 9)], Look(across=4, main=True)),
    "hostile": ([Map(f"h{n}", STRONG, HOSTILE, facets=(f"{HOSTILE}{n}", HOSTILE), title=HOSTILE, row=HOSTILE,
                     aside=HOSTILE, badge=HOSTILE, lines=(HOSTILE,), caption=HOSTILE, notes=(HOSTILE,) * 36,
                     unit_name=HOSTILE, says=HOSTILE, pick=[HOSTILE]) for n in range(2)],
                Look(main=True, facets=((HOSTILE, HOSTILE), ("Pooling", HOSTILE)), caption=HOSTILE,
                     heading=HOSTILE, aside=HOSTILE)),
    "hostile many": ([Map("labels", labels(2), HOSTILE, kind="labels", unit="", unit_name=HOSTILE, title=HOSTILE,
                          row=HOSTILE, lines=(HOSTILE,), legend=(HOSTILE, HOSTILE + "2"))],
                     Look(across=2, main=True, heading=HOSTILE, aside=HOSTILE, caption=HOSTILE)),
    "position": ([signed("single", np.array([[2.0]]))], ONE_AT_A_TIME),
    "line": ([signed("line", spread(-1, 1, 6, (1, 40)))], ONE_AT_A_TIME),
}
GRIDS = {"position": (1, 1), "line": (1, 40), "wall": (14, 14)}


def analysis_of(case: str) -> Analysis:
    return analysis(grid=GRIDS.get(case, GRID))


# The wall: so many channels that most of them are out of sight, each of them its own picture.

CHANNELS, SIDE = 2048, 14
ORDERS = {"falling": np.arange(CHANNELS)[::-1], "few": np.array([7, 3, 2000]), "none": np.array([], int)}


def channels() -> np.ndarray:
    """(2048, 14, 14): channel k is 0 but for one position, k % 196, where it is 1 + k / 2048."""
    maps = np.zeros((CHANNELS, SIDE * SIDE), np.float32)
    numbers = np.arange(CHANNELS)
    maps[numbers, numbers % (SIDE * SIDE)] = 1 + numbers / CHANNELS
    return maps.reshape(CHANNELS, SIDE, SIDE)


def contributions() -> np.ndarray:
    """(2048,): rising with the channel's number, from -1 to 1."""
    return np.linspace(-1, 1, CHANNELS)
