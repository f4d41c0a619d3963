"""A pooling that somebody chose, as links, widgets and the command line spell it: "gmp", "gem:p=4"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from explorer.poolings.registry import POOLINGS, Pooling, parse_pooling


@dataclass(frozen=True)
class PoolingChoice:
    """A pooling's key with its parameters, by name; none where the usual one of the network is meant.

    `str` gives the text of links, and `parse` reads it back to an equal choice.
    """

    key: str
    parameters: tuple[tuple[str, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> PoolingChoice:
        """"gem:p=4.0" is "gem:p=4". Raises ParameterError for what is no pooling."""
        key, parameters = parse_pooling(text)
        return cls(key, tuple(parameters.items()))

    @classmethod
    def of(
        cls, key: str, parameters: Mapping[str, float], poolings: Mapping[str, Pooling] = POOLINGS
    ) -> PoolingChoice:
        """In its one form: a parameter that is the usual one is left out.

        `poolings` are those of the network: what is usual there is what it was trained with. One that is not among them
        has no parameter.
        """
        pooling = poolings.get(key)
        if pooling is None or pooling.resolve(dict(parameters)) == pooling.resolve({}):
            return cls(key)
        return cls(key, tuple(pooling.resolve(dict(parameters)).items()))

    def among(self, poolings: Mapping[str, Pooling]) -> PoolingChoice:
        """The same choice in its one form for a network with these poolings."""
        return self.of(self.key, dict(self.parameters), poolings)

    def __str__(self) -> str:
        return POOLINGS[self.key].written(**dict(self.parameters)) if self.parameters else self.key
