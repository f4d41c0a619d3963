"""What was measured of maps over many photos, so that a page need not judge by the one at hand.

The numbers are written by `make bench-faithful` (docs/faithfulness.md) and hold for one network's weights alone.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NamedTuple

from explorer.networks import Network
from explorer.networks.loading.bundled import ASSETS

FILE = ASSETS / "faithfulness.json"
LIKELY = 0.05  # a difference whose p lies above this counts as none


class Gain(NamedTuple):
    """By how much a map is better than a control: mean over photos, its standard error, and p."""

    mean: float
    standard_error: float
    p: float


class Measured(NamedTuple):
    """Of one network.

    Attributes:
        photos: how many the curves are of.
        gains: by map and control, by "deletion", "insertion" and "between", each a mean over photos.
        objects: by set of photos, "evidence" and "suggested": by measure the mean and its standard error.
    """

    photos: int
    gains: dict[str, dict[str, dict[str, Gain]]]
    objects: dict[str, dict[str, Any]]


def measured_of(network: Network) -> Measured | None:
    """What was measured of the network with just these weights; None where nothing was."""
    record = _written().get(network.digest)
    if record is None:
        return None
    gains = {name: {control: {kind: Gain(*numbers) for kind, numbers in kinds.items()}
                    for control, kinds in controls.items()} for name, controls in record["gains"].items()}
    return Measured(record["photos"], gains, record["objects"])


def verdict(network: Network, name: str) -> str:
    """Whether a map beats random and uniform removal over many photos, in a sentence or two."""
    known = measured_of(network)
    if known is None:
        return "Over many photos this network's maps have not been measured."
    if name not in known.gains:
        return f"Over many photos {name} has not been measured."
    ways = {control: known.gains[name][control]["between"] for control in ("random", "uniform")}
    numbers = " and ".join(f"{gain.mean:+.2f} ± {gain.standard_error:.2f} on {control}"
                           for control, gain in ways.items()).replace("-", "−")
    beaten = [control for control, gain in ways.items() if gain.mean > 0 and gain.p <= LIKELY]
    lost = [control for control in ways if control not in beaten]
    sentence = f"Over {known.photos} photos {name} "
    if not lost:
        sentence += "beats both"
    elif beaten:
        sentence += f"beats {beaten[0]} removal and does not beat {lost[0]} removal"
    else:
        sentence += "beats neither"
    sentence += f": {numbers} in the area between the two curves."
    worse = [control for control in ways if known.gains[name][control]["insertion"].mean < 0]
    return f"{sentence} At insertion alone {' and '.join(worse)} removal does better." if worse else sentence


def where_objects_were(network: Network) -> str:
    """How often such a map's strongest place lay on the object where that was known, in a sentence."""
    known = measured_of(network)
    if known is None:
        return "Whether it finds objects has not been measured for this network."
    coco = known.objects["coco"]
    (own, own_error), (plain, plain_error) = (coco[way]["pointing"] for way in ("suggested", "evidence"))
    return (f"On {coco['photos']} photos with known small objects the strongest place of such a map lay on the object "
            f"in {own:.0%} ± {own_error:.0%}, that of the evidence under GAP in {plain:.0%} ± {plain_error:.0%}.")


@cache
def _written() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
