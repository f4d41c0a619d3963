"""The fewest positions that matter: taken out of the photo they change its answer, left alone they are enough for it.

Sets of positions are searched by changing the network's input, many at once; the set that remains is then made into a
photo, and counts only if the network answers so to that photo's pixels. A search is not a proof: smaller sets may
exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explorer.analysis import Analysis, Answer, Outcome
from explorer.errors import MethodError, ParameterError
from explorer.progress import Progress, Stop
from explorer.questions.edited_photo import changed_photo, checked, pixels_of
from explorer.questions.position_search import Search, VerifiedSet

_FADED, _WHITE = 0.85, 250  # of what is cut away: how far it goes to which grey


@dataclass(frozen=True, eq=False)
class SmallestSet:
    """The fewest positions whose removal changes the answer, or that are enough for it; or none that were found.

    It keeps numbers alone; the changed photo is made again by `photo`.

    Attributes:
        outcome: which the answers are of.
        class_index: A, the class that it is about.
        enough: False where taking out `chosen` changes the answer; True where taking out all but `chosen` does not,
            and then none are chosen when the photo without anything gets the same answer.
        fill: what fills positions that are taken out: "blur" or "mean".
        most: the share of the positions, 0 to 1, that the search went up to.
        chosen: (H, W) bool, verified on the photo's own pixels; None when no set was found.
        before: the answer for A on the photo as it is.
        after: the answer on the changed photo; for a network of independent classes, that for A.
        class_after: the answer for A there.
        passes: inputs that the network was run on, in batches or alone.
    """

    outcome: Outcome
    class_index: int
    enough: bool
    fill: str
    most: float
    chosen: np.ndarray | None
    before: Answer
    after: Answer | None
    class_after: Answer | None
    passes: int

    def photo(self, long_side: int | None = None) -> Image.Image:
        """The changed photo, at its own size as it was verified, or shrunk to look at.

        Raises MethodError where no set was found.
        """
        if self.chosen is None:
            raise MethodError("No such positions were found, so there is no changed photo.")
        taken_out = ~self.chosen if self.enough else self.chosen
        return changed_photo(self.outcome.analysis, taken_out, self.fill, long_side)


def smallest_flip(
    outcome: Outcome, class_index: int, fill: str = "blur", most: float = 0.5, progress: Progress | None = None,
    stop: Stop | None = None, *, calibrated: bool = False,
) -> SmallestSet:
    """The fewest positions whose removal from the photo changes the answer.

    The answer is the most probable class. Where classes are independent (activation "sigmoid") a class is present when
    its logit is above 0, a probability above one half, and flips when that crosses 0, either way.

    Positions are taken out by their evidence for A minus that for its best rival, then by that for A alone, then by
    the measured effect of taking them out; what is taken out first 1, 2, 3... at a time is put back one by one where
    the answer stays changed. The smallest set that the network confirms on the changed photo is returned. Without
    evidence Grad-CAM stands in for it.

    Args:
        outcome: under any pooling.
        class_index: A; the answer, or, where classes are independent, any class.
        fill: "blur" or "mean".
        most: share of the positions that may be taken out, above 0, up to 1; at least one may.
        progress: called with (inputs so far, inputs expected at most) after each batch; `stop` before each.
        calibrated: whether the probabilities in the answers are of logits times the fitted number.

    Raises:
        ParameterError: a class that does not exist or is not the answer, or another argument outside its range.
        MethodError: a softmax over one class, which nothing can change.
        StoppedError: `stop` returned True.
    """
    return _last(smaller_and_smaller(outcome, class_index, False, fill, most, progress, stop, calibrated=calibrated))


def smallest_sufficient(
    outcome: Outcome, class_index: int, fill: str = "blur", most: float = 1.0, progress: Progress | None = None,
    stop: Stop | None = None, *, calibrated: bool = False,
) -> SmallestSet:
    """The fewest positions that are enough for the answer, with everything else of what is seen taken out.

    The search is that of `smallest_flip`, the other way round: from the photo without anything, positions are brought
    in until the answer is A again, and those that are not needed are taken out. See there for the arguments and
    errors, and for the answer where classes are independent.

    Args:
        most: share of the positions that may be brought in, above 0, up to 1.
    """
    return _last(smaller_and_smaller(outcome, class_index, True, fill, most, progress, stop, calibrated=calibrated))


def smaller_and_smaller(
    outcome: Outcome, class_index: int, enough: bool, fill: str = "blur", most: float | None = None,
    progress: Progress | None = None, stop: Stop | None = None, *, calibrated: bool = False,
) -> Iterator[SmallestSet]:
    """What `smallest_sufficient` (`enough`) or `smallest_flip` has so far, again and again; the last is its result.

    See there for the arguments and errors. Before there is a set, `chosen` is None.
    """
    holds = _holding(outcome, class_index)
    most = (1.0 if enough else 0.5) if most is None else most
    margin, taken = (holds, np.logical_not) if enough else (lambda logits: -holds(logits), lambda chosen: chosen)
    search = Search(outcome, fill, most, margin, taken, progress, stop)
    verified = None
    for verified in search.smaller_and_smaller(_maps(outcome, class_index)):
        yield _of(outcome, class_index, enough, search, verified, calibrated)
    yield _of(outcome, class_index, enough, search, verified, calibrated)  # with the passes that it took to the end


def cut_out(analysis: Analysis, chosen: np.ndarray, long_side: int | None = None) -> Image.Image:
    """The chosen positions (H, W) bool as they are, the rest of the photo grey and nearly white: to look at.

    RGB, of the photo's own size or at most `long_side` px long. Raises ParameterError for positions of another grid.
    """
    photo, seen = analysis.preview(long_side)
    kept = pixels_of(checked(analysis, chosen), photo.size, seen)
    grey = photo.convert("L").point([round(value + _FADED * (_WHITE - value)) for value in range(256)])
    return Image.composite(photo, grey.convert("RGB"), kept)


def _holding(outcome: Outcome, index: int) -> Callable[[Tensor], Tensor]:
    """(n, classes) to (n,): above 0 as long as the answer is what it was. Raises as `smallest_flip` does."""
    network, likeliest = outcome.analysis.network, outcome.top(1)[0].class_index
    network.check_class(index)
    if network.activation == "sigmoid":
        side = 1.0 if float(outcome.logits[index]) > 0 else -1.0
        return lambda logits: side * logits[:, index]
    if len(network.class_names) == 1:
        raise MethodError(f"{network.title} has one class alone, which is its answer whatever it sees.")
    if index != likeliest:
        raise ParameterError(f"The class is {index} and the answer {likeliest}; expected the answer.")
    return lambda logits: _ahead(logits, index)


def _ahead(logits: Tensor, index: int) -> Tensor:
    """(n,): by how much a class's logit is above all others, of (n, classes)."""
    others = logits.clone()
    others[:, index] = -torch.inf
    return logits[:, index] - others.amax(1)


def _maps(outcome: Outcome, index: int) -> list[np.ndarray]:
    """(H, W) each: evidence for the answer; minus that for its rival, and as it is."""
    cells = outcome.class_map(index).array
    if outcome.analysis.network.activation == "sigmoid":
        return [cells if float(outcome.logits[index]) > 0 else -cells]
    rival = next(answer.class_index for answer in outcome.top(2) if answer.class_index != index)
    return [cells - outcome.class_map(rival).array, cells]


def _last(sets: Iterator[SmallestSet]) -> SmallestSet:
    *_, last = sets
    return last


def _of(
    outcome: Outcome, index: int, enough: bool, search: Search, verified: VerifiedSet | None, calibrated: bool
) -> SmallestSet:
    chosen = after = class_after = None
    if verified is not None:
        chosen = search.on_grid(verified.chosen)
        after = class_after = verified.outcome.answer(index, calibrated)
        if outcome.analysis.network.activation != "sigmoid":
            after = verified.outcome.top(1, calibrated)[0]
    return SmallestSet(outcome, index, enough, search.fill, search.most, chosen, outcome.answer(index, calibrated),
                       after, class_after, search.passes)
