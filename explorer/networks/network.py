"""A network cut into backbone, pooling and head, with all that is needed to feed it and to read its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from explorer.errors import ParameterError
from explorer.framing import Preprocessing
from explorer.networks.calibration import Calibration
from explorer.networks.head import head_kind
from explorer.pooling import Pooling


@dataclass(frozen=True, eq=False)
class Network:
    """Parts of an image classifier: logits = head(pooling(backbone(x))).

    It is never changed after it was made (evaluation mode, no gradients on parameters, no hooks), so any number of
    threads may share it.

    Attributes:
        name: what `load_network` was asked for; title: for people.
        backbone: (B, 3, h, w) to feature maps (B, C, H, W).
        pooling: its own global pooling, with `pooling_parameters`.
        head: (B, C) to logits (B, classes).
        class_names: one a class.
        preprocessing: what the backbone wants of its input.
        digest: sha256 of the weights' file, hex.
        origin: where the weights come from, one line.
        calibration: fitted multipliers for what-if poolings; empty when none were fitted.
    """

    name: str
    title: str
    backbone: nn.Module
    pooling: Pooling
    head: nn.Module
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    digest: str
    origin: str
    pooling_parameters: Mapping[str, float] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        for part in (self.backbone, self.head):
            part.eval().requires_grad_(False)

    @property
    def head_kind(self) -> str:
        """"affine" (its evidence is exact) or "nonlinear" (its evidence is integrated)."""
        return head_kind(self.head)

    def is_native(self, pooling: str, parameters: Mapping[str, float]) -> bool:
        """Whether the head was trained with this pooling."""
        return pooling == self.pooling.key and dict(parameters) == self.pooling.resolve(dict(self.pooling_parameters))

    def check_class(self, index: int) -> int:
        """The index itself, or a ParameterError when there is no such class."""
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(self.class_names):
            raise ParameterError(f"There is no class {index!r}; expected a whole number from 0 to "
                                 f"{len(self.class_names) - 1}.")
        return index

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of inputs (B, 3, h, w): one forward pass."""
        return self.head(self.pooling.value(self.backbone(x), **self.pooling_parameters))
