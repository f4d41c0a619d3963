"""Heads trained on a run: a table of how each kind does by each loss, and what its numbers are of."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.folder.head_outcomes import HeadOutcome, HeadsOnRun
from explorer.heads import KINDS
from explorer.heads.training import LOSSES
from explorer.sections.nodes import Node, el
from explorer.sections.parts import note, table
from explorer.wording import listed, percent, shortened

_MOST_LEFT_OUT = 5  # labels that are named


def heads_section(result: HeadsOnRun) -> Node:
    """Which pooling for these photos: the table, and below it how to read it."""
    scrolling = el("div", heads_table(result), class_="scrolls", tabindex="0", role="group", aria_label="Heads")
    return el("div", el("h3", f"Heads for {len(result.classes):,} labels of {shortened(result.run.photos.name, 40)}"),
              scrolling, *(note(sentence) for sentence in _sentences(result)), class_="ruled")


def heads_table(result: HeadsOnRun) -> Node:
    """One row a kind and loss, in the order they were trained."""
    boxed = any(one.inside is not None for one in result.outcomes)
    words = ["head", "loss", "right", "of test photos", "95% interval", "parameters", "seconds"]
    words += ["evidence inside the boxes"] * boxed
    return table(words, [_row(one, boxed) for one in result.outcomes], numbers=range(2, len(words)))


def _row(one: HeadOutcome, boxed: bool) -> list[str]:
    interval = f"{percent(one.low)} to {percent(one.high)}"
    cells = [KINDS[one.kind].name, LOSSES[one.loss].name, percent(one.accuracy), f"{one.right:,} of {one.photos:,}",
             interval, f"{one.parameters:,}", f"{one.seconds:.1f}"]
    return cells + ["" if one.inside is None else percent(one.inside)] * boxed


def _sentences(result: HeadsOnRun) -> Sequence[str]:
    counts = result.counts
    sentences = [f"{counts['train']:,} photos trained them, {counts['validation']:,} decided when to stop, and "
                 f"{counts['test']:,} tested them: two heads whose intervals overlap widely are not told apart."]
    if result.chance is not None:
        sentences.append(f"Evidence spread evenly over what the network saw would hold {percent(result.chance)} inside "
                         f"the boxes; {result.outcomes[-1].boxed:,} test photos have some.")
    if result.left_out:
        named = listed([f"{shortened(label, 30)} ({photos:,})" for label, photos in result.left_out[:_MOST_LEFT_OUT]])
        more = len(result.left_out) - _MOST_LEFT_OUT
        sentences.append(f"Left out for too few photos: {named}" + (f" and {more:,} more." if more > 0 else "."))
    if result.beyond:
        sentences.append(f"{result.beyond:,} photos were left out, evenly by label, to keep the maps in memory.")
    if result.unread:
        sentences.append(f"{result.unread:,} photos could not be read.")
    return sentences
