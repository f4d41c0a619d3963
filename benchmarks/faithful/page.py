"""The results, written: docs/faithfulness.md for people, assets/faithfulness.json for the page that leans on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.faithful.curves import FILL, STEPS, CurveResults
from benchmarks.faithful.maps import AGAINST, CENTRE, EVERYWHERE, SQUARED, VOTES, evidence_name
from benchmarks.faithful.numbers import MEASURES, MapVariant, ObjectResults, candidates, choose
from explorer import CAM_METHODS, POOLINGS
from explorer.export.strict_json import versions
from explorer.networks import Network
from explorer.questions.measured_maps import FILE
from explorer.questions.object_map import SUGGESTED
from explorer.questions.randomisation import FALLEN_APART
from explorer.questions.trust import CONTROLS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faithfulness.md"
BASELINE = evidence_name("gap")
HEADS = ("pointing", "energy", "own size", "mean")
SHOWN = 10  # of all ways to ask, the best
SUGGESTED_NAME = evidence_name("gap", AGAINST[-1])


class Set(NamedTuple):
    """Photos on which it is known where objects are.

    Attributes:
        key: of the set, for the file.
        title: for people.
        about: what is asked of them.
        results: of every map.
        side: the input's short side, px, at which maps are compared as they stand.
    """

    key: str
    title: str
    about: str
    results: ObjectResults
    side: int

    def variant(self, name: str = BASELINE, side: int | None = None, stitched: bool = False) -> MapVariant:
        """A way to ask, at the set's own size unless another is given."""
        return MapVariant(name, side or self.side, stitched)

    @property
    def suggested(self) -> MapVariant:
        """What the page does, at the nearest size that was measured."""
        sides = sorted({way.side for way in self.results.numbers})
        return self.variant(SUGGESTED_NAME, min(sides, key=lambda side: abs(side - 224 * SUGGESTED.enlarged)), True)


def write(network: Network, sets: Sequence[Set], judged: CurveResults, command: str) -> None:
    """Both files."""
    PAGE.write_text(page(network, sets, judged, command), encoding="utf-8")
    FILE.write_text(json.dumps({network.digest: numbers(network, sets, judged)}, indent=1) + "\n", encoding="utf-8")


# For people.


def page(network: Network, sets: Sequence[Set], judged: CurveResults, command: str) -> str:
    """The whole of docs/faithfulness.md."""
    installed = ", ".join(f"{what} {version}" for what, version in versions().items())
    parts = [
        "# How far maps can be trusted",
        f"Written by `{command}`, on the bundled network ({network.name}; {installed}). Whichever way a number came "
        "out, it is here. ± is one standard error over photos.",
        "## Where is the object?",
        "Maps are asked for the place of a class whose place is known. *Pointing*: the strongest place lies on the "
        "object. *Energy*: the share of what is positive that lies on it; a map that is sharpened gets more of it "
        "wherever it points (see the squared evidence). *Own size*: of the strongest places that together are as large "
        "as the object, the share that lies on it. *Mean* is of the three. The whole photo is seen.",
        *(part for photos in sets for part in _set(photos)),
        "## Does a map's order matter to the network?",
        *_curves(judged),
        "## Does a map hang on what the network learned?",
        *_anew(judged),
    ]
    return "\n\n".join(parts) + "\n"


def _set(photos: Set) -> list[str]:
    results, baseline = photos.results, photos.variant()
    choice = choose(results, candidates(results), baseline)
    best = sorted(candidates(results), key=lambda way: -results.mean(way).mean[-1])[:SHOWN]
    sides = sorted({way.side for way in results.numbers})
    contrasts = [MapVariant(evidence_name("gap", against), side, stitched)
                 for against in AGAINST for side in sides for stitched in (False, True)]
    alike = min(results.alike)
    gain, second = choice.first_gain, np.percentile(choice.gains[:, -1], [5, 50, 95])
    suggested = results.mean(photos.suggested, baseline)
    return [
        f"### {photos.title}",
        f"{photos.about} {len(np.unique(results.photos))} photos, {len(results.photos)} questions, "
        f"{int(results.named.sum())} of them about a class among the network's five most probable.",
        f"Every map as it stands, at {photos.side} px:",
        _table("map", HEADS, ((name, _numbers(results, photos.variant(name))) for name in _plain_names())),
        f"Grad-CAM and the positive evidence under GAP are the same map: the smallest correlation is {alike:.6f}.",
        f"What sets the class against others, what is stitched from shifts and how large the input is, by the mean of "
        f"the three measures less that of evidence under GAP at {photos.side} px:",
        _table("evidence under GAP", [f"{side} px{', stitched' if stitched else ''}"
                                      for side in sides for stitched in (False, True)],
               ((against or "of the class alone", [
                   _signed(results.mean(way, baseline), -1) for way in contrasts if way.name == evidence_name(
                       "gap", against)]) for against in AGAINST)),
        f"The {SHOWN} best of {len(candidates(results))} ways to ask that need not know what else is on the photo:",
        _table("way", HEADS, ((_in_words(way), _numbers(results, way)) for way in best)),
        "The best of so many is the best by luck too. So one half of the photos chooses, and the other half judges: "
        f"the first split chose *{_in_words(choice.first)}*, which on the other half gains {_signed(gain, -1)} on "
        f"evidence under GAP (pointing {_signed(gain, 0)}, energy {_signed(gain, 1)}, own size {_signed(gain, 2)}). "
        f"Of {len(choice.gains)} splits the gain is {second[1]:+.3f} in the middle, {second[0]:+.3f} and "
        f"{second[2]:+.3f} at the 5% and 95% marks; chosen most: "
        f"{'; '.join(f'{_in_words(way)} ({count})' for way, count in choice.often[:3])}.",
        f"The page's suggestion, *{_in_words(photos.suggested)}*: {' / '.join(_numbers(results, photos.suggested))} "
        f"(pointing / energy / own size / mean), that is {_signed(suggested, 0)} / {_signed(suggested, 1)} / "
        f"{_signed(suggested, 2)} / {_signed(suggested, 3)} on evidence under GAP.",
    ]


