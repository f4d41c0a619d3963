"""What a run over a folder says: at a glance, and which classes are confused most."""

from __future__ import annotations

from explorer.folder import Run
from explorer.folder.summary import SURE, Counts, confused, counts, wrong
from explorer.sections.nodes import Node, el
from explorer.sections.parts import table
from explorer.wording import percent, shortened

_MOST = 10  # rows of a table in the overview


def overview(run: Run) -> Node:
    """The run in numbers, each with what it counts."""
    numbers, network = counts(run), run.recipe["network"]
    photos = "1 photo" if numbers.photos == 1 else f"{numbers.photos:,} photos"
    return el("section", el("h2", f"{photos}, {network['title']}"), facts_of(numbers),
              *most_confused(run), *sure_and_wrong(run))


def facts_of(numbers: Counts) -> Node:
    """How many photos are right, sure, labelled and readable."""
    facts = [("photos", f"{numbers.photos:,}")]
    if numbers.accuracy is not None:
        facts += [
            ("accuracy", f"{percent(numbers.accuracy)}, {numbers.correct:,} of {numbers.judged:,} with a label"),
            ("sure and wrong", f"{numbers.sure_and_wrong:,}, at least {percent(SURE)}"),
            ("unsure and right", f"{numbers.unsure_and_right:,}, below {percent(SURE)}"),
        ]
    else:
        facts.append(("labels", "none that a class has"))
    if numbers.unknown_labels:
        facts.append(("label of no class", f"{numbers.unknown_labels:,} of {numbers.labelled:,}"))
    if numbers.unreadable:
        facts.append(("no answer", f"{numbers.unreadable:,}; the column error says why"))
    return el("dl", *(el(tag, text) for fact in facts for tag, text in zip(("dt", "dd"), fact, strict=True)))


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
