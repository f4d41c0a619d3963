"""Why this class and not that one, as lines of text."""

from __future__ import annotations

import math

from explorer.analysis import Outcome
from explorer.export import files as export
from explorer.questions.edited_photo import FILLS
from explorer.questions.probe import Answers
from explorer.questions.stability import movement_sentence, stability_sentence
from explorer.sections.reasons import (
    LEFT_OUT,
    Reasons,
    held_in_words,
    positions_in_words,
    said_in_words,
    sides_in_words,
    smallest_sentence,
)
from explorer.sections.summary import as_text
from explorer.terminal.table import aligned, printable, shorten, wrapped
from explorer.wording import exactness, percent, plain, shortened, signed

_LETTERS = str.maketrans({"−": "-", "…": "...", "×": "x"})
_LONGEST, _LONGEST_HEAD = 40, 30  # of a name within a sentence, and over a column


def lines(found: Reasons) -> list[str]:
    """All that was found, section by section, each after an empty line; what there is none of, with its reason."""
    sections = [_title(found), _against(found), _poolings(found), _without(found), _smallest(found), _stable(found),
                _finer(found)]
    return [_typed(line) for section in sections if section for line in ["", *section]][1:]


def _title(found: Reasons) -> list[str]:
    mine, other = _named(found)
    against = "" if other is None else f" and not {other} ({found.rival})"
    return [f"Why {mine} ({found.class_index}){against}, {_under(found)}", *_wrapped(as_text(found.summary), 0)]


def _against(found: Reasons) -> list[str]:
    contrast, (mine, other) = found.contrast, _named(found)
    if contrast is None:
        return _missing(found, "contrasts", "A against B")
    evidence = float(contrast.cells.sum())
    return [
        f"{mine} against {other}",
        f"  difference {_three(contrast.difference)} = baseline {_three(contrast.baseline)} "
        f"{'-' if evidence < 0 else '+'} evidence {_three(abs(evidence))} "
        f"({exactness(contrast.exact, contrast.residual)})",
        *(line for sentence in sides_in_words(found, mine, other) for line in _wrapped(sentence)),
        *_channels(found),
    ]


def _channels(found: Reasons) -> list[str]:
    if not found.deciding:
        return ["  No channel adds anything to the difference."]
    mine, other = (shorten(_typed(shortened(name, _LONGEST_HEAD))) for name in found.names)
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
    return (outcome.name, export.label(outcome, calibrated), signed(difference), shorten(_typed(answer.name)),
            percent(answer.probability))


def _without(found: Reasons) -> list[str]:
    probe = found.probe
    if probe is None:
        return _missing(found, "probe", "Without a part")
    mine, rows = _named(found)[0], []
    if probe.held is not None:
        rows.append(("it holds", signed(probe.held.logits), held_in_words(found, mine)))
    if probe.own.ignoring is not None:
        rows.append(("ignored by the pooling", *_changed(found, probe.own.ignoring)))
    rows += [(FILLS[fill], *_changed(found, said)) for fill, said in probe.own.after.items()]
    return [
        f"Without {positions_in_words(found)}",
        f"  What becomes of the logit of {mine}, {plain(probe.own.before.classes[0].logit)}:",
        *aligned(rows, right=(1,), indent=4),
        *(line for each in found.disagreements[:1] for line in _wrapped(each.sentence)),
    ]


def _changed(found: Reasons, said: Answers) -> tuple[str, str]:
    before, after = (each.classes[0].logit for each in (found.probe.own.before, said))
    return signed(after - before), said_in_words(found, said, _LONGEST)


def _smallest(found: Reasons) -> list[str]:
    return [*_one_smallest(found, "flip", "The smallest change that flips it"),
            *_one_smallest(found, "sufficient", "The smallest part that is enough")]


def _one_smallest(found: Reasons, name: str, title: str) -> list[str]:
    smallest = getattr(found, name)
    if smallest is None:
        return _missing(found, name, title)
    return [title, *_wrapped(f"{smallest_sentence(found, smallest)} {smallest.passes:,} inputs were run.")]


def _stable(found: Reasons) -> list[str]:
    stability = found.stability
    if stability is None:
        return _missing(found, "stability", "Changed a little")
    return ["Changed a little (" + ", ".join(dict.fromkeys(each.variation for each in stability.variants)) + ")", *(
        line for under in stability.under for line in _wrapped(
            f"{under.name}: {stability_sentence(stability, under)} {movement_sentence(under)}"))]


def _finer(found: Reasons) -> list[str]:
    stitched = found.stitched
    if stitched is None:
        return _missing(found, "stitched", "Shifted by parts of a position")
    rows, columns = stitched.cells.shape
    what = "difference" if stitched.rival is not None else "logit"
    return [
        f"Shifted by parts of a position, stitched to {rows} x {columns} places",
        *_wrapped(f"mean {what} {plain(stitched.logit)} = baseline {plain(stitched.baseline)}, evidence "
                  f"{signed(float(stitched.cells.sum()))}, outside {signed(stitched.outside)} "
                  f"({exactness(stitched.exact, stitched.residual)}); of {len(stitched.logits)} shifts from "
                  f"{plain(float(stitched.logits.min()))} to {plain(float(stitched.logits.max()))}"),
    ]


def _missing(found: Reasons, name: str, title: str) -> list[str]:
    """Why there is none of it; nothing where it was not asked for."""
    reason = found.missing[name]
    return [] if reason == LEFT_OUT else [title, *_wrapped(reason)]


def _named(found: Reasons) -> tuple[str, str | None]:
    mine, other = found.names
    return shortened(mine, _LONGEST), None if other is None else shortened(other, _LONGEST)


def _under(found: Reasons) -> str:
    outcome = found.outcome
    if not outcome.analysis.has_evidence:
        return f"by {outcome.analysis.layer_name}"
    return f"under {outcome.name} ({export.label(outcome, found.calibrated)})"


def _typed(text: str) -> str:
    """The text on one line, in letters that a terminal has; before it is measured, because some become several."""
    return printable(text.translate(_LETTERS))


def _wrapped(text: str, indent: int = 2) -> list[str]:
    return wrapped(text.translate(_LETTERS), indent)


def _three(value: float) -> str:
    return f"{value:z.3f}" if math.isfinite(value) else "not a number"
