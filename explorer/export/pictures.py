"""PNG pictures at the photo's own size: the overlay, and the photos that were changed to find out why."""

from __future__ import annotations

from explorer.analysis import Outcome
from explorer.questions.contrast import contrast_map
from explorer.questions.reasons import Reasons
from explorer.render import png


def overlay_png(outcome: Outcome, class_index: int, rival: int | None = None, lined: bool = False) -> bytes:
    """The photo with the map of a class, or of it against a rival, laid over it, on a signed scale of its own.

    With `lined` it has contours, see `render.contours`.
    """
    drawn = outcome.class_map(class_index) if rival is None else contrast_map(outcome, class_index, rival)
    return png(outcome.analysis.overlay(drawn.cells, lined=lined))


def why_pictures(reasons: Reasons) -> dict[str, bytes]:
    """By name: the overlay, the photo without the part by fill, what flips the prediction, and what is enough for it.

    The overlay is red towards the class and blue towards its rival; without such a difference it is the class's own.
    """
    outcome, contrast = reasons.outcome, reasons.contrast
    pictures = {"overlay": overlay_png(outcome, reasons.class_index, reasons.rival if contrast else None)}
    if reasons.probe is not None:
        pictures |= {f"without_{fill}": png(reasons.probe.photo(fill)) for fill in reasons.probe.own.after}
    smallest = {"flip": reasons.flip, "sufficient": reasons.sufficient}
    return pictures | {name: png(part.photo()) for name, part in smallest.items()
                       if part is not None and part.chosen is not None}
