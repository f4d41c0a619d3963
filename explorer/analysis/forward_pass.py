"""What one forward pass left: the feature maps, and where each position lies on the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from PIL import Image
from torch import Tensor

from explorer import render
from explorer.analysis.decomposable import why_not_decomposed
from explorer.analysis.memory import Memory
from explorer.errors import MethodError, ParameterError
from explorer.framing import Framing
from explorer.networks.layers import Layer
from explorer.networks.network import Network

_PREVIEWS = 2  # sizes of the photo that are kept


@dataclass(eq=False, repr=False)
class ForwardPass:
    """The feature maps that a network, or a layer of it, gave for one image.

    Attributes:
        network, image: what it is of.
        framing: how the image became the input, and where each position lies on it.
        input: Tensor (1, channels, h, w), what the backbone was given.
        feature_maps: Tensor (C, H, W), what it gave, or what the layer did.
        seconds: that the backbone took, or the way to the layer.
        layer: the one that is looked at; None for the final feature maps.
        engine: what ran it, "torch" or "ONNX Runtime".
        change: what was done to the feature maps since, as a link has it, see `explorer.questions.intervention`.
    """

    network: Network
    image: Image.Image
    framing: Framing
    input: Tensor
    feature_maps: Tensor
    seconds: float
    layer: Layer | None = None
    engine: str = "torch"
    change: str = ""
    _previews: Memory = field(default_factory=lambda: Memory(_PREVIEWS), init=False)

    @property
    def has_evidence(self) -> bool:
        """Whether there are poolings, evidence and votes: at the final feature maps of a network that pools them, with
        a head whose logits can be decomposed on this photo."""
        return self.network.pooling is not None and self.layer is None and not self._not_decomposed

    @cached_property
    def _not_decomposed(self) -> str:
        return why_not_decomposed(self.network, self.feature_maps)

    @property
    def no_evidence_reason(self) -> str:
        """One sentence why there is no evidence here; "" where there is."""
        if self.network.pooling is None:
            return self.network.reason or "This network has no global pooling."
        if self.layer is None:
            return self._not_decomposed
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

    def overlay(
        self, cells: Tensor, scale: render.Scale | None = None, *, long_side: int | None = None, **options: Any
    ) -> Image.Image:
        """The photo in greys with a map (H, W) laid over it in the right place, hatched where the network saw nothing.

        Args:
            cells: as many positions as the feature maps.
            scale: None is a signed scale of this map alone.
            long_side: shrink the photo for the screen; None keeps the photo's own size.
            options: opacity, smooth, mark, in_colour, lined; see `explorer.render.overlay`.
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
