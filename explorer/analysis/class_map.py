"""The map that stands for a class: its evidence, or Grad-CAM where the answer cannot be decomposed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from explorer.arrays import to_array
from explorer.wording import signed


@dataclass(frozen=True, eq=False)
class ClassMap:
    """What an outcome can show of a class on the photo, with its words. From `Outcome.class_map`.

    Attributes:
        cells: Tensor (H, W), signed.
        kind: "evidence" or "Grad-CAM".
        name: "Evidence for tabby" or "Grad-CAM of tabby".
        source: where it comes from: "under GMP", or the layer that is looked at, such as "final feature maps".
        unit: "logits", or "units" of a regression; "" for a CAM, which has none.
        account: how the logit adds up and how exactly; or the logit alone, and why it is not decomposed.
    """

    cells: Tensor
    kind: str
    name: str
    source: str
    unit: str
    account: tuple[str, str]

    @property
    def array(self) -> np.ndarray:
        """(H, W) float64."""
        return to_array(self.cells)

    def number(self, value: float) -> str:
        """"+0.41" of a logit; "+0.00041" of a CAM, whose numbers may be of any size."""
        if self.unit or not math.isfinite(value):
            return signed(value)
        return f"{value:+.2g}".replace("-", "−")
