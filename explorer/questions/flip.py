"""The fewest positions that matter: taken out of the photo they change its answer, left alone they are enough for it.

Sets of positions are searched by changing the network's input, many at once; what is found is then made into a photo,
and counts only if the network says so of that photo's pixels. A search is not a proof: smaller sets may exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explorer.analysis import Analysis, Answer, Outcome
from explorer.errors import MethodError, ParameterError
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import checked, pixels_of
from explorer.questions.position_search import OWN, Search, Tried, Verified

_FADED, _WHITE = 0.85, 250  # of what is cut away: how far it goes to which grey


@dataclass(frozen=True, eq=False)
class Smallest:
    """A small set of positions, verified on the photo's own pixels; or none, with what was tried.

    Attributes:
        class_index: A, the class that it is about.
        fill: what stands where positions are taken out: "blur" or "mean".
        most: the share of the positions, 0 to 1, that the search went up to.
        chosen: (H, W) bool; None when nothing was found.
        positions, share: how many, and of what the network sees of the photo 0 to 1; None likewise.
        photo: the changed photo, at its own size, that was verified; None likewise.
        before: what was said of A on the photo as it was.
        after: the answer on the changed photo; for a network that asks each class by itself, what it says of A.
        class_after: what is said of A there.
        verified: whether the network said so of that very photo; False only when nothing was found.
        passes: inputs that the network was run on, in batches or alone.
        tried: the ways to search, in their order.
    """

    class_index: int
    fill: str
    most: float
    chosen: np.ndarray | None
    positions: int | None
    share: float | None
    photo: Image.Image | None
    before: Answer
    after: Answer | None
    class_after: Answer | None
    verified: bool
    passes: int
    tried: tuple[Tried, ...]


@dataclass(frozen=True, eq=False)
class Flip(Smallest):
    """The fewest positions found whose removal changes the answer.

    Attributes:
        towards: the class that the answer had to become; None for any other.
        chosen: what is taken out.
    """

    towards: int | None = None


@dataclass(frozen=True, eq=False)
class Sufficient(Smallest):
    """The fewest positions found that are enough for the answer when everything else is taken out.

    Attributes:
        chosen: what is kept. None of them, when the photo without anything gets the same answer.
    """


def smallest_flip(
    outcome: Outcome, class_index: int | None = None, towards: int | None = None, order: np.ndarray | None = None,
    fill: str = "blur", most: float = 0.5, progress: Progress | None = None, stop: Stop | None = None, *,
    calibrated: bool = False,
) -> Flip:
    """The fewest positions whose removal from the photo changes the answer.

    The answer is the most probable class. Where each class is asked by itself (activation "sigmoid") a class is found
    when its logit is above 0, a probability above one half, and flips when that crosses 0, either way.

    Positions are taken out by their evidence for A minus that for its best rival, then by that for A alone, then by
    what taking them out is measured to do; what is taken out first 1, 2, 3... at a time is put back one by one where
    the answer stays changed. The smallest set that the network confirms on the changed photo is returned. Without
    evidence Grad-CAM stands in for it.

    Args:
        outcome: under any pooling.
        class_index: A; None is the answer, or, where each class is asked by itself, the most probable class.
        towards: count only what makes this class the answer.
        order: (H, W), a map by which to search instead, largest first.
        fill: "blur" or "mean".
        most: share of the positions that may be taken out, above 0, up to 1; at least one may.
        progress: is told (inputs so far, inputs expected at most) after each batch.
        stop: is asked before each batch.
        calibrated: whether the probabilities in the answers are of logits times the fitted number.

    Raises:
        ParameterError: a class that does not exist or is not the answer, a rival where there is none, or another
            argument outside its range.
        MethodError: a softmax over one class, which nothing can change.
        StoppedError: when told to stop.
    """
    class_index = _asked_class(outcome, class_index, towards)
    holds = _holding(outcome, class_index)

    def flips(logits: Tensor) -> Tensor:
        return -holds(logits) if towards is None else _ahead(logits, towards)

    search = Search(outcome, fill, most, flips, lambda chosen: chosen, progress, stop)
    found = search.smallest(_maps(outcome, class_index, towards, order))
    return Flip(**_attributes(outcome, class_index, found, search, fill, most, calibrated), towards=towards)


def smallest_sufficient(
    outcome: Outcome, class_index: int | None = None, order: np.ndarray | None = None, fill: str = "blur",
    most: float = 1.0, progress: Progress | None = None, stop: Stop | None = None, *, calibrated: bool = False,
) -> Sufficient:
    """The fewest positions that are enough for the answer, with everything else of what is seen taken out.

    The search is that of `smallest_flip`, the other way round: from the photo without anything, positions are brought
    in until the answer is A again, and those that are not needed are taken out. See there for the arguments and
    errors, and for what the answer is where each class is asked by itself.

    Args:
        most: share of the positions that may be brought in, above 0, up to 1.
    """
    class_index = _asked_class(outcome, class_index, None)
    search = Search(outcome, fill, most, _holding(outcome, class_index), np.logical_not, progress, stop)
    found = search.smallest(_maps(outcome, class_index, None, order))
    return Sufficient(**_attributes(outcome, class_index, found, search, fill, most, calibrated))


def cut_out(analysis: Analysis, chosen: np.ndarray, long_side: int | None = None) -> Image.Image:
    """The chosen positions (H, W) bool as they are, the rest of the photo grey and nearly white: to look at.

    RGB, of the photo's own size or at most `long_side` px long. Raises ParameterError for positions of another grid.
    """
    photo, seen = analysis.preview(long_side)
    kept = pixels_of(checked(analysis, chosen), photo.size, seen)
    grey = photo.convert("L").point([round(value + _FADED * (_WHITE - value)) for value in range(256)])
    return Image.composite(photo, grey.convert("RGB"), kept)


def _asked_class(outcome: Outcome, class_index: int | None, towards: int | None) -> int:
    """A, once it is one that something can be asked about."""
    network, likeliest = outcome.analysis.network, outcome.top(1)[0]
    for each in (class_index, towards):
        if each is not None:
            network.check_class(each)
    if network.activation == "sigmoid":
        if towards is not None:
            raise ParameterError(f"{network.title} asks each class by itself, so that no class takes the place of "
                                 f"another; got a rival, {towards}.")
        return likeliest.class_index if class_index is None else class_index
    if len(network.class_names) == 1:
        raise MethodError(f"{network.title} has one class alone, which is its answer whatever it sees.")
    if class_index not in (None, likeliest.class_index):
        raise ParameterError(f"The class is {class_index} and the answer {likeliest.class_index}; expected the answer.")
    if towards == likeliest.class_index:
        raise ParameterError(f"The answer is {towards} already; expected another class for it to become.")
    return likeliest.class_index


def _ahead(logits: Tensor, index: int) -> Tensor:
    """(n,): by how much a class's logit is above all others, of (n, classes)."""
    others = logits.clone()
    others[:, index] = -torch.inf
    return logits[:, index] - others.amax(1)


