"""The results in words: the measured part of docs/causes.md, between two marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.causes.habit import TOPS
from benchmarks.causes.methods import COMMON, METHODS, RULES
from benchmarks.causes.muted import Numbers
from benchmarks.causes.results import RULED, USED, OfCase, Results, summary
from benchmarks.faithful.paired_test import paired_test
from explorer.export.strict_json import versions
from explorer.folder.causes import Causes

PAGE = Path(__file__).resolve().parents[2] / "docs" / "causes.md"
BEGIN, END = "<!-- measured: make bench-causes -->", "<!-- /measured -->"
WAYS = {
    "as trained": "before",
    "first cause muted at the suggested strength": "muted",
    "as the page does it: at its suggested strength, and what right photos without it have of it given back": "page",
    "first cause muted altogether": "full",
    "planted cause muted at the strength suggested for it": "planted",
    "first cause muted altogether, and what right photos without it have of it given back to the bias": "given_back",
    "tulips' logit lowered by a constant that the same half of the photos chooses": "lowered",
    "tulips' logit set so that as many tulips are called so as when muted": "as_low",
    "tulips' logit set so that as many are called so as by the page": "as_low_as_page",
    "tulips' logit set so that as many are called so as when muted altogether": "as_low_as_full",
    "tulips' logit set so that as many are called so as when given back": "as_low_as_given",
    "a head that never saw the plant": "clean_head",
}
OF_METHODS = ("parts", "best AUC", "AUC of the first", "at least 0.8", "best is first", "first or second", "s")


def write(results: Results) -> None:
    """The part between the marks."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text(results)}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def text(results: Results) -> str:
    """All results, as Markdown."""
    installed = ", ".join(f"{what} {version}" for what, version in versions().items())
    seeds = len(next(iter(results.cases.values())))
    parts = [
        f"Written by `make bench-causes` ({installed}). Means over {seeds} heads, each with other photos planted, "
        "other test photos planted and other photos that decide when training stops.",
        "### Is the planted cause found?",
        "*Called*: of the other flowers' photos with the plant and of those without, the share called tulips. *Place*: "
        "of the planted cause in the page's list, in how many of the heads it was first, and first or second. *AUC*: "
        "of its strength, for photos with the plant against those without, among those called tulips; of the cause "
        "that the list puts first; and, as the ceiling, of a method that knows which photos have the plant. "
        "*Suspicious*: how often the page calls the planted cause so.",
        table(("plant", "in training", "called", "photos called, wrong", "place", "AUC", "the first", "ceiling",
               "suspicious"),
              (_found(*key, of_seeds) for key, of_seeds in results.cases.items())),
        "### What does muting it do, and at what price?",
        "The **first** cause of the list is muted in the row of tulips at the suggested strength, which half of the "
        "test photos choose; the numbers are of the other half. In each cell: as trained → muted at the suggested "
        "strength → muted altogether; in brackets a head that never saw the plant.",
        table(("plant", "in training", "strength", "other flowers with the plant called tulips", "accuracy",
               "tulips with the plant called so", "tulips without it called so"),
              (_muted(*key, of_seeds) for key, of_seeds in results.cases.items())),
        f"Is that more than a higher bar for tulips? Over the {len(results.used)} heads that used the plant (it takes "
        f"at least {USED:.0%} more of the other flowers to tulips), on the same photos:",
        table(("", "other flowers with the plant called tulips", "those without it", "accuracy",
               "tulips with the plant called so", "tulips without it called so"),
              ((words, *(f"{number:.1%}" for number in _mean_numbers(results.used, what)))
               for words, what in WAYS.items())),
        "Beside the constant that keeps as many tulips, in points of accuracy and of other flowers with the plant that "
        f"are called tulips: muting at the suggested strength {_gain(results.used, 'muted', 'as_low')}, "
        f"as the page does it {_gain(results.used, 'page', 'as_low_as_page')}, altogether "
        f"{_gain(results.used, 'full', 'as_low_as_full')}, altogether and given back "
        f"{_gain(results.used, 'given_back', 'as_low_as_given')}.",
        "### Which method?",
        "The same heads. All methods' parts are put in order by one rule: "
        f"{COMMON.replace('the same', _first_rule())}. ± is one standard error over heads. "
        "A method that knows which photos have the plant reaches "
        f"{np.mean([one.ceiling for one in results.used]):.3f}.",
        table(("method", *OF_METHODS), ((name, *summary([one.methods[name] for one in results.used]))
                                        for name in METHODS)),
        f"How parts are put in order ({RULED}):",
        table(("rule", *OF_METHODS[1:-1]), ((rule, *summary([one.rules[rule] for one in results.used])[1:-1])
                                            for rule in RULES)),
        "### Without a plant",
        _unplanted(results),
        table(("class", "photos called, wrong", "causes", "suspicious"),
              ((name, *_suspicious(of_seeds)) for name, of_seeds in results.unplanted.items())),
        *(_habit(results) if results.habits else []),
        "### How fast?",
        table(("what", "median", "longest", "wanted"), ((what, *(_seconds(number) for number in numbers))
                                                        for what, *numbers in results.speeds)),
    ]
    return "\n\n".join(parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def _first_rule() -> str:
    return next(iter(RULES)).replace(", in logits", ",")


def _found(plant: str, rate: float, of_seeds: list[OfCase]) -> tuple[str, ...]:
    repairs, count = [one.repair for one in of_seeds], len(of_seeds)
    planted, clean = np.mean([one.use for one in of_seeds], 0)
    places = np.array([one.place for one in repairs])
    return (plant, f"{rate:.0%}", f"{planted:.0%}, {clean:.0%}",
            f"{np.mean([one.called for one in of_seeds]):.0f}, {np.mean([one.wrong for one in of_seeds]):.0f}",
            f"{(places == 1).sum()}, {(places <= 2).sum()} of {count}",
            f"{np.mean([one.area for one in repairs]):.2f}", f"{np.mean([one.first for one in repairs]):.2f}",
            f"{np.mean([one.ceiling for one in of_seeds]):.2f}", f"{sum(one.suspicious for one in repairs)} of {count}")


def _muted(plant: str, rate: float, of_seeds: list[OfCase]) -> tuple[str, ...]:
    before, muted, full, clean = (_mean_numbers(of_seeds, what) for what in ("before", "muted", "full", "clean_head"))
    cells = [f"{getattr(before, what):.0%} → {getattr(muted, what):.0%} → {getattr(full, what):.0%} "
             f"({getattr(clean, what):.0%})" for what in ("planted", "accuracy", "own_planted", "own_clean")]
    return plant, f"{rate:.0%}", f"{np.mean([one.repair.strength for one in of_seeds]):.2f}", *cells


def _mean_numbers(cases: Sequence[OfCase], what: str) -> Numbers:
    return Numbers(*np.mean([getattr(one.repair, what) for one in cases], 0))


def _gain(cases: Sequence[OfCase], one: str, other: str) -> str:
    """What one way has over another, in points, with standard errors over heads."""
    pairs = [(getattr(case.repair, one), getattr(case.repair, other)) for case in cases]
    accuracy = paired_test([100 * (first.accuracy - second.accuracy) for first, second in pairs])
    wrong = paired_test([100 * (first.planted - second.planted) for first, second in pairs])
    return (f"{accuracy.mean:+.1f} ± {accuracy.standard_error:.1f} and "
            f"{wrong.mean:+.1f} ± {wrong.standard_error:.1f}")


def _suspicious(of_seeds: list) -> tuple[str, ...]:
    listed: list[Causes] = [causes for _, causes in of_seeds]
    return (", ".join(f"{len(case.wrong)} ({case.wrong.sum()})" for case, _ in of_seeds),
            ", ".join(str(len(causes.all)) for causes in listed),
            ", ".join(str(sum(cause.suspicious for cause in causes.all)) for causes in listed))


def _unplanted(results: Results) -> str:
    lists = [causes for of_seeds in results.unplanted.values() for _, causes in of_seeds]
    some = sum(any(cause.suspicious for cause in causes.all) for causes in lists)
    return (f"Heads that never saw a plant, asked about each class: in {some} of {len(lists)} lists a cause is called "
            "suspicious all the same. The heads differ little and see the same test photos, so what one shows the "
            "others tend to show. Each cell has a number a head.")


def _habit(results: Results) -> list[str]:
    assert results.rises is not None
    habits, rises = results.habits, results.rises
    rank = int((rises > rises[results.carton]).sum()) + 1
    return [
        "### The bundled network's own habit",
        f"Chinese characters, half transparent, over {habits[0].photos} ImageNet photos raise *carton* by "
        f"{rises[results.carton]:+.1f} logits in the mean, rank {rank} of {len(rises)} classes. In a run of these "
        f"photos half have characters (three draws); no photo is labelled carton, so all that are called so are wrong "
        "and no cause can be more common among wrong than among right ones. *List*: carton's place among classes by "
        "wrong photos called so. *Causes*: of the photos called carton, in the list's order: the AUC of each for "
        "characters, over all photos of the run. *Wrong calls* and *correct* (of all photos): as they are → the first "
        "cause muted in carton's row at the suggested strength → altogether.",
        table(("called carton, with characters", "list", "causes", "strength", "wrong calls", "correct"),
              ((f"{one.called}, {one.written}", str(one.place), ", ".join(f"{area:.2f}" for area in one.areas),
                f"{one.strength:.2f}", _arrows(one.calls), _arrows(one.correct)) for one in habits)),
        "So few photos are *called* carton that they share little but the characters. Causes of the photos whose logit "
        "of carton is largest, called so or not: the best part's AUC for characters, its place by mean strength (there "
        "are no right photos to compare with), the AUC of the part in the first place, and of all positive "
        "contributions together:",
        table(("photos", "with characters", "parts", "best AUC", "place", "AUC of the first", "all together"),
              ((str(top), *(_each(habits, nth, what) for what in (
                  "written", "parts", "best", "place", "first", "total"))) for nth, top in enumerate(TOPS))),
    ]


def _each(habits: Sequence, nth: int, what: str) -> str:
    numbers = [getattr(one.listed[nth], what) for one in habits]
    return ", ".join(f"{number:.2f}" if isinstance(number, float) else str(number) for number in numbers)


def _arrows(numbers: Sequence[int]) -> str:
    return " → ".join(map(str, numbers))


def _seconds(number: float) -> str:
    return f"{number:.1f} s" if number >= 1 else f"{1000 * number:.1f} ms"
