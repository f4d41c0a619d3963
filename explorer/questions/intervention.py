"""The answer after a change of the feature maps themselves: channels muted or scaled, positions ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from explorer.analysis import Analysis
from explorer.checks import is_number
from explorer.errors import ParameterError
from explorer.wording import listed

LARGEST_FACTOR = 10.0
_NAMED = 6  # channels or positions; more are counted
_WRITTEN = re.compile(r"k(\d{1,6})x(\d{1,2}(?:\.\d{1,3})?)|p(\d{1,3})\.(\d{1,3})", re.ASCII)


@dataclass(frozen=True)
class Intervention:
    """What is done to feature maps before they are pooled: F'_kij = factor_k F_kij, and 0 where a position is ignored.

    The pooling, the head and its weights stay as they are, so that attention looks anew at what is left.

    Attributes:
        channels: factors by channel, 0 (muted) to 10; a channel that is not there is left as it is.
        positions: (row, column) of the positions that are ignored.

    Raises ParameterError for a factor outside that range.
    """

    channels: Mapping[int, float] = field(default_factory=dict)
    positions: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        for channel, factor in self.channels.items():
            if not is_number(factor) or not 0 <= factor <= LARGEST_FACTOR:
                raise ParameterError(f"Channel {channel} is to be scaled by {factor!r:.40}; expected a number from 0 "
                                     f"(muted) to {LARGEST_FACTOR:g}.")

    @classmethod
    def parse(cls, text: str) -> Intervention:
        """Of a link, such as "k12x0_k40x2.5_p3.4": channel 12 muted, channel 40 times 2.5, position (3, 4) ignored.

        Raises ParameterError for anything else.
        """
        channels, positions = {}, set()
        for part in text.split("_") if text else ():
            match = _WRITTEN.fullmatch(part)
            if match is None:
                raise ParameterError(f"The change {part!r:.40} cannot be read; expected a channel such as k12x0, or a "
                                     "position such as p3.4, with _ between them.")
            channel, factor, row, column = match.groups()
            if channel is None:
                positions.add((int(row), int(column)))
            else:
                channels[int(channel)] = float(factor)
        return cls(channels, frozenset(positions))

    @cached_property
    def _text(self) -> str:
        channels = (f"k{channel}x{factor:.3f}".rstrip("0").rstrip(".") for channel, factor in
                    sorted(self.channels.items()))
        return "_".join((*channels, *(f"p{row}.{column}" for row, column in sorted(self.positions))))

    def __str__(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self.channels or self.positions)

    @property
    def words(self) -> str:
        """"channel 12 muted, position (3, 4) ignored"; "" where nothing is changed."""
        by_factor: dict[float, list[str]] = {}
        for channel, factor in sorted(self.channels.items()):
            by_factor.setdefault(factor, []).append(str(channel))
        parts = [f"{_counted('channel', names)} {f'times {factor:g}' if factor else 'muted'}"
                 for factor, names in sorted(by_factor.items())]
        if self.positions:
            parts.append(f"{_counted('position', [str(at) for at in sorted(self.positions)])} ignored")
        return ", ".join(parts)

    def check(self, shape: torch.Size) -> None:
        """Raises ParameterError for a channel or position that feature maps of a shape (C, H, W) do not have."""
        channels, rows, columns = shape
        if unknown := [channel for channel in self.channels if not 0 <= channel < channels]:
            raise ParameterError(f"There is no channel {unknown[0]}; expected 0 to {channels - 1}.")
        if outside := [at for at in self.positions if not (0 <= at[0] < rows and 0 <= at[1] < columns)]:
            raise ParameterError(f"There is no position {outside[0]}; expected rows 0 to {rows - 1} and columns 0 to "
                                 f"{columns - 1}.")

    def on(self, analysis: Analysis) -> Analysis:
        """The analysis of the same photo with these feature maps; what looks at the input still sees the whole photo.

        Raises MethodError where there is no evidence, ParameterError for a channel or position that does not exist.
        """
        analysis.require_evidence()
        if analysis.change:
            raise ParameterError("These feature maps are changed already; expected those that the network gave.")
        self.check(analysis.feature_maps.shape)
        maps = analysis.feature_maps.clone()
        if self.channels:
            maps[list(self.channels)] *= torch.tensor(list(self.channels.values()))[:, None, None]
        for row, column in self.positions:
            maps[:, row, column] = 0
        return replace(analysis, feature_maps=maps, change=str(self))


def _counted(what: str, names: list[str]) -> str:
    """"channel 12", "channels 12 and 40", "34 channels"."""
    if len(names) > _NAMED:
        return f"{len(names):,} {what}s"
    return f"{what}{'s' * (len(names) > 1)} {listed(names)}"
