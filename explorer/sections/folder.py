"""What a run over a folder says: at a glance, which classes are confused, where evidence lies, how two runs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from explorer import render
from explorer.folder import Run
from explorer.folder.selection import SURE
from explorer.folder.summary import (
    Counts,
    Rows,
    by_class,
    calibration,
    class_pairs,
    confused,
    counts,
    mean_evidence,
    wrong,
)
from explorer.sections.nodes import Node, el, picture
from explorer.sections.parts import Row, facts, head, legend, table
from explorer.wording import percent, plain, shortened

_MOST = 10  # rows of a table in the overview
_MAP_SIDE = 240  # px of a mean map
_GROUND = (225, 225, 225)  # under it


def overview(run: Run) -> Node:
    """The run in numbers, each with what it counts."""
    numbers, network = counts(run), run.recipe["network"]
    photos = "1 photo" if numbers.photos == 1 else f"{numbers.photos:,} photos"
    return el("section", el("h2", f"{photos}, {network['title']}"), facts_of(numbers),
              *most_confused(run), *sure_and_wrong(run))


def facts_of(numbers: Counts) -> Node:
    """How many photos are right, sure, labelled and readable."""
    pairs = [("photos", f"{numbers.photos:,}")]
    if numbers.accuracy is not None:
        pairs += [
            ("accuracy", f"{percent(numbers.accuracy)}, {numbers.correct:,} of {numbers.judged:,} with a label"),
            ("sure and wrong", f"{numbers.sure_and_wrong:,}, at least {percent(SURE)}"),
            ("unsure and right", f"{numbers.unsure_and_right:,}, below {percent(SURE)}"),
        ]
    else:
        pairs.append(("labels", "none that a class has"))
    if numbers.unknown_labels:
        pairs.append(("label of no class", f"{numbers.unknown_labels:,} of {numbers.labelled:,}"))
    if numbers.unreadable:
        pairs.append(("no answer", f"{numbers.unreadable:,}; the column error says why"))
    return facts(pairs)


def most_confused(run: Run) -> list[Node]:
    """A table of the classes that are confused most; nothing where none are more than once."""
    names = run.recipe["network"]["class_names"]
    pairs = [pair for pair in confused(run, _MOST) if pair["photos"] > 1]
    if not pairs:
        return []
    rows = [[shortened(names[pair["label_class"]]), shortened(names[pair["answer"]]), f"{pair['photos']:,}"]
            for pair in pairs]
    return [el("h3", "Confused most"), table(("label", "prediction", "photos"), rows, numbers=(2,))]


def sure_and_wrong(run: Run) -> list[Node]:
    """A table of the photos whose answer is not their label, the surest first; nothing where there are none."""
    names, rows = run.recipe["network"]["class_names"], wrong(run, _MOST)
    if not rows:
        return []
    numbers = [[row["path"], shortened(names[row["label_class"]]), shortened(names[row["answer"]]),
                "" if row["probability"] is None else percent(row["probability"])] for row in rows]
    return [el("h3", "Wrong, the surest first"),
            table(("photo", "label", "prediction", "probability"), numbers, numbers=(3,))]


def photo_caption(row: Mapping[str, Any], names: Sequence[str]) -> list[str | bool]:
    """Of a photo: its prediction, its label, whether they differ, and its path."""
    label = row["label"] if row["label_class"] is None else names[row["label_class"]]
    if row["error"] is not None:
        return ["no answer", row["error"], True, row["path"]]
    likely = "" if row["probability"] is None else f", {percent(row['probability'])}"
    is_wrong = row["label_class"] is not None and row["label_class"] != row["answer"]
    second = "" if label is None else f"label: {label}" if is_wrong or row["label_class"] is None else "right"
    return [f"{names[row['answer']]}{likely}", second, is_wrong, row["path"]]


def confusion_matrix(
    rows: Rows, names: Sequence[str], shown: tuple[int | None, int | None] = (None, None)
) -> Node | None:
    """The classes that are confused most, labels down and predictions across; a click on a number picks the pair.

    None where no photo is wrong.

    Args:
        shown: label and prediction of the photos that the page shows.
    """
    classes, pairs = class_pairs(rows)
    if not classes:
        return None
    most = max((photos for (label, answer), photos in pairs.items() if label != answer), default=1)

    def cell(label: int, answer: int) -> Node:
        photos = pairs.get((label, answer), 0)
        if not photos:
            return el("td", "·", class_="none")
        share = 0.0 if label == answer else 0.15 + 0.6 * photos / most
        where = f"{names[label]} predicted as {names[answer]}"
        return el("td", el("button", f"{photos:,}", type="button", pick=["pair", label, answer], title=where,
                           aria_label=f"{photos:,} of {where}", data_key=f"pair-{label}-{answer}",
                           aria_pressed=str((label, answer) == shown).lower()),
                  class_="right" if label == answer else "wrong", style={"--share": f"{share:.0%}"})

    top = el("tr", el("td", "label ↓, prediction →", class_="caption"),
              *(el("th", el("span", shortened(names[answer], 24)), scope="col") for answer in classes))
    body = [el("tr", el("th", shortened(names[label], 30), scope="row"), *(cell(label, answer) for answer in classes))
            for label in classes]
    return el("div", el("table", el("thead", top), el("tbody", *body), class_="confusion"), class_="scrolls",
              tabindex="0", role="group", aria_label="Confusion matrix")


def class_table(rows: Rows, names: Sequence[str], shown: int | None = None, most: int = 20) -> Node:
    """The least accurate classes, a row each, and the one that is shown; a click picks it."""
    every = by_class(rows)
    kept = every[:most] + [one for one in every[most:] if one["label_class"] == shown]
    lines = [
        Row([shortened(names[one["label_class"]], 40), f"{one['photos']:,}", percent(one["accuracy"]),
             _share(one["probability"]), _share(one["border"]), _share(one["middle"]),
             "" if one["confused_with"] is None else shortened(names[one["confused_with"]], 40)],
            one["label_class"] == shown, ["label", one["label_class"]])
        for one in kept]
    words = ("label", "photos", "right", "its probability, mean", "evidence at the border", "in the middle",
             "confused with most")
    caption = (f"The {len(kept):,} least accurate of {len(every):,} classes; the filter Label shows any other."
               if len(every) > len(kept) else "All classes, the least accurate first.")
    return el("div", table(words, lines, numbers=range(1, 6)), el("p", caption, class_="caption"), class_="scrolls")


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)


def calibration_table(rows: Rows) -> Node | None:
    """How often answers of a probability are right; None without any."""
    bins = [one for one in calibration(rows) if one["photos"]]
    if not bins:
        return None
    lines: list[list[Node | str]] = [
             [f"{10 * one['bin']} to {10 * one['bin'] + 10}%", f"{one['photos']:,}", percent(one["probability"]),
              percent(one["accuracy"]),
              el("div", role="img", aria_label=f"{percent(one['accuracy'])} right", class_="bar",
                 style={"--share": f"{one['accuracy']:.0%}", "--at": f"{one['probability']:.0%}"})] for one in bins]
    return el("div", head("Is it right as often as it is sure?", "bar: right; line: mean probability"),
              table(("probability", "photos", "mean", "right", ""), lines, numbers=(1, 2, 3), class_="reliability"))


def mean_maps(run: Run, unit: str = "logits") -> Node | None:
    """Where the evidence for the answer lies on average, of right and wrong photos side by side, on one scale."""
    means = {words: mean for words, where in (("right", "answer = label_class"), ("wrong", "answer != label_class"))
             if (mean := mean_evidence(run, where))}
    if not means and (mean := mean_evidence(run)):
        means = {"all": mean}
    if not means:
        return None
    scale = render.Scale.signed(*(cells for cells, _ in means.values()))
    pictures = []
    for words, (cells, photos) in means.items():
        down, across = cells.shape
        size = (_MAP_SIDE, round(_MAP_SIDE * down / across))
        painted = render.overlay(Image.new("RGB", size, _GROUND), cells, (0, 0, *size), scale, opacity=1)
        pictures.append(el("div", picture(render.jpeg(painted), f"Mean evidence of the photos: {words}"),
                           el("span", f"{words}: mean of {photos:,}", class_="caption"), class_="shot"))
    return el("div", el("h3", "Where the evidence for the answer lies"), el("div", *pictures, class_="shots"),
              legend(scale, plain(scale.low), plain(scale.limit), unit, "Blue for negative, red for positive"))


def flips(rows: Rows, here: str, there: str) -> Node:
    """Of two runs: how many photos are right in both, in one, in none; a click on a number picks them."""
    (counted,) = rows.query("""
        SELECT count(*) FILTER (answer = label_class AND other_answer = label_class) AS both,
               count(*) FILTER (answer = label_class AND other_answer != label_class) AS mended,
               count(*) FILTER (answer != label_class AND other_answer = label_class) AS broken,
               count(*) FILTER (answer != label_class AND other_answer != label_class) AS none,
               count(*) FILTER (answer != other_answer) AS differ, count(other_answer) AS common FROM rows
        """).to_pylist()
    judged = sum(counted[kind] for kind in ("both", "mended", "broken", "none")) or 1
    lines: list[Row | Sequence[Node | str]] = [
        *([f"right in {name}", f"{counted['both'] + counted[alone]:,}, "
           f"{percent((counted['both'] + counted[alone]) / judged)}"]
          for name, alone in ((here, "mended"), (there, "broken"))),
        ["right in both", f"{counted['both']:,}"],
        Row([f"right in {here}, wrong in {there}", f"{counted['mended']:,}"], pick=["outcome", "mended"]),
        Row([f"wrong in {here}, right in {there}", f"{counted['broken']:,}"], pick=["outcome", "broken"]),
        ["wrong in both", f"{counted['none']:,}"],
        Row(["another prediction, with or without a label", f"{counted['differ']:,}"], pick=["outcome", "differ"]),
        ["photos in both runs", f"{counted['common']:,}"],
    ]
    return table(("two runs", "photos"), lines, numbers=(1,), class_="flips")
