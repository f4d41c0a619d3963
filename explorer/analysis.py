"""One image, one forward pass, and all that can be asked of it. The waist of the package."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from explorer import render
from explorer.cams import Tail, cam_method_of
from explorer.errors import ParameterError
from explorer.evidence import Evidence, take_apart
from explorer.framing import Framing, frame
from explorer.images import read_image
from explorer.networks.network import Network
from explorer.pooling import POOLINGS, pooling_of

OUTCOMES = 24  # kept by an analysis: a slider that is dragged along a parameter asks for many


class Answer(NamedTuple):
    """One line of a top list."""

    class_index: int
    name: str
    probability: float
    logit: float
    rank: int


def analyse(
    network: Network, image: Image.Image, framing: str = "crop", short_side: int | None = None
) -> Analysis:
    """Run one forward pass and keep what it left.

    Args:
        network: from `load_network`.
        image: RGB PIL image, as `read_image` gives it (other modes are converted).
        framing: "crop", "whole" or "squash".
        short_side: of the network's input, 96 to 640 px; None is the size that the network was trained on.

    Raises:
        ParameterError, FramingError: see `explorer.framing.frame`.
    """
    image = image if image.mode == "RGB" else read_image(image)
    x, framed = frame(image, network.preprocessing, framing, short_side)
    begin = time.perf_counter()
    with torch.no_grad():
        feature_maps = network.backbone(x)[0]
    seconds = time.perf_counter() - begin
    return Analysis(network, image, framed.on_grid(*feature_maps.shape[1:]), x, feature_maps, seconds)


def _softmax(logits: Tensor, dimension: int) -> Tensor:
    """Probabilities. Among several classes none is certain, so what rounding makes 1 is the number below it."""
    probabilities = torch.softmax(logits, dimension)
    certain = 1.0 if logits.shape[dimension] == 1 else 1.0 - torch.finfo(logits.dtype).eps / 2
    return probabilities.clamp_max(certain)


class _Memory:
    """Remembers what was computed, all of it or what was asked for lately.

    Two threads may compute the same thing at once; both then see the first result.
    """

    def __init__(self, most: int | None = None) -> None:
        self._known: dict[Any, Any] = {}
        self._most = most
        self._lock = threading.Lock()

    def __call__(self, key: Any, compute: Callable[[], Any]) -> Any:
        known = self._known
        with self._lock:
            if key in known:
                value = known[key] = known.pop(key)  # what was asked for last is the last to be forgotten
                return value
        value = compute()
        with self._lock:
            value = known.setdefault(key, value)
            while self._most is not None and len(known) > self._most:
                del known[next(iter(known))]
        return value


class Analysis:
    """All that one forward pass left, and everything that follows from it, computed when asked and remembered.

    It may be shared by threads: results are deterministic, and nothing of the network is ever changed.

    Attributes:
        network, image: what it is of.
        framing: how the image became the input, and where each position lies on it.
        input: Tensor (1, 3, h, w), what the backbone was given.
        feature_maps: Tensor (C, H, W), what it gave.
        seconds: that the backbone took.
    """

    def __init__(
        self, network: Network, image: Image.Image, framing: Framing, x: Tensor, feature_maps: Tensor, seconds: float
    ) -> None:
        self.network = network
        self.image = image
        self.framing = framing
        self.input = x
        self.feature_maps = feature_maps
        self.seconds = seconds
        self.remember = _Memory()
        self._outcomes = _Memory(OUTCOMES)

    def under(self, pooling: str | None = None, **parameters: float) -> Outcome:
        """What the network says under a pooling: `under("gem", p=4)`; without a name, under its own.

        Raises ParameterError for an unknown pooling or a parameter outside its range.
        """
        if pooling is None:
            pooling = self.network.pooling.key
            parameters = parameters or dict(self.network.pooling_parameters)
        resolved = pooling_of(pooling).resolve(parameters)
        return self._outcomes((pooling, *resolved.values()), lambda: Outcome(self, pooling, resolved))

    def cam(self, method: str, class_index: int, pooling: str | None = None, **options: Any) -> Tensor:
        """(H, W): a published CAM, signed and not normalised, under the native pooling unless one is named.

        Options go to the method: Score-CAM takes `progress(done, total)`, `stop() -> bool` and `batch`; Finer-CAM
        takes `rivals`, `gamma` and `references`.

        Raises ParameterError (unknown method, class, pooling or option), MethodError, StoppedError.
        """
        return self.under(pooling).cam(method, class_index, **options)

    def votes(self, class_index: int | None = None) -> Tensor:
        """What each position says by itself, softmax(head(F_ij)): (H, W) for a class, (classes, H, W) for all."""
        if class_index is not None:
            self.network.check_class(class_index)
        everything = self.remember(("votes",), self._votes)
        return everything if class_index is None else everything[class_index]

    @torch.no_grad()
    def _votes(self) -> Tensor:
        vectors = self.feature_maps.flatten(1).T.contiguous()
        return _softmax(self.network.head(vectors), 1).T.unflatten(1, self.feature_maps.shape[1:])

    def overlay(
        self, cells: Tensor, scale: render.Scale | None = None, *, long_side: int | None = None, **options: Any
    ) -> Image.Image:
        """The photo with a map (H, W) laid over it in the right place; what the network never saw is greyed out.

        Args:
            cells: as many positions as the feature maps.
            scale: None is a signed scale of this map alone.
            long_side: shrink the photo for the screen; None keeps the photo's own size.
            options: opacity, smooth, mark; see `explorer.render.overlay`.
        """
        values = cells.detach().numpy()
        if values.shape != self.framing.grid:
            raise ParameterError(f"The map has shape {values.shape}; expected {self.framing.grid}.")
        photo, seen = self.preview(long_side)
        return render.overlay(photo, values, seen, scale or render.Scale.signed(values), **options)

    def preview(self, long_side: int | None) -> tuple[Image.Image, render.Box]:
        """The photo shrunk for the screen, and the part of it that the network saw, in its pixels; remembered."""
        if long_side is None:
            return self.image, self.framing.seen
        return self.remember(("preview", long_side), lambda: render.shrink(self.image, self.framing.seen, long_side))


class Outcome:
    """What the network says under one pooling.

    Attributes:
        analysis, pooling (its key), parameters (resolved).
        label: "native" when the head was trained with this pooling, else "what-if".
    """

    def __init__(self, analysis: Analysis, pooling: str, parameters: dict[str, float]) -> None:
        self.analysis = analysis
        self.pooling = pooling
        self.parameters = parameters
        self._pooling = pooling_of(pooling)
        self.remember = _Memory()
        native = analysis.network.is_native(pooling, parameters)
        self.label = "native" if native else "what-if"

    @property
    def name(self) -> str:
        """For people: "GeM, p = 3"."""
        return self._pooling.label(**self.parameters)

    @property
    def pooled(self) -> Tensor:
        """(C,): the pooled vector."""
        return self.remember("pooled", lambda: self._pool(self.analysis.feature_maps))

    @property
    def weights(self) -> Tensor:
        """(C, H, W): pooling weights; times the feature maps, summed over positions, they give `pooled`."""
        return self.remember(
            "weights", lambda: self._pooling.weights(self.analysis.feature_maps, **self.parameters)
        )

    @property
    def logits(self) -> Tensor:
        """(classes,)"""
        return self.remember("logits", self._logits)

    @torch.no_grad()
    def _logits(self) -> Tensor:
        return self.analysis.network.head(self.pooled[None])[0]

    @property
    def multiplier(self) -> float | None:
        """The fitted number that mends this what-if's probabilities; None for the native pooling or where none is."""
        if self.label == "native":
            return None
        return self.analysis.network.calibration.multiplier(self.pooling, self.parameters)

    def probabilities(self, calibrated: bool = False) -> Tensor:
        """(classes,): softmax of the logits, times the fitted number if asked for and fitted."""
        factor = (self.multiplier or 1.0) if calibrated else 1.0
        return self.remember(("probabilities", factor), lambda: _softmax(self.logits * factor, 0))

    def top(self, count: int = 5, calibrated: bool = False) -> list[Answer]:
        """The most probable classes, best first."""
        best = self.logits.topk(min(count, len(self.logits)))
        classes = best.indices.tolist()
        probabilities = self.probabilities(calibrated)[best.indices].tolist()
        names = self.analysis.network.class_names
        return [
            Answer(index, names[index], probability, logit, rank)
            for rank, (index, probability, logit) in enumerate(
                zip(classes, probabilities, best.values.tolist(), strict=True), 1)
        ]

    def answer(self, class_index: int, calibrated: bool = False) -> Answer:
        """What it says of one class; rank 1 is the most probable."""
        network = self.analysis.network
        logit = self.logits[network.check_class(class_index)]
        rank = 1 + int((self.logits > logit).sum())
        probability = float(self.probabilities(calibrated)[class_index])
        return Answer(class_index, network.class_names[class_index], probability, float(logit), rank)

    def evidence(self, class_index: int) -> Evidence:
        """The class's logit, taken apart over positions and channels."""
        return self.evidences([class_index])[0]

    def evidences(self, classes: Sequence[int]) -> list[Evidence]:
        """Evidence for several classes, together at the price of little more than one."""
        known = self.remember("evidence", dict)
        missing = [index for index in map(self.analysis.network.check_class, classes) if index not in known]
        if missing:
            kept = self.remember("kept", lambda: self.weights * self.analysis.feature_maps)
            head, exact = self.analysis.network.head, self._pooling.exact
            for found in take_apart(kept, self.pooled, self.logits, head, missing, exact):
                known.setdefault(found.class_index, found)
        return [known[index] for index in classes]

    def cam(self, method: str, class_index: int, **options: Any) -> Tensor:
        """(H, W): a published CAM under this pooling, signed and not normalised; see `Analysis.cam`."""
        self.analysis.network.check_class(class_index)
        chosen = cam_method_of(method)
        if options and (unknown := set(options) - set(chosen.options)):
            raise ParameterError(f"{method} has no option {', '.join(sorted(unknown))}; "
                                 f"expected {', '.join(chosen.options) or 'none'}.")
        heard = {name: value for name, value in options.items() if name not in {"progress", "stop", "batch"}}
        key = ("cam", method, class_index, repr(sorted(heard.items())))
        return self.remember(key, lambda: chosen.compute(self.tail, class_index, **options))

    def under_each_pooling(self) -> list[Outcome]:
        """The image under every pooling there is, in the registry's order.

        This one's pooling has its parameters, the native one the network's, the others their usual ones.
        """
        analysis = self.analysis
        known = {analysis.network.pooling.key: analysis.under(), self.pooling: self}
        return [known.get(key) or analysis.under(key) for key in POOLINGS]

    @property
    def tail(self) -> Tail:
        """What a CAM method may read."""
        return self.remember("tail", self._tail)

    def _tail(self) -> Tail:
        analysis = self.analysis
        return Tail(
            analysis.input, analysis.network.backbone, analysis.feature_maps, self._pool, analysis.network.head,
            self.pooled, self.logits,
        )

    def _pool(self, feature_maps: Tensor) -> Tensor:
        return self._pooling.value(feature_maps, **self.parameters)
