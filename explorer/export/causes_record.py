"""Causes and mutings as plain dicts for JSON, and a repair as a report and as files."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.export.report import document
from explorer.export.strict_json import finite, json_text, versions
from explorer.folder.causes import Causes
from explorer.folder.muting import STRENGTHS, Muting
from explorer.folder.repair import recipe_of_repair
from explorer.folder.run import Run
from explorer.sections.causes import bar_sentence, before_and_after, classes_changed, suggestion
from explorer.sections.nodes import el
from explorer.sections.parts import note, section, table

_MOST_PHOTOS = 20  # of each cause


def causes_record(run: Run, causes: Causes) -> dict[str, Any]:
    """The causes of a class: numbers, channels with their shares, and the photos with most of each."""
    made, names = causes.contributions, run.recipe["network"]["class_names"]
    paths = made.table["path"]
    return finite({
        "versions": versions(), "run": str(run.path), "network": run.recipe["network"]["title"],
        "class": {"index": made.class_index, "name": names[made.class_index]},
        "rival": None if made.rival is None else {"index": made.rival, "name": names[made.rival]},
        "photos": len(made.numbers), "wrong": int(made.wrong.sum()), "right": int(made.right.sum()),
        "explained": causes.parts.explained, "tried": [one._asdict() for one in causes.parts.tried],
        "causes": [{
            "logits": cause.mean, "share": cause.share, "extra": cause.extra, "suspicious": cause.suspicious,
            "common": None if cause.common is None else cause.common._asdict(), "looks": cause.looks,
            "channels": [{"channel": int(channel), "share": float(cause.shares[channel])}
                         for channel in cause.channels],
            "photos": [{"path": paths[int(place)].as_py(), "logits": float(cause.strengths[place])}
                       for place in cause.strongest[:_MOST_PHOTOS]],
        } for cause in causes.all],
    })


def muting_record(muting: Muting, place: int) -> dict[str, Any]:
    """What muting changes, by strength, and at the one that is used."""
    return finite({
        "strength": float(STRENGTHS[place]), "suggested": float(STRENGTHS[muting.suggested]),
        "before": {key: float(values[0]) for key, values in muting.curve.items()},
        "after": {key: float(values[place]) for key, values in muting.curve.items()},
        "curve": {"strengths": STRENGTHS.tolist(), **{key: values.tolist() for key, values in muting.curve.items()}},
        "by_class": [one._asdict() for one in muting.by_class(place)],
        "bar": None if (bar := muting.bar(place)) is None else bar._asdict(),
        "changed": len(muting.changed(place).numbers),
        "photos": len(muting.answers.rows),
    })


def repair_json(run: Run, muting: Muting, place: int) -> str:
    """The recipe of a repair."""
    recipe = recipe_of_repair(run, muting, float(STRENGTHS[place]), muting_record(muting, place))
    return json_text(recipe | {"versions": versions()})


def repair_html(run: Run, muting: Muting, place: int) -> str:
    """A report with before and after, and what was damped; one document."""
    names, network = run.recipe["network"]["class_names"], run.recipe["network"]["title"]
    where = "the rows of all classes" if muting.class_index is None else f"the row of {names[muting.class_index]}"
    factors = 1 - STRENGTHS[place] * muting.shares
    damped = np.argsort(factors, kind="stable")[: int((muting.shares > 0).sum())]
    header = el("header", el("p", f"PoolScope · {network}", class_="name"), el("h1", f"{network}, repaired"),
                el("p", f"In {where} of its head, {len(damped):,} channels are damped by up to "
                        f"{1 - float(factors.min()):.0%}.", class_="lead"))
    return document(f"{network}, repaired", header, [
        section("Before and after", el("p", suggestion(muting)), before_and_after(muting, place, names),
                classes_changed(muting, place, names),
                el("p", bar_sentence(muting, place, names)),
                note(f"{len(muting.answers.rows):,} photos of the folder “{run.photos.name}”. Half of them, by a hash "
                     "of the path, choose the suggested strength; the other half is held out.")),
        section("Factors", table(("channel", "its weight times"),
                                 [[f"{int(channel)}", f"{factors[channel]:.3f}"] for channel in damped[:50]],
                                 numbers=(1,))),
    ])
