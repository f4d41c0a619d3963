"""What flips it: the fewest positions whose removal changes the answer, and the fewest that are enough for it."""

from __future__ import annotations

from typing import NamedTuple

from explorer import render
from explorer.analysis import Outcome
from explorer.errors import MethodError
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import FILLS
from explorer.questions.flip import Flip, SmallestSet, Sufficient, cut_out, smallest_flip, smallest_sufficient
from explorer.sections.nodes import Node, el, picture
from explorer.ui.components.board import board
from explorer.ui.progress import worked
from explorer.ui.session.jobs import Job
from explorer.ui.session.session import Session
from explorer.wording import number_word, percent, shortened

SIDE = 640  # px: of the photos shown
FILL = "blur"


class Both(NamedTuple):
    """The two searches."""

    flip: Flip
    enough: Sufficient


def flip_panel(current: Session, outcome: Outcome, class_index: int) -> None:
    """Both searches side by side: what the network was shown, and the part that it hangs on."""
    asked = class_index if outcome.analysis.network.activation == "sigmoid" else outcome.top(1)[0].class_index
    calibrated = current.choices.calibrated
    job = outcome.remember(("flip job", asked, calibrated), lambda: Job(
        lambda progress, stop: _search(outcome, asked, calibrated, progress, stop)))
    found: Both | None = worked(current, job, f"flip_{asked}_{outcome.name}", "Taking positions out of the photo")
    if found is None:
        return
    name = shortened(outcome.analysis.network.class_names[asked], 60)
    about = [] if asked == class_index else [el("p", f"Asked about its answer, {name}.", class_="note")]
    board(el("div", *about, el("div", _side(outcome, found.flip, *_flip_in_words(found.flip, name)),
                               _side(outcome, found.enough, *_enough_in_words(found.enough, name)), class_="halves"),
             el("p", f"What is taken out is {FILLS[FILL]}. Each was found by trying, and is true of the photo: the "
                     f"network was run on its pixels. {found.flip.passes + found.enough.passes:,} photos were tried; a "
                     "smaller part may exist.", class_="note"), class_="stack"), key="flips")


def _search(outcome: Outcome, class_index: int, calibrated: bool, progress: Progress, stop: Stop) -> Both:
    if len(outcome.analysis.network.class_names) == 1 and outcome.analysis.network.activation != "sigmoid":
        raise MethodError("This network has one class alone, which nothing can flip.")
    flip = smallest_flip(outcome, class_index, fill=FILL, progress=progress, stop=stop, calibrated=calibrated)
    return Both(flip, smallest_sufficient(outcome, class_index, fill=FILL, progress=progress, stop=stop,
                                          calibrated=calibrated))


def _flip_in_words(found: Flip, name: str) -> tuple[str, str]:
    if found.chosen is None:
        return "Nothing small flips it", (f"Not found within {percent(found.most)} of the photo: it still says {name} "
                                          "whatever of that much was taken out.")
    after = found.after
    becomes = (f"it gives {name} {percent(after.probability)}" if after.class_index == found.class_index else
               f"it says {shortened(after.name, 60)}, {percent(after.probability)}")
    return "The smallest change found that flips it", f"Without {_positions(found)} {becomes}."


def _enough_in_words(found: Sufficient, name: str) -> tuple[str, str]:
    if found.chosen is None:
        return "No part is enough", f"Not found: no part of the photo that was tried says {name} by itself."
    if not found.positions:
        return "Nothing is needed", f"It says {name} of the photo without anything, too."
    return "The smallest part found that is enough", (
        f"With nothing but {_positions(found)} it still says {name}, {percent(found.class_after.probability)}.")


def _positions(found: SmallestSet) -> str:
    count = number_word(found.positions)
    return f"{count} position{'' if found.positions == 1 else 's'} ({percent(found.share)} of what it sees)"


def _side(outcome: Outcome, found: SmallestSet, title: str, words: str) -> Node:
    def draw() -> list[bytes]:
        photos = found.photo(SIDE), cut_out(outcome.analysis, found.chosen, SIDE)
        return [render.jpeg(photo, 82) for photo in photos]

    shots: list[Node] = []
    if found.chosen is not None:
        key = ("flip photos", type(found).__name__, found.class_index)
        changed, part = outcome.remember(key, draw)
        what = "what was taken out" if isinstance(found, Flip) else "what was left"
        shots = [el("div", picture(changed, "The photo that the network was shown"),
                    el("span", "what it was shown", class_="caption"), class_="shot"),
                 el("div", picture(part, f"The photo, with {what} as it is"), el("span", what, class_="caption"),
                    class_="shot")]
    return el("div", el("h3", title), el("p", words), el("div", *shots, class_="shots"), class_="ruled stack")
