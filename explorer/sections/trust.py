"""How far a map can be trusted: its curves' areas beside the controls', and whether it depends on the weights."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.networks import Network
from explorer.questions.edited_photo import FILLS
from explorer.questions.measured_maps import verdict as many_photos
from explorer.questions.randomisation import FALLEN_APART, Randomisation
from explorer.questions.trust import Curves, ProbabilityDrop
from explorer.sections.nodes import Node, el
from explorer.sections.parts import head, note, table
from explorer.wording import listed, percent, plain, share_word, signed


def areas(curves: Curves, drops: Sequence[ProbabilityDrop], network: Network) -> Node:
    """Areas under the curves, and the probability when the photo is seen through the map."""
    word = share_word(network.probability(curves.before))
    through = {drop.name: drop for drop in drops}
    rows = []
    for curve in curves.curves:
        drop = through.get(curve.name)
        rows.append((curve.name + (", a control" if curve.control else ""), plain(curve.deletion_area),
                     plain(curve.insertion_area),
                     f"{percent(network.probability(drop.after))}, {percent(drop.kept)}" if drop else ""))
    return el("div", head("Area under each curve", f"{curves.passes:,} forward passes, {curves.seconds:.1f} s"),
              table(("map", "deletion, lower is better", "insertion, higher is better",
                     f"masked photo: {word}, share shown"), rows, numbers={1, 2, 3}), class_="ruled")


def curves_table(curves: Curves, insertion: bool, network: Network) -> Node:
    """Some of the numbers of the curves, for where no curve can be drawn."""
    shares = curves.curves[0].shares
    places = [round(quarter * (len(shares) - 1) / 4) for quarter in range(5)]
    rows = [(curve.name + (", a control" if curve.control else ""),
             *(percent(network.probability((curve.insertion if insertion else curve.deletion)[place]))
               for place in places))
            for curve in curves.curves]
    title, done = ("Insertion", "put back") if insertion else ("Deletion", "removed")
    word = share_word(network.probability(curves.before))
    return el("div", head(title, f"{word} with that share of the photo {done}"),
              table(("map", *(percent(shares[place]) for place in places)), rows, numbers=range(1, 6)), class_="ruled")


def verdict(curves: Curves, network: Network) -> Node:
    """Whether the first map does better than the controls on this photo."""
    first = next(curve for curve in curves.curves if not curve.control)
    gains = {name: curves.gain(first.name, name) for name in ("random", "uniform")}
    lost = [name for name, gain in gains.items() if gain.between <= 0]
    beaten = [name for name in gains if name not in lost]
    numbers = listed([f"{signed(gain.between)} on {name}" for name, gain in gains.items()])
    words = (f"On this photo {first.name} does better than {listed(beaten)} removal" if not lost else
             f"On this photo {first.name} does not do better than {listed(lost)} removal: do not rely on it")
    words += f": {numbers} in the area between the two curves."
    worse = [name for name, gain in gains.items() if gain.insertion < 0 and name not in lost]
    words += f" At insertion alone {listed(worse)} removal does better." if worse else ""
    over_many = many_photos(network, first.name)
    before, nothing = network.probability(curves.before), network.probability(curves.nothing)
    return note(f"{words} Positions are removed and put back in each map's order, the strongest first; "
                f"{FILLS[curves.fill]}. Measured is the {share_word(before)} under {curves.pooling}: {percent(before)} "
                f"with the whole photo, {percent(nothing)} with nothing of it. One photo proves little: "
                f"{over_many[0].lower()}{over_many[1:]}")


def redrawn(maps: Sequence[Randomisation], reasons: Sequence[str]) -> Node:
    """What becomes of maps when weights are drawn anew; `reasons` why some maps could not be had."""
    rows = [(f"{one.name}, {one.part} randomised", plain(one.agreement), plain(one.energy_after),
             "depends on the weights" if one.fallen_apart else "does not") for one in maps]
    return el("div", head("Does it depend on what the network learned?"),
              table(("map", "agreement with the map before", "agreement with the activations", "result"), rows,
                    numbers={1, 2, 3}),
              note("The weights of the head or the backbone are randomised, three times, and the map is made again. "
                   f"A map that still agrees with itself by {FALLEN_APART} or more shows something that was not "
                   "learned."), *map(note, reasons), class_="ruled")
