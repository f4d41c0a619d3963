"""What is said of causes and of muting them: on the page, in a report, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from explorer.folder.causes import Cause, Causes
from explorer.folder.muting import STRENGTHS, Muting
from explorer.sections.nodes import Node, el
from explorer.sections.parts import head, table
from explorer.wording import listed, percent, plain, shortened, signed

_NOTABLE = 0.3  # of a rank correlation: a weaker one is not mentioned
_MOST_CHANNELS, _IN_TABLE = 6, 3
_CLASSES = 10  # in a table of those that change
# What a curve of `Muting` counts: its key, in words. The last is a number of photos.
GROUPS = {
    "all": "right, of all photos with a label",
    "with": "right, of those that have it",
    "without": "right, of those that do not",
    "of": "right, of the photos of {name}",
    "shown": "right, of the held-out half",
    "calls": "wrongly called {name}, photos",
}
TENSORS_ALONE = ("It holds tensors alone: whoever loads it has to name the architecture, the classes and the "
                 "preprocessing. A .safetensors says them itself.")
_LOOKS = {"brightness": ("brighter", "darker"), "sharpness": ("sharper", "more blurred"),
          "border": ("with evidence at the border", "with evidence away from the border")}


def title_of(causes: Causes, names: Sequence[str]) -> str:
    """"Causes of carton", "Causes of carton and not crate"."""
    made = causes.contributions
    against = "" if made.rival is None else f" and not {shortened(names[made.rival], 40)}"
    return f"Causes of {shortened(names[made.class_index], 40)}{against}"


def lead(causes: Causes, names: Sequence[str]) -> str:
    """How many photos are looked at, how many parts there are, and how that number came about."""
    made, parts = causes.contributions, causes.parts
    wrong, right = int(made.wrong.sum()), int(made.right.sum())
    judged = (f"{wrong:,} of them wrong, {right:,} right" if wrong or right else
              "without labels, so none is known to be wrong")
    order = "" if wrong and right else " Without wrong and right ones to compare, causes stand by what they add."
    taken = "" if made.photos == len(made.numbers) else f" (of {made.photos:,}, evenly spread)"
    chosen = next((one for one in parts.tried if one.parts == len(parts.shares)), None)
    alike = "" if chosen is None else f", most alike in two halves of the photos (cosine {plain(chosen.stability)})"
    return (f"{len(made.numbers):,} photos{taken} are called {shortened(names[made.class_index], 40)}, {judged}. "
            f"{len(parts.shares)} parts{alike} explain {percent(parts.explained)} of the contributions, by their "
            f"squares.{order}")


def cause_sentences(cause: Cause, causes: Causes, names: Sequence[str]) -> list[str]:
    """What is known of one cause, a sentence each."""
    of = "its lead" if causes.contributions.rival is not None else "the logit"
    sentences = [f"Adds {plain(cause.mean)} logits to {of} in the mean, {percent(cause.share)} of the positive "
                 "contributions."]
    if cause.common is not None:
        wrong, right, low, high = cause.common
        certain = "" if cause.suspicious else "; that may be chance" if wrong > right else ""
        sentences.append(
            f"{percent(wrong)} of the wrong photos have it and {percent(right)} of the right ones: "
            f"{_points(wrong - right)} points ({_points(low)} to {_points(high)}){certain}.")
    known = [(label, count) for label, count in cause.labels if label != causes.contributions.class_index]
    if known:
        sentences.append("Other labels of the photos that have it: " + listed(
            [f"{shortened(names[label], 30)} ({count:,})" for label, count in known]) + ".")
    looks = [_LOOKS[name][value < 0] for name, value in cause.looks.items() if abs(value) >= _NOTABLE]
    if looks:
        sentences.append(f"Stronger in photos that are {listed(looks)}.")
    return sentences


def channels_of(cause: Cause, most: int = _MOST_CHANNELS) -> list[tuple[int, float, float]]:
    """Its largest channels: number, the share of the channel that belongs to it, and the logits that it adds so."""
    return [(int(channel), float(cause.shares[channel]), float(added))
            for channel, added in zip(cause.channels[:most], cause.added[:most], strict=True)]


def cause_card(
    number: int, cause: Cause, causes: Causes, names: Sequence[str], shots: Sequence[Node], muted: bool,
    called: Mapping[int, str],
) -> Node:
    """A cause on the page: what is known of it, the photos that have most of it, its channels, a button to mute it.

    Args:
        number: from 1; a click gives ["mute", number - 1] or ["channel", its number].
        shots: of the photos.
        muted: whether it is.
        called: what people call channels.
    """
    against = "" if causes.contributions.rival is None else " of the lead"
    badge = el("span", "more common in wrong photos", class_="badge") if cause.suspicious else None
    channels = [el("button", named(channel, called), type="button", class_="chip", pick=["channel", channel],
                   data_key=f"channel-{number}-{channel}", aria_label=f"Channel {channel} among the feature maps",
                   title=f"{share:.0%} of channel {channel} belong to it and add {plain(added)} logits")
                for channel, share, added in channels_of(cause)]
    mute = el("button", "Muted" if muted else "Mute it and see", type="button", class_="chip",
              pick=["mute", number - 1], data_key=f"mute-{number}", aria_pressed=str(muted).lower(),
              aria_label=f"Mute cause {number} and see")
    return el("div", head(f"Cause {number}", f"{plain(cause.mean)} logits{against}, {percent(cause.share)}"),
              el("p", badge, " " if badge else "", " ".join(cause_sentences(cause, causes, names))),
              el("div", *shots, class_="shots six"),
              el("div", mute, el("span", "channels", class_="caption"), *channels, class_="chips"),
              class_="ruled stack")


def named(channel: int, called: Mapping[int, str]) -> str:
    """"437", or "437 fur" where people call it so."""
    return f"{channel} {called[channel]}" if channel in called else f"{channel}"


def causes_table(causes: Causes, called: Mapping[int, str]) -> Node:
    """A row for each cause, for the terminal and reports."""
    rows = []
    for number, cause in enumerate(causes.all, 1):
        common = ["", "", ""] if cause.common is None else [
            percent(cause.common.wrong), percent(cause.common.right),
            f"{_points(cause.common.low)} to {_points(cause.common.high)}"]
        channels = ", ".join(named(channel, called) for channel, _, _ in channels_of(cause, _IN_TABLE))
        rows.append([f"{number}", plain(cause.mean), percent(cause.share), *common,
                     "" if cause.extra is None else signed(cause.extra), channels])
    return table(("cause", "logits", "share", "wrong have it", "right have it", "more, points", "extra logits",
                  "channels"), rows, numbers=range(1, 7))


def strongest_photos(causes: Causes, most: int = 3) -> Node:
    """The photos that have most of each cause, by their paths."""
    paths = causes.contributions.table["path"]
    rows = [[f"cause {number}", *(paths[int(place)].as_py() for place in cause.strongest[:most])]
            for number, cause in enumerate(causes.all, 1)]
    return table(("most of it", *("photo",) * most), rows)


def before_and_after(muting: Muting, place: int, names: Sequence[str]) -> Node:
    """A row for each group of photos: what is right as the head is, and at a strength of STRENGTHS."""
    rows = [[words, _shown(key, muting.curve[key][0]), _shown(key, muting.curve[key][place]),
             _change(key, muting.curve[key][place] - muting.curve[key][0])]
            for key, words in groups_in_words(muting, names).items()]
    return table(("photos", "before", f"muted by {STRENGTHS[place]:.0%}", "change"), rows, numbers=(1, 2, 3))


def groups_in_words(muting: Muting, names: Sequence[str]) -> dict[str, str]:
    """GROUPS with the name of the class; without it where all classes are muted."""
    if muting.class_index is None:
        return {key: words for key, words in GROUPS.items() if key != "of"} | {"calls": "wrong, photos"}
    return {key: words.format(name=shortened(names[muting.class_index], 40)) for key, words in GROUPS.items()}


def suggestion(muting: Muting) -> str:
    """The strength that is suggested and what it gives on photos that had no part in choosing it."""
    shown, place = muting.curve["shown"], muting.suggested
    if not place:
        return "No strength makes more of the choosing half right: muting this is not suggested."
    return (f"Suggested: {STRENGTHS[place]:.0%}, the best on one half of the photos. On the other half, which was held "
            f"out, {percent(shown[place])} are right; before {percent(shown[0])} were.")


def classes_changed(muting: Muting, place: int, names: Sequence[str]) -> Node | None:
    """A row for each class of which other photos are right than before: the largest losses, then the largest gains."""
    every = muting.by_class(place)
    shown = every if len(every) <= _CLASSES else [*every[: _CLASSES // 2], *every[-(_CLASSES // 2):]]
    if not shown:
        return None
    more = f" ({len(shown)} of {len(every):,} classes)" if len(shown) < len(every) else ""
    rows = [[shortened(names[one.class_index], 40), f"{one.photos:,}", f"{one.before:,}", f"{one.after:,}",
             f"{one.after - one.before:+,}".replace("-", "−")] for one in shown]
    return table((f"right, by class{more}", "photos", "before", "muted", "change"), rows, numbers=(1, 2, 3, 4))


def bar_sentence(muting: Muting, place: int, names: Sequence[str]) -> str:
    """What a mere higher bar for the class would do that keeps as many of its photos; "" where there is none."""
    bar = muting.bar(place)
    if bar is None or not place:
        return ""
    name, calls = shortened(names[muting.class_index or 0], 40), muting.curve["calls"][place]
    return (f"A mere higher bar, {plain(bar.logits)} logits off {name} on every photo, keeps as many photos of {name} "
            f"and leaves {bar.calls:,.0f} wrong calls where muting leaves {calls:,.0f}: muting does "
            f"{'more than that' if calls < bar.calls else 'no more than that here'}.")


def causes_section(causes: Causes, names: Sequence[str], called: Mapping[int, str]) -> Node:
    """All of it, for the terminal."""
    hints = [f"cause {number}" for number, cause in enumerate(causes.all, 1) if cause.suspicious]
    return el("section", el("h2", title_of(causes, names)), el("p", lead(causes, names)),
              causes_table(causes, called),
              *([el("p", f"More common in wrong photos: {listed(hints)}.")] if hints else []),
              strongest_photos(causes))


def muting_section(muting: Muting, place: int, names: Sequence[str]) -> Node:
    """What muting does at a strength, and what is suggested."""
    return el("section", el("p", suggestion(muting)), before_and_after(muting, place, names),
              classes_changed(muting, place, names), el("p", bar_sentence(muting, place, names)))


def _points(share: float) -> str:
    return f"{share * 100:.0f}".replace("-", "−")


def _shown(key: str, value: float) -> str:
    if not np.isfinite(value):
        return "none"
    return f"{value:,.0f}" if key == "calls" else f"{value:.1%}"


def _change(key: str, value: float) -> str:
    if not np.isfinite(value):
        return ""
    return f"{value:+,.0f}".replace("-", "−") if key == "calls" else f"{value * 100:+.1f}".replace("-", "−")
