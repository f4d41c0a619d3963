"""Every map that is asked where an object is: evidence under each pooling and against rivals, votes, CAM methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.faithful.objects import Question
from explorer import CAM_METHODS, POOLINGS
from explorer.analysis import Analysis, Outcome
from explorer.framing import frame
from explorer.networks import Network
from explorer.questions.object_map import SUGGESTED, unlike
from explorer.questions.stitching import Shifts, moved

STEPS = SUGGESTED.steps
RIVALS = SUGGESTED.rivals
BATCH = 8
CAMS = ("grad_cam", "grad_cam_plus_plus", "xgrad_cam", "hires_cam", "layer_cam", "eigen_cam", "finer_cam")
AGAINST = ("", "the runner-up", "three other classes", "all others by probability", f"the {RIVALS} likeliest others",
           f"the {RIVALS} likeliest unlike it")
VOTES = "votes"
SQUARED = "evidence under GAP, squared"
CENTRE = "the photo's centre"
EVERYWHERE = "everywhere alike"
CONTROLS = (SQUARED, CENTRE, EVERYWHERE)


class Drawn(NamedTuple):
    """A map: of which question (its number), its name, (H, W) as it is, (H * STEPS, W * STEPS) stitched or None."""

    question: int
    name: str
    plain: np.ndarray
    stitched: np.ndarray | None


def evidence_name(pooling: str, against: str = "") -> str:
    """"evidence under GAP against the runner-up"."""
    return f"evidence under {POOLINGS[pooling].name}" + (f" against {against}" if against else "")


class Runs:
    """A whole photo at one size, and moved by all whole px (`explorer.questions.stitching`), decomposed at once.

    Attributes:
        analysis: of the photo that is not moved.
        maps: (shifts, C, H, W), the feature maps.
        plain: which of these is not moved.
    """

    def __init__(self, network: Network, photo: Image.Image, side: int) -> None:
        x, framing = frame(photo, network.preprocessing, "whole", side)
        with torch.no_grad():
            whole = network.backbone(x)
            self.analysis = Analysis(network, photo, framing.on_grid(*whole.shape[-2:]), x, whole[0], 0.0)
            shifts = Shifts(self.analysis, STEPS)
            inputs = torch.cat([moved(x, *shift) for shift in shifts.all])
            self.maps = torch.cat([network.backbone(part) for part in inputs.split(BATCH)])
        self.plain = shifts.all.index((0, 0))
        self._rows, self._columns = (torch.from_numpy(np.stack(list(moves.values())))
                                     for moves in (shifts.down, shifts.right))

    def drawn(self, maps: Tensor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of maps (shifts, n, H, W): n times as it is where nothing is moved, and the mean of all, moved back."""
        shifted = maps.double().unflatten(0, (STEPS, STEPS))
        fine = torch.einsum("dah,denhw,ebw->nab", self._rows, shifted, self._columns) / STEPS ** 2
        return zip(maps[self.plain].double().numpy(), fine.numpy(), strict=True)


def maps_of(runs: Runs, questions: Sequence[Question]) -> Iterator[Drawn]:
    """Each map of each question about a photo."""
    for pooling in POOLINGS:
        yield from _evidence(runs, questions, pooling)
    yield from _votes(runs, questions)
    for number, question in enumerate(questions):
        for method in CAMS:
            cells = runs.analysis.cam(method, question.class_index)
            yield Drawn(number, CAM_METHODS[method].name, cells.detach().double().numpy(), None)
        grid = runs.analysis.framing.grid
        yield Drawn(number, CENTRE, around_the_centre(*grid), None)


def _evidence(runs: Runs, questions: Sequence[Question], pooling: str) -> Iterator[Drawn]:
    """Evidence is linear in the class where the head is a Linear: of a mixture of classes as of one."""
    head, outcome = runs.analysis.network.head, runs.analysis.under(pooling)
    slopes = torch.cat([head.weight[question.class_index] - mixtures(outcome, question) @ head.weight
                        for question in questions])
    kept = POOLINGS[pooling].weights(runs.maps, **outcome.parameters) * runs.maps
    cells = (slopes.detach() @ kept.flatten(2)).unflatten(2, kept.shape[2:])
    for row, (plain, fine) in enumerate(runs.drawn(cells)):
        number, kind = divmod(row, len(AGAINST))
        yield Drawn(number, evidence_name(pooling, AGAINST[kind]), plain, fine)
        if pooling == "gap" and not AGAINST[kind]:
            yield Drawn(number, SQUARED, np.maximum(plain, 0) ** 2, np.maximum(fine, 0) ** 2)


def mixtures(outcome: Outcome, question: Question) -> Tensor:
    """(len(AGAINST), classes): in which shares the other classes are set against the class; none for the first."""
    index, logits = question.class_index, outcome.logits
    likeliest = [answer.class_index for answer in outcome.top(RIVALS + 1) if answer.class_index != index][:RIVALS]
    shares = torch.zeros(len(AGAINST), len(logits))
    for row, rivals in {1: likeliest[:1], 2: question.others, 4: likeliest, 5: unlike(outcome, index, RIVALS)}.items():
        shares[row, list(rivals)] = 1 / len(rivals)
    shares[3] = logits.index_fill(0, torch.tensor([index]), -torch.inf).softmax(0)
    return shares


@torch.no_grad()
def _votes(runs: Runs, questions: Sequence[Question]) -> Iterator[Drawn]:
    network, (count, _, *grid) = runs.analysis.network, runs.maps.shape
    logits = network.head(runs.maps.permute(0, 2, 3, 1).flatten(0, 2))
    probabilities = network.probabilities(logits, 1)[:, [question.class_index for question in questions]]
    for number, (plain, fine) in enumerate(runs.drawn(probabilities.view(count, *grid, -1).permute(0, 3, 1, 2))):
        yield Drawn(number, VOTES, plain, fine)


def around_the_centre(rows: int, columns: int) -> np.ndarray:
    """(H, W): 1 in the middle, falling evenly to 0 in the corners."""
    down, across = (np.abs(np.arange(count) + 0.5 - count / 2) / (count / 2) for count in (rows, columns))
    return 1 - np.hypot(down[:, None], across[None]) / np.sqrt(2)
