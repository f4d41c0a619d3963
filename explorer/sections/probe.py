"""Without some positions: what they hold, the prediction without them, and the photos that the network was given."""

from __future__ import annotations

import numpy as np
from PIL import Image

from explorer import render
from explorer.analysis import Outcome
from explorer.questions.probe import TAKEN_OUT, Answers, HeldEvidence, Probe
from explorer.sections.answers import named_answer
from explorer.sections.nodes import Node, el, picture
from explorer.sections.parts import head, note, short, table
from explorer.wording import exactness, percent, plain, share_word, signed, strongest_half

SHOT_SIDE = 420  # px: of the changed photos


def positions_in_words(outcome: Outcome, class_index: int, chosen: np.ndarray, region: bool) -> str:
    """For example "the 6 of 49 positions that hold half of the positive evidence"."""
    count = f"the {int(chosen.sum())} of {chosen.size} positions"
    if region:
        rows, columns = np.nonzero(chosen)
        return f"{count} from ({rows.min()}, {columns.min()}) to ({rows.max()}, {columns.max()})"
    shown = outcome.class_map(class_index)
    if strongest_half(shown.array) is None:
        return f"{count} where the {shown.kind} is largest"
    return f"{count} that hold{'s' if chosen.sum() == 1 else ''} half of the positive {shown.kind}"


def probe_section(probe: Probe, positions: str, truth: int | None = None) -> Node:
    """What the positions hold, the logit and the prediction without them, the true class, and the changed photos."""
    network = probe.outcome.analysis.network
    name = short(network.class_names[probe.class_index])
    rows: list[tuple[Node | str, ...]] = []
    if (held := probe.held) is not None:
        rows.append(("It holds", el("strong", signed(held.logits)), "; ".join(filter(None, (
            _held(held, name), exactness(held.exact, held.residual, probe.outcome.logits))))))
    if probe.own.ignoring is not None:
        rows.append(_change(probe, "Ignored by the pooling", probe.own.ignoring))
    rows += [_change(probe, TAKEN_OUT[fill].capitalize(), answers) for fill, answers in probe.own.after.items()]
    apart = [note(one.sentence) for one in probe.disagreements if one.kind != "none"][:1]
    return el("div", el("div", head("Without this part", f"{network.number} of {name}"),
                        el("p", f"This part: {positions}.", class_="caption"),
                        table(("", network.number, ""), rows, numbers={1}, class_="ways"), *apart,
                        class_="ruled stack"),
              _truth(probe, truth) if truth is not None else None, _photos(probe), _poolings(probe), class_="stack")


def _truth(probe: Probe, truth: int) -> Node:
    """The class that the photo is truly of, one of those that are watched, before and after."""
    own, place, network = probe.own, probe.classes.index(truth), probe.outcome.analysis.network
    states = {"as it is": own.before, "ignored by the pooling": own.ignoring,
              **{TAKEN_OUT[fill]: answers for fill, answers in own.after.items()}}
    rows = []
    for words, answers in states.items():
        if answers is not None:
            answer = answers.classes[place]
            rows.append((words, f"{answer.rank:,}", percent(answer.probability), plain(answer.logit)))
    return el("div", head("The true class", short(own.before.classes[place].name)),
              table(("this part", "rank", share_word(own.before.classes[place].probability), network.number), rows,
                    numbers={1, 2, 3}), class_="ruled")


def _held(held: HeldEvidence, name: str) -> str:
    """"50% of the positive evidence for tabby"; "" where that is not a number."""
    if not np.isfinite(held.logits):
        return ""
    side, share = ("positive", held.positive_share) if held.logits >= 0 else ("negative", held.negative_share)
    return f"{percent(share)} of the {side} evidence for {name}"


def _change(probe: Probe, title: str, answers: Answers) -> tuple[Node | str, ...]:
    before, after = probe.own.before.classes[0].logit, answers.classes[0].logit
    network = probe.outcome.analysis.network
    alone = network.activation == "sigmoid" or len(network.class_names) == 1
    answer, what = (answers.classes[0], share_word(answers.top.probability)) if alone else (answers.top, "prediction")
    words = percent(answer.probability) if alone else f"{short(answer.name)}, {percent(answer.probability)}"
    return title, el("strong", signed(after - before)), f"{plain(before)} to {plain(after)}; {what}: {words}"


def _photos(probe: Probe) -> Node:
    """What the network was given."""
    _, seen = probe.outcome.analysis.preview(SHOT_SIDE)
    shots = (shot(probe.photo(fill, SHOT_SIDE), seen, f"The photo with that part {TAKEN_OUT[fill]}", TAKEN_OUT[fill])
             for fill in probe.own.after)
    return el("div", *shots, class_="shots ruled")


def shot(photo: Image.Image, seen: render.Box, alt: str, caption: str) -> Node:
    """A small photo with its caption, hatched where the network saw nothing; `seen` is in its pixels."""
    drawn = render.jpeg(render.ground(photo, seen, in_colour=True), 82)
    return el("div", picture(drawn, alt), el("span", caption, class_="caption"), class_="shot")


def _poolings(probe: Probe) -> Node | None:
    """The prediction under every pooling, before and after."""
    if len(probe.rows) < 2:
        return None
    rows: list[list[Node | str]] = [
        [row.outcome.name, *(named_answer(answers.top)
                             for answers in (row.before, row.ignoring, row.after["blur"]) if answers)]
        for row in probe.rows]
    return el("div", head("The prediction under each pooling"),
              table(("pooling", "as it is", "ignoring the part", "with it blurred"), rows), class_="ruled")
