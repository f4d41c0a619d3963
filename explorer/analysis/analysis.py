"""One image, one forward pass, and what follows from it."""

from __future__ import annotations

import time
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from explorer import render
from explorer.analysis.memory import Memory
from explorer.analysis.outcome import Outcome, OutcomeWithoutEvidence
from explorer.errors import ExplorerError, FramingError, MethodError, ParameterError
from explorer.framing import Framing, frame
from explorer.images import read_image
from explorer.networks.layers import Layer
from explorer.networks.network import Network

OUTCOMES = 24  # kept by an analysis: a slider that is dragged along a parameter asks for many
_RESULTS, _PREVIEWS = 64, 2  # likewise: small numbers of questions; the photo shrunk


def analyse(
    network: Network, image: Image.Image, framing: str = "crop", short_side: int | None = None,
    layer: str | None = None,
) -> Analysis:
    """Run one forward pass and keep what it left.

    Args:
        network: from `load_network`.
        image: RGB PIL image, as `read_image` gives it (other modes are converted).
        framing: "crop", "whole" or "squash".
        short_side: of the network's input, 96 to 640 px; None is the size that the network was trained on.
        layer: key of one of `network.layers.all`, whose maps are looked at; None is the final feature maps. The pass
            then ends at that layer, and the logits cost another one.

    Raises:
        ParameterError, FramingError: see `explorer.framing.frame`; a FramingError too where the network itself refuses
            an input of that size.
        MethodError: the network has no such layer.
    """
    image = image if image.mode == "RGB" else read_image(image)
    chosen = None if layer is None else network.layers.of(layer)
    x, framed = frame(image, network.preprocessing, framing, short_side)
    begin = time.perf_counter()
    feature_maps = _run(network, x, chosen)[0]
    seconds = time.perf_counter() - begin
    return Analysis(network, image, framed.on_grid(*feature_maps.shape[1:]), x, feature_maps, seconds, chosen)


@torch.no_grad()
def _run(network: Network, x: Tensor, layer: Layer | None) -> Tensor:
    """(1, C, H, W): the feature maps or a layer's. A network may take some sizes and refuse others in any way."""
    try:
        return network.backbone(x) if layer is None else network.layers.maps(x, layer.key)
    except ExplorerError:
        raise
    except Exception as error:
        (height, width), own = x.shape[-2:], network.preprocessing.size
        cause = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise FramingError(f"{network.title} cannot take an input of {width} x {height} px ({cause}); expected its own "
                           f"{own} x {own} px, or another size that it takes.") from None


class Analysis:
    """All that one forward pass left, and everything that follows from it, computed when first needed.

    It may be shared by threads: results are deterministic, and nothing of the network is ever changed.

    Attributes:
        network, image: what it is of.
        framing: how the image became the input, and where each position lies on it.
        input: Tensor (1, channels, h, w), what the backbone was given.
        feature_maps: Tensor (C, H, W), what it gave, or what the layer did.
        seconds: that the backbone took, or the way to the layer.
        layer: the one that is looked at; None for the final feature maps.
    """

    def __init__(
        self, network: Network, image: Image.Image, framing: Framing, x: Tensor, feature_maps: Tensor, seconds: float,
        layer: Layer | None = None,
    ) -> None:
        self.network = network
        self.image = image
        self.framing = framing
        self.input = x
        self.feature_maps = feature_maps
        self.seconds = seconds
        self.layer = layer
        self.remember = Memory()  # for callers that draw
        self.results = Memory(_RESULTS)  # see `remembered`
        self._outcomes = Memory(OUTCOMES)
        self._previews = Memory(_PREVIEWS)

    @property
    def has_evidence(self) -> bool:
        """Whether there are poolings, evidence and votes: at the final feature maps of a network that pools them."""
        return self.network.pooling is not None and self.layer is None

    @property
    def no_evidence_reason(self) -> str:
        """One sentence why there is no evidence here; "" where there is."""
        if self.has_evidence:
            return ""
        if self.network.pooling is None:
            return self.network.reason or "This network has no global pooling."
        return ("Evidence is exact only where the network pools: at its final feature maps; "
                f"{self.layer.key} is looked at by gradients.")

    @property
    def layer_key(self) -> str:
        """Of the layer whose maps these are; a network without a pooling ends at the last of its layers.

        Raises MethodError where the final feature maps are of no layer that is known.
        """
        if self.layer is not None:
            return self.layer.key
        if not self.network.layers.all:
            raise MethodError(f"The layers of {self.network.title} are not known, so no gradient can be asked for.")
        return self.network.layers.all[-1].key

    @property
    def layer_name(self) -> str:
        """What the maps are, for people: "final feature maps", or "maps of layer2"."""
        return "final feature maps" if self.layer is None else f"maps of {self.layer.key}"

    def require_evidence(self) -> None:
        """Raises MethodError with the reason where there is no evidence."""
        if not self.has_evidence:
            raise MethodError(self.no_evidence_reason)

    def under(self, pooling: str | None = None, **parameters: float) -> Outcome:
        """What the network answers under a pooling: `under("gem", p=4)`; without a name, under its own.

        Where there is no evidence, `under()` is what the whole network answers.

        Raises:
            ParameterError: an unknown pooling, or a parameter outside its range.
            MethodError: a pooling is named where none can be exchanged.
        """
        if not self.has_evidence:
            if pooling is not None or parameters:
                raise MethodError(self.no_evidence_reason)
            return self._outcomes((), lambda: OutcomeWithoutEvidence(self))
        if pooling is None:
            pooling = self.network.pooling.key
            parameters = parameters or dict(self.network.pooling_parameters)
        resolved = self.network.pooling_of(pooling).resolve(parameters)
        return self._outcomes((pooling, *resolved.values()), lambda: Outcome(self, pooling, resolved))

    def cam(self, method: str, class_index: int, pooling: str | None = None, **options: Any) -> Tensor:
        """(H, W): a published CAM, signed and not normalised, under the native pooling unless one is named.

        Options go to the method: Score-CAM takes `progress(done, total)`, `stop() -> bool` and `batch`; Finer-CAM
        takes `rivals`, `gamma` and `references`.

        Raises ParameterError (unknown method, class, pooling or option), MethodError, StoppedError.
        """
        return self.under(pooling).cam(method, class_index, **options)

    def votes(self, class_index: int | None = None) -> Tensor:
        """The answer of each position alone, by the network's own head; see `Outcome.votes`."""
        return self.under().votes(class_index)

    def vote_logits(self) -> Tensor:
        """(classes, H, W): the logits behind the votes; see `Outcome.vote_logits`."""
        return self.under().vote_logits()

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
        """The photo at most `long_side` px long, and the part of it that the network saw, in its pixels."""
        if long_side is None:
            return self.image, self.framing.seen
        return self._previews(long_side, lambda: render.shrink(self.image, self.framing.seen, long_side))
