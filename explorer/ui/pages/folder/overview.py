"""A run at a glance: how many are right, how sure, which classes are confused, and where the evidence lies."""

from __future__ import annotations

from typing import Any

from explorer.folder.index import Index
from explorer.folder.selection import SURE
from explorer.folder.summary import counts
from explorer.sections.folder import calibration_table, class_table, confusion_matrix, facts_of, flips, mean_maps
from explorer.sections.nodes import Node, el
from explorer.sections.parts import head
from explorer.ui import panels
from explorer.ui.components.board import board
from explorer.ui.session.session import Session
from explorer.wording import percent, shortened


def run_headline(index: Index, title: str) -> None:
    """The accuracy, or how many photos there are, and what is most to be looked at; `title` is the run's."""
    numbers, network = counts(index), index.run.recipe["network"]
    photos = f"{numbers.photos:,} photo{'' if numbers.photos == 1 else 's'}"
    wrong = numbers.judged - numbers.correct
    sentences = [f"{shortened(title, 60)}: {photos} by {network['title']}."]
    if wrong:
        sentences.insert(0, f"{numbers.sure_and_wrong:,} of these with a probability of at least {percent(SURE)}.")
    if numbers.unknown_labels:
        unknown = index.query("SELECT label FROM rows WHERE label IS NOT NULL AND label_class IS NULL LIMIT 1")
        sentences.append(f"{numbers.unknown_labels:,} have a label that no class has, such as "
                         f"“{shortened(unknown['label'][0].as_py(), 40)}”.")
    elif numbers.accuracy is None:
        sentences.append("With labels the page shows which are wrong: the names of the folders that photos lie in, or "
                         "a table of path and label.")
    panels.headline([f"{photos}, and no label that a class has" if numbers.accuracy is None else
                     f"{percent(numbers.accuracy)} right: {wrong:,} of {numbers.judged:,} photos "
                     f"{'is' if wrong == 1 else 'are'} wrong"], " ".join(sentences))


def glance(index: Index) -> None:
    """Numbers, calibration, and where evidence lies on average."""
    unit = "logits" if index.run.recipe["network"]["activation"] != "none" else "its unit"
    parts: list[Node | None] = index.kept("glance", lambda: [
        el("div", el("h3", "Photos"), facts_of(counts(index))), mean_maps(index.run, unit), calibration_table(index)])
    board(el("div", *parts, class_="glance ruled"), key="glance")


def confusion(session: Session, index: Index) -> None:
    """The matrix; a click on a number shows its photos."""
    chosen = session.choices
    names = index.run.recipe["network"]["class_names"]
    matrix = confusion_matrix(index, names, (chosen.label, chosen.predicted))
    if matrix is not None:
        pairs = index.query("SELECT count(DISTINCT (label_class, answer)) AS pairs FROM rows "
                            "WHERE answer != label_class")["pairs"][0].as_py()
        caption = (f"Classes of the pairs with the most wrong photos, of {pairs:,} pairs; a click on a number shows "
                   "its photos.")
        board(el("div", head("Confused most", caption), matrix, class_="ruled"),
              key="matrix", on_pick=lambda picked: pick(session, picked))


def classes(session: Session, index: Index) -> None:
    """A row for each class, the least accurate first."""
    if counts(index).judged:
        names = index.run.recipe["network"]["class_names"]
        board(el("div", el("h3", "By class"), class_table(index, names, session.choices.label), class_="ruled"),
              key="classes", on_pick=lambda picked: pick(session, picked))


def two_runs(session: Session, index: Index) -> None:
    """What the second run answers for the same photos, where one is chosen."""
    if index.other is not None:
        here, there = (shortened(run.path.name, 30) for run in (index.run, index.other))
        board(el("div", el("h3", f"{here} against {there}"), flips(index, here, there), class_="stack ruled"),
              key="flips", on_pick=lambda picked: pick(session, picked))


def pick(session: Session, picked: list[Any]) -> None:
    """In a callback: show the photos of a cell, a class or an outcome; the same again shows all."""
    kind, *which = picked
    chosen = session.choices
    if kind == "pair":
        same = which == [chosen.label, chosen.predicted]
        label, predicted = (None, None) if same else which
        session.choose(label=label, predicted=predicted, outcome="all")
    elif kind == "label":
        session.choose(label=None if which[0] == chosen.label else which[0], predicted=None)
    else:
        session.choose(outcome="all" if which[0] == chosen.outcome else which[0])
