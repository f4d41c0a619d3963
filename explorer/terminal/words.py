"""Why this class and not that one, as lines of text."""

from __future__ import annotations

from explorer import export
from explorer.analysis import Answer, Outcome
from explorer.report.reasons import LEFT_OUT, Reasons, positions_in_words, smallest_sentence
from explorer.table import aligned, printable, shorten, wrapped
from explorer.why.edits import FILLS
from explorer.why.probe import Said
from explorer.why.stability import movement_sentence, stability_sentence
from explorer.why.summary import as_text
from explorer.wording import carriers_sentence, exactness, percent, plain, shortened, signed

_LETTERS = str.maketrans({"−": "-", "…": "...", "×": "x"})


def lines(found: Reasons) -> list[str]:
    """All that was found, section by section, each after an empty line; what there is none of, with its reason."""
    sections = [_title(found), _against(found), _poolings(found), _without(found), _smallest(found), _stable(found),
                _finer(found)]
    return [printable(line.translate(_LETTERS)) for section in sections if section for line in ["", *section]][1:]


def _title(found: Reasons) -> list[str]:
    mine, other = _named(found)
    against = "" if other is None else f" and not {other} ({found.rival})"
    return [f"Why {mine} ({found.class_index}){against}, {_under(found)}", *wrapped(as_text(found.summary))]


def _against(found: Reasons) -> list[str]:
    contrast, (mine, other) = found.contrast, _named(found)
    if contrast is None:
        return _missing(found, "contrasts", "A against B")
    evidence = float(contrast.cells.sum())
    sides = ((contrast.cells, mine, other), (-contrast.cells, other, mine))
    return [
        f"{mine} against {other}",
        f"  difference {contrast.difference:.3f} = baseline {contrast.baseline:.3f} "
        f"{'-' if evidence < 0 else '+'} evidence {abs(evidence):.3f} "
        f"({exactness(contrast.exact, contrast.residual)})",
        *(line for cells, one, rather in sides
          for line in wrapped(carriers_sentence(cells, f"{one} rather than {rather}"), 2)),
        *_channels(found),
    ]


def _channels(found: Reasons) -> list[str]:
    if not found.deciding:
        return ["  No channel adds anything to the difference."]
    mine, other = (shorten(name) for name in _named(found))
    head = ("channel", "pooled", f"to {mine}", f"to {other}", "difference")
    rows = [(str(each.channel), plain(each.pooled), signed(each.to_class), signed(each.to_rival),
             signed(each.contribution)) for each in found.deciding]
    return ["  The channels that decide:", *aligned([head, *rows], right=range(5), indent=4)]


def _poolings(found: Reasons) -> list[str]:
    outcomes = found.outcome.under_each_pooling()
    if len(found.contrasts) != len(outcomes) or len(outcomes) < 2:
        return []
    head = ("", "", "difference", "its answer", "")
    rows = [_under_one(one, each.difference, found.calibrated)
            for one, each in zip(outcomes, found.contrasts, strict=True)]
    note = "; the differences are of logits as the head gives them" if found.calibrated else ""
    return [f"The same difference under each pooling{note}", *aligned([head, *rows], right=(2, 4))]


def _under_one(outcome: Outcome, difference: float, calibrated: bool) -> tuple[str, ...]:
    answer = outcome.top(1, calibrated)[0]
    return (outcome.name, export.label(outcome, calibrated), signed(difference), shorten(printable(answer.name)),
            percent(answer.probability))


def _without(found: Reasons) -> list[str]:
    probe = found.probe
    if probe is None:
        return _missing(found, "probe", "Without a part")
    before, rows = probe.own.before.classes[0], []
    if probe.held is not None:
        side = ("speaks for", probe.held.speaks_for) if probe.held.logits >= 0 else (
            "speaks against", probe.held.speaks_against)
        rows.append(("it holds", signed(probe.held.logits), f"{percent(side[1])} of what {side[0]} {_named(found)[0]}"))
    if probe.own.ignoring is not None:
        rows.append(("ignored by the pooling", *_changed(before, probe.own.ignoring)))
    rows += [(FILLS[fill], *_changed(before, said)) for fill, said in probe.own.after.items()]
    return [
        f"Without {positions_in_words(found)}",
        f"  What becomes of the logit of {_named(found)[0]}, {plain(before.logit)}:",
        *aligned(rows, right=(1,), indent=4),
        *(line for each in found.disagreements[:1] for line in wrapped(each.sentence, 2)),
    ]


def _changed(before: Answer, said: Said) -> tuple[str, str]:
    return (signed(said.classes[0].logit - before.logit),
            f"it says {shortened(said.top.name, 40)}, {percent(said.top.probability)}")


def _smallest(found: Reasons) -> list[str]:
    return [*_one_smallest(found, "flip", "The smallest change that flips it"),
            *_one_smallest(found, "sufficient", "The smallest part that is enough")]


def _one_smallest(found: Reasons, name: str, title: str) -> list[str]:
    smallest = getattr(found, name)
    if smallest is None:
        return _missing(found, name, title)
    return [title, *wrapped(f"{smallest_sentence(found, smallest)} {smallest.passes:,} inputs were run.", 2)]


def _stable(found: Reasons) -> list[str]:
    stability = found.stability
    if stability is None:
        return _missing(found, "stability", "Changed a little")
    return ["Changed a little (" + ", ".join(dict.fromkeys(each.variation for each in stability.variants)) + ")", *(
        line for under in stability.under for line in wrapped(
            f"{under.name}: {stability_sentence(stability, under)} {movement_sentence(under)}", 2))]


def _finer(found: Reasons) -> list[str]:
    stitched = found.stitched
    if stitched is None:
        return _missing(found, "stitched", "Shifted by parts of a position")
    rows, columns = stitched.cells.shape
    what = "difference" if stitched.rival is not None else "logit"
    return [
        f"Shifted by parts of a position, stitched to {rows} x {columns} places",
        *wrapped(f"mean {what} {plain(stitched.logit)} = baseline {plain(stitched.baseline)}, evidence "
                 f"{signed(float(stitched.cells.sum()))}, outside {signed(stitched.outside)} "
                 f"({exactness(stitched.exact, stitched.residual)}); of {len(stitched.logits)} shifts from "
                 f"{plain(float(stitched.logits.min()))} to {plain(float(stitched.logits.max()))}", 2),
    ]


def _missing(found: Reasons, name: str, title: str) -> list[str]:
    """Why there is none of it; nothing where it was not asked for."""
    reason = found.why_not[name]
    return [] if reason == LEFT_OUT else [title, *wrapped(reason, 2)]


def _named(found: Reasons) -> tuple[str, str | None]:
    mine, other = found.names
    return shortened(mine, 40), None if other is None else shortened(other, 40)


def _under(found: Reasons) -> str:
    outcome = found.outcome
    if not outcome.analysis.takes_apart:
        return f"by {outcome.analysis.layer_name}"
    return f"under {outcome.name} ({export.label(outcome, found.calibrated)})"
