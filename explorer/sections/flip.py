"""The fewest positions that matter: those whose removal flips the prediction, and those that are enough for it."""

from __future__ import annotations

from explorer.analysis import Outcome
from explorer.questions.flip import SmallestSet, cut_out
from explorer.sections.nodes import Node, el
from explorer.sections.parts import head, note, short
from explorer.sections.probe import shot
from explorer.wording import percent

TITLES = {"flip": "The smallest change that flips it", "sufficient": "The smallest part that is enough"}
_SIDE = 640  # px: of the photos shown


def smallest_sentence(outcome: Outcome, smallest: SmallestSet) -> str:
    """For example "With 4 of 49 positions (8%) blurred the prediction is bobsled, 21%."; or that none was found."""
    if smallest.chosen is None or smallest.after is None:
        within = "half" if smallest.most == 0.5 else percent(smallest.most)
        return f"No such part was found within {within} of the photo."
    enough, chosen = smallest.enough, smallest.chosen
    count = f"{chosen.sum()} of {chosen.size} positions ({percent(chosen.mean())})"
    blurred = "the whole photo" if enough and not chosen.any() else f"all but {count}" if enough else count
    name, probability = short(smallest.after.name), percent(smallest.after.probability)
    if outcome.analysis.network.activation == "sigmoid":
        return f"With {blurred} blurred the probability of {name} is {probability}."
    return f"With {blurred} blurred the prediction is {'still ' if enough else ''}{name}, {probability}."


def about_prediction(outcome: Outcome, about: int, class_index: int) -> Node | None:
    """Which class the parts are about, where it is not the one that is shown."""
    name = short(outcome.analysis.network.class_names[about])
    return None if about == class_index else note(f"About the prediction, {name}.")


def smallest_parts(outcome: Outcome, *parts: SmallestSet | tuple[str, str]) -> Node:
    """The parts side by side, each with the photo that the network was given; a pair is a title and why there is none.
    """
    inputs = sum(part.passes for part in parts if isinstance(part, SmallestSet))
    tried = note(f"Tested on the photo's own pixels, with {inputs:,} forward passes. A smaller part may exist.")
    return el("div", el("div", *(_part(outcome, part) for part in parts), class_="pair"), tried if inputs else None,
              class_="stack")


def _part(outcome: Outcome, part: SmallestSet | tuple[str, str]) -> Node:
    if not isinstance(part, SmallestSet):
        title, reason = part
        return el("div", head(title), note(reason), class_="ruled")
    title, what = (TITLES["sufficient"], "what was left") if part.enough else (TITLES["flip"], "what was blurred")
    shots: list[Node] = []
    if part.chosen is not None:
        _, seen = outcome.analysis.preview(_SIDE)
        shots = [shot(part.photo(_SIDE), seen, title, "the network's input"),
                 shot(cut_out(outcome.analysis, part.chosen, _SIDE), seen, f"The photo, with {what} as it is", what)]
    return el("div", head(title), el("p", smallest_sentence(outcome, part)), el("div", *shots, class_="shots"),
              class_="ruled stack")