def _plain_names() -> list[str]:
    """All maps that there are of a photo as it stands."""
    contrasted = [evidence_name("gap", against) for against in AGAINST[1:]]
    cams = [method.name for key, method in CAM_METHODS.items() if key not in ("cam", "score_cam", "ablation_cam")]
    return [*map(evidence_name, POOLINGS), *contrasted, VOTES, *cams, SQUARED, CENTRE, EVERYWHERE]


def _in_words(way: MapVariant) -> str:
    return f"{way.name}, {way.side} px{', stitched' if way.stitched else ''}"


def _numbers(results: ObjectResults, way: MapVariant) -> list[str]:
    if way not in results.numbers:
        return []
    mean, error = results.mean(way)
    return [f"{one:.3f} ± {other:.3f}" for one, other in zip(mean, error, strict=True)]


def _signed(gain: Any, place: int) -> str:
    return f"{gain.mean[place]:+.3f} ± {gain.error[place]:.3f}"


def _table(first: str, heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Rows without numbers are left out."""
    lines = [f"| {' | '.join([first, *heads])} |", f"|{'---|' * (1 + len(heads))}"]
    return "\n".join([*lines, *(f"| {' | '.join([name, *numbers])} |" for name, numbers in rows if numbers)])


def _curves(judged: CurveResults) -> list[str]:
    maps = [name for name in judged.areas if name not in CONTROLS]
    return [
        f"{judged.photos} photos, the answer under the network's own pooling, {STEPS} steps, blurred where taken out "
        f"({FILL}). Positions go (deletion) and come (insertion) in a map's order, the strongest first; the areas are "
        "under the answer's probability. Lower is better at deletion, higher at insertion. *Drop* is the average drop "
        "of the probability when the photo is seen through the map, *rises* how often it rose instead, *let through* "
        "how much of the photo that was: drops are to be compared at a like share.",
        _table("map", ("deletion", "insertion", "between", "drop", "rises", "let through"),
               ((name, _areas(judged, name)) for name in judged.areas)),
        "Against the controls: the difference of the area between the two curves, and its p by a paired permutation "
        "test (signs flipped, two-sided). *Uniform* fades the whole photo evenly and has no order: a map can lose to "
        "it at insertion, because a network bears half a fading better than half the photo missing, and be better in "
        "what lies between the curves. All three are given.",
        _table("map", [f"{control}, {kind}" for control in CONTROLS for kind in ("between", "deletion", "insertion")],
               ((name, [f"{gain.mean:+.3f} ± {gain.standard_error:.3f} ({_p(gain.p)})"
                        for control in CONTROLS for gain in (judged.gain(name, control)[kind] for kind in (
                            "between", "deletion", "insertion"))]) for name in maps)),
        f"{judged.passes:,} forward passes in {judged.seconds:,.0f} s for {len(judged.areas)} maps and controls.",
    ]


def _areas(judged: CurveResults, name: str) -> list[str]:
    areas = judged.areas[name]
    numbers = [f"{area.mean():.3f} ± {area.std(ddof=1) / len(area) ** 0.5:.3f}"
               for area in (*areas.T, areas[:, 1] - areas[:, 0])]
    if name not in judged.drops:
        return [*numbers, "", "", ""]
    drop, rises, kept = judged.drops[name].mean(0)
    return [*numbers, f"{drop:.1%}", f"{rises:.0%}", f"{kept:.0%}"]


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def _anew(judged: CurveResults) -> list[str]:
    names = list(dict.fromkeys(name for name, _ in judged.agreements))
    parts = list(dict.fromkeys(part for _, part in judged.agreements))
    rows = ((name, [words for part in parts for words in (
        f"{np.mean(judged.agreements[name, part]):.2f}",
        f"{sum(judged.fallen[name, part])} of {len(judged.fallen[name, part])}")]) for name in names)
    return [
        "The weights of the head or of the backbone are drawn anew (three times), and the map is made again. "
        "*Agreement*: the mean size of the rank correlation with the map before, 0 to 1; below "
        f"{FALLEN_APART} it counts as fallen apart.",
        _table("map", [f"{part}: {what}" for part in parts for what in ("agreement", "fell apart")], rows),
    ]


# For the page that leans on it.


def numbers(network: Network, sets: Sequence[Set], judged: CurveResults) -> dict[str, Any]:
    """What explorer.questions.measured_maps reads."""
    maps = [name for name in judged.areas if name not in CONTROLS]
    return {
        "network": network.name,
        "photos": judged.photos,
        "gains": {name: {control: {kind: _rounded(gain.mean, gain.standard_error, gain.p)
                                   for kind, gain in judged.gain(name, control).items()} for control in CONTROLS}
                  for name in maps},
        "objects": {photos.key: {
            "photos": len(np.unique(photos.results.photos)),
            "evidence": _by_measure(photos.results, photos.variant()),
            "suggested": _by_measure(photos.results, photos.suggested),
        } for photos in sets},
    }


def _by_measure(results: ObjectResults, way: MapVariant) -> dict[str, list[float]]:
    mean, error = results.mean(way)
    return {name: _rounded(*pair) for name, *pair in zip(MEASURES, mean, error, strict=True)}


def _rounded(*values: float) -> list[float]:
    return [round(float(value), 4) for value in values]