def _holding(outcome: Outcome, index: int) -> Callable[[Tensor], Tensor]:
    """What is above 0 as long as the answer is what it was."""
    if outcome.analysis.network.activation != "sigmoid":
        return lambda logits: _ahead(logits, index)
    side = 1.0 if float(outcome.logits[index]) > 0 else -1.0
    return lambda logits: side * logits[:, index]


def _maps(outcome: Outcome, index: int, towards: int | None, order: np.ndarray | None) -> dict[str, np.ndarray]:
    """By name, (H, W): what speaks for the answer, most first; the rival's share of it taken off, and not."""
    analysis = outcome.analysis
    if order is not None:
        order = np.asarray(order)
        if order.shape != analysis.framing.grid or order.dtype.kind not in "fiu":
            raise ParameterError(f"The order has shape {order.shape} of {order.dtype}; expected numbers of shape "
                                 f"{analysis.framing.grid}.")
        return {OWN: order.astype(np.float64)}
    of_class = _cells(outcome, index)
    kind = "evidence" if analysis.has_evidence else "Grad-CAM"
    if analysis.network.activation == "sigmoid":
        present = float(outcome.logits[index]) > 0
        return {f"{kind} {'for' if present else 'against'} the class": of_class if present else -of_class}
    rival = next(each.class_index for each in outcome.top(2) if each.class_index != index)
    against = _cells(outcome, rival if towards is None else towards)
    return {f"{kind} for the class less its rival's": of_class - against, f"{kind} for the class": of_class}


def _cells(outcome: Outcome, index: int) -> np.ndarray:
    cells = outcome.evidence(index).cells if outcome.analysis.has_evidence else outcome.cam("grad_cam", index)
    return cells.detach().numpy().astype(np.float64)


def _attributes(
    outcome: Outcome, index: int, found: Verified | None, search: Search, fill: str, most: float, calibrated: bool
) -> dict[str, Any]:
    """What a Smallest holds."""
    said = found and found.said
    whole = outcome.analysis.network.activation != "sigmoid"
    return {
        "class_index": index, "fill": fill, "most": most,
        "chosen": found and search.on_grid(found.chosen),
        "positions": found and len(found.chosen),
        "share": found and len(found.chosen) / search.on_grid([]).size,
        "photo": said and said.analysis.image,
        "before": outcome.answer(index, calibrated),
        "after": said and (said.top(1, calibrated)[0] if whole else said.answer(index, calibrated)),
        "class_after": said and said.answer(index, calibrated),
        "verified": said is not None, "passes": search.passes, "tried": tuple(search.tried),
    }
